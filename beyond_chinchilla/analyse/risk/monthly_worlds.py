"""Worlds of a scenario by month: solved one by one, priced at any size in closed form.

What is discrete is held: the way to serve (chip, precision, GPUs of a replica) and the launch month are those of the
plan. At a size the cheapest way to run a replica is the largest batch that memory and the latency limits allow,
because the GPU-seconds of an output token fall with the batch and those of an input token do not know it. So seconds
per token are a function of the size, the fleet's bill one of the seconds, and neither knows the tokens of training.
Where demand and prices are the same in all worlds, as where the law alone is uncertain, a size is priced once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.analyse.risk.bills import SLIP, Bills, check_sizes, paid, trained
from beyond_chinchilla.analyse.risk.worlds import BINDING, BUDGET_LABEL, Foresight, name_of
from beyond_chinchilla.costs.service import Service
from beyond_chinchilla.costs.serving import Replica
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.bill import BATCH, SERVING, STEP_TIME
from beyond_chinchilla.optimise.direct import bill_of
from beyond_chinchilla.optimise.iso_loss import IsoLoss
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.locate import chinchilla, kappa_of, locate
from beyond_chinchilla.optimise.located import Located
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import monomial
from beyond_chinchilla.scenario.block import file_of
from beyond_chinchilla.scenario.compile import law_of, stated_loss, target_loss
from beyond_chinchilla.scenario.schema import ScenarioFile, Target
from beyond_chinchilla.scenario.services import uses
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
    problem : Problem
        Of the way to serve and the launch month of the plan.
    target_loss : float
        [nats/token]; the problem has another where no model reaches this one.
    sound : bool
        Whether it is the problem's own.
    """

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
    """

    worlds: tuple[_World, ...]
    budget: float
    stated: bool
    shared: bool
    notes: tuple[str, ...] = ()
    progress: Progress | None = None
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
        month = plan.launch.month if plan.launch else 0
        worlds: list[_World] = []
        for number in range(draws.count):
            # Where the law alone is uncertain nothing else need be compiled again.
            like = worlds[0].problem if worlds and not draws.values else None
            worlds.append(_world(scenario, file_of(scenario, draws, number), plan.choice, month, like))
        return cls(
            worlds=tuple(worlds),
            budget=budget,
            stated=stated,
            shared=not any(keys[0] in _SERVING for keys in draws.values),
            notes=_notes(plan, month),
            progress=progress,
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
                needed = problem.law.tokens_for(N, world.target_loss)[None]
                ratios = [limit.ratio(replace(problem.law, counts="total")) for limit in problem.limits]
                budget = np.inf if self.stated else self.budget
                tokens[here], failed[here], missed[here] = trained(needed, ratios, point, budget)
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
            baseline = chinchilla(problem)
            kappa = kappa_of(problem)
            figures |= {
                "params": point["params"],
                "tokens": D,
                "total": bill_of(problem, N, D, variables),
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


def _world(scenario: Scenario, file: ScenarioFile, choice: str, month: int, like: Problem | None) -> _World:
    """Return the world of a sample, `like` another one but for law and target; raises as `MonthlyWorlds.of`."""
    assert file.target is not None
    law = law_of(file.law)
    try:
        target, sound = target_loss(law, file.target), True
    except InputError:
        with np.errstate(all="ignore"):
            target, sound = float(stated_loss(law, file.target)), False
        file = file.model_copy(update={"target": Target.model_construct(chinchilla=_ANY_TARGET)})
    if like is not None:
        assert file.target is not None
        return _World(replace(like, law=law, target_loss=target_loss(law, file.target)), target, sound)
    monthly = Monthly(file, scenario.name)
    try:
        refused: list[str] = []
        ways = {use.label: use for use in uses(monthly.serving, monthly.forecast, refused)}
        # A fixed utilisation is no choice.
        if choice and choice not in ways:
            raise InputError("; ".join((f"{choice} does not serve it", *refused)))
        problem = monthly.problem(ways[choice] if choice else next(iter(ways.values())), month)
    except InputError as error:
        raise InputError(f"{scenario.name}: one of the samples cannot be: {error}") from None
    return _World(problem, target, sound)


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
    tells worlds without a plan from the others in a hundredth of the time that a solver takes to give up.
    """
    service, law = problem.bill, problem.law
    assert isinstance(service, Service)
    curve, use = IsoLoss(law, problem.reducible), service.use
    spends = any(SERVING in limit.quantity.variables for limit in problem.limits)
    low, high, least = -_FARTHEST, _FARTHEST, math.inf
    with np.errstate(all="ignore"):
        for _ in range(_ROUNDS):
            z = np.linspace(low, high, _POINTS)
            logs = curve.logs(z)
            sizes, tokens = law.total_params(np.exp(logs["params"])), np.exp(logs["tokens"])
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


def _notes(plan: Plan, month: int) -> tuple[str, ...]:
    assert plan.best is not None
    held = [part for part in (plan.choice, f"launch month {month}" if plan.launch else "") if part]
    found = [f"{' and '.join(held)} held as the plan chose, in all samples"] if held else []
    rounding = plan.best.terms.get("rounding", 0.0)
    if rounding:
        found.append(
            f"GPUs are not rounded up to whole replicas, which adds {format_money(rounding)} to the plan's bill"
        )
    return tuple(found)
