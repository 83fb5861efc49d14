"""What a page says of experts: active and all parameters, and the best number for each memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_number, format_percent

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.past.experts import MemoryRow
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.report.past.parts import Parts
    from beyond_chinchilla.scenario.load import Scenario

_HEADS = ["memory", "experts", "active", "all params", "weights", "tokens", "total"]


def parts(scenario: Scenario, problem: Problem, plan: Plan) -> Parts:
    """Return what the experts of a plan are, and the best number for each memory."""
    from beyond_chinchilla.analyse.past.experts import by_memory

    assert problem.experts is not None
    assert plan.best is not None
    rows = by_memory(scenario, plan)
    unit = plan.best.unit
    record = {
        **problem.experts.figures(plan.best.params),
        "active_experts": problem.experts.laws.active,
        "by_memory": [row.to_dict() for row in rows],
    }
    block = Block("Experts", _HEADS if rows else [], [_cells(row, unit) for row in rows], list(_lines(problem, plan)))
    return [block], {"experts": record}


def _cells(row: MemoryRow, unit: str) -> list[str]:
    if row.experts is None:
        return [row.memory, "none has a plan", *[""] * (len(_HEADS) - 2)]
    return [
        row.memory,
        str(row.experts),
        format_number(row.params or 0.0),
        format_number(row.total_params or 0.0),
        "" if row.weights_gb is None else f"{format_number(row.weights_gb)} GB",
        format_number(row.tokens or 0.0),
        format_amount(row.total or 0.0, unit),
    ]


def _lines(problem: Problem, plan: Plan) -> Iterator[str]:
    experts, best = problem.experts, plan.best
    assert experts is not None
    assert best is not None
    if experts.count == 1:
        yield "One expert is the dense model: all its params compute for every token."
        return
    total = experts.total_params(best.params)
    yield (
        f"{experts.count} experts a layer, of which a token meets {experts.laws.active}: {format_number(best.params)} "
        f"params compute, {format_number(total)} take memory, {format_percent(best.params / total)} are active."
    )
    if problem.mixture is not None and "batch" in best.variables:
        touched = float(problem.mixture.touched(best.variables["batch"]))
        share = "all" if touched > 0.9995 else format_percent(touched)
        yield f"A decode step of {format_number(best.variables['batch'])} sequences reads {share} of its experts."
        yield from _reached(problem)
    elif best.unit == "USD":
        yield (
            "At a fixed utilisation a mixture is taken to use its chips as well as a dense model. Measured ones take "
            "about twice as long: leave out prefill_mfu and decode_mfu to have that counted."
        )


def _reached(problem: Problem) -> Iterator[str]:
    """Say how well experts run, and how sure that is."""
    from beyond_chinchilla.analyse.mixture_validation import measurements, mixture_table
    from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY
    from beyond_chinchilla.costs.service import Service
    from beyond_chinchilla.costs.serving import Replica

    assert problem.mixture is not None
    assert isinstance(problem.bill, Service)
    use = problem.bill.use
    share = use.efficiency.experts if isinstance(use, Replica) else DEFAULT_EFFICIENCY.experts
    slower = 1.0 + (1.0 - problem.mixture.shared) * (1.0 / share - 1.0)
    said = f"Everything takes {slower:.2f}x as long as for a dense model of the active size, and idle experts are read"
    said += " on top"
    if share != DEFAULT_EFFICIENCY.experts:
        yield f"{said}: efficiency.experts is stated."
        return
    errors = sorted(abs(row.ratio - 1.0) for row in mixture_table() if row.use == "check")
    seen = sum(row.use == "fit" for row in measurements())
    yield (
        f"{said}: fitted to {seen} measured throughputs of mixtures; {len(errors)} others are off by "
        f"{format_percent(errors[len(errors) // 2], 0)} in the median, {format_percent(errors[-1], 0)} at worst."
    )


def assumptions(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """Yield what the plan rests on, where a scenario chooses experts: label, value, source."""
    from beyond_chinchilla.costs.efficiency import DEFAULT_EFFICIENCY
    from beyond_chinchilla.scenario.past.experts import counts_of, experts_of

    file = scenario.file
    experts = experts_of(file)
    if experts is None:
        return
    laws = experts.laws
    yield "experts", f"{', '.join(map(str, counts_of(file)))} a layer, {laws.active} active", laws.source
    each = f"{laws.attention:g} + {laws.expert:g} E"
    yield (
        "all params over active ones",
        f"({each}) / {laws.attention + laws.expert * laws.active:g}",
        f"{laws.name}, without embeddings",
    )
    if file.serving is not None and file.serving.codesign:
        stated = None if file.serving.efficiency is None else file.serving.efficiency.experts
        source = "as stated" if stated is not None else "fitted to measured throughputs of mixtures (TensorRT-LLM)"
        share = DEFAULT_EFFICIENCY.experts if stated is None else stated
        yield "experts run at", f"{format_percent(share, 0)} of a dense model's shares", source
