"""Loss curves: read from files, put in order, smoothed, and the line through their tails."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError, SpreadsheetError, printable
from beyond_chinchilla.fit.isoflop import positive_columns
from beyond_chinchilla.units import format_percent

Array = NDArray[np.float64]
Tail = Literal["power", "linear"]

HOURS = ("hours", "gpu-hours", "gpu hours", "gpu_hours")
LOSSES = ("loss", "training loss", "train loss", "train_loss", "smoothed loss")
MAX_BYTES, MAX_LINES = 20_000_000, 1_000_000


@dataclass(frozen=True, eq=False)
class Curve:
    """The loss of one model over the time that its training took.

    Points are sorted by hours, and those of equal hours merged into one at their mean loss; both are counted.

    Parameters
    ----------
    name : str
        For people.
    hours, loss : array_like, shape (points,)
        Device time since the start [GPU-hours] and the loss there [nats/token].
    params : float, optional
        Parameters.

    Attributes
    ----------
    rows, falls, merged : int
        Points given; how many of them lie before the one above them; how many others took in.

    Raises
    ------
    InputError
        Fewer than two different hours, or a value that is not a positive number.
    """

    name: str
    hours: Array
    loss: Array
    params: float | None = None
    rows: int = field(init=False)
    falls: int = field(init=False)
    merged: int = field(init=False)

    def __post_init__(self) -> None:
        # A file's name may hold escape codes.
        object.__setattr__(self, "name", printable(self.name))
        try:
            hours, loss = positive_columns(hours=self.hours, loss=self.loss)
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from None
        falls = int((np.diff(hours) < 0).sum())
        at, mean = merge(hours, loss)
        if at.size < 2:
            raise InputError(f"{self.name}: a curve needs two points at different hours, and there is {at.size}")
        for key, value in (
            ("hours", at), ("loss", mean), ("rows", hours.size), ("falls", falls), ("merged", hours.size - at.size)
        ):  # fmt: skip
            object.__setattr__(self, key, value)

    @property
    def final_hours(self) -> float:
        """Return the length of the run [GPU-hours]."""
        return float(self.hours[-1])

    @property
    def final_loss(self) -> float:
        """Return the last loss as it was given, not smoothed."""
        return float(self.loss[-1])

    def to_dict(self) -> dict[str, Any]:
        """Return what the curve covers as JSON holds it."""
        return {
            "name": self.name,
            "params": self.params,
            "rows": self.rows,
            "falls": self.falls,
            "merged": self.merged,
            "hours": [float(self.hours[0]), self.final_hours],
            "final_loss": self.final_loss,
        }


@dataclass(frozen=True, eq=False)
class TailFit:
    """The line through the end of a curve: loss = exp(c0) hours^c1 ("power") or c0 + c1 hours ("linear").

    Parameters
    ----------
    tail : {"power", "linear"}
    lines : array, shape (1 + samples, 2)
        (c0, c1): by least squares, then of each bootstrap draw.
    """

    tail: Tail
    lines: Array

    def loss_at(self, hours: float) -> Array:
        """Return the loss at an hour, shape (1 + samples,)."""
        loss = self.lines[:, 0] + self.lines[:, 1] * (math.log(hours) if self.tail == "power" else hours)
        return np.exp(loss) if self.tail == "power" else loss

    def hours_to(self, loss: float) -> float | None:
        """Return the hours at which the falling line reaches a loss, or None."""
        c0, c1 = (float(value) for value in self.lines[0])
        if c1 >= 0:
            return None
        at = ((math.log(loss) if self.tail == "power" else loss) - c0) / c1
        if self.tail == "power":
            return math.exp(at) if at < 700 else None
        return at if at > 0 else None


def fit_tail(curve: Curve, share: float, tail: Tail = "power", *, samples: int = 1000, seed: int = 0) -> TailFit:
    """Fit a line through the points of the last `share` of a curve's hours by least squares.

    Bootstrap: blocks of ceil(n^(1/3)) neighbouring residuals are drawn anew and the line is fitted again.

    Raises
    ------
    InputError
        A share outside (0, 1], or with fewer than four points in it.
    """
    if not 0 < share <= 1 or tail not in ("power", "linear"):
        raise InputError(f"a tail is the last 0 to 100% of a run, power or linear; not {share:g}, {tail}")
    kept = curve.hours >= (1.0 - share) * curve.final_hours
    if kept.sum() < 4:
        raise InputError(
            f"{curve.name}: {int(kept.sum())} points in its last {format_percent(share)}; fit a longer tail"
        )
    x, y = curve.hours[kept], curve.loss[kept]
    if tail == "power":
        x, y = np.log(x), np.log(y)
    return TailFit(tail, _lines(x, y, samples, np.random.default_rng(seed)))


def read_curve(path: str | Path, *, name: str | None = None, params: float | None = None) -> Curve:
    """Read a curve from a text file with a header and columns for hours and loss, split by tabs, commas or semicolons.

    Raises
    ------
    SpreadsheetError
        The file cannot be read, a column is missing, or a cell is no number; the message says where.
    """
    path = Path(path)
    shown = printable(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        lines = data[:MAX_BYTES].decode("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a text file in UTF-8"
        raise SpreadsheetError(f"{shown}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES or len(lines) > MAX_LINES:
        bound = f"{MAX_BYTES / 1e6:g} MB or {MAX_LINES:,} lines"
        raise SpreadsheetError(f"{shown}: larger than {bound}; keep every tenth point, or fewer")
    split = max("\t,;", key=(lines[0] if lines else "").count)
    try:
        rows = list(csv.reader(lines, delimiter=split))
    except csv.Error as error:
        raise SpreadsheetError(f"{shown}: cannot be read: {error}") from None
    heads = [head.strip().casefold() for head in rows[0]] if rows else []
    places = []
    for wanted in (HOURS, LOSSES):
        known = [heads.index(alias) for alias in wanted if alias in heads]
        if not known:
            raise SpreadsheetError(f"{shown}:1: no column '{wanted[0].capitalize()}'; the header needs Hours and Loss")
        places.append(known[0])
    columns: tuple[list[float], list[float]] = ([], [])
    for number, row in enumerate(rows[1:], start=2):
        if not any(cell.strip() for cell in row):
            continue
        for column, place in zip(columns, places, strict=True):
            cell = row[place].strip() if place < len(row) else ""
            try:
                column.append(float(cell))
            except ValueError:
                raise SpreadsheetError(
                    f"{shown}:{number}: '{printable(cell[:40])}' is not a number; write hours and loss as plain numbers"
                ) from None
            if not (math.isfinite(column[-1]) and column[-1] > 0):
                raise SpreadsheetError(
                    f"{shown}:{number}: '{printable(cell[:40])}' is not a positive number; leave this row out"
                )
    return Curve(name or path.stem, np.array(columns[0]), np.array(columns[1]), params)


def merge(x: Array, y: Array) -> tuple[Array, Array]:
    """Return points in rising order of x, those of equal x as one at their mean y."""
    values, place = np.unique(x, return_inverse=True)
    return values, np.bincount(place, y) / np.bincount(place)


def smooth(x: ArrayLike, y: ArrayLike, window: float) -> Array:
    """Return y smoothed by a straight line through the points within window/2 of each x (rising).

    A line, not a mean: a mean of a falling curve is too high where the curve bends and wrong at its ends.

    >>> smooth([0.0, 1.0, 2.0, 3.0], [5.0, 3.0, 1.0, -1.0], window=2.5).round(9).tolist()
    [5.0, 3.0, 1.0, -1.0]
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if window <= 0:
        return y
    first = np.searchsorted(x, x - window / 2, side="left")
    last = np.searchsorted(x, x + window / 2, side="right")
    count = last - first
    # Running sums lose digits to what they carry along: near zero there is little to lose.
    middle_x, middle_y = x.mean(), y.mean()
    u, v = x - middle_x, y - middle_y
    sums = [np.concatenate(([0.0], np.cumsum(term))) for term in (u, v, u * u, u * v)]
    mean_u, mean_v, mean_uu, mean_uv = ((total[last] - total[first]) / count for total in sums)
    spread = mean_uu - mean_u**2
    # One point, or several at almost one place: their mean.
    steep = spread > 1e-6 * window**2
    slope = np.where(steep, mean_uv - mean_u * mean_v, 0.0) / np.where(steep, spread, 1.0)
    return np.asarray(middle_y + mean_v + slope * (u - mean_u))


def smooth_loss(x: ArrayLike, loss: ArrayLike, window: float) -> Array:
    """Return losses as `smooth` does; where a spike nearby tips the line below zero, the point itself stands.

    >>> smooth_loss([0.0, 1.0, 2.0], [2.0, 2.0, 900.0], window=5.0).round(2).tolist()
    [2.0, 301.33, 750.33]
    """
    line = smooth(x, loss, window)
    return np.asarray(np.where(line > 0, line, np.asarray(loss, dtype=float)))


def _lines(x: Array, y: Array, samples: int, rng: np.random.Generator) -> Array:
    """Return (c0, c1) of the line through points, then of `samples` block-bootstrap draws of it."""
    middle = x.mean()
    offset = x - middle
    squares = offset @ offset
    slope = offset @ y / squares
    fitted = y.mean() + slope * offset
    # Two constants were fitted: residuals are that much too small.
    residuals = (y - fitted) * math.sqrt(y.size / (y.size - 2))
    block = math.ceil(y.size ** (1 / 3))
    starts = rng.integers(0, y.size, (samples, math.ceil(y.size / block)))
    places = (starts[:, :, None] + np.arange(block)).reshape(samples, starts.shape[1] * block)[:, : y.size] % y.size
    drawn = np.vstack([y, fitted + residuals[places]])
    slopes = drawn @ offset / squares
    return np.stack([drawn.mean(axis=1) - slopes * middle, slopes], axis=1)
