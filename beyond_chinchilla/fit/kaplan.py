"""Kaplan et al. 2020 (arXiv 2001.08361): the closed forms, and a fit of L(N, D).

N counts no embeddings throughout, losses are nats/token on WebText2, D and batch sizes are tokens, S is optimiser
steps, and compute C = 6NBS is in PF-days of 8.64e19 FLOP, as in the paper; `pf_days` converts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.isoflop import positive_columns
from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw

Array = NDArray[np.float64]

# 1e15 FLOP/s for a day (section 2.1).
PF_DAY = 8.64e19

# One variable at a time: Eq. 1.1, 1.2, 1.3 and, for compute at a fixed batch size, appendix A.
ALPHA_N, N_C = 0.076, 8.8e13
ALPHA_D, D_C = 0.095, 5.4e13
ALPHA_C_MIN, C_C_MIN = 0.050, 3.1e8
ALPHA_C, C_C = 0.057, 1.6e7
# Eq. 1.5 with Table 2.
TABLE_2: Mapping[str, float] = {"alpha_N": 0.076, "alpha_D": 0.103, "N_c": 6.4e13, "D_c": 1.8e13}
# Eq. 1.6 with Table 3.
TABLE_3: Mapping[str, float] = {"alpha_N": 0.077, "alpha_S": 0.76, "N_c": 6.5e13, "S_c": 2.1e3}
# Eq. 1.4 and 5.3; appendix A prints 2.1e8 for B_*, the text 2e8.
B_STAR, ALPHA_B = 2.1e8, 0.21


def pf_days(flops: ArrayLike) -> Array:
    """Return compute [PF-days] of FLOP (section 2.1: 1 PF-day = 8.64e19 FLOP).

    >>> float(pf_days(8.64e22))
    1000.0
    """
    return _array(flops) / PF_DAY


def flops(days: ArrayLike) -> Array:
    """Return compute [FLOP] of PF-days: the inverse of `pf_days`."""
    return _array(days) * PF_DAY


def loss_of_params(N: ArrayLike) -> Array:
    """Return L(N) = (N_c / N)^alpha_N: loss [nats/token] at convergence with data enough (Eq. 1.1).

    >>> round(float(loss_of_params(1.5e9)), 4)
    2.3036
    """
    return (N_C / _array(N)) ** ALPHA_N


def loss_of_tokens(D: ArrayLike) -> Array:
    """Return L(D) = (D_c / D)^alpha_D: loss [nats/token] of a large model stopped early (Eq. 1.2).

    >>> round(float(loss_of_tokens(22e9)), 4)
    2.0992
    """
    return (D_C / _array(D)) ** ALPHA_D


def loss_of_compute(C_min: ArrayLike) -> Array:
    """Return L(C_min) = (C_c / C_min)^alpha_C: loss [nats/token] of `C_min` PF-days, best allocated (Eq. 1.3)."""
    return (C_C_MIN / _array(C_min)) ** ALPHA_C_MIN


def loss_of_compute_at_fixed_batch(C: ArrayLike) -> Array:
    """Return L(C) = (C_c / C)^alpha_C: loss [nats/token] of `C` PF-days at a batch of 2^19 tokens (appendix A)."""
    return (C_C / _array(C)) ** ALPHA_C


def loss_of_params_and_tokens(N: ArrayLike, D: ArrayLike) -> Array:
    """Return L(N, D) = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D [nats/token] (Eq. 1.5, Table 2)."""
    t = TABLE_2
    return np.asarray(((t["N_c"] / _array(N)) ** (t["alpha_N"] / t["alpha_D"]) + t["D_c"] / _array(D)) ** t["alpha_D"])


def loss_of_params_and_steps(N: ArrayLike, S_min: ArrayLike) -> Array:
    """Return L(N, S_min) = (N_c / N)^alpha_N + (S_c / S_min)^alpha_S [nats/token] (Eq. 1.6, Table 3)."""
    t = TABLE_3
    return np.asarray((t["N_c"] / _array(N)) ** t["alpha_N"] + (t["S_c"] / _array(S_min)) ** t["alpha_S"])


def critical_batch(loss: ArrayLike, *, B_star: float = B_STAR) -> Array:
    """Return B_crit(L) = B_* / L^(1/alpha_B): batch size [tokens] at which time and compute trade evenly (Eq. 5.3).

    >>> f"{critical_batch(3.0, B_star=2e8):.3e} {critical_batch(2.0, B_star=2e8):.2e}"
    '1.069e+06 7.37e+06'
    """
    return B_star / _array(loss) ** (1.0 / ALPHA_B)


def least_steps(S: ArrayLike, B: ArrayLike, loss: ArrayLike) -> Array:
    """Return S_min = S / (1 + B_crit(L) / B): steps at a batch far above the critical one (Eq. 5.4)."""
    return _array(S) / (1.0 + critical_batch(loss) / _array(B))


def least_compute(C: ArrayLike, B: ArrayLike, loss: ArrayLike) -> Array:
    """Return C_min = C / (1 + B / B_crit(L)): compute at a batch far below it, in the unit of `C` (Eq. 5.5)."""
    return _array(C) / (1.0 + _array(B) / critical_batch(loss))


def examples_for_steps(S_over_S_min: ArrayLike) -> Array:
    """Return E / E_min of a run of S / S_min steps: (S/S_min - 1)(E/E_min - 1) = 1 (Eq. 5.1); inf at 1.

    >>> examples_for_steps([2.0, 11.0]).tolist()
    [2.0, 1.1]
    """
    ratio = _array(S_over_S_min)
    with np.errstate(divide="ignore"):
        return np.where(ratio >= 1.0, 1.0 + 1.0 / (ratio - 1.0), np.nan)


def training_compute(N: ArrayLike, B: ArrayLike, S: ArrayLike) -> Array:
    """Return C = 6NBS [PF-days] of S steps at a batch of B tokens (section 2.1)."""
    return pf_days(6.0 * _array(N) * _array(B) * _array(S))


def tokens_against_overfitting(N: ArrayLike) -> Array:
    """Return D = 5e3 N^0.74: tokens from which overfitting stays within the noise of seeds, 0.02 (Eq. 4.4).

    >>> f"{tokens_against_overfitting(1e9):.2e}"
    '2.29e+10'
    """
    return 5e3 * _array(N) ** 0.74


def overfitting(N: ArrayLike, D: ArrayLike) -> Array:
    """Return delta L = L(N, D) / L(N, infinity) - 1 (Eq. 4.2 and 4.3)."""
    t = TABLE_2
    excess = (_array(N) / t["N_c"]) ** (t["alpha_N"] / t["alpha_D"]) * t["D_c"] / _array(D)
    return np.asarray(np.expm1(t["alpha_D"] * np.log1p(excess)))


def optimal_params(C_min: ArrayLike) -> Array:
    """Return N_opt = 1.3e9 C_min^0.73 [non-embedding parameters] of `C_min` PF-days (appendix A)."""
    return 1.3e9 * _array(C_min) ** 0.73


def optimal_batch(C_min: ArrayLike) -> Array:
    """Return B = 2.0e6 C_min^0.24 [tokens], the critical batch size at the end of training (appendix A)."""
    return 2.0e6 * _array(C_min) ** 0.24


def optimal_steps(C_min: ArrayLike) -> Array:
    """Return S_min = 5.4e3 C_min^0.03 (appendix A)."""
    return 5.4e3 * _array(C_min) ** 0.03


def optimal_tokens(C_min: ArrayLike) -> Array:
    """Return D_opt = 2e10 C_min^0.27 [tokens] in one epoch (appendix A)."""
    return 2e10 * _array(C_min) ** 0.27


def tokens_used(C_min: ArrayLike) -> Array:
    """Return D(C_min) = 2 C_min / (6 N_opt) = 4e10 C_min^0.26 [tokens], at the critical batch size (Eq. 6.7)."""
    return 4e10 * _array(C_min) ** 0.26


def compute_exponent(*, alpha_N: float = 0.077, alpha_S: float = 0.76, alpha_B: float = ALPHA_B) -> float:
    """Return alpha_C = 1 / (1/alpha_S + 1/alpha_B + 1/alpha_N), the predicted exponent of L(C_min) (Eq. 6.4).

    >>> round(compute_exponent(), 4)
    0.0525
    """
    return 1.0 / (1.0 / alpha_S + 1.0 / alpha_B + 1.0 / alpha_N)


def compute_overhead(size_ratio: ArrayLike, *, alpha_N: float = ALPHA_N, alpha_S: float = 0.76) -> Array:
    """Return C(N) / C(N_eff): compute for the same loss at a size off the efficient one by N / N_eff (Eq. B.16).

    (N/N_eff) [1 + (alpha_S/alpha_N) (1 - (N_eff/N)^alpha_N)]^(-1/alpha_S); nan where a model of that size never
    reaches the loss.

    >>> compute_overhead([0.6, 2.2]).round(4).tolist()
    [1.1645, 1.2035]
    """
    ratio = _array(size_ratio)
    inner = 1.0 + (alpha_S / alpha_N) * (1.0 - ratio**-alpha_N)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(inner > 0, ratio * inner ** (-1.0 / alpha_S), np.nan)


@dataclass(frozen=True, eq=False)
class KaplanFit:
    """L(N, D) of Kaplan's form, fitted to runs (Eq. 1.5).

    Parameters
    ----------
    alpha_N, alpha_D, N_c, D_c : float
        As the paper names them; N counts no embeddings, D_c in tokens.
    rmse : float
        Root mean square residual of ln loss.
    runs : int
        Number of runs.
    starts : int
        Starting points.
    reached : int
        How many of them ended at the best minimum.
    covariance : array, shape (4, 4)
        Of (alpha_N, alpha_D, ln N_c, ln D_c), by the Gauss-Newton matrix at the minimum; nan with four runs.
    fitted : FittedRange
        What the runs covered.
    """

    alpha_N: float
    alpha_D: float
    N_c: float
    D_c: float
    rmse: float
    runs: int
    starts: int
    reached: int
    covariance: Array
    fitted: FittedRange = field(default_factory=FittedRange)

    @property
    def law(self) -> LossLaw:
        """Return the law in the common form: E = 0, power = alpha_D, A = N_c^(alpha_N/alpha_D), B = D_c, beta = 1."""
        ratio = self.alpha_N / self.alpha_D
        return LossLaw(
            E=0.0,
            A=self.N_c**ratio,
            alpha=ratio,
            B=self.D_c,
            beta=1.0,
            power=self.alpha_D,
            counts="non-embedding",
            name="kaplan-fit",
            source=f"fit of {self.runs} runs in the form of Kaplan et al. 2020, Eq. 1.5",
            fitted=self.fitted,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it."""
        known = bool(np.isfinite(self.covariance).all())
        return {
            "form": "kaplan",
            "alpha_N": self.alpha_N,
            "alpha_D": self.alpha_D,
            "N_c": self.N_c,
            "D_c": self.D_c,
            "covariance_of": ["alpha_N", "alpha_D", "ln N_c", "ln D_c"],
            "covariance": self.covariance.tolist() if known else None,
            "rmse": self.rmse,
            "runs": self.runs,
            "starts": self.starts,
            "reached": self.reached,
            "range": self.fitted.to_dict(),
            "law": self.law.to_dict(),
        }


def fit_kaplan(params: ArrayLike, tokens: ArrayLike, loss: ArrayLike) -> KaplanFit:
    """Fit Eq. 1.5 to runs by least squares on ln loss.

    ln L = alpha_D ln[(N_c/N)^(alpha_N/alpha_D) + D_c/D], solved with analytic derivatives for ln alpha_N, ln alpha_D,
    ln N_c and ln D_c from a small grid of starts.

    Parameters
    ----------
    params : array_like, shape (runs,)
        Non-embedding parameters.
    tokens : array_like, shape (runs,)
        Training tokens.
    loss : array_like, shape (runs,)
        Loss [nats/token] of runs stopped at their best (the form has no floor: E = 0).

    Raises
    ------
    InputError
        Columns of different lengths, a value that is not a positive number, fewer than four runs, or one size or one
        number of tokens only.
    FitError
        The best fit runs off to a bound, or leaves a constant free.

    Examples
    --------
    >>> N, D = np.meshgrid([1e6, 1e7, 1e8, 1e9], [1e8, 1e9, 1e10])
    >>> fit = fit_kaplan(N, D, loss_of_params_and_tokens(N, D))
    >>> round(fit.alpha_N, 6), round(fit.alpha_D, 6), f"{fit.N_c:.4g}"
    (0.076, 0.103, '6.4e+13')
    """
    from scipy.optimize import least_squares

    N, D, L = positive_columns(params=params, tokens=tokens, loss=loss)
    if N.size < 4:
        raise InputError(f"Kaplan's form has four constants, and there are {N.size} runs; give at least four")
    if np.unique(N).size < 2 or np.unique(D).size < 2:
        raise InputError("all runs have one size or one number of tokens; L(N, D) needs two of each")
    n, d, target = np.log(N), np.log(D), np.log(L)

    def parts(theta: Array) -> tuple[Array, Array, Array, float]:
        ratio = math.exp(theta[0] - theta[1])
        model, data = ratio * (theta[2] - n), theta[3] - d
        total = np.logaddexp(model, data)
        return model, total, np.exp(model - total), ratio

    def residuals(theta: Array) -> Array:
        return np.asarray(math.exp(theta[1]) * parts(theta)[1] - target)

    def jacobian(theta: Array) -> Array:
        model, total, share, ratio = parts(theta)
        alpha_D = math.exp(theta[1])
        # d ln L by ln alpha_N, ln alpha_D, ln N_c, ln D_c; share is the model term's part of the sum.
        by_size = alpha_D * share * model
        columns = [by_size, alpha_D * total - by_size, alpha_D * share * ratio, alpha_D * (1.0 - share)]
        return np.stack(columns, axis=1)

    starts = [
        np.array([math.log(alpha_N), math.log(alpha_D), scale_N, scale_D])
        for alpha_N in (0.05, 0.15)
        for alpha_D in (0.07, 0.2)
        # The constants at which a typical run's loss is one term's alone.
        for scale_N in (n.mean() + target.mean() / alpha_N,)
        for scale_D in (d.mean() + target.mean() / alpha_D,)
    ]
    # Beyond these bounds a power or a constant is no number, and no law.
    low, high = np.array([-12.0, -12.0, -200.0, -200.0]), np.array([4.0, 4.0, 600.0, 600.0])
    answers = [
        least_squares(
            residuals, np.clip(start, low + 1, high - 1), jac=jacobian, bounds=(low, high), x_scale="jac",
            ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=2000,
        )
        for start in starts
    ]  # fmt: skip
    best = min(answers, key=lambda answer: float(answer.cost))
    if np.any(best.active_mask):
        raise FitError(
            "Kaplan's form does not hold these runs: the best fit runs off to an exponent or a constant without bound; "
            "loss may not fall with both params and tokens, or may have a floor: use the parametric fit"
        )
    covariance = _covariance(jacobian(best.x), 2.0 * float(best.cost), np.exp([best.x[0], best.x[1], 0.0, 0.0]))
    if N.size > 4 and not np.isfinite(covariance).all():
        raise FitError(
            "these runs leave one of Kaplan's constants free: loss must fall with params as well as with tokens, and "
            "they must not move together; add runs, or use the parametric fit"
        )
    near = [answer for answer in answers if answer.cost <= best.cost * (1 + 1e-6) + 1e-18]
    alpha_N, alpha_D = math.exp(best.x[0]), math.exp(best.x[1])
    return KaplanFit(
        alpha_N=alpha_N,
        alpha_D=alpha_D,
        N_c=math.exp(best.x[2]),
        D_c=math.exp(best.x[3]),
        rmse=math.sqrt(2.0 * float(best.cost) / N.size),
        runs=N.size,
        starts=len(starts),
        reached=len(near),
        covariance=covariance,
        fitted=FittedRange(params=_span(N), tokens=_span(D), tokens_per_param=_span(D / N), flops=_span(6.0 * N * D)),
    )


def _covariance(jac: Array, squares: float, scale: Array) -> Array:
    """Return s^2 (J'J)^-1, carried from ln alpha to alpha; nan without spare runs or with a flat direction."""
    spare = jac.shape[0] - 4
    singular = np.linalg.svd(jac, compute_uv=False)
    if spare < 1 or singular[-1] <= 1e-12 * singular[0]:
        return np.full((4, 4), np.nan)
    inverse = np.linalg.inv(jac.T @ jac)
    return np.asarray(squares / spare * inverse * np.outer(scale, scale))


def _span(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _array(values: ArrayLike) -> Array:
    return np.asarray(values, dtype=float)
