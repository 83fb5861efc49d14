"""A solved scenario as a workbook sees it: what formulas can calculate by themselves, and what only the solver can."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from beyond_chinchilla.costs.flops import INFERENCE_FLOPS_PER_PARAMETER_TOKEN, TRAINING_FLOPS_PER_PARAMETER_TOKEN
from beyond_chinchilla.costs.hardware import Accelerator
from beyond_chinchilla.costs.lifetime import HiredCompute
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.load import Scenario

Entry = tuple[Scenario, Problem, Plan]

# A plan that differs by more from the unlimited optimum is another plan.
_SAME = 1e-9
_SAME_SIZE = 1e-6
PHASES = ("prefill", "decode")
# The term of whole chips, which no smooth bill has.
ROUNDING = "rounding"
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
class Standing:
    """A plan under a law past Chinchilla: formulas bill it and check its loss, and leave its sizes to the solver.

    Attributes
    ----------
    plan, baseline : Candidate
        As the formulas bill them.
    numbers : mapping of str to pair of float
        What levers such as samples are for the two, by kind.
    free : bool
        Whether no limit binds, so that the least cost follows from law and prices alone.
    """

    plan: Candidate
    baseline: Candidate
    numbers: Mapping[str, tuple[float, float]]
    free: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    """A solved scenario, and how much of it the workbook's formulas can follow.

    Attributes
    ----------
    scenario : Scenario
        Of several alternatives, the chosen one.
    stated : Scenario
        With all of them.
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
    standing : Standing or None
        The plan under a law past Chinchilla, where formulas can follow its bill and its loss.
    """

    scenario: Scenario
    stated: Scenario
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
    standing: Standing | None = None

    @property
    def calculates(self) -> bool:
        """Whether any figure of the plan is a formula."""
        return self.live is not None or self.standing is not None

    @property
    def name(self) -> str:
        """What the plan is called."""
        return self.scenario.name

    @property
    def is_mixture(self) -> bool:
        """Whether its model is a mixture of experts, whose parameters are here the active ones."""
        return self.problem.experts is not None and self.problem.experts.count > 1

    def worded(self, label: str) -> str:
        """Return a label with the parameters called active where they are."""
        if not self.is_mixture or "arameters" not in label:
            return label
        if label.startswith("Parameters"):
            return f"Active p{label[1:]}"
        return label.replace("parameters", "active parameters") if label.startswith(" parameters") else label

    @property
    def unit(self) -> str:
        """``"USD"`` or ``"FLOP"``."""
        return self.problem.cost.unit

    @property
    def exact(self) -> bool:
        """Whether the live model is the solver's plan."""
        if self.standing is not None:
            return True
        plan, live = self.plan.best, None if self.live is None else self.live.best
        plan = None if plan is None else smoothed(plan)
        if plan is None or live is None or self.plan.objective == "loss":
            return False
        close = math.isclose(plan.total, live.total, rel_tol=_SAME)
        return close and math.isclose(plan.params, live.params, rel_tol=_SAME_SIZE)

    @property
    def other_baseline(self) -> bool:
        """Whether the solver's Chinchilla model, the best of all alternatives, is not that of the formulas."""
        of_formulas = self.standing.baseline if self.standing is not None else self.live.baseline if self.live else None
        if of_formulas is None or not self.plan.choices or self.plan.objective == "loss":
            return False
        return not math.isclose(of_formulas.total, smoothed(self.plan.baseline).total, rel_tol=_SAME)

    @property
    def rounding(self) -> float:
        """What whole chips add to the solver's plan [unit]; the formulas pay for parts of chips."""
        return 0.0 if self.plan.best is None else self.plan.best.terms.get(ROUNDING, 0.0)

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


def smoothed(candidate: Candidate) -> Candidate:
    """Return a candidate as the formulas bill it: chips are not rounded up, and what is nothing is no term."""
    terms = {label: value for label, value in candidate.terms.items() if value > 0 and label != ROUNDING}
    return replace(candidate, terms=terms)
