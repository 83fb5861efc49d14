"""What a scenario does not know for certain, and joint samples of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.distributions import Distribution
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.downstream import DownstreamMap
from beyond_chinchilla.scenario.past.uncertain_suite import UncertainSuite
from beyond_chinchilla.scenario.uncertain_law import UncertainLaw, correlated
from beyond_chinchilla.units import format_percent, format_size

Array = NDArray[np.float64]
Keys = tuple[str | int, ...]

LAW, SUITE = "law", "suite"
# A page names so many uncertain numbers one by one; the months of a forecast are many.
_NAMED = 6


@dataclass(frozen=True, kw_only=True)
class UncertainInput:
    """A number of the scenario that is not known for certain.

    Attributes
    ----------
    keys : tuple of str or int
        Its place in the file: ``("demand", "requests")``.
    group : str
        Whom to ask: "demand", "prices", "utilisation", "limits", "target", or its section.
    distribution : Distribution
        In the unit of the field.
    unit : str
        That unit; ``%`` for a share.
    """

    keys: Keys
    group: str
    distribution: Distribution
    unit: str = ""

    @property
    def label(self) -> str:
        """The key with dots: ``demand.requests``."""
        return ".".join(str(key) for key in self.keys)

    def show(self, value: float) -> str:
        """Write a value in the unit of the field."""
        if self.unit == "%":
            return format_percent(value, 1).replace(".0%", "%")
        if self.unit.startswith("USD"):
            return f"${format_size(value)}{self.unit.removeprefix('USD')}"
        return format_size(value)

    def describe(self) -> str:
        """Say what it is: ``demand.requests: lognormal, median 1B, p90 4B``."""
        return f"{self.label}: {self.distribution.describe(self.show)}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """K joint samples.

    Attributes
    ----------
    count : int
    values : mapping of tuple to array, shape (K,)
        By the keys of each uncertain input.
    law : LawBatch or None
        K laws; None where the law is held.
    suite : DownstreamMap or None
        K maps from loss to the error that is the target; None where that is held, or no error is the target.
    """

    count: int
    values: Mapping[Keys, Array]
    law: LawBatch | None
    suite: DownstreamMap | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """Uncertain inputs that are independent of every other group.

    Attributes
    ----------
    name : str
        "law", "suite", "demand", "prices", or several that correlate: "demand and prices".
    columns : tuple of int
        Of the unit cube.
    """

    name: str
    columns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Uncertainty:
    """All that a scenario does not know for certain.

    Attributes
    ----------
    inputs : tuple of UncertainInput
    correlation : array, shape (m, m)
        Of the inputs' normal scores; the identity where nothing is stated.
    law : UncertainLaw or None
        None where the law is held.
    law_note : str
        How sure the law is, or why it is held.
    suite : UncertainSuite or None
        None where the target is no error on a suite, or its map is held.
    suite_note : str
        How sure that map is, or why it is held.
    hold : {"loss", "size"}
        What stays under another law: the loss to reach, or the size that states it.
    max_failure : float
        Chance of missing the target or breaking a limit that a plan may have.
    obstacle : str
        Why nothing may be drawn; "" where it may.
    plain_notes : tuple of str
        What a page without risk says of the law.
    """

    inputs: tuple[UncertainInput, ...]
    correlation: Array
    law: UncertainLaw | None
    law_note: str = ""
    suite: UncertainSuite | None = None
    suite_note: str = ""
    hold: str = "loss"
    max_failure: float = 0.05
    obstacle: str = ""
    plain_notes: tuple[str, ...] = ()

    @property
    def dimensions(self) -> int:
        """Columns of the unit cube: one for each input, then the law's, then the suite's."""
        return self._before_suite + (0 if self.suite is None else self.suite.dimensions)

    @property
    def _before_suite(self) -> int:
        return len(self.inputs) + (0 if self.law is None else self.law.dimensions)

    @property
    def is_certain(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.inputs and self.law is None and self.suite is None

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The independent groups: inputs of one kind, with those that they correlate with; law and suite."""
        found: list[tuple[list[str], list[int]]] = []
        for column, each in enumerate(self.inputs):
            names, columns = [each.group], [column]
            for group in list(found):
                linked = any(self.correlation[column, other] != 0 for other in group[1])
                if linked or each.group in group[0]:
                    found.remove(group)
                    names, columns = group[0] + names, group[1] + columns
            found.append((list(dict.fromkeys(names)), sorted(columns)))
        groups = [
            Group(name=" and ".join(names), columns=tuple(columns))
            for names, columns in sorted(found, key=lambda group: group[1])
        ]
        if self.law is not None:
            groups.append(Group(name=LAW, columns=tuple(range(len(self.inputs), self._before_suite))))
        if self.suite is not None:
            groups.append(Group(name=SUITE, columns=tuple(range(self._before_suite, self.dimensions))))
        return tuple(groups)

    def draw(self, u: Array) -> Draws:
        """Return the sample at each point of the unit cube.

        Inputs are joined by a Gaussian copula, laws by their own covariance or refits. The same points give the same
        samples.

        Parameters
        ----------
        u : array, shape (K, dimensions)
            In (0, 1); a quasi-random sequence's 0 is taken for the next number.

        Raises
        ------
        InputError
            A law that may not be used, or an array of another shape.
        """
        if self.obstacle:
            raise InputError(self.obstacle)
        points = np.asarray(u, dtype=float)
        if points.ndim != 2 or points.shape[1] != self.dimensions:
            raise InputError(f"points of shape {points.shape} where (K, {self.dimensions}) are needed")
        points = np.clip(points, 2.0**-60, 1.0 - 2.0**-53)
        count = len(self.inputs)
        shares = correlated(points[:, :count], self.correlation)
        values = {each.keys: each.distribution.quantile(shares[:, i]) for i, each in enumerate(self.inputs)}
        law = None if self.law is None else self.law.draw(points[:, count : self._before_suite])
        suite = None if self.suite is None else self.suite.draw(points[:, self._before_suite :])
        return Draws(count=len(points), values=values, law=law, suite=suite)

    def describe(self) -> tuple[str, ...]:
        """Say of each uncertain input, of the law and of the suite, what it is."""
        notes = (note for note in (self.law_note, self.suite_note) if note)
        return (*(each.describe() for each in self.inputs), *notes)

    def notes(self) -> tuple[str, ...]:
        """Say what is uncertain, and that it counts as its median where no risk is asked for."""
        found = [
            f"{each.label} is uncertain ({each.distribution.describe(each.show)}) and counts as its median; --risk "
            "carries it through"
            for each in self.inputs[:_NAMED]
        ]
        more = len(self.inputs) - _NAMED
        if more > 0:
            found.append(f"{more} more numbers are uncertain and count as their medians; --risk carries them through")
        return (*found, *self.plain_notes)
