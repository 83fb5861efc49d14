"""Many scenarios of one shape: one scenario with arrays in the place of drawn numbers, compiled as any other.

The compiler computes with whatever the fields hold, so that a block takes the time of one scenario and holds to the
last digit what its scenarios hold one by one. What it cannot do with arrays (a chip written out, a law's own constants)
is compiled number by number and stacked: the same block, more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from beyond_chinchilla.costs.lifetime import NEXT_TO_NOTHING
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.batch import LawBatch
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term
from beyond_chinchilla.scenario.compile import bill_and_limits, doubts_of, law_of, stated_loss
from beyond_chinchilla.scenario.schema import InlineLaw, ScenarioFile, Target

if TYPE_CHECKING:
    from beyond_chinchilla.scenario.load import Scenario
    from beyond_chinchilla.scenario.uncertainty import Draws

Array = NDArray[np.float64]
Chosen = slice | NDArray[np.intp]
Keys = tuple[str | int, ...]

# Where the compiler takes an array for a number.
_ARRAYS = {
    "demand": (
        "requests",
        "tokens",
        "factor",
        "input_tokens",
        "output_tokens",
        "reasoning_tokens",
        "cached_share",
    ),
    "target": ("chinchilla", "loss", "model"),
    "training": ("price", "mfu", "goodput", "development", "data_cost"),
    "serving": ("price", "prefill_mfu", "decode_mfu"),
}
# What the problem over the life reads; other sections are for the page, or for months.
READ = ("law", "target", "demand", "training", "serving", "limits")


@dataclass(frozen=True, kw_only=True)
class BlockLimit:
    """A limit of all problems of a block.

    Attributes
    ----------
    limit : Limit
        As stated, in total parameters; coefficients and bound may be arrays.
    ratio : Posynomial
        What must be at most 1, in parameters as the law counts them.
    """

    limit: Limit
    ratio: Posynomial

    @property
    def label(self) -> str:
        """Its key in the scenario."""
        return self.limit.label

    @property
    def side(self) -> str:
        """``"max"`` or ``"min"``."""
        return self.limit.side


@dataclass(frozen=True, kw_only=True)
class ProblemBlock:
    """K problems of one shape; what differs among them is an array of shape (K,), anything else a number.

    Attributes
    ----------
    count : int
        K.
    law : LossLaw
        A `LawBatch` where it differs.
    target_loss : ndarray, shape (K,)
        [nats/token]; at or below a law's E where that problem has no solution.
    bill, compute : Posynomial
        What is minimised and the FLOPs of the same life, in total ``params`` and ``tokens``.
    stated : tuple of Limit
        The limits, in the same.
    name : str
        What the scenario is called.
    notes : tuple of str
        What the law's own fit warned of.
    """

    count: int
    law: LossLaw
    target_loss: Array
    bill: Posynomial
    compute: Posynomial
    stated: tuple[Limit, ...] = ()
    name: str = "plan"
    notes: tuple[str, ...] = field(default=())

    @cached_property
    def cost(self) -> Posynomial:
        """The bill in parameters as the law counts them."""
        return self._counted(self.bill)

    @cached_property
    def flops(self) -> Posynomial:
        """The compute in parameters as the law counts them."""
        return self._counted(self.compute)

    @cached_property
    def limits(self) -> tuple[BlockLimit, ...]:
        """The limits as posynomials that are at most 1."""
        return tuple(BlockLimit(limit=limit, ratio=limit.ratio(self.law)) for limit in self.stated)

    def block(self, chosen: Chosen) -> ProblemBlock:
        """Return some of the problems."""
        target = self.target_loss[chosen]
        return replace(
            self,
            count=len(target),
            law=self.law.take(chosen) if isinstance(self.law, LawBatch) else self.law,
            target_loss=target,
            bill=part_of(self.bill, chosen),
            compute=part_of(self.compute, chosen),
            stated=tuple(_limit_part(limit, chosen) for limit in self.stated),
        )

    def row(self, number: int) -> Problem:
        """Return one problem.

        Raises
        ------
        InputError
            Its target is at or below its law's irreducible loss.
        """
        return Problem(
            law=self.law.row(number) if isinstance(self.law, LawBatch) else self.law,
            target_loss=float(self.target_loss[number]),
            cost=part_of(self.bill, number),
            flops=part_of(self.compute, number),
            limits=tuple(_limit_part(limit, number) for limit in self.stated),
            name=self.name,
            notes=self.notes,
        )

    def _counted(self, posynomial: Posynomial) -> Posynomial:
        if self.law.counts == "total":
            return posynomial
        return posynomial.substitute("params", self.law.total_params_posynomial())


def compile_block(scenario: Scenario, draws: Draws) -> ProblemBlock:
    """Return the problems that joint samples make of a scenario over the life.

    Parameters
    ----------
    scenario : Scenario
        Its uncertainty says whether the target is one loss for all samples, or what each sample's law makes of it.
    draws : Draws
        K values of each uncertain number, and K laws where the law is uncertain.

    Raises
    ------
    InputError
        A scenario by month, without a target, or of a model that is trained already.
    """
    file = scenario.file
    _refuse(scenario)
    values = {keys: array for keys, array in draws.values.items() if keys[0] in READ}
    if all(takes_array(keys) for keys in values):
        drawn = with_values(_without_sources(file), values)
        cost, flops, limits = bill_and_limits(drawn, [])
        law: LossLaw = law_of(file.law) if draws.law is None else draws.law
        target = _target(scenario, drawn, law)
    else:
        files = [file_of(scenario, draws, number) for number in range(draws.count)]
        bills, computes, several = zip(*(bill_and_limits(row, []) for row in files), strict=True)
        cost, flops = _stacked(bills), _stacked(computes)
        limits = tuple(_stacked_limits(rows) for rows in zip(*several, strict=True))
        law = LawBatch.of([law_of(row.law) for row in files], name=law_of(file.law).name)
        target = np.array([_target(scenario, row, law_of(row.law)) for row in files])
    return ProblemBlock(
        count=draws.count,
        law=law,
        target_loss=np.broadcast_to(np.asarray(target, dtype=float), (draws.count,)),
        bill=cost,
        compute=flops,
        stated=limits,
        name=scenario.name,
        notes=tuple(doubts_of(file.law)),
    )


def file_of(scenario: Scenario, draws: Draws, number: int) -> ScenarioFile:
    """Return what the scenario would say with the numbers and the law of one sample.

    A target that is one loss for all samples is written as that loss. A first month that is drawn above the saturation
    of demand stays there: it does not grow.
    """
    values = {keys: array[number] for keys, array in draws.values.items()}
    file = with_values(scenario.file, values)
    demand = file.demand
    if demand.saturation is not None and demand.saturation < demand.first_month:
        file = with_values(file, {("demand", "saturation"): demand.first_month})
    if draws.law is not None:
        file = file.model_copy(update={"law": _written(draws.law.row(number))})
    if not _holds_size(scenario) and file.target is not None and file.law != scenario.file.law:
        loss = float(_target(scenario, file, law_of(file.law)))
        file = file.model_copy(update={"target": Target.model_construct(loss=loss)})
    return file


def with_values(file: ScenarioFile, values: Mapping[Keys, Any]) -> ScenarioFile:
    """Return a file with other values at the places of some keys; numbers or arrays, which nothing checks again."""
    for keys, value in values.items():
        file = _replaced(file, keys, value)
    return file


def _replaced(node: Any, keys: Keys, value: Any) -> Any:
    if not keys:
        # What is counted stays a whole number.
        return round(float(value)) if isinstance(node, int) and np.ndim(value) == 0 else _plain(value)
    key, rest = keys[0], keys[1:]
    if isinstance(node, BaseModel):
        name = str(key)
        return node.model_copy(update={name: _replaced(getattr(node, name), rest, value)})
    if isinstance(node, Mapping):
        return {**node, key: _replaced(node[key], rest, value)}
    return tuple(_replaced(part, rest, value) if index == key else part for index, part in enumerate(node))


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else value


def takes_array(keys: Keys) -> bool:
    """Say whether the compiler computes with an array in the place of a number."""
    return keys[0] == "limits" or (len(keys) > 1 and keys[1] in _ARRAYS.get(str(keys[0]), ()))


def _without_sources(file: ScenarioFile) -> ScenarioFile:
    """Return the file without the words that a note would put beside a price."""
    if file.serving is None:
        return file
    return file.model_copy(update={"serving": file.serving.model_copy(update={"price_source": None})})


def _refuse(scenario: Scenario) -> None:
    file = scenario.file
    if file.objective == "cost" and file.demand.by_month:
        raise InputError(f"{scenario.name}: demand by month makes no block; its samples are solved one by one")
    if file.target is None:
        raise InputError(f"{scenario.name}: needs a target, which objective loss has not; give objective cost or flops")
    if file.start_from is not None:
        raise InputError(f"{scenario.name}: start_from has fixed the size; leave it out to choose one")


def _holds_size(scenario: Scenario) -> bool:
    return scenario.uncertainty.hold == "size"


def _target(scenario: Scenario, file: ScenarioFile, law: LossLaw) -> Any:
    """Return the target of a sample's file [nats/token], under its own law or under the one that counts without it."""
    assert file.target is not None
    with np.errstate(all="ignore"):
        return stated_loss(law if _holds_size(scenario) else law_of(scenario.file.law), file.target)


def _written(law: LossLaw) -> InlineLaw:
    return InlineLaw.model_construct(
        E=law.E,
        A=law.A,
        alpha=law.alpha,
        B=law.B,
        beta=law.beta,
        power=law.power,
        counts=law.counts,
        name=law.name,
        source=law.source,
    )


def part_of(posynomial: Posynomial, chosen: Chosen | int) -> Posynomial:
    """Return the posynomial of some problems, or of one."""
    terms = tuple(replace(term, coefficient=_at(term.coefficient, chosen)) for term in posynomial.terms)
    return Posynomial(terms, posynomial.unit)


def _limit_part(limit: Limit, chosen: Chosen | int) -> Limit:
    return replace(limit, quantity=part_of(limit.quantity, chosen), bound=_at(limit.bound, chosen))


def _at(value: Any, chosen: Chosen | int) -> Any:
    if np.ndim(value) == 0:
        return value
    return float(value[chosen]) if isinstance(chosen, int) else value[chosen]


def _stacked(rows: Sequence[Posynomial]) -> Posynomial:
    """Return posynomials as one, an array for each coefficient; a term that some lack adds nothing there."""
    template = max(rows, key=lambda row: len(row.terms))
    known = [{term.label: term for term in row.terms} for row in rows]

    def column(term: Term) -> Array:
        return np.array([row[term.label].coefficient if term.label in row else NEXT_TO_NOTHING for row in known])

    return Posynomial(tuple(replace(term, coefficient=column(term)) for term in template.terms), template.unit)


def _stacked_limits(rows: Sequence[Limit]) -> Limit:
    bound: Any = np.array([row.bound for row in rows])
    return replace(rows[0], quantity=_stacked([row.quantity for row in rows]), bound=bound)
