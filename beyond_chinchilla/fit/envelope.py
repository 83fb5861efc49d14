"""Approach 1: the envelope of training curves (Hoffmann et al. 2022, section 3.1).

One curve per model gives its loss at every FLOP value that it passed, C = 6ND. At each of 1500 log-spaced FLOP values
the model of least loss is efficient; a straight line through these models in logs is the law N_opt = k C^a, with
D_opt = C / (6 N_opt). A model can be efficient at some compute only beside a smaller and a larger one that were also
trained that far: elsewhere the size range, not the loss, chose it, and those FLOP values are named and left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.curves import merge, smooth_loss
from beyond_chinchilla.fit.isoflop import LEVEL, FrontierLaw, positive_columns
from beyond_chinchilla.units import format_size

Array = NDArray[np.float64]

POINTS = 1500
WINDOW = 0.1


@dataclass(frozen=True, eq=False)
class TrainingCurve:
    """The loss of one model along its training.

    Parameters
    ----------
    params : float
        Parameters.
    tokens, loss : array_like, shape (points,)
        Tokens seen, in any order, and the loss there [nats/token].
    name : str
        For people; the size by default.

    Raises
    ------
    InputError
        Fewer than two different numbers of tokens, or a value that is not a positive number.
    """

    params: float
    tokens: Array
    loss: Array
    name: str = ""

    def __post_init__(self) -> None:
        positive_columns(params=self.params)
        tokens, loss = positive_columns(tokens=self.tokens, loss=self.loss)
        tokens, loss = merge(tokens, loss)
        if tokens.size < 2:
            raise InputError(
                f"the curve of {format_size(self.params)} params has {tokens.size} point; a curve needs two"
            )
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "loss", loss)
        object.__setattr__(self, "name", self.name or format_size(self.params))

    @property
    def flops(self) -> Array:
        """Return the training compute at each point, 6ND [FLOP]."""
        return 6.0 * self.params * self.tokens


@dataclass(frozen=True, eq=False)
class EnvelopeFit:
    """Approach 1: the efficient frontier, and the law through it.

    Parameters
    ----------
    flops : array, shape (points,)
        Log-spaced FLOP values, from the first that a curve covers to the last.
    loss : array, shape (points,)
        Least smoothed loss over the models that were trained so far; nan where none was.
    model : array of int, shape (points,)
        Index of the efficient model, -1 where there is none.
    inside : array of bool, shape (points,)
        Whether a smaller and a larger model covered the value as well: the law rests on these.
    names : tuple of str
        Of the models.
    params : array, shape (models,)
        Of the models.
    law : FrontierLaw
        N_opt and D_opt over compute.
    window : float
        Width of the smoothing window in ln tokens.
    warnings : tuple of str
        What to know before relying on it.
    edge : tuple of str
        Models that are efficient somewhere for want of a smaller or a larger one.
    """

    flops: Array
    loss: Array
    model: NDArray[np.intp]
    inside: NDArray[np.bool_]
    names: tuple[str, ...]
    params: Array
    law: FrontierLaw
    window: float
    warnings: tuple[str, ...] = ()
    edge: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it; the frontier as the stretch of compute of each efficient model."""
        stretches = []
        starts = np.flatnonzero(np.diff(self.model, prepend=-2))
        for start, stop in zip(starts, [*starts[1:], self.model.size], strict=True):
            index = int(self.model[start])
            if index >= 0:
                ends = (float(self.flops[start]), float(self.flops[stop - 1]))
                # A model may be on the edge for a part of its stretch.
                share = float(self.inside[start:stop].mean())
                stretches.append({"model": self.names[index], "flops": list(ends), "inside": share})
        return {
            "approach": 1,
            **self.law.to_dict(),
            "window": self.window,
            "points": int(self.flops.size),
            "points_used": int(self.inside.sum()),
            "frontier": stretches,
            "edge": list(self.edge),
            "warnings": list(self.warnings),
        }


def fit_envelope(
    curves: Sequence[TrainingCurve],
    *,
    window: float = WINDOW,
    points: int = POINTS,
    samples: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> EnvelopeFit:
    """Fit Approach 1: the efficient frontier of training curves and the power laws over it.

    Each curve is smoothed (`smooth_loss`) and interpolated linearly in ln loss over ln FLOP; nothing is extrapolated.
    Intervals: models are drawn with replacement, and frontier and law found again. The curves of a run that was
    planned for more tokens lie above those of a run that ended there: with a cosine schedule, give the curves of
    several lengths of each size, of which the least counts.

    Parameters
    ----------
    curves : sequence of TrainingCurve
        At least three sizes; several curves of one size are welcome.
    window : float
        Width of the smoothing window in ln tokens; 0 for none.
    points : int
        FLOP values; Hoffmann's 1500 by default.
    samples : int
        Bootstrap draws; 0 for no interval.
    seed : int
        Of the draws.
    level : float
        Of the percentile intervals.

    Raises
    ------
    InputError
        Fewer than three sizes, or a setting out of range.
    FitError
        Fewer than two models are efficient between a smaller and a larger one.

    Examples
    --------
    >>> tokens = np.geomspace(1e8, 1e12, 200)
    >>> sizes = np.geomspace(1e7, 1e10, 20)
    >>> curves = [TrainingCurve(N, tokens, 2 + 400 * N**-0.3 + 400 * tokens**-0.3) for N in sizes]
    >>> round(fit_envelope(curves, samples=0).law.a, 2)
    0.5
    """
    if window < 0 or points < 2 or samples < 0 or not 0 < level < 1:
        raise InputError(
            f"window must be >= 0, points >= 2, samples >= 0 and level between 0 and 1; "
            f"got {window}, {points}, {samples} and {level}"
        )
    params = np.array([curve.params for curve in curves], dtype=float)
    sizes, kind = np.unique(params, return_inverse=True)
    if sizes.size < 3:
        raise InputError(
            f"approach 1 needs the curves of three sizes, not {sizes.size}: the best must stand between two others"
        )
    low = min(float(curve.flops[0]) for curve in curves)
    high = max(float(curve.flops[-1]) for curve in curves)
    flops = np.geomspace(low, high, points)
    losses = np.stack([_interpolated(curve, flops, window) for curve in curves])
    rng = np.random.default_rng(seed)
    best, inside = _frontier(losses, kind)
    efficient = np.unique(kind[best[inside]])
    if efficient.size < 2:
        raise FitError(
            f"{efficient.size} of {sizes.size} sizes are efficient between a smaller and a larger one trained as far; "
            "two are needed; add sizes, or longer curves of the small ones"
        )
    log_flops, log_params = np.log(flops), np.log(params)
    log_k, a = _line(log_flops[inside], log_params[best[inside]])
    draws = []
    for _ in range(samples):
        chosen = np.unique(rng.integers(0, params.size, params.size))
        redrawn, between = _frontier(losses[chosen], kind[chosen])
        sizes_drawn = log_params[chosen][redrawn[between]]
        if sizes_drawn.size and np.ptp(sizes_drawn) > 0:
            draws.append(_line(log_flops[between], sizes_drawn))
    covered = np.isfinite(losses).any(axis=0)
    loss = np.where(covered, np.min(np.where(np.isfinite(losses), losses, np.inf), axis=0), np.nan)
    edge, warnings = _on_edge(curves, best, covered & ~inside, points)
    if len(draws) < 0.95 * samples:
        warnings.append(
            f"{samples - len(draws)} of {samples} bootstrap draws left fewer than two efficient sizes: "
            "the interval rests on the others, and is too narrow"
        )
    return EnvelopeFit(
        flops=flops,
        loss=loss,
        model=np.where(covered, best, -1),
        inside=inside,
        names=tuple(curve.name for curve in curves),
        params=params,
        law=FrontierLaw(a, log_k, np.array(draws).reshape(-1, 2), level),
        window=window,
        warnings=tuple(warnings),
        edge=edge,
    )


def _interpolated(curve: TrainingCurve, flops: Array, window: float) -> Array:
    """Return the smoothed loss of a curve at each FLOP value; nan where the curve did not go."""
    loss = np.log(smooth_loss(np.log(curve.tokens), curve.loss, window))
    own = np.log(curve.flops)
    # The ends of the grid are ends of curves, up to rounding.
    x = np.log(flops)
    value = np.interp(x, own, loss)
    covered = (x >= own[0] - 1e-9) & (x <= own[-1] + 1e-9)
    return np.where(covered, np.exp(value), np.nan)


def _frontier(losses: Array, kind: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the best curve at each FLOP value, and whether a smaller and a larger size covered it, too."""
    known = np.isfinite(losses)
    best = np.argmin(np.where(known, losses, np.inf), axis=0)
    column = kind[:, None]
    smallest = np.min(np.where(known, column, np.iinfo(np.intp).max), axis=0)
    largest = np.max(np.where(known, column, -1), axis=0)
    chosen = kind[best]
    return best, (smallest < chosen) & (chosen < largest)


def _line(x: Array, y: Array) -> tuple[float, float]:
    """Return (intercept, slope) by least squares."""
    offset = x - x.mean()
    slope = float(offset @ y / (offset @ offset))
    return float(y.mean()) - slope * float(x.mean()), slope


def _on_edge(
    curves: Sequence[TrainingCurve], best: NDArray[np.intp], edge: NDArray[np.bool_], points: int
) -> tuple[tuple[str, ...], list[str]]:
    """Name the models that are efficient only for want of a smaller or a larger one."""
    counts = np.bincount(best[edge], minlength=len(curves))
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda index: curves[index].params)
    names = tuple(curves[index].name for index in order)
    if not names:
        return names, []
    total = int(edge.sum())
    listed = ", ".join(f"{curves[index].name} ({counts[index]})" for index in order)
    warning = (
        f"at {total} of {points} FLOP values no smaller or no larger model was trained as far as the best one: "
        f"left out; best there: {listed}"
    )
    return names, [warning]
