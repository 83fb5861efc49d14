"""Many scenarios of one shape: one scenario with arrays in the place of drawn numbers, compiled as any other.

The compiler computes with whatever the fields hold, so that a block takes the time of one scenario and holds to the
last digit what its scenarios hold one by one. What it cannot do with arrays (a chip written out, a law's own constants)
is compiled number by number and stacked: the same block, more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.downstream import DownstreamMap
from beyond_chinchilla.laws.lever import Lever
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.laws.precision import Quantisation
from beyond_chinchilla.laws.repetition import Repetition
from beyond_chinchilla.laws.whole_law import WholeLaw, stacked_laws
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.compile import bill_and_limits, doubts_of, law_of, stated_loss
from beyond_chinchilla.scenario.past import laws as past
from beyond_chinchilla.scenario.schema import InlineLaw, ScenarioFile, Target
from beyond_chinchilla.scenario.stacks import stacked, stacked_limits

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
    "target": ("chinchilla", "loss", "model", "error", "score"),
    "training": ("price", "mfu", "goodput", "development", "data_cost"),
    "serving": ("price", "prefill_mfu", "decode_mfu"),
    "data": ("unique_tokens", "price"),
}
# What the problem over the life reads; other sections are for the page, or for months.
_PAST = ("data", "quantisation", "experts", "shape", "thinking")
READ = ("law", "target", "demand", "training", "serving", "limits", *_PAST)


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
    repetition : Repetition or None
        What the law loses where unique tokens are few; its numbers may be arrays.
    quantisation : Quantisation or None
        What serving in few bits adds to the loss; its numbers may be arrays.
    """

    count: int
    law: LossLaw
    target_loss: Array
    bill: Posynomial
    compute: Posynomial
    stated: tuple[Limit, ...] = ()
    name: str = "plan"
    notes: tuple[str, ...] = field(default=())
    repetition: Repetition | None = None
    quantisation: Quantisation | None = None

    @cached_property
    def whole(self) -> WholeLaw:
        """The law with all that bends it."""
        return WholeLaw(law=self.law, repetition=self.repetition, quantisation=self.quantisation)

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
        target, whole = self.target_loss[chosen], self.whole.at(chosen)
        return replace(
            self,
            count=len(target),
            law=whole.law,
            repetition=whole.repetition,
            quantisation=whole.quantisation,
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
        whole = self.whole.row(number)
        return Problem(
            law=whole.law,
            levers=() if whole.quantisation is None else (whole.quantisation,),
            repetition=whole.repetition,
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


def compile_block(
    scenario: Scenario, draws: Draws, held: Mapping[str, float] | None = None, *, apart: bool = False
) -> ProblemBlock:
    """Return the problems that joint samples make of a scenario over the life.

    Parameters
    ----------
    scenario : Scenario
        Its uncertainty says whether the target is one loss for all samples, or what each sample's law makes of it.
    draws : Draws
        K values of each uncertain number, and K laws where the law is uncertain.
    held : mapping of str to float, optional
        By kind, the numbers that levers bring along, such as the samples of a request.
    apart : bool
        Whether levers are at their baselines instead, as far as they have any: at one sample.

    Raises
    ------
    InputError
        A scenario by month, without a target, of a model that is trained already, that leaves a choice, or with a
        lever whose number is neither fixed nor held.
    """
    file = scenario.file
    _refuse(scenario, draws)
    held = {} if held is None else held
    values = {keys: array for keys, array in draws.values.items() if keys[0] in READ}
    if all(takes_array(keys) for keys in values):
        drawn = _with_suite(with_values(_without_sources(file), values), draws.suite)
        stated = law_of(file.law) if draws.law is None else draws.law
        target = _target(scenario, drawn, stated)
        whole, cost, flops, limits = _whole(scenario, drawn, stated, held, apart)
    else:
        files = [file_of(scenario, draws, number) for number in range(draws.count)]
        laws = [law_of(row.law) for row in files]
        # What was fitted together with a law is told by its name, which a drawn one has not.
        files = [row.model_copy(update={"law": file.law}) for row in files]
        target = np.array([_target(scenario, row, law) for row, law in zip(files, laws, strict=True)])
        rows = [_whole(scenario, row, law, held, apart) for row, law in zip(files, laws, strict=True)]
        wholes, bills, computes, several = zip(*rows, strict=True)
        whole = stacked_laws(wholes, name=law_of(file.law).name)
        cost, flops = stacked(bills), stacked(computes)
        limits = tuple(stacked_limits(each) for each in zip(*several, strict=True))
    return ProblemBlock(
        count=draws.count,
        law=whole.law,
        target_loss=np.broadcast_to(np.asarray(target, dtype=float), (draws.count,)),
        bill=cost,
        compute=flops,
        stated=limits,
        name=scenario.name,
        notes=tuple(doubts_of(file.law)),
        repetition=whole.repetition,
        quantisation=whole.quantisation,
    )


def _whole(
    scenario: Scenario, file: ScenarioFile, stated: LossLaw, held: Mapping[str, float], apart: bool
) -> tuple[WholeLaw, Posynomial, Posynomial, tuple[Limit, ...]]:
    """Return law, bill, FLOPs and limits of a file's problem, with its levers held."""
    cost, flops, limits = bill_and_limits(file, [])
    law, quantisation = past.law_of_file(file, stated), None
    numbers: dict[str, float] = {}
    for lever in past.levers_of(file):
        if isinstance(lever, Quantisation):
            quantisation = lever
            continue
        value = lever.baseline if apart else None
        if value is None:
            if lever.kind not in held and lever.low < lever.high:
                raise InputError(f"{scenario.name}: {_left_open(lever)}")
            value = held.get(lever.kind, lever.low)
        numbers[lever.variable] = value
        law = lever.held(law, value)
    whole = WholeLaw(law=law, repetition=past.repetition_of(file), quantisation=quantisation)
    kept = tuple(replace(limit, quantity=limit.quantity.hold(numbers)) for limit in limits)
    return whole, cost.hold(numbers), flops.hold(numbers), kept


def _left_open(lever: Lever) -> str:
    return f"{lever.kind} leaves {lever.variable} to be chosen with each model; state one number of {lever.variable}"


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
    if draws.suite is not None:
        file = _with_suite(file, draws.suite.take(number))
    target = file.target
    if not _holds_size(scenario) and target is not None and (target.suite is not None or file.law != scenario.file.law):
        loss = float(_target(scenario, file, law_of(file.law)))
        file = file.model_copy(update={"target": Target.model_construct(loss=loss)})
    return file


def _with_suite(file: ScenarioFile, suite: DownstreamMap | None) -> ScenarioFile:
    """Return a file with a drawn map, or many, in the place of its target's."""
    if suite is None or file.target is None:
        return file
    return file.model_copy(update={"target": file.target.model_copy(update={"suite": suite})})


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


def _refuse(scenario: Scenario, draws: Draws) -> None:
    file = scenario.file
    if len(scenario.alternatives) > 1:
        labels = ", ".join(scenario.alternatives)
        raise InputError(f"{scenario.name}: leaves a choice between {labels}; a block is of one of them")
    refuse_law_of_experts(scenario, draws)
    if file.objective == "cost" and file.demand.by_month:
        raise InputError(f"{scenario.name}: demand by month makes no block; its samples are solved one by one")
    if file.target is None:
        raise InputError(f"{scenario.name}: needs a target, which objective loss has not; give objective cost or flops")
    if file.start_from is not None:
        raise InputError(f"{scenario.name}: start_from has fixed the size; leave it out to choose one")


def refuse_law_of_experts(scenario: Scenario, draws: Draws) -> None:
    """Refuse to draw a law that a number of experts then replaces.

    Raises
    ------
    InputError
        The scenario states experts, and its law is uncertain.
    """
    if scenario.file.experts is not None and draws.law is not None:
        raise InputError(
            f"{scenario.name}: nobody knows how sure the law of experts is; leave uncertainty.independent_law out"
        )


def _holds_size(scenario: Scenario) -> bool:
    return scenario.uncertainty.hold == "size"


def _target(scenario: Scenario, file: ScenarioFile, law: LossLaw) -> Any:
    """Return the target of a sample's file [nats/token], under its own law or under the one that counts without it."""
    assert file.target is not None
    counts = past.target_law_of(scenario.file, law if _holds_size(scenario) else law_of(scenario.file.law))
    with np.errstate(all="ignore"):
        return stated_loss(counts, file.target)


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
