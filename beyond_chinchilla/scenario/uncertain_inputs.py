"""Distributions out of a scenario's text: each is read where it stands, and its median takes its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.document import Document, Keys
from beyond_chinchilla.scenario.kinds import Money
from beyond_chinchilla.scenario.numbers import Number, currency_of, distributions_in, reader_of, unit_of
from beyond_chinchilla.scenario.schema import ScenarioFile

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.uncertainty import UncertainInput

_PRICED = ("price", "price_path", "purchase", "commitment", "batch_price", "data_cost", "delay_cost", "buy")


def take_medians(document: Document) -> tuple[tuple[UncertainInput, ...], list[tuple[Keys, str]]]:
    """Put the median of every distribution in its place; return the distributions, and what is wrong by key.

    Parameters
    ----------
    document : Document
        Its tree is replaced by one with numbers alone.
    """
    document.tree = dict(document.tree)
    currency = currency_of(document.tree)
    inputs: list[UncertainInput] = []
    found: list[tuple[Keys, str]] = []
    for place in distributions_in(document.tree, ScenarioFile):
        # Until it is known to be sound, so that the rest can be checked.
        stated, place.holder[place.keys[-1]] = place.stated, place.kind.example
        from beyond_chinchilla.scenario.uncertainty import UncertainInput
        from beyond_chinchilla.stated_distributions import read_distribution  # not for who is certain

        try:
            reader = reader_of(place.kind, currency)
        except InputError as error:
            found.append((place.keys, str(error)))
            continue
        distribution, mistakes = read_distribution(stated, reader)
        found += [((*place.keys, *within), message) for within, message in mistakes]
        if distribution is not None:
            place.holder[place.keys[-1]] = distribution.median
            group = group_of(place.keys, place.kind)
            inputs.append(
                UncertainInput(keys=place.keys, group=group, distribution=distribution, unit=unit_of(place.kind))
            )
    return tuple(inputs), found


def group_of(keys: Keys, kind: Number) -> str:
    """Say in a word who would know a number."""
    section = str(keys[0])
    if section in ("training", "serving"):
        return "prices" if isinstance(kind, Money) or keys[1] in _PRICED else "utilisation"
    return "prices" if section == "buy" else section


def put_back(tree: Mapping[str, Any], inputs: Sequence[UncertainInput]) -> dict[str, Any]:
    """Return a tree with the distributions in the place of their medians, as the scenario stated them."""
    changed = dict(tree)
    for each in inputs:
        node: Any = changed
        for key in each.keys[:-1]:
            below = node[key]
            node[key] = list(below) if isinstance(below, (list, tuple)) else dict(below)
            node = node[key]
        node[each.keys[-1]] = each.distribution.to_dict()
    return changed
