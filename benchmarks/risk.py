"""How fast is a plan carried through its uncertainty? ``python -m benchmarks.risk [--samples 10000] [--sizes 200]``.

One run, on one core, prints one table: joint samples of law, demand and prices of one scenario, with and without
limits, each solved by itself and priced at every size, beside a loop over `solve` that answers the first few of the
same questions. Ratios are the message; seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import elapsed, one_core, progress
from beyond_chinchilla.analyse.risk.worlds import LifeWorlds, worlds_of
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import monomial
from beyond_chinchilla.scenario.load import Scenario

SCENARIO: dict[str, Any] = {
    "name": "30B quality, uncertain",
    "law": "besiroglu-2024",
    "target": {"chinchilla": "30B"},
    "demand": {"requests": {"median": "1.5B", "p90": "6B"}, "input_tokens": 70, "output_tokens": 215},
    "training": {
        "hardware": "a100-80gb-sxm",
        "precision": "bf16",
        "price": {"low": 1.2, "mode": 1.5, "high": 2.0},
        "mfu": "50%",
    },
    "serving": {
        "hardware": "a100-40gb-sxm",
        "precision": "int8",
        "price": 1.10,
        "prefill_mfu": "50%",
        "decode_mfu": "1%",
    },
}
LIMITS: dict[str, Any] = {
    "params": {"max": "40B"},
    "training_time": {"max": "120 days", "gpus": 1024},
    "total_cost": {"max": "8M USD"},
}
SEED, SOLVES, REPEATS = 1, 200, 5
WHOLE, EQUAL = 1.0, 1e-9
# Worlds that are priced at once where the answer is not kept.
PART = 2_000


@dataclass(frozen=True)
class Row:
    """One row of the table: seconds for all samples, those of a loop over `solve`, and how far bills differ."""

    what: str
    seconds: float
    loop: float
    difference: float


def draw(scenario: Scenario, samples: int) -> LifeWorlds:
    """Return joint samples as worlds."""
    uncertainty = scenario.uncertainty
    u = np.random.default_rng(SEED).uniform(size=(samples, uncertainty.dimensions))
    worlds = worlds_of(scenario, solve(scenario), uncertainty.draw(u))
    assert isinstance(worlds, LifeWorlds)
    return worlds


def capped(worlds: LifeWorlds, number: int, size: float | None = None) -> Problem:
    """Return the problem of a world with the token budget among its limits, at one size if it is given."""
    problem = worlds.block.row(number)
    found = list(problem.limits)
    bounds = [("tokens", "max", worlds.budget), *((("params", side, size) for side in ("max", "min")) if size else ())]
    for label, side, bound in bounds:
        quantity = monomial(label, 1.0, {label: 1.0})
        found = [limit for limit in found if (limit.label, limit.side) != (label, side)]
        found.append(Limit(label=label, side=side, quantity=quantity, bound=bound, unit=label, each=label))
    return replace(problem, limits=tuple(found))


def loop(problems: list[Problem]) -> tuple[float, list[float]]:
    """Return seconds per plan of solving one by one, and the bills; nan where there is no plan."""
    plans: list[Any] = []
    seconds = elapsed(lambda: plans.extend(map(solve, problems)))
    return seconds / len(problems), [plan.best.total if plan.best else math.nan for plan in plans]


def timed(work: Callable[[], object]) -> float:
    """Return the median of a few runs."""
    return statistics.median(elapsed(work) for _ in range(REPEATS))


def tabulate(worlds: LifeWorlds, sizes: np.ndarray, what: str) -> list[Row]:
    """Time foresight and bills by size against the loop."""
    rng = np.random.default_rng(SEED)
    known = worlds.foresight()
    numbers = rng.choice(np.flatnonzero(known.reachable), min(SOLVES, int(known.reachable.sum())), replace=False)
    progress(f"{what}: a loop over solve ...")
    each, totals = loop([capped(worlds, int(k)) for k in numbers])
    differs = float(np.max(np.abs(known.total[numbers] / totals - 1.0)))
    rows = [Row(f"foresight, {what}", timed(worlds.foresight), each * worlds.count, differs)]

    bills = worlds.bills(sizes)
    kept = np.argwhere(~bills.failed)
    cells = kept[rng.choice(len(kept), min(SOLVES, len(kept)), replace=False)]
    progress(f"{what}: a loop over solve, size by size ...")
    each, totals = loop([capped(worlds, int(k), float(sizes[s])) for k, s in cells])
    differs = float(np.max(np.abs(bills.total[tuple(cells.T)] / totals - 1.0)))
    seconds = timed(partial(worlds.bills, sizes))
    rows.append(Row(f"bills by size, {what}", seconds, each * worlds.count * sizes.size, differs))
    return rows


def peak_memory(scenario: Scenario, samples: int, sizes: np.ndarray) -> float:
    """Return the most memory [MB] that the mean bill of every size takes, part by part, draws and worlds left out."""
    worlds = draw(scenario, samples)
    tracemalloc.start()
    total = np.zeros(sizes.size)
    for start in range(0, samples, PART):
        total += worlds.take(slice(start, start + PART)).bills(sizes).total.sum(axis=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.all(total > 0)
    return peak / 1e6


def _ask() -> tuple[int, int]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000, help="joint samples (default: %(default)s)")
    parser.add_argument("--sizes", type=int, default=200, help="sizes that are priced (default: %(default)s)")
    given = parser.parse_args()
    if given.samples < 100 or given.sizes < 1:
        parser.error("--samples must be at least 100 and --sizes at least 1")
    return given.samples, given.sizes


def main() -> None:
    """Run everything."""
    samples, count = _ask()
    one_core()
    rows: list[Row] = []
    whole = 0.0
    for what, tree in (("no limits", SCENARIO), ("three limits", {**SCENARIO, "limits": LIMITS})):
        scenario = Scenario.from_dict(tree)
        worlds = draw(scenario, samples)
        sizes = np.geomspace(3e9, 3e10, count)
        rows += tabulate(worlds, sizes, what)
        if not whole:
            whole = timed(lambda worlds=worlds, sizes=sizes: (worlds.foresight(), worlds.bills(sizes)))  # type: ignore[misc]
    print(f"law besiroglu-2024, {samples:,} joint samples, {count} sizes, one core, numpy {np.__version__}")
    print(f"{'what':<34}{'seconds':>10}{'loop over solve':>17}{'ratio':>12}{'bill differs':>14}")
    for row in rows:
        ratio = row.loop / row.seconds
        print(f"{row.what:<34}{row.seconds:>10.3f}{row.loop:>15,.0f} s{ratio:>12,.0f}{row.difference:>14.0e}")
    scenario = Scenario.from_dict(SCENARIO)
    small, large = (peak_memory(scenario, factor * samples, np.geomspace(3e9, 3e10, count)) for factor in (1, 10))
    print(f"mean bills in parts of {PART:,}: {small:.0f} MB at {samples:,} samples, {large:.0f} MB at {10 * samples:,}")
    difference = max(row.difference for row in rows)
    for aim, met in (
        (f"foresight and all bills under {WHOLE:g} s: {whole:.2f} s in this run", whole < WHOLE),
        (f"bills equal to solve's to {EQUAL:.0e}: {difference:.0e} in this run", difference <= EQUAL),
        (f"memory flat in samples: {large / small:.2f} x for ten times as many in this run", large <= 1.2 * small),
    ):
        print(f"aim: {aim}, {'met' if met else 'not met'}")


if __name__ == "__main__":
    main()
