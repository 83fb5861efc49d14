"""The worlds that uncertain inputs and laws make of a scenario: what each asks for, and what any size costs in it.

The size is committed now; tokens are not: a model trains until it reaches the target. In a world k a size N costs
``cost_k(N, D_k(N))`` with D_k(N) the tokens at which the target is reached, no fewer than the floors ask for. Where
that is more than the token budget, or than a limit that grows with tokens allows, the size fails in that world: its
training goes to the most tokens allowed, and serving is paid in full. A limit that does not know the tokens and is
broken is a failure as well. Failures are counted and paid for, never left out: over the successes alone the mean cost
of a size that barely reaches its target means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from beyond_chinchilla.analyse.baseline_block import baselines, without_levers
from beyond_chinchilla.analyse.committed import notes_of, numbers_of
from beyond_chinchilla.analyse.plan_block import cheapest
from beyond_chinchilla.analyse.risk.bills import Bills, check_sizes, paid, spoilt, trained
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.posynomial import Posynomial, monomial
from beyond_chinchilla.scenario.block import BlockLimit, ProblemBlock, compile_block
from beyond_chinchilla.scenario.past import laws as past

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.load import Scenario
    from beyond_chinchilla.scenario.uncertainty import Draws

__all__ = ["Bills", "Foresight", "LifeWorlds", "Worlds", "worlds_of"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Chosen = slice | NDArray[np.intp]

# Where no scenario says how many tokens there are: so many times those of the point plan.
BUDGET_FACTOR = 10.0
# What holds back tokens where `limits.tokens.max` is not stated.
BUDGET_LABEL = "token budget"
# A limit binds when it has less room than this, in logs.
BINDING = 1e-7
# Worlds that are solved at once, and worlds times sizes that are priced at once: temporaries stay in the cache.
_ROWS, _CELLS = 1 << 14, 1 << 16


@dataclass(frozen=True, kw_only=True)
class Foresight:
    """What each world would ask for, were it known; arrays of shape (K,), nan where `reachable` is False.

    Attributes
    ----------
    params, tokens : ndarray of float
        Of the cheapest plan, total parameters.
    total : ndarray of float
        Its bill [unit of the bill].
    baseline_params, baseline_tokens, baseline_total : ndarray of float
        Of the Chinchilla-optimal model of the same loss, whatever the limits.
    kappa : ndarray of float
        Serving over training spend of that model; nan where the bill is not a N D + b N.
    reachable : ndarray of bool
        Whether any plan keeps the limits and the token budget.
    binding : mapping of str to ndarray of bool
        Whether a limit binds, by its label (``"tokens.min"`` for a floor).
    """

    params: Array
    tokens: Array
    total: Array
    baseline_params: Array
    baseline_tokens: Array
    baseline_total: Array
    kappa: Array
    reachable: Flags
    binding: Mapping[str, Flags]

    @classmethod
    def joined(cls, parts: list[Foresight]) -> Foresight:
        """Return the worlds of several as one."""
        columns: dict[str, Any] = {
            column.name: np.concatenate([getattr(part, column.name) for part in parts])
            for column in fields(cls)
            if column.name != "binding"
        }
        names = dict.fromkeys(name for part in parts for name in part.binding)
        binding = {
            name: np.concatenate([part.binding.get(name, np.zeros_like(part.reachable)) for part in parts])
            for name in names
        }
        return cls(**columns, binding=binding)


class Worlds(Protocol):
    """K equally likely worlds."""

    @property
    def count(self) -> int:
        """K."""
        ...

    @property
    def unit(self) -> str:
        """Unit of all bills: ``"USD"`` or ``"FLOP"``."""
        ...

    @property
    def budget(self) -> float:
        """Most tokens that training may take [tokens]."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed on the way."""
        ...

    def foresight(self) -> Foresight:
        """Return the cheapest plan of each world."""
        ...

    def bills(self, params: ArrayLike) -> Bills:
        """Return what sizes [total parameters], shape (S,), cost in each world."""
        ...

    def take(self, chosen: Chosen) -> Worlds:
        """Return some of the worlds."""
        ...


def worlds_of(
    scenario: Scenario, plan: Plan, draws: Draws, *, progress: Callable[[int, int], None] | None = None
) -> Worlds:
    """Return the worlds that joint samples make of a scenario.

    Parameters
    ----------
    scenario : Scenario
    plan : Plan
        Its plan without uncertainty: ten times its tokens are the budget where the scenario states no maximum. Of
        several alternatives, and of the numbers that laws past Chinchilla bring along, those that it chose are held in
        all worlds; by month its chip, precision, replica and launch month as well.
    draws : Draws
    progress : callable, optional
        Told how many worlds by month have been solved, and of how many.

    Raises
    ------
    InputError
        Objective loss, ``start_from``, or no plan.
    """
    if plan.objective == "loss":
        raise InputError(f"{scenario.name}: objective loss has no target to be missed; --risk needs a target")
    if plan.best is None:
        raise InputError(f"{scenario.name}: {plan.status}: there is no plan whose risk could be told")
    stated = scenario.file.limits.tokens if scenario.file.limits is not None else None
    most = None if stated is None else stated.max
    budget = BUDGET_FACTOR * plan.best.tokens if most is None else most
    scenario = scenario.chosen(plan.choice)
    if scenario.file.objective == "cost" and scenario.file.demand.by_month:
        # Its solver takes a while to import.
        from beyond_chinchilla.analyse.risk.monthly_worlds import MonthlyWorlds

        return MonthlyWorlds.of(scenario, plan, draws, budget=budget, stated=most is not None, progress=progress)
    levers = past.levers_of(scenario.file)
    numbers = numbers_of(levers, plan)
    return LifeWorlds(
        block=compile_block(scenario, draws, numbers),
        budget=budget,
        stated=most is not None,
        notes=_notes(plan, notes_of(levers, numbers)),
        compared=without_levers(scenario, draws, numbers),
    )


def _notes(plan: Plan, held: tuple[str, ...]) -> tuple[str, ...]:
    return (*((f"{plan.choice}, held as the plan chose",) if plan.choice else ()), *held)


@dataclass(frozen=True, kw_only=True)
class LifeWorlds:
    """Worlds of a scenario over the life, solved and priced as arrays.

    Parameters
    ----------
    block : ProblemBlock
    budget : float
        Most tokens that training may take.
    stated : bool
        Whether the budget is one of the limits already, of which each world has its own.
    compared : ProblemBlock, optional
        The same worlds without their levers, for the Chinchilla-optimal model; see `baseline_block.baselines`.

    Raises
    ------
    InputError
        A limit that grows with tokens in another way than in proportion.

    Examples
    --------
    >>> from beyond_chinchilla.laws.catalogue import law
    >>> from beyond_chinchilla.posynomial import Posynomial, Term
    >>> bill = Posynomial((Term(label="training", coefficient=6.0, powers={"params": 1.0, "tokens": 1.0}),
    ...                    Term(label="serving", coefficient=np.array([2e12, 8e12]), powers={"params": 1.0},
    ...                         drivers=("demand",))), "FLOP")
    >>> worlds = LifeWorlds(block=ProblemBlock(count=2, law=law("sardana-2024"), target_loss=np.full(2, 2.045),
    ...                                        bill=bill, compute=bill), budget=1e13)
    >>> worlds.bills([6e9, 9e9]).total.round(-20)
    array([[6.970e+22, 6.540e+22],
           [1.057e+23, 1.194e+23]])
    """

    block: ProblemBlock
    budget: float
    stated: bool = False
    notes: tuple[str, ...] = ()
    compared: ProblemBlock | None = None

    def __post_init__(self) -> None:
        for limit in self.block.limits:
            powers = {term.power("tokens") for term in limit.ratio.terms}
            if not powers <= {0.0, 1.0} and powers != {-1.0}:
                raise InputError(f"limit {limit.label}: knows tokens to the power {powers}; a bill by size knows 0, 1")

    @property
    def count(self) -> int:
        """K."""
        return self.block.count

    @property
    def unit(self) -> str:
        """Unit of all bills."""
        return self.block.bill.unit

    def take(self, chosen: Chosen) -> LifeWorlds:
        """Return some of the worlds."""
        compared = None if self.compared is None else self.compared.block(chosen)
        return replace(self, block=self.block.block(chosen), compared=compared)

    def foresight(self) -> Foresight:
        """Return the cheapest plan of each world, in blocks; see `analyse.plan_block`."""
        starts = range(0, self.count, _ROWS)
        with np.errstate(all="ignore"):
            return Foresight.joined([self.take(slice(start, start + _ROWS))._foresight() for start in starts])

    def bills(self, params: ArrayLike) -> Bills:
        """Return what sizes [total parameters] cost in each world, shape (K, S).

        Temporaries are as large as a block of worlds, whatever K and S; the answer itself is 26 bytes a cell, and
        ``take(slice).bills`` gives it piece by piece.

        Raises
        ------
        InputError
            A size that is not above zero and finite.
        """
        sizes = check_sizes(params)
        N = self.block.law.counted_params(sizes)
        shape = (self.count, sizes.size)
        tokens, total, training = np.empty(shape), np.empty(shape), np.empty(shape)
        failed, missed = np.empty(shape, dtype=bool), np.empty(shape, dtype=bool)
        rows = max(1, _CELLS // sizes.size)
        with np.errstate(all="ignore"):
            for start in range(0, self.count, rows):
                here = slice(start, start + rows)
                part = self.take(here)
                tokens[here], failed[here], missed[here] = part._trained(N)
                training[here], total[here] = part._paid(N, tokens[here])
        return Bills(tokens=tokens, total=total, training=training, failed=failed, missed=missed)

    def _trained(self, N: Array) -> tuple[Array, Flags, Flags]:
        """Return the tokens that each size is trained on in each world, and whether it fails and misses its target."""
        block = self.block
        whole, target = block.whole.at((slice(None), None)), block.target_loss[:, None]
        ratios = [limit.ratio for limit in block.limits]
        needed = whole.tokens_for(N, target)
        tokens, failed, missed = trained(needed, ratios, {"params": N}, np.inf if self.stated else self.budget)
        over = spoilt(whole, N, needed, tokens, target)
        return tokens, failed | over, missed | over

    def _paid(self, N: Array, tokens: Array) -> tuple[Array, Array]:
        """Return what training and everything costs."""
        point = {"params": N}
        before = paid([term for term in self.block.cost.terms if "demand" not in term.drivers], point, tokens)
        after = paid([term for term in self.block.cost.terms if "demand" in term.drivers], point, tokens)
        return before, before + after

    def _rows(self) -> dict[str, Posynomial]:
        """Return everything that must be at most 1, the token budget with it, by what it is called."""
        rows = {name_of(limit): limit.ratio for limit in self.block.limits}
        if not self.stated:
            rows[BUDGET_LABEL] = monomial(BUDGET_LABEL, 1.0 / self.budget, {"tokens": 1.0})
        return rows

    def _foresight(self) -> Foresight:
        """Return the cheapest plan of each world of one block."""
        block, rows = self.block, self._rows()
        found = cheapest(block, tuple(rows.values()))
        N, D = found.params, found.tokens
        reachable = np.isfinite(N) & np.isfinite(D)
        at = {"params": N, "tokens": D}
        baseline = baselines(block, self.compared)
        figures = {
            "params": block.law.total_params(N),
            "tokens": D,
            "total": block.cost.value(at),
            "baseline_params": block.law.total_params(baseline.params),
            "baseline_tokens": baseline.tokens,
            "baseline_total": baseline.total,
            "kappa": baseline.spend_ratio if found.spend_ratio is not None else np.array(np.nan),
        }
        logs = {"params": np.log(N), "tokens": np.log(D)}
        return Foresight(
            **{name: np.where(reachable, values, np.nan) for name, values in figures.items()},
            reachable=reachable,
            binding={name: reachable & (ratio.log_value(logs) >= -BINDING) for name, ratio in rows.items()},
        )


def name_of(limit: Limit | BlockLimit) -> str:
    """Return what a limit is called among those that bind."""
    return limit.label if limit.side == "max" else f"{limit.label}.min"
