"""The kinds of values that demand and money over time need: money in a stated currency, months, counts, ratios."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, core_schema

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.fields import Kind, Quantity, describe
from beyond_chinchilla.units import parse_number, parse_quantity

MOST_HOURS = 366 * 24
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_COUNTED = re.compile(r"[1-9][0-9]{0,2}")
# Three capitals that stand alone are a currency, but for the unit "USD/GPU-hour" and the word "per".
_CODE = re.compile(r"(?<![A-Za-z])(?!USD|GPU|PER)[A-Z]{3}(?![A-Za-z])")
_PIECES = re.compile(r"\s*(?:GPUs?|gpus?|chips?)\s*$")
_PER_MILLION = re.compile(r"\s*(?:/|\bper\b)\s*(?:M|1M|million|mega)\s*-?\s*(?:tokens?|tok)\s*$", re.IGNORECASE)
_PER_CENT = re.compile(r"\s*(%|per ?cent)\s*$")


@dataclass(frozen=True)
class Money(Quantity):
    """An amount of money, in USD or in the currency that the file states; it is kept in USD."""

    def read_in(self, value: Any, currency: Mapping[str, Any] | None) -> float:
        """Return the amount in `unit`, which is in USD; `currency` has the ``code`` and how many are one USD.

        Raises
        ------
        InputError
            A third currency, or one in a file that states none.
        """
        found = _CODE.search(value) if isinstance(value, str) else None
        if found is None:
            return self.read(_without_tokens(value, self.unit))
        code = found[0]
        stated = None if currency is None else currency["code"]
        if stated is None:
            raise InputError(
                f"'{value}' is not in {self.unit}; write it like '{self.example}', or state its rate: "
                f"currency: {{code: {code}, per_usd: 0.86, date: 2026-11-01}}"
            )
        if code != stated:
            raise InputError(f"'{value}' is in {code}, but the file's currencies are USD and {stated}; use one of them")
        assert currency is not None
        in_dollars = value.replace(code, "USD", 1)
        return self.read(_without_tokens(in_dollars, self.unit)) / float(currency["per_usd"])

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any, info: ValidationInfo) -> float:
            return self.read_in(value, info.context)

        return core_schema.with_info_before_validator_function(read, handler(source))


def _without_tokens(value: Any, unit: str) -> Any:
    """Return a price per million tokens as a plain price: no unit registry knows that phrase."""
    return _PER_MILLION.sub("", value) if isinstance(value, str) and unit == "USD" else value


@dataclass(frozen=True)
class Ratio(Kind):
    """A plain number or a percentage within bounds."""

    description: str
    example: str
    least: float
    most: float

    def read(self, value: Any) -> float:
        """Return the number."""
        if value is None or isinstance(value, (dict, list, bool)):
            raise InputError(f"expected a number or a percentage, got {describe(value)}; write it like {self.example}")
        number = parse_number(_PER_CENT.sub("%", value) if isinstance(value, str) else value)
        if not self.least <= number <= self.most:
            raise InputError(f"{value} is not within {self._bounds()}; write it like {self.example}")
        return number

    def _bounds(self) -> str:
        if "%" in self.example:
            return f"{self.least * 100:g}% to {self.most * 100:g}%"
        return f"{self.least:g} to {self.most:g}"

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema: a number within the bounds, or text that may end in a percent sign."""
        number = {"type": "number", "minimum": self.least, "maximum": self.most}
        text = {"type": "string", "pattern": r"^\s*[-+]?[.0-9]+([eE][-+]?[0-9]+)?\s*(%|per ?cent)?\s*$"}
        return {"anyOf": [number, text], "description": self.description, "examples": [self.example]}


@dataclass(frozen=True)
class Count(Kind):
    """A whole number of things from `least` on; ``unit`` is that of a time, or empty for chips."""

    description: str
    example: str
    unit: str = ""
    least: int = 1
    most: int = 10_000_000

    def read(self, value: Any) -> int:
        """Return the number."""
        if value is None or isinstance(value, (dict, list, bool)):
            raise InputError(f"expected a whole number, got {describe(value)}; write it like {self.example}")
        bare = _PIECES.sub("", value) if isinstance(value, str) else value
        number = parse_quantity(bare, self.unit) if self.unit else parse_number(bare)
        # Years are whole months, up to the rounding of 365.25 days / 12.
        whole = round(number) if abs(number) < 1e15 else 0
        if abs(number - whole) > 1e-9 * max(1.0, abs(number)) or not self.least <= whole <= self.most:
            raise InputError(
                f"{value} must be a whole number from {self.least:,} to {self.most:,}; write it like {self.example}"
            )
        return whole

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema: a whole number, or text that starts like one."""
        number = {"type": "integer", "minimum": self.least, "maximum": self.most}
        text = {"type": "string", "pattern": r"^\s*[+.0-9]"}
        return {"anyOf": [number, text], "description": self.description, "examples": [self.example]}


@dataclass(frozen=True)
class Month(Kind):
    """A calendar month, ``2027-01``; where `counted` also a number, from launch on."""

    description: str
    counted: bool = False

    def read(self, value: Any) -> str:
        """Return the month as it is written."""
        text = str(value).strip()
        if self.counted and _COUNTED.fullmatch(text) and not isinstance(value, bool):
            return text
        if isinstance(value, bool) or not _MONTH.fullmatch(text):
            raise InputError(f"{describe(value)} is not a month; write it like 2027-01")
        return text

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        calendar = {"type": "string", "pattern": f"^{_MONTH.pattern}$"}
        if not self.counted:
            return {**calendar, "description": self.description}
        number = {"type": "integer", "minimum": 1, "maximum": 999}
        text = {"type": "string", "pattern": f"^{_COUNTED.pattern}$"}
        return {"anyOf": [calendar, number, text], "description": self.description}


@dataclass(frozen=True)
class Day(Kind):
    """A calendar day, ``2026-11-01``."""

    description: str

    def read(self, value: Any) -> str:
        """Return the day as it is written."""
        # Whoever builds a scenario out of another YAML reader holds a date.
        text = str(value).strip()
        if not re.fullmatch(_MONTH.pattern + r"-(0[1-9]|[12]\d|3[01])", text):
            raise InputError(f"{describe(value)} is not a day; write it like 2026-11-01")
        return text

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        pattern = f"^{_MONTH.pattern}-(0[1-9]|[12][0-9]|3[01])$"
        return {"type": "string", "pattern": pattern, "description": self.description}


@dataclass(frozen=True)
class Hours(Kind):
    """The load of each hour of a day or week, or of other equal periods, in any unit."""

    description: str

    def read(self, value: Any) -> tuple[float, ...]:
        """Return the loads."""
        if not isinstance(value, (list, tuple)):
            raise InputError(f"expected 24 numbers, or 168, got {describe(value)}")
        if not 2 <= len(value) <= MOST_HOURS:
            raise InputError(f"expected 24 numbers, or 168, got {len(value)}")
        loads = tuple(parse_number(load) for load in value)
        if min(loads) < 0 or not max(loads) > 0:
            raise InputError("the load of an hour must be zero or more, and that of one hour above zero")
        return loads

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        load = {"type": ["number", "string"]}
        return {"type": "array", "items": load, "minItems": 2, "maxItems": MOST_HOURS, "description": self.description}


@dataclass(frozen=True)
class Pair(Kind):
    """Two keys of the scenario, each with dots: ``demand.requests``."""

    description: str

    def read(self, value: Any) -> tuple[str, ...]:
        """Return both keys."""
        if not isinstance(value, (list, tuple)) or len(value) != 2 or not all(isinstance(key, str) for key in value):
            raise InputError(
                f"expected two keys, got {describe(value)}; write it like [demand.requests, training.price]"
            )
        return tuple(key.strip() for key in value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        key = {"type": "string"}
        return {"type": "array", "items": key, "minItems": 2, "maxItems": 2, "description": self.description}
