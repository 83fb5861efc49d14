"""A map from loss to error out of a file: what ``bc-opt fit --downstream`` writes, or the three numbers alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.downstream import PARAMETERS
from beyond_chinchilla.scenario.json_file import read_json, verdict_of
from beyond_chinchilla.scenario.law_kinds import MOST_ROWS, refits_of, row_text

_NEEDED = ("epsilon", "k", "gamma")
_TAKEN = (*_NEEDED, "residual", "losses", "name", "source")
_WAY_OUT = "give what 'bc-opt fit MODELS --downstream -o suite.json' writes"


def read_suite(path: Path) -> dict[str, Any]:
    """Return the map of a JSON file, as a scenario writes one inline, with what is known of its errors.

    Parameters
    ----------
    path : Path
        A JSON object with epsilon, k and gamma, at its top or under ``suite``; covariance or refits and a ``verdict``
        beside it are taken along.

    Raises
    ------
    InputError
        No such file, too large, not JSON, or numbers missing.
    """
    tree = read_json(path, f"suite file {path.name}", _WAY_OUT)
    suite = tree.get("suite", tree) if isinstance(tree, Mapping) else None
    missing = [key for key in _NEEDED if not isinstance(suite, Mapping) or key not in suite]
    if not isinstance(suite, Mapping) or missing:
        raise InputError(f"suite file {path.name}: has no {', '.join(missing)}; {_WAY_OUT}")
    found = {key: suite[key] for key in _TAKEN if suite.get(key) not in (None, "")}
    found.setdefault("name", path.stem)
    try:
        found |= _sureness(tree)
    except InputError as error:
        raise InputError(f"suite file {path.name}: bootstrap.parameters: {error}") from None
    return found | verdict_of(tree)


def _sureness(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the refits of a map's bootstrap, or else the covariance; nothing where there is neither."""
    bootstrap, covariance = tree.get("bootstrap"), tree.get("covariance")
    rows = bootstrap.get("parameters") if isinstance(bootstrap, Mapping) else None
    if isinstance(rows, list) and rows:
        texts = tuple(row_text(row, PARAMETERS) for row in rows[:MOST_ROWS])
        refits_of(texts, PARAMETERS)
        return {"refits": texts}
    values = covariance.get("values") if isinstance(covariance, Mapping) else covariance
    return {"covariance": values} if isinstance(values, list) else {}
