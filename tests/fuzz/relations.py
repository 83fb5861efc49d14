"""Two scenarios of which something is known: what means nothing changes nothing, what is cheaper costs no more."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mutations
import scenario_targets
import yaml

Tree = dict[str, Any]
Relation = Callable[[random.Random], tuple[str, str] | None]

# A plan is found to so much of itself, and whole replicas are rounded up after it is chosen.
_SLACK = 1e-9
FILES = ("s.yaml", "other.yaml")
_PRICES = frozenset(("price", "prices", "batch_price", "purchase", "data_cost"))
_PRICED = frozenset(("capex", "electricity", "price", "batch_price", "data_cost"))
_DEMANDS = frozenset(("requests", "requests_per_month", "requests_per_day", "tokens", "users"))


def _tree(rng: random.Random) -> Tree:
    return mutations.plausible(rng.choice(scenario_targets.trees()), scenario_targets.trees(), rng)


def _text(tree: Tree) -> str:
    return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)


def same(rng: random.Random) -> tuple[str, str] | None:
    """Return a scenario, and the same with its keys in another order, comments, and other ways to write texts."""
    tree = _tree(rng)
    flow = rng.choice((True, False))
    text = yaml.safe_dump(_shuffled(tree, rng), allow_unicode=True, sort_keys=False, default_flow_style=flow, width=1e4)
    return _text(tree), "# first\n" + text.replace("\n", "\n# nothing\n")


def _shuffled(tree: Any, rng: random.Random) -> Any:
    if isinstance(tree, dict):
        keys = list(tree)
        rng.shuffle(keys)
        return {key: _shuffled(tree[key], rng) for key in keys}
    return [_shuffled(each, rng) for each in tree] if isinstance(tree, list) else tree


def cheaper(rng: random.Random) -> tuple[str, str] | None:
    """Return a scenario, and the same with one price or all of them lower."""
    tree = _tree(rng)
    other = copy.deepcopy(tree)
    found = [(at, key) for at, key in mutations.places(other, _PRICES) if key in _PRICED or at is not other]
    found = [(at, key) for at, key in found if key not in ("years", "rate", "availability", "power")]
    if not found:
        return None
    chosen = found if rng.random() < 0.5 else [rng.choice(found)]
    factor = rng.uniform(0.3, 0.99)
    for holder, key in {(id(at), key): (at, key) for at, key in chosen}.values():
        mutations.scale(holder, key, factor)
    return _text(tree), _text(other)


def looser(rng: random.Random) -> tuple[str, str] | None:
    """Return a scenario with a limit, and the same with that limit further out."""
    tree = _tree(rng)
    limits = dict(tree.get("limits") or {})
    name, bound = rng.choice((("params", 10 ** rng.uniform(9, 11.5)), ("tokens", 10 ** rng.uniform(11.5, 14))))
    if name not in limits:
        limits[name] = {"max": bound}
    name = rng.choice([key for key, limit in limits.items() if isinstance(limit, dict) and {"max", "min"} & set(limit)])
    other = copy.deepcopy(limits)
    side = rng.choice([side for side in ("max", "min") if side in limits[name]])
    mutations.scale(other[name], side, rng.uniform(1.0, 3.0) ** (1 if side == "max" else -1))
    return _text({**tree, "limits": limits}), _text({**tree, "limits": other})


def less(rng: random.Random) -> tuple[str, str] | None:
    """Return a scenario, and the same with less demand."""
    tree = _tree(rng)
    other = copy.deepcopy(tree)
    found = [(at, key) for at, key in mutations.places(other.get("demand"), _DEMANDS) if key in _DEMANDS]
    if not found:
        return None
    mutations.scale(*found[0], rng.uniform(0.2, 0.99))
    return _text(tree), _text(other)


def easier(rng: random.Random) -> tuple[str, str] | None:
    """Return a scenario, and the same asked for the quality of a smaller model."""
    tree = _tree(rng)
    other = copy.deepcopy(tree)
    if "chinchilla" not in other.get("target", {}):
        return None
    mutations.scale(other["target"], "chinchilla", rng.uniform(0.3, 0.99))
    return _text(tree), _text(other)


RELATIONS: dict[str, Relation] = {"same": same, "cheaper": cheaper, "looser": looser, "less": less, "easier": easier}


def write(name: str, folder: Path, rng: random.Random) -> None:
    """Write the two scenarios of a relation."""
    pair = None
    while pair is None:
        pair = RELATIONS[name](rng)
    for file, text in zip(FILES, pair, strict=True):
        (folder / file).write_text(text, encoding="utf-8")


def broken(name: str, first: tuple[int, str], second: tuple[int, str]) -> str:
    """Return how two outcomes, of exit code and JSON each, break their relation; nothing where they keep it."""
    if name == "same":
        return "" if first == second else f"the same scenario, another answer: {_difference(first, second)}"
    if first[0] == 2 or second[0] == 2 or first[0] == 1:
        # Half a limit may exclude another one, and what has no plan may have none at any price.
        return ""
    if second[0] == 1:
        return f"{name}: a plan is lost"
    before, after = json.loads(first[1]), json.loads(second[1])
    worse = _worth(after) - _worth(before)
    slack = _SLACK * abs(_worth(before)) + _rounding(before) + _rounding(after)
    return f"{name}: {_worth(before)} becomes {_worth(after)}" if worse > slack else ""


def _worth(plan: Mapping[str, Any]) -> float:
    return float(plan["plan"]["loss" if plan.get("objective") == "loss" else "total"])


def _rounding(plan: Mapping[str, Any]) -> float:
    if plan.get("objective") == "loss":
        return 0.0
    rounded = sum(term["value"] for term in plan["plan"]["terms"] if term["label"] == "rounding")
    return float(rounded)


def _difference(first: tuple[int, str], second: tuple[int, str]) -> str:
    lines = zip(first[1].splitlines(), second[1].splitlines(), strict=False)
    return next((f"{a.strip()} | {b.strip()}" for a, b in lines if a != b), f"{first[0]} | {second[0]}")[:300]
