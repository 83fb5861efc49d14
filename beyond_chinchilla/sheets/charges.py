"""The terms of a bill a N D + b N: which of them the inputs of a workbook explain, and which it takes as they are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import SERVING_DRIVERS, lifetime_cost, lifetime_flops
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Term
from beyond_chinchilla.sheets.case import PHASES, SERVING_FACTOR, Case, Months

_ORDER = ("training", *PHASES)
_MONTHS_PER_YEAR = 12


def bill_obstacle(problem: Problem) -> str:
    """Say why formulas cannot follow a bill; nothing where they can."""
    if problem.rates is None or 0.0 in problem.rates:
        return (
            "its bill is more than a rate for training and a rate for serving: serving that is designed with the "
            "model, a fleet with idle hours, or costs of another form"
        )
    return ""


@dataclass(frozen=True)
class Charge:
    """A term of the bill: USD or FLOP per parameter (and token, for training) over the model's life.

    Attributes
    ----------
    label : str
    trains : bool
        Whether it grows with training tokens as well as with parameters.
    rate : float
        Its coefficient in the solver's bill.
    plain : float or None
        What the inputs of the workbook make it, without discounting, price paths and such; None where it is not
        made of inputs.
    drivers : tuple of str
        Inputs in which it is proportional.
    powers : mapping of str to float
        How it goes with the numbers of levers, such as samples, by variable.
    """

    label: str
    trains: bool
    rate: float
    plain: float | None
    drivers: tuple[str, ...]
    powers: Mapping[str, float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The label as names of cells can hold it."""
        return re.sub(r"\W", "_", self.label)

    @property
    def factor(self) -> float:
        """The solver's rate over the plain one; 1 where they agree but for rounding."""
        factor = self.rate / self.plain if self.plain else 1.0
        return 1.0 if math.isclose(factor, 1.0, rel_tol=1e-12) else factor


def charges(case: Case) -> list[Charge]:
    """Return the terms of a bill a N D + b N with the part of them that inputs explain."""
    plain = {term.label: float(np.asarray(term.coefficient)) for term in _plain_bill(case)}
    found = []
    for term in case.problem.counted_cost.terms:
        rate = float(np.asarray(term.coefficient))
        trains = term.power("tokens") == 1.0
        if trains:
            # What goes with the training price is a multiple of training.
            known = plain.get("training") if "training_price" in term.drivers else None
        else:
            known = plain.get(term.label)
        powers = {name: float(term.power(name)) for name in term.powers if name not in ("params", "tokens")}
        found.append(Charge(term.label, trains, rate, known, term.drivers, powers))
    stated = {charge.label for charge in found}
    if "training" in plain and case.scenario.file.demand.tokens is None and len(plain) > 1:
        # A phase without tokens has no term, but who changes the workbook may give it some.
        found += [Charge(phase, False, 0.0, 0.0, SERVING_DRIVERS) for phase in PHASES if phase not in stated]
    return sorted(found, key=lambda charge: _ORDER.index(charge.label) if charge.label in _ORDER else len(_ORDER))


def _plain_bill(case: Case) -> Sequence[Term]:
    """Return the terms of training, prefill and decode at one price and a fixed utilisation, as far as stated."""
    demand = phase_tokens(case)
    if case.unit == "FLOP":
        return lifetime_flops(demand).terms
    if case.training is None or math.isnan(case.training_mfu):
        return ()
    if case.months is not None:
        return _monthly_bill(case, case.months)
    served = case.serving is not None and not math.isnan(case.prefill_mfu) and not math.isnan(case.decode_mfu)
    bill = lifetime_cost(
        training=case.training.compute,
        training_mfu=case.training_mfu,
        serving=case.serving.compute if served and case.serving else case.training.compute,
        prefill_mfu=case.prefill_mfu if served else 1.0,
        decode_mfu=case.decode_mfu if served else 1.0,
        demand=demand,
    )
    return bill.terms if served else bill.terms[:1]


def months_of(case: Case) -> Months | None:
    """Return demand by month, if price, discount and tokens of each month make up the solver's rates."""
    fleet = getattr(case.problem.bill, "fleet", None)
    if fleet is None or case.serving is None or math.isnan(case.prefill_mfu) or math.isnan(case.decode_mfu):
        return None
    forecast = case.scenario.forecast()
    count = len(fleet.weights)
    # A month without requests has lengths all the same, for who gives it some.
    read = np.asarray(forecast.input_tokens[-count:]) * (1.0 - forecast.cached_share)
    rate, first = _discounting(case, fleet.weights)
    months = Months(
        labels=forecast.labels[-count:],
        requests=forecast.requests[-count:],
        input_tokens=tuple(read.tolist()),
        output_tokens=forecast.output_tokens[-count:],
        price_index=tuple((fleet.price / case.serving.price * np.ones(count)).tolist()),
        weights=tuple(fleet.weights.tolist()),
        rate=rate,
        first_paid=first,
    )
    found = charges(replace(case, months=months))
    whole = all(charge.factor == 1.0 for charge in found if charge.label in PHASES)
    return months if whole else None


def _discounting(case: Case, weights: np.ndarray[Any, Any]) -> tuple[float | None, float]:
    """Return the rate and the first payment [years] that make the weights; no rate where training has its own."""
    rate = case.scenario.discounting().rate
    if rate == 0.0 or case.scenario.file.training is None or case.scenario.file.training.gpus is not None:
        return None, 0.0
    first = -math.log(weights[0]) / math.log1p(rate)
    made = (1.0 + rate) ** -(first + np.arange(len(weights)) / _MONTHS_PER_YEAR)
    return (rate, first) if np.allclose(made, weights, rtol=1e-12, atol=0.0) else (None, 0.0)


def _monthly_bill(case: Case, months: Months) -> Sequence[Term]:
    """Return the bill of months at their prices and discounts."""
    assert case.training is not None
    assert case.serving is not None
    worth = np.asarray(months.requests) * months.price_index * np.asarray(months.weights)
    demand = Demand(
        prefill_tokens=float(worth @ np.asarray(months.input_tokens)),
        decode_tokens=float(worth @ np.asarray(months.output_tokens)),
    )
    return lifetime_cost(
        training=case.training.compute,
        training_mfu=case.training_mfu,
        serving=case.serving.compute,
        prefill_mfu=case.prefill_mfu,
        decode_mfu=case.decode_mfu,
        demand=demand,
    ).terms


def requests_of(case: Case) -> float | None:
    """Return the requests of the life, where they and two mean lengths are all that there is to the demand."""
    demand, tokens = case.scenario.file.demand, phase_tokens(case)
    if demand.requests is None or demand.input_tokens is None or demand.output_tokens is None:
        return None
    requests = demand.requests * (1.0 if demand.factor is None else demand.factor)
    plain = requests * demand.input_tokens, requests * demand.output_tokens
    same = np.allclose(plain, (tokens.prefill_tokens, tokens.decode_tokens), rtol=1e-12, atol=0.0)
    return requests if same else None


def phase_tokens(case: Case) -> Demand:
    """Return the tokens of the model's life by phase, as the solver counted them."""
    tokens = dict.fromkeys(PHASES, 0.0)
    for term in case.problem.flops.terms:
        if term.label in tokens:
            tokens[term.label] += float(np.asarray(term.coefficient)) / SERVING_FACTOR
    return Demand(prefill_tokens=tokens["prefill"], decode_tokens=tokens["decode"])
