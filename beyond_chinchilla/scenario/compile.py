"""From what a scenario says to what the solver minimises: units become base units here."""

from __future__ import annotations

import numpy as np

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.costs.models import reference_model
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.problem import Problem, below_floor
from beyond_chinchilla.scenario import schema
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.units import format_money, format_number

# No one trains such a model; the target is a slip, or so near the floor that its digits decide.
_MOST_PARAMS, _MOST_TOKENS = 1e18, 1e24


def compile_problem(file: schema.ScenarioFile, name: str) -> Problem:
    """Return the problem that a scenario states."""
    law = law_of(file.law)
    demand = _demand(file.demand)
    flops = lifetime_flops(demand)
    notes: list[str] = []
    cost = flops
    if file.objective == "cost":
        assert file.training is not None
        assert file.serving is not None
        cost = lifetime_cost(
            training=_hire("training", file.training, notes),
            training_mfu=file.training.mfu,
            serving=_hire("serving", file.serving, notes),
            prefill_mfu=file.serving.prefill_mfu,
            decode_mfu=file.serving.decode_mfu,
            demand=demand,
        )
    return Problem(
        law=law,
        target_loss=target_loss(law, file.target),
        cost=cost,
        flops=flops,
        name=name,
        notes=tuple(notes),
    )


def law_of(choice: str | schema.InlineLaw) -> LossLaw:
    """Return the law that a scenario names or writes out."""
    if isinstance(choice, str):
        return catalogue.law(choice)
    return LossLaw(**choice.model_dump(), source="written in the scenario")


def target_loss(law: LossLaw, target: schema.Target) -> float:
    """Return the loss to reach [nats/token].

    Raises
    ------
    InputError
        At or below the law's floor, out of this world, or a published model whose training tokens are not known.
    """
    with np.errstate(all="ignore"):
        loss = _stated_loss(law, target)
        point = law.compute_optimal(loss=loss)
    if loss <= law.E:
        raise InputError(below_floor(law, loss))
    if not (1.0 <= point.params <= _MOST_PARAMS and 1.0 <= point.tokens <= _MOST_TOKENS):
        raise InputError(
            f"target loss {loss:.12g} under law {law.name}, whose floor is E = {law.E:g}, asks for a compute-optimal "
            f"model of {format_number(float(point.params))} params on {format_number(float(point.tokens))} tokens; "
            f"state one of 1 to {format_number(_MOST_PARAMS)} params and 1 to {format_number(_MOST_TOKENS)} tokens"
        )
    return loss


def _stated_loss(law: LossLaw, target: schema.Target) -> float:
    if target.chinchilla is not None:
        return float(law.compute_optimal(params=law.counted_params(target.chinchilla)).loss)
    if target.loss is not None:
        return target.loss
    assert target.model is not None
    if isinstance(target.model, str):
        model = reference_model(target.model)
        if model.tokens is None:
            raise InputError(f"the training tokens of {target.model} are not published; give {{params, tokens}}")
        if model.active_params is not None:
            raise InputError(
                f"{target.model} is a mixture of experts, which law {law.name} does not cover; "
                "give {params, tokens} of a dense model of its quality"
            )
        params, tokens = model.params, model.tokens
    else:
        params, tokens = target.model.params, target.model.tokens
    return float(law.loss(law.counted_params(params), tokens))


def _demand(demand: schema.Demand) -> Demand:
    if demand.tokens is not None:
        # All tokens cost alike in FLOPs, so that they may count as one phase.
        return Demand(prefill_tokens=0.0, decode_tokens=demand.tokens)
    assert demand.requests is not None
    assert demand.input_tokens is not None
    assert demand.output_tokens is not None
    return Demand.from_requests(demand.requests, input_tokens=demand.input_tokens, output_tokens=demand.output_tokens)


def _hire(use: str, compute: schema.Training | schema.Serving, notes: list[str]) -> HiredCompute:
    """Return the hired chip; a price that was left out is looked up and noted."""
    chip = chip_of(compute.hardware)
    price = compute.price
    if price is None:
        listed = chip.default_price
        assert listed is not None
        price = listed.usd_per_hour
        notes.append(
            f"{use} price left out: {format_money(price)}/hour for {chip.name} is {listed.offer or listed.source}'s "
            f"{listed.kind} price of {listed.date} ({listed.source})"
        )
    return HiredCompute(price=price, peak=chip.peak_flops(compute.precision))
