"""Scenarios with something wrong in them: in the tree, in the text, in an override, in a file that they name."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import mutations
import yaml

ROOT = Path(__file__).parent.parent.parent

# What is asked of a scenario, beside the bare page; the cheap questions more often.
_ASKED: tuple[tuple[str, ...], ...] = (
    *((), (), ()),
    *(("--format", "json"), ("--format", "json"), ("--format", "json")),
    *(("--format", "csv"), ("--format", "markdown"), ("-o", "plan.json"), ("-o", "plan.md"), ("-o", "plan.csv")),
    *(("-o", "plan.xlsx"), ("-o", "plan.parquet"), ("--verify", "--format", "json")),
    *(("--break-even", "--format", "json"), ("--realise", "--format", "json"), ("--realise", "--format", "markdown")),
)
# What is asked of it by other commands.
_COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("capacity", "--format", "json"), ("capacity", "--format", "csv"), ("capacity",)),
    *(("frontier", "--over", over, "--points", "3", "--format", "json") for over in ("target", "demand", "budget")),
    *(("regret", "--points", "3", "--format", "json"), ("regret", "--points", "2", "--format", "csv")),
    ("sweep", "--vary", "demand.requests=1e8:1e10:log:5", "-o", "sweep.csv"),
)
_RISK = ("--risk", "--samples", "32", "--format", "json")


@cache
def scenarios() -> dict[str, str]:
    """Return the shipped scenarios' text by their files' names."""
    return {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "scenarios").glob("*.yaml"))}


@cache
def trees() -> list[Any]:
    """Return the shipped scenarios as trees."""
    return [yaml.safe_load(text) for text in scenarios().values()]


def write(folder: Path, tree: Any, name: str = "s.yaml") -> None:
    """Write a tree as a scenario."""
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")


def _asked(rng: random.Random, tree: Any = None) -> list[str]:
    if rng.random() < 0.2:
        command, *options = rng.choice(_COMMANDS)
        return [command, "s.yaml", *options]
    demand = tree.get("demand") if isinstance(tree, dict) else None
    if isinstance(demand, dict) and "requests" in demand and rng.random() < 0.05:
        return ["s.yaml", *_RISK]
    return ["s.yaml", *rng.choice(_ASKED)]


def damaged(folder: Path, rng: random.Random) -> list[str]:
    """Write a scenario whose tree is wrong somewhere."""
    tree = mutations.trees(rng.choice(trees()), trees(), rng)
    write(folder, tree)
    return _asked(rng, tree)


def plausible(folder: Path, rng: random.Random) -> list[str]:
    """Write a scenario that could be somebody's: numbers moved, sections of others taken over."""
    tree = mutations.plausible(rng.choice(trees()), trees(), rng)
    write(folder, tree)
    return _asked(rng, tree)


def damaged_text(folder: Path, rng: random.Random) -> list[str]:
    """Write a scenario whose text is wrong somewhere."""
    text = mutations.texts(rng.choice(list(scenarios().values())), rng)
    (folder / "s.yaml").write_text(text, encoding="utf-8", errors="surrogatepass")
    return _asked(rng)


def overrides(folder: Path, rng: random.Random) -> list[str]:
    """Take a sound scenario, and override any of its keys, or none of them, with what is odd."""
    name = rng.choice(list(scenarios()))
    (folder / "s.yaml").write_text(scenarios()[name], encoding="utf-8")
    keys = [*mutations.paths(yaml.safe_load(scenarios()[name])), "limits.params.max", "", "a.b.c", "name.x", "0"]
    pairs = [f"{rng.choice(keys)}={rng.choice(mutations.ODD)}" for _ in range(rng.choice((1, 1, 2)))]
    return ["s.yaml", *(part for pair in pairs for part in ("--set", pair.replace("\x00", "0")))]


_LAW = {"name": "fit", "E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283, "form": "chinchilla"}
_COVARIANCE = {"values": [[1e-4 if i == j else 0.0 for j in range(5)] for i in range(5)]}
# Files that a fit could have written, and scenarios that name them.
_FITTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "law": (
        {
            "law": _LAW,
            "verdict": {"word": "good"},
            "bootstrap": {"covariance": _COVARIANCE, "parameters": [[6, 6, 0.5, 0.3, 0.3]]},
        },
        {"law": "fitted.json"},
    ),
    "suite": (
        {"suite": {"name": "s", "epsilon": 0.9, "k": 2.0, "gamma": 0.8}, "verdict": {"word": "good"}},
        {"target": {"score": "50%", "suite": "fitted.json"}},
    ),
    "thinking": (
        {"thinking": {"G": 0.02, "g": 0.3, "name": "own"}, "law": _LAW, "verdict": {"word": "good"}},
        {"thinking": {"file": "fitted.json", "samples": {"max": 64}}, "serving": {"prefill_mfu": "50%"}},
    ),
    "repetition": (
        {"repetition": {"R_N": 5.31, "R_D": 15.39, "name": "own"}, "verdict": {"word": "good"}},
        {"data": {"unique_tokens": "200B", "repetition": "fitted.json"}},
    ),
}


def fitted(folder: Path, rng: random.Random) -> list[str]:
    """Write what a fit could have written, wrong somewhere, and a scenario that names it."""
    tree, named = _FITTED[rng.choice(list(_FITTED))]
    found = mutations.trees(tree, [tree, *trees()], rng)
    text = json.dumps(found)
    (folder / "fitted.json").write_text(mutations.texts(text, rng) if rng.random() < 0.3 else text, encoding="utf-8")
    write(
        folder,
        {"law": "sardana-2024", "target": {"chinchilla": "13B"}, "demand": {"tokens": "2T"}, "objective": "flops"}
        | named,
    )
    return ["s.yaml", *rng.choice(((), ("--format", "json"), ("--risk", "--samples", "32", "--format", "json")))]
