"""A law out of a file: what ``bc-opt fit`` writes, or the five numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.json_file import read_json, verdict_of
from beyond_chinchilla.scenario.law_kinds import MOST_ROWS, refits_of, row_text

_WAY_OUT = "give what 'bc-opt fit RUNS -o law.json' writes"
_NEEDED = ("E", "A", "alpha", "B", "beta")
_TAKEN = (*_NEEDED, "power", "counts", "name", "source", "range")


def read_law(path: Path) -> dict[str, Any]:
    """Return the law of a JSON file, as a scenario writes one inline, with what its bootstrap says.

    Parameters
    ----------
    path : Path
        A JSON object with E, A, alpha, B and beta, at its top or under ``law``; a ``verdict`` beside it is taken along.

    Raises
    ------
    InputError
        No such file, too large, not JSON, or numbers missing.
    """
    tree = read_json(path, f"law file {path}", _WAY_OUT)
    law = tree.get("law", tree) if isinstance(tree, dict) else None
    missing = [key for key in _NEEDED if not isinstance(law, Mapping) or key not in law]
    if not isinstance(law, Mapping) or missing:
        raise InputError(f"law file {path}: has no {', '.join(missing)}; {_WAY_OUT}")
    found = {key: law[key] for key in _TAKEN if law.get(key) not in (None, "")}
    found.setdefault("name", path.stem)
    return found | _sureness(tree, path) | verdict_of(tree)


def _sureness(tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the refits of a law's bootstrap, or else the covariance; nothing where there was none."""
    bootstrap = tree.get("bootstrap")
    if not isinstance(bootstrap, Mapping):
        return {}
    rows = bootstrap.get("parameters")
    try:
        if isinstance(rows, list) and rows:
            texts = tuple(row_text(row) for row in rows[:MOST_ROWS])
            refits_of(texts)
            return {"refits": texts}
    except InputError as error:
        raise InputError(f"law file {path}: bootstrap.parameters: {error}") from None
    covariance = bootstrap.get("covariance")
    values = covariance.get("values") if isinstance(covariance, Mapping) else None
    if not isinstance(values, list):
        return {}
    # A held E of 0 has no logarithm: null, which varies with nothing.
    return {"covariance": [[entry or 0.0 for entry in row] if isinstance(row, list) else row for row in values]}
