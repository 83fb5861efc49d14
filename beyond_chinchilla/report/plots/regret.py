"""The cost of being wrong: planned for one value, met another."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme, plain
from beyond_chinchilla.report.plots.subject import Subject, demand_of
from beyond_chinchilla.units import format_percent, format_size

# Cells in which a number can be read.
_MOST_NUMBERS = 13
_LONGEST = 40


def regret_map(subject: Subject) -> Picture:
    """Draw the regret of each plan for each value that may be met."""
    found = demand_of("regret-map", subject.regret_map, "a regret map; ask with --risk")
    regret = np.asarray(found.regret, dtype=float)
    if not np.isfinite(regret).any():
        raise InputError(f"regret-map: no plan of {found.name} holds anywhere on this map")
    label, unit = plain(found.label, _LONGEST), found.unit
    finding = _finding(subject)

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        count = len(found.planned)
        top = max(float(np.nanmax(regret)), 1e-9)
        # Small regrets are where decisions are made: the scale gives them room.
        norm = PowerNorm(0.5, 0.0, top)
        places = np.arange(count)
        image = axes.imshow(regret, origin="lower", cmap=f"{theme.maps}_r", norm=norm, aspect="auto")
        for i, j in np.argwhere(~np.isfinite(regret)):
            axes.add_patch(
                Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=theme.paper, edgecolor=theme.faint, hatch="xxx", lw=0)
            )
        if count <= _MOST_NUMBERS:
            for i, j in np.argwhere(np.isfinite(regret)):
                value = float(regret[i, j])
                colour = "#ffffff" if norm(value) > 0.5 else "#000000"
                axes.text(j, i, _cell(value), ha="center", va="center", fontsize=7.5, color=colour)
        step = -(-count // _MOST_NUMBERS)
        shown = places[::step]
        axes.set_xticks(shown, [format_size(found.met[place]) for place in shown], rotation=45 if count > 9 else 0)
        rows = [f"{format_size(found.planned[p])}: {_size(found.params[p])}" for p in shown]
        axes.set_yticks(shown, rows)
        axes.set_xlabel(f"{label} that is met{f' [{unit}]' if unit else ''}")
        axes.set_ylabel(f"{label} planned for{f' [{unit}]' if unit else ''}: model")
        ax.without_grid([axes])
        bar = figure.colorbar(image, ax=axes, format=lambda value, _: _cell(float(value)))
        bar.set_label("cost over that of the right plan; crossed: fails")
        bar.outline.set_visible(False)

    return Picture(
        kind=f"Regret of planning for the wrong {label}", finding=finding, footer=subject.footer, paint=paint,
        size=(8.0, 5.4),
    )  # fmt: skip


def _finding(subject: Subject) -> str:
    found = subject.regret_map
    assert found is not None
    label, uneven = plain(found.label, _LONGEST), found.asymmetry
    if uneven.under is not None and uneven.over is not None:
        factor = format_size(uneven.factor) + "x"
        under, over = (
            f"{_cell(value)} more" if _cell(value) != "0" else "no more" for value in (uneven.under, uneven.over)
        )
        return (
            f"{label[0].upper()}{label[1:]} forecast {factor} too low costs {under} than the right plan, {factor} too "
            f"high {over}"
        )
    worst = float(np.nanmax(found.regret))
    i, j = (int(place) for place in np.argwhere(found.regret == worst)[0])
    return (
        f"Worst where {label} of {format_size(found.planned[i])} was planned and {format_size(found.met[j])} met: "
        f"{_cell(worst)} more than the right plan"
    )


def _cell(value: float) -> str:
    """Return a regret in a few letters."""
    if value < 5e-4:
        return "0"
    return format_percent(value, 1 if value < 0.0995 else 0) if value < 10.0 else f"{format_size(1.0 + value)}x"


def _size(params: float) -> str:
    return format_size(params) if np.isfinite(params) else "none"
