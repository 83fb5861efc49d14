"""How sure a fit is: refits of resampled runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.engines import Engine, engine
from beyond_chinchilla.errors import FitError, InputError, nearest
from beyond_chinchilla.fit.huber import NAMES, UNLIMITED, Array
from beyond_chinchilla.fit.isoflop import interval
from beyond_chinchilla.fit.levenberg import Minima, minimise
from beyond_chinchilla.fit.result import SAME, Fit
from beyond_chinchilla.laws.loss_law import LossLaw

LEVEL = 0.95
SAMPLES = 4000
# Stated compute of the tokens per parameter [FLOP]; the last is Gopher's and Chinchilla's.
FLOPS = (1e21, 1e23, 5.76e23)
PARAMETERS = ("A", "B", "E", "alpha", "beta")

# Resampled runs times samples of a block (8 bytes each), and samples of a block: blocks share the cores.
_AT_ONCE, _SAMPLES_AT_ONCE = 4_000_000, 1000
# Refits go down from these multiples of delta: through the same valley, or over a landscape without it.
_NEAR, _FAR = 3.0, 50.0
_PILOT = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class Bootstrap:
    """Laws refitted to resampled runs.

    Attributes
    ----------
    samples : array, shape (samples, 5)
        ln A, ln B, ln E, alpha, beta of each refit, jointly.
    objective : array, shape (samples,)
        Of each refit on its own sample.
    usable : array of bool, shape (samples,)
        Both exponents are above 0 and every figure is finite; the rest are no laws and left out of all below.
    unconverged : int
        Usable refits that still crept downhill at the limit of steps.
    seed : int
    level : float
        Share of the refits inside each interval.
    flops : tuple of float
        Compute [FLOP] at which tokens per parameter are stated.
    """

    samples: Array
    objective: Array
    usable: NDArray[np.bool_]
    unconverged: int
    seed: int
    level: float
    flops: tuple[float, ...]

    @property
    def failures(self) -> int:
        """How many refits are no law."""
        return int(np.count_nonzero(~self.usable))

    @property
    def kept(self) -> Array:
        """The usable samples."""
        return self.samples[self.usable]

    @property
    def covariance(self) -> Array:
        """Covariance (5, 5) of ln A, ln B, ln E, alpha, beta."""
        return np.asarray(np.cov(self.kept, rowvar=False))

    def draws(self, name: str) -> Array:
        """Return the usable refits' A, B, E, alpha, beta, or the frontier exponents a and b.

        N_opt ~ C^a and D_opt ~ C^b with a = beta/(alpha + beta) and b = 1 - a (Hoffmann et al. 2022, Eq. 4).

        Raises
        ------
        InputError
            Another name.
        """
        kept = self.kept
        if name in PARAMETERS[:3]:
            with np.errstate(over="ignore"):
                return np.asarray(np.exp(kept[:, PARAMETERS.index(name)]))
        if name in PARAMETERS:
            return kept[:, PARAMETERS.index(name)]
        if name not in ("a", "b"):
            raise InputError(f"no figure named '{name}'; {nearest(name, [*PARAMETERS, 'a', 'b'])}")
        return np.asarray(kept[:, 4 if name == "a" else 3] / (kept[:, 3] + kept[:, 4]))

    def tokens_per_param(self, flops: ArrayLike) -> Array:
        """Return D/N of the compute-optimal model at each budget [FLOP], shape (usable, budgets)."""
        log_A, log_B, _, alpha, beta = self.kept.T[:, :, None]
        log_product = np.log(np.atleast_1d(np.asarray(flops, dtype=float)) / 6.0)
        log_N = (np.log(alpha / beta) + log_A - log_B + beta * log_product) / (alpha + beta)
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(log_product - 2.0 * log_N))

    def interval(self, name: str) -> tuple[float, float]:
        """Return the percentile interval of a figure (see `draws`)."""
        found = interval(self.draws(name), self.level)
        assert found is not None
        return found

    def standard_error(self, name: str) -> float:
        """Return the standard deviation of a figure over the refits; heavy tails make that of A and B restless."""
        return float(np.std(self.draws(name), ddof=1))

    def laws(self, fit: Fit) -> list[LossLaw]:
        """Return each usable refit as a law with the fit's range and conventions, for plans under uncertainty."""
        return [
            LossLaw(
                E=math.exp(e),
                A=math.exp(a),
                alpha=alpha,
                B=math.exp(b),
                beta=beta,
                counts=fit.law.counts,
                name=f"{fit.law.name}, resampled",
                source=fit.law.source,
                fitted=fit.law.fitted,
            )
            for a, b, e, alpha, beta in self.kept.tolist()
        ]

    def to_dict(self, *, samples: bool = False) -> dict[str, Any]:
        """Return intervals and covariance as JSON holds them, and the samples if asked for."""
        names = (*PARAMETERS, "a", "b")
        ratios = self.tokens_per_param(self.flops).T
        row: dict[str, Any] = {
            "samples": len(self.samples),
            "failures": self.failures,
            "unconverged": self.unconverged,
            "seed": self.seed,
            "level": self.level,
            "intervals": {name: list(self.interval(name)) for name in names},
            "standard_errors": {name: self.standard_error(name) for name in names},
            "tokens_per_param": [
                {"flops": flops, "interval": list(interval(ratio, self.level) or ())}
                for flops, ratio in zip(self.flops, ratios, strict=True)
            ],
            "covariance": {"of": list(NAMES), "values": self.covariance.tolist()},
        }
        if samples:
            row["parameters"] = self.kept.tolist()
        return row


def bootstrap(
    fit: Fit,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    flops: Sequence[float] = FLOPS,
    pool: Engine | None = None,
) -> Bootstrap:
    """Refit a law to runs drawn with replacement.

    Every refit starts from the minimum of all runs and from its rivals, if any, down two paths each, and keeps the
    best; drawn runs are weights, so that all refits are one vectorised problem. The same seed gives the same samples.

    Parameters
    ----------
    fit : Fit
    samples : int
        Refits; Besiroglu et al. 2024 made 4000.
    seed : int
    level : float
        Of the percentile intervals.
    flops : sequence of float
        Compute [FLOP] at which to state tokens per parameter.
    pool : Engine, optional
        What refits; by default threads on all cores. The samples do not depend on it.

    Raises
    ------
    InputError
        Fewer than two samples, a level outside (0, 1) or a compute that is not positive.
    FitError
        Fewer than half of the refits are laws.
    """
    if samples < 2:
        raise InputError(f"{samples} samples make no interval; ask for 2 at least ({SAMPLES} by default)")
    check_level(level)
    if not all(math.isfinite(value) and value > 0 for value in flops):
        raise InputError(f"compute for tokens per parameter must be positive, not {list(flops)}")
    with engine("threads") if pool is None else nullcontext(pool) as workers:
        found = dict(workers.map(partial(_refit, fit), _resampled(fit.loss.size, samples, seed)))
    parts = [found[number] for number in range(len(found))]
    drawn = np.concatenate([part[0] for part in parts])
    objective, converged = (np.concatenate([part[i] for part in parts]) for i in (1, 2))
    # exp beyond 700 is no number.
    usable = np.isfinite(drawn).all(axis=1) & (drawn[:, 3:] > 0).all(axis=1) & (drawn[:, :2] < 700.0).all(axis=1)
    if np.count_nonzero(usable) < max(2, samples / 2):
        raise FitError(
            f"only {np.count_nonzero(usable)} of {samples} resamples give a law whose loss falls with N and D; "
            "add runs, hold E (irreducible=...) or tie the exponents"
        )
    if fit.irreducible == 0:
        drawn[:, 2] = -math.inf
    return Bootstrap(
        samples=drawn,
        objective=objective,
        usable=usable,
        unconverged=int(np.count_nonzero(usable & ~converged)),
        seed=seed,
        level=level,
        flops=tuple(float(value) for value in flops),
    )


def _resampled(runs: int, samples: int, seed: int) -> Iterator[Array]:
    """Yield how often each run is drawn, block by block, rows of samples."""
    rng = np.random.default_rng(seed)
    chance = np.full(runs, 1.0 / runs)
    step = min(max(1, _AT_ONCE // runs), _SAMPLES_AT_ONCE)
    for first in range(0, samples, step):
        yield rng.multinomial(runs, chance, size=min(step, samples - first)).astype(float)


def _refit(fit: Fit, weights: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return parameters (samples, 5), objective and whether converged, for rows of weights."""
    best = _descend(fit, fit.minima[0], _NEAR, weights)
    paths = [(start, _NEAR) for start in fit.minima[1:]]
    if fit.core_delta < UNLIMITED:
        paths += [(start, _FAR) for start in fit.minima]
    for start, widening in paths:
        # A few samples say whether this path leads anywhere else: for runs that pin the law down it never does.
        pilot = _descend(fit, start, widening, weights[:_PILOT])
        if not np.any(pilot.objective < best.objective[:_PILOT] * (1.0 - SAME)):
            continue
        rest = _descend(fit, start, widening, weights[_PILOT:])
        other = _joined(pilot, rest)
        # A law beats what is none, whatever its objective.
        law, had = ((found.parameters[3:] > 0).all(axis=0) for found in (other, best))
        better = (law & ~had) | ((law | ~had) & (other.objective < best.objective))
        best = Minima(
            np.where(better, other.parameters, best.parameters),
            np.where(better, other.objective, best.objective),
            np.where(better, other.converged, best.converged),
            np.where(better, other.iterations, best.iterations),
        )
    return best.parameters.T, best.objective, best.converged


def _descend(fit: Fit, start: Array, widening: float, weights: Array) -> Minima:
    return minimise(
        fit.rows,
        np.repeat(start[:, None], len(weights), axis=1),
        delta=fit.core_delta,
        weights=weights,
        constraint=fit.constraint,
        widest=min(widening * fit.core_delta, UNLIMITED),
        tolerance=1e-10,
    )


def _joined(one: Minima, two: Minima) -> Minima:
    return Minima(
        np.concatenate([one.parameters, two.parameters], axis=1),
        np.concatenate([one.objective, two.objective]),
        np.concatenate([one.converged, two.converged]),
        np.concatenate([one.iterations, two.iterations]),
    )


def check_level(level: float) -> None:
    """Refuse a level that is no share."""
    if not 0.0 < level < 1.0:
        raise InputError(f"level {level:g} is not between 0 and 1; write 0.95 for 95% intervals")
