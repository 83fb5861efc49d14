"""The sheet of sensitivities: what the least cost and the best size become when one input changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from beyond_chinchilla.sheets import inputs, styles
from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case
from beyond_chinchilla.sheets.chains import Chains
from beyond_chinchilla.sheets.curve import Curve
from beyond_chinchilla.sheets.figures import PlanCells
from beyond_chinchilla.sheets.formula import ERROR, Formula, if_, if_error, literal
from beyond_chinchilla.sheets.inputs import Input
from beyond_chinchilla.sheets.inputs_sheet import InputCells

CHANGES = (-0.5, -0.25, -0.10, 0.10, 0.25, 0.5)
# A tornado of the middle changes.
_LESS, _MORE = 1, 4
_LABEL, _FIRST = 1, 2
_GAP = "gap"
# The peak rate acts as the utilisation does; E only together with the target, as their difference.
_LEFT_OUT = ("E", "training_peak", "serving_peak", "total_per_active")
_IMPOSSIBLE = "-"
_NOTE = (
    "One input changes and the plan is chosen anew; an exponent of the law changes about the Chinchilla point, "
    "whose loss stays."
)
# What the chart leaves out: law and target move cost far more than prices do.
_QUALITY = (_GAP, "A", "alpha", "B", "beta")


def write_sensitivity(page: Page, case: Case, given: InputCells, plan: PlanCells, chains: Chains) -> None:
    """Write how least cost and best size follow each input, all else equal."""
    page.lay_out((2, 46, *[12] * len(CHANGES), 4), pages=1, freeze=4)
    page.put(0, _LABEL, "Sensitivity", "title")
    page.put(1, _LABEL, case.name, "subtitle")
    page.put(2, _LABEL, _NOTE, "faint")
    curves = {item: list(_curves(item, given, plan, chains)) for item in _varied(case)}
    # Widest first, by what they were when the workbook was written: charts cannot sort.
    order = sorted(curves, key=lambda item: (item.key in _QUALITY, -_swing(curves[item], plan)))
    row = 4
    first = _table(page, row, "Least cost against today's", order)
    for number, item in enumerate(order):
        for column, curve in enumerate(curves[item]):
            change = curve.best.total / plan.curve.best.total - 1.0
            page.put(first + number, _FIRST + column, if_error(change, _IMPOSSIBLE), "signed_percent", "right")
    last = first + len(order) - 1
    chart = _tornado(page, first, last - sum(item.key in _QUALITY for item in order))
    page.sheet.insert_chart(last + 2, _LABEL, chart, {"object_position": 2})
    row = last + 25
    first = _table(page, row, "Best number of parameters", order)
    for number, item in enumerate(order):
        for column, curve in enumerate(curves[item]):
            page.put(first + number, _FIRST + column, if_error(curve.best.params, _IMPOSSIBLE), "size", "right")


def _varied(case: Case) -> list[Input]:
    """Return the inputs that vary, the target as its distance from the floor."""
    gap = Input(key=_GAP, label="Target loss above E", value=0.0)
    found = [item for section in inputs.sections_of(case) for item in section.inputs]
    named = [item for item in found if item.key not in _LEFT_OUT and not item.key.startswith("target_")]
    titles = {item.key: section.title for section in inputs.sections_of(case) for item in section.inputs}
    labelled = [
        Input(key=item.key, label=_full_label(item, titles[item.key]), value=item.value, high=item.high)
        for item in named
        if item.value
    ]
    return [gap, *labelled]


def _full_label(item: Input, title: str) -> str:
    """Name an input away from its heading."""
    use = item.key.split("_")[0]
    if use in ("training", "serving", "prefill", "decode") and "tokens" not in item.key:
        where = "training" if use == "training" else "serving"
        return f"{item.label}, {where}".replace(" of one chip", " of a chip")
    return f"Law: {item.label}" if title.startswith("Loss law") else item.label


def _curves(item: Input, given: InputCells, plan: PlanCells, chains: Chains) -> Iterator[Curve]:
    """Calculate the plan of each change of an input."""
    assert given.gap is not None
    for change in CHANGES:
        label = f"{item.key} {change:+.0%}"
        factor = 1.0 + change
        if item.key == _GAP:
            yield chains.solve(label, given.cells, factor * given.gap)
            continue
        changed: Formula = factor * given.cells[item.key]
        if item.high is not None:
            changed = if_(changed <= item.high, changed, literal(ERROR))
        cells = {**given.cells, item.key: changed}
        pinned = {"alpha": ("A", plan.curve.baseline.params), "beta": ("B", plan.curve.baseline.tokens)}
        if item.key in pinned:
            # The term of the law keeps its value at the Chinchilla point: A N_c^-alpha = A' N_c^-alpha'.
            coefficient, size = pinned[item.key]
            cells[coefficient] = given.cells[coefficient] * size ** (change * given.cells[item.key])
        yield chains.solve(label, cells, given.gap)


def _swing(curves: list[Curve], plan: PlanCells) -> float:
    """Return how far the least cost moves, as it was at writing."""
    ends = [curves[index].best.total.value for index in (_LESS, _MORE)]
    now = plan.curve.best.total.value
    finite = [abs(end - now) for end in ends if isinstance(end, float) and isinstance(now, float) and end == end]
    return max(finite, default=0.0)


def _table(page: Page, row: int, title: str, order: list[Input]) -> int:
    """Write the heads and labels of a table; return the first row of figures."""
    page.blank(row, _LABEL, _FIRST + len(CHANGES) - 1, "section")
    page.put(row, _LABEL, title, "section")
    page.put(row + 1, _LABEL, "Input changed by", "head")
    for column, change in enumerate(CHANGES):
        page.put(row + 1, _FIRST + column, change, "head", "signed_whole", "right")
    for number, item in enumerate(order):
        page.put(row + 2 + number, _LABEL, item.label)
    return row + 2


def _tornado(page: Page, first: int, last: int) -> Any:
    """Return bars of the cost at a quarter less and a quarter more of each input."""
    chart = page.book.workbook.add_chart({"type": "bar"})
    labels = "=" + page.block(first, _LABEL, last, _LABEL)
    for name, offset, colour in (("25% less", _LESS, styles.PREFILL), ("25% more", _MORE, styles.TRAINING)):
        values = "=" + page.block(first, _FIRST + offset, last, _FIRST + offset)
        chart.add_series({"name": name, "categories": labels, "values": values, "fill": {"color": colour},
                          "gap": 40, "overlap": 100})  # fmt: skip
    font = {"name": styles.FONT, "size": 9, "color": styles.INK}
    chart.set_title(
        {"name": "Least cost when one input changes by a quarter", "name_font": font | {"size": 12, "bold": True}}
    )
    chart.set_y_axis({"reverse": True, "label_position": "low", "num_font": font, "line": {"color": styles.LINE}})
    chart.set_x_axis({"num_format": "+0%;-0%;0%", "num_font": font,
                      "major_gridlines": {"visible": True, "line": {"color": "#E5E7EB"}}})  # fmt: skip
    chart.set_legend({"position": "bottom", "font": font})
    chart.set_size({"width": 820, "height": 420})
    return chart
