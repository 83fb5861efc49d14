"""The inputs of a workbook: which there are for a scenario, and what the model makes of their cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beyond_chinchilla.sheets.case import PHASES, SERVING_FACTOR, TRAINING_FACTOR, Case, Standing
from beyond_chinchilla.sheets.charges import Charge, charges, phase_tokens, requests_of
from beyond_chinchilla.sheets.curve import Bill, LawCells
from beyond_chinchilla.sheets.formula import ERROR, Formula, added, as_formula, if_, literal
from beyond_chinchilla.sheets.target import stated_target
from beyond_chinchilla.units import SECONDS_PER_HOUR

TERA = 1e12
WAYS = ("chinchilla", "loss", "model")
# The two models of a plan whose sizes are inputs, as keys say it, and as labels do.
PLAN, BASELINE = "plan", "chinchilla"
SIDES = (PLAN, BASELINE)
_WHO = ("plan", "Chinchilla")
# What laws past Chinchilla add: title, and their constants by attribute, key and label. Names ignore case: G is not g.
_LEVERS: dict[str, tuple[str, tuple[tuple[str, str, str], ...]]] = {
    "thinking": ("Thinking   + G k^-g", (
        ("G", "coefficient", "G, loss that one sample or token leaves"), ("g", "exponent", "g, exponent"),
    )),
    "shape": ("Shape   x (1 + epsilon r^gamma)", (
        ("epsilon", "epsilon", "epsilon, coefficient of the aspect ratio r"), ("gamma", "gamma", "gamma, exponent"),
    )),
    "quantisation": ("Quantisation   + c D^gamma_D N^-gamma_N", (
        ("coefficient", "coefficient", "c, coefficient at the bits served"),
        ("gamma_D", "gamma_D", "gamma_D, exponent of the tokens"),
        ("gamma_N", "gamma_N", "gamma_N, exponent of the parameters"),
    )),
}  # fmt: skip

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
    found = [_law(case), *_past(case), _target(case), _demand(case)]
    if case.unit == "USD":
        found += _fleets(case)
    if case.standing is not None:
        found.append(_sizes(case.standing))
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
    if case.is_mixture and case.problem.experts is not None:
        each = case.problem.experts.total_per_active
        inputs += (Input(key="total_per_active", label=f"{case.problem.experts.count} experts: all parameters",
                         value=each, unit="per active one", style="ratio"),)  # fmt: skip
    source = f"{law.name}: {law.source}" if law.source else law.name
    return Section("Loss law   L(N, D) = E + A N^-alpha + B D^-beta", source, inputs)


def _past(case: Case) -> list[Section]:
    """Return the constants of what the problem adds to the law, and its numbers for the plan and for Chinchilla."""
    if case.standing is None:
        return []
    found = []
    for lever in case.problem.levers:
        title, named = _LEVERS[lever.kind]
        rows = [
            Input(key=f"{lever.kind}_{key}", label=label, value=float(getattr(lever, attribute)))
            for attribute, key, label in named
        ]
        if lever.kind in case.standing.numbers:
            label = lever.variable.replace("_", " ").capitalize()
            rows += [
                Input(key=f"{lever.kind}_{side}", label=f"{label}, {who}", value=value, style="plain",
                      note="chosen by the solver" if side == PLAN else "at which the Chinchilla model is stated")
                for side, who, value in zip(SIDES, _WHO, case.standing.numbers[lever.kind], strict=True)
            ]  # fmt: skip
        found.append(Section(title, f"{lever.name}: {lever.source}" if lever.source else lever.name, tuple(rows)))
    repetition = case.problem.repetition
    if repetition is not None:
        rows = [
            Input(key="unique_tokens", label="Unique tokens", value=repetition.unique_tokens, unit="tokens",
                  style="tokens", scenario_key="data.unique_tokens"),
            Input(key="R_D", label="R_D, how soon repeated tokens lose their worth", value=repetition.R_D),
            Input(key="R_N", label="R_N, how soon excess parameters do", value=repetition.R_N),
        ]  # fmt: skip
        source = f"{repetition.name}: {repetition.source}" if repetition.source else repetition.name
        found.append(Section("Data that is seen again", source, tuple(rows)))
    return found


def _sizes(standing: Standing) -> Section:
    """Return the sizes, which are inputs where no formula chooses them."""
    rows = tuple(
        Input(key=f"{key}_{side}", label=f"{label}, {who}", value=float(getattr(candidate, key)), unit=key, style=style)
        for side, who, candidate in zip(SIDES, _WHO, (standing.plan, standing.baseline), strict=True)
        for key, label, style in (("params", "Parameters", "size"), ("tokens", "Training tokens", "tokens"))
    )
    return Section("Models", "Chosen by the solver: the sheet Law says whether they still reach the target.", rows)


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
    if not case.calculates:
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


def bill_of(case: Case, cells: Cells, side: str = PLAN) -> Bill:
    """Return the rates of every term of the bill, of one of the two `SIDES` where levers have a number for each."""
    bill = Bill(training={}, serving={})
    for charge in charges(case):
        if charge.plain is None:
            rate = cells[_rate(charge)]
        else:
            rate = _plain_rate(case, cells, "training" if charge.trains else charge.label)
            if charge.factor != 1.0:
                rate = cells[_factor(charge)] * rate
        (bill.training if charge.trains else bill.serving)[charge.key] = multiplied(
            case, cells, rate, charge.powers, side
        )
    return bill


def multiplied(case: Case, cells: Cells, rate: Formula, powers: Mapping[str, float], side: str) -> Formula:
    """Return a rate times the numbers of levers, such as samples, with which it goes."""
    for lever in case.problem.levers:
        power = powers.get(lever.variable, 0.0)
        if lever.variable and power:
            number = cells[f"{lever.kind}_{side}"]
            rate = rate * (number if power == 1.0 else number**power)
    return rate


def served_tokens(case: Case, cells: Cells, side: str = PLAN) -> Formula:
    """Return the tokens read and written over the model's life, all samples counted."""
    powers = {term.label: {name: term.power(name) for name in term.powers} for term in case.problem.flops.terms}
    return added(
        multiplied(case, cells, tokens_of(cells, phase), powers.get(phase, {}), side)
        for phase in PHASES
        if "requests" in cells or f"{phase}_tokens" in cells
    )


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
