"""G and g out of a file: what ``bc-opt fit SCORES --thinking`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.json_file import read_json

_TAKEN = ("G", "g", "variable", "seen", "name", "source", "verdict")


def read_thinking(path: Path) -> dict[str, Any]:
    """Return G, g and what else a fit's file says of them, as a scenario writes it.

    Raises
    ------
    InputError
        No such file, too large, not JSON, or a fit that did not tell G and g.
    """
    tree = read_json(path, f"fit file {path}", "give what 'bc-opt fit SCORES --thinking' writes")
    found = tree.get("thinking") if isinstance(tree, Mapping) else None
    if not isinstance(found, Mapping) or not {"G", "g"} <= set(found):
        raise InputError(f"fit file {path}: has no G and g; give what 'bc-opt fit SCORES --thinking -o FILE' writes")
    return {key: found[key] for key in _TAKEN if found.get(key) is not None}


def take_file(section: dict[str, Any]) -> str:
    """Take the name of a fit's file out of a section; what stands in for its constants lets the rest be checked.

    Raises
    ------
    InputError
        The constants are given as well.
    """
    name = str(section.pop("file"))
    clash = [key for key in ("G", "g") if section.get(key) is not None]
    section |= {"G": 1.0, "g": 1.0}
    if clash:
        raise InputError(f"file and {' and '.join(clash)} are both given; keep one")
    return name
