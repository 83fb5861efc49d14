"""What a team cannot exceed, or must not fall below: posynomials with a bound, a unit and a price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.posynomial import Posynomial, monomial
from beyond_chinchilla.units import format_amount

# Floors under anything else are not convex: a floor on spend has no certified optimum.
FLOORS = ("params", "tokens", "tokens_per_param")
_BINDING = 1e-7
# What is counted, not measured: a scenario takes no fraction of it.
_COUNTED = ("GPUs",)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One bound on one quantity of a plan.

    Parameters
    ----------
    label : str
        The key in the scenario: ``"serving_memory"``.
    side : {"max", "min"}
    quantity : Posynomial
        What is bounded, in ``params`` (total), ``tokens`` and the further variables of a problem, in `unit`.
    bound : float
        In `unit`, above zero. An array stands for a block of problems, of which only `ratio` speaks.
    unit : str
        ``"day"``, ``"GB"``, ``"USD"``.
    each : str
        What one unit of the bound is called when it is priced: ``"parameter"``, ``"day"``.
    offset : float
        What `quantity` holds beyond what is meant [unit], such as the shift of a serving bill; >= 0.
    """

    label: str
    side: str
    quantity: Posynomial
    bound: float
    unit: str
    each: str
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.side not in ("max", "min"):
            raise InputError(f"limit {self.label}: side must be max or min, not {self.side}")
        if self.side == "min" and self.label not in FLOORS:
            raise InputError(f"limit {self.label}: min is not possible: a floor on spend has no certified optimum")
        bound = np.asarray(self.bound, dtype=float)
        if not np.all(np.isfinite(bound) & (bound > 0)):
            raise InputError(f"limit {self.label}: {self.side} must be above zero and finite, not {self.bound}")

    def value(self, point: Mapping[str, float]) -> float:
        """Return the quantity [unit] at a plan: its variables by name, ``params`` the total ones."""
        return float(self.quantity.value(point)) - self.offset

    def broken(self, point: Mapping[str, float]) -> bool:
        """Say whether a plan breaks the limit, beyond rounding."""
        over = self.excess(self.value(point))
        return (over if self.side == "max" else -over) > 1e-9

    def excess(self, value: float) -> float:
        """Return ln of a value [unit] over the bound, both with the offset; -inf of nothing."""
        held, bound = value + self.offset, self.bound + self.offset
        if not held > 0.0:
            return -math.inf
        # A quotient may leave the range of a double where its logarithm does not.
        quotient = held / bound
        return math.log(quotient) if 0.0 < quotient < math.inf else math.log(held) - math.log(bound)

    def moved(self, step: float) -> float:
        """Return the bound at which the limit's posynomial allows e^step times as much."""
        return (self.bound + self.offset) * math.exp(step) - self.offset

    @property
    def is_counted(self) -> bool:
        """Whether only whole bounds can be asked for."""
        return self.unit in _COUNTED

    def outward(self, bound: float, digits: int = 4) -> float:
        """Return a bound that can be stated and makes no less room: few digits, whole where GPUs are counted."""
        scale = 1.0 if self.is_counted else 10.0 ** (digits - 1 - math.floor(math.log10(bound)))
        return (math.ceil if self.side == "max" else math.floor)(bound * scale) / scale

    def written(self, bound: float, digits: int = 3) -> str:
        """Return an amount with its unit; of what is counted, no less than that in whole."""
        return f"{math.ceil(bound)} {self.unit}" if self.is_counted else format_amount(bound, self.unit, digits)

    def ratio(self, law: LossLaw) -> Posynomial:
        """Return the posynomial that must be at most 1, in parameters as the law counts them.

        Raises
        ------
        InputError
            A ceiling on tokens per parameter under a law that counts no embeddings, which is no posynomial.
        """
        if self.side == "max":
            ratio = self.quantity.times(1.0 / (self.bound + self.offset), unit="")
            if law.counts == "total":
                return ratio
            try:
                return ratio.substitute("params", law.total_params_posynomial())
            except InputError:
                raise InputError(
                    f"limit {self.label}: max is not possible under law {law.name}, which counts no embeddings"
                ) from None
        if self.label == "params":
            return monomial("params", law.counted_params(self.bound)[()], {"params": -1.0})
        (term,) = self.quantity.terms
        inverse = {name: -float(power) for name, power in term.powers.items()}  # type: ignore[arg-type]
        ratio = monomial(self.label, np.divide(self.bound, term.coefficient), inverse)
        return ratio if law.counts == "total" else ratio.substitute("params", law.total_params_posynomial())

    def stretch(self, law: LossLaw) -> float:
        """Return d ln(bound as the law counts) / d ln bound; 1 but for a floor on params without embeddings.

        Where the quantity is offset, of the bound with that offset.
        """
        if self.offset:
            return self.bound / (self.bound + self.offset)
        if self.side == "max" or self.label != "params" or law.counts == "total":
            return 1.0
        counted = float(law.counted_params(self.bound))
        terms = law.total_params_posynomial()
        return 1.0 / float(terms.log_gradient({"params": math.log(counted)}, ["params"])[0])


@dataclass(frozen=True, kw_only=True)
class LimitRow:
    """A limit at a plan, with its price.

    Attributes
    ----------
    label, side, unit, each : str
        Of the limit.
    value, bound : float
        Of the quantity at the plan, and what it may be [unit].
    binding : bool
        Whether the plan touches the bound.
    redundant : bool
        Whether it binds beside a proportional limit that carries the price.
    free : bool
        Whether it binds at no price, nor does another in its place: what it holds back would save nothing, as where
        GPUs idle that are paid anyway.
    elasticity : float
        d ln total / d ln bound: zero or negative for a max, zero or positive for a min.
    shadow_price : float
        What one unit of slack would save [unit of the bill per unit], >= 0.
    price_unit : str
        ``"USD per day"``.
    """

    label: str
    side: str
    unit: str
    each: str
    value: float
    bound: float
    binding: bool
    redundant: bool
    elasticity: float
    shadow_price: float
    price_unit: str
    free: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return {
            "label": self.label,
            "side": self.side,
            "value": self.value,
            "bound": self.bound,
            "bound_unit": self.unit,
            "binding": self.binding,
            "redundant": self.redundant,
            "free": self.free,
            "elasticity": self.elasticity,
            "shadow_price": self.shadow_price,
            "unit": self.price_unit,
        }


def price(
    limit: Limit,
    multiplier: float,
    law: LossLaw,
    *,
    point: Mapping[str, float],
    total: float,
    unit: str,
    free: bool = False,
) -> LimitRow:
    """Return a limit's row at a plan, given its dual of the geometric program.

    Without a price it is redundant if it binds, or `free` if no other limit carries the price for it.

    The dual of ``ratio <= 1`` is minus d ln total / d ln bound of a max, and plus that of a min (Boyd et al. 2007,
    section 3.3).
    """
    value = limit.value(point)
    slack = abs(limit.excess(value))
    binding = slack <= _BINDING
    elasticity = (-multiplier if limit.side == "max" else multiplier) * limit.stretch(law) if binding else 0.0
    return LimitRow(
        label=limit.label,
        side=limit.side,
        unit=limit.unit,
        each=limit.each,
        value=value,
        bound=limit.bound,
        binding=binding,
        redundant=binding and multiplier == 0.0 and not free,
        free=binding and multiplier == 0.0 and free,
        elasticity=elasticity,
        shadow_price=abs(elasticity) * total / limit.bound,
        price_unit=f"{unit} per {limit.each}",
    )


def merged(rows: Iterable[LimitRow]) -> tuple[LimitRow, ...]:
    """Return one row for each label and side: the tightest, with what all of them cost.

    Several limits of one name, such as GPUs month by month, have one bound: it moves them all.
    """
    groups: dict[tuple[str, str], list[LimitRow]] = {}
    for row in rows:
        groups.setdefault((row.label, row.side), []).append(row)
    return tuple(_tightest(group) for group in groups.values())


def _tightest(rows: list[LimitRow]) -> LimitRow:
    if len(rows) == 1:
        return rows[0]
    sign = 1.0 if rows[0].side == "max" else -1.0
    row = max(rows, key=lambda row: sign * row.value / row.bound)
    elasticity = sum(row.elasticity for row in rows)
    return replace(
        row,
        elasticity=elasticity,
        redundant=row.binding and elasticity == 0.0 and not row.free,
        free=row.free and elasticity == 0.0,
        shadow_price=sum(row.shadow_price for row in rows),
    )
