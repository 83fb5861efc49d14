"""How many experts are best for the memory that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.costs.hardware import BYTES_PER_GB, BYTES_PER_PARAMETER
from beyond_chinchilla.laws.experts import expert_laws
from beyond_chinchilla.optimise.choices import ChoiceRow
from beyond_chinchilla.optimise.plan import Plan
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.scenario.limits import Limits, ServingMemoryLimit
from beyond_chinchilla.scenario.past.experts import label

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.load import Scenario

# A small GPU, a large one, and a server of eight of these [GB].
MEMORIES = (24.0, 80.0, 640.0)


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """The best number of experts for a memory.

    Attributes
    ----------
    memory : str
        ``"24 GB"``, or the chips that serve.
    experts : int or None
        None where no number has a plan there, as what follows.
    params, total_params : float or None
        Active parameters and all of them.
    weights_gb : float or None
        What all parameters take in the serving precision [GB]; None also where that is not known.
    tokens, total : float or None
        Training tokens, and the bill.
    """

    memory: str
    experts: int | None = None
    params: float | None = None
    total_params: float | None = None
    weights_gb: float | None = None
    tokens: float | None = None
    total: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON holds it."""
        return asdict(self)


def by_memory(scenario: Scenario, plan: Plan) -> tuple[MemoryRow, ...]:
    """Return the best number of experts for each memory.

    Where batch and step time are chosen, the memories are those of the replicas to choose from; else weights are held
    to 24, 80 and 640 GB in turn, in place of the scenario's own limit.

    Parameters
    ----------
    scenario : Scenario
        Of the plan, with any one number of experts.
    plan : Plan
        With the choices between them.
    """
    counts = _counts(scenario, plan)
    serving = scenario.file.serving
    if len(counts) < 2 or serving is None:
        return ()
    found = _by_replica(scenario, plan, counts) if serving.codesign else _by_limit(scenario, counts)
    return tuple(sorted(found, key=lambda row: row.weights_gb or 0.0)) if serving.codesign else tuple(found)


def _counts(scenario: Scenario, plan: Plan) -> dict[str, int]:
    """Return the numbers of experts between which a plan was chosen, by their label."""
    assert isinstance(scenario.file.law, str)
    most = expert_laws(scenario.file.law).counts[-1]
    known = {label(count): count for count in range(1, most + 1)}
    stated = dict.fromkeys(row.label.split(", ")[0] for row in plan.choices)
    return {name: known[name] for name in stated if name in known}


def _by_replica(scenario: Scenario, plan: Plan, counts: dict[str, int]) -> Iterator[MemoryRow]:
    replicas: dict[str, list[ChoiceRow]] = {}
    for row in plan.choices:
        _, _, replica = row.label.partition(", ")
        replicas.setdefault(replica, []).append(row)
    if len(replicas) == 1:
        return
    for replica, rows in replicas.items():
        yield _row(scenario, replica, rows, counts)


def _by_limit(scenario: Scenario, counts: dict[str, int]) -> Iterator[MemoryRow]:
    file = scenario.file.model_copy(update={"experts": tuple(counts.values())})
    for most in MEMORIES:
        held = ServingMemoryLimit(max=most)
        limits = Limits(serving_memory=held) if file.limits is None else file.limits
        limits = limits.model_copy(update={"serving_memory": held})
        found = solve(replace(scenario, file=file.model_copy(update={"limits": limits})))
        yield _row(scenario, f"{most:g} GB", found.choices, counts)


def _row(
    scenario: Scenario, memory: str, rows: tuple[ChoiceRow, ...] | list[ChoiceRow], counts: dict[str, int]
) -> MemoryRow:
    best = min((row for row in rows if row.total is not None), key=lambda row: row.total or 0.0, default=None)
    if best is None or best.params is None:
        return MemoryRow(memory=memory)
    assert isinstance(scenario.file.law, str)
    assert scenario.file.serving is not None
    count = counts[best.label.split(", ")[0]]
    total = best.params * expert_laws(scenario.file.law).total_per_active(count)
    precisions = scenario.file.serving.precisions
    named = [precision for precision in precisions if len(precisions) == 1 or precision in best.label.split(" ")]
    return MemoryRow(
        memory=memory,
        experts=count,
        params=best.params,
        total_params=total,
        weights_gb=total * BYTES_PER_PARAMETER[named[0]] / BYTES_PER_GB if named else None,
        tokens=best.tokens,
        total=best.total,
    )
