"""How sure a plan is: what each world asks for, what a committed size costs over all of them, what knowing is worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.report.plots.subject import Subject, demand_of
from beyond_chinchilla.units import format_amount, format_percent, format_size

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.risk.figures import Risk

Array = NDArray[np.float64]

_BINS = 40
# Tails beyond these quantiles would press the rest into a corner.
_SHOWN = (0.002, 0.998)
_HOW = "a plan under risk; ask with --risk"


def risk(subject: Subject) -> Picture:
    """Draw each world's own optimum, and the cost and the chance of failure of each size that one may commit to."""
    found = demand_of("risk", subject.risk, _HOW)
    if found.is_certain:
        raise InputError(f"risk: nothing is uncertain in {found.name}; state a range such as {{median: 1B, p90: 4B}}")
    best = found.best
    low, high = found.intervals["params"].ninety
    finding = (
        f"Commit to {format_size(best.params)}: mean {format_amount(best.mean, found.unit)}, fails in "
        f"{format_percent(best.failure)} of the worlds; with hindsight 90% of them ask for {format_size(low)} to "
        f"{format_size(high)}"
    )

    def paint(figure: Figure, theme: Theme) -> None:
        parts: Any = figure.subfigures(2, 1, height_ratios=(2, 3))
        top, foot = parts
        for part in (top, foot):
            part.set_facecolor("none")
        panels = top.subplots(1, 3)
        point = subject.plan.best
        for axes, (key, label) in zip(
            panels,
            (("params", "best size [parameters]"), ("tokens", "its tokens"), ("total", f"its bill [{found.unit}]")),
            strict=True,
        ):
            own = None if point is None else getattr(point, key)
            _histogram(axes, theme, found, key, own)
            axes.set_xlabel(label)
        panels[0].set_ylabel("share of the worlds")
        left, right = foot.subplots(1, 2, width_ratios=(5, 3))
        _costs(left, theme, found)
        _failures(right, theme, found)

    return Picture(
        kind="The plan under uncertainty", finding=finding,
        footer=f"{subject.footer} | {found.samples:,} samples, seed {found.seed} | {'; '.join(found.inputs)}",
        paint=paint, size=(9.4, 6.8),
    )  # fmt: skip


def _histogram(axes: Axes, theme: Theme, found: Risk, key: str, own: float | None) -> None:
    """Draw the distribution of a figure of each world's optimum, its middle half and 90%, and the point plan."""
    mark = theme.mark(5)
    interval = found.intervals[key]
    draws = np.asarray(found.draws_of.get(key, np.array([])), dtype=float)
    draws = draws[np.isfinite(draws)]
    if draws.size:
        low, high = np.quantile(draws, _SHOWN)
        high = max(float(high), float(low) * 1.001)
        edges = np.geomspace(low, high, _BINS + 1)
        counts, _ = np.histogram(draws, edges)
        axes.stairs(counts / draws.size, edges, fill=True, color=mark.colour, alpha=0.8)
    for place, (ends, width) in enumerate(((interval.ninety, 1.2), (interval.half, 4.0))):
        axes.plot(ends, [-0.06, -0.06], color=theme.ink, lw=width, transform=axes.get_xaxis_transform(),
                  clip_on=False, solid_capstyle="butt", zorder=5 + place)  # fmt: skip
    axes.axvline(interval.median, color=theme.ink, lw=1.2, label="median")
    if own is not None:
        axes.axvline(own, color=theme.plan.colour, ls="--", lw=1.6, label="point plan")
    ax.logarithmic(axes, "x", ax.amount(found.unit if key == "total" else ""), most=5)
    ax.linear(axes, "y", ax.percent, most=4)
    axes.tick_params(axis="x", pad=9)
    axes.set_ylim(bottom=0.0)
    if key == "params":
        axes.legend(loc="best", fontsize=7.5)


def _costs(axes: Axes, theme: Theme, found: Risk) -> None:
    """Draw the bill over all worlds by committed size, with the plans on it."""
    mark = theme.plan
    p5, p25, median, p75, p95 = found.quantiles
    axes.fill_between(found.sizes, p5, p95, color=mark.colour, alpha=0.15, lw=0, label="90% of the worlds")
    axes.fill_between(found.sizes, p25, p75, color=mark.colour, alpha=0.3, lw=0, label="half of them")
    axes.plot(found.sizes, median, color=mark.colour, lw=1.2, label="median")
    axes.plot(found.sizes, found.mean, color=theme.ink, lw=2.0, label="mean")
    axes.plot(found.sizes, found.cvar, color=theme.ink, ls="--", lw=1.4, label=f"mean of the worst {_tail(found)}")
    for index, plan in enumerate(found.plans):
        chosen = index == found.chosen
        style = mark if chosen else theme.baseline if plan.label == "Chinchilla" else theme.mark(index + 2)
        label = f"{plan.label}: {format_size(plan.params)}"
        edge, width, size = (theme.ink, 1.4, 11) if chosen else (theme.paper, 0.8, 8)
        axes.plot(
            [plan.params], [plan.mean], style.marker, color=style.colour, mec=edge, mew=width, ms=size, label=label,
            zorder=6,
        )  # fmt: skip
    if found.range_1[0] < found.range_1[1]:
        axes.axvspan(*found.range_1, color=theme.grid, alpha=0.7, lw=0, zorder=0, label="within 1%")
    ax.logarithmic(axes, "x")
    ax.logarithmic(axes, "y", ax.amount(found.unit), most=6)
    low, high = _window(found)
    axes.set_xlim(low, high)
    shown = (found.sizes >= low) & (found.sizes <= high)
    axes.set_ylim(0.85 * float(np.nanmin(p5[shown])), 1.1 * float(np.nanmax(found.cvar[shown])))
    axes.set_xlabel("size committed to [parameters], trained until the target is reached")
    axes.set_ylabel(ax.bill(found.unit))
    ax.legend_beside(axes)


def _tail(found: Risk) -> str:
    return format_percent(1.0 - found.level, 0)


def _window(found: Risk) -> tuple[float, float]:
    """Return the sizes worth showing: those of the plans, and where the mean is not far above its least."""
    near = found.sizes[found.mean <= 3.0 * float(np.nanmin(found.mean))]
    plans = [plan.params for plan in found.plans if math.isfinite(plan.params)]
    return 0.9 * min(float(near.min()), *plans), 1.1 * max(float(near.max()), *plans)


def _failures(axes: Axes, theme: Theme, found: Risk) -> None:
    """Draw the share of worlds in which each size fails."""
    axes.plot(found.sizes, found.failure, color=theme.baseline.colour, lw=1.8, label="fails")
    axes.axhline(
        found.max_failure, color=theme.ink, ls=":", lw=1.4, label=f"at most {format_percent(found.max_failure, 0)}"
    )
    axes.plot([found.best.params], [found.best.failure], theme.plan.marker, color=theme.plan.colour, mec=theme.paper,
              ms=9, label="chosen", zorder=6)  # fmt: skip
    ax.logarithmic(axes, "x", most=5)
    axes.set_xlim(*_window(found))
    ax.linear(axes, "y", ax.percent, most=5)
    top = float(np.nanmax(found.failure[(found.sizes >= _window(found)[0])]))
    axes.set_ylim(0.0, max(1.1 * top, 2.0 * found.max_failure))
    axes.set_xlabel("size committed to [parameters]")
    axes.set_ylabel("share of worlds that fail")
    axes.legend(loc="best")


def information(subject: Subject) -> Picture:
    """Draw what knowing each group of inputs beforehand would be worth."""
    found = demand_of("information", subject.risk, _HOW)
    if not found.information:
        raise InputError(
            f"information: nothing is uncertain in {found.name}; state a range such as {{median: 1B, p90: 4B}}"
        )
    ranked = sorted(found.information, key=lambda row: row.value)
    top = ranked[-1]
    finding = (
        f"Perfect knowledge of {top.group} would be worth {format_amount(top.value, found.unit)}, "
        f"{format_percent(top.share_of_mean)} of the mean bill; of everything "
        f"{format_amount(found.perfect_information, found.unit)}"
    )

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        names = [*(row.group for row in ranked), "everything"]
        values = [*(row.value for row in ranked), found.perfect_information]
        errors = [*(row.error for row in ranked), found.perfect_error]
        places = np.arange(len(names))
        for place, value in zip(places, values, strict=True):
            mark = theme.mark(7 if place == len(ranked) else 0)
            axes.barh(place, value, 0.6, color=mark.colour, edgecolor=theme.paper,
                      hatch="///" if place == len(ranked) else "", lw=0.0)  # fmt: skip
        axes.errorbar(values, places, xerr=errors, fmt="none", ecolor=theme.faint, elinewidth=1.4, capsize=3)
        for place, value, error in zip(places, values, errors, strict=True):
            ax.flag(axes, theme, format_amount(value, found.unit), (value + error, float(place)), (6, 0))
        axes.set_yticks(places, names)
        axes.grid(visible=False, axis="y")
        ax.linear(axes, "x", ax.amount(found.unit))
        axes.set_xlim(0.0, 1.3 * (max(value + error for value, error in zip(values, errors, strict=True)) or 1.0))
        axes.set_xlabel(f"mean saving of knowing before the size is chosen [{found.unit}]; bars: standard error")

    return Picture(
        kind="What information is worth", finding=finding, footer=subject.footer, paint=paint,
        size=(7.2, 1.9 + 0.45 * (len(ranked) + 1)),
    )  # fmt: skip
