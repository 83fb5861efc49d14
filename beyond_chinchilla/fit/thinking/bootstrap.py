"""How sure a fit with thinking is: refits of resampled models, and predictions of rows that were left out.

Rows of one model at several k are answers of the same model to the same questions: intervals come from resampled
models, never from resampled rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import FitError, InputError, nearest
from beyond_chinchilla.fit.bootstrap import check_level
from beyond_chinchilla.fit.isoflop import interval
from beyond_chinchilla.fit.power_sum import Flags, PowerRows, minimise
from beyond_chinchilla.fit.thinking.law import DELTA, NAMES, UNLIMITED, ThinkingFit, fit_thinking

Array = NDArray[np.float64]

# Fewer models than this cannot be resampled.
FEWEST_MODELS = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class ThinkingBootstrap:
    """Constants refitted to resampled models.

    Attributes
    ----------
    samples : array, shape (samples, 7)
        ln A, ln B, ln G, ln E, alpha, beta, g of each refit, jointly.
    usable : array of bool, shape (samples,)
        All exponents are above 0 and every figure is finite; the rest are no laws and left out.
    models, seed, level : int, int, float
    """

    samples: Array
    usable: Flags
    models: int
    seed: int
    level: float

    @property
    def failures(self) -> int:
        """How many refits are no law."""
        return int(np.count_nonzero(~self.usable))

    @property
    def kept(self) -> Array:
        """The usable samples."""
        return self.samples[self.usable]

    def draws(self, name: str) -> Array:
        """Return the usable refits' A, B, G, E, alpha, beta or g."""
        if name not in NAMES:
            raise InputError(f"no constant named '{name}'; {nearest(name, NAMES)}")
        column = self.kept[:, NAMES.index(name)]
        return np.asarray(np.exp(column) if name in NAMES[:4] else column)

    def interval(self, name: str) -> tuple[float, float]:
        """Return the percentile interval of a constant."""
        found = interval(self.draws(name), self.level)
        assert found is not None
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the refits as JSON holds them."""
        return {
            "samples": len(self.samples),
            "failures": self.failures,
            "models": self.models,
            "seed": self.seed,
            "level": self.level,
            "order": ["ln_A", "ln_B", "ln_G", "ln_E", "alpha", "beta", "g"],
            "parameters": self.kept.tolist(),
        }


def bootstrap_thinking(
    fit: ThinkingFit, *, samples: int = 4000, seed: int = 0, level: float = 0.95
) -> ThinkingBootstrap:
    """Refit a law to models drawn with replacement, each with all of its rows.

    Raises
    ------
    InputError
        Fewer than two samples, or a level outside (0, 1).
    FitError
        Fewer than 4 models, or fewer than half of the refits are laws.
    """
    if samples < 2:
        raise InputError(f"{samples} samples make no interval; ask for 2 at least")
    check_level(level)
    models = fit.runs.models
    count = int(models.max()) + 1
    if count < FEWEST_MODELS:
        raise FitError(
            f"{count} model{'s' if count > 1 else ''} cannot be resampled, and rows of one model at several k are not "
            f"independent; score {FEWEST_MODELS} models at least"
        )
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1.0 / count), size=samples)[:, models].astype(float)
    rows = PowerRows.of([fit.runs.params, fit.runs.tokens, fit.runs.k], fit.runs.loss)
    found = minimise(
        rows,
        np.repeat(fit.theta[None], samples, axis=0),
        fit.freedom,
        delta=min(fit.delta, UNLIMITED),
        weights=weights,
        max_iterations=60,
        tolerance=1e-8,
    )
    drawn = rows.outward(found.theta)
    usable: Flags = np.asarray(
        np.isfinite(drawn).all(axis=1) & (drawn[:, 4:] > 0).all(axis=1) & (drawn[:, :4] < 700.0).all(axis=1)
    )
    if np.count_nonzero(usable) < max(2, samples / 2):
        raise FitError(
            f"only {np.count_nonzero(usable)} of {samples} resamples give a law whose loss falls with N, D and k; "
            "score more models, or hold some constants (tied exponents, a fixed E, a base law)"
        )
    return ThinkingBootstrap(samples=drawn, usable=usable, models=count, seed=seed, level=level)


def predicted(fit: ThinkingFit, keep: ArrayLike) -> Array:
    """Return ln(law) - ln(loss) of the rows that are not kept, by a fit of those that are.

    Raises
    ------
    InputError, FitError
        The rows that are kept make no law.
    """
    kept = np.asarray(keep, dtype=bool)
    lesser = fit_thinking(
        fit.runs.take(kept, "held out"),
        objective="huber" if math.isfinite(fit.delta) else "least-squares",
        delta=fit.delta if math.isfinite(fit.delta) else DELTA,
        tied=fit.tied,
        irreducible=fit.irreducible,
        base=fit.base,
    )
    if lesser.law is None or lesser.thinking is None:
        raise FitError("; ".join(lesser.undetermined))
    others = fit.runs.take(~kept, "kept")
    law = lesser.thinking.loss(lesser.law, others.params, others.tokens, others.k)
    return np.asarray(np.log(law) - np.log(others.loss))
