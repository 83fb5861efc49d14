"""The universal curve as cell formulas: from a law, a target and two rates to the plan of least lifetime cost.

The steps are those of `optimise.universal`; the workbook solves for y = ln s by a fixed chain of Newton steps, so
that there is nothing to iterate and no circular reference. `solve_in_cells` hands each step to the caller, who puts
it into a cell where it likes: down a sheet with labels, or along one row of many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from beyond_chinchilla.sheets.formula import ERROR, Formula, added, exp, expm1, if_, larger, literal, ln, log1p, smaller

# Takes the name of a step and its formula; returns a reference to the cell that now holds it.
Put = Callable[[str, Formula], Formula]

# Six Newton steps leave at most a few 1e-14 of s for kappa from 1e-17 to 1e17 and beta from 0.05.
STEPS = 6
# Without serving the logarithm of kappa would be an error; this much serving changes no digit.
_LEAST_KAPPA = 1e-200
_SERIES_BELOW = 0.05
_SERIES_TERMS = 15


@dataclass(frozen=True, kw_only=True)
class LawCells:
    """The constants of a loss law L = E + A N^-alpha + B D^-beta."""

    E: Formula
    A: Formula
    alpha: Formula
    B: Formula
    beta: Formula

    def loss(self, N: Formula, D: Formula) -> Formula:
        """Loss [nats/token] of a model."""
        return self.E + self.A * N**-self.alpha + self.B * D**-self.beta


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What a parameter costs.

    Attributes
    ----------
    training : dict of str to Formula
        Per parameter and training token, by term; their sum is a.
    serving : dict of str to Formula
        Per parameter for the whole life, by term; their sum is b.
    """

    training: dict[str, Formula]
    serving: dict[str, Formula]

    def in_cells(self, put: Put) -> Bill:
        """Put every rate into a cell of its own."""
        return Bill(
            training={label: put(f"rate_{label}", rate) for label, rate in self.training.items()},
            serving={label: put(f"rate_{label}", rate) for label, rate in self.serving.items()},
        )


@dataclass(frozen=True, kw_only=True)
class Point:
    """A model with its bill."""

    params: Formula
    tokens: Formula
    terms: dict[str, Formula]
    total: Formula


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A plan and the compute-optimal model beside it, each with what serving costs over training."""

    best: Point
    baseline: Point
    kappa: Formula
    spend_ratio: Formula


@dataclass(frozen=True, kw_only=True)
class Curve(Pair):
    """The least-cost plan and the compute-optimal model of the same loss, on the universal curve."""

    gap: Formula
    q: Formula
    training_rate: Formula
    serving_rate: Formula


def solve_in_cells(put: Put, law: LawCells, gap: Formula, bill: Bill) -> Curve:
    """Put the whole chain into cells.

    Parameters
    ----------
    put : callable
        Called once a step, in order, with the step's name.
    law : LawCells
    gap : Formula
        R = target - E, which the caller guards: see `guarded_gap`.
    bill : Bill

    Returns
    -------
    Curve
        References to the cells.
    """
    alpha, beta = law.alpha, law.beta
    q = put("q", beta / (alpha + beta))
    N_c = put("chinchilla_params", (law.A / (q * gap)) ** (1.0 / alpha))
    # 1 - q, without its cancellation
    D_c = put("chinchilla_tokens", (law.B * (alpha + beta) / (alpha * gap)) ** (1.0 / beta))
    a = put("training_rate", added(bill.training.values()))
    b = put("serving_rate", added(bill.serving.values()))
    kappa = put("kappa", b / (a * D_c))
    log_kappa = put("log_kappa", ln(larger(kappa, _LEAST_KAPPA)))
    y = put("y0", smaller(log_kappa, (log_kappa - ln(q) / beta) / (1.0 + 1.0 / beta)))
    for step in range(1, STEPS + 1):
        e = q * exp(y)
        y = put(f"y{step}", y - (y + ln(1.0 + e) / beta - log_kappa) / (1.0 + e / (beta * (1.0 + e))))
    s = put("spend_ratio", exp(y))
    D = put("tokens", D_c * (1.0 + q * s) ** (1.0 / beta))
    N = put("params", N_c * ((1.0 + q * s) / (1.0 + s)) ** (1.0 / alpha))
    best = point_in_cells(put, "", (N, D), bill)
    baseline = point_in_cells(put, "chinchilla_", (N_c, D_c), bill)
    return Curve(
        gap=gap, q=q, training_rate=a, serving_rate=b, kappa=kappa, spend_ratio=s, best=best, baseline=baseline
    )


def guarded_gap(target: Formula, floor: Formula) -> Formula:
    """Reducible loss R = target - E; ``#N/A``, one kind of error for all that follows, where it is not above zero."""
    return if_(target - floor > 0.0, target - floor, literal(ERROR))


def savings_in_cells(put: Put, law: LawCells, curve: Curve) -> Formula:
    """Put 1 - least cost / cost of the baseline into cells, accurate where it is small.

    Below s = 0.05 the first orders cancel and are left out by hand, as in `universal.log_cost_ratio`.
    """
    alpha, beta, q, s = law.alpha, law.beta, curve.q, curve.spend_ratio
    small_s = put("small_s", smaller(s, _SERIES_BELOW))
    small_qs = put("small_qs", q * small_s)
    of_s = put("series_s", _log1p_less_x(small_s))
    of_qs = put("series_qs", _log1p_less_x(small_qs))
    growth = put("growth", log1p(small_qs) / beta)
    excess = put("excess", log1p(put("excess_share", small_s / (1.0 + small_s) * expm1(growth))))
    small = put("log_ratio", of_qs * (1.0 / alpha + 1.0 / beta) - of_s / alpha - excess)
    plain = 1.0 - curve.best.total / curve.baseline.total
    return put("savings_fraction", if_(s < _SERIES_BELOW, -expm1(small), plain))


def point_in_cells(put: Put, prefix: str, model: tuple[Formula, Formula], bill: Bill) -> Point:
    """Put the bill of a model of N parameters and D tokens into cells."""
    N, D = model
    terms = {label: put(f"{prefix}{label}", rate * N * D) for label, rate in bill.training.items()}
    terms |= {label: put(f"{prefix}{label}", rate * N) for label, rate in bill.serving.items()}
    return Point(params=N, tokens=D, terms=terms, total=put(f"{prefix}total", added(terms.values())))


def _log1p_less_x(x: Formula) -> Formula:
    """ln(1 + x) - x for 0 <= x <= 0.05 by its series, in Horner's form."""
    nested = 1.0 / literal(float(_SERIES_TERMS))
    for k in range(_SERIES_TERMS - 1, 1, -1):
        nested = 1.0 / literal(float(k)) - x * nested
    return -(x * x * nested)
