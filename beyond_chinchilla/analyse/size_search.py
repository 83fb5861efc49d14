"""The cheapest sizes under laws that no curve describes: searched, all problems of a block at once.

Where the tokens are the fewest that reach the target, and no fewer than the floors ask for, ln cost is convex in ln N:
the law is, in ln N and ln D, and the bill does not fall in D. The limits keep an interval of sizes, and beside it ever
more is over. So the sign of a slope says on which side the cheapest size lies: that of the cost where every limit is
kept, else that of the limit that is broken most. A bracket, made smaller by secants and halves, cannot miss it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.laws.whole_law import WholeLaw
from beyond_chinchilla.posynomial import Posynomial, monomial
from beyond_chinchilla.scenario.block import part_of

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Where to look, as d ln N from the cheapest model of the plain law, and how often to look further.
_DOWN, _UP, _MOVES = 0.3, 1.2, 12
_STEPS = 100
# As d ln cost / d ln N, and as d ln N: nothing is left beyond but rounding.
_FLAT, _CLOSE = 1e-13, 1e-14
# A limit is kept, and a target reached, when it is over by no more than rounding.
_SLIP = 1e-12
# Secants that end nearer to a side than this share of the bracket are held off it.
_ASIDE = 1e-3


@dataclass(frozen=True)
class _Task:
    """Problems of a block: their law, target, bill and limits."""

    whole: WholeLaw
    target_loss: Array
    cost: Posynomial
    ratios: Sequence[Posynomial]

    def part(self, chosen: NDArray[np.intp]) -> _Task:
        """Return some of them."""
        ratios = [part_of(ratio, chosen) for ratio in self.ratios]
        return _Task(self.whole.at(chosen), self.target_loss[chosen], part_of(self.cost, chosen), ratios)

    def tokens(self, n: Array) -> tuple[Array, Array]:
        """Return ln D of the fewest tokens that reach target and floors, infinite where none do, and its slope."""
        N = np.exp(n)
        D = self.whole.tokens_for(N, self.target_loss)
        by_size, by_data = self.whole.slopes(N, D)
        d, slope = np.where(np.isnan(D), np.inf, np.log(D)), -by_size / by_data
        for ratio in self.ratios:
            powers = {term.power("tokens") for term in ratio.terms}
            if max(powers) < 0.0:
                (power,) = powers
                logs = {"params": n, "tokens": np.zeros_like(n)}
                floor = -ratio.log_value(logs) / power
                slope = np.where(floor > d, -ratio.log_gradient(logs, ["params"])[..., 0] / power, slope)
                d = np.maximum(d, floor)
        return d, slope

    def slope(self, n: Array) -> tuple[Array, Flags]:
        """Return on which side of ln N the cheapest size lies, by a sign, and whether every limit is kept there."""
        d, falls = self.tokens(n)
        logs = {"params": n, "tokens": d}
        over, found = np.full_like(n, _SLIP), _along(self.cost, logs, falls)
        for ratio in self.ratios:
            value = ratio.log_value(logs)
            found = np.where(value > over, _along(ratio, logs, falls), found)
            over = np.maximum(over, value)
        if self.whole.quantisation is not None:
            # Tokens that a floor asks for may be more than few bits can hold.
            N, D = np.exp(n), np.exp(d)
            value = np.log(self.whole.loss(N, D) / self.target_loss)
            by_size, by_data = self.whole.slopes(N, D)
            found = np.where(value > over, by_size + by_data * falls, found)
            over = np.maximum(over, value)
        # Where no number of tokens reaches the target the size is too small.
        reached = np.isfinite(d) & np.isfinite(found)
        return np.where(reached, found, -np.inf), reached & (over <= _SLIP)


def search(
    whole: WholeLaw, target_loss: Array, cost: Posynomial, ratios: Sequence[Posynomial], start: Array
) -> tuple[Array, Array]:
    """Return params and tokens of the cheapest model of each problem; nan where no size keeps every limit.

    Parameters
    ----------
    whole : WholeLaw
        One law, or one a problem.
    target_loss : ndarray, shape (K,)
        [nats/token].
    cost : Posynomial
        In ``params`` (total) and ``tokens``; must not fall in tokens.
    ratios : sequence of Posynomial
        Each must be at most 1, and is a floor or does not fall in tokens; see `optimise.elementwise`.
    start : ndarray, shape (K,)
        Params of the right magnitude.
    """
    task = _Task(whole, target_loss, cost, ratios)
    with np.errstate(all="ignore"):
        n, kept = _settled(task, np.log(start))
        d, _ = task.tokens(n)
        return np.where(kept, np.exp(n), np.nan), np.where(kept, np.exp(d), np.nan)


def least_compute(whole: WholeLaw, target_loss: Array) -> tuple[Array, Array]:
    """Return params and tokens of the model of least training compute at each target; nan where none reaches it."""
    with np.errstate(all="ignore"):
        plain = whole.law.compute_optimal(loss=target_loss)
        N, D = (np.broadcast_to(values, target_loss.shape) for values in (plain.params, plain.tokens))
        if whole.is_plain:
            return N, D
        found = search(whole, target_loss, monomial("training", 6.0, {"params": 1.0, "tokens": 1.0}), (), N)
        # What needs no more than the data can fill is the plain model, to the last bit.
        same = whole.loss(N, D) <= target_loss * (1.0 + _SLIP)
        return np.where(same, N, found[0]), np.where(same, D, found[1])


def _settled(task: _Task, start: Array) -> tuple[Array, Flags]:
    """Return ln N of the cheapest sizes, and whether these keep every limit."""
    low, high, slope_low, slope_high, kept_low, kept_high = _bracket(task, start)
    left = np.arange(start.size)
    best, kept = start.copy(), np.zeros(start.size, dtype=bool)
    for step in range(_STEPS):
        width = high - low
        middle = low + 0.5 * width
        secant = low - slope_low * width / (slope_high - slope_low)
        # Between a limit and the next, or a limit and the cost, a slope jumps: there secants mean nothing.
        smooth = kept_low & kept_high & np.isfinite(secant) & (step % 3 < 2)
        n = np.where(smooth, np.clip(secant, low + _ASIDE * width, high - _ASIDE * width), middle)
        slope, here = task.part(left).slope(n) if left.size < start.size else task.slope(n)
        up = slope < 0.0
        low, slope_low, kept_low = (
            np.where(up, new, old) for new, old in ((n, low), (slope, slope_low), (here, kept_low))
        )
        high, slope_high, kept_high = (
            np.where(up, old, new) for new, old in ((n, high), (slope, slope_high), (here, kept_high))
        )
        done = (here & (np.abs(slope) < _FLAT)) | (high - low < _CLOSE * np.maximum(1.0, np.abs(high)))
        # The end that keeps the limits, where a limit is what stops it.
        found = np.where(here, n, np.where(kept_high, high, np.where(kept_low, low, n)))
        best[left], kept[left] = found, here | kept_high | kept_low
        if done.all():
            break
        go = np.flatnonzero(~done)
        left = left[go]
        low, high, slope_low, slope_high = low[go], high[go], slope_low[go], slope_high[go]
        kept_low, kept_high = kept_low[go], kept_high[go]
    return best, kept


def _bracket(task: _Task, start: Array) -> tuple[Array, Array, Array, Array, Flags, Flags]:
    """Return ends between which the slope changes its sign, the slopes there, and whether these keep every limit."""
    low, high = start - _DOWN, start + _UP
    slope_low, kept_low = task.slope(low)
    slope_high, kept_high = task.slope(high)
    for _ in range(_MOVES):
        up, down = slope_high < 0.0, slope_low > 0.0
        if not (up | down).any():
            break
        width = high - low
        low, high = (
            np.where(up, high, np.where(down, low - width, low)),
            np.where(down, low, np.where(up, high + width, high)),
        )
        slope_low, kept_low = task.slope(low)
        slope_high, kept_high = task.slope(high)
    return low, high, slope_low, slope_high, kept_low, kept_high


def _along(posynomial: Posynomial, logs: dict[str, Array], slope: Array) -> Array:
    """Return d ln value / d ln N where ln D goes along with ln N at a slope."""
    gradient = posynomial.log_gradient(logs, ["params", "tokens"])
    by_tokens = gradient[..., 1]
    # What does not know the tokens has no share of a slope without end.
    return np.asarray(gradient[..., 0] + np.where(by_tokens == 0.0, 0.0, by_tokens * slope))
