"""What a plan of a scenario by month runs on: the chosen replica, its fleet and its months."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from beyond_chinchilla.costs.forecast import Forecast
from beyond_chinchilla.costs.months import month_label, month_number, months_from
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import FixedUse
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.scenario.services import Launch
from beyond_chinchilla.scenario.study import Monthly


@dataclass(frozen=True)
class Deployment:
    """A plan as it is trained and served.

    Attributes
    ----------
    scenario : Scenario
    plan : Plan
        One of this scenario, with a model.
    service : Service
        What the plan chose to serve with, and the fleet.
    """

    scenario: Scenario
    plan: Plan
    service: Service

    @property
    def best(self) -> Candidate:
        """The model."""
        assert self.plan.best is not None
        return self.plan.best

    @property
    def point(self) -> dict[str, float]:
        """The model's parameters and tokens, batch and step time, by variable."""
        return {"params": self.best.params, "tokens": self.best.tokens, **self.best.variables}

    @property
    def chosen(self) -> dict[str, float]:
        """What laws past Chinchilla chose and a replica knows, such as the aspect ratio."""
        return _chosen(self.plan)

    @cached_property
    def monthly(self) -> Monthly:
        """The scenario month by month."""
        return self.scenario.monthly()

    @property
    def launch_month(self) -> int:
        """Whole months of training that the plan was solved for; 0 where its duration is not known."""
        return self.plan.launch.month if self.plan.launch else 0

    @cached_property
    def launch(self) -> Launch:
        """When serving starts."""
        return self.monthly.launch(self.launch_month)

    @cached_property
    def forecast(self) -> Forecast:
        """The months that are served."""
        return self.monthly.forecast.from_month(self.launch.lost)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the months that are served are called: calendar months where there is a calendar."""
        if self.launch.first is None:
            return self.forecast.labels
        return months_from(self.launch.first, self.forecast.months)

    @property
    def labels_before(self) -> tuple[str, ...]:
        """What the months from the start of training to launch are called."""
        delay = self.launch.delay
        if self.launch.first is None:
            return tuple(f"before {number}" for number in range(delay, 0, -1))
        first = month_number(self.launch.first) - delay
        return tuple(month_label(first + elapsed) for elapsed in range(delay))

    @property
    def problem(self) -> Problem:
        """The problem whose optimum the plan is: one way to serve, launched in its month."""
        return self.monthly.problem(self.service.use, self.launch_month)

    @property
    def seconds(self) -> tuple[float, float]:
        """GPU-seconds per uncached input token and per output token."""
        use = self.service.use
        return float(use.prefill_seconds().value(self.point)), float(use.decode_seconds().value(self.point))

    @property
    def training_gpu_hours(self) -> float:
        """GPU-hours of the final run, failures included."""
        return self.scenario.training_gpu_hours(self.best.params, self.best.tokens)


def deploy(scenario: Scenario, plan: Plan) -> Deployment:
    """Return what a plan runs on.

    Parameters
    ----------
    scenario : Scenario
        With demand by month.
    plan : Plan
        Of this scenario.

    Raises
    ------
    InputError
        Demand over the life alone, no plan, or a plan of another scenario.
    """
    scenario = scenario.chosen(plan.choice)
    monthly = scenario.monthly()
    if plan.best is None:
        raise InputError(f"{scenario.name}: {plan.status}: there is no plan to deploy")
    month = plan.launch.month if plan.launch else 0
    # A fixed utilisation is no choice, and has no label.
    uses = {use.label: use for use in monthly.uses}
    # What else was chosen, such as experts, stands before it.
    use = uses.get(plan.choice.rsplit(", ", 1)[-1]) if plan.choice else monthly.uses[0]
    if use is None and isinstance(monthly.uses[0], FixedUse):
        use = monthly.uses[0]
    if use is None:
        raise InputError(f"{scenario.name}: the plan serves on {plan.choice}, which this scenario does not offer")
    return Deployment(scenario, plan, monthly.service(use.hold(_chosen(plan)), month, []))


def _chosen(plan: Plan) -> dict[str, float]:
    return {name: value for effect in plan.effects for name, value in effect.figures.items()}


def problem_of(scenario: Scenario, plan: Plan) -> Problem:
    """Return what a plan is the optimum of: of alternatives, ways to serve and launch months, the chosen ones."""
    if plan.best is None or plan.serving is None:
        return scenario.chosen(plan.choice).to_problem()
    return deploy(scenario, plan).problem
