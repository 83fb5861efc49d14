"""How fast are plans under limits, and are they right? ``python -m benchmarks.limits [--problems 1000000]``.

One run, on one core, prints one table: `elementwise.minimise` on random bills of five terms under five limits, beside
a loop over scipy's minimize_scalar and a warm geometric program in cvxpy, which solve the first few of the same
problems. Ratios are the message; seconds depend on the machine.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from benchmarks.timing import ask_size, elapsed, largest, one_core, progress
from beyond_chinchilla.laws.catalogue import law as catalogue_law
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.elementwise import Minima, Status, minimise
from beyond_chinchilla.optimise.gp import solve_gp
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

Array = NDArray[np.float64]

SEED = 2024
# Powers of N and D, and how many times the first a term is at the Chinchilla model: from .. to, in decades.
BILL = {
    "training": (1.0, 1.0, 0.0, 0.0),
    "serving": (1.0, 0.0, -1.0, 2.0),
    "cache": (0.5, 0.0, -3.0, 0.5),
    "data": (0.0, 1.0, -3.0, 0.0),
    "runs": (0.35, 0.1, -3.0, -0.5),
}
# The same for limits: powers, whether max (1) or min (-1), and the bound in Chinchilla models, in decades.
LIMITS = {
    "params max": (1.0, 0.0, 1, -0.4, 0.5),
    "params min": (1.0, 0.0, -1, -1.0, -0.2),
    "tokens max": (0.0, 1.0, 1, 0.4, 1.5),
    "training FLOPs max": (1.0, 1.0, 1, 0.05, 0.7),
    "tokens per param max": (-1.0, 1.0, 1, 0.8, 2.5),
}
SCIPY_SAMPLE, GP_SAMPLE, CVXPY_SAMPLE = 1000, 200, 50
# In ln N: the cost is flat there, and off by its square.
XATOL = 1e-6
BINDING = 1e-9
REPEATS = 5
OURS, SCIPY = "elementwise.minimise", "scipy minimize_scalar, one by one"
GP, CVXPY = "gp.solve_gp, warm", "cvxpy gp, CLARABEL, warm"
FASTER, EQUAL, RESOLVE = 1000.0, 1e-9, 3.0


@dataclass(frozen=True)
class Problems:
    """Random problems of one law; coefficients of bills and limits have shape (n,)."""

    law: LossLaw
    loss: Array
    cost: Posynomial
    limits: tuple[Posynomial, ...]

    @classmethod
    def draw(cls, law: LossLaw, size: int) -> Problems:
        """Draw the quality of Chinchilla models of 1B to 1T parameters, and bills and limits around them."""
        random = np.random.default_rng(SEED)
        point = law.compute_optimal(params=10.0 ** random.uniform(9.0, 12.0, size))
        terms, limits = [], []
        for label, (p, r, least, most) in BILL.items():
            coefficient = 10.0 ** random.uniform(least, most, size) / (point.params**p * point.tokens**r)
            terms.append(Term(label=label, coefficient=coefficient, powers={"params": p, "tokens": r}))
        for label, (p, r, sign, least, most) in LIMITS.items():
            bound = 10.0 ** random.uniform(least, most, size) * point.params**p * point.tokens**r
            limits.append(monomial(label, bound**-sign, {"params": sign * p, "tokens": sign * r}))
        return cls(law, np.asarray(point.loss), Posynomial(tuple(terms)), tuple(limits))

    def minimise(self) -> Minima:
        """Solve all."""
        return minimise(self.law, self.loss, self.cost, self.limits)

    def one(self, index: int) -> Problems:
        """Return a single one."""

        def cut(posynomial: Posynomial) -> Posynomial:
            return Posynomial(
                tuple(replace(t, coefficient=float(np.asarray(t.coefficient)[index])) for t in posynomial.terms)
            )

        return Problems(self.law, self.loss[index], cut(self.cost), tuple(cut(limit) for limit in self.limits))


@dataclass(frozen=True)
class Row:
    """One row of the table: microseconds per plan, and that over the same figure of elementwise.minimise."""

    method: str
    size: int
    per_plan: float
    ratio: float
    cost_difference: float | None = None


def feasible(problem: Problems, N: float) -> tuple[float, float]:
    """Return ln N at both ends of the models that keep the limits, from one of them, by bisection."""
    law, R = problem.law, float(problem.loss) - problem.law.E
    pieces = [
        (
            float(np.log(np.asarray(t.coefficient))),
            float(np.asarray(t.powers["params"])),
            float(np.asarray(t.powers["tokens"])),
        )
        for limit in problem.limits
        for t in limit.terms
    ]

    def kept(n: float) -> bool:
        rest = R - law.A * math.exp(-law.alpha * n)
        if rest <= 0.0:
            return False
        d = math.log(law.B / rest) / law.beta
        return all(c + p * n + r * d <= 1e-12 for c, p, r in pieces)

    ends = []
    for inside, outside in ((math.log(N), math.log(N) - 20.0), (math.log(N), math.log(N) + 20.0)):
        for _ in range(60):
            middle = 0.5 * (inside + outside)
            inside, outside = (middle, outside) if kept(middle) else (inside, middle)
        ends.append(inside)
    return ends[0], ends[1]


def by_scipy(problems: list[Problems], intervals: list[tuple[float, float]]) -> Array:
    """Return the least cost of each, one scalar search after the other in plain floats."""
    costs = []
    for problem, interval in zip(problems, intervals, strict=True):
        law, R = problem.law, float(problem.loss) - problem.law.E
        terms = [(float(np.asarray(t.coefficient)), *BILL[t.label][:2]) for t in problem.cost.terms]

        def cost(n: float, R: float = R, law: LossLaw = law, terms: Any = terms) -> float:
            d = math.log(law.B / (R - law.A * math.exp(-law.alpha * n))) / law.beta
            return float(sum(c * math.exp(p * n + r * d) for c, p, r in terms))

        found = minimize_scalar(cost, bounds=interval, method="bounded", options={"xatol": XATOL})
        # The search never looks at the ends, where a limit binds.
        costs.append(min(float(found.fun), *map(cost, interval)))
    return np.array(costs)


def by_gp(problems: list[Problems]) -> tuple[float, list[float], Array]:
    """Return seconds of the first solve, which compiles, of each solve after it, and the least costs."""

    asked = []
    for problem in problems:
        law = problem.law
        point = law.compute_optimal(loss=problem.loss)
        target = law.posynomial().times(1.0 / (float(problem.loss) - law.E))
        start = {"params": math.log(point.params), "tokens": math.log(point.tokens)}
        asked.append((problem.cost, [target, *problem.limits], start))
    first = elapsed(partial(solve_gp, *asked[0]))
    times, costs = [], []
    for arguments in asked:
        begin = time.perf_counter()
        found = solve_gp(*arguments)
        times.append(time.perf_counter() - begin)
        assert found.status == "optimal", found.message
        costs.append(float(np.exp(arguments[0].log_value(found.logs))))
    return first, times, np.array(costs)


def by_cvxpy(problems: list[Problems]) -> tuple[list[float], Array]:
    """Return seconds of each and the least costs of a program written by hand, compiled before the clock starts."""
    law = problems[0].law
    N, D = cp.Variable(pos=True), cp.Variable(pos=True)
    prices, bounds = cp.Parameter(len(BILL), pos=True), cp.Parameter(len(LIMITS), pos=True)
    inverse_R = cp.Parameter(pos=True)
    cost = sum(prices[i] * N**p * D**r for i, (p, r, _, _) in enumerate(BILL.values()))
    limits = [
        bounds[i] * N ** (sign * p) * D ** (sign * r) <= 1.0 for i, (p, r, sign, _, _) in enumerate(LIMITS.values())
    ]
    reached = inverse_R * (law.A * N**-law.alpha + law.B * D**-law.beta) <= 1.0
    program: Any = cp.Problem(cp.Minimize(cost), [reached, *limits])

    def solve(problem: Problems) -> float:
        prices.value = np.array([float(np.asarray(t.coefficient)) for t in problem.cost.terms])
        bounds.value = np.array([float(np.asarray(limit.terms[0].coefficient)) for limit in problem.limits])
        inverse_R.value = 1.0 / (float(problem.loss) - law.E)
        value = program.solve(gp=True, solver=cp.CLARABEL)
        assert program.status in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE), program.status
        return float(value)

    solve(problems[0])
    times, costs = [], []
    for problem in problems:
        start = time.perf_counter()
        costs.append(solve(problem))
        times.append(time.perf_counter() - start)
    return times, np.array(costs)


def tabulate(problems: Problems, best: Minima) -> tuple[list[Row], float, float]:
    """Time every method; return the table, milliseconds of the first solve of solve_gp and of the median one."""
    size = problems.loss.size
    solved = np.flatnonzero(best.status == Status.OPTIMAL)[:SCIPY_SAMPLE]
    sample = [problems.one(int(i)) for i in solved]
    logs = {"params": np.log(best.params), "tokens": np.log(best.tokens)}
    costs = np.exp(problems.cost.log_value(logs))[solved]
    intervals = [feasible(problem, float(best.params[i])) for problem, i in zip(sample, solved, strict=True)]

    progress("scipy minimize_scalar ...")
    pairs = [
        # A busy machine slows both alike: each timing has one of ours right beside it.
        (elapsed(problems.minimise) / size, elapsed(partial(by_scipy, sample, intervals)) / len(sample))
        for _ in range(REPEATS)
    ]
    searched = largest(by_scipy(sample, intervals), costs)
    progress("gp.solve_gp ...")
    few = sample[:GP_SAMPLE]
    first, gp_times, gp_costs = by_gp(few)
    own = [elapsed(problems.minimise) / size for _ in range(REPEATS)]
    progress("cvxpy ...")
    cvxpy_times, cvxpy_costs = by_cvxpy(sample[:CVXPY_SAMPLE])

    ours = statistics.median([mine for mine, _ in pairs] + own)
    theirs = statistics.median(seconds for _, seconds in pairs)
    ratio = statistics.median(seconds / mine for mine, seconds in pairs)
    rows = [Row(OURS, size, 1e6 * ours, 1.0), Row(SCIPY, len(sample), 1e6 * theirs, ratio, searched)]
    for name, times, found in ((GP, gp_times, gp_costs), (CVXPY, cvxpy_times, cvxpy_costs)):
        median = statistics.median(times)
        rows.append(Row(name, len(times), 1e6 * median, median / ours, largest(found, costs[: len(times)])))
    return rows, 1e3 * first, 1e3 * statistics.median(gp_times)


def describe(problems: Problems, best: Minima) -> str:
    """Say how many problems have a plan, and at how many plans each limit binds."""
    optimal = best.status == Status.OPTIMAL
    logs = {"params": np.log(best.params[optimal]), "tokens": np.log(best.tokens[optimal])}
    binds = []
    for limit in problems.limits:
        (term,) = limit.terms
        value = replace(term, coefficient=np.asarray(term.coefficient)[optimal]).log_value(logs)
        binds.append(np.abs(value) <= BINDING)
    each = ", ".join(f"{limit.labels[0]} {np.mean(b):.0%}" for limit, b in zip(problems.limits, binds, strict=True))
    status = ", ".join(
        f"{np.mean(best.status == code):.0%} {code.name.lower()}" for code in Status if np.any(best.status == code)
    )
    return f"{status}; a limit binds at {np.mean(np.any(binds, axis=0)):.0%} of the plans ({each})"


def _show(rows: list[Row]) -> None:
    print(f"{'method':<34}{'problems':>10}{'us/plan':>12}{'x elementwise':>15}{'cost differs':>14}")
    for row in rows:
        difference = "-" if row.cost_difference is None else f"{row.cost_difference:.0e}"
        print(f"{row.method:<34}{row.size:>10,}{row.per_plan:>12.4g}{row.ratio:>15,.0f}{difference:>14}")


def main() -> None:
    """Run everything."""
    parser, size = ask_size(__doc__, "for elementwise")
    one_core()

    law = catalogue_law("sardana-2024")
    problems = Problems.draw(law, size)
    best = problems.minimise()
    if not np.any(best.status == Status.OPTIMAL):
        parser.error(f"none of the first {size} problems has a plan: ask for more")
    print(f"law {law.name}, five terms, five limits, one core, numpy {np.__version__}, cvxpy {version('cvxpy')}")
    print(describe(problems, best))
    rows, first, warm = tabulate(problems, best)
    _show(rows)
    free = statistics.median(elapsed(partial(minimise, law, problems.loss, problems.cost)) for _ in range(REPEATS))
    print(f"{OURS}: {1.0 / rows[0].per_plan:.2f} million plans a second, {size / free / 1e6:.2f} without limits")
    print(f"{GP}: {warm:.2f} ms a plan in the median; the first solve, which compiles, {first:.0f} ms")
    gp = next(row for row in rows if row.method == GP)
    difference = gp.cost_difference if gp.cost_difference is not None else math.inf
    for aim, met in (
        (f"{FASTER:,.0f} x faster per plan than {GP}: {gp.ratio:,.0f} x in this run", gp.ratio >= FASTER),
        (f"cost equal to {GP}'s to {EQUAL:.0e}: {difference:.0e} in this run", difference <= EQUAL),
        (f"{GP} under {RESOLVE:.0f} ms: {warm:.2f} ms in this run", warm < RESOLVE),
    ):
        print(f"aim: {aim}, {'met' if met else 'not met'}")


if __name__ == "__main__":
    main()
