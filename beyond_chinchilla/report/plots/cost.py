"""What it costs: over all model sizes that reach the target, and term by term beside Chinchilla."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from beyond_chinchilla.analyse.cost_curve import CostCurve, cost_curve
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.locate import unlimited
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.units import format_amount, format_size

Array = NDArray[np.float64]

# Terms with lines of their own: more cannot be told apart.
_LINES = 4


def curve(subject: Subject) -> Picture:
    """Draw cost against model size: the optimum, Chinchilla, the 1% band, and where limits cut."""
    subject.refuse_resumed("cost-curve")
    best, base, plan = subject.best, subject.baseline, subject.plan
    asked = subject.asked
    found = cost_curve(asked, [best.params, base.params])
    # Without limits a model is run otherwise, where that is a choice.
    is_same = not asked.is_codesign or not any(row.any() for row in found.broken.values())
    free = found if is_same else cost_curve(unlimited(asked), [best.params, base.params])
    finding = subject.verdict
    if plan.one_percent_range is not None:
        low, high = plan.one_percent_range
        finding += f"; any size from {format_size(low)} to {format_size(high)} is within 1%"

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        kept = ~np.any(list(found.broken.values()), axis=0) if found.broken else np.ones(found.params.shape, dtype=bool)
        _mark_limits(axes, found, kept, theme)
        if plan.one_percent_range is not None:
            axes.axvspan(*plan.one_percent_range, color=theme.plan.colour, alpha=0.2, lw=0, label="within 1%")
        axes.plot(found.params, np.where(kept, found.total, np.nan), color=theme.ink, lw=2.6, label="total", zorder=4)
        if not kept.all():
            axes.plot(free.params, free.total, color=theme.faint, lw=1.2, label="total, limits set aside")
        # How a model is best run jumps where it can no longer keep a limit.
        _term_lines(axes, found, theme, kept if asked.is_codesign else None)
        for candidate, mark, name in ((base, theme.baseline, "Chinchilla"), (best, theme.plan, "plan")):
            label = f"{name}: {format_size(candidate.params)}, {format_amount(candidate.total, candidate.unit)}"
            axes.plot(
                [candidate.params], [candidate.total], marker=mark.marker, color=mark.colour, ls="none", ms=10,
                mec=theme.paper, mew=1.2, label=label, zorder=7,
            )  # fmt: skip
        ax.logarithmic(axes, "x")
        axes.set_xlim(float(found.params[0]), float(found.params[-1]))
        axes.set_ylim(0.0, 1.04 * float(found.total.max()))
        ax.linear(axes, "y", ax.amount(best.unit))
        each = f"each trained to a loss of {plan.target_loss:.4g} nats/token{subject.held}"
        axes.set_xlabel(f"model size [parameters]\n{each}")
        axes.set_ylabel(ax.bill(best.unit))
        ax.legend_beside(axes)

    return Picture(kind="Lifetime cost against model size", finding=finding, footer=subject.footer, paint=paint)


def _term_lines(axes: Axes, found: CostCurve, theme: Theme, shown: NDArray[np.bool_] | None) -> None:
    """Draw the largest terms as lines, and the rest as one."""
    ranked = sorted(found.terms, key=lambda label: -float(found.terms[label].max()))
    lines = {label: found.terms[label] for label in ranked[:_LINES]}
    if rest := ranked[_LINES:]:
        lines["other"] = np.sum([found.terms[label] for label in rest], axis=0)
    for index, (label, values) in enumerate(lines.items(), start=1):
        mark = theme.mark(index)
        values = values if shown is None else np.where(shown, values, np.nan)
        axes.plot(found.params, values, color=mark.colour, ls=mark.line, lw=1.5, label=label)


def _mark_limits(axes: Axes, found: CostCurve, kept: NDArray[np.bool_], theme: Theme) -> None:
    """Shade the sizes that break a limit, and draw each limit's edges."""
    words = "breaks a limit"
    for start, end in _stretches(~kept):
        low = _edge(found, start) if start else float(found.params[0])
        high = _edge(found, end + 1) if end + 1 < len(kept) else float(found.params[-1])
        axes.axvspan(low, high, facecolor=theme.grid, alpha=0.55, hatch="//", edgecolor=theme.paper, lw=0, label=words)
        words = "_"
    cutting = [(label, row) for label, row in found.broken.items() if row.any() and not row.all()]
    for index, (label, row) in enumerate(cutting):
        said, line = f"limit: {label.replace('_', ' ').replace('gpus', 'GPUs')}", theme.mark(index).line
        for place in np.flatnonzero(np.diff(row.astype(int))):
            axes.axvline(_edge(found, int(place) + 1), color=theme.faint, ls=line, lw=1.3, label=said)
            said = "_"


def _edge(found: CostCurve, place: int) -> float:
    """Return the size halfway, in logs, to the one before."""
    return math.sqrt(float(found.params[place - 1]) * float(found.params[place]))


def _stretches(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return first and last index of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(int), [0]])))
    return [(int(start), int(end) - 1) for start, end in edges.reshape(-1, 2)]


def terms(subject: Subject) -> Picture:
    """Draw the terms of the bill as stacked bars, Chinchilla beside the plan."""
    best, base = subject.best, subject.plan.baseline
    labels = [*dict.fromkeys([*base.terms, *best.terms])]
    if not labels:
        raise InputError(f"terms: the bill of {subject.plan.name} is empty")
    most = max(best.total, base.total)
    shift, label = max((abs(best.terms.get(label, 0.0) - base.terms.get(label, 0.0)), label) for label in labels)
    finding = subject.verdict
    if subject.plan.objective == "loss":
        finding = (
            f"The same {format_amount(best.total, best.unit)} buys loss {best.loss:.4f} with the plan, {base.loss:.4f} "
            "on Chinchilla's ratio"
        )
    elif shift > 0.005 * most:
        more = best.terms.get(label, 0.0) > base.terms.get(label, 0.0)
        finding += (
            f": {label} {'costs' if more else 'saves'} {format_amount(shift, best.unit)}{' more' if more else ''}"
        )

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        floor = np.zeros(2)
        for index, label in enumerate(labels):
            mark = theme.mark(index)
            heights = np.array([candidate.terms.get(label, 0.0) for candidate in (base, best)])
            axes.bar(
                [0, 1], heights, 0.55, floor, color=mark.colour, edgecolor=theme.paper, hatch=mark.hatch, lw=1.0,
                label=label,
            )  # fmt: skip
            for place, (height, bottom) in enumerate(zip(heights, floor, strict=True)):
                if height > 0.045 * most:
                    _inside(axes, theme, place, bottom + height / 2, format_amount(height, best.unit))
            floor += heights
        for place, candidate in enumerate((base, best)):
            text = format_amount(candidate.total, candidate.unit)
            axes.text(place, candidate.total + 0.015 * most, text, ha="center", va="bottom", fontweight="bold")
        names = [
            f"{name}\n{format_size(c.params)} on {format_size(c.tokens)} tokens"
            for name, c in (("Chinchilla", base), ("Plan", best))
        ]
        axes.set_xticks([0, 1], names)
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_xlim(-0.6, 1.6)
        axes.set_ylim(0, 1.1 * most)
        ax.linear(axes, "y", ax.amount(best.unit))
        axes.set_ylabel(ax.bill(best.unit))
        ax.legend_beside(axes, reverse=True)

    return Picture(
        kind="Cost terms of Chinchilla and of the plan", finding=finding, footer=subject.footer, paint=paint,
        size=(6.4, 4.6),
    )  # fmt: skip


def _inside(axes: Axes, theme: Theme, x: float, y: float, text: str) -> None:
    axes.text(
        x, y, text, ha="center", va="center", fontsize=8,
        bbox={"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.85, "pad": 1.2},
    )  # fmt: skip
