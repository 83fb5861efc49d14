"""From what a scenario says to what the solver minimises: units become base units here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.costs.models import reference_model
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import FittedRange, LossLaw
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem, below_floor, beyond_any_budget
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario import schema
from beyond_chinchilla.scenario.compute import Serving, Training
from beyond_chinchilla.scenario.demand import Demand
from beyond_chinchilla.scenario.limits import Hired, Setting, compile_limits
from beyond_chinchilla.scenario.past.data import limited
from beyond_chinchilla.scenario.past.experts import experts_of, total_per_active
from beyond_chinchilla.scenario.past.shape import depth_of
from beyond_chinchilla.scenario.past.suite import check_target, loss_of
from beyond_chinchilla.scenario.past.thinking import multiplied
from beyond_chinchilla.scenario.prices import TrainingBill, first_price, hire_training
from beyond_chinchilla.units import format_number

# No one trains such a model; the target is a slip, or so near the floor that its digits decide.
MOST_PARAMS, MOST_TOKENS = 1e18, 1e24
# What the limit of that name means at a fixed utilisation.
_WEIGHT_READ = "time_per_output_token is one read of the weights{layers} at batch 1: traffic and caches only add to it"


def compile_problem(file: schema.ScenarioFile, name: str) -> Problem:
    """Return the problem that a scenario states; of several alternatives, the first one's."""
    from beyond_chinchilla.scenario.past import laws as past  # which asks this module for the plain law

    law = past.law_of_file(file)
    notes: list[str] = []
    doubts = [*doubts_of(file.law), *past.notes_of(file)]
    cost, flops, limits = bill_and_limits(file, notes)
    priced = file.objective != "flops"
    if file.limits is not None and file.limits.time_per_output_token is not None:
        notes.append(meant_by_latency(file.serving))
    return Problem(
        law=law,
        target_loss=beyond_any_budget(law)
        if file.target is None
        else target_loss(past.target_law_of(file), file.target),
        cost=cost,
        flops=flops,
        limits=limits,
        objective="loss" if file.objective == "loss" else "cost",
        start_from=None if file.start_from is None else (file.start_from.params, file.start_from.tokens),
        name=name,
        levers=past.levers_of(file),
        repetition=past.repetition_of(file),
        target_law=past.size_law_of(file),
        experts=experts_of(file),
        # Prices that nothing reads need no note.
        notes=(*doubts, *(notes if priced or file.limits is not None else ())),
    )


def bill_and_limits(file: schema.ScenarioFile, notes: list[str]) -> tuple[Posynomial, Posynomial, tuple[Limit, ...]]:
    """Return what a scenario over the life minimises, its FLOPs, and its limits; assumptions are noted.

    Numbers of the file may be arrays over a block of scenarios: so are coefficients and bounds then.
    """
    flops = multiplied(file, lifetime_flops(file.demand.life()))
    setting = setting_of(file.demand, file.training, file.serving, notes)
    setting = replace(setting, total_per_active=total_per_active(file))
    if setting.cost is not None:
        setting = replace(setting, cost=multiplied(file, setting.cost))
    setting = limited(file.data, setting)
    cost = flops if file.objective == "flops" else setting.bill()
    return cost, flops, compile_limits(file.limits, setting)


def meant_by_latency(serving: Serving | None) -> str:
    """Say what a limit on the time of an output token bounds at a fixed utilisation."""
    timed = serving is not None and serving.layer_time is not None
    return _WEIGHT_READ.format(layers=" and the time of every layer" if timed else "")


def doubts_of(law: schema.LawChoice) -> list[str]:
    """Return what the law's own fit warned of."""
    if isinstance(law, schema.LawSet):
        return doubts_of(law.heaviest.law)
    if isinstance(law, str) or law.verdict in (None, "good"):
        return []
    return [f"the fit of law {law.name} calls itself '{law.verdict}': see 'bc-opt fit' on its runs"]


def setting_of(demand: Demand, training: Training | None, serving: Serving | None, notes: list[str]) -> Setting:
    """Return the bill and the chips that a scenario states, as far as it does, without months.

    A section without a price of its own, or without a fixed utilisation, is left out: only months tell it.
    """
    trains = None if training is None or _dated(training) else hire_training(training, notes)
    decodes = None
    cost = None
    if serving is not None and serving.prefill_mfu is not None and serving.decode_mfu is not None:
        decodes = None if _dated(serving) else _hire_serving(serving, serving.decode_mfu, notes)
    if trains is not None and training is not None and serving is not None and decodes is not None:
        assert serving.prefill_mfu is not None
        if demand.tokens is None:
            cost = lifetime_cost(
                training=trains.compute,
                training_mfu=trains.mfu,
                serving=decodes.compute,
                prefill_mfu=serving.prefill_mfu,
                decode_mfu=decodes.mfu,
                demand=demand.life(),
            )
            before = TrainingBill(training=training, hired=trains).terms()
            cost = Posynomial((*before, *cost.terms[1:]), cost.unit)
    return Setting(cost=cost, training=trains, decoding=decodes, depth=depth_of(serving))


def _dated(section: Training | Serving) -> bool:
    return section.price_path is not None and section.price_path.table is not None


def compared_models(file: schema.ScenarioFile) -> list[tuple[str, float, float]]:
    """Return name, total parameters and tokens of each plan to compare.

    Raises
    ------
    InputError
        A published model whose tokens are not known, or a mixture of experts.
    """
    found = []
    for item in file.compare:
        params, tokens = compared_size(item)
        name = item.name or item.model or f"{format_number(params)} on {format_number(tokens)}"
        found.append((name, params, tokens))
    return found


def compared_size(item: schema.Compared) -> tuple[float, float]:
    """Return total parameters and tokens of a plan to compare; raises as `compared_models`."""
    if item.model is not None:
        return _published_size(item.model)
    assert item.params is not None
    assert item.tokens is not None
    return item.params, item.tokens


def law_of(choice: schema.LawChoice) -> LossLaw:
    """Return the law that a scenario names or writes out; of a set, the heaviest."""
    if isinstance(choice, schema.LawSet):
        return law_of(choice.heaviest.law)
    if isinstance(choice, str):
        return catalogue.law(choice)
    fitted = FittedRange() if choice.range is None else FittedRange(**choice.range.model_dump())
    return LossLaw(**choice.model_dump(exclude={"range", "verdict", "covariance", "refits"}), fitted=fitted)


def target_loss(law: LossLaw, target: schema.Target) -> float:
    """Return the loss to reach [nats/token].

    Raises
    ------
    InputError
        At or below the law's floor, out of this world, a published model whose training tokens are not known, or an
        error that no model, or every model, has on its suite.
    """
    if target.suite is not None:
        check_target(target, law)
    with np.errstate(all="ignore"):
        loss = float(stated_loss(law, target))
        point = law.compute_optimal(loss=loss)
    if loss <= law.E:
        raise InputError(below_floor(law, loss))
    if not (1.0 <= point.params <= MOST_PARAMS and 1.0 <= point.tokens <= MOST_TOKENS):
        raise InputError(
            f"target loss {loss:.12g} under law {law.name}, whose floor is E = {law.E:g}, asks for a compute-optimal "
            f"model of {format_number(float(point.params))} params on {format_number(float(point.tokens))} tokens; "
            f"state one of 1 to {format_number(MOST_PARAMS)} params and 1 to {format_number(MOST_TOKENS)} tokens"
        )
    return loss


def stated_loss(law: LossLaw, target: schema.Target) -> Any:
    """Return the loss that a target means under a law, whether or not that reaches it (numeric)."""
    if target.chinchilla is not None:
        return law.compute_optimal(params=law.counted_params(target.chinchilla)).loss
    if target.loss is not None:
        return target.loss
    if target.suite is not None:
        return loss_of(target, law)
    assert target.model is not None
    if isinstance(target.model, str):
        params, tokens = _published_size(target.model)
    else:
        params, tokens = target.model.params, target.model.tokens
    return law.loss(law.counted_params(params), tokens)


def _published_size(name: str) -> tuple[float, float]:
    """Return total parameters and tokens of a published dense model."""
    model = reference_model(name)
    if model.tokens is None:
        raise InputError(f"the training tokens of {name} are not published; give {{params, tokens}}")
    if model.active_params is not None:
        raise InputError(
            f"{name} is a mixture of experts, which no dense law covers; "
            "give {params, tokens} of a dense model of its quality"
        )
    return model.params, model.tokens


def _hire_serving(serving: Serving, mfu: float, notes: list[str]) -> Hired:
    """Return the one chip that serves at a fixed utilisation."""
    (chip,), (precision,) = serving.chips, serving.precisions
    price = first_price("serving", serving, chip, notes)
    assert price is not None
    compute = HiredCompute(price=price, peak=chip.peak_flops(precision))
    return Hired(chip=chip, compute=compute, precision=precision, mfu=mfu)
