"""Where the optimum lies: the cheapest solver that can do the problem, and the bill at any point."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from beyond_chinchilla.errors import InputError, SolverError, UnboundedError, nearest
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.kkt import Certificate
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.optimise.problem import Problem

METHODS = ("auto", "universal", "elementwise", "gp")
# A plan whose gap is wider is no answer.
LARGEST_GAP = 1e-8


@dataclass(frozen=True)
class Located:
    """Where the optimum lies, before it is proved and explained.

    Attributes
    ----------
    params : float
        N*, as the law counts it; nan where there is none.
    tokens : float
        D*.
    method : str
        The solver that found it.
    log_ratio : float or None
        ln(least cost / cost of the compute-optimal model of equal loss) where it is known free of cancellation.
    """

    params: float
    tokens: float
    method: str
    log_ratio: float | None = None

    @property
    def found(self) -> bool:
        """Whether there is a plan."""
        return math.isfinite(self.params)


def locate(problem: Problem, method: str = "auto") -> Located:
    """Return the optimum alone; `solve` adds the proof, the bill and what drives it. Raises as `solve` does."""
    if method not in METHODS:
        raise InputError(f"no method '{method}'; {nearest(method, METHODS)}")
    if method == "gp":
        return _by_gp(problem)
    if method in ("auto", "universal") and problem.rates is not None:
        # The unlimited optimum is the optimum if it keeps every limit.
        free = _by_universal(problem)
        if not problem.broken(free.params, free.tokens):
            return free
    if method == "universal":
        reason = "limits that do not bind" if problem.rates is not None else "a bill a N D + b N"
        raise InputError(f"{problem.name}: method universal needs {reason}; use auto, elementwise or gp")
    from beyond_chinchilla.optimise import elementwise

    if method == "elementwise" or elementwise.accepts(problem.counted_cost, problem.ratios):
        return _by_elementwise(problem)
    return _by_gp(problem)


def verify(problem: Problem) -> dict[str, float]:
    """Solve by every method that can do the problem; return each one's relative difference in cost to `solve`.

    The methods share the posynomials and nothing else.
    """
    reference = locate(problem)
    differences = {}
    for method in METHODS[1:]:
        try:
            other = locate(problem, method)
        except InputError:
            continue
        if not (reference.found and other.found):
            differences[method] = 0.0 if reference.found == other.found else math.inf
            continue
        differences[method] = abs(_log_cost(problem, other) - _log_cost(problem, reference))
    return differences


def savings(problem: Problem, located: Located) -> float:
    """Return 1 - least cost / cost of the compute-optimal model of equal loss; negative where limits cost more."""
    if located.log_ratio is not None:
        return -math.expm1(located.log_ratio)
    point = problem.law.compute_optimal(loss=problem.target_loss)
    start = Located(float(point.params), float(point.tokens), "")
    return -math.expm1(_log_cost(problem, located) - _log_cost(problem, start))


def demand_proof(proof: Certificate, who: str) -> None:
    """Let a plan pass only with its proof.

    Raises
    ------
    SolverError
        More than 1e-8 of its cost may be left on the table, or the optimality conditions are missed by more.
    """
    if not max(proof.duality_gap, proof.kkt_residual) <= LARGEST_GAP:
        raise SolverError(
            f"{who} stopped short of a proof: duality gap {proof.duality_gap:.1e}, KKT residual "
            f"{proof.kkt_residual:.1e}, at most {LARGEST_GAP:.0e} each; please report the scenario"
        )


def assess(problem: Problem, N: float, D: float) -> Candidate:
    """Return the model of N parameters (as the law counts them) and D tokens with its bill."""
    point = {"params": N, "tokens": D}
    flops = problem.counted_flops
    trains = np.array(["training_price" in term.drivers for term in flops.terms])
    compute = flops.values(point)
    return Candidate(
        params=float(problem.law.total_params(N)),
        tokens=D,
        loss=float(problem.law.loss(N, D)),
        training_flops=float(compute[trains].sum()),
        inference_flops=float(compute[~trains].sum()),
        terms=problem.counted_cost.totals(point),
        unit=problem.cost.unit,
        breaks=problem.broken(N, D),
    )


def _by_universal(problem: Problem) -> Located:
    assert problem.rates is not None
    law = problem.law
    found = universal.optimum(law, problem.target_loss, *problem.rates)
    if found.status == universal.Status.UNBOUNDED:
        raise UnboundedError(f"{problem.name}: {_endless(problem)}")
    if found.status != universal.Status.OPTIMAL:
        raise SolverError(f"{problem.name}: {universal.Status(int(found.status)).name.lower().replace('_', ' ')}")
    ratio = float(universal.log_cost_ratio(found.spend_ratio, law.alpha, law.beta))
    return Located(float(found.params), float(found.tokens), "universal", ratio)


def _by_elementwise(problem: Problem) -> Located:
    # Imported where they are needed, as gp is: the universal curve answers most questions, and its cold start counts.
    from beyond_chinchilla.optimise import elementwise

    found = elementwise.minimise(problem.law, problem.target_loss, problem.counted_cost, problem.ratios)
    status = elementwise.Status(int(found.status))
    if status == elementwise.Status.UNBOUNDED:
        raise UnboundedError(f"{problem.name}: {_endless(problem)}")
    if status not in (elementwise.Status.OPTIMAL, elementwise.Status.INFEASIBLE):
        raise SolverError(f"{problem.name}: method elementwise: {status.name.lower().replace('_', ' ')}")
    return Located(float(found.params), float(found.tokens), "elementwise")


def _endless(problem: Problem) -> str:
    """Name the variable that nothing holds, and the limit that would."""
    grows = {
        variable: any(float(np.asarray(term.powers.get(variable, 0.0))) > 0 for term in problem.counted_cost.terms)
        for variable in ("params", "tokens")
    }
    if grows["params"]:
        return "tokens can grow for ever while params shrink: no cost rises with tokens; give limits.tokens.max"
    if grows["tokens"]:
        return "params can grow for ever while tokens shrink: no cost rises with params; give limits.params.max"
    return "params and tokens can grow for ever: no cost rises with either; give limits.params.max"


def _by_gp(problem: Problem) -> Located:
    from beyond_chinchilla.optimise import gp

    point = problem.law.compute_optimal(loss=problem.target_loss)
    start = {"params": math.log(point.params), "tokens": math.log(point.tokens)}
    found = gp.solve_gp(problem.counted_cost, [problem.target, *problem.ratios], start)
    if found.status == "infeasible":
        return Located(math.nan, math.nan, "gp")
    if found.status == "unbounded":
        raise UnboundedError(f"{problem.name}: {found.message}")
    if found.status != "optimal":
        raise SolverError(f"{problem.name}: method gp: {found.message or found.status}")
    return Located(math.exp(found.logs["params"]), math.exp(found.logs["tokens"]), "gp")


def _log_cost(problem: Problem, located: Located) -> float:
    return float(
        problem.counted_cost.log_value({"params": math.log(located.params), "tokens": math.log(located.tokens)})
    )


def chinchilla(problem: Problem) -> Candidate:
    """Return the compute-optimal model of the target under the problem's demand and prices."""
    point = problem.law.compute_optimal(loss=problem.target_loss)
    return assess(problem, float(point.params), float(point.tokens))


def kappa_of(problem: Problem) -> float | None:
    """Return serving over training spend of the Chinchilla model, where the bill is a N D + b N."""
    if problem.rates is None:
        return None
    point = problem.law.compute_optimal(loss=problem.target_loss)
    return problem.spend_ratio({"params": math.log(point.params), "tokens": math.log(point.tokens)})
