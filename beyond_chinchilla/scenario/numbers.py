"""Where a scenario holds a number, and how it is read there: the schema's own readers, found by walking the tree."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.document import Keys
from beyond_chinchilla.scenario.fields import LEAST, MOST, Quantity, Section, Share
from beyond_chinchilla.scenario.kinds import Count, Money, Ratio
from beyond_chinchilla.units import parse_number

if TYPE_CHECKING:
    from beyond_chinchilla.stated_distributions import Reader

Number = Quantity | Share | Ratio | Count

# Amounts are read at the rate of the file, rules are no forecasts, a shape is chosen, so is how much is thought, and
# the stock of data is counted.
_NEVER = ("currency", "uncertainty", "shape", "thinking", "data")


@dataclass(frozen=True)
class Place:
    """A key of a scenario that holds a number, and a mapping stands there.

    Attributes
    ----------
    keys : tuple
    kind : Quantity, Share, Ratio or Count
    holder : dict or list
        What holds it; ``holder[keys[-1]]`` is the mapping.
    """

    keys: Keys
    kind: Number
    holder: Any

    @property
    def stated(self) -> Mapping[str, Any]:
        """What stands there."""
        stated: Mapping[str, Any] = self.holder[self.keys[-1]]
        return stated


def distributions_in(tree: dict[str, Any], model: type[Section]) -> Iterator[Place]:
    """Find the mappings that stand where the schema expects a number; what holds them is copied first."""
    for key, field in model.model_fields.items():
        if key in tree and key not in _NEVER:
            yield from _search(tree, key, (key,), slots_of(field.annotation, tuple(field.metadata)))


# An annotation with the markers that stand around it.
_Slot = tuple[Any, tuple[Any, ...]]


def slots_of(annotation: Any, markers: tuple[Any, ...] = ()) -> list[_Slot]:
    """Return the alternatives of an annotation."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *around = get_args(annotation)
        return slots_of(inner, (*markers, *around))
    if origin in (Union, types.UnionType):
        return [slot for part in get_args(annotation) for slot in slots_of(part)]
    return [(annotation, markers)]


def _search(holder: Any, key: Any, keys: Keys, slots: list[_Slot]) -> Iterator[Place]:
    value = holder[key]
    if not isinstance(value, (dict, list, tuple)) or not value:
        return
    kinds = [mark for _, markers in slots for mark in markers if isinstance(mark, Number)]
    if kinds and isinstance(value, dict):
        from beyond_chinchilla.stated_distributions import is_distribution  # not for who is certain

        if is_distribution(value):
            yield Place(keys, kinds[0], holder)
            return
    # An alias may share this mapping with another place: change a copy.
    value = holder[key] = dict(value) if isinstance(value, dict) else list(value)
    for annotation, _ in slots:
        if isinstance(annotation, type) and issubclass(annotation, Section) and isinstance(value, dict):
            for name, field in annotation.model_fields.items():
                if name in value:
                    yield from _search(value, name, (*keys, name), slots_of(field.annotation, tuple(field.metadata)))
        elif is_of(annotation, dict) and isinstance(value, dict):
            for name in list(value):
                yield from _search(value, name, (*keys, name), slots_of(get_args(annotation)[1]))
        elif is_of(annotation, tuple) and isinstance(value, list):
            for index in range(len(value)):
                yield from _search(value, index, (*keys, index), slots_of(get_args(annotation)[0]))


def is_of(annotation: Any, kind: type) -> bool:
    """Say whether an annotation is ``kind[...]``."""
    origin: Any = get_origin(annotation)
    return origin is kind


def reader_of(kind: Number, currency: Mapping[str, Any] | None) -> Reader:
    """Return how a field's numbers are read, in the file's currencies.

    Raises
    ------
    InputError
        A whole number, which no distribution here makes.
    """
    from beyond_chinchilla.stated_distributions import Reader

    if isinstance(kind, Count):
        raise InputError(f"is a whole number, which takes no distribution; write it like {kind.example}")
    if isinstance(kind, Money):
        money = kind

        def read(value: Any) -> float:
            return money.read_in(value, currency)

        return Reader(number=read, spread=lambda value: read(_no_share(value, kind)), low=_floor(kind), high=MOST)
    if isinstance(kind, Quantity):
        quantity = kind
        return Reader(
            number=quantity.read,
            spread=lambda value: quantity.read(_no_share(value, quantity)),
            low=_floor(kind),
            high=MOST,
        )
    if isinstance(kind, Share):
        return Reader(number=kind.read, spread=kind.read, low=LEAST, high=1.0)
    wide = replace(kind, least=0.0, most=kind.most - kind.least)
    return Reader(number=kind.read, spread=wide.read, low=kind.least, high=kind.most)


def _floor(kind: Quantity) -> float:
    return 0.0 if kind.zero else LEAST


def _no_share(value: Any, kind: Quantity) -> Any:
    """Refuse a spread in per cent: of the mean is meant, and of one would be read."""
    if isinstance(value, str) and "%" in value:
        unit = f" {kind.unit}" if kind.unit else ""
        share = parse_number(value) if value.strip().endswith("%") else 0.1
        raise InputError(f"{value} of what? write it as the numbers here, such as sd: {share:g}{unit}")
    return value


def currency_of(tree: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the code and the rate of a file's second currency, as far as they can be read.

    Amounts are read before anything is known to be sound; a wrong rate is a mistake of its own.
    """
    stated = tree.get("currency")
    if not isinstance(stated, dict) or not isinstance(stated.get("code"), str):
        return None
    try:
        rate = parse_number(stated.get("per_usd", 1.0))
    except InputError:
        rate = 1.0
    return {"code": stated["code"], "per_usd": rate if rate > 0 else 1.0}


def unit_of(kind: Number) -> str:
    """Return what a number is in, for people: ``%`` for a share."""
    if isinstance(kind, Quantity):
        return kind.unit
    return "%" if isinstance(kind, Share) or "%" in kind.example else ""
