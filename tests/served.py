"""Scenarios by month that several test files share: small enough to be solved in a tenth of a second."""

from __future__ import annotations

import functools
from typing import Any

import beyond_chinchilla as bc

CHIP = {"hardware": "h100-sxm", "precision": "bf16", "price": 2.5}
DEMAND = {
    "requests_per_month": "400M",
    "growth_per_month": "5%",
    "months": 12,
    "input_tokens": 900,
    "output_tokens": 220,
    "cached_share": "30%",
    "peak_to_mean": 2.5,
}


def tree(**changes: Any) -> dict[str, Any]:
    """Return a scenario of co-design on one chip, as a file holds it; a section is merged, None drops a key."""
    found: dict[str, Any] = {
        "name": "served",
        "law": "sardana-2024",
        "target": {"chinchilla": "13B"},
        "discounting": {"rate": "10%"},
        "demand": DEMAND,
        "training": {**CHIP, "mfu": "40%"},
        "serving": {"hardware": "h100-sxm", "precision": "fp8", "gpus_per_replica": 1, "price": 2.5},
    }
    for key, value in changes.items():
        merged = {**found.get(key, {}), **value} if isinstance(value, dict) else value
        if isinstance(merged, dict):
            merged = {name: entry for name, entry in merged.items() if entry is not None}
        found[key] = merged
    return {key: value for key, value in found.items() if value is not None}


def scenario(**changes: Any) -> bc.Scenario:
    """Return the scenario of `tree`."""
    return bc.Scenario.from_dict(tree(**changes))


def fixed(**changes: Any) -> bc.Scenario:
    """Return a scenario at the paper's fixed utilisation, whose plan is a scalar equation."""
    serving = {"hardware": "h100-sxm", "precision": "bf16", "price": 2.5, "prefill_mfu": "50%", "decode_mfu": "5%"}
    found = tree(**{key: value for key, value in changes.items() if key != "serving"})
    return bc.Scenario.from_dict({**found, "serving": {**serving, **changes.get("serving", {})}})


# Calendar, discounting, commitment, batch on spot, several months of training: whatever a table has to add up.
BUSY: dict[str, Any] = {
    "demand": {"start": "2027-04", "batch_share": "20%"},
    "training": {
        "gpus": 24,
        "start": "2027-03",
        "goodput": "90%",
        "development": "20%",
        "data_cost": "0.05 USD per million tokens",
        "delay_cost": "1k USD/month",
        "price_path": {"per_year": "-20%"},
    },
    "serving": {"batch_price": 1.2, "commitment": {"price": 1.7, "share": "60%"}, "price_path": {"per_year": "5%"}},
}


@functools.cache
def busy() -> tuple[bc.Scenario, bc.Plan]:
    """Return the busy scenario with its plan."""
    found = scenario(**BUSY)
    return found, bc.solve(found)


@functools.cache
def plain() -> tuple[bc.Scenario, bc.Plan]:
    """Return the plain scenario with its plan."""
    found = scenario()
    return found, bc.solve(found)
