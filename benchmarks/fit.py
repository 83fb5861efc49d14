"""How fast is ``fit_parametric``, and is it right? ``python -m benchmarks.fit``; needs the folder of BC_DATA.

One run, on one core, prints one table: the 4500 starts of Hoffmann et al. 2022, D.2, and 4000 bootstrap refits on the
240 Chinchilla points of Besiroglu et al. 2024, beside loops over scipy's L-BFGS-B on the same objective and beside
PyPI's `chinchilla`, where it is installed. Loops are timed on a sample of starts and scaled up; what each reached
stands beside its time. Ratios are the message; seconds depend on the machine. Ours brings each start to scale first and
lets starts that meet go on as one, which is where most of its speed on the grid comes from; refits share nothing.
"""

from __future__ import annotations

import argparse
import csv
import functools
import importlib
import importlib.metadata
import itertools
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before numpy: its libraries read these once, when they load.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["MPLBACKEND"] = "Agg"

import numpy as np  # noqa: E402
import scipy  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from scipy.optimize import minimize  # noqa: E402

from beyond_chinchilla.fit.bootstrap import SAMPLES, bootstrap  # noqa: E402
from beyond_chinchilla.fit.huber import Rows, objective  # noqa: E402
from beyond_chinchilla.fit.parametric import DELTA, GRID, fit_parametric  # noqa: E402

Array = NDArray[np.float64]

DATA = "epoch_chinchilla_svg_extracted_data.csv"
DROPPED = 5
SEED = 2024
REPEATS = 5
EXACT_SAMPLE, DIFFERENCES_SAMPLE, REFIT_SAMPLE = 200, 60, 60
AIM_GRID, AIM_BOOTSTRAP = 5.0, 3.0
AIM_GRADIENT, AIM_DIFFERENCES = 20.0, 200.0
# What scipy needs to come down to the minimum at all: by default it stops a few per cent short of it.
TIGHT = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 5000, "maxfun": 50_000}


@dataclass(frozen=True)
class Runs:
    """N, D and loss, and each run's weight."""

    params: Array
    tokens: Array
    loss: Array
    weights: Array

    def value(self, start: Array) -> float:
        """Return the objective (Hoffmann et al. 2022, D.2, Eq. 3, summed)."""
        return self.value_and_gradient(start)[0]

    def value_and_gradient(self, start: Array) -> tuple[float, Array]:
        """Return the objective and its gradient, as anyone would write them."""
        a, b, e, alpha, beta = start
        x, y, z = self.logs
        exponents = np.stack([a - alpha * x, b - beta * y, np.full(z.size, e)])
        top = exponents.max(axis=0)
        shares = np.exp(exponents - top)
        total = shares.sum(axis=0)
        residual = top + np.log(total) - z
        shares /= total
        slope = np.clip(residual, -DELTA, DELTA)
        value = float(self.weights @ (slope * (residual - 0.5 * slope)))
        slope = slope * self.weights
        first, second, third = shares @ slope
        return value, np.array([first, second, third, -(shares[0] * slope) @ x, -(shares[1] * slope) @ y])

    @functools.cached_property
    def logs(self) -> tuple[Array, Array, Array]:
        """ln N, ln D, ln L."""
        return np.log(self.params), np.log(self.tokens), np.log(self.loss)


@dataclass(frozen=True)
class Row:
    """One row of the table: seconds for the whole task, its ratio to ours, and the lowest objective it reached."""

    method: str
    sample: int
    seconds: float
    ratio: float
    least: float
    share: str


def load() -> Runs:
    """Read the 240 points."""
    folder = os.environ.get("BC_DATA") or str(Path(__file__).parents[1].parent / "shared" / "data")
    path = Path(folder) / DATA
    if not path.exists():
        sys.exit(f"needs {DATA}: set BC_DATA to the folder that has it (analyzing-chinchilla of epoch-research)")
    with path.open(newline="") as file:
        rows = [
            tuple(float(row[key]) for key in ("Model Size", "Training FLOP", "loss")) for row in csv.DictReader(file)
        ]
    N, C, L = np.array(sorted(rows, key=lambda row: row[2])[: len(rows) - DROPPED]).T
    return Runs(N, C / (6.0 * N), L, np.ones(L.size))


def by_scipy(runs: Runs, starts: Array, *, gradient: bool, options: dict[str, float]) -> list[float]:
    """Return the objective that L-BFGS-B reaches from each start, one after the other."""
    solve: Any = functools.partial(minimize, method="L-BFGS-B", options=options)
    if gradient:
        return [float(solve(runs.value_and_gradient, start, jac=True).fun) for start in starts]
    return [float(solve(runs.value, start).fun) for start in starts]


def by_chinchilla(runs: Runs) -> tuple[int, float, float] | None:
    """Return starts, seconds and the objective that PyPI's `chinchilla` reaches; None where it is not installed."""
    try:
        package = importlib.import_module("chinchilla")
        metrics = importlib.import_module("chinchilla._metrics")
    except ImportError:
        return None
    grid = {"e": [0.0, 0.5], "a": [5.0, 10.0], "b": [5.0, 10.0], "alpha": [0.5, 1.0], "beta": [0.5, 1.0]}
    with tempfile.TemporaryDirectory() as folder:
        fitter = package.Chinchilla(
            folder, param_grid=grid, loss_fn=functools.partial(metrics.log_huber, delta=DELTA), log_level=50
        )
        for N, D, loss in zip(runs.params, runs.tokens, runs.loss, strict=True):
            fitter.append(N=N, D=D, loss=loss)
        seconds = _seconds(lambda: fitter.fit(parallel=False))
        found = [math.log(fitter.A), math.log(fitter.B), math.log(fitter.E), float(fitter.alpha), float(fitter.beta)]
    rows = Rows.of(runs.params, runs.tokens, runs.loss)
    least = objective(rows, rows.inward @ np.array(found)[:, None], DELTA)
    return math.prod(len(values) for values in grid.values()), seconds, float(least[0])


def tabulate_grid(runs: Runs) -> list[Row]:
    """Time all starts."""
    work = functools.partial(fit_parametric, runs.params, runs.tokens, runs.loss)
    fit = work()
    best = fit.objective
    ours = statistics.median(_seconds(work) for _ in range(REPEATS))
    count = len(GRID)
    rows = [Row("fit_parametric", count, ours, 1.0, best, f"{fit.starts.reached_best / count:.0%}")]
    random = np.random.default_rng(SEED)
    order = random.permutation(count)
    for name, gradient, options, sample in (
        ("scipy L-BFGS-B, gradient", True, {}, EXACT_SAMPLE),
        ("the same, to convergence", True, TIGHT, EXACT_SAMPLE),
        ("scipy L-BFGS-B, differences", False, {"maxfun": 50_000.0}, DIFFERENCES_SAMPLE),
    ):
        _progress(f"{name} ...")
        start = time.perf_counter()
        values = by_scipy(runs, GRID[order[:sample]], gradient=gradient, options=options)
        seconds = (time.perf_counter() - start) * count / sample
        reached = sum(value <= best * (1.0 + 1e-6) for value in values) / sample
        rows.append(Row(name, sample, seconds, seconds / ours, min(values), f"{reached:.0%}"))
    _progress("chinchilla ...")
    peer = by_chinchilla(runs)
    if peer is not None:
        starts, seconds, least = peer
        seconds *= count / starts
        name = f"PyPI chinchilla {importlib.metadata.version('chinchilla')}"
        rows.append(Row(name, starts, seconds, seconds / ours, least, "-"))
    return rows


def tabulate_bootstrap(runs: Runs) -> list[Row]:
    """Time all refits; a loop has one start for each, the minimum of all runs."""
    fit = fit_parametric(runs.params, runs.tokens, runs.loss)
    found = bootstrap(fit)
    ours = statistics.median(_seconds(functools.partial(bootstrap, fit)) for _ in range(REPEATS))
    count = runs.loss.size
    draws = np.random.default_rng(found.seed).multinomial(count, np.full(count, 1.0 / count), size=SAMPLES)
    rows = [Row("bootstrap", SAMPLES, ours, 1.0, 0.0, "-")]
    for name, gradient, options in (
        ("scipy L-BFGS-B, gradient", True, {}),
        ("the same, to convergence", True, TIGHT),
        ("scipy L-BFGS-B, differences", False, {"maxfun": 50_000.0}),
    ):
        _progress(f"{name} ...")
        values = []
        start = time.perf_counter()
        for draw in draws[:REFIT_SAMPLE]:
            drawn = Runs(runs.params, runs.tokens, runs.loss, draw.astype(float))
            values += by_scipy(drawn, fit.parameters[None, :], gradient=gradient, options=options)
        seconds = (time.perf_counter() - start) * SAMPLES / REFIT_SAMPLE
        excess = np.array(values) / found.objective[:REFIT_SAMPLE] - 1.0
        reached = float(np.mean(excess <= 1e-6))
        rows.append(Row(name, REFIT_SAMPLE, seconds, seconds / ours, float(np.min(excess)), f"{reached:.0%}"))
    return rows


def _seconds(work: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _progress(text: str) -> None:
    """Name a slow phase, to a person who waits."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _show(rows: list[Row], least: str) -> None:
    print(f"{'method':<30}{'timed':>7}{'seconds for all':>17}{'x ours':>9}{least:>22}{'at best':>9}")
    for row in rows:
        value = f"{row.least:.10g}" if row.least > 1e-6 else f"{row.least:.0e}"
        print(f"{row.method:<30}{row.sample:>7,}{row.seconds:>17.3g}{row.ratio:>9,.0f}{value:>22}{row.share:>9}")


def _judge(what: str, value: float, aim: float, *, below: bool) -> None:
    met = value <= aim if below else value >= aim
    unit = "s" if below else "x"
    sign = "under" if below else "at least"
    print(f"aim: {what} {sign} {aim:g} {unit}: {value:,.3g} {unit} in this run, {'met' if met else 'not met'}")


def main() -> None:
    """Run everything."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    runs = load()
    print(f"{runs.loss.size} points, delta {DELTA:g}, one core, numpy {np.__version__}, scipy {scipy.__version__}")
    print(f"\n{len(GRID)} starts; least objective, and share of the starts within 1e-6 of the least of all")
    grid = tabulate_grid(runs)
    _show(grid, "least objective")
    if len(grid) == 4:
        print("PyPI chinchilla: skipped, not installed (pip install chinchilla==0.2.0)")
    print(f"\n{SAMPLES} refits; lowest of theirs against ours, relative, and share within 1e-6 of ours or lower")
    refits = tabulate_bootstrap(runs)
    _show(refits, "lowest against ours")
    print()
    _judge("the grid", grid[0].seconds, AIM_GRID, below=True)
    _judge("the bootstrap", refits[0].seconds, AIM_BOOTSTRAP, below=True)
    for kind, rows in (("grid", grid), ("bootstrap", refits)):
        for row, aim in zip(itertools.islice(rows, 1, 4), (AIM_GRADIENT, AIM_GRADIENT, AIM_DIFFERENCES), strict=True):
            short = ", which stops short of the minimum" if row.share == "0%" else ""
            _judge(f"{kind}, against {row.method}{short}:", row.ratio, aim, below=False)


if __name__ == "__main__":
    main()
