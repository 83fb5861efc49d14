"""Worlds of a scenario by month: solved one by one, priced at any size in closed form.

What is discrete is held: the way to serve (chip, precision, GPUs of a replica) and the launch month are those of the
plan. At a size the cheapest way to run a replica is the largest batch that memory and the latency limits allow,
because the GPU-seconds of an output token fall with the batch and those of an input token do not know it. So seconds
per token are a function of the size, the fleet's bill one of the seconds, and neither knows the tokens of training.
Where demand and prices are the same in all worlds, as where the law alone is uncertain, a size is priced once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.analyse.committed import hold_at, notes_of, numbers_of, plain, whole_of
from beyond_chinchilla.analyse.risk.bills import SLIP, Bills, check_sizes, paid, spoilt, trained
from beyond_chinchilla.analyse.risk.worlds import BINDING, BUDGET_LABEL, Foresight, name_of
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import FixedUse, Replica
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.bill import BATCH, SERVING, STEP_TIME
from beyond_chinchilla.optimise.direct import bill_of
from beyond_chinchilla.optimise.iso_loss import IsoLoss
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import chinchilla, kappa_of, locate
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.past.held import held
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import monomial
from beyond_chinchilla.scenario.block import file_of, refuse_law_of_experts
from beyond_chinchilla.scenario.compile import law_of, stated_loss, target_loss
from beyond_chinchilla.scenario.past import laws as past
from beyond_chinchilla.scenario.schema import ScenarioFile, Target
from beyond_chinchilla.scenario.study import Monthly
from beyond_chinchilla.units import format_money

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.load import Scenario
    from beyond_chinchilla.scenario.uncertainty import Draws

Array = NDArray[np.float64]
Chosen = slice | NDArray[np.intp]
Progress = Callable[[int, int], None]

# Sections of a scenario that decide how a size is run and what that costs.
_SERVING = ("demand", "serving", "discounting", "capacity", "limits")
# A batch beyond any: where not even the weights fit, serving costs what it would with memory without end.
_ENDLESS = 1e12
# Of the search for a size that keeps every limit: from a model a trillion times too large to one on a trillion times
# the tokens, in rounds that are each twenty-five times finer. What is over by less is left to the solver to judge.
_FARTHEST, _POINTS, _ROUNDS, _CLEARLY = 14.0, 51, 6, 1e-6
# Stands in for a target that no model of a world reaches, so that everything else of it can be compiled.
_ANY_TARGET = 1e9
_FIGURES = tuple(column.name for column in fields(Foresight) if column.name not in ("reachable", "binding"))


@dataclass(frozen=True)
class _World:
    """One world.

    Attributes
    ----------
    asked : Problem
        Of the way to serve and the launch month of the plan.
    problem : Problem
        The same with the numbers of its levers held as the plan chose them.
    target_loss : float
        [nats/token]; the problems have another where no model reaches this one.
    sound : bool
        Whether it is the problems' own.
    """

    asked: Problem
    problem: Problem
    target_loss: float
    sound: bool

    @property
    def service(self) -> Service:
        """What serves."""
        service = self.problem.bill
        assert isinstance(service, Service)
        return service


@dataclass(frozen=True, kw_only=True)
class MonthlyWorlds:
    """Worlds of a scenario by month.

    Parameters
    ----------
    worlds : tuple of _World
    budget : float
        Most tokens that training may take.
    stated : bool
        Whether the budget is one of the limits already, of which each world has its own.
    shared : bool
        Whether serving costs the same at a size in all worlds.
    notes : tuple of str
        What is held.
    progress : callable, optional
        Told how many worlds have been solved, and of how many.
    numbers : mapping of str to float
        What levers are held at, by kind.
    """

    worlds: tuple[_World, ...]
    budget: float
    stated: bool
    shared: bool
    notes: tuple[str, ...] = ()
    progress: Progress | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    # How a size is run and what that costs, where it is the same in all worlds: shared with those taken from these.
    known: dict[float, dict[str, float]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        plan: Plan,
        draws: Draws,
        *,
        budget: float,
        stated: bool,
        progress: Progress | None = None,
    ) -> MonthlyWorlds:
        """Return the worlds that joint samples make of a scenario and its plan.

        Raises
        ------
        InputError
            A model that is trained already, or numbers with which the chosen replica or fleet cannot be.
        """
        if scenario.file.start_from is not None:
            raise InputError(f"{scenario.name}: start_from has fixed the size; leave it out to choose one")
        scenario = scenario.chosen(plan.choice)
        refuse_law_of_experts(scenario, draws)
        worlds: list[_World] = []
        for number in range(draws.count):
            # Where the law alone is uncertain nothing else need be compiled again.
            like = worlds[0].asked if worlds and not draws.values else None
            worlds.append(_world(scenario, file_of(scenario, draws, number), plan, like))
        return cls(
            worlds=tuple(worlds),
            budget=budget,
            stated=stated,
            shared=not any(keys[0] in _SERVING for keys in draws.values),
            notes=_notes(scenario, plan),
            progress=progress,
            numbers=numbers_of(worlds[0].asked.levers, plan),
        )

    @property
    def count(self) -> int:
        """K."""
        return len(self.worlds)

    @property
    def unit(self) -> str:
        """Unit of all bills."""
        return self.worlds[0].problem.cost.unit

    def take(self, chosen: Chosen) -> MonthlyWorlds:
        """Return some of the worlds."""
        numbers = np.arange(self.count)[chosen]
        return replace(self, worlds=tuple(self.worlds[number] for number in numbers))

    def foresight(self) -> Foresight:
        """Return the cheapest plan of each world, solved one by one.

        Raises
        ------
        SolverError
            A world without a certified plan.
        """
        rows = []
        for done, world in enumerate(self.worlds, start=1):
            rows.append(self._foresight(world))
            if self.progress is not None:
                self.progress(done, self.count)
        return Foresight.joined(rows)

    def bills(self, params: ArrayLike) -> Bills:
        """Return what sizes [total parameters] cost in each world, shape (K, S); raises as `LifeWorlds.bills`."""
        sizes = check_sizes(params)
        shape = (self.count, sizes.size)
        tokens, total, training = np.empty(shape), np.empty(shape), np.empty(shape)
        failed, missed = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
        with np.errstate(all="ignore"):
            for number, world in enumerate(self.worlds):
                here, problem = slice(number, number + 1), world.problem
                point = self._served(world, sizes)
                N = problem.law.counted_params(sizes)
                whole = whole_of(problem)
                needed = whole.tokens_for(N, world.target_loss)[None]
                ratios = [limit.ratio(replace(problem.law, counts="total")) for limit in problem.limits]
                budget = np.inf if self.stated else self.budget
                tokens[here], failed[here], missed[here] = trained(needed, ratios, point, budget)
                over = spoilt(whole, N, needed, tokens[here], world.target_loss)
                failed[here] |= over
                missed[here] |= over
                training[here] = paid(problem.cost.terms, point, tokens[here])
                total[here] = training[here] + point[SERVING] - problem.shift
        return Bills(tokens=tokens, total=total, training=training, failed=failed, missed=missed)

    def _served(self, world: _World, sizes: Array) -> dict[str, Array]:
        """Return sizes with how they are run and what that costs, shift included, by variable."""
        if not self.shared:
            return _served(world.problem, sizes)
        new = np.array([size for size in dict.fromkeys(sizes.tolist()) if size not in self.known])
        if new.size:
            found = _served(world.problem, new)
            for number, size in enumerate(new.tolist()):
                self.known[size] = {name: float(values[number]) for name, values in found.items()}
        rows = [self.known[size] for size in sizes.tolist()]
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def _foresight(self, world: _World) -> Foresight:
        problem = world.problem
        located = self._located(world)
        names = dict.fromkeys([*map(name_of, problem.limits), *(() if self.stated else (BUDGET_LABEL,))])
        figures = dict.fromkeys(_FIGURES, np.nan)
        binding = dict.fromkeys(names, False)
        if located is not None:
            N, D, variables = located.params, located.tokens, dict(located.variables)
            point = problem.point(N, D, variables)
            baseline = chinchilla(world.asked, self.numbers)
            kappa = kappa_of(problem)
            if kappa is not None and world.asked.is_extended:
                # The plain law's own model is not the baseline.
                trained = sum(baseline.terms.get(label, 0.0) for label in problem.cost.labels)
                kappa = unrounded(baseline) / trained - 1.0
            figures |= {
                "params": point["params"],
                "tokens": D,
                "total": bill_of(plain(problem), N, D, variables),
                "baseline_params": baseline.params,
                "baseline_tokens": baseline.tokens,
                "baseline_total": unrounded(baseline),
                "kappa": np.nan if kappa is None else kappa,
            }
            for limit in problem.limits:
                room = np.log((limit.bound + limit.offset) / (limit.value(point) + limit.offset))
                binding[name_of(limit)] |= bool(abs(room) <= BINDING)
            if not self.stated:
                binding[BUDGET_LABEL] = bool(self.budget * (1.0 - BINDING) <= D)
        return Foresight(
            **{name: np.array([value]) for name, value in figures.items()},
            reachable=np.array([located is not None]),
            binding={name: np.array([value]) for name, value in binding.items()},
        )

    def _located(self, world: _World) -> Located | None:
        """Return the cheapest plan within limits and budget; None where there is none."""
        problem = world.problem
        budget = math.inf if self.stated else self.budget
        if not world.sound or _least_excess(problem, budget) > _CLEARLY:
            return None
        located = locate(problem)
        if located.found and located.tokens > budget * (1.0 + SLIP):
            tokens = monomial("tokens", 1.0, {"tokens": 1.0})
            cap = Limit(label="tokens", side="max", quantity=tokens, bound=budget, unit="tokens", each="token")
            located = locate(replace(problem, limits=(*problem.limits, cap)))
        return located if located.found else None


def unrounded(candidate: Candidate) -> float:
    """Return a bill before GPUs are rounded up to whole replicas, which is what the solver makes least."""
    return candidate.total - candidate.terms.get("rounding", 0.0)


def _world(scenario: Scenario, file: ScenarioFile, plan: Plan, like: Problem | None) -> _World:
    """Return the world of a sample, `like` another one but for law and target; raises as `MonthlyWorlds.of`."""
    aim = file.target
    assert aim is not None
    stated = law_of(file.law)
    # What was fitted together with a law is told by its name, which a drawn one has not.
    named = file.model_copy(update={"law": scenario.file.law})
    counts = past.target_law_of(named, stated)
    try:
        target, sound = target_loss(counts, aim), True
    except InputError:
        with np.errstate(all="ignore"):
            target, sound = float(stated_loss(counts, aim)), False
        aim = Target.model_construct(chinchilla=_ANY_TARGET)
        file = file.model_copy(update={"target": aim})
    asked = _asked(scenario, file, plan) if like is None else like
    law, numbers = past.law_of_file(named, stated), numbers_of(asked.levers, plan)
    asked = replace(asked, law=law, target_loss=target_loss(counts, aim))
    problem = held(asked, numbers)
    if problem is None:
        # Its levers leave this loss to no model: one that they leave stands in for it.
        sound, asked = False, replace(asked, target_loss=_reachable(asked, numbers))
        problem = hold_at(asked, numbers)
    return _World(asked, problem, target, sound)


def _reachable(problem: Problem, numbers: Mapping[str, float]) -> float:
    """Return a loss [nats/token] that models reach with the numbers of a problem's levers held."""
    law = problem.law
    for lever in problem.levers:
        if lever.kind in numbers:
            law = lever.held(law, numbers[lever.kind])
    return float(law.compute_optimal(params=_ANY_TARGET).loss)


def _asked(scenario: Scenario, file: ScenarioFile, plan: Plan) -> Problem:
    """Return what a sample's file asks of the way to serve and the launch month of a plan."""
    monthly = Monthly(file, scenario.name)
    try:
        refused: list[str] = []
        ways = {use.label: use for use in monthly.offered(refused)}
        # Other choices stand before how it serves; a fixed utilisation is no choice.
        use = ways.get(plan.choice.rsplit(", ", 1)[-1])
        first = next(iter(ways.values()))
        if use is None and plan.choice and not isinstance(first, FixedUse):
            raise InputError("; ".join((f"{plan.choice} does not serve it", *refused)))
        return monthly.problem(use or first, plan.launch.month if plan.launch else 0)
    except InputError as error:
        raise InputError(f"{scenario.name}: one of the samples cannot be: {error}") from None


def _served(problem: Problem, sizes: Array) -> dict[str, Array]:
    """Return sizes with how they are run at their best and what that costs, shift included, by variable.

    Where the limits on latency cannot be kept, as if there were none; where memory does not hold the model, as if it
    were endless. Such a size breaks a limit, and is paid for all the same.
    """
    service = problem.bill
    assert isinstance(service, Service)
    point = {"params": sizes}
    use = service.use
    if isinstance(use, Replica):
        batch = use.best_batch(sizes, _longest_step(problem.limits, point))
        batch = np.where(batch >= 1.0, batch, use.largest_batch(sizes))
        batch = np.where(batch >= 1.0, np.minimum(batch, _ENDLESS), _ENDLESS)
        point |= {BATCH: batch, STEP_TIME: use.step_time(sizes, batch)}
    return point | {SERVING: _bills(service, point)}


def _least_excess(problem: Problem, budget: float) -> float:
    """Return ln of the limit that is broken most over its bound, for the size that breaks it least; 0 if all are kept.

    Along the curve of the target every limit keeps an interval of sizes: a search on ever finer grids cannot miss. It
    tells worlds without a plan from the others in a hundredth of the time that a solver takes to give up. Under a law
    past Chinchilla the sizes are those of the plain curve, on the tokens that the whole law takes.
    """
    service, law, whole = problem.bill, problem.law, whole_of(problem)
    assert isinstance(service, Service)
    curve, use = IsoLoss(law, problem.reducible), service.use
    spends = any(SERVING in limit.quantity.variables for limit in problem.limits)
    low, high, least = -_FARTHEST, _FARTHEST, math.inf
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            z = np.linspace(low, high, _POINTS)
            logs = curve.logs(z)
            sizes, tokens = law.total_params(np.exp(logs["params"])), np.exp(logs["tokens"])
            if not whole.is_plain:
                tokens = whole.tokens_for(sizes, problem.target_loss)
                tokens = np.where(np.isnan(tokens), np.inf, tokens)
            point = {"params": sizes}
            if isinstance(use, Replica):
                # A single sequence is what comes nearest to limits that cannot be kept.
                batch = np.clip(use.best_batch(sizes, _longest_step(problem.limits, point)), 1.0, _ENDLESS)
                point |= {BATCH: batch, STEP_TIME: use.step_time(sizes, batch)}
            if spends:
                point[SERVING] = _bills(service, point)
            for limit in problem.limits:
                if limit.side == "min" and "tokens" in limit.quantity.variables:
                    tokens = np.maximum(tokens, limit.bound / limit.quantity.value(point | {"tokens": np.ones(1)}))
            point["tokens"] = tokens
            excess = np.maximum(np.log(tokens / budget), 0.0)
            for limit in problem.limits:
                over = np.log(limit.quantity.value(point) / (limit.bound + limit.offset))
                excess = np.maximum(excess, over if limit.side == "max" else -over)
            best = int(np.nanargmin(excess))
            least = float(excess[best])
            if least <= _CLEARLY:
                break
            low, high = float(z[max(best - 1, 0)]), float(z[min(best + 1, _POINTS - 1)])
    return least


def _longest_step(limits: Sequence[Limit], point: dict[str, Array]) -> Array:
    """Return how long a decode step may take at each size [second]: what the limits on latency leave of it."""
    longest = np.full_like(point["params"], np.inf)
    for limit in limits:
        names = limit.quantity.variables
        if STEP_TIME in names and BATCH not in names:
            fixed = limit.quantity.value(point | {STEP_TIME: np.zeros(1)})
            each = limit.quantity.value(point | {STEP_TIME: np.ones(1)}) - fixed
            longest = np.minimum(longest, np.maximum(limit.bound - fixed, 0.0) / each)
    return longest


def _bills(service: Service, point: dict[str, Array]) -> Array:
    """Return the fleet's bill of each size, shift included [USD], shape (S,)."""
    use = service.use
    prefill, decode = use.prefill_seconds().value(point), use.decode_seconds().value(point)
    return service.fleet.bills(prefill, decode) + service.shift


def _notes(scenario: Scenario, plan: Plan) -> tuple[str, ...]:
    assert plan.best is not None
    parts = [part for part in (plan.choice, f"launch month {plan.launch.month}" if plan.launch else "") if part]
    found = [f"{' and '.join(parts)} held as the plan chose, in all samples"] if parts else []
    levers = past.levers_of(scenario.file)
    found += notes_of(levers, numbers_of(levers, plan))
    rounding = plan.best.terms.get("rounding", 0.0)
    if rounding:
        found.append(
            f"GPUs are not rounded up to whole replicas, which adds {format_money(rounding)} to the plan's bill"
        )
    return tuple(found)
