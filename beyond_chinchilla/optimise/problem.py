"""What is asked: a law, a target, a bill and limits."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.bill import BATCH, SERVING, STEP_TIME, Bill
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.universal import rates_of
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.units import format_number

if TYPE_CHECKING:
    from beyond_chinchilla.costs.mixture import Mixture
    from beyond_chinchilla.laws.experts import Experts
    from beyond_chinchilla.laws.lever import Lever
    from beyond_chinchilla.laws.repetition import Repetition

# Far beyond any load: there the bill has left its floors and commitments behind.
_FAR = 1e9
# No model has e^100 parameters.
_LARGEST = 100.0
# Of smaller numbers a double loses digits.
_LEAST = sys.float_info.min


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Minimise a lifetime cost over all N, D that reach a target loss under limits.

    Parameters
    ----------
    law : LossLaw
    target_loss : float
        [nats/token], above the law's E.
    cost : Posynomial
        The bill in ``params`` (total parameters) and ``tokens``; what is minimised. With a `bill` for serving, this
        is the training side alone.
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
    relations : tuple of Posynomial
        Physics, each at most 1, in further variables such as ``batch`` and ``step_time`` [s]; those of the bill
        need not be repeated.
    bill : Bill, optional
        What serving costs, convex and linear between its kinks.
    nominal_cost : Posynomial, optional
        The training side undiscounted.
    levers : tuple of Lever
        What laws past Chinchilla add to the law, a further number each; bill and limits may know these numbers.
    repetition : Repetition, optional
        What the law loses where unique tokens are few.
    experts : Experts, optional
        Of a mixture: how many experts the law is of. Its parameters, and so ``params``, are then the active ones.
    target_law : LossLaw, optional
        Under which a size states a target, where that is not `law`: that of dense models in full precision, say.

    Raises
    ------
    InputError
        A target at or below the law's irreducible loss, or a limit, relation or bill that is no posynomial under
        this law.
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
    relations: tuple[Posynomial, ...] = ()
    bill: Bill | None = None
    nominal_cost: Posynomial | None = None
    levers: tuple[Lever, ...] = ()
    repetition: Repetition | None = None
    experts: Experts | None = None
    target_law: LossLaw | None = None

    def __post_init__(self) -> None:
        if self.is_extended and (self.law.counts != "total" or self.law.power != 1.0):
            raise InputError(
                f"{self.name}: laws past Chinchilla extend L = E + A N^-alpha + B D^-beta in total parameters; law "
                f"{self.law.name} has another form"
            )
        if not (math.isfinite(self.target_loss) and self.target_loss > self.law.E):
            raise InputError(below_floor(self.law, self.target_loss))
        if not _LEAST <= self.reducible <= 1.0 / _LEAST:
            raise InputError(
                f"{self.name}: target loss {self.target_loss:g} leaves {self.reducible:g} above the floor E = "
                f"{self.law.E:g} of law {self.law.name} for its terms to add up to, beyond what numbers hold; state "
                "another target"
            )
        _ = self.physics, self.counted_cost, self.ratios, self.far

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
        found = tuple(limit.ratio(self.law) for limit in self.limits)
        if self.bill is None or not self.bill.is_linear:
            return found
        # A bill without kinks is no variable of its own.
        return tuple(ratio.substitute(SERVING, self._count_serving(self.far)) for ratio in found)

    @cached_property
    def training(self) -> Posynomial:
        """The bill without serving that has a `bill`, in parameters as the law counts them."""
        return self._count(self.cost)

    @cached_property
    def counted_cost(self) -> Posynomial:
        """The bill in parameters as the law counts them; without serving where that has kinks."""
        return self.training if self.bill is None or self.has_kinks else self.training + self.far

    @cached_property
    def counted_flops(self) -> Posynomial:
        """The compute in parameters as the law counts them."""
        return self._count(self.flops)

    @cached_property
    def physics(self) -> tuple[Posynomial, ...]:
        """The relations, those of the bill included, in parameters as the law counts them."""
        every = list(self.relations)
        every += [relation for relation in (self.bill.relations if self.bill else ()) if relation not in every]
        return tuple(self._count_serving(relation) for relation in every)

    @cached_property
    def further(self) -> tuple[str, ...]:
        """Variables of the relations beside params and tokens."""
        names = dict.fromkeys(name for relation in self.physics for name in relation.variables)
        return tuple(name for name in names if name not in ("params", "tokens"))

    @property
    def is_extended(self) -> bool:
        """Whether the law is more than a plain one; see `optimise.past.extended`."""
        return bool(self.levers) or self.repetition is not None

    @property
    def mixture(self) -> Mixture | None:
        """The mixture of experts that is served in batches, see `optimise.past.touched`; None of a dense model."""
        return None if self.bill is None else self.bill.mixture

    @property
    def has_kinks(self) -> bool:
        """Whether the serving bill has several pieces."""
        return self.bill is not None and not self.bill.is_linear

    @property
    def is_codesign(self) -> bool:
        """Whether more than params and tokens is chosen, or serving has kinks: a geometric program either way."""
        return self.has_kinks or bool(self.physics)

    @property
    def shift(self) -> float:
        """What the objective holds beyond the bill."""
        return self.bill.shift if self.bill else 0.0

    @cached_property
    def far(self) -> Posynomial:
        """The piece of the serving bill under a load beyond any floor: the only one of a bill without kinks."""
        if self.bill is None:
            return self.training
        # A law that touches another one far from any plan may put this beyond all numbers, or next to nothing.
        least = math.log(self.law.A / self.reducible) / self.law.alpha
        smallest = float(self.law.total_params(math.exp(min(max(least, 0.0), _LARGEST))))
        point = {"params": smallest, "tokens": 1.0, **self.bill.start(smallest)}
        if not self.bill.is_linear:
            point |= {"params": _FAR * smallest}
            if STEP_TIME in point:
                point |= {STEP_TIME: _FAR * point[STEP_TIME], BATCH: 1.0}
        return self._count_serving(self.bill.piece(point))

    @property
    def operating_bill(self) -> Posynomial:
        """What the further variables are chosen by at a given size: the serving bill under full load."""
        return self.far if self.bill is not None else self.counted_cost

    def piece(self, point: Mapping[str, float]) -> Posynomial:
        """Return the serving bill's active piece at a point, in parameters as the law counts them."""
        assert self.bill is not None
        return self._count_serving(self.bill.piece(point))

    def point(self, N: float, D: float, variables: Mapping[str, float]) -> dict[str, float]:
        """Return a plan by variable, N as the law counts it: total params, and the serving bill with its shift."""
        found = {"params": float(self.law.total_params(N)), "tokens": D, **variables}
        if self.bill is not None:
            found[SERVING] = float(self.bill.piece(found).value(found))
        return found

    def _count(self, posynomial: Posynomial) -> Posynomial:
        if self.law.counts == "total":
            return posynomial
        return posynomial.substitute("params", self.law.total_params_posynomial())

    def _count_serving(self, posynomial: Posynomial) -> Posynomial:
        try:
            return self._count(posynomial)
        except InputError:
            raise InputError(
                f"{self.name}: co-design needs a law that counts total parameters; law {self.law.name} counts "
                "no embeddings"
            ) from None

    @cached_property
    def rates(self) -> tuple[float, float] | None:
        """(a, b) where the bill is a N D + b N, else None."""
        found = None if self.is_codesign else rates_of(self.counted_cost)
        return None if found is None else (float(found[0]), float(found[1]))

    def broken(self, point: Mapping[str, float]) -> tuple[str, ...]:
        """Return the labels of the limits that a plan breaks; see `point`."""
        return tuple(dict.fromkeys(limit.label for limit in self.limits if limit.broken(point)))

    def spend_ratio(self, logs: Mapping[str, float]) -> float | None:
        """Return what serving costs over what training costs; None where training is free, or next to it."""
        shares = driver_shares(self.counted_cost, logs)
        training = shares.get("training_price", 0.0)
        ratio = shares.get("demand", 0.0) / training if training else math.inf
        return ratio if math.isfinite(ratio) else None


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
