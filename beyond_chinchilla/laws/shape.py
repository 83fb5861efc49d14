"""The shape of a model: a wide and shallow one loses a little more, and answers sooner.

Bian, Yan & Venkataraman 2025 (arXiv 2501.18107) multiply a loss law by 1 + epsilon R^gamma, where the *aspect ratio*
R is d_model / n_layer. The law only falls towards deep and narrow models: what makes a plan wide is the time that each
layer of a decode step takes, whatever its width. ``data/shape.yaml`` says what the constants have seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from beyond_chinchilla.data import load_row, row_names
from beyond_chinchilla.errors import InputError, nearest
from beyond_chinchilla.laws.loss_law import Array, FittedRange, LossLaw
from beyond_chinchilla.posynomial import Posynomial, Term, monomial
from beyond_chinchilla.units import format_times, parse_number

ASPECT = "aspect"
# Kaplan et al. 2020 (arXiv 2001.08361), Eq. 2.1: a layer of width d has 12 d^2 parameters.
PARAMETERS_OF_A_LAYER = 12.0


@dataclass(frozen=True, kw_only=True)
class Shape:
    """L(N, D, R) = (E + A N^-alpha + B D^-beta) (1 + epsilon R^gamma), R = d_model / n_layer.

    With R held it is a plain law, E, A and B all larger by the same factor. In ln N, ln D and ln R the problem stays
    convex: every product of the bracket is a posynomial term.

    Parameters
    ----------
    epsilon, gamma : float
        Coefficient and exponent of the aspect ratio, > 0.
    low, high : float
        Bounds of the aspect ratio.
    seen : pair of float, optional
        The smallest and largest aspect ratio behind epsilon and gamma.
    flat_below : float, optional
        Aspect ratio below which the runs were no better than there, though the law falls on.
    reference : float, optional
        Aspect ratio of the models that the plain law speaks of; the deepest allowed if left out.
    fitted : FittedRange, optional
        Size and data of those runs, where the law that the shape multiplies is another one and does not say.
    name, source, note : str
        For people.

    Raises
    ------
    InputError
        A constant that is not positive and finite, or bounds that hold nothing (all of them at once).

    Examples
    --------
    >>> from beyond_chinchilla.laws.catalogue import law
    >>> shape = published("bian-2025")
    >>> [round(float(shape.loss(law("bian-2025"), 1.44e9, 29e9, aspect)), 3) for aspect in (85.3, 256)]
    [2.914, 2.968]
    """

    kind: ClassVar[str] = "shape"
    variable: ClassVar[str] = ASPECT
    whole: ClassVar[bool] = False

    epsilon: float
    gamma: float
    low: float
    high: float
    seen: tuple[float, float] | None = None
    flat_below: float | None = None
    reference: float | None = None
    fitted: FittedRange | None = None
    name: str = "custom"
    source: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        mistakes = [
            f"shape: {key} must be > 0 and finite, not {value:g}"
            for key, value in (("epsilon", self.epsilon), ("gamma", self.gamma))
            if not 0.0 < value < math.inf
        ]
        if not 0.0 < self.low < math.inf or not 0.0 < self.high < math.inf:
            mistakes.append(
                f"shape: an aspect ratio is width over layers, > 0 and finite, not {self.low:g} to {self.high:g}; "
                "Llama-2-7B has 4096 / 32 = 128"
            )
        elif self.low > self.high:
            mistakes.append(f"shape: min {self.low:g} is above max {self.high:g}; no aspect ratio lies between")
        elif not mistakes and self.gamma * math.log(self.high) + math.log(self.epsilon) > math.log(1e6):
            mistakes.append(
                f"shape: epsilon {self.epsilon:g} and gamma {self.gamma:g} multiply the loss by more than a million "
                f"at an aspect ratio of {self.high:g}; lower them, or the largest aspect ratio"
            )
        if mistakes:
            raise InputError("\n".join(mistakes))

    @property
    def baseline(self) -> float:
        """The shape in which a compute-optimal model is stated: that of the law's own models, as far as allowed."""
        return self.low if self.reference is None else min(max(self.reference, self.low), self.high)

    def factor(self, aspect: ArrayLike) -> Array:
        """Return 1 + epsilon R^gamma, by which the loss is larger than that of the plain law (numeric)."""
        return np.asarray(1.0 + self.epsilon * np.asarray(aspect, dtype=float) ** self.gamma)

    def terms(self, law: LossLaw) -> tuple[Term, ...]:
        """Return what the shape adds to ``law.posynomial()``: its terms, and E, times epsilon R^gamma."""
        _check_form(law)
        powers = {self.variable: self.gamma}
        products = [term.times(self.epsilon, powers) for term in law.posynomial().terms]
        if self.epsilon * law.E > 0:
            products.append(Term(label="shape", coefficient=self.epsilon * law.E, powers=powers))
        return tuple(replace(term, label="shape") for term in products)

    def held(self, law: LossLaw, value: float) -> LossLaw:
        """Return the plain law at an aspect ratio: E, A and B times 1 + epsilon R^gamma.

        >>> from beyond_chinchilla.laws.catalogue import law
        >>> round(published("bian-2025").held(law("bian-2025"), 128).E, 4)
        2.4933
        """
        _check_form(law)
        return _scaled(law, float(self.factor(value)))

    def apart(self, law: LossLaw, value: float) -> LossLaw:
        """Return the plain law behind one that was fitted to models of an aspect ratio: `held` there gives it back.

        A law says nothing of the shape of its runs' models, but has what that shape costs in it. Multiplied by 1 +
        epsilon R^gamma as it stands it would count that twice.

        >>> from beyond_chinchilla.laws.catalogue import law
        >>> shape = published("bian-2025")
        >>> plain = shape.apart(law("besiroglu-2024"), 100)
        >>> round(plain.E, 4), round(shape.held(plain, 100).E, 4)
        (1.8034, 1.8172)
        """
        _check_form(law)
        return _scaled(law, 1.0 / float(self.factor(value)))

    def loss(self, law: LossLaw, N: ArrayLike, D: ArrayLike, value: ArrayLike) -> Array:
        """Return the loss [nats/token] of N parameters and D tokens at an aspect ratio (numeric, broadcasting)."""
        _check_form(law)
        return np.asarray(law.loss(N, D) * self.factor(value))

    def departures(self, N: float, D: float, value: float) -> list[str]:
        """Say how far a plan lies outside of what the law has seen, or where it promises what no run kept."""
        found = [] if self.fitted is None else self.fitted.departures(N, D)
        if self.seen is not None:
            low, high = self.seen
            # As for sizes and data, published bounds are rounded: a tenth over the edge is no departure.
            if value > 1.1 * high:
                found.append(
                    f"an aspect ratio of {value:.4g} is {format_times(value / high)} the largest fitted ({high:.4g})"
                )
            elif value < low / 1.1:
                found.append(
                    f"an aspect ratio of {value:.4g} is {format_times(value / low)} the smallest fitted ({low:.4g})"
                )
        if self.flat_below is not None and value < self.flat_below / 1.1:
            found.append(
                f"below an aspect ratio of {self.flat_below:.4g} shape {self.name} falls on, "
                f"but the runs behind it were no better; give aspect: {{min: {self.flat_below:.4g}}}"
            )
        return found

    def figures(self, law: LossLaw, N: float, D: float, value: float) -> dict[str, float]:
        """Return aspect ratio, layers and width, what the shape adds to the loss, and how much of that buys speed.

        ``shape_loss`` is the whole term [nats/token]; ``loss_for_speed`` what lies above the shape of least loss in
        reach (with the aspect ratio fixed, in the range seen).
        """
        # A search in logs comes back from its ends a hair beyond them.
        value = min(max(value, self.low), self.high)
        plain = float(law.loss(N, D))
        best = self.low if self.low < self.high or self.seen is None else min(self.seen[0], self.low)
        return {
            ASPECT: value,
            "layers": float(layers(N, value)),
            "width": float(width(N, value)),
            "shape_loss": plain * (float(self.factor(value)) - 1.0),
            "loss_for_speed": plain * float(self.factor(value) - self.factor(best)),
        }


def names() -> list[str]:
    """Return the names of the published laws of shape.

    >>> names()
    ['bian-2025', 'bian-2025-tied']
    """
    return row_names("shape")


def published(name: str, *, low: float | None = None, high: float | None = None) -> Shape:
    """Return a published law of shape, over the aspect ratios of its runs or over stated ones.

    Raises
    ------
    InputError
        No such name (the message has the nearest one), or bounds that hold nothing.

    Examples
    --------
    >>> shape = published("bian-2025")
    >>> shape.gamma, shape.low, shape.high
    (1.256, 17.5, 384.0)
    """
    row = _row(name)
    fitted, seen = _ranges(row)
    return Shape(
        epsilon=float(row["values"]["epsilon"]),
        gamma=float(row["values"]["gamma"]),
        # One bound alone may lie beyond the other end of the range.
        low=low if low is not None else min(seen[0], math.inf if high is None else high),
        high=high if high is not None else max(seen[1], 0.0 if low is None else low),
        seen=seen,
        flat_below=float(row["flat_below"]),
        fitted=fitted,
        name=name,
        source=row["source"],
        note=row["note"],
    )


def base_law(name: str) -> LossLaw:
    """Return the plain law that was fitted together with a published law of shape.

    >>> base_law("bian-2025-tied").E
    2.4475
    """
    row = _row(name)
    E, A, alpha, B, beta = (float(row["base"][key]) for key in ("E", "A", "alpha", "B", "beta"))
    fitted, _ = _ranges(row)
    return LossLaw(E=E, A=A, alpha=alpha, B=B, beta=beta, name=name, source=row["source"], fitted=fitted)


def layers(N: ArrayLike, aspect: ArrayLike) -> Array:
    """Return how many layers a model of N parameters has: N = 12 layers width^2 and width = aspect x layers (numeric).

    Not rounded. N counts the embeddings as if they were layers too, so that small models come out deeper than they are:
    1.5% at Llama-2-7B, 8% at Llama-3-8B with its large vocabulary.

    >>> round(float(layers(6.74e9, 128)), 1)
    32.5
    """
    return layer_count().value({"params": N, ASPECT: aspect})


def width(N: ArrayLike, aspect: ArrayLike) -> Array:
    """Return the width d_model of a model of N parameters, aspect x layers (numeric); not rounded.

    >>> round(float(width(6.74e9, 128)))
    4158
    """
    return np.asarray(np.asarray(aspect, dtype=float) * layers(N, aspect))


def layer_count() -> Posynomial:
    """Return the layers as a monomial in ``params`` and ``aspect``: (N / (12 aspect^2))^(1/3).

    >>> layer_count().terms[0].powers["aspect"]
    -0.6666666666666666
    """
    powers = {"params": 1.0 / 3.0, ASPECT: -2.0 / 3.0}
    return monomial("layers", PARAMETERS_OF_A_LAYER ** (-1.0 / 3.0), powers, unit="layers")


def _row(name: str) -> dict[str, Any]:
    known = names()
    if name not in known:
        raise InputError(f"no law of shape named '{name}'; {nearest(name, known)}")
    row: dict[str, Any] = load_row("shape", name)
    return row


def _ranges(row: Mapping[str, Any]) -> tuple[FittedRange, tuple[float, float]]:
    """Return the sizes and data of the runs behind a row, and their aspect ratios."""
    spans = {key: (parse_number(low), parse_number(high)) for key, (low, high) in row["range"].items()}
    seen = spans.pop(ASPECT)
    return FittedRange(**spans), seen


def _scaled(law: LossLaw, factor: float) -> LossLaw:
    errors = {key: error * (factor if key in ("E", "A", "B") else 1.0) for key, error in law.standard_errors.items()}
    return replace(law, E=law.E * factor, A=law.A * factor, B=law.B * factor, standard_errors=errors)


def _check_form(law: LossLaw) -> None:
    if law.power != 1.0:
        raise InputError(
            f"law {law.name}: the shape multiplies E + A N^-alpha + B D^-beta; "
            f"a law of the {law.form} form takes no shape, choose one of the chinchilla form"
        )
