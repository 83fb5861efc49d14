"""Thinking at inference: several samples or more reasoning tokens per request, beside size and data.

The form is that of Roberts et al. 2026 (arXiv 2604.01411) for L = -ln pass@k: a third power law, in the number k of
samples, is added to the two of Hoffmann et al. 2022, Eq. 2. No published constants of it are known to this project, and
constants of one task are no other task's: give your own, or fit them to runs scored at several k
(`beyond_chinchilla.fit.thinking.law`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.posynomial import Term
from beyond_chinchilla.units import format_size, format_times

Array = NDArray[np.float64]
Variable = Literal["samples", "reasoning_tokens"]

WORDS: dict[str, str] = {"samples": "samples per request", "reasoning_tokens": "reasoning tokens per request"}


@dataclass(frozen=True, kw_only=True)
class Thinking:
    """L(N, D, k) = E + A N^-alpha + B D^-beta + G k^-g, k samples (or reasoning tokens) per request.

    With k held it is a plain law whose irreducible loss is E + G k^-g. In ln N, ln D and ln k the problem stays
    convex: the new term is a monomial, and demand grows in proportion to k. E is what is left at any size, data *and*
    thinking: a law that was fitted to answers given once (k = 1) holds E + G where this one holds E.

    Parameters
    ----------
    G : float
        Coefficient of the thinking term, in the unit of the loss, > 0: what one sample leaves over endless ones.
    g : float
        Its exponent, > 0.
    variable : {"samples", "reasoning_tokens"}
        What k counts.
    low, high : float
        Bounds of k; equal to hold it.
    once : float
        The k that stands for not thinking: one sample, or the fewest tokens that a request thinks.
    seen : pair of float, optional
        The smallest and largest k behind G and g.
    name, source : str
        For people.

    Raises
    ------
    InputError
        A constant that is not positive and finite, or bounds that hold nothing (all of them at once).

    Examples
    --------
    >>> law = LossLaw(E=0.1, A=406.4, alpha=0.336, B=410.7, beta=0.283)
    >>> thinking = Thinking(G=0.5, g=0.4)
    >>> [round(float(thinking.loss(law, 7e9, 2e12, k)), 4) for k in (1, 16)]
    [0.9356, 0.6005]
    """

    kind: ClassVar[str] = "thinking"

    G: float
    g: float
    variable: Variable = "samples"
    low: float = 1.0
    high: float = 1e6
    once: float = 1.0
    seen: tuple[float, float] | None = None
    name: str = "custom"
    source: str = ""

    def __post_init__(self) -> None:
        mistakes = [
            f"thinking: {key} must be > 0 and finite, not {value:g}"
            for key, value in (("G", self.G), ("g", self.g))
            if not 0.0 < value < math.inf
        ]
        if self.variable not in WORDS:
            mistakes.append(f"thinking: variable '{self.variable}' is unknown; it is {' or '.join(WORDS)}")
        elif not (1.0 <= self.low <= self.high < math.inf and 1.0 <= self.once < math.inf):
            # A share of a sample is no answer, and a share of a token no thought.
            mistakes.append(
                f"thinking: {self.low:g} to {self.high:g} {WORDS[self.variable]} holds nothing; "
                "the least is 1, and the most no less than the least"
            )
        if mistakes:
            raise InputError("\n".join(mistakes))

    @property
    def whole(self) -> bool:
        """Whether k is a whole number in practice: samples are, and of thousands of tokens one is no matter."""
        return self.variable == "samples"

    @property
    def baseline(self) -> float:
        """At which k the compute-optimal model is stated for comparison: not thinking."""
        return self.once

    def terms(self, law: LossLaw) -> tuple[Term, ...]:
        """Return the term that thinking adds to ``law.posynomial()``, in the variable."""
        _check_form(law)
        return (Term(label="thinking", coefficient=self.G, powers={self.variable: -self.g}),)

    def held(self, law: LossLaw, value: float) -> LossLaw:
        """Return the plain law at `value` samples or tokens: E' = E + G value^-g.

        >>> law = LossLaw(E=0.1, A=406.4, alpha=0.336, B=410.7, beta=0.283)
        >>> round(Thinking(G=0.5, g=0.4).held(law, 16).E, 4)
        0.2649
        """
        _check_form(law)
        return replace(law, E=law.E + float(self.left(value)))

    def left(self, value: ArrayLike) -> Array:
        """Return G value^-g, the loss that more thinking could still take away (numeric)."""
        return np.asarray(self.G * np.asarray(value, dtype=float) ** -self.g)

    def loss(self, law: LossLaw, N: ArrayLike, D: ArrayLike, value: ArrayLike) -> Array:
        """Return the loss of N parameters, D training tokens and `value` samples or tokens (numeric, broadcasting)."""
        _check_form(law)
        return np.asarray(law.loss(N, D) + self.left(value))

    def needed(self, law: LossLaw, N: ArrayLike, D: ArrayLike, loss: ArrayLike) -> Array:
        """Return the samples or tokens with which a model reaches a loss; nan where no number of them does.

        The answer is neither rounded nor cut at the bounds.

        >>> law = LossLaw(E=0.1, A=406.4, alpha=0.336, B=410.7, beta=0.283)
        >>> round(float(Thinking(G=0.5, g=0.4).needed(law, 7e9, 2e12, 0.6005)), 1)
        16.0
        """
        _check_form(law)
        gap = np.asarray(loss, dtype=float) - law.loss(N, D)
        with np.errstate(over="ignore"):
            return np.where(gap > 0, (self.G / np.where(gap > 0, gap, 1.0)) ** (1.0 / self.g), np.nan)

    def departures(self, N: float, D: float, value: float) -> list[str]:  # noqa: ARG002 - as of every lever
        """Say how far k lies outside of what G and g were fitted to; size and data are the law's own matter."""
        if self.seen is None:
            return []
        low, high = self.seen
        # As for sizes: a tenth over the edge is no departure.
        if value > 1.1 * high:
            times, edge = value / high, f"the most fitted ({format_size(high)})"
        elif value < low / 1.1:
            times, edge = value / low, f"the fewest fitted ({format_size(low)})"
        else:
            return []
        return [f"{format_size(value)} {WORDS[self.variable]} is {format_times(times)} {edge}"]

    def figures(self, law: LossLaw, N: float, D: float, value: float) -> dict[str, float]:  # noqa: ARG002
        """Return k, the loss that more of it could take away, and the loss that it took away from k = `once`."""
        left = float(self.left(value))
        return {self.variable: value, "thinking_loss": left, "thinking_gain": float(self.left(self.once)) - left}


def matched_samples(
    size_ratio: ArrayLike,
    pretraining_tokens: ArrayLike,
    inference_tokens: ArrayLike,
    *,
    larger_pretraining_tokens: ArrayLike | None = None,
    shared_tokens: ArrayLike = 0.0,
) -> Array:
    """Return the samples that a small model draws with the FLOPs of a model `size_ratio` times its size (numeric).

    Snell et al. 2024 (arXiv 2408.03314, section 7) match the FLOPs of the larger model, 6 M N D_pre to train and
    2 M N D_inf to serve, with those of the smaller one, which serves k samples for one:

        6 N D_pre + 2 N k D_inf = 6 M N D_pre + 2 M N D_inf
        k = M + 3 (D_pre / D_inf) (M - 1)

    The more a model is served, the fewer samples it gets: k falls to M. With a data budget of its own for the larger
    model, and S prompt tokens that are read once for all samples, the same balance gives
    k = M + (3 (M D_larger - D_pre) + (M - 1) S) / D_inf, which is the equation above for equal data and S = 0.

    Parameters
    ----------
    size_ratio : numeric
        M, parameters of the larger model over those of the smaller one.
    pretraining_tokens : numeric
        D_pre, training tokens of the smaller model.
    inference_tokens : numeric
        D_inf, tokens served over the life with one sample per request, but for shared ones.
    larger_pretraining_tokens : numeric, optional
        Of the larger model; by default as many as the smaller one's.
    shared_tokens : numeric
        Prompt tokens over the life, where all samples of a request share one reading.

    Raises
    ------
    InputError
        A number that is not finite, or not positive.

    Examples
    --------
    >>> float(matched_samples(14, 2e12, 2e12))
    53.0
    """
    M, D, served, shared = (
        np.asarray(value, dtype=float) for value in (size_ratio, pretraining_tokens, inference_tokens, shared_tokens)
    )
    larger = D if larger_pretraining_tokens is None else np.asarray(larger_pretraining_tokens, dtype=float)
    for name, values, positive in (
        ("size_ratio", M, True),
        ("pretraining_tokens", D, True),
        ("inference_tokens", served, True),
        ("larger_pretraining_tokens", larger, True),
        ("shared_tokens", shared, False),
    ):
        if not np.all(np.isfinite(values) & ((values > 0) if positive else (values >= 0))):
            raise InputError(f"{name} must be {'>' if positive else '>='} 0 and finite, not {values}")
    # In this order nothing is lost where M is near 1 and the data are the same.
    return np.asarray(M + (3.0 * ((M - 1.0) * larger + (larger - D)) + (M - 1.0) * shared) / served)


def _check_form(law: LossLaw) -> None:
    if law.power != 1.0:
        raise InputError(
            f"law {law.name}: thinking adds a term to E + A N^-alpha + B D^-beta; "
            f"a law of the {law.form} form takes none, choose one of the chinchilla form"
        )
