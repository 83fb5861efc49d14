"""A JSON file that a fit wrote and a scenario names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beyond_chinchilla.errors import InputError

MAX_BYTES = 50_000_000
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def read_json(path: Path, called: str, way_out: str) -> Any:
    """Return what a file holds.

    Parameters
    ----------
    path : Path
    called : str
        How messages name it: ``"law file law.json"``.
    way_out : str
        What to give instead of a file that is not JSON.

    Raises
    ------
    InputError
        No such file, too large, or not JSON.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{called}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{called}: larger than {MAX_BYTES // 1_000_000} MB; is it the right file?")
    try:
        tree = json.loads(data)
        if _HALF.search(data):
            # Half a character, written by number, is a word that cannot be printed.
            json.dumps(tree, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InputError(f"{called}: not JSON; {way_out}") from None
    return tree


def verdict_of(tree: Mapping[str, Any]) -> dict[str, str]:
    """Return the word of a fit's verdict as ``{"verdict": word}``; nothing where the file has none."""
    verdict = tree.get("verdict")
    found = isinstance(verdict, Mapping) and isinstance(verdict.get("word"), str)
    return {"verdict": verdict["word"]} if found and isinstance(verdict, Mapping) else {}
