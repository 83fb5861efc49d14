"""From a scenario by month to the problems that it asks: one for each way to serve, at each launch month."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.costs.discounting import Discounting
from beyond_chinchilla.costs.forecast import Forecast
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_flops
from beyond_chinchilla.costs.months import month_label, month_number, months_between
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import FixedUse, Replica
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.launch import Answer
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.study import Study
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.compile import doubts_of, meant_by_latency, target_loss
from beyond_chinchilla.scenario.compute import Serving, Training
from beyond_chinchilla.scenario.limits import Hired, Setting, compile_limits
from beyond_chinchilla.scenario.past import laws as past
from beyond_chinchilla.scenario.past import thinking
from beyond_chinchilla.scenario.past.data import licensed
from beyond_chinchilla.scenario.past.experts import experts_of, mixture_of, total_per_active
from beyond_chinchilla.scenario.past.shape import depth_of, widest
from beyond_chinchilla.scenario.prices import TrainingBill, training_bill, training_calendar
from beyond_chinchilla.scenario.schema import ScenarioFile
from beyond_chinchilla.scenario.services import Launch, able, launch_after, service_of, uses

# Where demand begins with the launch, no one waits longer for a model.
_LATEST_LAUNCH = 120


@dataclass(frozen=True)
class Monthly:
    """A scenario whose demand is known by month and whose objective is cost.

    Parameters
    ----------
    file : ScenarioFile
        As checked.
    name : str
        What the plan is called.
    doubts : tuple of str
        What its notes say of uncertain numbers.
    """

    file: ScenarioFile
    name: str
    doubts: tuple[str, ...] = ()

    @property
    def training(self) -> Training:
        """The section on training."""
        assert self.file.training is not None
        return self.file.training

    @property
    def serving(self) -> Serving:
        """The section on serving."""
        assert self.file.serving is not None
        return self.file.serving

    @cached_property
    def law(self) -> LossLaw:
        """The plain loss law that is trained under."""
        return past.law_of_file(self.file)

    @cached_property
    def target(self) -> float:
        """The loss to reach [nats/token]."""
        assert self.file.target is not None
        return target_loss(past.target_law_of(self.file), self.file.target)

    @cached_property
    def forecast(self) -> Forecast:
        """Demand by month, as if the model were there from the first."""
        return thinking.forecast_of(self.file)

    @cached_property
    def served(self) -> Forecast:
        """What is read and written for it by month: more than asked for where requests draw several samples."""
        return thinking.served(self.file, self.forecast)

    @cached_property
    def discounting(self) -> Discounting:
        """The discount factors' rule; 0% where none is stated."""
        return Discounting() if self.file.discounting is None else self.file.discounting.build()

    @cached_property
    def uses(self) -> tuple[Replica | FixedUse, ...]:
        """Every way to serve, the able ones first; see `services.uses` and `services.able`.

        Raises
        ------
        InputError
            There is none, for want of memory, speed or a fleet.
        """
        found = self.offered([])
        smallest = (self.law.A / float(self.law.reducible(self.target))) ** (1.0 / self.law.alpha)
        refused: list[str] = []
        housed = []
        for use in able(found, self.file.limits, float(self.law.total_params(smallest))):
            try:
                self.service(use, 0, [])
            except InputError as error:
                refused.append(str(error))
            else:
                housed.append(use)
        if not housed:
            raise InputError(refused[0])
        return tuple(housed)

    def offered(self, notes: list[str]) -> tuple[Replica | FixedUse, ...]:
        """Return every way to serve that the scenario lists, able or not; what a chip cannot do is noted."""
        return uses(self.serving, self.forecast, notes, held=widest(self.file), mixture=mixture_of(self.file))

    def study(self) -> Study:
        """Return the question for the solver."""
        known = self.training.gpus is not None
        return Study(
            name=self.name,
            problems_at=self.problems,
            launch_months=self.latest_launch if known else None,
            training_months=self._months_of_plan if known else None,
            hurry=self._hurried if known else None,
            first_launch=self._guessed_launch,
            early_launches=self._gap,
            problem_at=lambda month, label: self.problem(self._labelled[label], month),
        )

    def problems(self, launch_month: int) -> Sequence[tuple[str, Problem]]:
        """Return the problems for a launch so many months after training starts, each with the label of its choice."""
        return [(label, self.problem(use, launch_month)) for label, use in self._labelled.items()]

    @cached_property
    def _labelled(self) -> dict[str, Replica | FixedUse]:
        return {use.label if isinstance(use, Replica) else "": use for use in self.uses}

    def launch(self, month: int) -> Launch:
        """Return the launch so many whole months after training starts.

        Where nobody says how long training takes it ends when demand begins.
        """
        start = self.training.start
        return launch_after(month, training_start=start, demand_start=self.file.demand.calendar_start)

    @property
    def latest_launch(self) -> int:
        """Months after which nothing would be left to serve."""
        start, begins = self.training.start, self.file.demand.calendar_start
        if start is None or begins is None:
            return _LATEST_LAUNCH
        return max(months_between(start, begins) + self.forecast.months - 1, 0)

    @property
    def _gap(self) -> int:
        """Months from the start of training to that of demand; 0 without a calendar, or where demand comes first."""
        start, begins = self.training.start, self.file.demand.calendar_start
        return 0 if start is None or begins is None else max(months_between(start, begins), 0)

    @property
    def _guessed_launch(self) -> int:
        """Whole months in which the compute-optimal model of the target trains."""
        point = self.law.compute_optimal(loss=self.target)
        months = self.training_months(float(self.law.total_params(point.params)), float(point.tokens))
        return 0 if months is None else math.ceil(min(months, self.latest_launch))

    def training_bill(self, month: int, notes: list[str]) -> TrainingBill:
        """Return the training side of the bill for a launch in a month."""
        return training_bill(
            self.training, notes, discounting=self.discounting, months=month, start=self._begins(month)
        )

    def training_calendar(self, month: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return price and discount factor of each month of training, for a launch in a month; see `prices`."""
        return training_calendar(
            self.training, [], discounting=self.discounting, months=month, start=self._begins(month)
        )

    def _begins(self, month: int) -> str | None:
        """Return the calendar month in which a model trains that is launched so many months later."""
        start, begins = self.training.start, self.file.demand.calendar_start
        return start if start is not None or begins is None else month_label(month_number(begins) - month)

    def service(self, use: Replica | FixedUse, month: int, notes: list[str]) -> Service:
        """Return a way to serve with its fleet, for a launch in a month."""
        return service_of(
            use,
            self.serving,
            self.file.demand,
            self.served,
            launch=self.launch(month),
            discounting=self.discounting,
            notes=notes,
            capacity=self.file.capacity,
        )

    def problem(self, use: Replica | FixedUse, month: int) -> Problem:
        """Return the problem of one way to serve, for a launch in a month."""
        notes = [*doubts_of(self.file.law), *past.notes_of(self.file, use.precision), *self._notes]
        bill = self.training_bill(month, notes)
        service = self.service(use, month, notes)
        licence = partial(licensed, self.file.data)
        cost = licence(Posynomial(bill.terms(), "USD"))
        setting = Setting(
            cost=cost,
            training=bill.hired,
            decoding=_fixed(service),
            service=service,
            depth=depth_of(self.serving),
            total_per_active=total_per_active(self.file),
            unique_tokens=None if self.file.data is None else self.file.data.unique_tokens,
        )
        limits, start = self.file.limits, self.file.start_from
        if limits is not None and limits.time_per_output_token is not None and isinstance(use, FixedUse):
            notes.append(meant_by_latency(self.serving))
        served = self.served.from_month(self.launch(month).lost)
        return Problem(
            law=self.law,
            target_loss=self.target,
            cost=cost,
            flops=lifetime_flops(served.total()),
            limits=compile_limits(limits, setting),
            start_from=None if start is None else (start.params, start.tokens),
            name=self.name,
            levers=past.levers_of(self.file, use.precision),
            repetition=past.repetition_of(self.file),
            target_law=past.size_law_of(self.file),
            experts=experts_of(self.file),
            notes=tuple(dict.fromkeys([*notes, *self.doubts])),
            bill=service,
            nominal_cost=licence(Posynomial(bill.terms(1.0), "USD")),
        )

    @cached_property
    def _notes(self) -> list[str]:
        notes: list[str] = []
        self.offered(notes)
        return notes

    def training_months(self, params: float, tokens: float) -> float | None:
        """Return how long a model trains [month]; None where the training chips are not counted."""
        months = self._months
        return None if months is None else float(months.value({"params": params, "tokens": tokens}))

    @cached_property
    def _months(self) -> Posynomial | None:
        return self.training_bill(0, []).months()

    def _months_of_plan(self, plan: Answer) -> float:
        assert plan.best is not None
        months = self.training_months(plan.best.params, plan.best.tokens)
        assert months is not None
        return months

    def _hurried(self, problem: Problem, month: int) -> Problem:
        assert self._months is not None
        limit = Limit(
            label="launch", side="max", quantity=self._months, bound=float(month), unit="months", each="month"
        )
        return replace(problem, limits=(*problem.limits, limit))


def _fixed(service: Service) -> Hired | None:
    """Return the chip that decodes at a fixed utilisation."""
    use = service.use
    if not isinstance(use, FixedUse):
        return None
    compute = HiredCompute(price=float(service.fleet.price[0]), peak=use.chip.peak_flops(use.precision))
    return Hired(chip=use.chip, compute=compute, precision=use.precision, mfu=use.decode_mfu)
