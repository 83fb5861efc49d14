"""Which model is ahead when: loss curves against GPU-hours ("Chinchilla's death", espadrine, 23 July 2023).

At equal GPU-hours small models fall first, larger ones overtake them, and small ones that are trained on may overtake
again. Curves are read off noisy logs or figures, so each is smoothed, and one model passes another only once its lead
has grown to a stated margin. A run that has ended keeps its last loss: its model is there, and costs nothing more.
Losses on other data or of another tokenizer do not compare.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.fit.curves import Curve, Tail, fit_tail, smooth_loss
from beyond_chinchilla.fit.isoflop import LEVEL, interval

Array = NDArray[np.float64]

WINDOW = 0.1
MARGIN = 0.002
MISLEADING = (
    "The tail of a cosine schedule misleads: it shows how the learning rate came down as much as how the model learns, "
    "and the interval holds the noise of the curve alone, not the doubt about the form."
)


@dataclass(frozen=True)
class Lead:
    """A stretch of time in which one model is ahead; `end` is the race's last hour for the last one."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Crossing:
    """One model passes another.

    Parameters
    ----------
    hours : float
        From when the overtaker stays ahead [GPU-hours].
    first_hours : float
        When the two first drew level on the way there: the same, unless they ran side by side within the margin.
    loss : float
        Their loss there [nats/token].
    overtaker, overtaken : str
        Names.
    again : bool
        The overtaker was ahead of the other before.
    finished : bool
        The other's run had ended.
    """

    hours: float
    first_hours: float
    loss: float
    overtaker: str
    overtaken: str
    again: bool
    finished: bool


@dataclass(frozen=True)
class Extrapolation:
    """Where the tail of one curve would lead if it went on as it ended.

    Parameters
    ----------
    name : str
        Of the curve.
    tail : {"power", "linear"}
        loss = exp(c0) hours^c1, or loss = c0 + c1 hours.
    hours : float
        The time asked about [GPU-hours].
    loss : float
        The loss then [nats/token].
    interval : pair of float
        Its percentile interval: the noise of the curve alone, not the doubt about the form.
    ahead : float
        Share of the draws in which it would be ahead of every other curve as measured.
    reaches : float or None
        Hours at which it would reach the stated loss; None if none was stated or it never would.
    """

    name: str
    tail: Tail
    hours: float
    loss: float
    interval: tuple[float, float] | None
    ahead: float
    reaches: float | None = None


@dataclass(frozen=True, eq=False)
class Race:
    """Several curves on one time axis.

    Parameters
    ----------
    curves : tuple of Curve
    smoothed : tuple of array
        Their losses after smoothing.
    window : float
        Width of the smoothing window in ln hours.
    margin : float
        Lead from which one model has passed another [nats/token].
    price : float or None
        USD per GPU-hour.
    leads : tuple of Lead
        Who is ahead when, in order of time.
    crossings : tuple of Crossing
        Of every two curves, in order of time.
    """

    curves: tuple[Curve, ...]
    smoothed: tuple[Array, ...]
    window: float
    margin: float
    price: float | None
    leads: tuple[Lead, ...]
    crossings: tuple[Crossing, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the curves."""
        return tuple(curve.name for curve in self.curves)

    @property
    def span(self) -> tuple[float, float]:
        """Return the first hour of any curve and the last [GPU-hours]."""
        return min(float(curve.hours[0]) for curve in self.curves), max(curve.final_hours for curve in self.curves)

    def loss_at(self, hours: ArrayLike) -> Array:
        """Return every curve's smoothed loss by each hour, shape (curves, hours).

        nan before a curve begins; its last value after it ends.
        """
        return _losses(self.curves, self.smoothed, np.atleast_1d(np.asarray(hours, dtype=float)))

    def frontier(self, hours: ArrayLike) -> tuple[Array, list[str | None]]:
        """Return the least loss of any curve by each hour and whose it is; nan and None before the first."""
        losses = self.loss_at(hours)
        known = np.asarray(np.isfinite(losses).any(axis=0))
        best = np.argmin(np.where(np.isfinite(losses), losses, np.inf), axis=0)
        least = losses[best, np.arange(best.size)]
        return least, [
            self.names[index] if yes else None for index, yes in zip(best.tolist(), known.tolist(), strict=True)
        ]

    def reaching(self, loss: float) -> list[dict[str, Any]]:
        """Return when each curve reaches a loss, the first first, and what that one saves against the others.

        ``by`` marks a curve that was at the loss when it began: it took these hours at most. ``hours`` is None for a
        curve that never gets there.
        """
        if not (math.isfinite(loss) and loss > 0):
            raise InputError(f"loss must be a positive number of nats per token, not {loss:g}")
        rows: list[dict[str, Any]] = []
        for curve, values in zip(self.curves, self.smoothed, strict=True):
            below = np.flatnonzero(values <= loss)
            hours = None if below.size == 0 else _level(curve.hours, values, int(below[0]), loss)
            rows.append({"name": curve.name, "hours": hours, "by": bool(below.size and below[0] == 0)})
        rows.sort(key=lambda row: math.inf if row["hours"] is None else row["hours"])
        first = rows[0]["hours"]
        for row in rows:
            row["saved_by_first"] = None if row["hours"] is None else row["hours"] - first
            row["usd"] = self._usd(row["hours"])
            row["usd_saved_by_first"] = self._usd(row["saved_by_first"])
        return rows

    def spending(self, hours: float) -> list[dict[str, Any]]:
        """Return the loss that each curve has reached by an hour, the least first; None where it has not begun."""
        if not (math.isfinite(hours) and hours > 0):
            raise InputError(f"hours must be a positive number, not {hours:g}")
        rows: list[dict[str, Any]] = []
        for curve, loss in zip(self.curves, self.loss_at(hours)[:, 0].tolist(), strict=True):
            known = None if math.isnan(loss) else loss
            rows.append({"name": curve.name, "loss": known, "finished": curve.final_hours <= hours})
        return sorted(rows, key=lambda row: math.inf if row["loss"] is None else row["loss"])

    def table(self, points: int = 50) -> list[dict[str, Any]]:
        """Return the time frontier at log-spaced hours, with every curve's loss beside it."""
        low, high = self.span
        hours = np.geomspace(low, high, points)
        hours[0], hours[-1] = low, high
        losses = self.loss_at(hours)
        least, leaders = self.frontier(hours)
        rows = []
        for index, hour in enumerate(hours.tolist()):
            row: dict[str, Any] = {"hours": hour, "usd": self._usd(hour)}
            row |= {"loss": float(least[index]), "leader": leaders[index]}
            for name, value in zip(self.names, losses[:, index].tolist(), strict=True):
                row[f"loss {name}"] = None if math.isnan(value) else value
            rows.append(row)
        return rows

    def extrapolate(
        self,
        share: float,
        *,
        hours: float | None = None,
        loss: float | None = None,
        tail: Tail = "power",
        samples: int = 1000,
        seed: int = 0,
        level: float = LEVEL,
    ) -> list[Extrapolation]:
        """Say where each curve that ends before `hours` would go if its tail went on.

        A straight line by least squares, in logs ("power") or not ("linear"), through the points of the last `share`
        of its hours, with a bootstrap over blocks of residuals (`fit_tail`). It misleads: see `MISLEADING`.

        Parameters
        ----------
        share : float
            Share of the run at its end to fit, in (0, 1].
        hours : float, optional
            Time to look at; by default the end of the longest run.
        loss : float, optional
            A loss to reach.
        tail : {"power", "linear"}
            Form of the tail.
        samples, seed, level
            Bootstrap draws, their seed, and the level of the interval.

        Raises
        ------
        InputError
            A share outside (0, 1], or with fewer than four points in it.
        """
        until = self.span[1] if hours is None else hours
        for what, value in (("hours", until), ("loss", 1.0 if loss is None else loss)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{what} must be a positive number, not {value:g}")
        rivals = self.loss_at(until)[:, 0]
        found = []
        for index, curve in enumerate(self.curves):
            if curve.final_hours >= until:
                continue
            line = fit_tail(curve, share, tail, samples=samples, seed=seed)
            then = line.loss_at(until)
            others = np.delete(rivals, index)
            # A curve that has not begun by then is no rival.
            least = float(np.min(np.where(np.isfinite(others), others, np.inf)))
            found.append(
                Extrapolation(
                    name=curve.name,
                    tail=tail,
                    hours=until,
                    loss=float(then[0]),
                    interval=interval(then[1:], level),
                    ahead=float((then < least).mean()),
                    reaches=None if loss is None else line.hours_to(loss),
                )
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the race as JSON holds it."""
        return {
            "schema": "beyond-chinchilla/race/1",
            "window": self.window,
            "margin": self.margin,
            "price": self.price,
            "curves": [curve.to_dict() for curve in self.curves],
            "leads": [lead.__dict__ for lead in self.leads],
            "crossings": [crossing.__dict__ for crossing in self.crossings],
            "frontier": self.table(),
        }

    def _usd(self, hours: float | None) -> float | None:
        return None if self.price is None or hours is None else hours * self.price


def race(
    curves: Sequence[Curve], *, window: float = WINDOW, margin: float = MARGIN, price: float | None = None
) -> Race:
    """Set curves on one time axis and find who is ahead when, and who passes whom.

    Parameters
    ----------
    curves : sequence of Curve
        At least two, of different names.
    window : float
        Width of the smoothing window in ln hours: 0.1 averages over the 5% before and after; 0 for none.
    margin : float
        Lead from which one model has passed another [nats/token].
    price : float, optional
        USD per GPU-hour.

    Raises
    ------
    InputError
        Fewer than two curves, a name twice, or a setting out of range.

    Examples
    --------
    >>> hours = np.geomspace(1, 1000, 200)
    >>> small = Curve("small", hours, 2.2 + 1.0 / hours)
    >>> large = Curve("large", hours, 2.0 + 3.0 / hours)
    >>> [(lead.name, round(lead.end)) for lead in race([small, large], window=0).leads]
    [('small', 10), ('large', 1000)]
    """
    names = [curve.name for curve in curves]
    twice = sorted({name for name in names if names.count(name) > 1})
    if len(curves) < 2 or twice:
        what = f"'{twice[0]}' runs twice; give every curve its own name" if twice else "a race needs two curves"
        raise InputError(what)
    if not (window >= 0 and margin >= 0 and (price is None or price >= 0) and math.isfinite(window + margin)):
        raise InputError(f"window, margin and price must be >= 0; got {window:g}, {margin:g} and {price}")
    curves = tuple(curves)
    smoothed = tuple(smooth_loss(np.log(curve.hours), curve.loss, window) for curve in curves)
    grid = np.unique(np.concatenate([curve.hours for curve in curves]))
    losses = _losses(curves, smoothed, grid)
    crossings = []
    for first, second in itertools.combinations(range(len(curves)), 2):
        crossings += _crossings(grid, losses[[first, second]], (curves[first], curves[second]), margin)
    crossings.sort(key=lambda crossing: crossing.hours)
    return Race(curves, smoothed, window, margin, price, _leads(grid, losses, names, margin), tuple(crossings))


def _losses(curves: Sequence[Curve], smoothed: Sequence[Array], hours: Array) -> Array:
    x = np.log(hours)
    rows = [
        np.interp(x, np.log(curve.hours), values, left=np.nan) for curve, values in zip(curves, smoothed, strict=True)
    ]
    return np.stack(rows)


def _level(hours: Array, gap: Array, index: int, level: float = 0.0) -> float:
    """Return when `gap` meets `level` between the point before `index` and that one, straight in ln hours."""
    if index == 0 or not math.isfinite(gap[index - 1]) or gap[index - 1] == gap[index]:
        return float(hours[index])
    share = float(np.clip((gap[index - 1] - level) / (gap[index - 1] - gap[index]), 0.0, 1.0))
    return float(hours[index - 1] * (hours[index] / hours[index - 1]) ** share)


def _crossings(grid: Array, pair: Array, curves: tuple[Curve, Curve], margin: float) -> list[Crossing]:
    """Return the crossings of two curves that led to a lead of `margin`."""
    gap = pair[0] - pair[1]
    clear = np.flatnonzero(np.isfinite(gap) & (np.abs(gap) >= margin) & (gap != 0))
    found: list[Crossing] = []
    turns = np.flatnonzero(np.diff(np.sign(gap[clear])))
    for count, turn in enumerate(turns):
        before, after = int(clear[turn]), int(clear[turn + 1])
        side = np.sign(gap[after])
        new = gap[before : after + 1] * side > 0
        first = before + int(np.flatnonzero(new)[0])
        last = before + int(np.flatnonzero(~new)[-1]) + 1
        # gap > 0: the second curve is lower.
        winner, loser = (curves[1], curves[0]) if side > 0 else (curves[0], curves[1])
        hours = _level(grid, gap, last)
        found.append(
            Crossing(
                hours=hours,
                first_hours=_level(grid, gap, first),
                loss=float(np.interp(math.log(hours), np.log(grid), pair[0])),
                overtaker=winner.name,
                overtaken=loser.name,
                again=count > 0,
                finished=loser.final_hours < hours,
            )
        )
    return found


def _leads(grid: Array, losses: Array, names: Sequence[str], margin: float) -> tuple[Lead, ...]:
    """Return who is ahead when: the leader stays so until another's lead reaches `margin`."""
    known = np.where(np.isfinite(losses), losses, np.inf)
    best = np.argmin(known, axis=0)
    ahead = known.min(axis=0)
    leader, start = int(best[0]), float(grid[0])
    found = []
    at = 0
    while True:
        passed = np.flatnonzero((known[leader, at:] - ahead[at:] >= margin) & (best[at:] != leader))
        if passed.size == 0:
            break
        at += int(passed[0])
        new = int(best[at])
        with np.errstate(invalid="ignore"):
            # Neither has begun: inf - inf.
            gap = known[leader] - known[new]
        level = np.flatnonzero(gap[:at] <= 0)
        end = max(_level(grid, gap, int(level[-1]) + 1 if level.size else at), start)
        found.append(Lead(names[leader], start, end))
        leader, start = new, end
    found.append(Lead(names[leader], start, float(grid[-1])))
    return tuple(lead for lead in found if lead.end > lead.start)
