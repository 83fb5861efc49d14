"""Offers of chips for money, and the sieve through which every price list goes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from beyond_chinchilla.errors import SpreadsheetError, printable
from beyond_chinchilla.tables.chips import chips_of, match_chip

ON_DEMAND, SPOT, COMMITTED = "on-demand", "spot", "committed"
KINDS = (ON_DEMAND, SPOT, "1-year", "3-year", COMMITTED)

# Below and above it is another thing than the hire of one accelerator [USD per chip-hour].
LEAST, MOST = 0.01, 1000.0
_SHOWN = 60

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What a provider wants for one hour of one chip.

    Attributes
    ----------
    chip : str or None
        Name in the catalogue of hardware, None for what it does not have; `remark` says why.
    accelerator : str
        The chip as the file writes it.
    usd_per_hour : float
        For ONE chip [USD/hour]. The machine around it is included.
    kind : str
        ``on-demand``, ``spot``, ``1-year``, ``3-year``, or ``committed`` where a bill does not say for how long.
    provider, instance, region : str
        "" where the file does not say.
    chips_per_instance : float
        Chips that are hired together.
    date : str
        When the price held, ISO 8601; "" where the file does not say.
    line : int
        Where the offer stands in the file.
    remark : str
        What was assumed about the chip.
    """

    chip: str | None
    accelerator: str
    usd_per_hour: float
    kind: str
    provider: str
    instance: str
    region: str
    chips_per_instance: float
    date: str
    line: int
    remark: str

    @property
    def form_assumed(self) -> bool:
        """Whether the file does not say SXM or PCIe."""
        return self.chip is not None and self.remark != ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """An offer that was set aside: where it stands, what it says, and why, in words that do not name the offer."""

    line: int
    text: str
    reason: str


_TEXTS = ("provider", "instance", "region", "accelerator", "kind", "date")


@dataclass(kw_only=True)
class Draft:
    """Offers on their way in.

    Attributes
    ----------
    rows : DataFrame
        Columns line, provider, instance, region, accelerator, kind, date (text), count (accelerators per instance),
        price (of the instance [USD/hour], nan where `cell`, its text, is no number); and where the list has them
        memory (of one chip [GB]) and form.
    rejects : list of Reject
    notes : list of str
        What a reader should know.
    """

    rows: pd.DataFrame
    rejects: list[Reject] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def set_aside(self, where: Mask, reason: str) -> None:
        """Move rows to the rejects."""
        if where.any():
            self.rejects += _describe(self.rows[where], reason)
            self.rows = self.rows[~where].reset_index(drop=True)

    def check_prices(self) -> None:
        """Set aside what is no price of a chip, and divide the price of an instance among its chips."""
        rows = self.rows
        written = (rows["cell"] != "").to_numpy(dtype=bool)
        self.set_aside(~written, "no price")
        price = self.rows["price"].to_numpy(dtype=np.float64)
        self.set_aside(np.isnan(price), "the price is not a number")
        self.set_aside(self.rows["price"].to_numpy(dtype=np.float64) < 0.0, "the price is below zero")
        self.set_aside(self.rows["price"].to_numpy(dtype=np.float64) == 0.0, "the price is zero")
        keys = zip(*(self.rows[name].tolist() for name in ("accelerator", "count", "instance")), strict=True)
        known: dict[tuple[str, float, str], float] = {}
        chips = np.empty(len(self.rows))
        for i, key in enumerate(keys):
            if key not in known:
                number = chips_of(*key)
                known[key] = np.nan if number is None else number
            chips[i] = known[key]
        self.rows = self.rows.assign(chips=chips)
        self.set_aside(np.isnan(chips) | ~(chips > 0.0), "how many chips it has is not stated")
        each = self.rows["price"].to_numpy(dtype=np.float64) / self.rows["chips"].to_numpy(dtype=np.float64)
        self.rows = self.rows.assign(each=each)
        reason = f"less than {LEAST:g} or more than {MOST:g} USD for one hour of a chip"
        self.set_aside(~((each >= LEAST) & (each <= MOST)), reason)

    def check_spot(self, keys: Sequence[str]) -> None:
        """Set aside spot prices that are none: not below the lowest price on demand of the same `keys`."""
        spot = (self.rows["kind"] == SPOT).to_numpy(dtype=bool)
        demand = self.rows[(self.rows["kind"] == ON_DEMAND).to_numpy(dtype=bool)]
        if not spot.any() or demand.empty:
            return
        lowest = demand.groupby(list(keys), sort=False)["each"].min().rename("lowest").reset_index()
        bound = self.rows[list(keys)].merge(lowest, on=list(keys), how="left")["lowest"].to_numpy(dtype=np.float64)
        each = self.rows["each"].to_numpy(dtype=np.float64)
        equal = spot & np.isclose(each, bound, rtol=1e-9, atol=0.0)
        above = spot & ~equal & (each > bound)
        kept = ~above
        self.set_aside(above, "the spot price is above the price on demand")
        self.set_aside(equal[kept], "the spot price is the price on demand")

    def offers(self) -> tuple[Offer, ...]:
        """Return what is left, in the order of the file."""
        rows = self.rows.sort_values("line", kind="stable")
        memory = rows["memory"].tolist() if "memory" in rows else [math.nan] * len(rows)
        form = rows["form"].tolist() if "form" in rows else [""] * len(rows)
        columns = [rows[name].tolist() for name in (*_TEXTS, "each", "chips", "line")]
        made = []
        for cells in zip(*columns, memory, form, strict=True):
            provider, instance, region, name, kind, date, each, chips, line, gigabytes, shape = cells
            # nan is not equal to itself: as a key it would never be found again.
            match = match_chip(name, instance, None if math.isnan(gigabytes) else gigabytes, shape)
            made.append(
                Offer(
                    chip=match.chip,
                    accelerator=name,
                    usd_per_hour=each,
                    kind=kind,
                    provider=provider,
                    instance=instance,
                    region=region,
                    chips_per_instance=chips,
                    date=date,
                    line=line,
                    remark=match.remark,
                )
            )
        return tuple(made)


def numbers(cells: pd.Series[Any]) -> NDArray[np.float64]:
    """Return the numbers of a column, nan where a cell holds none."""
    if cells.dtype == object:
        # A list or an object of JSON is no number, and True is none either.
        cells = cells.map(lambda cell: str(cell) if isinstance(cell, (str, int, float, Decimal)) else "")
    elif cells.dtype == bool:
        return np.full(len(cells), np.nan)
    with np.errstate(all="ignore"):
        return pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def texts(cells: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as trimmed text, "" for what is missing; objects of JSON stay JSON."""
    if isinstance(cells.dtype, pd.StringDtype):
        return cells.fillna("").str.strip()
    return pd.Series([_text(cell) for cell in cells.tolist()], dtype="str")


def _text(cell: object) -> str:
    if cell is None or cell is pd.NaT or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    return json.dumps(cell) if isinstance(cell, dict) else str(cell).strip()


def rows_that(count: int, said: str) -> str:
    """Return ``1 row has ...`` or ``2 rows have ...``.

    >>> rows_that(1200, "no accelerator")
    '1,200 rows have no accelerator'
    """
    return f"{count:,} {'row has' if count == 1 else 'rows have'} {said}"


def require(names: Sequence[str], wanted: Sequence[str], place: str, what: str) -> None:
    """Refuse a table that lacks columns of its format.

    Raises
    ------
    SpreadsheetError
        The missing columns, by name.
    """
    missing = [name for name in wanted if name not in names]
    if missing:
        raise SpreadsheetError(f"{place}: looks like {what}, but has no column {', '.join(missing)}; export it again")


def _describe(rows: pd.DataFrame, reason: str) -> list[Reject]:
    columns = ("line", "provider", "instance", "region", "accelerator", "count", "kind", "cell")
    return [
        Reject(line=line, text=describe_offer(provider, instance, region, name, count, kind, cell), reason=reason)
        for line, provider, instance, region, name, count, kind, cell in zip(
            *(rows[column].tolist() for column in columns), strict=True
        )
    ]


def describe_offer(provider: str, instance: str, region: str, name: str, count: float, kind: str, cell: str) -> str:
    """Return an offer in one line without control characters.

    >>> describe_offer("aws", "p5.48xlarge", "us-east-1", "H100", 8.0, "spot", "18.73")
    'aws p5.48xlarge us-east-1, 8 x H100, spot: 18.73'
    """
    where = " ".join(part[:_SHOWN] for part in (provider, instance, region) if part)
    what = f"{count:g} x {name[:_SHOWN]}" if name and count == count else name[:_SHOWN]
    said = ", ".join(part for part in (where, what, kind) if part)
    return printable(f"{said}: {cell[:_SHOWN]}" if cell else said)
