"""Axes that say 13.6B and $1.38M, and stay readable over one octave or ten decades."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator

from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.units import format_size

Write = Callable[[float], str]
Which = Literal["x", "y"]

# Mantissas of ticks, from the sparsest: the first that gives enough is taken.
_MANTISSAS = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


class HumanLogLocator(Locator):
    """Ticks of a logarithmic axis at round numbers: at least three and at most `most`, over any span.

    >>> HumanLogLocator(6).tick_values(8e9, 6e10).tolist()
    [10000000000.0, 20000000000.0, 50000000000.0]
    """

    def __init__(self, most: int = 7) -> None:
        self.most = most

    def __call__(self) -> Any:
        assert self.axis is not None
        return self.tick_values(*self.axis.get_view_interval())

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """Return the ticks between two positive ends."""
        low, high = sorted((vmin, vmax))
        if not (0 < low < high < math.inf):
            return np.array([])
        decades = np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = np.array([])
        for mantissas in _MANTISSAS:
            every = np.sort((10.0 ** decades[:, None] * np.array(mantissas)).ravel())
            inside = every[(every >= low * (1 - 1e-9)) & (every <= high * (1 + 1e-9))]
            if len(inside) > self.most:
                if len(found) < 3:
                    found = inside[:: math.ceil(len(inside) / self.most)]
                break
            found = inside
            if len(found) >= max(3, self.most - 3):
                break
        return found if len(found) >= 3 else self._even(low, high)

    def _even(self, low: float, high: float) -> Any:
        """Return ticks at even steps: less than an octave is nearly linear."""
        for most in range(min(self.most - 1, 5), self.most):
            ticks = np.asarray(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high))
            inside = ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]
            if len(inside) >= 3:
                break
        return inside


def amount(unit: str) -> Callable[[float], str]:
    """Return how ticks of a unit are written: ``$1.2M`` for USD, the plain number for anything else.

    >>> amount("USD")(1.2e6), amount("FLOP")(8e23), amount("")(3e10)
    ('$1.2M', '8e23', '30B')
    """
    if unit == "USD":
        return lambda value: ("-" if value < 0 else "") + "$" + _short(abs(value))
    return _signed


def _signed(value: float) -> str:
    return ("-" if value < 0 else "") + _short(abs(value))


def _short(value: float) -> str:
    """Return a positive number without zeros that only state precision; beyond trillions as a power of ten."""
    if value >= 1e16:
        return f"{value:.3g}".replace("e+", "e")
    return format_size(value)


def percent(value: float) -> str:
    """Return a share as a tick says it."""
    return f"{100 * value:.3g}%"


def times(value: float) -> str:
    """Return a ratio as a tick says it."""
    return f"{_short(value)}x"


def logarithmic(axes: Axes, which: Which, write: Callable[[float], str] = _signed, most: int = 7) -> None:
    """Make an axis logarithmic with human ticks."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(HumanLogLocator(most))
    axis.set_minor_locator(NullLocator())
    _written(axis, write)


def linear(
    axes: Axes, which: Which, write: Callable[[float], str] = _signed, most: int = 6, *, whole: bool = False
) -> None:
    """Give a linear axis human ticks."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10], integer=whole))
    _written(axis, write)


def _written(axis: Axis, write: Callable[[float], str]) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(float(value))))


def bill(unit: str) -> str:
    """Return what a bill in a unit is called on an axis."""
    return f"{'compute' if unit == 'FLOP' else 'cost'} over the model's life [{unit}]"


def legend_beside(axes: Axes, *, reverse: bool = False) -> None:
    """Put the legend to the right of the axes, where it covers nothing."""
    handles, words = axes.get_legend_handles_labels()
    step = -1 if reverse else 1
    axes.legend(handles[::step], words[::step], loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0.0)


def flag(axes: Axes, theme: Theme, text: str, at: tuple[float, float], shift: tuple[float, float] = (8, 8)) -> None:
    """Write a note beside a point, on a patch of paper so that lines below it do not disturb it."""
    axes.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        ha="left" if shift[0] >= 0 else "right",
        va="bottom" if shift[1] > 0 else "top" if shift[1] < 0 else "center_baseline",
        fontsize=8,
        bbox={"facecolor": theme.paper, "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
        zorder=6,
    )


def without_grid(every: Sequence[Axes]) -> None:
    """Take the grid away, as under a matrix."""
    for axes in every:
        axes.grid(visible=False)
