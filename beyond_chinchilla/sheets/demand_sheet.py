"""The sheet of demand by month: requests, tokens and what a dollar of the month is worth today."""

from __future__ import annotations

from dataclasses import dataclass

from beyond_chinchilla.sheets.book import Page
from beyond_chinchilla.sheets.case import Case, Months
from beyond_chinchilla.sheets.formula import Formula, counted, if_, literal, summed

_FIRST, _REQUESTS, _INPUT, _OUTPUT, _PRICE, _WORTH, _READ, _WRITTEN, _PAID_READ, _PAID_WRITTEN, _STATE = range(1, 12)
_HEADS = (
    *("Month", "Requests", "Input tokens per request", "Output tokens per request", "Price of a chip-hour, x input"),
    *("Worth today of a dollar", "Input tokens", "Output tokens", "... at today's worth", "... at today's worth", ""),
)
_TOP = 8
# As written, far right: what is compared to say what has changed.
_COPIES = 14
_CHANGED = "changed"


@dataclass(frozen=True, kw_only=True)
class DemandCells:
    """References to the sheet.

    Attributes
    ----------
    totals : dict of str to Formula
        Tokens of the life by phase, and the same at today's worth and at the price of the input.
    changes : Formula
        How many cells are not as written.
    """

    totals: dict[str, Formula]
    changes: Formula


def write_demand(page: Page, case: Case, months: Months) -> DemandCells:
    """Write demand month by month, to change cell by cell."""
    page.lay_out((2, 12, *[15] * 9, 10), freeze=_TOP)
    page.sheet.set_column(_COPIES, _COPIES + 5, None, None, {"hidden": True})
    page.put(0, _FIRST, "Demand", "title")
    page.put(1, _FIRST, case.name, "subtitle")
    page.put(2, _FIRST, "Change the blue cells. Tokens are those to compute: cached input does not count.", "faint")
    flags: list[Formula] = []
    rate = _write_rate(page, months, flags)
    page.heads(_TOP - 1, _FIRST, _HEADS)
    page.sheet.set_row(_TOP - 1, 28)
    columns: dict[int, list[Formula]] = {_READ: [], _WRITTEN: [], _PAID_READ: [], _PAID_WRITTEN: [], _REQUESTS: []}
    for number, label in enumerate(months.labels):
        row = _TOP + number
        page.put(row, _FIRST, label)
        inputs = [
            (_REQUESTS, months.requests[number], "size"),
            (_INPUT, months.input_tokens[number], "plain"),
            (_OUTPUT, months.output_tokens[number], "plain"),
            (_PRICE, months.price_index[number], "ratio"),
        ]
        if rate is None:
            inputs.append((_WORTH, months.weights[number], "ratio"))
        cells = {column: page.put(row, column, value, "input", style) for column, value, style in inputs}
        copies = [page.put(row, _COPIES + index, value, "faint") for index, (_, value, _) in enumerate(inputs)]
        if rate is not None:
            paid = months.first_paid + number / 12.0
            cells[_WORTH] = page.put(row, _WORTH, (1.0 + rate) ** literal(-paid), "ratio")
        read = page.put(row, _READ, cells[_REQUESTS] * cells[_INPUT], "tokens")
        written = page.put(row, _WRITTEN, cells[_REQUESTS] * cells[_OUTPUT], "tokens")
        columns[_REQUESTS].append(cells[_REQUESTS])
        columns[_READ].append(read)
        columns[_WRITTEN].append(written)
        columns[_PAID_READ].append(page.put(row, _PAID_READ, read * cells[_PRICE] * cells[_WORTH], "tokens"))
        columns[_PAID_WRITTEN].append(page.put(row, _PAID_WRITTEN, written * cells[_PRICE] * cells[_WORTH], "tokens"))
        state: Formula = literal("")
        for (column, _, _), copy in zip(inputs, copies, strict=True):
            state = if_(cells[column].equals(copy), state, _CHANGED)
        flags.append(page.put(row, _STATE, state, "changed", "indent"))
    last = _TOP + len(months.labels) - 1
    rule = {"validate": "decimal", "criteria": ">=", "value": 0, "ignore_blank": False}
    rule |= {"error_title": "Not a number in range", "error_message": "A number, 0 or more. 2 million is 2E6."}
    page.sheet.data_validation(_TOP, _REQUESTS, last, _PRICE if rate is not None else _WORTH, rule)
    page.put(4, _FIRST, "Life", "total")
    sums = {}
    for column, entries in columns.items():
        block = page.block(_TOP, column, last, column)
        sums[column] = page.put(4, column, summed(block, entries), "total", "size" if column == _REQUESTS else "tokens")
    block = page.block(5, _STATE, last, _STATE)
    changes = page.put(4, _STATE, counted(block, flags, _CHANGED), "hidden")
    totals = {
        "prefill_tokens": sums[_READ],
        "decode_tokens": sums[_WRITTEN],
        "paid_prefill": sums[_PAID_READ],
        "paid_decode": sums[_PAID_WRITTEN],
    }
    return DemandCells(totals=totals, changes=changes)


def _write_rate(page: Page, months: Months, flags: list[Formula]) -> Formula | None:
    """Write the discount rate where the months follow it."""
    if months.rate is None:
        return None
    page.put(5, _FIRST, "Discount rate")
    rate = page.put(5, _REQUESTS, months.rate, "input", "share", name="in_discount_rate")
    page.put(5, _INPUT, "per year, effective", "unit")
    written = page.put(5, _COPIES, months.rate, "faint")
    rule = {"validate": "decimal", "criteria": "between", "minimum": 0, "maximum": 1, "ignore_blank": False}
    page.sheet.data_validation(5, _REQUESTS, 5, _REQUESTS, rule)
    flags.append(page.put(5, _STATE, if_(rate.equals(written), "", _CHANGED), "changed", "indent"))
    return rate
