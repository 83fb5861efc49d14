"""What a page says of the precision that a plan is served in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_amount, format_number, format_percent, format_size

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.past.quantisation import Rounding, Served
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.optimise.problem import Problem
    from beyond_chinchilla.report.past.parts import Parts
    from beyond_chinchilla.scenario.load import Scenario

# A loss higher by so much is a perplexity higher by a hundredth: what anyone would notice.
_FRAGILE = 0.01
# Nobody trains so many times as long.
_FAR = 100.0
# Totals agree to this, relative: the solvers' own tolerance.
_SAME = 1e-9


def parts(scenario: Scenario, problem: Problem, plan: Plan) -> Parts:
    """Return what rounding costs the plan, beside the other precisions that it could be served in."""
    from beyond_chinchilla.analyse.past.quantisation import rounding
    from beyond_chinchilla.scenario.past.quantisation import trained_share

    found = rounding(scenario, problem, plan)
    return [_block(found, plan, trained_share(scenario.file))], {"quantisation": found.to_dict()}


def _block(found: Rounding, plan: Plan, share: float) -> Block:
    best = plan.best
    assert best is not None
    by_loss = plan.objective == "loss"
    cells = [
        [
            row.precision,
            f"{row.bits:g}",
            "-" if row.params is None else format_number(row.params),
            "-" if row.tokens is None else format_number(row.tokens),
            "-" if row.loss is None else nats(row.loss),
            _reached(row) if by_loss else "-" if row.total is None else format_amount(row.total, best.unit),
            "no plan" if row.total is None else "" if by_loss else _more(row.total / best.total - 1.0),
        ]
        for row in found.precisions
    ]
    heads = ["served in", "bits", "params", "tokens", "rounding adds", "loss" if by_loss else "total", ""]
    lines = [*_of_plan(found, share), *_of_cost(found, best.unit, by_loss=by_loss), *_of_others(found, best.tokens)]
    return Block("Precision", heads, cells, lines, frozenset({0, 6}))


def _reached(row: Served) -> str:
    return "-" if row.reached is None else f"{row.reached:.4f}"


def _more(fraction: float) -> str:
    return "" if abs(fraction) < _SAME else ("+" if fraction > 0.0 else "") + format_percent(fraction)


def _of_plan(found: Rounding, share: float) -> Iterator[str]:
    if share < 1.0:
        yield f"Trained in {found.trained}, each parameter counts for {format_percent(share)} of one."
    if found.loss:
        yield f"Rounding weights to {found.bits:g} bits adds {nats(found.loss)} nats to the loss of this plan."
        return
    lost = ", and nothing lost" if share == 1.0 else " after training"
    yield f"Trained in {found.trained} and served in {found.served}: nothing is rounded{lost}."


def _of_cost(found: Rounding, unit: str, *, by_loss: bool) -> Iterator[str]:
    """Yield what rounding does to the bill of a target, or to the loss that a budget buys."""
    own, *others = found.precisions
    assert own.total is not None
    blind = found.blind
    if blind is not None:
        cost = own.total - blind.total
        yield f"Making up for that is {format_amount(cost, unit)} of the total, {format_percent(cost / own.total)}."
        if blind.missed_by >= _FRAGILE:
            yield (
                f"Who does not count it trains {format_number(blind.params)} params on {format_number(blind.tokens)} "
                f"tokens: too fragile for {found.bits:g} bits, that misses the target by {nats(blind.missed_by)} nats."
            )
    full = next((row for row in others if row.precision == found.trained), None)
    if not found.loss or full is None or full.total is None:
        return
    served = f"Served in {full.precision}, as it is trained,"
    if by_loss:
        yield f"{served} the same money buys loss {_reached(full)}."
        return
    apart = full.total / own.total - 1.0
    side = "more" if apart >= 0.0 else "less"
    yield (f"{served} the same quality costs {format_amount(full.total, unit)}: {format_percent(abs(apart))} {side}.")


def _of_others(found: Rounding, tokens: float) -> Iterator[str]:
    """Yield how far this model is from harm by more training, or by fewer bits."""
    if found.critical_tokens is not None and found.critical_tokens < _FAR * tokens:
        yield (
            f"From {format_number(found.critical_tokens)} tokens on, training this size for longer would raise the "
            "loss as served."
        )
    for row in found.precisions[1:]:
        if row.reason:
            yield f"No plan is served in {row.precision}: {row.reason}."
        if row.same_model >= _FRAGILE and row.bits < found.bits:
            yield (
                f"This model is too fragile for {row.bits:g} bits: served in {row.precision} it would lose "
                f"{nats(row.same_model)} nats."
            )


def nats(loss: float) -> str:
    """Write a loss that something adds.

    >>> nats(0.04731), nats(2e-5), nats(0.0)
    ('0.0473', 'under 0.0001', '0')
    """
    if loss == 0.0:
        return "0"
    return f"{loss:.4f}" if loss >= 5e-5 else "under 0.0001"


def assumptions(scenario: Scenario) -> Iterator[tuple[str, str, str]]:
    """Yield what the plan rests on, where a scenario says what fewer bits cost: label, value, source."""
    from beyond_chinchilla.laws.precision import PENALTY_KEYS
    from beyond_chinchilla.scenario.past.quantisation import bits_of, constants_of, trained_share

    file = scenario.file
    if file.quantisation is None:
        return
    constants = constants_of(file.quantisation)
    stated = ", ".join(f"{key} {getattr(constants, key):.4g}" for key in PENALTY_KEYS)
    yield f"precision {constants.name}", stated, constants.source
    if constants.fitted.params is not None and constants.fitted_bits is not None:
        low, high = constants.fitted.params
        fewest, most = constants.fitted_bits
        runs = f"{format_size(low)} to {format_size(high)} params, {fewest:g} to {most:g} bits"
        yield "runs behind the precision", runs, constants.note
    if file.training is not None and (share := trained_share(file)) != 1.0:
        bits = bits_of(file.training.precision)
        yield (
            f"trained in {file.training.precision}",
            f"each parameter counts for {format_percent(share)} of one",
            f"{constants.name}, {bits:g} bits of weights and activations",
        )
