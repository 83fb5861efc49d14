"""One door to the solvers: pick the cheapest that can do the problem, prove its answer, say what drives it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from beyond_chinchilla.errors import InputError, SolverError
from beyond_chinchilla.optimise import advice
from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.iso_loss import IsoLoss, widest
from beyond_chinchilla.optimise.limits import LimitRow, merged, price
from beyond_chinchilla.optimise.locate import (
    assess,
    chinchilla,
    demand_proof,
    has_plan,
    kappa_of,
    locate,
    saved_of,
    savings,
    total_params,
)
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.effect import laws_asked
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.program import prove
from beyond_chinchilla.units import format_number

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.conflict import Conflict
    from beyond_chinchilla.optimise.study import Study

_NEAR = 0.01


class Asks(Protocol):
    """Anything that states a problem."""

    def to_problem(self) -> Problem:
        """Return the problem."""
        ...


@runtime_checkable
class Studies(Protocol):
    """Anything that states several problems, such as a scenario with chips to choose from."""

    def to_study(self) -> Study:
        """Return the study."""
        ...


def solve(question: Problem | Asks | Studies, method: str = "auto") -> Plan:
    """Return the plan of least lifetime cost at the target loss, or the reason why there is none.

    Parameters
    ----------
    question : Problem or Scenario
    method : str
        ``"auto"`` takes the cheapest of: ``"universal"``, exact for bills a N D + b N whose limits do not bind;
        ``"elementwise"``, for any bill that falls in neither N nor D; ``"gp"``, the geometric program. Serving
        co-design knows ``"gp"`` and ``"direct"``, a nested search.

    Returns
    -------
    Plan
        Its ``status`` is ``"optimal"`` or ``"infeasible"``.

    Raises
    ------
    InputError
        An unknown method, or one that cannot do this problem.
    UnboundedError
        The bill falls for ever in one direction.
    SolverError
        The answer does not pass its own certificate.
    """
    if isinstance(question, Problem):
        problem = question
    elif isinstance(question, Studies):
        return question.to_study().solve(method)
    else:
        problem = question.to_problem()
    if problem.objective == "loss" or problem.start_from is not None:
        if method != "auto":
            raise InputError(f"{problem.name}: method {method} minimises cost from nothing; use auto")
        # The rarer questions are imported when they are asked: a cold start counts milliseconds.
        if problem.objective == "loss":
            from beyond_chinchilla.optimise.best_loss import solve_loss

            return solve_loss(problem)
        from beyond_chinchilla.optimise.resume import solve_resume

        if problem.is_extended:
            from beyond_chinchilla.optimise.past.extended import refuse

            refuse(problem, "start_from")
        return solve_resume(problem)
    located = locate(problem, method)
    if located.found:
        return explained(problem, located)
    return infeasible(problem, located.method)


def infeasible(problem: Problem, method: str, why: Conflict | None = None) -> Plan:
    """Return the plan that says why there is none: `why`, if that is known already."""
    if not problem.limits and problem.is_extended:
        reasons = [_out_of_reach(problem)]
    elif not problem.limits:
        raise SolverError(
            f"{problem.name}: method {method} found no plan, though no limit is in its way; please report the scenario"
        )
    else:
        if why is None:
            from beyond_chinchilla.optimise import conflict

            why = conflict.explain(problem, has_plan)
        reasons = why.sentences(problem.target_loss)
    return Plan(
        name=problem.name,
        status="infeasible",
        method=method,
        law=problem.law,
        target_loss=problem.target_loss,
        best=None,
        baseline=chinchilla(problem),
        warnings=(*reasons, *problem.notes),
        conflict=why,
        effects=laws_asked(problem),
    )


def _out_of_reach(problem: Problem) -> str:
    """Say that a law past Chinchilla reaches no target such as this, whatever is spent."""
    repetition = problem.repetition
    if repetition is None or problem.levers:
        return f"no model reaches loss {problem.target_loss:.4f} under these laws, whatever it costs; raise the target"
    return (
        f"{format_number(repetition.unique_tokens)} unique tokens reach loss {repetition.least_loss(problem.law):.4f} "
        f"at best, however often they are repeated; the target is {problem.target_loss:.4f}"
    )


def explained(problem: Problem, located: Located) -> Plan:
    """Prove a located optimum and say what drives it.

    Raises
    ------
    SolverError
        It does not pass its own certificate.
    """
    if located.settled is not None:
        from beyond_chinchilla.optimise.past.completed import complete

        return complete(problem, located, explained(located.settled, replace(located, settled=None)))
    if problem.experts is not None:
        from beyond_chinchilla.optimise.past.completed import complete

        plain = replace(problem, experts=None)
        plan = explained(plain, located)
        assert plan.best is not None
        best = replace(plan.best, total_params=total_params(problem, located.params))
        return complete(problem, replace(located, settled=plain), replace(plan, best=best))
    if problem.is_codesign and located.method == "direct":
        from beyond_chinchilla.optimise.codesign import refine

        located = replace(refine(problem, located), method=located.method)
    law, N, D = problem.law, located.params, located.tokens
    proved = prove(problem, located)
    program, logs, proof = proved.program, proved.logs, proved.certificate
    multipliers = proof.multipliers
    demand_proof(proof, f"{problem.name}: method {located.method}")
    best, baseline = assess(problem, N, D, located.variables), chinchilla(problem)
    saved = saved_of(best, baseline) if problem.bill or problem.is_codesign else savings(problem, located)
    kappa = kappa_of(problem)
    point = problem.point(N, D, located.variables)
    return Plan(
        name=problem.name,
        status="optimal",
        method=located.method,
        law=law,
        target_loss=problem.target_loss,
        best=best,
        baseline=baseline,
        savings_fraction=saved,
        kappa=kappa,
        spend_ratio=_spend_ratio(problem, logs, point),
        elasticities=program.elasticities(logs, multipliers),
        one_percent_range=_one_percent(problem, N, D),
        limits=_rows(problem, point, best, program.limit_prices(logs, multipliers), program.carried(logs, multipliers)),
        warnings=(*advice.warnings(law, best, N, kappa, saved), *problem.notes),
        kkt_residual=proof.kkt_residual,
        duality_gap=proof.duality_gap,
        serving=problem.bill.describe(point) if problem.bill is not None else None,
    )


def _spend_ratio(problem: Problem, logs: dict[str, float], point: Mapping[str, float]) -> float | None:
    """Return what serving costs over what training costs."""
    if problem.bill is None and not problem.is_codesign:
        return problem.spend_ratio(logs)
    if problem.bill is None:
        return None
    return (point[SERVING] - problem.shift) / math.exp(float(problem.training.log_value(logs)))


def _one_percent(problem: Problem, N: float, D: float) -> tuple[float, float] | None:
    """Return the sizes [total params] between which cost rises by at most 1%, within the limits.

    None where floors hold the plan off its target, which then lies on no iso-loss curve of the target, and where N
    is so near the least size of its loss that a double does not tell them apart.
    """
    law = problem.law
    if float(problem.target.value({"params": N, "tokens": D})) < 1.0 - 1e-9:
        return None
    curve = IsoLoss(law, problem.reducible)
    z = float(curve.coordinate(N))
    if not math.isfinite(z):
        return None
    if problem.is_codesign:
        from beyond_chinchilla.optimise.direct import Profile

        profile = Profile(problem)
        low, high = profile.range(N, (1.0 + _NEAR) * profile.at(z).total)
    else:
        low, high = widest(curve, problem.counted_cost, problem.ratios, z, 1.0 + _NEAR)
    return float(law.total_params(np.exp(low))), float(law.total_params(np.exp(high)))


def _rows(
    problem: Problem,
    point: Mapping[str, float],
    best: Candidate,
    multipliers: tuple[float, ...],
    carried: tuple[bool, ...],
) -> tuple[LimitRow, ...]:
    total = best.total - best.terms.get("rounding", 0.0)
    return merged(
        price(limit, multiplier, problem.law, point=point, total=total, unit=best.unit, free=not held)
        for limit, multiplier, held in zip(problem.limits, multipliers, carried, strict=True)
    )
