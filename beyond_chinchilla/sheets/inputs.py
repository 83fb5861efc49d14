"""The inputs of a workbook: which there are for a scenario, and what the model makes of their cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beyond_chinchilla.sheets.case import (
    PHASES,
    SERVING_FACTOR,
    TRAINING_FACTOR,
    Case,
    Charge,
    charges,
    phase_tokens,
    requests_of,
)
from beyond_chinchilla.sheets.curve import Bill, LawCells
from beyond_chinchilla.sheets.formula import ERROR, Formula, as_formula, if_, literal
from beyond_chinchilla.sheets.target import stated_target
from beyond_chinchilla.units import SECONDS_PER_HOUR

TERA = 1e12
WAYS = ("chinchilla", "loss", "model")

Cells = Mapping[str, Formula]


@dataclass(frozen=True, kw_only=True)
class Input:
    """One cell that may be changed.

    Attributes
    ----------
    key : str
        What formulas and the workbook's names call it.
    label, unit, style, note : str
        For the reader.
    value : float or str
    low, high : float or None
        What a cell accepts: above `low` (or from it, where `zero`), up to `high`.
    zero : bool
        Whether `low` itself is accepted.
    choices : tuple of str
        What a text accepts.
    scenario_key : str
        Where the scenario file states it.
    """

    key: str
    label: str
    value: float | str
    unit: str = ""
    style: str = "number"
    note: str = ""
    low: float = 0.0
    high: float | None = None
    zero: bool = False
    choices: tuple[str, ...] = ()
    scenario_key: str = ""


@dataclass(frozen=True)
class Section:
    """Inputs under one heading."""

    title: str
    note: str
    inputs: tuple[Input, ...]


def sections_of(case: Case) -> list[Section]:
    """Return every input of a scenario, by section."""
    found = [_law(case), _target(case), _demand(case)]
    if case.unit == "USD":
        found += _fleets(case)
    other = _other(case)
    return [*found, other] if other.inputs else found


def _law(case: Case) -> Section:
    law = case.problem.law
    rows = [
        ("E", law.E, "nats/token", "irreducible loss", True),
        ("A", law.A, "", "coefficient of the model term", False),
        ("alpha", law.alpha, "", "exponent of the model term", False),
        ("B", law.B, "", "coefficient of the data term", False),
        ("beta", law.beta, "", "exponent of the data term", False),
    ]
    inputs = tuple(
        Input(key=key, label=f"{key}, {label}", value=value, unit=unit, zero=zero, scenario_key=f"law.{key}")
        for key, value, unit, label, zero in rows
    )
    source = f"{law.name}: {law.source}" if law.source else law.name
    return Section("Loss law   L(N, D) = E + A N^-alpha + B D^-beta", source, inputs)


def _target(case: Case) -> Section:
    target = stated_target(case)
    return Section(
        "Quality to reach",
        "One of three ways counts, the others are ignored.",
        (
            Input(
                key="target_way", label="Stated as", value=target.way, choices=WAYS,
                note="chinchilla, loss or model: which of the rows below counts", scenario_key="target",
            ),
            Input(
                key="target_chinchilla", label="chinchilla: as good as the compute-optimal model of",
                value=target.chinchilla, unit="parameters", style="size", scenario_key="target.chinchilla",
            ),
            Input(
                key="target_loss", label="loss", value=target.loss, unit="nats/token", style="exact_loss",
                scenario_key="target.loss",
            ),
            Input(
                key="target_params", label="model: as good as one of", value=target.params, unit="parameters",
                style="size", scenario_key="target.model.params",
            ),
            Input(
                key="target_tokens", label="... trained on", value=target.tokens, unit="tokens", style="tokens",
                scenario_key="target.model.tokens",
            ),
        ),
    )  # fmt: skip


def _demand(case: Case) -> Section:
    demand = case.scenario.file.demand
    if case.months is not None:
        scale = Input(key="demand_scale", label="Demand of every month", value=1.0, unit="of the sheet Demand",
                      style="percent", zero=True, note="the months stand on the sheet Demand")  # fmt: skip
        return Section("Demand", "", (scale,))
    requests = requests_of(case)
    if requests is not None:
        assert demand.input_tokens is not None
        assert demand.output_tokens is not None
        rows = (
            Input(key="requests", label="Requests", value=requests, unit="over the model's life", style="size",
                  note="type 2 billion as 2E9", scenario_key="demand.requests"),
            Input(key="input_tokens", label="Input (prompt) tokens", value=demand.input_tokens,
                  unit="tokens per request", style="plain", zero=True, scenario_key="demand.input_tokens"),
            Input(key="output_tokens", label="Output (generated) tokens", value=demand.output_tokens,
                  unit="tokens per request", style="plain", zero=True, scenario_key="demand.output_tokens"),
        )  # fmt: skip
        return Section("Demand", "", rows)
    tokens = phase_tokens(case)
    if demand.tokens is not None:
        row = Input(key="decode_tokens", label="Tokens, read and written", value=tokens.decode_tokens,
                    unit="over the model's life", style="tokens", zero=True, scenario_key="demand.tokens")  # fmt: skip
        return Section("Demand", "", (row,))
    phases = (("prefill_tokens", "Input (prompt) tokens", tokens.prefill_tokens),
              ("decode_tokens", "Output (generated) tokens", tokens.decode_tokens))  # fmt: skip
    return Section(
        "Demand",
        "Totals of the scenario's forecast.",
        tuple(
            Input(key=key, label=label, value=value, unit="over the model's life", style="tokens", zero=True)
            for key, label, value in phases
        ),
    )


def _fleets(case: Case) -> list[Section]:
    found = []
    phases = {
        "training": (("training_mfu", "Utilisation (MFU)", case.training_mfu, "training.mfu"),),
        "serving": (
            ("prefill_mfu", "Utilisation (MFU) while reading", case.prefill_mfu, "serving.prefill_mfu"),
            ("decode_mfu", "Utilisation (MFU) while writing", case.decode_mfu, "serving.decode_mfu"),
        ),
    }
    for use, fleet in (("training", case.training), ("serving", case.serving)):
        if fleet is None:
            continue
        inputs = [
            Input(key=f"{use}_price", label="Price of one chip", value=fleet.price, unit="USD/hour", style="price",
                  note=fleet.price_source, scenario_key=f"{use}.price"),
            Input(key=f"{use}_peak", label=f"Peak rate of one chip, {fleet.precision}", value=fleet.peak / TERA,
                  unit="TFLOP/s", style="plain", note=fleet.chip.source, scenario_key=f"{use}.hardware.peak"),
        ]  # fmt: skip
        inputs += [
            Input(key=key, label=label, value=value, unit="of the peak rate", style="share", high=1.0, scenario_key=at)
            for key, label, value, at in phases[use]
            if value == value  # not nan
        ]
        title = fleet.chip.title or fleet.chip.name
        found.append(Section(f"{use.capitalize()} on {title}, {fleet.precision}", "", tuple(inputs)))
    return found


def _other(case: Case) -> Section:
    """What the scenario's bill holds beyond the inputs above, as the solver found it."""
    if case.live is None:
        return Section("", "", ())
    rows = []
    for charge in charges(case):
        each = f"{case.unit} per parameter" + (" and token" if charge.trains else "")
        if charge.plain is None:
            rows.append(Input(key=_rate(charge), label=f"Rate of {charge.label}", value=charge.rate, unit=each,
                              style="exact", zero=True, note="as the solver found it"))  # fmt: skip
        elif charge.factor != 1.0:
            rows.append(Input(key=_factor(charge), label=f"Multiplier of {charge.label}", value=charge.factor,
                              unit="x", style="factor", note="of the plain price, as the solver found it"))  # fmt: skip
    return Section("What else the scenario charges", "Discounting, price paths, goodput and such.", tuple(rows))


def _rate(charge: Charge) -> str:
    return f"rate_{charge.key}"


def _factor(charge: Charge) -> str:
    return f"factor_{charge.key}"


# What the model makes of the cells


def law_cells(cells: Cells) -> LawCells:
    """Return the constants of the law."""
    return LawCells(E=cells["E"], A=cells["A"], alpha=cells["alpha"], B=cells["B"], beta=cells["beta"])


def target_loss(cells: Cells) -> Formula:
    """Return the loss to reach, in the way that counts."""
    law, way = law_cells(cells), cells["target_way"]
    chinchilla = law.E + law.A * cells["target_chinchilla"] ** -law.alpha * (law.alpha + law.beta) / law.beta
    model = law.loss(cells["target_params"], cells["target_tokens"])
    otherwise = if_(way.equals("model"), model, literal(ERROR))
    return if_(way.equals("loss"), cells["target_loss"], if_(way.equals("chinchilla"), chinchilla, otherwise))


def tokens_of(cells: Cells, phase: str) -> Formula:
    """Return the tokens that a phase reads or writes over the model's life."""
    if "requests" in cells:
        return cells["requests"] * cells["input_tokens" if phase == "prefill" else "output_tokens"]
    tokens = cells.get(f"{phase}_tokens", literal(0.0))
    return cells["demand_scale"] * tokens if "demand_scale" in cells else tokens


def flop_price(cells: Cells, use: str, mfu: Formula) -> Formula:
    """Return the price of a useful FLOP [USD]: Sardana et al. 2024, Eq. 5."""
    return cells[f"{use}_price"] / (SECONDS_PER_HOUR * cells[f"{use}_peak"] * TERA * mfu)


def bill_of(case: Case, cells: Cells) -> Bill:
    """Return the rates of every term of the bill."""
    bill = Bill(training={}, serving={})
    for charge in charges(case):
        if charge.plain is None:
            rate = cells[_rate(charge)]
        else:
            rate = _plain_rate(case, cells, "training" if charge.trains else charge.label)
            if charge.factor != 1.0:
                rate = cells[_factor(charge)] * rate
        (bill.training if charge.trains else bill.serving)[charge.key] = rate
    return bill


def _plain_rate(case: Case, cells: Cells, label: str) -> Formula:
    if label == "training":
        priced = flop_price(cells, "training", cells["training_mfu"]) if case.unit == "USD" else literal(1.0)
        return TRAINING_FACTOR * priced
    assert label in PHASES
    tokens = as_formula(tokens_of(cells, label))
    if case.unit == "FLOP":
        return SERVING_FACTOR * tokens
    if "demand_scale" in cells:
        tokens = cells["demand_scale"] * cells[f"paid_{label}"]
    return SERVING_FACTOR * tokens * flop_price(cells, "serving", cells[f"{label}_mfu"])
