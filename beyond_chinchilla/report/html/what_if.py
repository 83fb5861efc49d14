"""What the page's own solver needs: the terms of the bill and of the limits, and how each slider moves them.

How a slider moves a term is not written down a second time. It is read off the problem: the scenario is compiled once
more with the slider's value halved, and the coefficients of both are compared.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from beyond_chinchilla.costs.models import reference_model
from beyond_chinchilla.laws import catalogue
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial
from beyond_chinchilla.scenario.compile import MOST_PARAMS, MOST_TOKENS
from beyond_chinchilla.scenario.fields import LEAST, MOST, chip_of
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.units import format_amount

OWN_LAW = "scenario"
# Of a slider of shares, which a scenario holds above 0.
_LEAST_SHARE = 1e-9
_TARGET_SPAN = 30.0
_FLAT = 1e-12


@dataclass(frozen=True, kw_only=True)
class Slider:
    """One number that can be moved.

    Attributes
    ----------
    key : str
        Its place in the scenario: ``"training.price"``.
    label, unit : str
        For the reader.
    value : float
        As the scenario has it, in the unit of its key.
    span : float
        The slider runs from ``value / span`` to ``value * span``.
    share : bool
        A share: at most 1, written as a percentage.
    """

    key: str
    label: str
    unit: str
    value: float
    span: float
    share: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the slider as the page holds it."""
        most = 1.0 if self.share else MOST
        return {
            "key": self.key,
            "label": self.label,
            "unit": self.unit,
            "value": self.value,
            "share": self.share,
            "low": self.value / self.span,
            "high": min(self.value * self.span, most),
            "least": _LEAST_SHARE if self.share else LEAST,
            "most": most,
        }


def refusal(problem: Problem) -> str:
    """Return why a plan cannot be played with on a page, in one sentence; nothing where it can."""
    if problem.is_extended:
        kinds = [lever.kind for lever in problem.levers] + (["data"] if problem.repetition is not None else [])
        return (
            f"What-if solves plain laws: this scenario has {' and '.join(kinds)} besides, whose optimum the page "
            "cannot find. Change the scenario and run bc-opt again."
        )
    if problem.target_law is not None and problem.bill is None:
        return (
            f"What-if plays with one law: here the target is stated under another than {problem.law.name}, which is of "
            "experts or of training in few bits. Change the scenario and run bc-opt again."
        )
    if problem.is_codesign or problem.bill is not None:
        return (
            "What-if needs a bill over the life as a whole: this scenario is served by month, which the page cannot "
            "solve. Change the scenario and run bc-opt again."
        )
    if problem.objective == "loss":
        return "What-if needs a target to reach: this scenario asks for the least loss that its budget buys."
    if problem.start_from is not None:
        return "What-if plans a new model: this scenario goes on with one whose size is fixed."
    if problem.law.counts != "total":
        return f"What-if needs a law that counts all parameters: {problem.law.name} counts no embeddings."
    return ""


def model_of(scenario: Scenario, problem: Problem) -> dict[str, Any]:
    """Return all that the page's solver reads, as JSON holds it.

    Parameters
    ----------
    scenario : Scenario
    problem : Problem
        Of this scenario; one that `refusal` lets pass.

    >>> scenario = Scenario.from_dict({"law": "sardana-2024", "target": {"chinchilla": "13B"},
    ...                                "demand": {"tokens": "2T"}, "objective": "flops"})
    >>> training, decode = model_of(scenario, scenario.to_problem())["cost"]
    >>> training["label"], training["coefficient"], training["scales"]
    ('training', 6.0, [])
    >>> decode["coefficient"], [(scale["key"], scale["power"]) for scale in decode["scales"]]
    (4000000000000.0, [('demand.tokens', 1.0)])
    """
    found = [slider for slider in _candidates(scenario) if slider.value > 0]
    halved = {slider.key: _halved(scenario, slider) for slider in found}
    cost = list(_terms(problem.cost, {key: other.cost for key, other in halved.items()}, found))
    limits = [
        _limit(limit, {key: other.limits[index].quantity for key, other in halved.items()}, found)
        for index, limit in enumerate(problem.limits)
    ]
    every = [term for terms in (cost, *(limit["terms"] for limit in limits)) for term in terms]
    moving = {scale["key"] for term in every for scale in term["scales"]}
    return {
        "name": scenario.name,
        "unit": problem.cost.unit,
        "laws": _laws(scenario, problem.law),
        "target": _target(scenario, problem),
        "sliders": [slider.to_dict() for slider in found if slider.key in moving],
        "cost": cost,
        "limits": limits,
        "tree": plain(scenario.to_dict()),
    }


def plain(value: Any) -> Any:
    """Return a tree of a scenario as JSON holds it: lists for tuples."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _candidates(scenario: Scenario) -> Iterator[Slider]:
    """Yield every number of a scenario that might be moved; some move nothing in this one."""
    file = scenario.file
    demand, training, serving = file.demand, file.training, file.serving
    for key, label, value, unit, span in (
        ("requests", "Requests", demand.requests, "over the model's life", 100.0),
        ("tokens", "Tokens served", demand.tokens, "over the model's life", 100.0),
        ("input_tokens", "Input tokens", demand.input_tokens, "per request", 10.0),
        ("output_tokens", "Output tokens", demand.output_tokens, "per request", 10.0),
    ):
        if value is not None:
            yield Slider(key=f"demand.{key}", label=label, unit=unit, value=value, span=span)
    if training is not None:
        listed = chip_of(training.hardware).default_price
        price = training.price if training.price is not None else listed.usd_per_hour if listed else None
        if price is not None and training.purchase is None and training.price_path is None:
            yield Slider(key="training.price", label="Training price", unit="USD per GPU-hour", value=price, span=10.0)
        yield _share("training.mfu", "Training MFU", training.mfu)
        if training.data_cost is not None:
            unit = "USD per million tokens"
            yield Slider(key="training.data_cost", label="Data price", unit=unit, value=training.data_cost, span=10.0)
    if serving is not None and not serving.codesign:
        chip = serving.chips[0]
        stated, listed = serving.stated_price(chip), chip.default_price
        price = stated if stated is not None else listed.usd_per_hour if listed else None
        if price is not None and serving.purchase is None and serving.price_path is None:
            yield Slider(key="serving.price", label="Serving price", unit="USD per GPU-hour", value=price, span=10.0)
        for key, label in (("prefill_mfu", "Prefill MFU"), ("decode_mfu", "Decode MFU")):
            yield _share(f"serving.{key}", label, getattr(serving, key))


def _share(key: str, label: str, value: float) -> Slider:
    return Slider(key=key, label=label, unit="of peak FLOP/s", value=value, span=10.0, share=True)


def _halved(scenario: Scenario, slider: Slider) -> Problem:
    """Return the problem with one number of the scenario halved."""
    tree = copy.deepcopy(scenario.to_dict())
    section, key = slider.key.split(".")
    tree[section][key] = slider.value / 2.0
    return Scenario.from_dict(tree).to_problem()


def _terms(
    posynomial: Posynomial, halved: dict[str, Posynomial], sliders: list[Slider], factor: float = 1.0, sign: float = 1.0
) -> Iterator[dict[str, Any]]:
    """Yield ``factor * term ** sign`` of each term, with the sliders in which its coefficient moves."""
    for index, term in enumerate(posynomial.terms):
        coefficient = float(np.asarray(term.coefficient))
        scales = []
        for slider in sliders:
            ratio = float(np.asarray(halved[slider.key].terms[index].coefficient)) / coefficient
            scale = _scale(slider, ratio)
            if scale is not None:
                scales.append({**scale, "power": sign * scale["power"]})
        powers = {name: sign * term.power(name) for name in ("params", "tokens")}
        yield {"label": term.label, "coefficient": factor * coefficient**sign, **powers, "scales": scales}


def _scale(slider: Slider, ratio: float) -> dict[str, Any] | None:
    """Return how a coefficient follows a slider that was halved; None where it does not.

    It goes with a power of the slider, or with the slider and a constant beside it, as output tokens stand beside
    those of reasoning.
    """
    if abs(ratio - 1.0) <= _FLAT:
        return None
    power = -math.log2(ratio)
    offset = 0.0
    if abs(power - round(power)) > _FLAT:
        power, offset = 1.0, slider.value * (ratio - 0.5) / (1.0 - ratio)
    return {"key": slider.key, "value": slider.value, "power": float(round(power)), "offset": offset}


def _limit(limit: Limit, halved: dict[str, Posynomial], sliders: list[Slider]) -> dict[str, Any]:
    """Return a limit as terms whose sum may be at most 1; that of a floor is its one term turned over."""
    ceiling = limit.side == "max"
    bound = 1.0 / limit.bound if ceiling else limit.bound
    terms = _terms(limit.quantity, halved, sliders, factor=bound, sign=1.0 if ceiling else -1.0)
    words = limit.label.replace("_", " ")
    most = "at most" if ceiling else "at least"
    return {
        "label": limit.label,
        "side": limit.side,
        "words": f"{words} {most} {format_amount(limit.bound, limit.unit)}",
        "terms": list(terms),
    }


def _laws(scenario: Scenario, own: LossLaw) -> list[dict[str, Any]]:
    """Return the scenario's law first, then those of the catalogue that count all parameters."""
    stated = scenario.file.law
    found = [_law(own, own.name if isinstance(stated, str) else OWN_LAW)]
    for name in catalogue.names():
        law = catalogue.law(name)
        if law.counts == "total" and name != stated:
            found.append(_law(law, name))
    return found


def _law(law: LossLaw, key: str) -> dict[str, Any]:
    constants = {name: getattr(law, name) for name in ("E", "A", "alpha", "B", "beta", "power")}
    return {"key": key, "name": law.name, "source": law.source, **constants}


def _target(scenario: Scenario, problem: Problem) -> dict[str, Any]:
    """Return the way in which the target is stated, and its value in the ways that a slider can move."""
    target = scenario.file.target
    assert target is not None
    size = float(problem.law.compute_optimal(loss=problem.target_loss).params)
    found: dict[str, Any] = {"way": "loss", "chinchilla": float(f"{size:.3g}"), "loss": problem.target_loss}
    if target.chinchilla is not None:
        # Four decimals are what people state a loss in.
        found |= {"way": "chinchilla", "chinchilla": target.chinchilla, "loss": round(problem.target_loss, 4)}
    elif target.model is not None:
        if isinstance(target.model, str):
            model = reference_model(target.model)
            params, tokens, title = model.params, model.tokens, target.model
        else:
            params, tokens, title = target.model.params, target.model.tokens, ""
        found |= {"way": "model", "loss": round(problem.target_loss, 4)}
        found["model"] = {"params": params, "tokens": tokens, "title": title}
    middle = found["chinchilla"]
    found |= {"low": middle / _TARGET_SPAN, "high": middle * _TARGET_SPAN, "least": LEAST, "most": MOST}
    return found | {"most_params": MOST_PARAMS, "most_tokens": MOST_TOKENS}
