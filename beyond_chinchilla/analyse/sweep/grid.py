"""Rows of a grid, or of values side by side: what stands in each, worked out where it is needed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.sweep.axes import Axis
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.field_at import Field

Array = NDArray[np.float64]
Index = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """Some rows of a sweep.

    Attributes
    ----------
    row : ndarray of int
        Their place in the grid.
    variant : int or ndarray of int
        The choice of words of all of them, or of each.
    numbers : mapping of Field to ndarray
        What is an array.
    """

    row: Index
    variant: int | Index
    numbers: Mapping[Field, Array]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Every combination of the values of some axes.

    Rows are worked on with the keys that make scenarios of their own slowest; `Chunk.row` says where each stands in C
    order of the axes as they are given.

    Parameters
    ----------
    axes : tuple of Axis
        The first varies slowest.
    own : tuple of Field
        Those of them that make scenarios of their own.

    Examples
    --------
    >>> from beyond_chinchilla.analyse.sweep.axes import read_axes
    >>> axes = read_axes(["demand.requests=1M,2M", "law=sardana-2024,besiroglu-2024"])
    >>> grid = Grid(axes=axes, own=(axes[1].field,))
    >>> grid.chunk(0, 4).row
    array([0, 2, 1, 3])
    """

    axes: tuple[Axis, ...]
    own: tuple[Field, ...]

    @property
    def rows(self) -> int:
        """How many there are."""
        return math.prod(axis.count for axis in self.axes)

    @property
    def variants(self) -> int:
        """How many choices of words there are."""
        return math.prod(axis.count for axis in self.axes if axis.field in self.own)

    def choices(self) -> Iterator[tuple[str, ...]]:
        """Return every choice of words."""
        return itertools.product(*(axis.texts() for axis in self.axes if axis.field in self.own))

    def chunk(self, start: int, stop: int) -> Chunk:
        """Return rows as they are worked on."""
        inner = self.rows // max(self.variants, 1)
        place = np.arange(start, stop)
        if start // inner == (stop - 1) // inner:
            variant: int | Index = start // inner
            rest = place - start // inner * inner
        else:
            variant, rest = np.divmod(place, inner)
        strides = dict(zip(self.axes, _strides([axis.count for axis in self.axes]), strict=True))
        numbers = {}
        row: Any = 0
        for axis in reversed([axis for axis in self.axes if axis.field not in self.own]):
            rest, index = np.divmod(rest, axis.count)
            numbers[axis.field] = axis.numbers().at(index)
            row = row + index * strides[axis]
        choice: Any = variant
        for axis in reversed([axis for axis in self.axes if axis.field in self.own]):
            choice, index = np.divmod(choice, axis.count)
            row = row + index * strides[axis]
        row = np.broadcast_to(np.asarray(row, dtype=np.int64), place.shape)
        return Chunk(row=row, variant=variant, numbers=numbers)

    def to_dict(self) -> dict[str, Any]:
        """Return what it is made of."""
        return {"grid": [axis.to_dict() for axis in self.axes]}


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The values of some axes side by side, the first of all, then the second of all.

    Raises
    ------
    InputError
        Axes of different lengths.
    """

    axes: tuple[Axis, ...]
    own: tuple[Field, ...]

    def __post_init__(self) -> None:
        if len({axis.count for axis in self.axes}) > 1:
            counts = ", ".join(f"{axis.name} has {axis.count:,}" for axis in self.axes)
            raise InputError(f"--zip: {counts} values; give as many of each, or leave --zip out for a grid")

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.axes[0].count

    @property
    def variants(self) -> int:
        """How many choices of words there are at most."""
        return self.rows if self.own else 1

    def choices(self) -> Iterator[tuple[str, ...]]:
        """Return the choice of words of each row; one, where there are none."""
        mine = [axis.texts() for axis in self.axes if axis.field in self.own]
        return zip(*mine, strict=True) if mine else iter([()])

    def chunk(self, start: int, stop: int) -> Chunk:
        """Return rows."""
        place = np.arange(start, stop)
        numbers = {axis.field: axis.numbers().at(place) for axis in self.axes if axis.field not in self.own}
        return Chunk(row=place, variant=place if self.own else 0, numbers=numbers)

    def to_dict(self) -> dict[str, Any]:
        """Return what it is made of."""
        return {"zip": [axis.to_dict() for axis in self.axes]}


def _strides(counts: Sequence[int]) -> list[int]:
    """Return by how much the place of a row moves with each axis, in C order."""
    return [math.prod(counts[place + 1 :]) for place in range(len(counts))]
