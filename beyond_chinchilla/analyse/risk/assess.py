"""How sure a plan is, and what to commit to: draws, worlds, intervals, decision and the worth of knowing more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from beyond_chinchilla.analyse.risk.decision import (
    Decision,
    Profile,
    grid_of,
    mean_regret,
    regrets,
    sorted_cvar,
    weigh,
)
from beyond_chinchilla.analyse.risk.estimates import Nets, convergence, interval, share_of
from beyond_chinchilla.analyse.risk.figures import Information, Risk, RiskPlan
from beyond_chinchilla.analyse.risk.information import CHOICES, POINTS, REPEATS, sizes_of, value_of_information
from beyond_chinchilla.analyse.risk.sampling import Sample, draw_nets, standard_error
from beyond_chinchilla.analyse.risk.worlds import Foresight, Worlds, worlds_of
from beyond_chinchilla.engines import Engine
from beyond_chinchilla.engines.local import Serial
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.uncertainty import Draws

if TYPE_CHECKING:
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.scenario.load import Scenario

Array = NDArray[np.float64]
Progress = Callable[[int, int], None]

REGRET_SHARE = 0.9
RANGES = (0.01, 0.05)
_CERTAIN = (
    "Nothing is uncertain here: state a number as {median: 1B, p90: 4B}, or a law with its covariance, to learn what "
    "is at stake."
)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is computed.

    Attributes
    ----------
    samples : int
        Joint samples.
    sizes : int
        Of the grid.
    tolerance : float
        To which sizes are found, as d ln N.
    trials : int
        Sizes that a search tries at once.
    points, repeats, choices : int
        Of the value of information: outer and inner points, randomisations, sizes to choose from.
    """

    samples: int
    sizes: int
    tolerance: float
    trials: int
    points: int
    repeats: int
    choices: int


LIFE = Effort(samples=10_000, sizes=200, tolerance=1e-5, trials=1, points=POINTS, repeats=REPEATS, choices=CHOICES)
# A world by month takes ten thousand times as long as one over its life, and nearly as long for one size as for many.
BY_MONTH = Effort(samples=256, sizes=200, tolerance=1e-4, trials=15, points=8, repeats=4, choices=CHOICES)
# Of the progress: worlds are solved in so many parts, which take about half of the time.
_PARTS = 16
_SEARCHED = 40


def assess(
    scenario: Scenario,
    plan: Plan,
    *,
    samples: int | None = None,
    seed: int = 1,
    aversion: float = 0.0,
    level: float = 0.9,
    points: int | None = None,
    progress: Progress | None = None,
    pool: Engine | None = None,
) -> Risk:
    """Carry what is uncertain in a scenario to its decision.

    Parameters
    ----------
    scenario : Scenario
    plan : Plan
        Of this scenario, with every uncertain input at its median.
    samples : int, optional
        Joint samples, 100 to 1,000,000; 10,000 if left out, 256 where demand is by month.
    seed : int
        The same seed gives the same figures, on any machine and any number of cores.
    aversion : float
        0 recommends the size of least mean, 1 that of least CVaR, in between that of the least mix.
    level : float
        CVaR is the mean of the dearest 1 - level of the samples.
    points : int, optional
        For the value of information, outer and inner points of each sample; 0 leaves it out.
    progress : callable, optional
        Told how many steps are done, and of about how many.
    pool : Engine, optional
        What solves the samples, part by part; by default this process alone. By month processes halve the time on
        two cores; the figures do not depend on it.

    Raises
    ------
    InputError
        Samples, seed, aversion or level out of bounds; or a scenario whose size is not what is decided: without a
        plan, with objective loss, or with start_from.
    """
    _refuse(scenario, plan, aversion, level)
    assert plan.best is not None
    uncertainty = scenario.uncertainty
    by_month = plan.serving is not None
    effort = BY_MONTH if by_month else LIFE
    count = effort.samples if samples is None else samples
    sample = draw_nets(count, uncertainty.dimensions, seed=seed)
    if uncertainty.is_certain:
        sample = Sample(sample.points[:1], (slice(0, 1),))
    worlds = worlds_of(scenario, plan, uncertainty.draw(sample.points))
    told = _Steps(progress)
    foresight = _foresight(worlds, told, pool or Serial())

    chinchilla = plan.baseline.params
    if len(scenario.alternatives) > 1:
        # The plan's own baseline may be of another choice, under another law.
        certain = worlds_of(scenario, plan, Draws(count=1, values={}, law=None)).foresight()
        chinchilla = float(certain.baseline_params[0])
    held = [plan.best.params, chinchilla]
    held += [row.bound for row in plan.limits if row.label == "params"]
    grid = grid_of(foresight, held, effort.sizes)
    decision = Decision(
        worlds=worlds,
        foresight=foresight,
        level=level,
        max_failure=uncertainty.max_failure,
        tolerance=effort.tolerance,
        trials=effort.trials,
        progress=told.step,
    )
    profile = decision.judge(grid)
    objective = weigh(aversion)
    sizes = {
        "least mean": decision.least(profile, weigh(0.0)),
        "least CVaR": decision.least(profile, weigh(1.0)),
        "point estimate": plan.best.params,
        "Chinchilla": chinchilla,
    }
    chosen = 0 if aversion == 0.0 else 1
    if 0.0 < aversion < 1.0:
        sizes[f"least mix ({aversion:g})"] = decision.least(profile, objective)
        chosen = len(sizes) - 1
    plans = tuple(_plan(decision, sample.nets, label, size) for label, size in sizes.items())
    range_1, range_5 = decision.within(profile, objective, plans[chosen].params, RANGES)

    known, known_error = _perfect_information(decision, profile, plans, sample.nets)
    information: tuple[Information, ...] = ()
    groups = [(group.name, tuple(group.columns)) for group in uncertainty.groups]
    points = effort.points if points is None else points
    if len(groups) == 1:
        share = known / plans[0].mean
        information = (Information(group=groups[0][0], value=known, share_of_mean=share, error=known_error),)
    elif groups and points:
        information = value_of_information(
            lambda u: worlds_of(scenario, plan, uncertainty.draw(u)),
            groups,
            sizes_of(foresight, plans[0].params, effort.choices),
            dimensions=uncertainty.dimensions,
            max_failure=uncertainty.max_failure,
            mean=plans[0].mean,
            seed=seed,
            points=points,
            repeats=effort.repeats,
        )

    figures = _figures(foresight)
    intervals = {name: interval(values, sample.nets) for name, values in figures.items()}
    notes = list(worlds.notes)
    if uncertainty.is_certain:
        notes.append(_CERTAIN)
    elif uncertainty.law is None:
        notes.append(uncertainty.law_note or f"Law {plan.law.name} is held fixed: no covariance is stated for it.")
    if by_month and samples is None and not uncertainty.is_certain:
        notes.append(f"By month {count} samples are the default: --samples for more.")
    return Risk(
        name=plan.name,
        unit=worlds.unit,
        samples=worlds.count,
        seed=seed,
        aversion=aversion,
        level=level,
        max_failure=uncertainty.max_failure,
        budget=worlds.budget,
        inputs=() if uncertainty.is_certain else uncertainty.describe(),
        intervals=intervals,
        out_of_reach=share_of(~foresight.reachable, sample.nets),
        binding={label: _among(bound, foresight.reachable) for label, bound in foresight.binding.items()},
        sizes=profile.sizes,
        mean=profile.mean,
        cvar=profile.cvar,
        failure=profile.failure,
        quantiles=profile.quantiles,
        plans=plans,
        chosen=chosen,
        range_1=range_1,
        range_5=range_5,
        perfect_information=known,
        perfect_error=known_error,
        information=information,
        convergence=convergence(intervals, worlds.count),
        notes=tuple(dict.fromkeys(notes)),
        draws_of={name: figures[name] for name in ("params", "tokens", "total", "savings")},
    )


def _refuse(scenario: Scenario, plan: Plan, aversion: float, level: float) -> None:
    """Refuse what has no answer, in one line."""
    name = scenario.name
    if plan.objective == "loss":
        raise InputError(
            f"{name}: --risk decides on the size that reaches a target; objective loss has none. Use objective: cost "
            "and a target"
        )
    if scenario.file.start_from is not None:
        raise InputError(f"{name}: --risk decides on a size, but start_from has its size already; leave it out")
    if plan.best is None:
        raise InputError(
            f"{name}: --risk needs a plan at the medians of what is uncertain, and there is none; loosen a limit or "
            "the target"
        )
    if not 0.0 <= aversion <= 1.0:
        raise InputError(f"--risk-aversion {aversion:g}: give 0 (least mean) to 1 (least CVaR)")
    if not 0.0 < level < 1.0:
        raise InputError(f"level {level:g}: give a share inside (0, 1), such as 0.9")


class _Steps:
    """Counts what is done; nobody knows beforehand how long a search goes on."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._done = 0

    def step(self) -> None:
        """Say that one more step is done."""
        self._done += 1
        if self._progress is not None:
            self._progress(min(self._done, _PARTS + _SEARCHED), _PARTS + _SEARCHED)


def _foresight(worlds: Worlds, told: _Steps, pool: Engine) -> Foresight:
    """Return each world's own optimum, part by part."""
    ends = np.array_split(np.arange(worlds.count), min(_PARTS, worlds.count))
    parts = (worlds.take(slice(int(chosen[0]), int(chosen[-1]) + 1)) for chosen in ends)
    found: dict[int, Foresight] = {}
    for number, part in pool.map(_solved, parts):
        found[number] = part
        told.step()
    return Foresight.joined([found[number] for number in range(len(found))])


def _solved(worlds: Worlds) -> Foresight:
    return worlds.foresight()


def _figures(foresight: Foresight) -> dict[str, Array]:
    """Return the figures of each world's own optimum, nan where there is none."""
    figures = {
        "params": foresight.params,
        "tokens": foresight.tokens,
        "total": foresight.total,
        "savings": 1.0 - foresight.total / foresight.baseline_total,
        "kappa": foresight.kappa,
    }
    return {name: np.where(foresight.reachable, values, np.nan) for name, values in figures.items()}


def _plan(decision: Decision, nets: Nets, label: str, size: float) -> RiskPlan:
    """Return what committing to a size risks."""
    bills = decision.worlds.bills(np.array([size]))
    lost = regrets(bills, decision.foresight)[:, 0]
    total, failed = bills.total[:, 0], bills.failed[:, 0].astype(float)

    def tail(values: Array) -> float:
        return float(sorted_cvar(np.sort(values), decision.level))

    by_net = [(total[net].mean(), tail(total[net]), failed[net].mean(), lost[net].mean()) for net in nets]
    errors = standard_error(np.array(by_net)).tolist()
    return RiskPlan(
        label=label,
        params=size,
        mean=float(np.sort(total).mean()),
        cvar=tail(total),
        failure=float(failed.mean()),
        missed=float(bills.missed[:, 0].mean()),
        mean_regret=float(lost.mean()),
        regret_p90=float(np.quantile(lost, REGRET_SHARE)),
        tokens=interval(bills.tokens[:, 0], nets),
        total=interval(total, nets),
        feasible=bool(failed.mean() <= decision.max_failure),
        errors=dict(zip(("mean", "cvar", "failure", "mean_regret"), errors, strict=True)),
    )


def _perfect_information(
    decision: Decision, profile: Profile, plans: Sequence[RiskPlan], nets: Nets
) -> tuple[float, float]:
    """Return the least mean regret of any size that fails seldom enough, and its standard error."""
    size = decision.least(profile, mean_regret)
    # Failures come in steps, between which the search may stop: what another objective found may be better here.
    known = decision.judge(np.array([size, *(plan.params for plan in plans)]))
    excess = np.maximum(known.failure - decision.max_failure, 0.0)
    size = float(known.sizes[np.lexsort((known.mean_regret, excess))[0]])
    lost = regrets(decision.worlds.bills(np.array([size])), decision.foresight)[:, 0]
    error = standard_error(np.array([lost[net].mean() for net in nets]))
    # Each world's optimum is only as exact as its solver.
    return max(float(lost.mean()), 0.0), float(error)


def _among(flags: NDArray[np.bool_], reachable: NDArray[np.bool_]) -> float:
    """Return the share of the reachable worlds in which something holds."""
    return float(flags[reachable].mean()) if reachable.any() else float("nan")
