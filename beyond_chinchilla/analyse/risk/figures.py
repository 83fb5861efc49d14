"""What an assessment of risk answers: intervals, plans with what they risk, and what knowing would be worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Quantiles of every distribution that is reported.
QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Where a figure lies.

    Attributes
    ----------
    median : float
        nan where the figure is defined in no sample.
    half, ninety : pair of float
        Between these lie 50% and 90% of the samples.
    errors : tuple of float
        Standard errors of the quantiles .05, .25, .50, .75, .95 by independent scramblings of the samples.
    """

    median: float
    half: tuple[float, float]
    ninety: tuple[float, float]
    errors: tuple[float, ...] = (0.0,) * len(QUANTILES)

    @property
    def error(self) -> float:
        """The largest of the standard errors."""
        return max(self.errors)

    def to_dict(self) -> dict[str, Any]:
        """Return the interval as JSON holds it."""
        return {
            "median": plain(self.median),
            "half": plain(self.half),
            "ninety": plain(self.ninety),
            "error": plain(self.error),
        }


@dataclass(frozen=True, kw_only=True)
class RiskPlan:
    """A size that could be committed to, over all samples.

    Attributes
    ----------
    label : str
        ``"least mean"``, ``"least CVaR"``, ``"point estimate"``, ``"Chinchilla"`` or the mix that was asked for.
    params : float
        Total parameters, trained until the target is reached.
    mean, cvar : float
        Of the bill [unit], failures paid for; CVaR is the mean of its dearest share of samples.
    failure, missed : float
        Share of samples in which the target is not reached within the token budget, or a limit is broken; and of
        these, in which the target is not reached.
    mean_regret, regret_p90 : float
        Against foresight [unit].
    tokens, total : Interval
        Training tokens and the bill.
    feasible : bool
        Whether it fails no oftener than is tolerated.
    errors : mapping of str to float
        Standard errors of ``mean``, ``cvar``, ``failure`` and ``mean_regret`` by independent scramblings.
    """

    label: str
    params: float
    mean: float
    cvar: float
    failure: float
    missed: float
    mean_regret: float
    regret_p90: float
    tokens: Interval
    total: Interval
    feasible: bool
    errors: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON holds it."""
        return {
            "label": self.label,
            "params": plain(self.params),
            "mean": plain(self.mean),
            "cvar": plain(self.cvar),
            "failure": plain(self.failure),
            "missed": plain(self.missed),
            "mean_regret": plain(self.mean_regret),
            "regret_p90": plain(self.regret_p90),
            "tokens": self.tokens.to_dict(),
            "total": self.total.to_dict(),
            "feasible": self.feasible,
            "errors": {figure: plain(error) for figure, error in self.errors.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Information:
    """What knowing a group of inputs before the size is chosen would be worth.

    Attributes
    ----------
    group : str
        ``"law"``, ``"demand"``, ``"prices"``.
    value : float
        Mean saving [unit], >= 0.
    share_of_mean : float
        Of the mean bill of the size of least mean.
    error : float
        Standard error of `value`.
    """

    group: str
    value: float
    share_of_mean: float
    error: float

    def to_dict(self) -> dict[str, Any]:
        """Return the value as JSON holds it."""
        return {
            "group": self.group,
            "value": plain(self.value),
            "share_of_mean": plain(self.share_of_mean),
            "error": plain(self.error),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Risk:
    """A scenario's uncertainty carried to its decision.

    Attributes
    ----------
    name, unit : str
        The scenario's, and of its bill.
    samples, seed : int
    aversion, level : float
        What is minimised is (1 - aversion) mean + aversion CVaR at the level.
    max_failure : float
        Largest share of samples in which the chosen size may fail.
    budget : float
        Tokens after which training is given up.
    inputs : tuple of str
        What is uncertain, in words.
    intervals : mapping of str to Interval
        Of each sample's own optimum: ``params``, ``tokens``, ``total`` [unit], ``savings`` (a share), ``kappa``.
    out_of_reach : pair of float
        Share of samples in which no size reaches the target, and its standard error.
    binding : mapping of str to float
        Share of the others in which a limit binds at the optimum.
    sizes, mean, cvar, failure : array, shape (S,)
        The bill by committed size.
    quantiles : array, shape (5, S)
        Of the bill, at .05, .25, .50, .75, .95.
    plans : tuple of RiskPlan
    chosen : int
        Which of the plans is recommended at this risk aversion.
    range_1, range_5 : pair of float
        Sizes within 1% and 5% of the least, which fail no oftener than is tolerated.
    perfect_information, perfect_error : float
        What knowing everything would be worth [unit], and its standard error.
    information : tuple of Information
        By group.
    convergence : str
        How far sampling leaves the figures open, in a sentence.
    notes : tuple of str
    draws_of : mapping of str to array, shape (samples,)
        Figures of each sample's optimum, nan where there is none; not in `to_dict`.
    """

    name: str
    unit: str
    samples: int
    seed: int
    aversion: float
    level: float
    max_failure: float
    budget: float
    inputs: tuple[str, ...]
    intervals: Mapping[str, Interval]
    out_of_reach: tuple[float, float]
    binding: Mapping[str, float]
    sizes: Array
    mean: Array
    cvar: Array
    failure: Array
    quantiles: Array
    plans: tuple[RiskPlan, ...]
    chosen: int
    range_1: tuple[float, float]
    range_5: tuple[float, float]
    perfect_information: float
    information: tuple[Information, ...]
    convergence: str
    perfect_error: float = 0.0
    notes: tuple[str, ...] = ()
    draws_of: Mapping[str, Array] = field(default_factory=dict)

    @property
    def best(self) -> RiskPlan:
        """The plan recommended."""
        return self.plans[self.chosen]

    @property
    def is_certain(self) -> bool:
        """Whether nothing is uncertain."""
        return not self.inputs

    def plan(self, label: str) -> RiskPlan:
        """Return the plan of a label."""
        return next(plan for plan in self.plans if plan.label == label)

    def to_dict(self) -> dict[str, Any]:
        """Return the assessment as ``--format json`` prints it under ``risk``: None for what is not defined."""
        return {
            "samples": self.samples,
            "seed": self.seed,
            "unit": self.unit,
            "aversion": self.aversion,
            "level": self.level,
            "max_failure": self.max_failure,
            "token_budget": plain(self.budget),
            "uncertain": list(self.inputs),
            "intervals": {name: interval.to_dict() for name, interval in self.intervals.items()},
            "out_of_reach": {"share": plain(self.out_of_reach[0]), "error": plain(self.out_of_reach[1])},
            "binding": {label: plain(share) for label, share in self.binding.items()},
            "plans": [plan.to_dict() for plan in self.plans],
            "chosen": self.best.label,
            "range_1_percent": {"params": plain(self.range_1)},
            "range_5_percent": {"params": plain(self.range_5)},
            "perfect_information": {"value": plain(self.perfect_information), "error": plain(self.perfect_error)},
            "information": [row.to_dict() for row in self.information],
            "by_size": {
                "params": plain(self.sizes),
                "mean": plain(self.mean),
                "cvar": plain(self.cvar),
                "failure": plain(self.failure),
                "quantiles": {f"{share:g}": plain(row) for share, row in zip(QUANTILES, self.quantiles, strict=True)},
            },
            "convergence": self.convergence,
            "notes": list(self.notes),
        }


def plain(value: ArrayLike) -> Any:
    """Return a number, or an array as nested lists, with None for what is not finite.

    >>> plain(np.array([1.0, np.nan]))
    [1.0, None]
    """
    listed = np.asarray(value, dtype=float).tolist()
    if isinstance(listed, list):
        return [plain(item) for item in listed]
    return listed if math.isfinite(listed) else None
