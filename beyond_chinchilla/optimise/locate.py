"""Where the optimum lies: the cheapest solver that can do the problem, and the bill at any point."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from beyond_chinchilla.errors import InputError, SolverError, UnboundedError, nearest
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.bill import BATCH, SERVING
from beyond_chinchilla.optimise.kkt import Certificate
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.program import LARGEST_GAP
from beyond_chinchilla.posynomial import Posynomial

METHODS = ("auto", "universal", "elementwise", "gp", "direct")
# What is in the machine, whoever ignores the limits of a service.
MEMORY = "serving_hbm"


def locate(problem: Problem, method: str = "auto") -> Located:
    """Return the optimum alone; `solve` adds the proof, the bill and what drives it. Raises as `solve` does."""
    if method not in METHODS:
        raise InputError(f"no method '{method}'; {nearest(method, METHODS)}")
    if problem.is_extended:
        return _extended(problem, method)
    if problem.is_codesign:
        return _codesigned(problem, method)
    if method == "direct":
        raise InputError(f"{problem.name}: method direct is for serving co-design; use auto, elementwise or gp")
    if method == "gp":
        return _by_gp(problem)
    if method in ("auto", "universal") and problem.rates is not None:
        # The unlimited optimum is the optimum if it keeps every limit.
        free = _by_universal(problem)
        if not problem.broken(problem.point(free.params, free.tokens, {})):
            return free
    if method == "universal":
        reason = "limits that do not bind" if problem.rates is not None else "a bill a N D + b N"
        raise InputError(f"{problem.name}: method universal needs {reason}; use auto, elementwise or gp")
    from beyond_chinchilla.optimise import elementwise

    if method == "elementwise" or elementwise.accepts(problem.counted_cost, problem.ratios):
        return _by_elementwise(problem)
    return _by_gp(problem)


def has_plan(problem: Problem) -> bool:
    """Say whether any plan keeps all limits."""
    if problem.is_extended:
        from beyond_chinchilla.optimise.past import extended

        with np.errstate(all="ignore"):
            return extended.has_plan(problem, locate)
    if problem.mixture is not None:
        return locate(problem).found
    if problem.is_codesign:
        from beyond_chinchilla.optimise import codesign

        return codesign.has_plan(problem)
    return locate(problem).found


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
        costs = [log_cost(one.settled or problem, one) for one in (other, reference)]
        differences[method] = abs(costs[0] - costs[1])
    return differences


def unlimited(problem: Problem) -> Problem:
    """Return the problem without its limits but for what memory holds, which nobody sets aside."""
    return replace(problem, limits=tuple(limit for limit in problem.limits if limit.label == MEMORY))


def savings(problem: Problem, located: Located) -> float:
    """Return 1 - least cost / cost of the compute-optimal model of equal loss; negative where limits cost more."""
    if located.settled is not None:
        best = assess(located.settled, located.params, located.tokens, located.variables)
        return saved_of(best, chinchilla(problem, located.held))
    if problem.bill is not None or problem.is_codesign:
        return saved_of(assess(problem, located.params, located.tokens, located.variables), chinchilla(problem))
    if located.log_ratio is not None:
        return -math.expm1(located.log_ratio)
    point = problem.law.compute_optimal(loss=problem.target_loss)
    start = Located(float(point.params), float(point.tokens), "")
    return -math.expm1(log_cost(problem, located) - log_cost(problem, start))


def saved_of(best: Candidate, baseline: Candidate) -> float:
    """Return 1 - cost of a plan / cost of the baseline, GPUs rounded up; nothing where only rounding is left."""
    saved = 1.0 - best.total / baseline.total
    return saved if abs(saved) > 1e-14 else 0.0


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


def assess(problem: Problem, N: float, D: float, variables: Mapping[str, float] | None = None) -> Candidate:
    """Return the model of N parameters (as the law counts them) and D tokens with its bill.

    Without `variables` it is run at its best: within the limits if it can, else within the memory, else as if
    memory were no matter.
    """
    if variables is None:
        variables = run_at_best(problem, N, D)
    point = problem.point(N, D, variables)
    counted = {**point, "params": N}
    flops = problem.counted_flops
    trains = np.array(["training_price" in term.drivers for term in flops.terms])
    compute = flops.values(counted)
    terms = problem.training.totals(counted)
    nominal = problem.nominal_cost.totals(point) if problem.nominal_cost is not None else None
    if problem.bill is not None:
        terms = _sum(terms, problem.bill.terms(point))
        rounding = problem.bill.rounding(point)
        if rounding > 0:
            terms["rounding"] = rounding
        if nominal is not None:
            nominal = _sum(nominal, problem.bill.nominal_terms(point))
    with np.errstate(over="ignore"):
        trained, served = float(compute[trains].sum()), float(compute[~trains].sum())
    total = sum(terms.values())
    if not all(map(math.isfinite, (total, trained, served))) or (total == 0.0 and problem.bill is None):
        raise InputError(
            f"{problem.name}: a model of {point['params']:g} params and {D:g} tokens costs {total:g} "
            f"{problem.cost.unit} and takes {trained + served:g} FLOP, beyond what numbers hold; check the target, "
            "prices and the law's constants"
        )
    return Candidate(
        params=float(point["params"]),
        tokens=D,
        loss=float(problem.law.loss(N, D)),
        training_flops=trained,
        inference_flops=served,
        terms=terms,
        unit=problem.cost.unit,
        breaks=problem.broken(point),
        variables=dict(variables),
        nominal_terms=nominal,
        total_params=total_params(problem, N),
    )


def total_params(problem: Problem, N: float) -> float | None:
    """Return all parameters of a mixture of experts of N active ones; None of a dense model."""
    if problem.experts is None or problem.experts.count == 1:
        return None
    return problem.experts.total_params(N)


def _sum(terms: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """Return both, those of one label added up."""
    found = dict(terms)
    for label, value in others.items():
        found[label] = found.get(label, 0.0) + value
    return found


def run_at_best(problem: Problem, N: float, D: float, *, limited: bool = True) -> dict[str, float]:
    """Return the further variables of a given model under the limits, if `limited`.

    Where they cannot be kept, those under its memory alone; where that is too small, as if there were enough.
    """
    if not problem.further:
        return {}
    if problem.mixture is not None:
        from beyond_chinchilla.optimise.past import touched

        problem = touched.settled_at(problem, lambda part: _run(part, N, D, limited=limited)[BATCH])
    return _run(problem, N, D, limited=limited)


def _run(problem: Problem, N: float, D: float, *, limited: bool) -> dict[str, float]:
    from beyond_chinchilla.optimise.operation import Operations

    memory = [ratio for limit, ratio in zip(problem.limits, problem.ratios, strict=True) if limit.label == MEMORY]
    for kept in (problem.ratios, memory) if limited else (memory,):
        rows = (*problem.physics, *(row for row in kept if SERVING not in row.variables))
        found = Operations(problem.operating_bill, rows).best(N, D)
        if found.feasible:
            return found.variables
    return Operations(problem.operating_bill, problem.physics).knee(N, D).variables


def _extended(problem: Problem, method: str) -> Located:
    from beyond_chinchilla.optimise.past import extended

    # A search within a search takes seconds, and what is searched is known to few digits: several are one program.
    several = len(problem.levers) + (problem.repetition is not None) > 1
    at_once = method == "gp" or (method == "auto" and several)
    # Tangents at either end of a search overflow; what comes of them has a status.
    with np.errstate(all="ignore"):
        return extended.locate(problem, lambda part: locate(part, method), at_once=at_once)


def _codesigned(problem: Problem, method: str) -> Located:
    if problem.mixture is None:
        return _one_program(problem, method)
    from beyond_chinchilla.optimise.past import touched

    return touched.locate(problem, lambda part: _one_program(part, method))


def _one_program(problem: Problem, method: str) -> Located:
    from beyond_chinchilla.optimise import codesign, direct

    if method == "direct":
        return direct.optimum(problem)
    if method not in ("auto", "gp"):
        raise InputError(f"{problem.name}: method {method} knows params and tokens alone; use auto, gp or direct")
    return codesign.by_program(problem) if method == "gp" else codesign.optimum(problem)


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
    """Name the variable that nothing holds, and the limit that would; or say that the plan is beyond all numbers."""
    grows = {
        variable: any(term.power(variable) > 0 for term in problem.counted_cost.terms)
        for variable in ("params", "tokens")
    }
    if all(grows.values()):
        return "the plan has more or fewer params or tokens than numbers hold; check target, prices and the law"
    if grows["params"]:
        return "tokens can grow for ever while params shrink: no cost rises with tokens; give limits.tokens.max"
    if grows["tokens"]:
        return "params can grow for ever while tokens shrink: no cost rises with params; give limits.params.max"
    return "params and tokens can grow for ever: no cost rises with either; give limits.params.max"


def _by_gp(problem: Problem) -> Located:
    from beyond_chinchilla.optimise import gp

    point = problem.law.compute_optimal(loss=problem.target_loss)
    sizes = {"params": float(point.params), "tokens": float(point.tokens)}
    # Tangents of a law may have no such point.
    start = {name: math.log(value) for name, value in sizes.items() if 0.0 < value < math.inf}
    found = gp.solve_gp(problem.counted_cost, [problem.target, *problem.ratios], start)
    if found.status == "infeasible":
        return Located(math.nan, math.nan, "gp")
    if found.status == "unbounded":
        raise UnboundedError(f"{problem.name}: {found.message}")
    if found.status != "optimal":
        raise SolverError(f"{problem.name}: method gp: {found.message or found.status}")
    return Located(math.exp(found.logs["params"]), math.exp(found.logs["tokens"]), "gp")


def log_cost(problem: Problem, located: Located) -> float:
    """Return ln of what a located plan costs, before GPUs are rounded up."""
    if problem.is_codesign:
        from beyond_chinchilla.optimise.direct import bill_of

        return math.log(bill_of(problem, located.params, located.tokens, dict(located.variables)))
    return float(
        problem.counted_cost.log_value({"params": math.log(located.params), "tokens": math.log(located.tokens)})
    )


def chinchilla(problem: Problem, values: Mapping[str, float] | None = None) -> Candidate:
    """Return the compute-optimal model of the target under the problem's demand and prices.

    It ignores the limits; how it is run keeps the memory, if the model fits at all. Under a law past Chinchilla
    it is the model of least training compute, levers at their baselines, or at `values` by kind where those do not
    reach the target; where nothing reaches it, that of the plain law.
    """
    if problem.is_extended:
        from beyond_chinchilla.optimise.past import extended
        from beyond_chinchilla.optimise.past.held import held, plain

        found = extended.compute_optimal(problem, locate, values or {})
        asked = extended.asked_of(problem, found) if found.found else None
        if asked is not None:
            N, D = found.params, found.tokens
            best = assess(asked, N, D, run_at_best(asked, N, D, limited=False))
            return replace(best, breaks=tuple(label for label in best.breaks if label not in found.held))
        ends = {lever.kind: lever.high for lever in problem.levers if lever.variable}
        problem = plain(held(replace(problem, repetition=None), ends) or problem)
    point = problem.law.compute_optimal(loss=problem.target_loss)
    N, D = float(point.params), float(point.tokens)
    if not all(sys.float_info.min <= size < math.inf for size in (N, D)):
        raise InputError(
            f"{problem.name}: the compute-optimal model of loss {problem.target_loss:g} under law {problem.law.name} "
            f"would have {N:g} params and {D:g} tokens, beyond what numbers hold; check the target and the constants"
        )
    return assess(problem, N, D, run_at_best(problem, N, D, limited=False))


def kappa_of(problem: Problem) -> float | None:
    """Return serving over training spend of the Chinchilla model, where the bill is a N D + b N."""
    if problem.rates is None:
        return None
    point = problem.law.compute_optimal(loss=problem.target_loss)
    return problem.spend_ratio({"params": math.log(point.params), "tokens": math.log(point.tokens)})


def kappa_at(cost: Posynomial, baseline: Candidate) -> float | None:
    """Return serving over training spend as the bill of a baseline has it, by what drives the terms of `cost`."""
    drivers = {term.label: term.drivers for term in cost.terms}
    # What serves by month stands in the bill alone, and always has the demand for a driver.
    served = sum(value for label, value in baseline.terms.items() if "demand" in drivers.get(label, ("demand",)))
    trained = sum(value for label, value in baseline.terms.items() if "training_price" in drivers.get(label, ()))
    return served / trained if trained else None
