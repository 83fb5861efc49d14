"""Laws of runs of few tokens per parameter, and how far they miss the others (Sardana et al. 2024, section 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.filters import ROUNDING
from beyond_chinchilla.fit.parametric import fit_parametric
from beyond_chinchilla.fit.result import Fit
from beyond_chinchilla.fit.runs import Runs
from beyond_chinchilla.units import format_number


@dataclass(frozen=True, kw_only=True, eq=False)
class Ablation:
    """The law of the runs up to one ratio.

    Attributes
    ----------
    bound : float
        Most tokens per parameter.
    runs : int
        That it is fitted to.
    fit : Fit or None
        None where they make no law.
    reason : str
        Why there is none.
    beyond : int
        Runs of a larger ratio.
    mean, absolute, worst : float or None
        law/loss - 1 over those: mean, mean size, and the one of largest size; None without such runs or law.
    worst_ratio : float or None
        Tokens per parameter of the worst.
    """

    bound: float
    runs: int
    fit: Fit | None
    reason: str = ""
    beyond: int
    mean: float | None = None
    absolute: float | None = None
    worst: float | None = None
    worst_ratio: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return one flat row."""
        law = {} if self.fit is None else {key: getattr(self.fit.law, key) for key in ("E", "A", "alpha", "B", "beta")}
        return {
            "max_tokens_per_param": self.bound,
            "runs": self.runs,
            **law,
            "objective": None if self.fit is None else self.fit.objective,
            "condition": None if self.fit is None else self.fit.condition,
            "runs_beyond": self.beyond,
            "mean_miss": self.mean,
            "mean_absolute_miss": self.absolute,
            "worst_miss": self.worst,
            "worst_at_tokens_per_param": self.worst_ratio,
            "reason": self.reason,
        }


def by_max_tokens_per_param(
    runs: Runs,
    bounds: Sequence[float],
    *,
    objective: Literal["huber", "least-squares"] = "huber",
    tied: bool = False,
    irreducible: float | None = None,
) -> list[Ablation]:
    """Fit the runs up to each ratio D/N and measure the law on those beyond.

    Raises
    ------
    InputError
        No bound, or one that is not positive; no bound leaves enough runs.
    """
    if not bounds or not all(np.isfinite(bound) and bound > 0 for bound in bounds):
        raise InputError("tokens per parameter to fit up to: give numbers above 0, such as 50,100,250")
    ratios = runs.tokens_per_param
    found: list[Ablation] = []
    known: dict[int, tuple[Fit | None, str]] = {}
    for bound in sorted(set(bounds)):
        inside = ratios <= bound * (1.0 + ROUNDING)
        count = int(inside.sum())
        if count not in known:
            try:
                known[count] = (
                    fit_parametric(
                        runs.params[inside],
                        runs.tokens[inside],
                        runs.loss[inside],
                        objective=objective,
                        tied=tied,
                        irreducible=irreducible,
                    ),
                    "",
                )
            except (InputError, FitError) as error:
                known[count] = (None, str(error))
        fit, reason = known[count]
        figures: dict[str, Any] = {}
        if fit is not None and count < len(runs):
            misses = np.asarray(fit.law.loss(runs.params[~inside], runs.tokens[~inside])) / runs.loss[~inside] - 1.0
            at = int(np.argmax(np.abs(misses)))
            figures = {
                "mean": float(misses.mean()),
                "absolute": float(np.abs(misses).mean()),
                "worst": float(misses[at]),
                "worst_ratio": float(ratios[~inside][at]),
            }
        found.append(Ablation(bound=bound, runs=count, fit=fit, reason=reason, beyond=len(runs) - count, **figures))
    if all(each.fit is None for each in found):
        last = found[-1]
        raise InputError(f"no bound leaves a law; up to {format_number(last.bound)} tokens per param: {last.reason}")
    return found
