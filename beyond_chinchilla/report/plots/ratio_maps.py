"""Cost, size and tokens of the best model over those of Chinchilla's, for all demands and losses at once.

Figures 2 (FLOPs) and 6 (USD) of Sardana et al. 2024.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.analyse.disagreement import equivalent_size
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.units import format_percent, format_size, format_times

Array = NDArray[np.float64]

# How far the map reaches around the scenario: of its demand, and of its Chinchilla size, each way.
_DEMANDS, _SIZES = 100.0, 12.0
_FINE = 40
# Lines with a number on them.
_LEVELS = {
    "cost": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99),
    "params": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    "tokens": (1.05, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0),
}
_TITLES = {"cost": "total", "params": "parameters", "tokens": "training tokens"}


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """The best model over the Chinchilla model of equal loss (numeric, broadcasting)."""

    cost: Array
    params: Array
    tokens: Array


def ratios(problem: Problem, loss: ArrayLike, factor: ArrayLike) -> Ratios:
    """Return the ratios at losses [nats/token] and multiples of a problem's demand (numeric, broadcasting).

    Limits are set aside.

    Raises
    ------
    InputError
        The bill is no a N D + b N.
    """
    if problem.rates is None:
        raise InputError(
            f"ratio-maps need a bill a N D + b N, and {problem.name} pays by the month, for data, or under a law that "
            "counts no embeddings; draw its cost-curve or frontier"
        )
    law, (train_rate, serve_rate) = problem.law, problem.rates
    best = universal.optimum(law, loss, train_rate, serve_rate * np.asarray(factor, dtype=float))
    base = law.compute_optimal(loss=loss)
    return Ratios(
        cost=np.exp(universal.log_cost_ratio(best.spend_ratio, law.alpha, law.beta)),
        params=best.params / base.params,
        tokens=best.tokens / base.tokens,
    )


def ratio_maps(subject: Subject) -> Picture:
    """Draw the maps for the objective at hand, and in FLOPs besides where that is money."""
    subject.refuse_resumed("ratio-maps")
    subject.refuse_extended("ratio-maps")
    _ = subject.best
    asked = subject.asked
    compute = replace(asked, cost=asked.flops, nominal_cost=None, limits=(), bill=None, name=f"{asked.name} in FLOPs")
    demand, unit = subject.scenario.demand()
    rows = [("FLOP", compute)] if asked.cost.unit == "FLOP" else [("FLOP", compute), ("USD", asked)]
    mine = {name: ratios(problem, asked.target_loss, 1.0) for name, problem in rows}
    size = equivalent_size(asked)
    own = mine[rows[-1][0]]
    finding = (
        f"At {format_size(demand)} {unit} and Chinchilla-{format_size(size)} quality the best model has "
        f"{format_times(float(own.params))} the parameters and {format_times(float(own.tokens))} the tokens, and saves "
        f"{format_percent(1.0 - float(own.cost), 0)}"
    )

    def paint(figure: Figure, theme: Theme) -> None:
        panels = figure.subplots(len(rows), 3, squeeze=False, sharex=True, sharey=True)
        factors = np.geomspace(1.0 / _DEMANDS, _DEMANDS, _FINE)
        sizes = np.geomspace(size / _SIZES, size * _SIZES, _FINE)
        for row, (name, problem) in enumerate(rows):
            law = problem.law
            loss = np.asarray(law.compute_optimal(params=law.counted_params(sizes)).loss)
            found = ratios(problem, loss[:, None], factors[None, :])
            for column, key in enumerate(_TITLES):
                axes, values = panels[row, column], getattr(found, key)
                _map(axes, theme, key, (demand * factors, sizes, values))
                axes.plot([demand], [size], "*", color="#ffffff", mec="#000000", ms=13, zorder=5)
                value = float(getattr(mine[name], key))
                axes.set_title(
                    f"{_TITLES[key]}{f' [{name}]' if key == 'cost' else ''}: {format_times(value)} at the star"
                )
                if row == len(rows) - 1:
                    axes.set_xlabel(f"demand over the life [{unit}]")
            panels[row, 0].set_ylabel(f"in {name}\nquality: as good as Chinchilla of [params]")
            _losses(panels[row, 2], problem)
        ax.without_grid(list(panels.flat))

    return Picture(
        kind="Cost, size and tokens over Chinchilla's by demand and quality",
        finding=finding,
        footer=f"{subject.footer} | limits set aside",
        paint=paint,
        size=(10.4, 3.6 if len(rows) == 1 else 6.6),
    )


def _map(axes: Axes, theme: Theme, key: str, data: tuple[Array, Array, Array]) -> None:
    """Fill the bands between the levels, and write each level on its line."""
    x, y, values = data
    # Fixed bands: the maps of two scenarios compare.
    levels = _LEVELS[key]
    ends = (1.0, 1e6) if key == "tokens" else (0.0, 1.0)
    shades = np.linspace(0.0, 1.0, len(levels) + 1)
    colours = colormaps[theme.maps](shades[::-1] if key == "tokens" else shades)
    ax.logarithmic(axes, "x", most=5)
    ax.logarithmic(axes, "y", most=7)
    axes.contourf(x, y, np.clip(values, *ends), levels=[ends[0], *levels, ends[1]], colors=colours)
    inside = [(level, place) for place, level in enumerate(levels) if values.min() < level < values.max()]
    if inside:
        # Black on the light half of the colours, white on the dark half.
        is_light = [(place / len(levels) > 0.5) != (key == "tokens") for _, place in inside]
        tint = ["#000000" if light else "#ffffff" for light in is_light]
        lines = axes.contour(x, y, values, levels=[level for level, _ in inside], colors=tint, linewidths=0.8)
        places = _places(data, [level for level, _ in inside])
        if places:
            axes.clabel(lines, fmt=lambda value: f"{value:g}x", fontsize=7.5, manual=places)


def _places(data: tuple[Array, Array, Array], levels: list[float]) -> list[tuple[float, float]]:
    """Return where to write the levels: across their lines, which run side by side, in two staggered rows."""
    x, y, values = data
    steps = np.linspace(0.0, 1.0, 4 * len(x))
    found = []
    for order, level in enumerate(levels):
        shift = (-0.13, 0.13)[order % 2]
        columns, rows = steps + shift, 1.0 - steps + shift
        inside = (np.minimum(columns, rows) > 0.06) & (np.maximum(columns, rows) < 0.94)
        i, j = (np.rint(part[inside] * (len(x) - 1)).astype(int) for part in (rows, columns))
        across = values[i, j]
        if across.min() < level < across.max():
            nearest = int(np.argmin(np.abs(across - level)))
            found.append((float(x[j[nearest]]), float(y[i[nearest]])))
    return found


def _losses(axes: Axes, problem: Problem) -> None:
    """Write the losses of the sizes on the right."""
    law = problem.law

    def loss(size: float) -> str:
        return f"{float(law.compute_optimal(params=law.counted_params(size)).loss):.3f}"

    right = axes.secondary_yaxis("right")
    low, high = axes.get_ylim()
    ticks = ax.HumanLogLocator(7).tick_values(low, high)
    right.set_yticks(ticks, [loss(float(size)) for size in ticks])
    right.set_yticks([], minor=True)
    right.set_ylabel("loss [nats/token]")
