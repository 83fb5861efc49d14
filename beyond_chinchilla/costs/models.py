"""Published language models: parameters, tokens, chips, hours and money, as their makers state them.

The catalogue is ``data/models.yaml``.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, cut, nearest
from beyond_chinchilla.units import parse_number, parse_quantity

_TABLE = "models"


@dataclass(frozen=True)
class ReferenceModel:
    """A published model.

    Parameters
    ----------
    name : str
        Key of the catalogue.
    title : str
        What its makers call it.
    params : float
        Parameters, total [parameters].
    active_params : float or None
        Parameters that one token passes through [parameters]; None for a dense model.
    tokens : float or None
        Training tokens [tokens]; None where undisclosed.
    chips : str
        How many of which chip; empty where undisclosed.
    hardware : str or None
        The chip's name in the hardware catalogue, where it is there.
    chip_hours : float or None
        Hours of one chip [hour]; None where not published.
    cost_usd : float or None
        Published cost of the run [USD]; None where there is none.
    cost_method : str
        How that cost was reckoned: figures of different methods do not compare.
    source, date, note : str
        Where the numbers come from, of when, and what to beware of.
    """

    name: str
    title: str
    params: float
    active_params: float | None
    tokens: float | None
    chips: str
    hardware: str | None
    chip_hours: float | None
    cost_usd: float | None
    cost_method: str
    source: str
    date: str
    note: str

    @property
    def compute_params(self) -> float:
        """Parameters that count in 6 N D and 2 N [parameters]: the active ones of a mixture of experts.

        >>> reference_model("deepseek-v3").compute_params
        37000000000.0
        """
        return self.params if self.active_params is None else self.active_params


def names() -> list[str]:
    """List the models of the catalogue.

    >>> "llama-3-8b" in names()
    True
    """
    return row_names(_TABLE)


@functools.cache
def reference_model(name: str) -> ReferenceModel:
    """Look up a model of the catalogue.

    Raises
    ------
    InputError
        There is no such model; the message names the nearest.

    >>> model = reference_model("llama-3-8b")
    >>> model.tokens / model.params
    1875.0
    """
    known = names()
    if name not in known:
        raise InputError(f"no model '{cut(name)}'; {nearest(name, known)}")
    row = load_row(_TABLE, name)
    cost = row.get("cost")
    return ReferenceModel(
        name=name,
        title=row["title"],
        params=parse_number(row["params"]),
        active_params=_optional_number(row.get("active_params")),
        tokens=_optional_number(row.get("tokens")),
        chips=row.get("chips", ""),
        hardware=row.get("hardware"),
        chip_hours=_optional_number(row.get("chip_hours")),
        cost_usd=parse_quantity(cost["value"], "USD") if cost else None,
        cost_method=cost["method"] if cost else "",
        source=row["source"],
        date=row["date"],
        note=row.get("note", ""),
    )


def _optional_number(value: str | float | None) -> float | None:
    return None if value is None else parse_number(value)
