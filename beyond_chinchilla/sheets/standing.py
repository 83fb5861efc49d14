"""Plans under laws past Chinchilla in a workbook: what formulas can follow of them."""

from __future__ import annotations

from beyond_chinchilla.optimise.locate import chinchilla, locate
from beyond_chinchilla.optimise.past.extended import compute_optimal
from beyond_chinchilla.sheets.case import Case, Standing, smoothed
from beyond_chinchilla.sheets.charges import bill_obstacle


def standing_of(case: Case) -> Standing | str:
    """Return the plan as formulas bill it, or the reason why they cannot.

    The universal curve knows plain laws alone: it would choose other sizes as soon as an input changes.
    """
    problem, plan = case.problem, case.plan
    if plan.best is None:
        return "the limits leave no plan"
    if plan.settled is None or plan.objective == "loss":
        return "the solver looked for the least loss within a budget, under a law past Chinchilla"
    if problem.bill is not None:
        return "it is served by month under a law past Chinchilla"
    obstacle = bill_obstacle(plan.settled)
    labels = [term.label for term in problem.cost.terms]
    if obstacle or len(set(labels)) < len(labels):
        return obstacle or "its bill names two terms alike"
    numbers = {
        lever.kind: effect.figures[lever.variable]
        for lever in problem.levers
        for effect in plan.effects
        if lever.variable and effect.kind == lever.kind
    }
    base = compute_optimal(problem, locate, numbers)
    if not base.found:
        return "no compute-optimal model reaches its target"
    return Standing(
        plan=smoothed(plan.best),
        # Of several alternatives, of the chosen one.
        baseline=smoothed(chinchilla(problem, numbers)),
        numbers={kind: (number, base.held[kind]) for kind, number in numbers.items()},
        free=not any(row.binding for row in plan.limits),
    )
