"""What is asked: a law, a target, a bill and limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.units import format_number


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Minimise a lifetime cost over all N, D that reach a target loss under limits.

    Parameters
    ----------
    law : LossLaw
    target_loss : float
        [nats/token], above the law's E.
    cost : Posynomial
        The bill in ``params`` (total parameters) and ``tokens``; what is minimised.
    flops : Posynomial
        Compute of the same life [FLOP], for the report; its first term is training.
    limits : tuple of Limit
        What the plan must keep.
    objective : {"cost", "loss"}
        Least cost at the target, or least loss under the limits (`target_loss` then only starts the search).
    start_from : pair of float, optional
        Total parameters and tokens of a model that is trained already and goes on.
    name : str
        What the plan is called.
    notes : tuple of str
        Assumptions made on the way, which the plan repeats among its warnings.

    Raises
    ------
    InputError
        A target at or below the law's irreducible loss, or a limit that is no posynomial under this law.
    """

    law: LossLaw
    target_loss: float
    cost: Posynomial
    flops: Posynomial
    limits: tuple[Limit, ...] = ()
    objective: str = "cost"
    start_from: tuple[float, float] | None = None
    name: str = "plan"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (math.isfinite(self.target_loss) and self.target_loss > self.law.E):
            raise InputError(below_floor(self.law, self.target_loss))
        _ = self.ratios

    @cached_property
    def reducible(self) -> float:
        """R: what the law's posynomial may be at most."""
        return float(self.law.reducible(self.target_loss))

    @cached_property
    def target(self) -> Posynomial:
        """The target as a limit: the law's posynomial over R, at most 1."""
        return self.law.posynomial().times(1.0 / self.reducible)

    @cached_property
    def ratios(self) -> tuple[Posynomial, ...]:
        """Each limit as a posynomial that is at most 1, in parameters as the law counts them."""
        return tuple(limit.ratio(self.law) for limit in self.limits)

    @cached_property
    def counted_cost(self) -> Posynomial:
        """The bill in parameters as the law counts them."""
        return self._count(self.cost)

    @cached_property
    def counted_flops(self) -> Posynomial:
        """The compute in parameters as the law counts them."""
        return self._count(self.flops)

    def _count(self, posynomial: Posynomial) -> Posynomial:
        if self.law.counts == "total":
            return posynomial
        return posynomial.substitute("params", self.law.total_params_posynomial())

    @cached_property
    def rates(self) -> tuple[float, float] | None:
        """(a, b) where the bill is a N D + b N, else None."""
        rates = [0.0, 0.0]
        for term in self.counted_cost.terms:
            p, r = (float(np.asarray(term.powers.get(variable, 0.0))) for variable in ("params", "tokens"))
            if p != 1.0 or r not in (0.0, 1.0):
                return None
            rates[0 if r else 1] += float(np.asarray(term.coefficient))
        return rates[0], rates[1]

    def broken(self, N: float, D: float) -> tuple[str, ...]:
        """Return the labels of the limits that a model breaks, N as the law counts it."""
        total = float(self.law.total_params(N))
        return tuple(dict.fromkeys(limit.label for limit in self.limits if limit.broken(total, D)))

    def spend_ratio(self, logs: Mapping[str, float]) -> float:
        """Return what serving costs over what training costs; infinite where training is free."""
        shares = driver_shares(self.counted_cost, logs)
        training = shares.get("training_price", 0.0)
        return shares.get("demand", 0.0) / training if training else math.inf


def driver_shares(posynomial: Posynomial, logs: Mapping[str, float]) -> dict[str, float]:
    """Return for each driver the share of the terms that are proportional to it."""
    shares: dict[str, float] = {}
    for term, share in zip(posynomial.terms, posynomial.shares(logs), strict=True):
        for driver in term.drivers:
            shares[driver] = shares.get(driver, 0.0) + float(share)
    return shares


def driver_elasticities(weighted: Iterable[tuple[float, Posynomial]], logs: Mapping[str, float]) -> dict[str, float]:
    """Return the envelope theorem's sum for each driver: its share of each posynomial, times the weight of that one.

    The weight is 1 for what is minimised and the dual for a limit.
    """
    found = dict.fromkeys(("demand", "training_price", "serving_price"), 0.0)
    for weight, posynomial in weighted:
        for driver, share in driver_shares(posynomial, logs).items():
            found[driver] = found.get(driver, 0.0) + weight * share
    return found


def beyond_any_budget(law: LossLaw) -> float:
    """Return a loss just above the law's floor, where the search for the best affordable one starts."""
    return law.E * (1.0 + 1e-9) + 1e-30


def below_floor(law: LossLaw, target_loss: float) -> str:
    """Say that a target cannot be had, and what can: the loss within N <= 1T and D <= 100T."""
    least = float(law.loss(1e12, 1e14))
    return (
        f"target loss {target_loss:g} is at or below the floor E = {law.E:g} of law {law.name}; "
        f"within N <= {format_number(1e12)} and D <= {format_number(1e14)} the least reachable loss is {least:.3f}"
    )
