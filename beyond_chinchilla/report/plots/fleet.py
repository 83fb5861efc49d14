"""Month by month: which GPUs are on, and what they cost."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from beyond_chinchilla.analyse.capacity import CapacityPlan, capacity
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report import capacity as months
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.units import format_money

_MOST_TICKS = 9
# What is hired beside what, from the bottom: label and field.
_STACK = (("training", "training_gpus"), ("serving, mean", "serving_mean"), ("batch work on spot", "spot_mean"))


def fleet(subject: Subject) -> Picture:
    """Draw GPUs by kind and money by month, with what has been spent so far."""
    _ = subject.best
    plan = subject.capacity or _planned(subject)
    rows = plan.months
    costs = np.array([row.cost for row in rows])
    dearest = int(costs.argmax())
    finding = f"{months.headline(plan)[:-1]}; most is paid in {rows[dearest].month}: {format_money(costs[dearest])}"

    def paint(figure: Figure, theme: Theme) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        places = np.arange(len(rows))
        _gpus(top, plan, theme)
        mark = theme.mark(5)
        bottom.bar(places, costs, 0.9, color=mark.colour, lw=0.0, label="cost of the month")
        ax.linear(bottom, "y", ax.amount("USD"), most=4)
        bottom.set_ylim(bottom=0.0)
        bottom.set_ylabel("cost [USD/month]")
        sums = bottom.twinx()
        spent = [row.cumulative_present_value for row in rows]
        word = "present value" if plan.deployment.monthly.discounting.rate else "cost"
        sums.plot(places, spent, color=theme.ink, lw=1.8, label=f"cumulative {word}")
        ax.linear(sums, "y", ax.amount("USD"), most=4)
        sums.set_ylim(bottom=0.0)
        sums.set_ylabel("cumulative [USD]")
        sums.grid(visible=False)
        sums.spines["right"].set_visible(True)
        handles = [*bottom.get_legend_handles_labels()[0], *sums.get_legend_handles_labels()[0]]
        words = [*bottom.get_legend_handles_labels()[1], *sums.get_legend_handles_labels()[1]]
        bottom.legend(handles, words, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.1)
        step = -(-len(rows) // _MOST_TICKS)
        bottom.set_xticks(places[::step], [_short(row.month) for row in rows[::step]])
        bottom.set_xlim(-0.6, len(rows) - 0.4)
        bottom.set_xlabel("month" if rows[-1].month == _short(rows[-1].month) else "month from launch")

    return Picture(
        kind="GPUs and cost month by month", finding=finding, footer=subject.footer, paint=paint, size=(8.0, 5.4)
    )


def _planned(subject: Subject) -> CapacityPlan:
    if not subject.scenario.file.demand.by_month or subject.problem.bill is None:
        raise InputError(
            f"fleet needs demand by month; give demand.requests_per_month and months in {subject.scenario.name}"
        )
    return capacity(subject.scenario, subject.plan)


def _short(month: str) -> str:
    """Return what a month is called below an axis: its number, where it has no place in the calendar."""
    return month.replace("month ", "").replace("before ", "-")


def _gpus(axes: Axes, plan: CapacityPlan, theme: Theme) -> None:
    rows = plan.months
    places = np.arange(len(rows))
    floor = np.zeros(len(rows))
    for index, (label, field) in enumerate(_STACK):
        heights = np.array([getattr(row, field) or 0.0 for row in rows])
        if not heights.any():
            continue
        mark = theme.mark((0, 1, 2)[index])
        axes.bar(
            places, heights, 0.9, floor, color=mark.colour, edgecolor=theme.paper, lw=0.0, hatch=mark.hatch,
            label=label,
        )  # fmt: skip
        floor += heights
    edges = np.arange(len(rows) + 1) - 0.5
    for label, field, line in (
        ("serving, always on", "serving_base", "-"),
        ("of these committed", "committed", ":"),
        ("serving, at the busiest hour", "serving_peak", "--"),
    ):
        heights = np.array([getattr(row, field) for row in rows])
        if heights.any():
            axes.stairs(heights, edges, color=theme.ink, ls=line, lw=1.4, label=label, baseline=None)
    training = max((row.training_gpus or 0.0) for row in rows)
    serving = max(max(row.serving_peak, row.spot_mean) for row in rows)
    # Training may take a hundred times the GPUs: then only logarithms show both.
    if training > 12.0 * serving > 0.0:
        ax.logarithmic(axes, "y", most=5)
        least = min(value for row in rows for value in (row.serving_mean, row.spot_mean, row.serving_base) if value > 0)
        axes.set_ylim(0.5 * least, 2.5 * training)
        axes.set_ylabel("GPUs, logarithmic")
    else:
        ax.linear(axes, "y")
        axes.set_ylim(0.0, 1.2 * max(training, serving, float(floor.max())))
        axes.set_ylabel("GPUs")
    ax.legend_beside(axes)
