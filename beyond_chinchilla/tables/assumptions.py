"""A sheet of assumptions, name / value / unit, as keys of a scenario.

A sheet counts where it is called so (assumptions, inputs, parameters, drivers, settings), or where a header says name
and value. Headings such as Training and Serving apply to the rows below them: ``Price`` under Serving is the price of
serving. What is not known by its name is listed.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from beyond_chinchilla.costs.hardware import names
from beyond_chinchilla.errors import SpreadsheetError, printable
from beyond_chinchilla.tables.chips import match_chip
from beyond_chinchilla.tables.clean import (
    COMMA,
    POINT,
    decimal_mark,
    is_ambiguous,
    is_number,
    read_amount,
    read_month,
    shown,
)
from beyond_chinchilla.tables.find import Left
from beyond_chinchilla.tables.grids import Fault, Grid
from beyond_chinchilla.tables.readings import DECIMALS
from beyond_chinchilla.tables.scenario_text import written

# What each key of a scenario may be called; {} is a heading's or the row's own word for training or serving.
ALIASES: dict[str, tuple[str, ...]] = {
    "name": ("scenario name", "plan name", "scenario"),
    "law": ("law", "loss law", "scaling law"),
    "objective": ("objective",),
    "target.chinchilla": ("target", "quality", "target quality", "chinchilla size", "target chinchilla", "chinchilla",
                          "chinchilla equivalent", "chinchilla equivalent size", "target model size", "target size"),
    "target.loss": ("target loss", "loss", "loss target"),
    "target.model": ("target model", "as good as", "reference model"),
    "demand.requests": ("lifetime requests", "total requests", "requests over life"),
    "demand.requests_per_month": ("requests per month", "monthly requests", "requests month"),
    "demand.requests_per_day": ("requests per day", "daily requests", "requests day"),
    "demand.users": ("users", "active users", "daily active users", "dau"),
    "demand.requests_per_user_per_day": ("requests per user per day", "requests per user", "requests user day"),
    "demand.growth_per_month": ("growth per month", "monthly growth", "growth", "mom growth"),
    "demand.saturation": ("saturation", "peak requests per month"),
    "demand.months": ("months", "life", "model life", "lifetime", "life of the model", "horizon"),
    "demand.start": ("start", "start month", "launch", "launch month", "launch date", "first month", "demand start"),
    "demand.input_tokens": ("input tokens", "prompt tokens", "input tokens per request", "prompt tokens per request",
                            "context tokens", "input length", "prompt length", "tokens in"),
    "demand.output_tokens": ("output tokens", "completion tokens", "generated tokens", "output tokens per request",
                             "completion tokens per request", "output length", "response tokens", "tokens out"),
    "demand.reasoning_tokens": ("reasoning tokens", "thinking tokens", "reasoning tokens per request"),
    "demand.cached_share": ("cached share", "cache hit rate", "prompt cache hit rate", "cached input share"),
    "demand.batch_share": ("batch share", "offline share", "share of batch", "async share"),
    "demand.peak_to_mean": ("peak to mean", "peak to average", "peak factor", "peak to average ratio", "peak mean"),
    "discounting.rate": ("discount rate", "wacc", "cost of capital", "hurdle rate"),
    "discounting.timing": ("discount timing",),
    "currency.code": ("currency", "currency code"),
    "currency.per_usd": ("exchange rate", "per usd", "fx rate", "eur per usd", "currency per usd"),
    "currency.date": ("exchange rate date", "fx date", "date of the rate"),
    "currency.source": ("exchange rate source", "fx source", "source of the rate"),
    "training.hardware": ("training hardware", "training gpu", "training chip", "training accelerator"),
    "training.precision": ("training precision",),
    "training.price": ("training price", "training gpu price", "training price per gpu hour", "training gpu hour price",
                       "training cost per gpu hour"),
    "training.mfu": ("training mfu", "mfu", "training utilisation", "training utilization"),
    "training.gpus": ("training gpus", "gpus for training", "training cluster", "cluster size"),
    "training.goodput": ("training goodput", "goodput"),
    "training.development": ("training development", "development", "development overhead", "experiments"),
    "training.data_cost": ("data cost", "training data cost", "data price"),
    "training.start": ("training start", "training start month"),
    "training.delay_cost": ("delay cost", "cost of delay", "training delay cost"),
    "training.price_path.per_year": ("training price change per year",),
    "serving.hardware": ("serving hardware", "inference hardware", "serving gpu", "inference gpu", "serving chip",
                         "serving accelerator"),
    "serving.precision": ("serving precision", "inference precision"),
    "serving.price": ("serving price", "serving gpu price", "inference price", "inference gpu price",
                      "serving price per gpu hour", "inference price per gpu hour", "serving gpu hour price"),
    "serving.prefill_mfu": ("prefill mfu", "serving prefill mfu", "prefill utilisation", "prefill utilization"),
    "serving.decode_mfu": ("decode mfu", "serving decode mfu", "decode utilisation", "decode utilization"),
    "serving.gpus_per_replica": ("gpus per replica", "serving gpus per replica"),
    "serving.context": ("context length", "serving context", "max context"),
    "serving.batch_price": ("batch price", "spot price", "serving spot price", "serving batch price"),
    "serving.price_path.per_year": ("price change per year", "serving price change per year", "annual price change"),
    "serving.commitment.price": ("commitment price", "committed price", "reserved price", "serving commitment price"),
    "serving.commitment.share": ("commitment share", "committed share", "reserved share"),
    "serving.commitment.gpus": ("commitment gpus", "committed gpus", "reserved gpus"),
    "serving.commitment.kind": ("commitment kind", "commitment term", "reservation term"),
    "serving.fleet.floor": ("fleet floor", "minimum gpus", "min gpus", "serving minimum gpus"),
    "serving.fleet.ceiling": ("fleet ceiling", "maximum gpus", "max gpus", "gpus available", "available gpus",
                              "serving maximum gpus", "gpu capacity"),
    "limits.params.max": ("max params", "maximum parameters", "max parameters", "largest model"),
    "limits.tokens.max": ("max tokens", "training tokens available", "data available", "max training tokens"),
    "limits.total_cost.max": ("budget", "total budget", "max total cost"),
    "limits.training_cost.max": ("training budget", "max training cost"),
    "limits.time_per_output_token.max": ("time per output token", "tpot", "max time per output token"),
    "limits.time_to_first_token.max": ("time to first token", "ttft", "max time to first token"),
    "energy.pue": ("pue",),
    "energy.grid": ("grid intensity", "grid carbon intensity", "carbon intensity"),
}  # fmt: skip
# One name for both: what a book without headings says.
BOTH: dict[str, tuple[str, ...]] = {
    "hardware": ("hardware", "gpu", "gpu type", "accelerator", "chip", "gpu model"),
    "precision": ("precision",),
    "price": ("price", "gpu price", "price per gpu hour", "gpu hour price", "gpu hourly rate", "gpu hour",
              "cost per gpu hour", "gpu rate", "hourly price"),
}  # fmt: skip
_OF = {alias: (key,) for key, aliases in ALIASES.items() for alias in aliases} | {
    alias: (f"training.{key}", f"serving.{key}") for key, aliases in BOTH.items() for alias in aliases
}
_HEADINGS = {
    **dict.fromkeys(("training", "train", "pre training", "pretraining"), "training"),
    **dict.fromkeys(("serving", "inference", "deployment", "serve"), "serving"),
    **dict.fromkeys(("demand", "usage", "traffic", "general", "finance", "other", "money", "quality", "limits"), ""),
}
_LONGEST = 200
_SHEETS = re.compile(r"assumption|annahme|input|parameter|driver|setting|general", re.IGNORECASE)
_NAME_HEADS = {
    "name",
    "assumption",
    "assumptions",
    "parameter",
    "item",
    "input",
    "driver",
    "key",
    "setting",
    "variable",
}
_VALUE_HEADS = {"value", "amount", "setting", "base case", "base"}
_NOISE = {"average", "avg", "mean", "the", "of", "assumed", "annual", "yearly", "usd", "expected", "number"}
_COUNT_KEYS = {"demand.months", "training.gpus", "serving.fleet.floor", "serving.fleet.ceiling",
               "serving.commitment.gpus", "serving.gpus_per_replica"}  # fmt: skip
_MONTH_KEYS = {"demand.start", "training.start"}
_MONEY = {"price": "USD/hour", "batch_price": "USD/hour"}
_SHARE_KEYS = re.compile(r"(?:mfu|share|rate|goodput|development|growth_per_month|per_year)$")
_NO_UNIT = {"", "-", "n/a", "none", "text", "number", "x", "ratio", "share", "date", "month", "name", "iso", "model"}
_UNITS = {
    **dict.fromkeys(("tokens", "token", "tokens/request", "tokens per request", "requests", "request", "gpus", "gpu",
                     "chips", "users", "params", "parameters", "months", "month", "nats", "nats/token",
                     "requests/month", "requests per month", "requests/day", "requests per day"), ""),
    **dict.fromkeys(("usd/hour", "$/hour", "usd/h", "$/h", "usd/gpu-hour", "$/gpu-hour", "usd per gpu-hour",
                     "$/gpu-h", "usd/gpu-h", "usd per hour", "$ per gpu-hour", "$ per hour", "$/gpu hour",
                     "usd/gpu hour", "usd per gpu hour", "$ per gpu hour"), "USD/hour"),
    **dict.fromkeys(("eur/hour", "€/hour", "eur/h", "€/h", "eur/gpu-hour", "€/gpu-hour", "eur per gpu-hour"),
                    "EUR/hour"),
}  # fmt: skip


@dataclass(frozen=True)
class Assumption:
    """A row that was understood.

    Attributes
    ----------
    place : str
        Cell of the value: ``Assumptions!B5``.
    name : str
        As the row says it.
    key : str
        Where a scenario states it: ``training.price``.
    value : str
        As a scenario writes it: ``1.5 USD/hour``, ``50%``.
    """

    place: str
    name: str
    key: str
    value: str


@dataclass
class Assumptions:
    """What the sheets of assumptions hold."""

    found: list[Assumption] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    sheets: list[str] = field(default_factory=list)


def read_assumptions(
    grids: Sequence[Grid], decimal: str | None = None, taken: Callable[[str, int], bool] | None = None
) -> Assumptions:
    """Read the assumptions of a book.

    Parameters
    ----------
    grids : sequence of Grid
    decimal : str, optional
        ``"point"`` or ``"comma"``, where the numbers do not tell.
    taken : callable, optional
        Whether a row of a sheet, from 0, belongs to a table already.

    Raises
    ------
    SpreadsheetError
        Every row whose value cannot be read, or that states a key twice, one line each.
    """
    found = Assumptions()
    mistakes: list[str] = []
    for grid in grids:
        start, columns = _start(grid)
        if start is not None:
            found.sheets.append(grid.sheet)
            free = [
                row for row in range(start, len(grid.rows)) if taken is None or not taken(grid.sheet, grid.numbers[row])
            ]
            _read_sheet(grid, free, columns, found, mistakes, None if decimal is None else DECIMALS[decimal])
    first: dict[str, Assumption] = {}
    for each in found.found:
        other = first.setdefault(each.key, each)
        if other.value != each.value:
            mistakes.append(
                f"{grids[0].book}, {each.place}: {each.key} is {printable(each.value)}, but {printable(other.value)} "
                f"in {other.place}; keep one of them"
            )
    if mistakes:
        raise SpreadsheetError("\n".join(mistakes[:12]))
    return found


def _start(grid: Grid) -> tuple[int | None, tuple[int, int] | None]:
    """Return the first row of a sheet's assumptions, and the columns of names and values where a header says them."""
    for index, row in enumerate(grid.rows[:30]):
        names = {_fold(cell): column for column, cell in enumerate(row) if isinstance(cell, str) and cell}
        name = next((names[head] for head in names if head in _NAME_HEADS), None)
        value = next((names[head] for head in names if head in _VALUE_HEADS and names[head] != name), None)
        if name is not None and value is not None and name < value:
            return index + 1, (name, value)
    return (0 if grid.sheet and _SHEETS.search(grid.sheet) else None), None


def _read_sheet(
    grid: Grid,
    free: Sequence[int],
    columns: tuple[int, int] | None,
    found: Assumptions,
    mistakes: list[str],
    mark: str | None,
) -> None:
    heading = ""
    texts = [cell for index in free for cell in grid.rows[index] if isinstance(cell, str)]
    try:
        mark = decimal_mark(text for text in texts if text[:1].isdigit()) or mark
    except SpreadsheetError:
        mark = None
    for index in free:
        row = grid.rows[index]
        name = columns[0] if columns else next((c for c, cell in enumerate(row) if cell != ""), 0)
        label = row[name]
        after = row[columns[1] :] if columns else row[name + 1 :]
        at = columns[1] if columns else name + 1
        while not columns and after and after[0] == "":
            after, at = after[1:], at + 1
        if not isinstance(label, str) or not label:
            continue
        if not after or after[0] == "":
            folded = _fold(label)
            if folded in _HEADINGS:
                heading = _HEADINGS[folded]
            elif _keys(label, heading):
                found.left.append(Left(grid.address(index, name), label, "no value beside it"))
            continue
        unit = next((cell for cell in after[1:2] if isinstance(cell, str)), "")
        keys = _keys(label, heading)
        if not keys:
            found.left.append(Left(grid.address(index, name), label, "no assumption that is known by this name"))
            continue
        for key in keys:
            try:
                value = _value(after[0], unit, key, grid.place(index, at), mark)
            except SpreadsheetError as error:
                mistakes.append(str(error))
                break
            found.found.append(Assumption(grid.address(index, at), label, key, value))


def _keys(label: str, heading: str) -> tuple[str, ...]:
    """Return the keys that a name stands for, below a heading."""
    folded = _fold(label)
    bare = " ".join(word for word in folded.split() if word not in _NOISE)
    for text in (folded, bare):
        for candidate in (f"{heading} {text}".strip(), text):
            if candidate in _OF:
                keys = _OF[candidate]
                return tuple(key for key in keys if key.startswith(heading)) if heading and len(keys) > 1 else keys
    return (label.strip(),) if label.strip() in ALIASES else ()


def _fold(text: str) -> str:
    """Return a name without case, brackets and punctuation; nothing of a text that is too long for a name."""
    # Open brackets without end take time that grows with the square of their number.
    if len(text) > _LONGEST:
        return ""
    plain = re.sub(r"[(\[][^)\]]*[)\]]", " ", unicodedata.normalize("NFKC", text).casefold())
    plain = plain.replace("$/", " ").replace("&", " ")
    return " ".join(re.findall(r"[^\W_]+", plain))


def _value(cell: Any, unit: str, key: str, place: str, mark: str | None) -> str:
    """Return a value as a scenario writes it.

    Raises
    ------
    SpreadsheetError
        An error cell, an ambiguous number, or no number where one is needed.
    """
    expected = key.replace("_", " ")
    if isinstance(cell, Fault):
        raise SpreadsheetError(f"{place}: {cell.found(expected)}")
    if key in _MONTH_KEYS:
        when = read_month(cell)
        if when is None or when.counted:
            raise SpreadsheetError(f"{place}: {shown(cell)} is no month; write it like 2027-01")
        return str(when)
    if isinstance(cell, datetime.date):
        return cell.isoformat()[:10]
    if key.endswith(".hardware"):
        return _chip(str(cell).strip())
    if key.endswith((".precision", ".date")) or key in ("law", "objective", "name", "target.model"):
        return " ".join(str(cell).casefold().split()) if key != "name" else " ".join(str(cell).split())
    percent = unit.strip() in ("%", "percent", "per cent")
    if isinstance(cell, str):
        text = cell.strip()
        if (
            mark is None
            and is_ambiguous(text)
            and "." not in text
            and key.startswith(("demand.", "target.", "limits."))
        ):
            mark = POINT
        if mark is None and is_ambiguous(text):
            raise SpreadsheetError(
                f"{place}: {shown(cell)} may have a decimal mark or a thousands separator; store it as a number, or "
                "say which is the decimal mark: --decimal point, or --decimal comma"
            )
        amount = read_amount(text, mark or POINT)
        if amount is None:
            # 1.50 USD/hour, 30 ms, EUR: the scenario's own words.
            return text.replace(COMMA, POINT) if mark == COMMA else text
        if amount.percent:
            return f"{_plain(amount.value * 100.0)}%"
        number, money = amount.value, amount.currency
    elif is_number(cell):
        number, money = float(cell), ""
    else:
        raise SpreadsheetError(f"{place}: {shown(cell)} is not a number ({expected})")
    if percent:
        if 0.0 < abs(number) < 1.0:
            raise SpreadsheetError(
                f"{place}: {number:g} with the unit % may be {number:.3%} or {number / 100.0:.3%}; leave the unit out, "
                "or write the value as text, such as 50%"
            )
        return f"{_plain(number)}%"
    if key in _COUNT_KEYS or _SHARE_KEYS.search(key):
        return _plain(number)
    return _with_unit(number, money, unit, key)


def _with_unit(number: float, money: str, unit: str, key: str) -> str:
    folded = " ".join(unit.casefold().split())
    if folded in _NO_UNIT or folded not in _UNITS:
        known = _MONEY.get(key.rsplit(".", 1)[-1])
        if money and known:
            return f"{_plain(number)} {known.replace('USD', money)}"
        if folded in _NO_UNIT:
            return f"{_plain(number)} {money}".strip()
        if folded in ("usd", "$", "eur", "€", "gbp", "£"):
            code = {"$": "USD", "€": "EUR", "£": "GBP"}.get(folded, folded.upper())
            return f"{_plain(number)} {known.replace('USD', code) if known else code}"
        amount = read_amount(f"1{folded}")
        if amount is not None and not amount.currency:  # M, bn, thousand
            return _plain(number * amount.value)
        return f"{_plain(number)} {' '.join(unit.split())}"
    return f"{_plain(number)} {_UNITS[folded]}".strip()


def _plain(number: float) -> str:
    """Return a number to the last digit that a person would have typed: a formula's 0.30000000000000004 is 0.3."""
    return written(float(f"{number:.12g}"))


def _chip(text: str) -> str:
    """Return the catalogue's name of a chip, or the text where it is none."""
    folded = text.casefold().replace(" ", "-").replace("_", "-")
    return folded if folded in names() else match_chip(text).chip or folded
