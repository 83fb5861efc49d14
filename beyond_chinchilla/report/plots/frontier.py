"""Many plans along one line: over quality, demand or budget."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from beyond_chinchilla.analyse.frontier import Point, trace
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.units import format_amount, format_percent, format_size

# Each point of a plan by month is a geometric program.
_POINTS, _FEW_POINTS = 25, 7
_AXES = {
    "chinchilla_params": "quality: as good as Chinchilla of [parameters]",
    "demand": "demand over this scenario's",
    "budget": "budget [{unit}]",
}


def frontier(subject: Subject) -> Picture:
    """Draw the bill, or the loss that a budget buys, and the sizes behind it, beside Chinchilla's."""
    points = subject.frontier or _traced(subject)
    solved = [point for point in points if point.plan.best is not None]
    if len(solved) < 2:
        raise InputError(f"frontier: {len(solved)} of {len(points)} points have a plan; vary another range or limit")
    over, unit = points[0].over, points[0].plan.baseline.unit
    of_loss = solved[0].plan.objective == "loss"
    write = ax.times if over == "demand" else ax.amount(unit if over == "budget" else "")

    def paint(figure: Figure, theme: Theme) -> None:
        left, right = figure.subplots(1, 2)
        at = np.array([point.at for point in solved])
        best = [point.plan.best for point in solved if point.plan.best is not None]
        base = [point.plan.baseline for point in solved]
        for candidates, mark, label in ((base, theme.baseline, "Chinchilla"), (best, theme.plan, "plan")):
            style = {"color": mark.colour, "ls": mark.line, "marker": mark.marker, "ms": 3.5}
            left.plot(
                at, [candidate.loss if of_loss else candidate.total for candidate in candidates], label=label, **style
            )
            right.plot(at, [candidate.params for candidate in candidates], label=label, **style)
        missing = [point.at for point in points if point.plan.best is None]
        for axes in (left, right):
            if missing:
                axes.plot(
                    missing, [0.02] * len(missing), "x", color=theme.ink, label="no plan", clip_on=False,
                    transform=axes.get_xaxis_transform(),
                )  # fmt: skip
            ax.logarithmic(axes, "x", write, most=5)
            axes.set_xlabel(_AXES[over].format(unit=unit))
            axes.legend(loc="best")
        if of_loss:
            ax.linear(left, "y", lambda loss: f"{loss:.3f}")
            left.set_ylabel("loss [nats/token]")
        else:
            ax.logarithmic(left, "y", ax.amount(unit), most=6)
            left.set_ylabel(ax.bill(unit))
        ax.logarithmic(right, "y", most=6)
        right.set_ylabel("model size [parameters]")

    return Picture(
        kind=f"Plans over {over.replace('_', ' ')}", finding=_finding(solved, write), footer=subject.footer,
        paint=paint, size=(9.0, 4.2),
    )  # fmt: skip


def _traced(subject: Subject) -> list[Point]:
    over = "budget" if subject.problem.objective == "loss" else "target"
    if over == "target":
        subject.refuse_resumed("frontier")
    return trace(subject.problem, over, points=_FEW_POINTS if subject.problem.is_codesign else _POINTS)


def _finding(solved: list[Point], write: ax.Write) -> str:
    """Say what both ends of the line are like."""
    ends = []
    for point in (solved[0], solved[-1]):
        best, at = point.plan.best, write(point.at)
        assert best is not None
        if point.plan.objective == "loss":
            ends.append(f"{at} buys a loss of {best.loss:.3f} with {format_size(best.params)} parameters")
            continue
        where = {"chinchilla_params": f"the quality of Chinchilla-{at}", "demand": f"{at} the demand", "budget": at}
        ends.append(f"{where[point.over]} costs {format_amount(best.total, best.unit)}, {_beside(point.plan)}")
    text = "; ".join(ends)
    return text[0].upper() + text[1:]


def _beside(plan: Plan) -> str:
    """Return a bill beside that of the Chinchilla model."""
    saved = plan.savings_fraction
    if saved <= -1.0:
        return f"{1.0 - saved:,.{1 if saved > -9 else 0}f} times what Chinchilla's costs"
    return f"{format_percent(abs(saved), 0)} {'less' if saved >= 0 else 'more'} than Chinchilla's"
