"""What a law past Chinchilla adds to a loss law: one more number that a plan chooses, and the terms that it moves."""

from __future__ import annotations

from typing import Protocol

from numpy.typing import ArrayLike

from beyond_chinchilla.laws.loss_law import Array, LossLaw
from beyond_chinchilla.posynomial import Term


class Lever(Protocol):
    """Terms that join the reducible part of a plain law (`LossLaw` of power 1), and the number that they bring.

    All of them are posynomial terms, so that the whole problem stays a geometric program in params, tokens and
    `variable`; with the variable held, the law is a plain one again.

    Attributes
    ----------
    kind : str
        ``"thinking"``, ``"shape"``, ``"quantisation"``: what pages and JSON call it.
    name, source : str
        Whose constants, and where they stand.
    variable : str
        Name of the further number in bills, limits and terms: ``"samples"``. Empty where the law's term is in params
        and tokens alone: then the number that is held is the loss of that term [nats/token], which becomes a limit.
    low, high : float
        What the number may be.
    whole : bool
        Whether only whole numbers can be had.
    baseline : float or None
        At which value the compute-optimal model is stated for comparison; None for its own best one.
    """

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def variable(self) -> str: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...
    @property
    def whole(self) -> bool: ...
    @property
    def baseline(self) -> float | None: ...

    def terms(self, law: LossLaw) -> tuple[Term, ...]:
        """Return what is added to ``law.posynomial()``, in ``params``, ``tokens`` and the variable."""
        ...

    def held(self, law: LossLaw, value: float) -> LossLaw:
        """Return the plain law with the number held."""
        ...

    def loss(self, law: LossLaw, N: ArrayLike, D: ArrayLike, value: ArrayLike) -> Array:
        """Return the loss [nats/token] of the whole law (numeric)."""
        ...

    def departures(self, N: float, D: float, value: float) -> list[str]:
        """Say how far a plan lies outside of what the law has seen."""
        ...

    def figures(self, law: LossLaw, N: float, D: float, value: float) -> dict[str, float]:
        """Return what the law says of a plan, by name, for JSON and pages."""
        ...
