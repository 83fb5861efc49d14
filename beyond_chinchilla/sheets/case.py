"""What of a scenario a workbook can calculate by itself, and what only the solver can."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN, TRAINING_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.costs.lifetime import SERVING_DRIVERS, HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.errors import BeyondChinchillaError
from beyond_chinchilla.optimise import universal
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Term
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.scenario.load import Scenario

Entry = tuple[Scenario, Problem, Plan]

# A plan that differs by more from the unlimited optimum is another plan.
_SAME = 1e-9
_SAME_SIZE = 1e-6
PHASES = ("prefill", "decode")
# The term of whole chips, which no smooth bill has.
_ROUNDING = "rounding"
_ORDER = ("training", *PHASES)
_MONTHS_PER_YEAR = 12
TRAINING_FACTOR = TRAINING_FLOPS_PER_PARAMETER_TOKEN
SERVING_FACTOR = INFERENCE_FLOPS_PER_PARAMETER_TOKEN


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Chips of one kind at one price.

    Attributes
    ----------
    chip : Accelerator
    precision : str
    price : float
        [USD/hour] of one.
    peak : float
        [FLOP/s] of one at the precision.
    price_source : str
        Whose price it is.
    """

    chip: Accelerator
    precision: str
    price: float
    peak: float
    price_source: str

    @property
    def compute(self) -> HiredCompute:
        """What it costs and does."""
        return HiredCompute(price=self.price, peak=self.peak)


@dataclass(frozen=True, kw_only=True)
class Months:
    """Demand month by month; every tuple has one entry a month.

    Attributes
    ----------
    labels : tuple of str
    requests : tuple of float
    input_tokens, output_tokens : tuple of float
        Tokens to compute, per request.
    price_index : tuple of float
        Price of the serving chip over the input's.
    weights : tuple of float
        What a dollar of the month is worth today.
    rate : float or None
        Discount rate per year by which the weights follow; None where they are values.
    first_paid : float
        Years from today to when the money of the first month is paid.
    """

    labels: tuple[str, ...]
    requests: tuple[float, ...]
    input_tokens: tuple[float, ...]
    output_tokens: tuple[float, ...]
    price_index: tuple[float, ...]
    weights: tuple[float, ...]
    rate: float | None
    first_paid: float


@dataclass(frozen=True, kw_only=True)
class Case:
    """A solved scenario, and how much of it the workbook's formulas can follow.

    Attributes
    ----------
    scenario : Scenario
    problem : Problem
    plan : Plan
        The solver's answer.
    training, serving : Fleet or None
        The chips with their prices; None without money, or where the solver chose among several.
    training_mfu, prefill_mfu, decode_mfu : float
        Utilisations; nan where the scenario fixes none.
    live : Plan or None
        The solver's answer to what the formulas calculate: least cost at the target, trained from nothing, without
        limits. None where they cannot.
    obstacle : str
        Why they cannot.
    months : Months or None
        Demand by month, where the scenario forecasts it and the bill is linear in it.
    """

    scenario: Scenario
    problem: Problem
    plan: Plan
    training: Fleet | None
    serving: Fleet | None
    training_mfu: float
    prefill_mfu: float
    decode_mfu: float
    live: Plan | None
    obstacle: str
    months: Months | None = None

    @property
    def name(self) -> str:
        """What the plan is called."""
        return self.scenario.name

    @property
    def unit(self) -> str:
        """``"USD"`` or ``"FLOP"``."""
        return self.problem.cost.unit

    @property
    def exact(self) -> bool:
        """Whether the live model is the solver's plan."""
        plan, live = self.plan.best, None if self.live is None else self.live.best
        plan = None if plan is None else _smooth(plan)
        if plan is None or live is None or self.plan.objective == "loss":
            return False
        close = math.isclose(plan.total, live.total, rel_tol=_SAME)
        return close and math.isclose(plan.params, live.params, rel_tol=_SAME_SIZE)

    @property
    def rounding(self) -> float:
        """What whole chips add to the solver's plan [unit]; the formulas pay for parts of chips."""
        return 0.0 if self.plan.best is None else self.plan.best.terms.get(_ROUNDING, 0.0)

    @property
    def differences(self) -> list[str]:
        """Say what the solver heeded and the formulas do not."""
        if self.live is None or self.exact:
            return []
        found = []
        if self.plan.best is None:
            found.append("the limits leave no plan")
        if self.problem.objective == "loss":
            found.append("the solver looked for the least loss within a budget; the formulas take that loss as target")
        if self.problem.start_from is not None:
            found.append("the solver goes on with a model that is trained already; the formulas train from nothing")
        binding = [f"{row.label.replace('_', ' ')} {row.side}" for row in self.plan.limits if row.binding]
        if binding:
            found.append(f"these limits bind: {', '.join(binding)}")
        return found or ["the solver heeded what the formulas leave out"]


def case_of(entry: Entry) -> Case:
    """Find out what of a scenario the formulas can follow."""
    scenario, problem, plan = entry
    file = scenario.file
    priced = problem.cost.unit == "USD"
    case = Case(
        scenario=scenario,
        problem=problem,
        plan=plan,
        training=_fleet(file.training) if priced else None,
        serving=_fleet(file.serving) if priced else None,
        training_mfu=_share(file.training, "mfu"),
        prefill_mfu=_share(file.serving, "prefill_mfu"),
        decode_mfu=_share(file.serving, "decode_mfu"),
        live=None,
        obstacle="",
    )
    obstacle = _obstacle(case)
    if obstacle:
        return replace(case, obstacle=obstacle)
    asked = replace(problem, target_loss=plan.target_loss, limits=(), objective="cost", start_from=None)
    try:
        live = solve(asked, "universal")
    except BeyondChinchillaError as error:
        return replace(case, obstacle=str(error))
    assert live.best is not None
    saved = live.savings_fraction
    if live.best.terms.get(_ROUNDING, 0.0) > 0 and live.spend_ratio is not None:
        saved = -math.expm1(float(universal.log_cost_ratio(live.spend_ratio, problem.law.alpha, problem.law.beta)))
    smooth = replace(live, best=_smooth(live.best), baseline=_smooth(live.baseline), savings_fraction=saved)
    case = replace(case, live=smooth)
    return replace(case, months=months_of(case))


def _smooth(candidate: Candidate) -> Candidate:
    """Return a candidate as the formulas bill it: chips are not rounded up, and what is nothing is no term."""
    terms = {label: value for label, value in candidate.terms.items() if value > 0 and label != _ROUNDING}
    return replace(candidate, terms=terms)


def _fleet(section: Any) -> Fleet | None:
    """Return the one chip of a section with its one price; None where there are several, or neither."""
    if section is None or not isinstance(section.precision, str) or not isinstance(section.hardware, (str, dict)):
        return None
    chip = chip_of(section.hardware)
    price, source = section.price, "stated in the scenario"
    if price is None and chip.default_price is not None:
        listed = chip.default_price
        price, source = listed.usd_per_hour, f"{listed.offer}, {listed.kind}, {listed.date} ({listed.source})"
    if isinstance(price, dict):
        price = price.get(chip.name)
    if not isinstance(price, float):
        return None
    peak = chip.peak_flops(section.precision)
    return Fleet(chip=chip, precision=section.precision, price=price, peak=peak, price_source=source)


def _share(section: Any, key: str) -> float:
    """Return a utilisation; nan where none is stated."""
    stated = getattr(section, key, None)
    return math.nan if stated is None else float(stated)


def _obstacle(case: Case) -> str:
    """Say why the formulas cannot follow a scenario; nothing where they can."""
    law = case.problem.law
    if law.power != 1.0 or law.counts != "total":
        how = "counts no embeddings" if law.counts != "total" else "raises its sum to a power"
        return f"law {law.name} {how}, for which the optimum has no closed curve"
    if case.plan.objective == "loss" and case.plan.best is None:
        return "nothing within the limits reaches any loss that could be a target"
    if case.problem.rates is None or 0.0 in case.problem.rates:
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
    """

    label: str
    trains: bool
    rate: float
    plain: float | None
    drivers: tuple[str, ...]

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
        found.append(Charge(term.label, trains, rate, known, term.drivers))
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
