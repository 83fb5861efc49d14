"""A plan month by month as a page: what is asked, which GPUs are on, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.report import markdown, text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.units import format_money, format_number

if TYPE_CHECKING:
    from rich.console import Console

    from beyond_chinchilla.analyse.capacity import CapacityMonth, CapacityPlan

# What goes first where a terminal is narrow.
_EXPENDABLE = ("tokens", "GPU-hours", "present value", "spot", "requests")
_GAP = 2


@dataclass(frozen=True)
class _Column:
    """A column: its head, the figure of a month, how that is written, and the figure of the total row."""

    head: str
    value: Callable[[CapacityMonth], float | None]
    write: Callable[[float], str] = format_number
    total: str = ""


def _gpus(value: float) -> str:
    """Write a number of GPUs: whole where it is, else to a tenth."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def _running(value: float) -> str:
    """Write a sum to which a month adds little."""
    return format_money(value, 4)


_COLUMNS = (
    _Column("requests", lambda month: month.requests, total="requests"),
    _Column("tokens", lambda month: month.input_tokens + month.output_tokens, total="tokens"),
    _Column("training", lambda month: month.training_gpus, _gpus),
    _Column("base", lambda month: month.serving_base, _gpus),
    _Column("mean", lambda month: month.serving_mean, _gpus),
    _Column("peak", lambda month: month.serving_peak, _gpus),
    _Column("spot", lambda month: month.spot_mean, _gpus),
    _Column("GPU-hours", lambda month: month.gpu_hours, total="gpu_hours"),
    _Column("cost", lambda month: month.cost, format_money, total="cost"),
    _Column("present value", lambda month: month.present_value, format_money, total="present_value"),
    _Column("cumulative", lambda month: month.cumulative_present_value, _running),
)


def headline(plan: CapacityPlan) -> str:
    """Return the answer in one sentence."""
    best, peak = plan.deployment.best, plan.totals["serving_peak"]
    gpus = f"{_gpus(peak)} GPU{'' if peak == 1 else 's'} at the peak"
    if not peak:
        spot = max(month.spot_mean for month in plan.months)
        gpus = f"{_gpus(spot)} GPU{'' if spot == 1 else 's'} on batch work in the busiest month"
    worth = "present value" if plan.deployment.monthly.discounting.rate else "in all"
    return (
        f"{format_number(best.params)} params on {format_number(best.tokens)} tokens, served on "
        f"{plan.deployment.service.label}: {format_money(best.total)} {worth}, {gpus}."
    )


def table(plan: CapacityPlan, width: int | None = None) -> tuple[list[str], list[list[str]], list[str]]:
    """Return heads, rows with the total last, and the columns that were left out for want of width.

    Columns of nothing but zeros are left out, and present values where nothing is discounted.
    """
    columns = [column for column in _COLUMNS if any(column.value(month) for month in plan.months)]
    if not plan.deployment.monthly.discounting.rate:
        columns = [column for column in columns if column.head != "present value"]
    totals = plan.totals | {"tokens": plan.totals["input_tokens"] + plan.totals["output_tokens"]}
    left_out: list[str] = []
    while True:
        heads = ["month", *(column.head for column in columns)]
        rows = [[month.month, *(_cell(column, month) for column in columns)] for month in plan.months]
        rows.append(["total", *(column.write(totals[column.total]) if column.total else "" for column in columns)])
        expendable = [head for head in _EXPENDABLE if head in heads]
        if width is None or not expendable or _width(heads, rows) <= width:
            return heads, rows, left_out
        left_out.append(expendable[0])
        columns = [column for column in columns if column.head != expendable[0]]


def _cell(column: _Column, month: CapacityMonth) -> str:
    value = column.value(month)
    if value is None:
        return "?"
    return column.write(value) if value else "-"


def _width(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return sum(widths) + _GAP * (len(widths) - 1)


def records(plan: CapacityPlan) -> list[dict[str, Any]]:
    """Return one row a month for CSV, raw figures, the total last."""
    rows = [{"scenario": plan.deployment.plan.name, **month.to_dict()} for month in plan.months]
    total = {"scenario": plan.deployment.plan.name, "month": "total", "phase": "total", **plan.totals}
    return [*rows, {key: total.get(key) for key in rows[0]}]


def notes(plan: CapacityPlan) -> list[str]:
    """Return how the table is to be read, one sentence each."""
    return [f"{note[0].upper()}{note[1:]}." for note in plan.notes]


def print_page(console: Console, plan: CapacityPlan) -> None:
    """Print the months, with fewer columns on a narrow terminal."""
    heads, rows, left_out = table(plan, console.width)
    text.say(console, headline(plan), style="bold")
    text.say(console, plan.deployment.plan.name, style="dim")
    console.print()
    text.draw(console, Block("GPUs and money by month", heads, rows, notes(plan)))
    if left_out:
        text.say(console, f"Left out for want of width: {', '.join(left_out)}; --format csv has all.", style="dim")


def page(plan: CapacityPlan) -> str:
    """Return the months as markdown."""
    heads, rows, _ = table(plan)
    lines = [f"# {markdown.escape(plan.deployment.plan.name)}", "", f"**{markdown.escape(headline(plan))}**"]
    lines += markdown.render([Block("GPUs and money by month", heads, rows, notes(plan))])
    return "\n".join([*lines, ""])
