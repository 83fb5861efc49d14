"""Which model is ahead when: loss against GPU-hours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from beyond_chinchilla.fit.race import Race
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme, plain
from beyond_chinchilla.report.plots.subject import RaceSubject
from beyond_chinchilla.units import format_size

# Curves of thousands of points are drawn at as many as a screen shows.
_FINE = 600
# The first fall from ln(vocabulary) tells nothing: what is shown starts at this share of the shortest run.
_START = 0.02
_LONGEST = 28


def race(subject: RaceSubject) -> Picture:
    """Draw the smoothed curves, who is ahead when, and who passes whom."""
    found = subject.race
    leads = [f"{plain(lead.name, _LONGEST)} to {format_size(lead.end)} GPU-hours" for lead in found.leads[:-1]]
    last = plain(found.leads[-1].name, _LONGEST)
    finding = f"{last} is ahead throughout"
    if leads:
        shown = leads if len(leads) <= 4 else [*leads[:2], "...", leads[-1]]
        finding = f"Ahead: {', '.join(shown)}, then {last}"

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        low, high = found.span
        shortest = min(curve.final_hours for curve in found.curves)
        low = max(low, min(_START * shortest, 0.5 * found.leads[0].end))
        hours = np.geomspace(low, high, _FINE)
        losses = found.loss_at(hours)
        for index, (curve, row) in enumerate(zip(found.curves, losses, strict=True)):
            mark = theme.mark(index)
            run = np.where(hours <= curve.final_hours, row, np.nan)
            last = int(np.flatnonzero(np.isfinite(run))[-1])
            axes.plot(
                hours, run, color=mark.colour, ls=mark.line, marker=mark.marker, markevery=[last], ms=7,
                mec=theme.paper, label=plain(curve.name, _LONGEST),
            )  # fmt: skip
        level = float(np.nanmax([np.nanquantile(row, 0.97) for row in losses]))
        floor = float(np.nanmin(losses))
        axes.set_ylim(floor - 0.06 * (level - floor), level)
        _leads(axes, found, theme, low)
        running = [each for each in found.crossings if not each.finished and each.hours >= low]
        if running:
            axes.plot(
                [each.hours for each in running], [each.loss for each in running], "o", color=theme.ink, mfc="none",
                ms=9, label="passes one still training", zorder=6,
            )  # fmt: skip
        ax.logarithmic(axes, "x")
        axes.set_xlim(low, high * 1.15)
        ax.linear(axes, "y", lambda loss: f"{loss:.3g}")
        axes.set_xlabel("training time [GPU-hours]; the mark at its end is where a run stops")
        axes.set_ylabel("training loss [nats/token]")
        if (price := found.price) is not None:
            money = axes.secondary_xaxis("top", functions=_money(price))
            money.xaxis.set_major_locator(ax.HumanLogLocator(7))
            money.xaxis.set_major_formatter(lambda value, _: ax.amount("USD")(float(value)))
            money.xaxis.set_minor_locator(NullLocator())
            money.set_xlabel("[USD]")
        ax.legend_beside(axes)

    return Picture(kind="Training loss against GPU-hours", finding=finding, footer=subject.footer, paint=paint,
                   size=(8.0, 4.8))  # fmt: skip


def _money(price: float) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """Return hours as dollars, and back."""
    return (lambda hours: hours * price), (lambda usd: usd / price)


def _leads(axes: Axes, found: Race, theme: Theme, low: float) -> None:
    """Draw a band at the foot: who is ahead."""
    names = list(found.names)
    for lead in found.leads:
        if lead.end <= low:
            continue
        mark = theme.mark(names.index(lead.name))
        axes.axvspan(
            max(lead.start, low), lead.end, 0.0, 0.025, facecolor=mark.colour, edgecolor=theme.paper,
            hatch=mark.hatch, lw=0.5, zorder=4,
        )  # fmt: skip
    axes.plot([], [], color=theme.faint, lw=6, label="band below: who is ahead")
