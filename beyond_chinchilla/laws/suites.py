"""The published maps from loss to error, by name; each row of ``data/downstream.yaml`` states its source and range."""

from __future__ import annotations

from typing import Any

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.laws.downstream import DownstreamMap

_TABLE = "downstream"
# Where nobody has fitted a suite to the data of a law.
_FIRST = "C4"


def names() -> list[str]:
    """Return the names of the maps: a suite and the data.

    >>> names()[:2]
    ['gadre-17-c4', 'gadre-46-c4']
    """
    return row_names(_TABLE)


def suites() -> list[str]:
    """Return the names of the suites, each of which has a map for each data set.

    >>> suites()
    ['gadre-17', 'gadre-46']
    """
    return list(dict.fromkeys(_row(name)["suite"] for name in names()))


def published_map(name: str) -> DownstreamMap:
    """Return a published map.

    Raises
    ------
    InputError
        No such name; the message has the nearest one.

    Examples
    --------
    >>> published_map("gadre-17-c4").epsilon
    0.85
    """
    row = _row(name)
    low, high = row["losses"]
    return DownstreamMap(
        **{key: float(value) for key, value in row["values"].items()},
        residual=float(row["residual"]),
        covariance=tuple(tuple(float(entry) for entry in line) for line in row["covariance"]),
        losses=(float(low), float(high)),
        name=name,
        suite=row["suite"],
        data=row["data"],
        law=row["law"],
        source=row["source"],
        note=row.get("note", ""),
    )


def map_for(suite: str, law: str) -> DownstreamMap:
    """Return the map of a suite for a law: that of the law's data, else C4's; or a map by its own name.

    Parameters
    ----------
    suite : str
        A suite, ``"gadre-17"``, or a map, ``"gadre-17-redpajama"``.
    law : str
        Its name; any that the catalogue does not have is of other data.

    Raises
    ------
    InputError
        No such suite.

    Examples
    --------
    >>> map_for("gadre-17", "gadre-2024-redpajama").name, map_for("gadre-17", "sardana-2024").name
    ('gadre-17-redpajama', 'gadre-17-c4')
    """
    if suite in names():
        return published_map(suite)
    by_data = {_row(name)["data"]: name for name in names() if _row(name)["suite"] == suite}
    if not by_data:
        raise InputError(f"no suite named '{suite}'; {nearest(suite, [*suites(), *names()])}")
    return published_map(by_data.get(_data_of(law), by_data[_FIRST]))


def maps_beside(found: DownstreamMap) -> list[DownstreamMap]:
    """Return the published maps of other suites that read the same losses.

    >>> [each.name for each in maps_beside(published_map("gadre-17-c4"))]
    ['gadre-46-c4']
    """
    maps = [published_map(name) for name in names()] if found.law else []
    return [each for each in maps if each.law == found.law and each.name != found.name]


def _data_of(law: str) -> str:
    """Return what the runs behind a published law were trained on; nothing for any other."""
    row: dict[str, Any] = load_row("laws", law) if law in row_names("laws") else {}
    return str(row.get("data", ""))


def _row(name: str) -> dict[str, Any]:
    if name not in names():
        raise InputError(f"no map named '{name}'; {nearest(name, names())}")
    row: dict[str, Any] = load_row(_TABLE, name)
    return row
