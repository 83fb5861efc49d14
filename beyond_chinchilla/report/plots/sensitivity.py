"""What moves a plan: one input at a time, and all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme, plain
from beyond_chinchilla.report.plots.subject import Subject, demand_of
from beyond_chinchilla.units import format_amount, format_percent

if TYPE_CHECKING:
    from beyond_chinchilla.analyse.sensitivity import Bar

# More bars than these are noise below the few that matter.
_MOST = 12
_LONGEST = 34
_HOW = "a sensitivity analysis; ask with --risk"
_FIGURES = {"params": "best size", "tokens": "its tokens", "total": "its bill", "savings": "savings"}


def tornado(subject: Subject) -> Picture:
    """Draw how far each input alone moves the bill, from its low to its high."""
    found = demand_of("tornado", subject.sensitivity, _HOW)
    if not found.bars:
        raise InputError(f"tornado: no input of {found.name} can be varied")
    ranked = sorted(found.bars, key=lambda bar: bar.width)[-_MOST:]
    finding = _widest(ranked[-1], found.unit)

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        centre = ranked[0].total
        reach = [total for bar in ranked for total in (*_totals(bar), centre)]
        margin = 0.16 * (max(reach) - min(reach)) or 0.1 * centre
        ends = min(reach) - margin, max(reach) + margin
        for place, bar in enumerate(ranked):
            for mark, total, other, value, word in (
                (theme.mark(5), bar.low_total, bar.high_total, bar.low, "low"),
                (theme.mark(1), bar.high_total, bar.low_total, bar.high, "high"),
            ):
                # Without a plan an end lies beyond the other side of the bill.
                is_left = total < centre if total is not None else (other or 0.0) >= centre
                said = "" if value is None else ax.amount("")(value)
                if total is None:
                    note = f"{said}: no plan".removeprefix(": ")
                    ax.flag(axes, theme, note, (ends[0 if is_left else 1], place), (4, 0) if is_left else (-4, 0))
                    continue
                axes.barh(
                    place, total - centre, 0.62, centre, color=mark.colour, edgecolor=theme.paper, lw=0.0,
                    hatch="" if word == "low" else "///", label=f"input at its {word} end" if place == 0 else "_",
                )  # fmt: skip
                if said:
                    ax.flag(axes, theme, said, (total, place), (-4, 0) if is_left else (4, 0))
        axes.axvline(centre, color=theme.ink, lw=1.2)
        axes.set_yticks(np.arange(len(ranked)), [plain(bar.label, _LONGEST) for bar in ranked])
        axes.grid(visible=False, axis="y")
        axes.set_xlim(*ends)
        ax.linear(axes, "x", ax.amount(found.unit))
        axes.set_xlabel(f"{ax.bill(found.unit)}, planned anew\nthe input's value beside each end")
        axes.legend(loc="lower right")

    return Picture(
        kind="What each input alone does to the bill", finding=finding, footer=subject.footer, paint=paint,
        size=(7.6, 2.2 + 0.36 * len(ranked)),
    )  # fmt: skip


def _totals(bar: Bar) -> list[float]:
    """Return the bills that there are, at low and at high."""
    return [total for total in (bar.low_total, bar.high_total) if total is not None]


def _widest(bar: Bar, unit: str) -> str:
    """Say what the widest bar means."""
    label, totals = plain(bar.label, _LONGEST), sorted(_totals(bar))
    if len(totals) == 2:
        low, high = (format_amount(total, unit) for total in totals)
        return f"{label} moves the bill most: from {low} to {high}"
    value = bar.low if bar.low_total is None else bar.high
    where = "at one end" if value is None else f"at {ax.amount('')(value)}"
    return f"{label} decides whether there is a plan at all: {where} there is none"


def sobol(subject: Subject) -> Picture:
    """Draw the share of the variance that each group of inputs explains, alone and with the others."""
    found = demand_of("sobol", subject.sensitivity, _HOW)
    if not found.sobol:
        raise InputError(
            f"sobol: fewer than two groups of inputs are uncertain in {found.name}, so that there is no variance to "
            "share out; state a range such as {median: 1B, p90: 4B}"
        )
    figures = list(dict.fromkeys(row.figure for row in found.sobol))
    groups = list(dict.fromkeys(row.group for row in found.sobol))
    rows = {(row.figure, row.group): row for row in found.sobol}
    about = "params" if "params" in figures else figures[0]
    top = max((rows[about, group] for group in groups if (about, group) in rows), key=lambda row: row.total)
    finding = (
        f"Of the variance of the {_FIGURES.get(about, about)}, {format_percent(max(top.first, 0.0), 0)} comes from "
        f"{plain(top.group, _LONGEST)} alone, {format_percent(top.total, 0)} together with the others"
    )

    def paint(figure: Figure, theme: Theme) -> None:
        panels = figure.subplots(1, len(figures), sharey=True, squeeze=False)[0]
        places = np.arange(len(groups))[::-1]
        for axes, name in zip(panels, figures, strict=True):
            here = [
                (place, rows[name, group]) for place, group in zip(places, groups, strict=True) if (name, group) in rows
            ]
            for index, (label, shift) in enumerate((("alone", 0.2), ("with the others", -0.2))):
                mark = theme.mark((0, 3)[index])
                values = [row.total if index else row.first for _, row in here]
                errors = [row.total_error if index else row.first_error for _, row in here]
                axes.barh(
                    [place + shift for place, _ in here], values, 0.36, xerr=errors, color=mark.colour, lw=0.0,
                    edgecolor=theme.paper, hatch="///" if index else "", label=label, ecolor=theme.ink, capsize=2,
                )  # fmt: skip
            axes.set_title(_FIGURES.get(name, name))
            axes.grid(visible=False, axis="y")
            axes.set_xlim(0.0, max(1.15, *(row.total + row.total_error for _, row in here)))
            ax.linear(axes, "x", ax.percent, most=3)
        panels[0].set_yticks(places, [plain(group, _LONGEST) for group in groups])
        for axes in panels:
            axes.set_xlabel("share of variance")
        ax.legend_beside(panels[-1])

    return Picture(
        kind="Sobol indices by group of inputs", finding=finding, footer=subject.footer, paint=paint,
        size=(2.0 * len(figures) + 2.6, 1.9 + 0.6 * len(groups)),
    )  # fmt: skip
