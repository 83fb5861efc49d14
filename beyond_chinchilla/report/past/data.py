"""What a page says of limited data: epochs, what repeated tokens are worth, and what new ones may cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_money, format_number, format_percent

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.past.data import LimitedData
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.report.past.parts import Parts
    from beyond_chinchilla.scenario.load import Scenario

_BILLION = 1e9
_MILLION = 1e6
_SAME = 1e-9


def parts(scenario: Scenario, problem: Problem, plan: Plan) -> Parts:
    """Return what limited data does to the plan, and what new tokens are worth to it."""
    from beyond_chinchilla.analyse.past.data import limited_data

    assert scenario.file.data is not None
    price, training = scenario.file.data.price, scenario.file.training
    if price is None and training is not None and plan.best is not None and plan.best.unit == "USD":
        price = training.data_cost
    found = limited_data(problem, plan, price)
    return [_block(found, plan)], {"data": found.to_dict()}


def _block(found: LimitedData, plan: Plan) -> Block:
    best, free = plan.best, found.all_new
    assert best is not None
    if found.epochs <= 1.0 + _SAME:
        return Block("Data", lines=list(_lines(found, plan)))
    least = plan.objective == "loss"
    cells = [
        ["params", format_number(best.params)],
        ["tokens", format_number(best.tokens)],
        ["epochs", f"{found.epochs:.2f}"],
        ["worth new tokens", format_number(found.effective_tokens)],
        [
            "loss [nats/token]" if least else "total",
            f"{best.loss:.4f}" if least else format_amount(best.total, best.unit),
        ],
    ]
    if free is None:
        return Block("Data", ["", "plan"], cells, list(_lines(found, plan)))
    last = f"{free.loss:.4f}" if least else format_amount(free.total, best.unit)
    others = [format_number(free.params), format_number(free.tokens), "1.00", format_number(free.tokens), last]
    both = [[*row, other] for row, other in zip(cells, others, strict=True)]
    return Block("Data", ["", "plan", "all data new"], both, list(_lines(found, plan)))


def _lines(found: LimitedData, plan: Plan) -> Iterator[str]:
    best = plan.best
    assert best is not None
    unique, tokens = format_number(found.unique_tokens), format_number(best.tokens)
    if found.epochs <= 1.0 + _SAME:
        # A limit on epochs may hold back who repeats nothing, and so may a model larger than the data can fill.
        held_back = found.worth_per_million > 0.0
        more = "" if held_back else ", and more would save nothing"
        yield f"{tokens} of {unique} unique tokens are used: no token is seen twice{more}."
        if held_back:
            yield from _worth(found, plan)
        return
    yield (
        f"{tokens} tokens are {found.epochs:.2f} epochs of {unique} unique ones, worth "
        f"{format_number(found.effective_tokens)} new tokens."
    )
    if found.effective_params < best.params * (1.0 - 1e-6):
        yield (
            f"{format_number(best.params)} params are more than so little data can fill: worth "
            f"{format_number(found.effective_params)}."
        )
    if found.all_new is not None:
        yield _cost(found, plan)
    if found.worth_per_million > 0.0:
        yield from _worth(found, plan)


def _cost(found: LimitedData, plan: Plan) -> str:
    """Say what the limit costs."""
    best, free = plan.best, found.all_new
    assert best is not None
    assert free is not None
    enough = f"with {format_number(free.tokens)} unique tokens none would be repeated"
    if plan.objective == "loss":
        return f"Limited data costs {best.loss - free.loss:.4f} nats per token; {enough}."
    cost = best.total - free.total
    share = format_percent(cost / best.total)
    return f"Limited data costs {format_amount(cost, best.unit)}, {share} of the total; {enough}."


def _worth(found: LimitedData, plan: Plan) -> Iterator[str]:
    """Say what new tokens are worth, and how many to buy."""
    best = plan.best
    assert best is not None
    billion = found.worth_per_million * _BILLION / _MILLION
    if plan.objective == "loss":
        yield f"A billion new unique tokens would take {billion:.2g} nats off the loss."
        return
    if best.unit != "USD":
        yield f"A billion new unique tokens would save {format_amount(billion, best.unit)}."
        return
    worth = format_money(found.worth_per_million)
    dearer = "; dearer ones are better repeated" if found.epochs > 1.0 + _SAME else ""
    yield f"Buying new tokens pays below {worth} per million{dearer}."
    bought = found.purchase
    if bought is None:
        return
    price = format_money(bought.price)
    if bought.unique_tokens <= found.unique_tokens:
        yield f"At {price} per million it does not pay."
        return
    more = bought.unique_tokens - found.unique_tokens
    paid, saved = (format_money(amount) for amount in (bought.price * more / _MILLION, bought.saved))
    yield (
        f"At {price} per million it pays up to {format_number(bought.unique_tokens)} unique tokens: "
        f"{format_number(more)} more for {paid} save {saved} beyond their price, in a plan of "
        f"{format_number(bought.params)} params on {format_number(bought.tokens)} tokens."
    )


def assumptions(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """Yield what the plan rests on, where a scenario says how much data there is: label, value, source."""
    section = scenario.file.data
    if section is None:
        return
    repetition = section.build()
    yield "unique tokens", format_number(section.unique_tokens), "the scenario"
    yield (
        f"repetition {repetition.name}",
        f"R_D {repetition.R_D:.4g}, R_N {repetition.R_N:.4g}",
        repetition.source or "the scenario",
    )
    if section.price is not None:
        yield "new tokens", f"{format_money(section.price)} per million", "the scenario"
