"""A plan's figures beside those of the Chinchilla model, the shares of its bill, and its answer in words."""

from __future__ import annotations

from dataclasses import dataclass

from beyond_chinchilla.optimise.plan import Candidate
from beyond_chinchilla.sheets import inputs
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import SERVING_FACTOR, TRAINING_FACTOR, Case
from beyond_chinchilla.sheets.charges import Charge, charges
from beyond_chinchilla.sheets.curve import Curve, Pair, Point
from beyond_chinchilla.sheets.formula import Formula, added, if_error, in_words, joined, literal, rounded, three_digits
from beyond_chinchilla.sheets.inputs_sheet import InputCells

# Of a mixture of experts, beside those that are active.
ALL = "All parameters"
LABEL, PLAN, BASELINE, RATIO, SOLVER = range(1, 6)
TOP = 4
_WORDED = {"params": "Parameters", "tokens": "Tokens", "total": "Total"}


@dataclass(frozen=True, kw_only=True)
class PlanCells:
    """References to the sheet.

    Attributes
    ----------
    pair : Pair
        On the universal curve, where formulas choose the sizes.
    figures : dict of str to pair of Formula
        Plan and Chinchilla model, by the names of `Candidate.to_dict`, terms as ``term_...``.
    savings, savings_fraction : Formula
    elasticities : dict of str to Formula
    sentence : Formula
        The answer in words.
    """

    pair: Pair
    figures: dict[str, tuple[Formula, Formula]]
    savings: Formula
    savings_fraction: Formula
    elasticities: dict[str, Formula]
    sentence: Formula

    @property
    def curve(self) -> Curve:
        """The universal curve behind the plan."""
        assert isinstance(self.pair, Curve)
        return self.pair


@dataclass(frozen=True)
class Figure:
    """One row of the table of figures."""

    key: str
    label: str
    style: str
    plan: Formula
    baseline: Formula


def write_figures(
    page: Page,
    case: Case,
    given: InputCells,
    found: tuple[Pair, tuple[Formula, Formula], Formula],
    prefix: str,
) -> tuple[dict[str, tuple[Formula, Formula]], Formula, int]:
    """Write the table of pair, losses and share saved; return its cells, the savings, and the next row for more."""
    curve, losses, saved = found
    page.lay_out((2, 36, 18, 24, 12, 30, 30), pages=1, freeze=TOP)
    page.put(0, LABEL, "Plan", "title")
    page.put(1, LABEL, case.name, "subtitle")
    page.put(2, LABEL, _says(case), "faint")
    figures = _figures(case, given, curve, losses)
    heads = ("Figure", "Plan", "Chinchilla", "Ratio")
    page.heads(TOP - 1, LABEL, heads if case.exact else (*heads, "Solver's plan (value)"))
    solved = None if case.exact else case.plan.best
    pairs: dict[str, tuple[Formula, Formula]] = {}
    row = TOP
    for figure in figures:
        style = ("total",) if figure.key == "total" else ()
        page.put(row, LABEL, figure.label, *style)
        left = page.put(row, PLAN, figure.plan, figure.style, *style)
        right = page.put(row, BASELINE, figure.baseline, figure.style, *style)
        page.put(row, RATIO, if_error(left / right, ""), "times", *style)
        pairs[figure.key] = left, right
        value = None if solved is None else _value(solved, figure.key)
        if value is not None:
            page.put(row, SOLVER, value, figure.style, *style)
        row += 1
    savings = page.put(row, PLAN, saved * curve.baseline.total, case.unit, "bold", name=f"{prefix}plan_savings")
    page.put(row, LABEL, "Saved", "bold")
    page.put(row, BASELINE, saved, "percent", "bold")
    if not case.exact and case.plan.best is not None and case.plan.objective == "cost":
        page.put(row, SOLVER, case.plan.savings, case.unit, "bold")
    return pairs, savings, row + 2


def _says(case: Case) -> str:
    if case.standing is not None:
        return "Live but for the sizes, which are inputs: under this law no formula chooses them. See Law."
    if case.exact:
        return "Live: every figure follows the Inputs."
    return "Plan and Chinchilla are live and without limits; the solver's plan is a value and heeds everything."


def _figures(case: Case, given: InputCells, curve: Pair, losses: tuple[Formula, Formula]) -> list[Figure]:
    """Return what is trained and what it costs."""
    best, base = curve.best, curve.baseline

    def both(key: str, label: str, style: str, of: tuple[Formula, Formula]) -> Figure:
        return Figure(key, label, style, *of)

    def each(calculate: object) -> tuple[Formula, Formula]:
        assert callable(calculate)
        return calculate(best), calculate(base)

    figures = [
        both("params", case.worded("Parameters"), "size", (best.params, base.params)),
        *_of_mixture(case, given, curve),
        both("tokens", "Training tokens", "tokens", (best.tokens, base.tokens)),
        both("tokens_per_param", "Tokens per parameter", "plain", each(lambda point: point.tokens / point.params)),
        both("loss", "Loss [nats/token]", "exact_loss", losses),
    ]  # fmt: skip
    if case.unit != "FLOP":
        trains = each(lambda point: TRAINING_FACTOR * point.params * point.tokens)
        served = [inputs.served_tokens(case, given.cells, side) for side in inputs.SIDES]
        serves = SERVING_FACTOR * best.params * served[0], SERVING_FACTOR * base.params * served[1]
        figures.append(both("training_flops", "Training [FLOP]", "FLOP", trains))
        figures.append(both("inference_flops", "Serving for life [FLOP]", "FLOP", serves))
    for use in ("training", "serving"):
        if f"{use}_price" in given.cells and _only_plain(case):
            price = given.cells[f"{use}_price"]
            keys = [charge.key for charge in charges(case) if charge.trains == (use == "training")]

            def hours(point: Point, price: Formula = price, keys: list[str] = keys) -> Formula:
                return added(point.terms[key] for key in keys) / price

            figures.append(both(f"{use}_hours", f"{use.capitalize()} [chip-hours]", "count", each(hours)))
    for key in best.terms:
        label = f"{key.replace('_', ' ').capitalize()} [{case.unit}]"
        figures.append(both(f"term_{key}", label, case.unit, (best.terms[key], base.terms[key])))
    figures.append(both("total", f"Total [{case.unit}]", case.unit, (best.total, base.total)))
    return figures


def _of_mixture(case: Case, given: InputCells, curve: Pair) -> list[Figure]:
    """Return the row of all parameters of a mixture of experts."""
    if not case.is_mixture:
        return []
    each = given.cells["total_per_active"]
    return [Figure("total_params", ALL, "size", each * curve.best.params, each * curve.baseline.params)]


def _only_plain(case: Case) -> bool:
    """Whether every dollar is an hour at the stated price."""
    return all(charge.plain is not None and charge.factor == 1.0 for charge in charges(case))


def _value(solved: Candidate, key: str) -> float | None:
    """Return a figure of the solver's plan by its key."""
    if key.startswith("term_"):
        terms = {label.replace(" ", "_"): value for label, value in solved.terms.items()}
        return terms.get(key.removeprefix("term_"))
    found = solved.to_dict().get(key)
    return float(found) if isinstance(found, (int, float)) else None


def write_shares(page: Page, row: int, case: Case, curve: Pair) -> tuple[int, dict[str, Formula]]:
    """Write the shares of the bill that go with demand and prices; return the last row."""
    page.put(row, LABEL, "Least cost moves by", "section")
    page.blank(row, PLAN, RATIO, "section")
    wanted = {"demand": "demand", "training_price": "training price", "serving_price": "serving price"}
    if case.unit != "USD":
        wanted = {"demand": "demand"}
    found: dict[str, Formula] = {}
    for key, label in wanted.items():
        row += 1
        page.put(row, LABEL, f"for 1% more {label}")
        found[key] = page.put(row, PLAN, _share(case, curve, key), "ratio")
        page.put(row, BASELINE, "%", "unit")
    return row, found


def _share(case: Case, curve: Pair, driver: str) -> Formula:
    driven: list[Charge] = [charge for charge in charges(case) if driver in charge.drivers]
    if not driven:
        return literal(0.0)
    return added(curve.best.terms[charge.key] for charge in driven) / curve.best.total


def write_words(
    page: Page, row: int, case: Case, figures: dict[str, tuple[Formula, Formula]], saved: Formula, prefix: str
) -> Formula:
    """Write the figures of the answer as words, and the answer made of them."""
    page.blank(row, LABEL, SOLVER, "section")
    page.put(row, LABEL, "In words", "section")
    words: dict[str, tuple[Formula, Formula]] = {}
    for key in _WORDED:
        row += 1
        page.put(row, LABEL, f"{_WORDED[key]}, three digits and in words")
        sign = "$" if key == "total" and case.unit == "USD" else ""
        columns = zip((PLAN, BASELINE), figures[key], strict=True)
        left, right = (page.put(row, column, three_digits(value), "number") for column, value in columns)
        row += 1
        left, right = in_words(left, sign), in_words(right, sign)
        words[key] = page.put(row, PLAN, left, "right"), page.put(row, BASELINE, right, "right")
    unit = "" if case.unit == "USD" else f" {case.unit}"
    row += 1
    page.put(row, LABEL, "Saved")
    share = page.put(row, PLAN, joined(rounded(100.0 * saved, 1), "%"), "right")
    sentence = joined(
        "Train ", words["params"][0], case.worded(" parameters on "), words["tokens"][0], " tokens instead of ",
        words["params"][1], " on ", words["tokens"][1], ": ", words["total"][0], f"{unit} instead of ",
        words["total"][1], f"{unit} over the model's life, ", share, " saved.",
    )  # fmt: skip
    row += 1
    page.put(row, LABEL, "Answer")
    refuse = "No plan: the target loss is at or below the floor E of the law, or an input is not a number. See Inputs."
    return page.put(row, PLAN, if_error(sentence, refuse), name=f"{prefix}answer")
