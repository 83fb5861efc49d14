"""The law with thinking at inference, L = E + A N^-alpha + B D^-beta + G k^-g, from models scored at several k.

The form is that of Roberts et al. 2026 (arXiv 2604.01411) for L = -ln pass@k; k are samples or reasoning tokens per
request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.errors import FitError, InputError
from beyond_chinchilla.fit.power_sum import LOG_OF_ZERO, Freedom, PowerRows, minimise, starts
from beyond_chinchilla.fit.thinking.runs import ThinkingRuns
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.thinking import WORDS, Thinking
from beyond_chinchilla.units import format_size

Array = NDArray[np.float64]

# Pass rates scatter by several per cent, so that 1e-3 would be a fit of least absolute deviations.
DELTA = 0.05
# A delta beyond every residual: least squares.
UNLIMITED = 1e3
NAMES = ("A", "B", "G", "E", "alpha", "beta", "g")
# Two minima are the same within this, relative to the better one.
SAME = 1e-6
# Residuals below this are round-off, and objectives made of them alike.
_ROUND_OFF = 1e-9
# E below this share of every loss is 0: its logarithm drifts without end.
_NOTHING = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class ThinkingFit:
    """What a fit answers, and what the rows leave open.

    Attributes
    ----------
    law : LossLaw or None
        E, A, alpha, B and beta, with endless thinking; None where the rows do not tell size from data or from E.
    thinking : Thinking or None
        G and g; None where the rows do not tell them.
    parameters : array, shape (7,)
        ln A, ln B, ln G, ln E, alpha, beta, g at the minimum; -60 for the logarithm of what is 0 or was left out.
    undetermined : tuple of str
        Which constants the rows leave open, and why.
    base : LossLaw or None
        Whose terms of size and data were held.
    tied, irreducible : bool, float or None
        What else was held.
    delta : float
        Of Huber's function; inf for least squares.
    objective : float
    residuals : array, shape (rows,)
        ln(law) - ln(loss).
    starts, reached_best : int
        Starts tried, and how many ended at the best minimum.
    condition : float
        Condition number of the residuals' derivatives, columns scaled to length 1 and logarithms centred.
    ridge : tuple of (str, str)
        The two constants that trade off most.
    shares : mapping of str to float
        The largest share of each term in the loss of any row: ``"A"``, ``"B"``, ``"G"`` and ``"E"``.
    theta, freedom : array, Freedom
        The minimum and what was free, as the core takes them.
    runs : ThinkingRuns
    """

    law: LossLaw | None
    thinking: Thinking | None
    parameters: Array
    undetermined: tuple[str, ...]
    base: LossLaw | None
    tied: bool
    irreducible: float | None
    delta: float
    objective: float
    residuals: Array
    starts: int
    reached_best: int
    condition: float
    ridge: tuple[str, str]
    shares: dict[str, float]
    theta: Array
    freedom: Freedom
    runs: ThinkingRuns

    @property
    def scatter(self) -> float:
        """Standard deviation of the log residuals, sqrt(sum r^2 / (rows - free))."""
        return math.sqrt(float(self.residuals @ self.residuals) / (self.residuals.size - self.freedom.count))

    @property
    def values(self) -> dict[str, float]:
        """The seven constants by name, those that were held among them."""
        return _values(self.parameters, self.irreducible)

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as JSON holds it: no path, no NaN."""
        return {
            "rows": self.residuals.size,
            "models": int(self.runs.models.max()) + 1,
            "constants": self.values,
            "undetermined": list(self.undetermined),
            "base_law": None if self.base is None else self.base.name,
            "tied": self.tied,
            "irreducible": self.irreducible,
            "delta": self.delta if math.isfinite(self.delta) else None,
            "objective": self.objective,
            "scatter": self.scatter,
            "starts": {"count": self.starts, "reached_best": self.reached_best},
            "condition": self.condition,
            "ridge": list(self.ridge),
        }


def fit_thinking(
    runs: ThinkingRuns,
    *,
    objective: Literal["huber", "least-squares"] = "huber",
    delta: float = DELTA,
    tied: bool = False,
    irreducible: float | None = None,
    base: LossLaw | None = None,
    name: str = "fit",
) -> ThinkingFit:
    """Fit L(N, D, k) = E + A N^-alpha + B D^-beta + G k^-g to rows.

    Minimises the sum over rows of Huber's function of ln L(N, D, k) - ln L from a grid of exponents, each with the
    best coefficients for it.

    Parameters
    ----------
    runs : ThinkingRuns
        Of `read_thinking_runs` or `make_thinking_runs`.
    objective : {"huber", "least-squares"}
    delta : float
        Log residuals beyond this count linearly.
    tied : bool
        Hold alpha = beta.
    irreducible : float, optional
        Hold E, the loss that no size, data or thinking takes away; 0 for none.
    base : LossLaw, optional
        Hold A, alpha, B and beta of this law, and fit G, g and E: a law of answers given once holds E + G where this
        one holds E. With `irreducible` as well, G and g alone are fitted. Rows of one model are then enough.
    name : str
        Of the law.

    Raises
    ------
    InputError
        Fewer rows than free constants + 1, or options that make no sense.
    FitError
        No minimum with all exponents above 0: the losses do not fall with N, D and k.

    Examples
    --------
    >>> from beyond_chinchilla.fit.thinking.runs import make_thinking_runs
    >>> law = LossLaw(E=0.15, A=60.0, alpha=0.3, B=150.0, beta=0.28)
    >>> N, D, k = (axis.ravel() for axis in np.meshgrid([1e7, 1e8, 1e9], [1e9, 1e10, 1e11], [1, 4, 16, 64]))
    >>> rows = make_thinking_runs(N, D, k, loss=Thinking(G=0.9, g=0.5).loss(law, N, D, k))
    >>> fit = fit_thinking(rows)
    >>> round(fit.thinking.G, 6), round(fit.thinking.g, 6), round(fit.law.E, 6)
    (0.9, 0.5, 0.15)
    """
    if objective not in ("huber", "least-squares"):
        raise InputError(f"objective '{objective}' is unknown; use huber or least-squares")
    if not delta > 0:
        raise InputError(f"delta {delta:g} is not positive; {DELTA:g} suits scores")
    if irreducible is not None and not 0 <= irreducible < runs.loss.min():
        raise InputError(
            f"irreducible loss {irreducible:g} is not in 0 <= E < {runs.loss.min():g}, the lowest loss of the rows"
        )
    if base is not None and base.power != 1.0:
        raise InputError(f"base law {base.name}: a law of the {base.form} form takes no term of thinking")
    if base is not None and tied:
        raise InputError("tied exponents and a base law do not go together: the base law's exponents are held")
    undetermined, absent = _support(runs, base, irreducible)
    rows = PowerRows.of([runs.params, runs.tokens, runs.k], runs.loss)
    held, freedom = _hold(rows, absent, base, irreducible, tied=tied and not {0, 1} & absent)
    if runs.loss.size < freedom.count + 1:
        raise InputError(
            f"{runs.loss.size} rows for {freedom.count} constants; give at least {freedom.count + 1}, or hold some "
            "(tied exponents, a fixed E, a base law)"
        )
    core_delta = delta if objective == "huber" else UNLIMITED
    found = minimise(rows, starts(rows, held, freedom), freedom, delta=core_delta)
    falls = (found.theta[:, 4:] > 0).all(axis=1) & np.isfinite(found.objective)
    if not falls.any():
        raise FitError(
            "no start found a law whose loss falls with N, D and k; check that the losses are losses (or the scores "
            "scores), or hold the terms of size and data with a base law"
        )
    best = int(np.argmin(np.where(falls, found.objective, np.inf)))
    theta, lowest = found.theta[best], float(found.objective[best])
    same = found.objective[falls] <= lowest * (1.0 + SAME) + 0.5 * runs.loss.size * _ROUND_OFF**2
    parameters = rows.outward(theta)
    parameters[sorted(absent)] = LOG_OF_ZERO
    shares, residuals = (part[0] for part in rows.shares(theta[None]))
    if shares[:, 3].max() < _NOTHING:
        parameters[3] = LOG_OF_ZERO
    condition, ridge = _openness(rows, theta, freedom)
    values = _values(parameters, irreducible)
    if not all(math.isfinite(value) for value in values.values()):
        raise FitError(
            "a term of the best law is beyond any number: the rows are too few or too alike; hold E (irreducible) or "
            "the terms of size and data (a base law)"
        )
    untold = any(line.startswith("G") for line in undetermined)
    return ThinkingFit(
        # Where G is not told from E, neither is E.
        law=None if absent or untold else _law(runs, values, base, name),
        thinking=None if untold else _thinking(runs, values, name),
        parameters=parameters,
        undetermined=undetermined,
        base=base,
        tied=tied,
        irreducible=irreducible,
        delta=delta if objective == "huber" else math.inf,
        objective=lowest,
        residuals=residuals,
        starts=len(falls),
        reached_best=int(np.count_nonzero(same)),
        condition=condition,
        ridge=ridge,
        shares=dict(zip(("A", "B", "G", "E"), shares.max(axis=0).tolist(), strict=True)),
        theta=theta,
        freedom=freedom,
        runs=runs,
    )


def _support(runs: ThinkingRuns, base: LossLaw | None, irreducible: float | None) -> tuple[tuple[str, ...], set[int]]:
    """Say which constants the rows cannot tell whatever their losses, and which terms are left out for it."""
    said: list[str] = []
    absent: set[int] = set()
    hold = "or hold the terms of size and data with a base law"
    sides = (("A", "alpha", "N", runs.params, "sizes"), ("B", "beta", "D", runs.tokens, "numbers of tokens"))
    for term, (coefficient, exponent, quantity, values, others) in enumerate(sides if base is None else ()):
        levels = _levels(values)
        if levels == 1:
            absent.add(term)
            first = format_size(float(values[0]))
            said.append(
                f"{coefficient} and {exponent}: every row has {quantity} = {first}; add rows of other {others}, {hold}"
            )
        elif levels == 2:
            said.append(
                f"{exponent}: two {others} do not tell it from E; add rows of other {others}, {hold}"
            )  # fmt: skip
    if base is None and not absent and _collinear(runs.params, runs.tokens):
        said.append(f"A from B: D follows from N in every row; add rows at other tokens per parameter, {hold}")
    levels, enough = _levels(runs.k), 2 if base is not None and irreducible is not None else 3
    word = WORDS[runs.variable]
    if levels == 1:
        absent.add(2)
        said.append(f"G and g: every row has {format_size(float(runs.k[0]))} {word}; score the models at other numbers")
    elif levels < enough:
        said.append(f"G and g: two numbers of {word} do not tell them from E; score the models at a third")
    return tuple(said), absent


def _levels(values: Array) -> int:
    return int(np.unique(np.round(np.log(values), 9)).size)


def _collinear(N: Array, D: Array) -> bool:
    x, y = np.log(N) - np.log(N).mean(), np.log(D) - np.log(D).mean()
    return bool((x @ x) * (y @ y) - (x @ y) ** 2 < 1e-12 * (x @ x) * (y @ y))


def _hold(
    rows: PowerRows, absent: set[int], base: LossLaw | None, irreducible: float | None, *, tied: bool
) -> tuple[Array, Freedom]:
    """Return theta of what is held, and what is free."""
    parameters = np.zeros(rows.size)
    parameters[4:] = 1.0
    fixed: set[int] = set()
    if base is not None:
        parameters[[0, 1, 4, 5]] = math.log(base.A), math.log(base.B), base.alpha, base.beta
        fixed |= {0, 1, 4, 5}
    if irreducible is not None:
        parameters[3] = math.log(irreducible) if irreducible > 0 else LOG_OF_ZERO
        fixed.add(3)
    held = rows.inward(parameters)
    for term in absent:
        held[term] = LOG_OF_ZERO
        fixed |= {term, term + 4}
    return held, Freedom.of(rows.size, held=sorted(fixed), tied=(4, 5) if tied else None)


def _law(runs: ThinkingRuns, values: dict[str, float], base: LossLaw | None, name: str) -> LossLaw:
    held = f", A, alpha, B and beta held as in {base.name}" if base is not None else ""
    counts = "non-embedding" if runs.conventions.get("counts") == "non-embedding" else "total"
    return LossLaw(
        E=values["E"],
        A=values["A"] if base is None else base.A,
        alpha=values["alpha"] if base is None else base.alpha,
        B=values["B"] if base is None else base.B,
        beta=values["beta"] if base is None else base.beta,
        counts="non-embedding" if (base.counts if base is not None else counts) == "non-embedding" else "total",
        name=name,
        source=f"fit of {runs.loss.size} rows in N, D and {runs.variable} (form of Roberts et al. 2026){held}",
        fitted=runs.fitted if base is None else base.fitted,
    )


def _thinking(runs: ThinkingRuns, values: dict[str, float], name: str) -> Thinking:
    return Thinking(
        G=values["G"],
        g=values["g"],
        variable=runs.variable,
        low=1.0 if runs.variable == "samples" else runs.seen[0],
        once=1.0 if runs.variable == "samples" else runs.seen[0],
        seen=runs.seen,
        name=name,
        source=f"fit of {runs.loss.size} rows (form of Roberts et al. 2026)",
    )


def _values(parameters: Array, irreducible: float | None) -> dict[str, float]:
    values = {name: _natural(name, value) for name, value in zip(NAMES, parameters.tolist(), strict=True)}
    # What was given comes back to the last bit.
    return values if irreducible is None else values | {"E": irreducible}


def _natural(name: str, value: float) -> float:
    """Return a coefficient out of its logarithm, 0 for a term that is not there; an exponent as it is."""
    if name not in NAMES[:4]:
        return value
    return 0.0 if value <= LOG_OF_ZERO else math.exp(value) if value < 700.0 else math.inf


def _openness(rows: PowerRows, theta: Array, freedom: Freedom) -> tuple[float, tuple[str, str]]:
    """Return the condition number of the residuals' derivatives, and the two constants that trade off most."""
    jacobian = rows.jacobian(theta[None])[0][0] @ freedom.directions
    lengths = np.linalg.norm(jacobian, axis=0)
    _, singular, axes = np.linalg.svd(jacobian / np.where(lengths > 0, lengths, 1.0), full_matrices=False)
    # Two that are tied are one direction, spoken of by the first of them.
    names = [NAMES[int(np.flatnonzero(column)[0])] for column in freedom.directions.T]
    order = np.argsort(-np.abs(axes[-1]))
    pair = (names[order[0]], names[order[min(1, len(names) - 1)]])
    return float(singular[0]) / max(float(singular[-1]), 1e-300), pair
