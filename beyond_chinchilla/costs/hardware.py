"""Accelerators: what one chip computes, holds and moves, and what an hour of it costs.

The catalogue is ``data/hardware.yaml``. A scenario may write a row of the same shape inline, or override
single fields of a catalogue row; both go through `accelerator_from_row`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, cut, nearest
from beyond_chinchilla.units import parse_quantity

FLOP_PER_TFLOP = 1e12
BYTES_PER_GB = 1e9
BYTES_PER_GIB = 2.0**30
BYTES_PER_TB = 1e12

# What one weight takes in memory [byte]; tf32 is stored as fp32.
BYTES_PER_PARAMETER = {
    "fp64": 8.0,
    "fp32": 4.0,
    "tf32": 4.0,
    "bf16": 2.0,
    "fp16": 2.0,
    "fp8": 1.0,
    "int8": 1.0,
    "fp6": 0.75,
    "fp4": 0.5,
    "int4": 0.5,
}

_TABLE = "hardware"
_REQUIRED = ("peak", "memory", "bandwidth")
_KEYS = (
    *("title", "peak", "memory", "bandwidth", "scale_up", "power"),
    *("source", "date", "default_price", "prices", "note"),
)
_PRICE_KEYS = ("price", "kind", "offer", "date", "source")
_DATE = re.compile(r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?")

T = TypeVar("T")


@dataclass(frozen=True)
class Price:
    """What one chip costs for one hour.

    Parameters
    ----------
    usd_per_hour : float
        Price of one chip [USD/hour].
    kind : str
        ``on-demand``, ``spot``, ``1-year``, ``3-year``, ``capacity-block`` or ``3-year-rental``.
    date : str
        When the price held: a year, a month or a day, ISO 8601.
    source : str
        Who published it.
    offer : str
        Whose price it is: a provider, an instance type.
    """

    usd_per_hour: float
    kind: str
    date: str
    source: str
    offer: str = ""


@dataclass(frozen=True)
class Accelerator:
    """One chip, in base units.

    Parameters
    ----------
    name : str
        Key of the catalogue, or the name that a scenario gives.
    title : str
        What the vendor calls it.
    peak : mapping of str to float
        Dense peak rate by precision [FLOP/s], without sparsity.
    memory : float
        High-bandwidth memory [byte].
    bandwidth : float
        Peak bandwidth of that memory [byte/s].
    scale_up : float or None
        Bandwidth to the other chips of the node or pod, in one direction [byte/s]; None where not known.
    power : float or None
        Thermal design power of the chip alone [W]; None where not published.
    default_price : Price or None
        What a scenario without a price pays; None where no price on demand is known.
    prices : tuple of Price
        Dated list prices, oldest first.
    source, date, note : str
        Where the numbers come from, of when, and what to beware of.
    """

    name: str
    title: str
    # A mapping has no hash; the other fields tell two chips apart well enough.
    peak: Mapping[str, float] = field(hash=False)
    memory: float
    bandwidth: float
    scale_up: float | None = None
    power: float | None = None
    default_price: Price | None = None
    prices: tuple[Price, ...] = ()
    source: str = ""
    date: str = ""
    note: str = ""

    def peak_flops(self, precision: str) -> float:
        """Return the dense peak rate [FLOP/s] for operands of `precision`.

        Raises
        ------
        InputError
            The chip has no such precision. Nothing is guessed: Blackwell Ultra, for one, all but lost int8.

        >>> accelerator("h100-sxm").peak_flops("fp8")
        1979000000000000.0
        """
        try:
            return self.peak[precision]
        except KeyError:
            raise InputError(f"{self.name} has no {precision} peak; it has {', '.join(self.peak)}") from None


def names() -> list[str]:
    """List the accelerators of the catalogue.

    >>> "h100-sxm" in names()
    True
    """
    return row_names(_TABLE)


@functools.cache
def accelerator(name: str) -> Accelerator:
    """Look up an accelerator of the catalogue.

    Raises
    ------
    InputError
        There is no such accelerator; the message names the nearest.

    >>> chip = accelerator("a100-80gb-sxm")
    >>> chip.memory, chip.default_price.usd_per_hour
    (80000000000.0, 1.39)
    """
    known = names()
    if name not in known:
        raise InputError(f"no hardware '{cut(name)}'; {nearest(name, known)}")
    return accelerator_from_row(name, load_row(_TABLE, name))


def accelerator_from_row(name: str, row: Mapping[str, Any], base: Accelerator | None = None) -> Accelerator:
    """Read a row as the catalogue and scenarios write it.

    Parameters
    ----------
    name : str
        What to call the chip; every message starts with it.
    row : mapping
        Fields as text with units, see the head of ``data/hardware.yaml``. Bare numbers mean TFLOP/s, GB, TB/s
        (bandwidth), GB/s (scale_up), W and USD/hour.
    base : Accelerator, optional
        The chip that the row changes: fields that the row leaves out are taken from it, and `peak` is merged
        precision by precision. Without a base, `peak`, `memory` and `bandwidth` are required.

    Raises
    ------
    InputError
        Everything that is wrong with the row, one line each:
        ``name: field: value, and what to write instead``.

    >>> row = {"peak": {"bf16": "500 TFLOP/s"}, "memory": "96 GB", "bandwidth": "4 TB/s"}
    >>> accelerator_from_row("my-chip", row).peak_flops("bf16")
    500000000000000.0
    >>> accelerator_from_row("h100-96gb", {"memory": "96 GB"}, base=accelerator("h100-sxm")).bandwidth
    3350000000000.0
    """
    if not isinstance(row, Mapping):
        raise InputError(f"{name}: '{row}' is not a set of fields; write at least {', '.join(_REQUIRED)}")
    reader = _Reader(row, "")
    reader.refuse_unknown(_KEYS)
    if base is None:
        for key in _REQUIRED:
            if key not in row:
                reader.mistakes.append(f"{key}: missing; write it like '{_EXAMPLES[key]}'")
    chip = Accelerator(
        name=name,
        title=reader.text("title", base.title if base else name),
        peak={**(base.peak if base else {}), **reader.peak()},
        memory=reader.read("memory", _memory, base.memory if base else 0.0),
        bandwidth=reader.read("bandwidth", _scaled("TB/s", BYTES_PER_TB), base.bandwidth if base else 0.0),
        scale_up=reader.read("scale_up", _scaled("GB/s", BYTES_PER_GB), base.scale_up if base else None),
        power=reader.read("power", _scaled("W", 1.0), base.power if base else None),
        default_price=reader.price("default_price", base.default_price if base else None),
        prices=reader.prices(base.prices if base else ()),
        source=reader.text("source", _changed(base, row) if base else ""),
        date=reader.date(base.date if base else ""),
        note=reader.text("note", base.note if base else ""),
    )
    if reader.mistakes:
        raise InputError("\n".join(f"{name}: {mistake}" for mistake in reader.mistakes))
    return chip


def _changed(base: Accelerator, row: Mapping[str, Any]) -> str:
    """Say which fields are no longer those of the source."""
    keys = ", ".join(str(key) for key in row)
    return f"{base.name} with other {keys}; the rest: {base.source}" if keys else base.source


_EXAMPLE_OF = {
    "TFLOP/s": "989",
    "GB": "80",
    "GiB": "80",
    "TB/s": "3.35",
    "GB/s": "450",
    "W": "700",
    "USD/hour": "2.50",
}
_EXAMPLES = {"peak": "{bf16: 989 TFLOP/s}", "memory": "80 GB", "bandwidth": "3.35 TB/s"}


def _scaled(unit: str, factor: float) -> Callable[[Any], float]:
    """Return a reader of positive quantities that are written in `unit` and kept in base units."""

    def read(value: Any) -> float:
        number = parse_quantity(value, unit) * factor
        if not 0.0 < number < float("inf"):
            example = f"{_EXAMPLE_OF[unit]} {unit}"
            raise InputError(f"'{value}' is not above zero and finite; write it like '{example}'")
        return number

    return read


def _memory(value: Any) -> float:
    # Each spelling is read in its own unit: a conversion would load the unit registry, 0.1 s.
    if isinstance(value, str) and value.rstrip().endswith("GiB"):
        return _scaled("GiB", BYTES_PER_GIB)(value)
    return _scaled("GB", BYTES_PER_GB)(value)


class _Reader:
    """Reads the fields of one mapping and remembers every mistake instead of stopping at the first."""

    def __init__(self, row: Mapping[str, Any], place: str, mistakes: list[str] | None = None) -> None:
        self.row = row
        self.place = place
        self.mistakes = [] if mistakes is None else mistakes

    def refuse_unknown(self, known: tuple[str, ...]) -> None:
        for key in self.row:
            if key not in known:
                self.mistakes.append(f"{self.place}{key}: not a field; {nearest(str(key), known)}")

    def read(self, key: str, parse: Callable[[Any], T], default: T) -> T:
        """Parse a field; on a mistake remember it and go on with the default."""
        if key not in self.row:
            return default
        try:
            return parse(self.row[key])
        except InputError as error:
            self.mistakes.append(f"{self.place}{key}: {error}")
            return default

    def text(self, key: str, default: str) -> str:
        return self.read(key, _text, default)

    def date(self, default: str) -> str:
        return self.read("date", _date, default)

    def peak(self) -> dict[str, float]:
        if "peak" not in self.row:
            return {}
        row = self.row["peak"]
        if not isinstance(row, Mapping) or not row:
            self.mistakes.append(f"peak: '{row}' is not by precision; write it like '{_EXAMPLES['peak']}'")
            return {}
        reader = _Reader(row, "peak.", self.mistakes)
        reader.refuse_unknown(tuple(BYTES_PER_PARAMETER))
        parse = _scaled("TFLOP/s", FLOP_PER_TFLOP)
        return {precision: reader.read(precision, parse, 0.0) for precision in row}

    def price(self, key: str, default: Price | None) -> Price | None:
        return _price(self.row[key], f"{self.place}{key}", self.mistakes) if key in self.row else default

    def prices(self, default: tuple[Price, ...]) -> tuple[Price, ...]:
        if "prices" not in self.row:
            return default
        rows = self.row["prices"]
        if not isinstance(rows, (list, tuple)):
            self.mistakes.append(f"prices: '{rows}' is not a list; write it like '- {_PRICE_EXAMPLE}'")
            return default
        read = [_price(row, f"prices[{index}]", self.mistakes) for index, row in enumerate(rows)]
        return tuple(price for price in read if price is not None)


_PRICE_EXAMPLE = '{price: 2.50 USD/hour, kind: on-demand, date: "2026-10", source: offer of our provider}'


def _price(row: Any, place: str, mistakes: list[str]) -> Price | None:
    if not isinstance(row, Mapping):
        mistakes.append(f"{place}: '{row}' has no date and source; write it like '{_PRICE_EXAMPLE}'")
        return None
    reader = _Reader(row, f"{place}.", mistakes)
    reader.refuse_unknown(_PRICE_KEYS)
    if "price" not in row:
        mistakes.append(f"{place}.price: missing; write it like '{_PRICE_EXAMPLE}'")
    return Price(
        usd_per_hour=reader.read("price", _scaled("USD/hour", 1.0), 0.0),
        kind=reader.text("kind", "on-demand"),
        date=reader.date(""),
        source=reader.text("source", ""),
        offer=reader.text("offer", ""),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"'{value}' is not text; put it in quotes")
    return " ".join(value.split())


def _date(value: Any) -> str:
    # YAML reads 2026 as a number and, in some readers, 2026-10-01 as a date: both print as they were typed.
    text = str(value)
    if not _DATE.fullmatch(text):
        raise InputError(f"'{text}' is not a date; write it like 2026, 2026-10 or 2026-10-01")
    return text
