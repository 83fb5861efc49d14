"""How fast is ``bc.optimum``, and is it right? ``python -m benchmarks.optimum [--problems 1000000]``.

One run, on one core, prints one table: `optimum` beside a loop over scipy's brentq, scipy's vectorised
find_root and a geometric program in cvxpy, all on the same random problems. Ratios are the message; seconds
depend on the machine.
"""

from __future__ import annotations

import math
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cvxpy as cp
import mpmath as mp  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, elementwise

from benchmarks.timing import ask_size, elapsed, largest, one_core, progress
from beyond_chinchilla.laws.catalogue import law as catalogue_law
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.universal import Status, optimum

Array = NDArray[np.float64]

SEED = 2024
BRENTQ_SAMPLE, FIND_ROOT_SAMPLE, CVXPY_SAMPLE, EXACT_SAMPLE = 2000, 200_000, 30, 200
# Every root of these problems lies between the fewest tokens that can reach the loss and e^30 times as many.
BRACKET = 30.0
REPEATS = 7
AIMS = {"scipy find_root, vectorised": 20.0, "scipy brentq, one by one": 500.0}
SCENARIO = Path(__file__).parents[1] / "scenarios" / "1B-requests.yaml"


@dataclass(frozen=True)
class Problems:
    """Random problems of one law: losses, training and serving rates, each of shape (n,)."""

    law: LossLaw
    loss: Array
    train_rate: Array
    serve_rate: Array

    @classmethod
    def draw(cls, law: LossLaw, size: int, decades: float) -> Problems:
        """Draw Chinchilla models of 100M to 1T parameters, with kappa over the decades either side of 1."""
        random = np.random.default_rng(SEED)
        point = law.compute_optimal(params=10.0 ** random.uniform(8.0, 12.0, size))
        train_rate = 10.0 ** random.uniform(-19.0, -17.0, size)
        kappa = 10.0 ** random.uniform(-decades, decades, size)
        return cls(law, point.loss, train_rate, kappa * train_rate * point.tokens)

    def first(self, size: int) -> Problems:
        """Return the first few."""
        return Problems(self.law, self.loss[:size], self.train_rate[:size], self.serve_rate[:size])

    def cost(self, N: Array, D: Array) -> Array:
        """Return a N D + b N."""
        return N * (self.train_rate * D + self.serve_rate)


@dataclass(frozen=True)
class Row:
    """One row of the table: microseconds per plan, and that over the same figure of bc.optimum."""

    method: str
    size: int
    per_plan: float
    ratio: float
    cost_difference: float | None = None
    params_difference: float | None = None


def by_brentq(problems: Problems) -> Array:
    """Return ln D* of each, one scalar root search after the other in plain floats."""
    law = problems.law
    alpha, B, beta = law.alpha, law.B, law.beta

    def condition(log_D: float, R: float, serving: float) -> float:
        data = B * math.exp(-beta * log_D)
        # alpha A N^-alpha = beta B D^-beta (1 + b/(a D)), where A N^-alpha is what the data leave of R
        return alpha * (R - data) - beta * data * (1.0 + serving * math.exp(-log_D))

    roots = []
    asked = (problems.loss.tolist(), problems.train_rate.tolist(), problems.serve_rate.tolist())
    for loss, a, b in zip(*asked, strict=True):
        R = loss - law.E
        low = math.log(B / R) / beta
        roots.append(brentq(condition, low, low + BRACKET, args=(R, b / a)))
    return np.array(roots)


def by_find_root(problems: Problems) -> Array:
    """Return ln D* of each, all at once."""
    law = problems.law
    alpha, B, beta = law.alpha, law.B, law.beta

    def condition(log_D: Array, R: Array, serving: Array) -> Array:
        data = B * np.exp(-beta * log_D)
        return np.asarray(alpha * (R - data) - beta * data * (1.0 + serving * np.exp(-log_D)))

    R = problems.loss - law.E
    low = np.log(B / R) / beta
    found = elementwise.find_root(condition, (low, low + BRACKET), args=(R, problems.serve_rate / problems.train_rate))
    assert bool(np.all(found.success))
    return np.asarray(found.x)


def by_cvxpy(problems: Problems) -> tuple[float, Array]:
    """Return seconds for all and the least costs; the program is compiled once, before the clock starts."""
    law = problems.law
    N, D = cp.Variable(pos=True), cp.Variable(pos=True)
    a, b, inverse_R = (cp.Parameter(pos=True, value=1.0) for _ in range(3))
    reached = inverse_R * (law.A * N**-law.alpha + law.B * D**-law.beta) <= 1.0
    program: Any = cp.Problem(cp.Minimize(a * N * D + b * N), [reached])

    def solve(index: int) -> float:
        a.value, b.value = problems.train_rate[index], problems.serve_rate[index]
        inverse_R.value = 1.0 / (problems.loss[index] - law.E)
        value = program.solve(gp=True, solver=cp.CLARABEL)
        assert program.status == cp.OPTIMAL
        return float(value)

    solve(0)
    start = time.perf_counter()
    costs = np.array([solve(index) for index in range(problems.loss.size)])
    return time.perf_counter() - start, costs


def tabulate(problems: Problems) -> list[Row]:
    """Time every method."""
    ours = partial(optimum, problems.law, *_asked(problems))
    best = ours()
    assert bool(np.all(best.status == Status.OPTIMAL))
    rows = []
    our_times: list[float] = []
    searches = (
        ("scipy find_root, vectorised", by_find_root, FIND_ROOT_SAMPLE),
        ("scipy brentq, one by one", by_brentq, BRENTQ_SAMPLE),
    )
    for name, method, sample in searches:
        progress(f"{name} ...")
        part = problems.first(sample)
        size = part.loss.size
        D = np.exp(method(part))
        # A busy machine slows both alike: each timing has one of bc.optimum right beside it.
        pairs = [(elapsed(ours) / problems.loss.size, elapsed(partial(method, part)) / size) for _ in range(REPEATS)]
        our_times += [mine for mine, _ in pairs]
        N, costs = part.law.params_for(D, part.loss), part.cost(best.params[:size], best.tokens[:size])
        rows.append(
            Row(
                name,
                size,
                per_plan=1e6 * statistics.median(theirs for _, theirs in pairs),
                ratio=statistics.median(theirs / mine for mine, theirs in pairs),
                cost_difference=largest(part.cost(N, D), costs),
                params_difference=largest(N, best.params[:size]),
            )
        )
    per_plan = 1e6 * statistics.median(our_times)
    progress("cvxpy ...")
    part = problems.first(CVXPY_SAMPLE)
    size = part.loss.size
    seconds, found = by_cvxpy(part)
    slow = 1e6 * seconds / size
    difference = largest(found, part.cost(best.params[:size], best.tokens[:size]))
    rows.append(Row("cvxpy gp, CLARABEL, warm", size, slow, slow / per_plan, difference))
    return [Row("bc.optimum", problems.loss.size, per_plan, 1.0), *rows]


def exactness(law: LossLaw) -> dict[str, float]:
    """Return the largest relative error of each figure against roots at 50 digits."""
    problems = Problems.draw(law, EXACT_SAMPLE, 12.0)
    best = optimum(law, *_asked(problems))
    worst = {"params": 0.0, "tokens": 0.0, "spend ratio": 0.0}
    with mp.workdps(50):
        A, alpha, B, beta = (mp.mpf(x) for x in (law.A, law.alpha, law.B, law.beta))
        for i, (loss, a, b) in enumerate(zip(*(map(mp.mpf, x.tolist()) for x in _asked(problems)), strict=True)):
            R = loss - mp.mpf(law.E)

            def condition(log_D: mp.mpf, R: mp.mpf = R, serving: mp.mpf = b / a) -> mp.mpf:
                data = B * mp.exp(-beta * log_D)
                return alpha * (R - data) - beta * data * (1 + serving * mp.exp(-log_D))

            D = mp.exp(mp.findroot(condition, mp.log(float(best.tokens[i]))))
            N = (A / (R - B * D**-beta)) ** (1 / alpha)
            exact = (N, D, b / (a * D))
            found = (best.params[i], best.tokens[i], best.spend_ratio[i])
            for name, right, answer in zip(worst, exact, found, strict=True):
                worst[name] = max(worst[name], float(abs(mp.mpf(float(answer)) / right - 1)))
    return worst


def cold_start() -> str:
    """Say how long the command takes from nothing, in units of ``import numpy``."""
    command = shutil.which("bc-opt")
    if command is None or not SCENARIO.exists():
        return "cold start: skipped, needs bc-opt on the PATH and scenarios/1B-requests.yaml"

    def wall(arguments: list[str]) -> float:
        run = partial(subprocess.run, arguments, check=True, capture_output=True)
        run()
        return statistics.median(elapsed(run) for _ in range(5))

    numpy_alone, whole = wall([sys.executable, "-c", "import numpy"]), wall([command, str(SCENARIO)])
    return (
        f"cold start: bc-opt scenarios/1B-requests.yaml takes {whole / numpy_alone:.1f} x python -c 'import numpy' "
        f"({whole:.2f} s and {numpy_alone:.2f} s, medians of 5)"
    )


def _asked(problems: Problems) -> tuple[Array, Array, Array]:
    return problems.loss, problems.train_rate, problems.serve_rate


def _show(rows: list[Row]) -> None:
    print(f"{'method':<28}{'problems':>10}{'us/plan':>12}{'x bc.optimum':>14}{'cost differs':>14}{'N differs':>11}")
    for row in rows:
        differences = ["-" if x is None else f"{x:.0e}" for x in (row.cost_difference, row.params_difference)]
        print(
            f"{row.method:<28}{row.size:>10,}{row.per_plan:>12.4g}{row.ratio:>14,.0f}"
            f"{differences[0]:>14}{differences[1]:>11}"
        )


def main() -> None:
    """Run everything."""
    _, size = ask_size(__doc__, "for bc.optimum")
    one_core()

    law = catalogue_law("sardana-2024")
    rows = tabulate(Problems.draw(law, size, 6.0))
    print(f"law {law.name}, kappa 1e-6 to 1e6, one core, numpy {np.__version__}")
    _show(rows)
    print(f"bc.optimum: {1.0 / rows[0].per_plan:.1f} million plans a second")

    progress("50 digits ...")
    errors = ", ".join(f"{name} {error:.0e}" for name, error in exactness(law).items())
    print(f"largest relative error against 50 digits, {EXACT_SAMPLE} problems, kappa 1e-12 to 1e12: {errors}")
    progress("cold start ...")
    print(cold_start())
    for row in rows:
        if row.method in AIMS:
            verdict = "met" if row.ratio >= AIMS[row.method] else "not met"
            print(f"aim: {AIMS[row.method]:.0f} x faster than {row.method}: {row.ratio:,.0f} x in this run, {verdict}")


if __name__ == "__main__":
    main()
