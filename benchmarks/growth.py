"""Does a plan cost more when there are many? ``python -m benchmarks.growth``.

Microseconds for each plan of ``bc.optimum``, and of problems under a limit, from few to many: all that may grow with
their number is the work itself.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.optimum import Problems
from benchmarks.timing import elapsed, one_core, progress
from beyond_chinchilla.laws.catalogue import law as catalogue_law
from beyond_chinchilla.optimise import elementwise
from beyond_chinchilla.optimise.universal import optimum
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
REPEATS = 3
# From so many on a plan should cost the same.
SETTLED = 100_000


def unlimited(problems: Problems) -> Callable[[], object]:
    """Return the solution of all without limits."""
    return partial(optimum, problems.law, problems.loss, problems.train_rate, problems.serve_rate)


def limited(problems: Problems) -> Callable[[], object]:
    """Return the solution of all under a token budget."""
    cost = Posynomial(
        (
            Term(label="training", coefficient=problems.train_rate, powers={"params": 1.0, "tokens": 1.0}),
            Term(label="serving", coefficient=problems.serve_rate, powers={"params": 1.0}),
        )
    )
    return partial(
        elementwise.minimise, problems.law, problems.loss, cost, [monomial("tokens", 1e-13, {"tokens": 1.0})]
    )


def main() -> None:
    """Run everything."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    one_core()
    problems = Problems.draw(catalogue_law("sardana-2024"), max(SIZES), 6.0)
    print(f"us/plan on one core, numpy {np.__version__}; medians of {REPEATS}")
    print(f"{'plans':>12}{'bc.optimum':>12}{'elementwise, a limit':>22}")
    seconds: dict[int, list[float | None]] = {}
    for size in SIZES:
        progress(f"{size:,} plans ...")
        here = problems.first(size)
        works = (unlimited(here), limited(here) if size < max(SIZES) else None)
        times = [
            None if work is None else statistics.median(elapsed(work) for _ in range(REPEATS)) / size for work in works
        ]
        seconds[size] = times
        told = ["-" if each is None else f"{1e6 * each:.3f}" for each in times]
        print(f"{size:>12,}{told[0]:>12}{told[1]:>22}")
    settled = [times[0] for size, times in seconds.items() if size >= SETTLED and times[0] is not None]
    print(f"bc.optimum from {SETTLED:,} plans to {max(SIZES):,}: {max(settled) / min(settled):.2f} x apart")


if __name__ == "__main__":
    main()
