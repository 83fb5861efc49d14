"""The plan of an ordinary problem, completed by the law past Chinchilla that it settles: proof, baseline, effects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from beyond_chinchilla.optimise import advice, kkt
from beyond_chinchilla.optimise.kkt import Certificate
from beyond_chinchilla.optimise.limits import LimitRow, merged, price
from beyond_chinchilla.optimise.locate import chinchilla, demand_proof, kappa_at, saved_of
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.effect import Effect, is_apart
from beyond_chinchilla.optimise.past.extended import asked_of
from beyond_chinchilla.optimise.past.lever_program import joint, values_of
from beyond_chinchilla.optimise.past.whole_law import loss, one_percent
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem, driver_elasticities
from beyond_chinchilla.posynomial import Posynomial

_NEAR = 0.01


def complete(problem: Problem, located: Located, plan: Plan) -> Plan:
    """Return the plan with the baseline, the proof and the effects of the whole law.

    Parameters
    ----------
    problem : Problem
        With levers or limited data.
    located : Located
        Its optimum.
    plan : Plan
        That of ``located.settled``, proved with the levers held: the derivatives of its cost are those of the whole
        problem, by the envelope theorem.

    Raises
    ------
    SolverError
        With the levers free it does not pass its certificate.
    """
    assert plan.best is not None
    rows, elasticities, proof = plan.limits, plan.elasticities, None
    if problem.levers and problem.bill is None:
        # With a lever held, what ends it may carry the price of a limit.
        objective, constraints, logs = joint(problem, located)
        proof = kkt.certify(objective, constraints, logs, kkt.multipliers_at(objective, constraints, logs))
        demand_proof(proof, f"{problem.name}: method {plan.method}")
        rows = _rows(problem, located, plan.best, proof.multipliers[1:])
        elasticities = _elasticities(problem, proof, (objective, *constraints), logs)
    baseline = chinchilla(problem, located.held)
    held = problem.repetition is None and all(lever.variable for lever in problem.levers)
    sizes = plan.one_percent_range if held else one_percent(problem, located, 1.0 + _NEAR)
    kappa, saved = _kappa(plan, located, baseline), saved_of(plan.best, baseline)
    completed = replace(
        plan,
        law=problem.law,
        baseline=baseline,
        kappa=kappa,
        savings_fraction=saved,
        elasticities=elasticities,
        one_percent_range=sizes,
        limits=tuple(row for row in rows if row.label not in located.held),
        warnings=(
            *departures(problem, located),
            *advice.warnings(problem.law, plan.best, located.params, None if is_apart(problem) else kappa, saved),
            *problem.notes,
        ),
        kkt_residual=max(plan.kkt_residual, proof.kkt_residual) if proof else plan.kkt_residual,
        duality_gap=max(plan.duality_gap, proof.duality_gap) if proof else plan.duality_gap,
        settled=located.settled,
    )
    return replace(completed, effects=tuple(effects(problem, located, completed)))


def _rows(problem: Problem, located: Located, best: Candidate, multipliers: Sequence[float]) -> tuple[LimitRow, ...]:
    """Return the limits that are stated, with the prices of the whole program."""
    assert located.settled is not None
    settled, point = located.settled, located.settled.point(located.params, located.tokens, located.variables)
    stated = zip(settled.limits[: len(problem.limits)], multipliers, strict=False)
    return merged(
        price(limit, multiplier, settled.law, point=point, total=best.total, unit=best.unit)
        for limit, multiplier in stated
    )


def _elasticities(
    problem: Problem, proof: Certificate, program: Sequence[Posynomial], logs: Mapping[str, float]
) -> dict[str, float]:
    """Return d ln bill / d ln input by the envelope theorem over the whole program."""
    target, weights = proof.multipliers[0], (1.0, *proof.multipliers)
    stated = 2 + len(problem.limits)
    found = driver_elasticities(zip(weights[:stated], program[:stated], strict=True), logs)
    return {
        "demand": found.pop("demand"),
        "target_loss": -target * float(problem.law.reducible_elasticity(problem.target_loss)),
        **found,
    }


def settled_at(problem: Problem, logs: Mapping[str, float], fixed: Mapping[str, float]) -> Located:
    """Return a plan of the whole program, given as logs, with the ordinary problem that it settles at its own loss."""
    values = values_of(problem, logs, fixed)
    N, D = math.exp(logs["params"]), math.exp(logs["tokens"])
    found = Located(N, D, "", held=values)
    part = asked_of(replace(problem, target_loss=loss(problem, N, D, values)), found)
    return replace(found, settled=part)


def _kappa(plan: Plan, located: Located, baseline: Candidate) -> float | None:
    """Return serving over training spend of the baseline, which is not that of the settled problem."""
    if plan.kappa is None or located.settled is None:
        return None
    return kappa_at(located.settled.cost, baseline)


def completed_loss(problem: Problem, located: Located, plan: Plan) -> Plan:
    """Return the plan of least loss for a budget with the effects of the whole law, as `complete` does for cost."""
    return replace(
        plan,
        limits=tuple(row for row in plan.limits if row.label not in located.held),
        warnings=(*departures(problem, located), *plan.warnings),
        effects=tuple(effects(problem, located, plan)),
        settled=located.settled,
    )


def departures(problem: Problem, located: Located) -> Iterator[str]:
    """Say of each law past Chinchilla how far a plan lies outside of what it has seen."""
    N, D = located.params, located.tokens
    for lever in problem.levers:
        found = lever.departures(N, D, located.held[lever.kind])
        if found:
            yield f"outside of what law {lever.name} has seen: {'; '.join(found)}"
    if problem.experts is not None and (found := problem.experts.departures(N)):
        yield f"outside of what law {problem.experts.laws.name} has seen: {'; '.join(found)}"
    if problem.repetition is not None:
        found = problem.repetition.departures(N, D)
        if found:
            yield f"outside of what law {problem.repetition.name} has seen: {'; '.join(found)}"


def effects(problem: Problem, located: Located, plan: Plan) -> Iterator[Effect]:
    """Return what each law past Chinchilla says of a plan."""
    N, D, law = located.params, located.tokens, problem.law
    if problem.experts is not None:
        laws = problem.experts.laws
        yield Effect(kind="experts", name=laws.name, source=laws.source, figures=problem.experts.figures(N))
    for lever in problem.levers:
        figures = lever.figures(law, N, D, located.held[lever.kind])
        yield Effect(kind=lever.kind, name=lever.name, source=lever.source, figures=figures)
        law = lever.held(law, located.held[lever.kind])
    repetition = problem.repetition
    if repetition is not None:
        assert located.settled is not None
        # d ln C / d ln R, what the target's own elasticity is made of; of a least loss, d ln L / d ln R. What levers
        # add to R does not know the data.
        slope = float(problem.law.reducible_elasticity(plan.target_loss))
        price_of_R = 1.0 / slope if plan.objective == "loss" else -plan.elasticities["target_loss"] / slope
        own = float(located.settled.law.reducible(plan.target_loss)) / float(problem.law.reducible(plan.target_loss))
        # What bounds epochs bounds tokens in proportion to the unique ones.
        by_limit = sum(row.elasticity for row in plan.limits if row.label == "epochs")
        yield Effect(
            kind="repetition",
            name=repetition.name,
            source=repetition.source,
            figures=repetition.figures(law, N, D),
            elasticities={"unique_tokens": price_of_R * own * float(repetition.elasticity(law, N, D)) + by_limit},
        )
