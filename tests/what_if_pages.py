"""Scenarios whose pages are played with, and random positions of their sliders."""

from __future__ import annotations

import math
import random
from typing import Any

from trees import COST, changed

from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.report.html import page, what_if
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.scenario.load import Scenario

_LIMITS = {
    "params": {"max": "40B"},
    "tokens": {"max": "8T"},
    "training_cost": {"max": "3M"},
    "serving_cost": {"max": "1M"},
    "total_cost": {"max": "5M"},
    "training_time": {"max": "90 days", "gpus": 512},
    "serving_memory": {"max": "14 GB"},
    "tokens_per_param": {"min": 20, "max": 400},
}
_DATA = {"training__data_cost": 0.5, "training__development": "20%", "training__goodput": "90%"}
_LAW = {"E": 1.5, "A": 300, "alpha": 0.3, "B": 900, "beta": 0.33, "power": 0.9}
# Every kind of bill, limit, law and target that a page can play with.
TREES: dict[str, dict[str, Any]] = {
    "plain": COST,
    "eight limits": changed(COST, limits=_LIMITS),
    "data and reasoning": changed(COST, **_DATA, demand__reasoning_tokens=400, demand__cached_share="30%"),
    "size fixed": changed(COST, training__data_cost=0.5, limits={"params": {"min": "10B", "max": "10B"}}),
    "two floors": changed(
        COST,
        limits={
            "params": {"min": "20B"},
            "tokens": {"min": "2T"},
            "cost_per_million_output_tokens": {"max": 8},
        },
    ),
    "own law, a model's quality, list price": changed(
        COST,
        law=_LAW,
        target={"model": {"params": "7B", "tokens": "2T"}},
        training__price=None,
        limits={"tokens_per_param": {"max": 60}, "training_gpu_hours": {"max": 3e6}},
    ),
    "uncertain": changed(
        COST,
        law={"one_of": [{"law": "sardana-2024", "weight": 2}, {"law": "hoffmann-2022"}]},
        demand__requests={"median": "1B", "p90": "4B"},
        serving__decode_mfu={"median": "1%", "p90": "2%"},
    ),
    "FLOPs": {
        "name": "FLOPs",
        "law": "besiroglu-2024",
        "target": {"model": "llama-2-7b"},
        "demand": {"tokens": "2T"},
        "objective": "flops",
        "limits": {"training_flops": {"max": 3e23}},
    },
}


def page_of(scenario: Scenario, monkeypatch: Any = None) -> str:
    """Return a scenario's page; with `monkeypatch` without its plots, which take most of the time."""
    if monkeypatch is not None:
        monkeypatch.setattr(page, "images", lambda _: ())
        return _rendered(scenario)
    key = repr(scenario.to_dict())
    if key not in _PAGES:
        _PAGES[key] = _rendered(scenario)
    return _PAGES[key]


# Pages with plots, by what their scenario says: each is drawn once.
_PAGES: dict[str, str] = {}


def _rendered(scenario: Scenario) -> str:
    return page.render(Subject(scenario=scenario, problem=scenario.to_problem(), plan=solve(scenario)))


def positions(scenario: Scenario, count: int, seed: int) -> list[dict[str, Any]]:
    """Return random states of a scenario's page: a law, a target, and a value of each slider, often its own."""
    model, rng = what_if.model_of(scenario, scenario.to_problem()), random.Random(seed)
    laws = [law["key"] for law in model["laws"]]
    target, found = model["target"], []
    for _ in range(count):
        state: dict[str, Any] = {
            "law": rng.choice(laws) if rng.random() < 0.5 else laws[0],
            "target": rng.choice([target["way"], "chinchilla", "chinchilla", "loss"]),
            "target.chinchilla": target["chinchilla"] * math.exp(rng.uniform(-1.2, 1.2)),
            "target.loss": target["loss"] + rng.uniform(-0.1, 0.4),
        }
        for slider in model["sliders"]:
            low, high = (math.log(slider[end] / slider["value"]) for end in ("low", "high"))
            drawn = slider["value"] * math.exp(0.6 * rng.uniform(low, high))
            state[slider["key"]] = slider["value"] if rng.random() < 0.4 else min(drawn, slider["most"])
        found.append(state)
    return found
