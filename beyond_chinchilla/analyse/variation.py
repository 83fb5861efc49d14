"""A scenario with some values changed, by their place in the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.scenario.document import Keys
from beyond_chinchilla.scenario.fields import Section
from beyond_chinchilla.scenario.load import Scenario

# The whole demand, however it is stated: not a key of the file, but the one that everybody means.
DEMAND = "demand"
# Where numbers say nothing of what is asked.
_ASIDE = {"uncertainty", "compare", "one_of"}


def value_at(scenario: Scenario, keys: Keys) -> Any:
    """Return what a scenario says at a place, in the units of its reference; None where it says nothing.

    >>> scenario = Scenario.from_dict({"law": "sardana-2024", "target": {"chinchilla": "13B"},
    ...                                "demand": {"tokens": "2T"}, "objective": "flops"})
    >>> value_at(scenario, ("target", "chinchilla"))
    13000000000.0
    """
    found: Any = scenario.file
    for key in keys:
        if isinstance(found, Section):
            found = getattr(found, str(key), None)
        elif isinstance(found, Mapping):
            found = found.get(key)
        elif isinstance(found, tuple) and isinstance(key, int) and key < len(found):
            found = found[key]
        else:
            return None
    return found


def certain(scenario: Scenario) -> Scenario:
    """Return the scenario with the median of every uncertain number in its place."""
    return replace(scenario, file=scenario.file.model_copy(update={"uncertainty": None}), uncertain=())


def changed(scenario: Scenario, edits: Mapping[Keys, Any]) -> Scenario:
    """Return the scenario with other values at some places, checked as a file would be.

    What is uncertain counts as its median: one number more or less would break what is said of their correlation.

    Raises
    ------
    ScenarioError
        A value cannot stand there.
    """
    tree = certain(scenario).to_dict()
    for keys, value in edits.items():
        node: Any = tree
        for key in keys[:-1]:
            # What the scenario holds is not ours to change.
            node[key] = _copied(node, key)
            node = node[key]
        node[keys[-1]] = value
    return Scenario.from_dict(tree)


def _copied(node: Any, key: str | int) -> Any:
    """Return a copy of the mapping or list at a key; an empty mapping where there is none."""
    if isinstance(node, dict) and key not in node:
        return {}
    below = node[key]
    return list(below) if isinstance(below, (list, tuple)) else dict(below)


def unrounded(candidate: Candidate) -> float:
    """Return a bill before GPUs are rounded up: whole ones move in steps that hide what a value does."""
    return candidate.total - candidate.terms.get("rounding", 0.0)


def numeric_key(scenario: Scenario, dotted: str) -> Keys:
    """Return the place of a number that a scenario states, from its dotted name.

    Raises
    ------
    InputError
        There is no such number above zero; the message names the nearest.

    >>> scenario = Scenario.from_dict({"law": "sardana-2024", "target": {"chinchilla": "13B"},
    ...                                "demand": {"tokens": "2T"}, "objective": "flops"})
    >>> numeric_key(scenario, "target.chinchilla")
    ('target', 'chinchilla')
    """
    keys = tuple(int(part) if part.isdecimal() else part for part in dotted.split("."))
    found = value_at(scenario, keys)
    number = isinstance(found, (int, float)) and not isinstance(found, bool) and found > 0
    if not number or _ASIDE & set(keys):
        known = [DEMAND, *_numbers(scenario.file.model_dump(exclude_none=True, exclude_unset=True))]
        raise InputError(f"{dotted}: no number above zero that {scenario.name} states; {nearest(dotted, known)}")
    return keys


def scaled(scenario: Scenario, key: str, factor: float) -> Scenario:
    """Return the scenario with `factor` times the demand, or times the number at a dotted key; the rest at medians.

    Raises
    ------
    InputError
        No such number, or one that cannot stand there.
    """
    if key == DEMAND:
        return certain(scenario).scaled(factor)
    keys = numeric_key(scenario, key)
    value = value_at(scenario, keys)
    times = factor * value
    return changed(scenario, {keys: max(round(times), 1) if isinstance(value, int) else times})


def _numbers(tree: Any, place: str = "") -> list[str]:
    """Return the dotted names of all numbers above zero."""
    if isinstance(tree, Mapping):
        return [
            name
            for key, item in tree.items()
            if key not in _ASIDE
            for name in _numbers(item, f"{place}.{key}" if place else str(key))
        ]
    if isinstance(tree, (list, tuple)):
        return [name for index, item in enumerate(tree) for name in _numbers(item, f"{place}.{index}")]
    number = isinstance(tree, (int, float)) and not isinstance(tree, bool) and tree > 0 and math.isfinite(tree)
    return [place] if number else []
