"""All models at once: iso-loss and isoFLOP lines over size and tokens, and the path of the best as demand grows."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from beyond_chinchilla.analyse.frontier import scale_demand
from beyond_chinchilla.optimise.locate import locate, unlimited
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.report.plots import axes as ax
from beyond_chinchilla.report.plots.figure import Picture
from beyond_chinchilla.report.plots.style import Theme
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.units import format_size

Array = NDArray[np.float64]

# Factors of the demand along the path; those that are named on it.
_FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_NAMED = (0.1, 1.0, 10.0, 100.0)
_LINES = 9
_FINE = 80


def path(problem: Problem) -> tuple[Array, Array, Array]:
    """Return demand factors, total parameters and tokens of the best models, limits set aside; first without demand."""
    free = unlimited(problem)
    start = problem.law.compute_optimal(loss=problem.target_loss)
    found = [locate(scale_demand(free, factor)) for factor in _FACTORS]
    N = np.array([float(start.params), *(point.params for point in found)])
    D = np.array([float(start.tokens), *(point.tokens for point in found)])
    return np.array([0.0, *_FACTORS]), np.asarray(problem.law.total_params(N)), D


def contours(subject: Subject) -> Picture:
    """Draw lines of equal loss and of equal training compute, and the best model's path as demand grows from 0."""
    subject.refuse_resumed("contours")
    subject.refuse_extended("contours")
    problem, best = subject.asked, subject.best
    factors, sizes, tokens = path(problem)
    at = float(sizes[0]), float(tokens[0])
    own, tenfold = (int(np.flatnonzero(factors == factor)[0]) for factor in (1.0, 10.0))
    finding = (
        f"At equal loss demand moves the best model from {format_size(at[0])} on {format_size(at[1])} tokens to "
        f"{format_size(sizes[own])} on {format_size(tokens[own])}, and tenfold demand to {format_size(sizes[tenfold])}"
    )
    if abs(math.log(best.params / sizes[own])) > 0.01:
        finding += f"; limits ask for {format_size(best.params)} on {format_size(best.tokens)}"

    def paint(figure: Figure, theme: Theme) -> None:
        axes = figure.subplots()
        low_N, high_N = min(sizes.min(), best.params) / 3.0, sizes.max() * 3.0
        low_D, high_D = tokens.min() / 6.0, max(tokens.max(), best.tokens) * 2.0
        # Before the lines: their labels turn with them as they lie on these axes.
        ax.logarithmic(axes, "x")
        ax.logarithmic(axes, "y")
        axes.set_xlim(low_N, high_N)
        axes.set_ylim(low_D, high_D)
        N, D = np.geomspace(low_N, high_N, _FINE), np.geomspace(low_D, high_D, _FINE)
        law = problem.law
        loss = np.asarray(law.loss(law.counted_params(N)[None, :], D[:, None]))
        levels = _levels(float(loss.min()), float(loss.max()), problem.target_loss)
        drawn = axes.contour(N, D, loss, levels=levels, colors=theme.faint, linewidths=0.9)
        axes.clabel(drawn, fmt="%.3g", fontsize=7.5, inline_spacing=3)
        axes.contour(N, D, loss, levels=[problem.target_loss], colors=theme.ink, linewidths=1.8)
        flops = np.asarray(law.counted_params(N))[None, :] * 6.0 * D[:, None]
        powers = 10.0 ** np.arange(math.ceil(math.log10(flops.min())), math.floor(math.log10(flops.max())) + 1)
        isoflop = axes.contour(
            N, D, flops, levels=powers, colors=theme.series[4].colour, linewidths=0.8, linestyles="dashed"
        )
        axes.clabel(isoflop, fmt=lambda value: f"{value:.0e} FLOP".replace("e+", "e"), fontsize=7, inline_spacing=2)
        axes.plot([], [], color=theme.faint, lw=0.9, label="equal loss [nats/token]")
        axes.plot([], [], color=theme.ink, lw=1.8, label=f"target loss {problem.target_loss:.4g}")
        axes.plot([], [], color=theme.series[4].colour, lw=0.8, ls="--", label="equal training compute, 6ND")
        chinchilla = law.compute_optimal(params=law.counted_params(N))
        base, mark = theme.baseline, theme.plan
        axes.plot(N, chinchilla.tokens, color=base.colour, ls=base.line, lw=1.6, label="Chinchilla at each loss")
        axes.plot(sizes, tokens, color=mark.colour, lw=3.0, label="best as demand grows", zorder=5)
        axes.plot(*at, marker=base.marker, color=base.colour, mec=theme.paper, ms=9, ls="none", zorder=6)
        for factor, size, count in zip(factors, sizes, tokens, strict=True):
            if factor in _NAMED:
                axes.plot([size], [count], marker="o", color=mark.colour, mec=theme.paper, ms=6, ls="none", zorder=6)
                ax.flag(axes, theme, f"{ax.times(factor)} demand", (size, count), (-7, -3))
        ax.flag(axes, theme, "no demand", at, (9, 5))
        label = f"plan: {format_size(best.params)} on {format_size(best.tokens)}"
        axes.plot([best.params], [best.tokens], "*", color=mark.colour, mec=theme.ink, ms=14, label=label, zorder=7)
        axes.set_xlabel("model size [parameters]")
        axes.set_ylabel("training data [tokens]")
        ax.without_grid([axes])
        ax.legend_beside(axes)

    return Picture(
        kind="Lines of equal loss and of equal training compute over size and tokens", finding=finding,
        footer=subject.footer, paint=paint, size=(7.6, 5.0),
    )  # fmt: skip


def _levels(low: float, high: float, target: float) -> list[float]:
    """Return round losses of even spacing in their reach, without one that would fall on the target."""
    step = (high - low) / _LINES
    power = 10.0 ** math.floor(math.log10(step))
    step = next(power * mantissa for mantissa in (1.0, 2.0, 5.0, 10.0) if power * mantissa >= step)
    first = math.ceil(low / step)
    every = [round(step * number, 12) for number in range(first, math.floor(high / step) + 1)]
    return [level for level in every if abs(level - target) > 0.2 * step]
