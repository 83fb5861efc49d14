"""Parts of a page beyond the bill: limits with their prices, comparisons, break-even demand, architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beyond_chinchilla.optimise.limits import LimitRow
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.units import format_amount, format_number, format_percent, format_times

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.compare import Comparison
    from beyond_chinchilla.analyse.realise import Realisation

# Steps in which a reader can feel a price (nobody buys one token), and how to say them.
_STEPS = {
    "params": (1e9, "1B {more} params"),
    "tokens": (1e9, "1B {more} tokens"),
    "tokens_per_param": (1.0, "one {more} token per param"),
    "epochs": (1.0, "one {more} epoch"),
    "training_flops": (1e21, "1e21 {more} training FLOPs"),
    "training_cost": (1e6, "$1M {more} for training"),
    "serving_cost": (1e6, "$1M {more} for serving"),
    "total_cost": (1e6, "$1M {more} in all"),
    "training_time": (1.0, "one {more} day of training time"),
    "training_gpu_hours": (1e6, "1M {more} GPU-hours of training"),
    "serving_memory": (1.0, "one {more} GB of serving memory on each GPU"),
    "time_per_output_token": (1.0, "one {more} ms per output token"),
    "time_to_first_token": (1.0, "one {more} ms to the first token"),
    "serving_hbm": (1.0, "one {more} GB of memory on each replica"),
    "gpus": (1.0, "one {more} GPU at the busiest hour"),
    "launch": (1.0, "one {more} month of training"),
    "cost_per_million_output_tokens": (1.0, "$1 {more} per million output tokens"),
}


@dataclass(frozen=True)
class Block:
    """A titled part of a page: a table, sentences, or both.

    Attributes
    ----------
    title : str
    heads, cells : sequences
        The table as text; empty without one.
    lines : sequence of str
        Sentences below it.
    words : set of int
        Columns of words rather than figures.
    """

    title: str
    heads: Sequence[str] = ()
    cells: Sequence[Sequence[str]] = ()
    lines: Sequence[str] = ()
    words: frozenset[int] = frozenset({0})


def limits(plan: Plan) -> list[Block]:
    """Return the limits with their values and prices, and what the binding ones are worth in words."""
    if not plan.limits:
        return []
    cells = [
        [
            f"{_named(row.label)} {row.side}",
            format_amount(row.value, row.unit),
            format_amount(row.bound, row.unit),
            "binds, free" if row.free else "redundant" if row.redundant else "binds" if row.binding else "slack",
            f"{row.elasticity:+.3f}" if row.binding else "",
        ]
        for row in plan.limits
    ]
    worth = [_worth(row) for row in plan.limits if row.shadow_price > 0]
    if plan.baseline.breaks:
        broken = ", ".join(_named(label) for label in plan.baseline.breaks)
        worth.append(f"The Chinchilla model breaks: {broken}.")
    return [Block("Limits", ["limit", "plan", "bound", "", "elasticity"], cells, worth, frozenset({0, 3}))]


def _named(label: str) -> str:
    """Return what a page calls a limit."""
    return label.replace("_", " ").replace("hbm", "HBM")


def _worth(row: LimitRow) -> str:
    """Say what slack in a binding limit is worth, at the margin."""
    step, phrase = _STEPS.get(row.label, (1.0, f"one {{more}} {row.each} of {_named(row.label)}"))
    unit = row.price_unit.split(" per ")[0]
    amount = format_amount(row.shadow_price * step, unit)
    if row.side == "min":
        step_words = phrase.replace(" {more}", "")
        return f"A floor lower by {step_words} saves {amount} at the margin."
    words = phrase.format(more="more")
    return f"{words[0].upper()}{words[1:]} is worth {amount} at the margin."


def comparisons(found: Sequence[Comparison]) -> Block:
    """Return one's own plans beside the best of equal loss."""
    cells = [
        [
            item.name,
            format_number(item.candidate.params),
            format_number(item.candidate.tokens),
            f"{item.candidate.loss:.4f}",
            "yes" if item.meets_target else "no",
            format_amount(item.candidate.total, item.candidate.unit),
            f"+{format_percent(item.excess_fraction)}",
            ", ".join(label.replace("_", " ") for label in item.candidate.breaks) or "-",
        ]
        for item in found
    ]
    heads = ["plan", "params", "tokens", "loss", "good enough", "total", "excess", "breaks"]
    lines = ["Excess: what it costs over the cheapest model of its own loss, limits set aside."]
    return Block("Your plans", heads, cells, lines, frozenset({0, 7}))


def break_even(found: Sequence[tuple[float, float | None]], demand: float, unit: str) -> Block:
    """Return the demand from which the plan saves each fraction; `demand` [unit] is the scenario's own."""
    lines = [
        f"saves {format_percent(fraction, 0)} "
        + (
            "at no demand"
            if factor is None
            else f"from {format_number(factor * demand)} {unit} ({format_times(factor)} this scenario's)"
            if factor
            else "at any demand"
        )
        for fraction, factor in found
    ]
    return Block("Break-even demand against Chinchilla", lines=lines)


def verification(differences: Mapping[str, float], *, found: bool = True) -> Block:
    """Return how far the methods disagree in cost, or that they agree that there is no plan."""
    same = "same cost" if found else "no plan either"
    lines = [
        f"{method}: cost differs by {value:.0e}" if value else f"{method}: {same}"
        for method, value in differences.items()
    ]
    return Block("Every method that can solve it", lines=lines)


def realisations(found: Sequence[Realisation], one_percent: tuple[float, float] | None) -> Block:
    """Return architectures near the plan with what rounding costs, and the range in which size hardly matters."""
    cells = [
        [
            f"{item.architecture.layers} x {item.architecture.width}",
            f"{item.architecture.heads} x {item.architecture.head_size}",
            str(item.architecture.feed_forward),
            f"{item.params:,}",
            format_number(item.tokens),
            f"{item.candidate.loss:.4f}",
            format_amount(item.candidate.total, item.candidate.unit),
            f"+{format_percent(item.rounding_fraction, 2)}",
        ]
        for item in found
    ]
    heads = ["layers x width", "heads", "ffn", "params", "tokens", "loss", "total", "rounding"]
    lines = []
    if one_percent is not None:
        low, high = one_percent
        lines.append(f"The optimum is flat: from {format_number(low)} to {format_number(high)} costs at most 1% more.")
    return Block("Architectures near the plan", heads, cells, lines)
