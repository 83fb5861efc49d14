"""A key of a scenario by its dotted name: whether the schema has it, and how it reads a number there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from beyond_chinchilla.errors import InputError, cut, nearest
from beyond_chinchilla.scenario.document import Keys
from beyond_chinchilla.scenario.fields import Section
from beyond_chinchilla.scenario.kinds import Count, Money
from beyond_chinchilla.scenario.numbers import Number, is_of, slots_of, unit_of
from beyond_chinchilla.scenario.schema import ScenarioFile

# What a page shows beside a plan, and what tells how sure it is: none of it moves the plan.
IDLE = ("name", "compare", "energy", "buy", "currency", "uncertainty")


@dataclass(frozen=True, kw_only=True)
class Field:
    """A key of the schema.

    Attributes
    ----------
    keys : tuple of str or int
    kind : Quantity, Share, Ratio, Count or None
        How it reads numbers; None where words or sections stand.
    """

    keys: Keys
    kind: Number | None

    @property
    def dotted(self) -> str:
        """Its name: ``demand.requests``."""
        return ".".join(str(key) for key in self.keys)

    @property
    def unit(self) -> str:
        """Of its numbers as they are kept: "" for shares and counts."""
        unit = "" if self.kind is None or isinstance(self.kind, Count) else unit_of(self.kind)
        return "" if unit == "%" else unit

    @property
    def description(self) -> str:
        """What it means."""
        return "" if self.kind is None else self.kind.description

    @property
    def is_counted(self) -> bool:
        """Whether only whole numbers may stand there."""
        return isinstance(self.kind, Count)

    def read(self, value: Any, currency: Mapping[str, Any] | None = None) -> float:
        """Return a number in `unit`, as the schema reads it; `currency` as `numbers.currency_of` returns it.

        Raises
        ------
        InputError
            No number, or out of bounds.

        >>> field_at("serving.decode_mfu").read("5%")
        0.05
        """
        if self.kind is None:
            raise InputError(f"{self.dotted}: holds words, not numbers")
        try:
            return float(self.kind.read_in(value, currency) if isinstance(self.kind, Money) else self.kind.read(value))
        except InputError as error:
            raise InputError(f"{self.dotted}: {error}") from None


def field_at(dotted: str) -> Field:
    """Return the key of a dotted name.

    Raises
    ------
    InputError
        The schema has no such key, or one that moves no plan; the message names the nearest.
    """
    keys: list[str | int] = []
    slots: list[tuple[Any, tuple[Any, ...]]] = [(ScenarioFile, ())]
    for part in dotted.split("."):
        below: list[tuple[Any, tuple[Any, ...]]] = []
        known: list[str] = []
        key: str | int = part
        for annotation, _ in slots:
            if isinstance(annotation, type) and issubclass(annotation, Section):
                known += annotation.model_fields
                if part in annotation.model_fields:
                    field = annotation.model_fields[part]
                    below += slots_of(field.annotation, tuple(field.metadata))
            elif is_of(annotation, dict):
                below += slots_of(get_args(annotation)[1])
            elif is_of(annotation, tuple) and part.isdecimal():
                key = int(part)
                below += slots_of(get_args(annotation)[0])
        if not below:
            here = [".".join(map(str, (*keys, name))) for name in dict.fromkeys(known)]
            asked = ".".join(map(str, (*keys, part)))
            way_out = nearest(asked, here) if here else "it stands below a number or a word"
            raise InputError(f"{cut(dotted)}: no such key in a scenario; {way_out}")
        keys.append(key)
        slots = below
    if keys[0] in IDLE:
        raise InputError(f"{dotted}: moves no plan; vary demand, prices, limits, the target or the law")
    kinds = [mark for _, markers in slots for mark in markers if isinstance(mark, Number)]
    return Field(keys=tuple(keys), kind=kinds[0] if kinds else None)
