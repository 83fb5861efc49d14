"""The kinds of values that a scenario holds: how each is read, checked and described to editors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from beyond_chinchilla.costs import hardware, models
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.units import parse_number, parse_quantity

_LONGEST_TEXT = 200
_PER_CENT = re.compile(r"\s*(%|per ?cent)\s*$")
# Beyond these no quantity of this world lies, and products of several overflow.
LEAST, MOST = 1e-18, 1e24


class Section(BaseModel):
    """A mapping of a scenario: unknown keys are refused, values never change."""

    # defer_build: a nested section is compiled once, as a part of the whole file; twice costs a cold start 40 ms.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(frozen=True)
class Kind:
    """A pydantic marker: reads a raw value with `read` and describes it with `schema`."""

    def read(self, value: Any) -> Any:
        raise NotImplementedError

    def schema(self) -> dict[str, Any]:
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.schema()


@dataclass(frozen=True)
class Quantity(Kind):
    """A number in `unit`: above zero, or from zero on.

    A bare number means `unit`; another unit of the same kind is converted.
    """

    unit: str
    description: str
    example: str
    zero: bool = False

    def read(self, value: Any) -> float:
        """Return the number in `unit`."""
        if value is None or isinstance(value, (dict, list, bool)):
            kind = f"a number in {self.unit}" if self.unit else "a number"
            raise InputError(f"expected {kind}, got {describe(value)}; write it like {self.example}")
        number = parse_quantity(value, self.unit) if self.unit else parse_number(value)
        if number < 0 or (number == 0 and not self.zero):
            bound = "zero or more" if self.zero else "above zero"
            raise InputError(f"{value} must be {bound}; write it like {self.example}")
        if number and not LEAST <= number <= MOST:
            raise InputError(f"{value} is not within {LEAST:g} to {MOST:g}; write it like {self.example}")
        return number

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema: a number, or text that starts like one."""
        least: dict[str, float] = {"minimum": 0} if self.zero else {"minimum": LEAST}
        number = {"type": "number", **least, "maximum": MOST}
        text = {"type": "string", "pattern": r"^\s*\$?[-+.0-9]"}
        return {"anyOf": [number, text], "description": self.description, "examples": [self.example]}


@dataclass(frozen=True)
class Share(Kind):
    """A share above 0 and at most 1, such as a utilisation."""

    description: str
    example: str

    def read(self, value: Any) -> float:
        """Return the share as a number from 0 to 1."""
        if value is None or isinstance(value, (dict, list, bool)):
            raise InputError(f"expected a share, got {describe(value)}; write it like {self.example}")
        number = parse_number(_PER_CENT.sub("%", value) if isinstance(value, str) else value)
        if not 0.0 < number <= 1.0:
            meant = f"{value}%" if str(value).strip().isdigit() and 1 < number <= 100 else self.example
            raise InputError(f"{value} must be above 0 and at most 100%; write it like {meant}")
        return number

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema: a number up to 1, or text that may end in a percent sign."""
        number = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
        text = {"type": "string", "pattern": r"^\s*\+?[.0-9]+([eE][-+]?[0-9]+)?\s*(%|per ?cent)?\s*$"}
        return {"anyOf": [number, text], "description": self.description, "examples": [self.example]}


@dataclass(frozen=True)
class Text(Kind):
    """A short text that is safe to print on a terminal."""

    description: str

    def read(self, value: Any) -> str:
        """Return the text on one line."""
        if value is None or isinstance(value, (dict, list, bool)):
            raise InputError(f"expected text, got {describe(value)}")
        text = " ".join(str(value).split())
        if not text.isprintable():
            raise InputError("holds control characters; use printable text")
        if not 0 < len(text) <= _LONGEST_TEXT:
            raise InputError(f"must have 1 to {_LONGEST_TEXT} characters, not {len(text)}")
        return text

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"type": "string", "minLength": 1, "maxLength": _LONGEST_TEXT, "description": self.description}


@dataclass(frozen=True)
class Choice(Kind):
    """One word out of several."""

    description: str
    values: tuple[str, ...]

    def read(self, value: Any) -> str:
        """Return the word."""
        if value not in self.values:
            raise InputError(f"{describe(value)} is not known here; {nearest(str(value), self.values)}")
        return str(value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"enum": list(self.values), "description": self.description}


@dataclass(frozen=True)
class Span(Kind):
    """Two numbers, the smaller first; nothing stays nothing."""

    description: str

    def read(self, value: Any) -> tuple[float, float] | None:
        """Return both ends."""
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise InputError(f"expected two numbers, got {describe(value)}; write it like [70M, 16B]")
        low, high = (parse_quantity(end, "") for end in value)
        if not 0 < low <= high:
            raise InputError(f"[{value[0]}, {value[1]}] must run from above zero upwards; write it like [70M, 16B]")
        return low, high

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        end = {"type": ["number", "string"]}
        return {"type": ["array", "null"], "items": end, "minItems": 2, "maxItems": 2, "description": self.description}


@dataclass(frozen=True)
class Name(Kind):
    """A name of one of the catalogues; its names are listed when the schema is asked for."""

    kind: str
    look_up: Callable[[str], object]
    names: Callable[[], list[str]]

    def read(self, value: Any) -> str:
        """Return the name, if the catalogue has it."""
        if not isinstance(value, str):
            raise InputError(f"expected the name of a {self.kind}, got {describe(value)}")
        self.look_up(value)
        return value

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema."""
        return {"enum": self.names()}


@dataclass(frozen=True)
class Chip(Kind):
    """A chip that the scenario writes out, whole or as changes to a base."""

    def read(self, value: Any) -> dict[str, Any]:
        """Return the row as it is written, if it makes a chip."""
        chip_of(value)
        return dict(value)

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema; `costs.hardware` checks the fields."""
        return {"type": "object"}


def chip_of(choice: str | dict[str, Any]) -> hardware.Accelerator:
    """Return the chip of a ``hardware:`` value: a name, a whole row, or ``{base: name, ...changes}``.

    Raises
    ------
    InputError
        What `costs.hardware` says of the name or row.
    """
    if isinstance(choice, str):
        return hardware.accelerator(choice)
    row = dict(choice)
    base = row.pop("base", None)
    name = str(row.pop("name", f"{base} (changed)" if base else "inline chip"))
    return hardware.accelerator_from_row(name, row, base=None if base is None else hardware.accelerator(str(base)))


HardwareName = Annotated[str, Name("chip", hardware.accelerator, hardware.names)]
ModelName = Annotated[str, Name("model", models.reference_model, models.names)]
LawName = Annotated[str, Name("law", catalogue.law, catalogue.names)]


def describe(value: Any) -> str:
    """Say what was found where something else was expected."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text if len(text) <= 40 else text[:37] + '...'}'"
