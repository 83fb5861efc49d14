"""What varies: a key of the scenario with its values, as ``KEY=LOW:HIGH:log:COUNT`` or ``KEY=a,b,c``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError, cut
from beyond_chinchilla.scenario.field_at import Field, field_at
from beyond_chinchilla.units import parse_number

Array = NDArray[np.float64]
Index = NDArray[np.int64]

SCALES = ("log", "lin")
_RANGE = re.compile(r"(?P<low>.+?):(?P<high>.+?):(?P<scale>[a-z]+):(?P<count>[^:]+)")
# A range with no more values is written out once; a longer one is worked out where it is needed.
_SHORT = 1 << 12
_MOST = 1e18
HOW = "write --vary KEY=LOW:HIGH:log:COUNT, KEY=LOW:HIGH:lin:COUNT or KEY=a,b,c"


@dataclass(frozen=True, kw_only=True)
class Range:
    """Numbers at equal steps or equal ratios, both ends included.

    >>> Range(low=1.0, high=100.0, count=3, scale="log").at(np.arange(3))
    array([  1.,  10., 100.])
    """

    low: float
    high: float
    count: int
    scale: str

    def at(self, index: Index) -> Array:
        """Return the numbers at some places."""
        if self.count <= _SHORT:
            return self._worked_out(np.arange(self.count))[index]
        return self._worked_out(index)

    def _worked_out(self, index: Index) -> Array:
        share = index / max(self.count - 1, 1)
        if self.scale == "log":
            found: Array = self.low * np.exp(share * np.log(self.high / self.low))
        else:
            found = self.low + share * (self.high - self.low)
        # The ends as they were given, to the last bit.
        found[index == 0] = self.low
        if self.count > 1:
            found[index == self.count - 1] = self.high
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return what it is."""
        return {"low": self.low, "high": self.high, "scale": self.scale, "count": self.count}


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Numbers one by one."""

    values: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many."""
        return len(self.values)

    def at(self, index: Index) -> Array:
        """Return the numbers at some places."""
        return np.asarray(np.array(self.values)[index])

    def to_dict(self) -> dict[str, Any]:
        """Return what they are."""
        return {"values": list(self.values)}


@dataclass(frozen=True, kw_only=True)
class Words:
    """Values that are no numbers, as a file would state them."""

    values: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many."""
        return len(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return what they are."""
        return {"values": list(self.values)}


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A key that varies.

    Attributes
    ----------
    field : Field
    values : Range, Numbers or Words
    """

    field: Field
    values: Range | Numbers | Words

    @property
    def name(self) -> str:
        """The dotted key: the name of its column."""
        return self.field.dotted

    @property
    def count(self) -> int:
        """How many values."""
        return self.values.count

    def numbers(self) -> Range | Numbers:
        """Return its values, which are numbers."""
        assert not isinstance(self.values, Words)
        return self.values

    def texts(self) -> tuple[str, ...]:
        """Return its values as a file would state them."""
        if isinstance(self.values, Words):
            return self.values.values
        return tuple(written(value, self.field) for value in self.values.at(np.arange(self.count)).tolist())

    def samples(self) -> tuple[str, ...]:
        """Return a low, a high and a middle value as a file would state them."""
        if isinstance(self.values, Words):
            return self.values.values[:1]
        places = np.array([0, self.count - 1, self.count // 2])
        return tuple(dict.fromkeys(written(value, self.field) for value in self.values.at(places).tolist()))

    def to_dict(self) -> dict[str, Any]:
        """Return what it is."""
        return {"key": self.name, "unit": self.field.unit, **self.values.to_dict()}


def written(value: float, field: Field) -> str:
    """Return a number as a scenario would state it, to the last bit."""
    return str(round(value)) if field.is_counted else repr(float(value))


def read_axes(assignments: Iterable[str], currency: Mapping[str, Any] | None = None) -> tuple[Axis, ...]:
    """Read what varies from text, such as ``"demand.requests=1e6:1e12:log:200"``.

    Parameters
    ----------
    assignments : iterable of str
    currency : mapping, optional
        Code and rate of the scenario's second currency.

    Raises
    ------
    InputError
        A key that does not exist or stands twice, words where numbers are needed, a number out of its bounds: every
        such mistake at once.

    >>> axes = read_axes(["law=sardana-2024,besiroglu-2024", "training.mfu=30%:60%:lin:4"])
    >>> [(axis.name, axis.count) for axis in axes]
    [('law', 2), ('training.mfu', 4)]
    """
    found: list[Axis] = []
    mistakes: list[str] = []
    for assignment in assignments:
        try:
            axis = _read_axis(assignment, currency)
        except InputError as error:
            mistakes += [f"--vary {line}" for line in str(error).splitlines()]
            continue
        if axis.name in [other.name for other in found]:
            mistakes.append(f"--vary {axis.name}: stands twice; keep one of them")
        found.append(axis)
    if mistakes:
        raise InputError("\n".join(mistakes))
    return tuple(found)


def _read_axis(assignment: str, currency: Mapping[str, Any] | None) -> Axis:
    key, equals, text = (part.strip() for part in assignment.partition("="))
    if not (key and equals and text):
        raise InputError(f"{cut(assignment)}: {HOW}")
    field = field_at(key)
    span = _RANGE.fullmatch(text)
    if span is not None and field.kind is None:
        raise InputError(f"{key}: holds words, which have no range; write {key}=a,b,c")
    if span is not None:
        return Axis(field=field, values=_read_range(field, span, currency))
    values = _split(text)
    repeated = [value for place, value in enumerate(values) if value in values[:place]]
    if repeated:
        raise InputError(f"{key}: {cut(repeated[0])} stands twice; keep one of them")
    if field.kind is None or any(value[:1] in "[{" for value in values):
        return Axis(field=field, values=Words(values=values))
    if ":" in text:
        raise InputError(f"{key}: '{cut(text)}' is no range; {HOW}")
    numbers = tuple(field.read(value, currency) for value in values)
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{key}: two of {cut(text)} are the same number; keep one of them")
    return Axis(field=field, values=Numbers(values=numbers))


def _read_range(field: Field, span: re.Match[str], currency: Mapping[str, Any] | None) -> Range | Numbers:
    low, high = (field.read(span[end].strip(), currency) for end in ("low", "high"))
    scale = span["scale"]
    if scale not in SCALES:
        raise InputError(f"{field.dotted}: steps are log or lin, not '{scale}'; {HOW}")
    try:
        count = parse_number(span["count"].strip())
    except InputError as error:
        raise InputError(f"{field.dotted}: {error}") from None
    if not (1 <= count <= _MOST and count == int(count)):
        raise InputError(f"{field.dotted}: {cut(span['count'])} values; give a whole number from 1 on, such as 50")
    if low == high and count > 1:
        raise InputError(f"{field.dotted}: both ends are {span['low']}; give two ends, or one value alone")
    if scale == "log" and low * high <= 0:
        raise InputError(
            f"{field.dotted}: no log steps from {span['low']} to {span['high']}; use lin, or start above 0"
        )
    values = Range(low=low, high=high, count=int(count), scale=scale)
    if not field.is_counted:
        return values
    if count > _SHORT:
        raise InputError(f"{field.dotted}: counts whole things; {count:g} values of it are more than {_SHORT:,}")
    whole = np.round(values.at(np.arange(int(count))))
    if len(np.unique(whole)) < whole.size:
        raise InputError(
            f"{field.dotted}: counts whole things, of which {span['low']} to {span['high']} has fewer than "
            f"{whole.size} at such steps; give {len(np.unique(whole))} values or a list"
        )
    return Numbers(values=tuple(whole.tolist()))


def _split(text: str) -> tuple[str, ...]:
    """Return values between commas that stand in no brackets."""
    values, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            values.append(text[start:place])
            start = place + 1
    found = tuple(value.strip() for value in (*values, text[start:]))
    if not all(found):
        raise InputError(f"{cut(text)}: a value is missing between commas; {HOW}")
    return found
