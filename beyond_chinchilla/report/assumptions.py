"""What a plan rests on: every number that was put in with its source, and how to get the plan again."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.scenario.fields import chip_of
from beyond_chinchilla.tables.scenario_text import write_scenario, written
from beyond_chinchilla.units import format_money, format_number, format_percent, format_size

if TYPE_CHECKING:
    from beyond_chinchilla.costs.hardware import Accelerator
    from beyond_chinchilla.optimise.plan import Plan
    from beyond_chinchilla.scenario.compute import Serving, Training
    from beyond_chinchilla.scenario.load import Scenario

FILE = "scenario.yaml"
_STATED = "the scenario"
_TERA = 1e12
# Where numbers are bytes: "2B" would be two of them, or two billion.
_IN_BYTES = frozenset({"serving_memory", "kv_cache", "hardware"})
_LEFT_OUT = "Left out: fine-tuning, distillation, the quality of data, safety work, and what else the money could do."

Line = tuple[str, str, str]


def assumptions(scenario: Scenario, plan: Plan) -> Block:
    """Return every input with its source: law, target, demand, chips, prices with their dates, utilisations."""
    from beyond_chinchilla.report.past import data, experts, quantisation, shape, thinking

    past = [line for law in (data, experts, quantisation, shape, thinking) for line in law.assumptions(scenario)]
    every = (*_law(plan), *_asked(scenario), *past, *_chips(scenario), *_uncertain(scenario))
    cells = [list(line) for line in every]
    words = frozenset({0, 1, 2})
    return Block("Assumptions", ["what", "value", "source"], cells, [_LEFT_OUT], words)


def reproduce() -> Block:
    """Return how to get the same plan again."""
    lines = [
        f"Save the scenario below as {FILE} and run: bc-opt {FILE}",
        f'In Python: import beyond_chinchilla as bc; bc.solve(bc.load("{FILE}"))',
        f"Found by beyond-chinchilla {version('beyond-chinchilla')}.",
    ]
    return Block("How to reproduce", lines=lines)


def scenario_text(scenario: Scenario) -> str:
    """Return the scenario as YAML that loads again to the same plan; no file beside it is needed.

    >>> from beyond_chinchilla.scenario.load import Scenario
    >>> scenario = Scenario.from_dict({"name": "A: b", "law": "sardana-2024", "target": {"chinchilla": "13B"},
    ...                                "demand": {"tokens": "2T"}, "objective": "flops"})
    >>> print(scenario_text(scenario), end="")
    # A: b: as bc-opt read it
    <BLANKLINE>
    name: "A: b"
    law: sardana-2024
    target:
      chinchilla: 13B
    demand:
      tokens: 2T
    objective: flops
    """
    return write_scenario(_as_text(scenario.to_dict()), {}, f"{scenario.name}: as bc-opt read it")


def _as_text(value: Any, place: tuple[str, ...] = ()) -> Any:
    """Return a tree with its numbers as people write them, to the last digit."""
    if isinstance(value, dict):
        return {str(name): _as_text(item, (*place, str(name))) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_text(item, place) for item in value]
    if isinstance(value, float):
        return repr(value) if value <= 0 or _IN_BYTES.intersection(place) else written(value)
    return value


def _law(plan: Plan) -> Iterator[Line]:
    law = plan.law
    power = "" if law.power == 1.0 else f", all to the power {law.power:.4g} but E"
    yield (
        f"law {law.name}",
        f"E {law.E:.4g}, A {law.A:.4g}, alpha {law.alpha:.4g}, B {law.B:.4g}, beta {law.beta:.4g}{power}",
        law.source or _STATED,
    )
    ranges = [
        f"{format_size(bounds[0])} to {format_size(bounds[1])} {label}"
        for label, bounds in (
            ("params", law.fitted.params),
            ("tokens", law.fitted.tokens),
            ("tokens per param", law.fitted.tokens_per_param),
        )
        if bounds is not None
    ]
    if ranges:
        yield "runs behind the law", ", ".join(ranges), law.note


def _asked(scenario: Scenario) -> Iterator[Line]:
    file = scenario.file
    target, demand = file.target, file.demand
    if target is not None:
        if target.chinchilla is not None:
            said = f"as good as a compute-optimal model of {format_size(target.chinchilla)} params"
        elif target.loss is not None:
            said = f"loss {target.loss:.6g} nats per token"
        elif target.suite is not None:
            error = float(target.wanted_error)
            said = f"error {format_percent(error)}, a score of {format_percent(1.0 - error)}, on a suite of tasks"
            yield _suite(scenario)
        elif isinstance(target.model, str):
            said = f"as good as {target.model}"
        else:
            assert target.model is not None
            said = f"as good as {format_size(target.model.params)} params on {format_size(target.model.tokens)} tokens"
        yield "target", said, _STATED
    amount, unit = scenario.demand()
    lengths = ""
    if demand.input_tokens is not None and demand.output_tokens is not None:
        lengths = f" of {demand.input_tokens:g} input and {demand.output_tokens:g} output tokens"
    extra = f", {demand.reasoning_tokens:g} tokens of reasoning" if demand.reasoning_tokens else ""
    extra += f", {format_percent(demand.cached_share, 0)} of the input cached" if demand.cached_share else ""
    yield "demand", f"{format_number(amount)} {unit} over the life{lengths}{extra}", demand.source or _STATED


def _suite(scenario: Scenario) -> Line:
    """Return the map that turns the target's error into a loss."""
    from beyond_chinchilla.scenario.past.laws import target_law_of
    from beyond_chinchilla.scenario.past.suite import map_of

    target = scenario.file.target
    assert target is not None
    assert target.suite is not None
    found = map_of(target.suite, target_law_of(scenario.file))
    formula = f"error = {found.epsilon:.4g} - {found.k:.4g} exp(-{found.gamma:.4g} loss)"
    scatter = f", one model's scatter {found.residual * 100:.2f} points" if found.residual else ""
    return f"suite {found.name}", f"{formula}{scatter}", found.source or _STATED


def _chips(scenario: Scenario) -> Iterator[Line]:
    file = scenario.file
    if file.objective == "flops":
        yield "bill", "6 FLOPs per parameter and training token, 2 per parameter and token served", "by definition"
        return
    if file.training is not None:
        yield from _training(file.training)
    if file.serving is not None:
        yield from _serving(file.serving)


def _training(training: Training) -> Iterator[Line]:
    chip = chip_of(training.hardware)
    yield _chip("training on", chip, (training.precision,))
    yield _price("training price", training, chip, training.price, "")
    shares = [f"MFU {format_percent(training.mfu)}"]
    if training.goodput is not None:
        shares.append(f"goodput {format_percent(training.goodput)}")
    if training.development is not None:
        shares.append(f"experiments before it {format_percent(training.development, 0)} of the run")
    yield "training utilisation", ", ".join(shares), _STATED
    if training.data_cost is not None:
        yield "data", f"{format_money(training.data_cost)} per million training tokens", _STATED


def _serving(serving: Serving) -> Iterator[Line]:
    for chip in serving.chips:
        able = tuple(precision for precision in serving.precisions if precision in chip.peak)
        if able:
            yield _chip("serving on", chip, able)
            yield _price("serving price", serving, chip, serving.stated_price(chip), serving.price_source or "")
    if serving.prefill_mfu is not None and serving.decode_mfu is not None:
        mfus = f"prefill MFU {format_percent(serving.prefill_mfu)}, decode MFU {format_percent(serving.decode_mfu)}"
        yield "serving utilisation", mfus, _STATED
    else:
        yield "serving utilisation", "follows from batch and step time, chosen with the model", "chip data"


def _uncertain(scenario: Scenario) -> Iterator[Line]:
    """Yield what is not known for certain, beside the medians above."""
    stated = scenario.uncertainty
    for each in stated.inputs:
        yield f"uncertain: {each.label}", each.distribution.describe(), _STATED
    if stated.law is not None:
        yield "uncertain: law", stated.law.describe(), "of the law"


def _chip(label: str, chip: Accelerator, precisions: tuple[str, ...]) -> Line:
    peaks = ", ".join(f"{name} {chip.peak[name] / _TERA:,.4g} TFLOP/s" for name in precisions)
    source = chip.source or _STATED
    dated = source if not chip.date or chip.date in source else f"{source} ({chip.date})"
    return label, f"{chip.title or chip.name}, {peaks}", dated


def _price(label: str, section: Training | Serving, chip: Accelerator, stated: float | None, source: str) -> Line:
    if section.purchase is not None:
        return label, f"{format_money(section.purchase.build().usd_per_hour)} per GPU-hour, bought", _STATED
    if section.price_path is not None and section.price_path.table is not None:
        return label, "by month, as tabled", _STATED
    path = "" if section.price_path is None else ", moving by month"
    if stated is not None:
        return label, f"{format_money(stated)} per GPU-hour{path}", source or _STATED
    listed = chip.default_price
    assert listed is not None
    offer = f"{listed.offer}, " if listed.offer else ""
    return (
        label,
        f"{format_money(listed.usd_per_hour)} per GPU-hour{path}",
        f"{offer}{listed.kind} price of {listed.date} ({listed.source})",
    )
