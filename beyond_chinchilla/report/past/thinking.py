"""What a page says of thinking at inference: how much, what it costs and replaces, and up to which demand it pays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from beyond_chinchilla.laws.thinking import WORDS
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_number, format_percent, format_size, format_times

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.past.thinking import AtK, Thought
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.report.past.parts import Parts
    from beyond_chinchilla.scenario.load import Scenario


def parts(scenario: Scenario, problem: Problem, plan: Plan) -> Parts:
    """Return what thinking does to the plan, beside the best one without it."""
    from beyond_chinchilla.analyse.past.thinking import thought

    found = thought(scenario, problem, plan)
    return [_block(found, plan)], {"thinking": found.to_dict()}


def assumptions(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """Yield what the plan rests on, where a scenario says what thinking brings: label, value, source."""
    section = scenario.file.thinking
    if section is None:
        return
    thinking = section.build()
    counted = WORDS[thinking.variable]
    yield f"thinking {thinking.name}", f"G {thinking.G:.4g}, g {thinking.g:.4g}, of {counted}", thinking.source
    if thinking.seen is not None:
        low, high = (format_size(end) for end in thinking.seen)
        yield "runs behind thinking", f"{low} to {high} {counted}", ""
    if thinking.variable == "samples" and scenario.file.demand.tokens is None:
        read = "again for each sample" if section.shared_prefill is False else "once for all samples"
        yield "prompt", f"read {read}", "the scenario"


def _block(found: Thought, plan: Plan) -> Block:
    assert plan.best is not None
    unit = plan.best.unit
    rows = [*found.by_value] or [_chosen(found, plan), found.without]
    cells = [
        [
            _amount(row.value, found.variable, short=True),
            "-" if row.params is None else format_number(row.params),
            "-" if row.tokens is None else format_number(row.tokens),
            "-" if row.total is None else format_amount(row.total, unit),
            _compared(row, found, plan),
        ]
        for row in rows
    ]
    heads = ["samples" if found.variable == "samples" else "reasoning", "params", "tokens", "total", ""]
    return Block("Thinking", heads, cells, [*_lines(found, plan)], frozenset({0, 4}))


def _chosen(found: Thought, plan: Plan) -> AtK:
    from beyond_chinchilla.analyse.past.thinking import AtK

    assert plan.best is not None
    return AtK(value=found.value, params=plan.best.params, tokens=plan.best.tokens, total=plan.best.total)


def _compared(row: AtK, found: Thought, plan: Plan) -> str:
    assert plan.best is not None
    if row.total is None:
        return "out of reach"
    if row.value == found.value:
        return "the plan"
    return f"+{format_percent(row.total / plan.best.total - 1.0)}" if row.total > plan.best.total else ""


def _lines(found: Thought, plan: Plan) -> Iterator[str]:
    best, without = plan.best, found.without
    assert best is not None
    if not found.thinks:
        yield f"At this demand thinking does not pay: the plan answers with {_amount(found.value, found.variable)}."
    elif without.total is None:
        yield f"With {_amount(found.once, found.variable)} there is no plan: {found.reason}."
    elif found.loss_without is not None:
        yield (
            f"With {_amount(found.once, found.variable)} the same money buys loss {found.loss_without:.4f} instead of "
            f"{best.loss:.4f}."
        )
    else:
        assert without.params is not None
        assert without.tokens is not None
        yield (
            f"With {_amount(found.once, found.variable)} the same quality needs {format_number(without.params)} params "
            f"on {format_number(without.tokens)} tokens and costs {format_times(without.total / best.total)}."
        )
        saved = without.total - (best.total - found.cost)
        yield (
            f"Thinking costs {format_amount(found.cost, best.unit)} of serving, and saves "
            f"{format_amount(saved, best.unit)} elsewhere: on training, and on serving a smaller model."
        )
    yield from _break_even(found)
    if found.thinks and found.matched_samples is not None and found.loss_without is None:
        yield (
            f"The FLOPs of the model that answers once would pay {format_number(found.matched_samples)} samples of "
            f"this one (Snell et al. 2024); {format_size(found.value)} are drawn."
        )


def _break_even(found: Thought) -> Iterator[str]:
    even = found.break_even
    if even is None:
        return
    once = _amount(found.once, found.variable)
    who = "Several samples" if even.held is None else _amount(even.held, found.variable)
    if even.demand is None:
        side, far = ("cheaper", "a million times as much") if found.thinks else ("dearer", "a millionth of it")
        yield f"{who} stay {side} than {once} at any demand up to {far}."
        return
    demand = f"{format_number(even.demand)} {even.unit} over the life"
    yield f"{who} pay below {demand}; above that, {once} cost{'s' if once == 'one sample' else ''} less."


def _amount(value: float, variable: str, *, short: bool = False) -> str:
    size = format_size(value)
    if short:
        return size
    if variable == "samples":
        return "one sample" if value == 1 else f"{size} samples"
    return f"{size} tokens of reasoning"
