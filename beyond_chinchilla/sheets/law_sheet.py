"""The sheet of a law past Chinchilla: what each part of it adds to the loss of two models, step by step.

Every formula is that of the law's own module in `beyond_chinchilla.laws`, in the order in which the problem has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from beyond_chinchilla.report import rows
from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.curve import Put
from beyond_chinchilla.sheets.formula import Formula, exp, expm1, if_, is_number, larger, smaller
from beyond_chinchilla.sheets.inputs_sheet import InputCells

_LABEL, _PLAN, _BASELINE, _UNIT, _NOTE = range(1, 6)
_TOP = 4
# How far above its target a loss may come out of rounding.
_ROUNDING = 1e-9

# Steps: label, unit, style, and how it is made.
_STEPS: dict[str, tuple[str, str, str, str]] = {
    "params": ("N, parameters", "parameters", "size", "from Inputs"),
    "tokens": ("D, training tokens", "tokens", "tokens", "from Inputs"),
    "epochs": ("Epochs", "passes", "ratio", "D/U, U the unique tokens"),
    "repeated": ("Passes beyond the first", "passes", "ratio", "D/U - 1, or 0"),
    "effective_tokens": ("D', effective tokens", "new tokens", "tokens", "min(D, U) + U R_D (1 - e^(-repeated/R_D))"),
    "tokens_slope": ("What 1% more tokens add to D'", "%", "ratio", "D e^(-repeated/R_D)/D'"),
    "unique_params": ("U_N, parameters that are optimal for U", "parameters", "size",
                      "(alpha A U^beta/(beta B))^(1/alpha)"),
    "excess": ("Multiples of U_N beyond the first", "", "ratio", "N/U_N - 1, or 0"),
    "effective_params": ("N', effective parameters", "parameters", "size",
                         "min(N, U_N) + U_N R_N (1 - e^(-excess/R_N))"),
    "params_slope": ("What 1% more parameters add to N'", "%", "ratio", "N e^(-excess/R_N)/N'"),
    "model": ("Model term", "nats/token", "exact_loss", "A N^-alpha, of N' where data is seen again"),
    "data": ("Data term", "nats/token", "exact_loss", "B D^-beta, of D' where data is seen again"),
    "plain": ("E + model + data", "nats/token", "exact_loss", ""),
    "shape": ("Factor of the shape", "x", "factor", "1 + epsilon r^gamma, on all that stands above"),
    "thinking": ("Left by thinking", "nats/token", "exact_loss", "G k^-g"),
    "quantisation": ("Added by quantisation", "nats/token", "exact_loss",
                     "c D^gamma_D N^-gamma_N, of D and N themselves"),
    "gain_params": ("What 1% more parameters take off", "% nats", "exact_loss", "-dL/dln N"),
    "gain_tokens": ("What 1% more tokens take off", "% nats", "exact_loss", "-dL/dln D"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LossCells:
    """The whole law at one model.

    Attributes
    ----------
    loss : Formula
        [nats/token]
    gain_params, gain_tokens : Formula
        -dL/dln N and -dL/dln D.
    gain_unique : Formula or None
        -dL/dln U, U the unique tokens.
    figures : dict of (str, str) to Formula
        What the laws say, by kind and name, as the solver's effects name it.
    """

    loss: Formula
    gain_params: Formula
    gain_tokens: Formula
    gain_unique: Formula | None = None
    figures: dict[tuple[str, str], Formula] = field(default_factory=dict)


def write_law(page: Page, case: Case, given: InputCells, prefix: str) -> tuple[LossCells, LossCells]:
    """Write the whole law at the plan and at the Chinchilla model; return the cells of both."""
    assert given.target is not None
    page.lay_out((2, 40, 18, 18, 14, 60), freeze=_TOP)
    page.put(0, _LABEL, "Law", "title")
    page.put(1, _LABEL, f"{case.name}: {rows.laws(case.plan)}", "subtitle")
    page.put(2, _LABEL, "Live: every figure follows the Inputs, the sizes among them.", "faint")
    page.heads(_TOP - 1, _LABEL, ("Step", "Plan", "Chinchilla", "Unit", "How it is made"), words=(0, 3, 4))
    places: dict[str, int] = {}

    def put_in(column: int, name: str) -> Put:
        def put(key: str, formula: Formula) -> Formula:
            if key not in places:
                places[key] = _TOP + len(places)
                label, unit, _, note = _STEPS[key] if key in _STEPS else _said(key)
                page.put(places[key], _LABEL, label, *(("total",) if key == "loss" else ()))
                page.put(places[key], _UNIT, unit, "unit")
                page.put(places[key], _NOTE, note, "faint")
            style = _STEPS[key][2] if key in _STEPS else "exact_loss"
            total = ("total",) if key == "loss" else ()
            return page.put(places[key], column, formula, style, *total, name=f"{prefix}{name}_{key}")

        return put

    found = [
        _law_in_cells(put_in(column, f"law_{side}"), case, given, side)
        for side, column in zip(inputs.SIDES, (_PLAN, _BASELINE), strict=True)
    ]
    row = _TOP + len(places)
    for offset, label in enumerate(("Target loss", "Above the target", "The model")):
        page.put(row + offset, _LABEL, label)
    for column, cells in zip((_PLAN, _BASELINE), found, strict=True):
        page.put(row, column, given.target, "exact_loss")
        page.put(row + 1, column, cells.loss - given.target, "tiny")
        page.put(row + 2, column, _verdict(cells.loss, given.target), "bold", "right")
    for verdict, part in (("reaches it", "good"), ("misses it", "alarm")):
        rule = {"type": "cell", "criteria": "==", "value": f'"{verdict}"', "format": page.book.condition(part)}
        page.sheet.conditional_format(row + 2, _PLAN, row + 2, _BASELINE, rule)
    return found[0], found[1]


def _verdict(loss: Formula, target: Formula) -> Formula:
    return if_(is_number(loss), if_(loss <= target * (1.0 + _ROUNDING), "reaches it", "misses it"), "no loss")


def _said(key: str) -> tuple[str, str, str, str]:
    """Return label, unit, style and note of a step that occurs more than once."""
    if key == "loss":
        return "Loss", "nats/token", "exact_loss", "all of the above"
    return f"Loss with {key.removeprefix('with_')}", "nats/token", "exact_loss", ""


def _law_in_cells(put: Put, case: Case, given: InputCells, side: str) -> LossCells:
    """Put the law at one of the two models into cells."""
    cells, law = given.cells, inputs.law_cells(given.cells)
    N, D = put("params", cells[f"params_{side}"]), put("tokens", cells[f"tokens_{side}"])
    figures: dict[tuple[str, str], Formula] = {}
    size, tokens = N, D
    by_size = by_data = None
    if case.problem.repetition is not None:
        U, R_D, R_N = cells["unique_tokens"], cells["R_D"], cells["R_N"]
        figures["repetition", "epochs"] = put("epochs", D / U)
        tokens, by_data = _saturated(put, ("repeated", "effective_tokens", "tokens_slope"), (D, U, R_D))
        best = put("unique_params", (law.alpha * law.A * U**law.beta / (law.beta * law.B)) ** (1.0 / law.alpha))
        size, by_size = _saturated(put, ("excess", "effective_params", "params_slope"), (N, best, R_N))
        figures["repetition", "effective_tokens"], figures["repetition", "effective_params"] = tokens, size
    model, data = put("model", law.A * size**-law.alpha), put("data", law.B * tokens**-law.beta)
    loss = put("plain", law.E + model + data)
    of_size = law.alpha * model if by_size is None else law.alpha * model * by_size
    of_data = law.beta * data if by_data is None else law.beta * data * by_data
    lost = None if by_size is None or by_data is None else law.beta * (model * (1.0 - by_size) + data * (1.0 - by_data))
    for lever in case.problem.levers:
        added, loss, factor = _with_lever(put, lever.kind, cells, side, (N, D, loss))
        figures[lever.kind, f"{lever.kind}_loss"] = added
        if lever.kind == "quantisation":
            of_size, of_data = (
                of_size + cells["quantisation_gamma_N"] * added,
                of_data - cells["quantisation_gamma_D"] * added,
            )
        if factor is not None:
            of_size, of_data = of_size * factor, of_data * factor
            lost = None if lost is None else lost * factor
    return LossCells(
        gain_params=put("gain_params", of_size), gain_tokens=put("gain_tokens", of_data), loss=put("loss", loss),
        gain_unique=lost, figures=figures,
    )  # fmt: skip


def _saturated(put: Put, keys: tuple[str, str, str], of: tuple[Formula, Formula, Formula]) -> tuple[Formula, Formula]:
    """Put what a value is worth beyond a limit into cells, and d ln worth / d ln value; see `laws.repetition`."""
    value, limit, R = of
    beyond = put(keys[0], larger(value / limit - 1.0, 0.0))
    worth = put(keys[1], smaller(value, limit) - limit * R * expm1(-(beyond / R)))
    return worth, put(keys[2], value * exp(-(beyond / R)) / worth)


def _with_lever(
    put: Put, kind: str, cells: inputs.Cells, side: str, at: tuple[Formula, Formula, Formula]
) -> tuple[Formula, Formula, Formula | None]:
    """Put what a lever adds into cells; return that, the loss with it, and the factor on all before it."""
    N, D, loss = at
    if kind == "shape":
        factor = put("shape", 1.0 + cells["shape_epsilon"] * cells[f"shape_{side}"] ** cells["shape_gamma"])
        return loss * (factor - 1.0), loss * factor, factor
    if kind == "thinking":
        left = put("thinking", cells["thinking_coefficient"] * cells[f"thinking_{side}"] ** -cells["thinking_exponent"])
        return left, loss + left, None
    powers = D ** cells["quantisation_gamma_D"] * N ** -cells["quantisation_gamma_N"]
    rounding = put("quantisation", cells["quantisation_coefficient"] * powers)
    return rounding, loss + rounding, None
