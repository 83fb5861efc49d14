"""Posynomials: sums of labelled terms ``c * prod(variable ** power)`` with c > 0.

The one abstraction of this project. Loss laws, costs and limits are posynomials; in the logarithms of the
variables each is convex, so every plan is a certified global optimum (Boyd et al. 2007, "A tutorial on
geometric programming", section 7). Solver, report and tables read the same terms: no total can disagree.

Coefficients and powers may be arrays that broadcast over a batch of problems; a term then stands for one
term of each of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError

Array = NDArray[np.float64]

_PLAIN = (float, np.float64)


@dataclass(frozen=True, kw_only=True)
class Term:
    """One labelled monomial, ``coefficient * prod(variable ** power)``.

    Parameters
    ----------
    label : str
        What a reader sees: ``"training"``, ``"prefill"``, ``"decode"``.
    coefficient : numeric
        Positive and finite; in the unit of the posynomial when the variables are in base units.
    powers : mapping of str to numeric
        Variable name to exponent. A variable that is absent has exponent 0.
    drivers : tuple of str
        Inputs in which the coefficient is proportional: ``("demand", "serving_price")``. By the envelope
        theorem the elasticity of the least cost in such an input is the share of the terms that it drives.
    """

    label: str
    coefficient: ArrayLike
    powers: Mapping[str, ArrayLike]
    drivers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Solvers make thousands of terms of plain numbers.
        if type(self.coefficient) in _PLAIN and 0.0 < float(self.coefficient) < math.inf:  # type: ignore[arg-type]
            return
        coefficient = np.asarray(self.coefficient, dtype=float)
        if not bool(np.all((coefficient > 0) & np.isfinite(coefficient))):
            raise InputError(f"term '{self.label}': a coefficient must be positive and finite, not {coefficient}")

    def power(self, variable: str) -> float:
        """Return the exponent of a variable, of a term whose powers are numbers; 0 for one that is absent.

        >>> Term(label="training", coefficient=6.0, powers={"params": 1}).power("tokens")
        0.0
        """
        return float(np.asarray(self.powers.get(variable, 0.0)))

    def log_value(self, logs: Mapping[str, ArrayLike]) -> Array:
        """Return the log of the term at the logs of the variables (broadcasting)."""
        value: Array = np.log(np.asarray(self.coefficient, dtype=float))
        for name, power in self.powers.items():
            value = value + np.multiply(power, logs[name])
        return value

    def value(self, point: Mapping[str, ArrayLike]) -> Array:
        """Return the term at the variables themselves (broadcasting)."""
        value: Array = np.asarray(self.coefficient, dtype=float)
        with np.errstate(all="ignore"):
            for name, power in self.powers.items():
                value = value * np.power(np.asarray(point[name], dtype=float), power)
        return value

    def times(self, coefficient: ArrayLike, powers: Mapping[str, ArrayLike] | None = None) -> Term:
        """Return the term multiplied by a monomial; its label and drivers stay."""
        merged: dict[str, ArrayLike] = dict(self.powers)
        for name, power in (powers or {}).items():
            merged[name] = np.add(merged.get(name, 0.0), power)
        # What overflows is no coefficient, which the term says itself.
        with np.errstate(all="ignore"):
            return replace(self, coefficient=np.multiply(self.coefficient, coefficient), powers=merged)


@dataclass(frozen=True)
class Posynomial:
    """A sum of labelled terms.

    Parameters
    ----------
    terms : tuple of Term
    unit : str
        Unit of the value: ``"USD"``, ``"FLOP"``, ``"second"``; ``""`` for a plain number.

    Examples
    --------
    >>> cost = Posynomial((Term(label="training", coefficient=6, powers={"params": 1, "tokens": 1}),
    ...                    Term(label="serving", coefficient=4e12, powers={"params": 1})), "FLOP")
    >>> f"{cost.value({'params': 7e9, 'tokens': 1e12}):.4g} {cost.unit}"
    '7e+22 FLOP'
    """

    terms: tuple[Term, ...]
    unit: str = ""

    def __post_init__(self) -> None:
        if not self.terms:
            raise InputError("a posynomial needs at least one term")

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables, in the order in which they appear."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.powers))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the terms, in order."""
        return tuple(term.label for term in self.terms)

    def log_terms(self, logs: Mapping[str, ArrayLike]) -> Array:
        """Return the log of each term, shape (..., terms)."""
        return _beside([term.log_value(logs) for term in self.terms])

    def values(self, point: Mapping[str, ArrayLike]) -> Array:
        """Return the value of each term, shape (..., terms), in `unit`."""
        return _beside([term.value(point) for term in self.terms])

    def value(self, point: Mapping[str, ArrayLike]) -> Array:
        """Return the sum of the terms, shape (...), in `unit`."""
        return np.asarray(self.values(point).sum(axis=-1))

    def log_value(self, logs: Mapping[str, ArrayLike]) -> Array:
        """Return the log of the sum, without overflow, shape (...)."""
        return log_sum_exp(self.log_terms(logs))

    def shares(self, logs: Mapping[str, ArrayLike]) -> Array:
        """Return the share of each term in the sum, shape (..., terms)."""
        terms = self.log_terms(logs)
        weights = np.exp(terms - terms.max(axis=-1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=-1, keepdims=True))

    def powers(self, variables: Sequence[str]) -> Array:
        """Return the exponents, shape (..., terms, variables)."""
        rows = [_beside([_power(t, v) for v in variables]) for t in self.terms]
        return np.stack(np.broadcast_arrays(*rows), axis=-2)

    def log_gradient(self, logs: Mapping[str, ArrayLike], variables: Sequence[str]) -> Array:
        """Return d ln value / d ln variable, shape (..., variables)."""
        shares = self.shares(logs)
        return np.asarray((shares[..., None] * self.powers(variables)).sum(axis=-2))

    def log_hessian(self, logs: Mapping[str, ArrayLike], variables: Sequence[str]) -> Array:
        """Return the second derivatives of ln value in the logs, shape (..., variables, variables).

        The covariance of the exponents under the shares: positive semi-definite, hence convex in logs.
        """
        shares = self.shares(logs)
        powers = self.powers(variables)
        mean = (shares[..., None] * powers).sum(axis=-2)
        centred = powers - mean[..., None, :]
        return np.asarray(np.einsum("...t,...ti,...tj->...ij", shares, centred, centred))

    def __add__(self, other: Posynomial) -> Posynomial:
        """Return the sum: the terms of both, in order. The units must agree."""
        if not isinstance(other, Posynomial):
            return NotImplemented
        if self.unit != other.unit:
            raise InputError(f"cannot add a posynomial in {other.unit or 'no unit'} to one in {self.unit or 'no unit'}")
        return Posynomial(self.terms + other.terms, self.unit)

    def times(
        self, coefficient: ArrayLike, powers: Mapping[str, ArrayLike] | None = None, *, unit: str | None = None
    ) -> Posynomial:
        """Return the product with a monomial; labels and drivers stay, `unit` replaces the unit."""
        terms = tuple(term.times(coefficient, powers) for term in self.terms)
        return Posynomial(terms, self.unit if unit is None else unit)

    def substitute(self, variable: str, inner: Posynomial) -> Posynomial:
        """Return the posynomial with `variable` replaced by a posynomial.

        A term of power 1 becomes one term for each of `inner`, with its own label and drivers; power 0 stays.

        Raises
        ------
        InputError
            Another power: the result would be no posynomial.
        """
        terms: list[Term] = []
        for term in self.terms:
            power = term.powers.get(variable, 0.0)
            if np.all(np.equal(power, 0.0)):
                terms.append(term)
            elif np.all(np.equal(power, 1.0)):
                rest = replace(term, powers={name: p for name, p in term.powers.items() if name != variable})
                terms += [rest.times(part.coefficient, part.powers) for part in inner.terms]
            else:
                raise InputError(f"term '{term.label}' has {variable} to the power {power}: cannot substitute a sum")
        return Posynomial(tuple(terms), self.unit)

    def hold(self, numbers: Mapping[str, ArrayLike]) -> Posynomial:
        """Return the posynomial with some variables held at numbers.

        >>> cost = monomial("decode", 2.0, {"params": 1, "samples": 1})
        >>> float(cost.hold({"samples": 8.0}).terms[0].coefficient)
        16.0
        """
        if not numbers:
            return self
        terms = []
        for term in self.terms:
            factor = math.prod(np.power(numbers[name], power) for name, power in term.powers.items() if name in numbers)
            powers = {name: power for name, power in term.powers.items() if name not in numbers}
            terms.append(replace(term, coefficient=np.multiply(term.coefficient, factor)[()], powers=powers))
        return Posynomial(tuple(terms), self.unit)

    def totals(self, point: Mapping[str, ArrayLike]) -> dict[str, float]:
        """Return label and value at one point; terms that share a label are added up."""
        totals: dict[str, float] = {}
        for term in self.terms:
            totals[term.label] = totals.get(term.label, 0.0) + float(term.value(point))
        return totals

    def to_expression(self, variables: Mapping[str, Any]) -> Any:
        """Return the sum written with the given objects, such as positive cvxpy variables.

        Uses ``*``, ``**`` and ``+`` alone, so that any algebra that has them will do.
        """
        total: Any = None
        for term in self.terms:
            product: Any = float(np.asarray(term.coefficient))
            for name, power in term.powers.items():
                product = product * variables[name] ** float(np.asarray(power))
            total = product if total is None else total + product
        return total


def log_sum_exp(terms: Array) -> Array:
    """Return ln(sum(exp(terms))) over the last axis, without overflow."""
    peak = terms.max(axis=-1)
    return np.asarray(peak + np.log(np.exp(terms - peak[..., None]).sum(axis=-1)))


def monomial(
    label: str, coefficient: ArrayLike, powers: Mapping[str, ArrayLike], *, unit: str = "", drivers: Iterable[str] = ()
) -> Posynomial:
    """Return a posynomial of one term.

    >>> float(monomial("ratio", 1.0, {"tokens": 1, "params": -1}).value({"tokens": 2e12, "params": 7e9}))
    285.7142857142857
    """
    return Posynomial((Term(label=label, coefficient=coefficient, powers=powers, drivers=tuple(drivers)),), unit)


def _beside(columns: Sequence[Array]) -> Array:
    """Return arrays as the columns of one, broadcast where their shapes differ: numpy is slow to see that none does."""
    alike = all(np.shape(column) == np.shape(columns[0]) for column in columns)
    return np.stack(columns if alike else np.broadcast_arrays(*columns), axis=-1)


def _power(term: Term, variable: str) -> Array:
    return np.asarray(term.powers.get(variable, 0.0), dtype=float)
