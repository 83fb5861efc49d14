"""A book of tables as a scenario: demand by month, assumptions, and where each key came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from beyond_chinchilla.tables import own_workbook
from beyond_chinchilla.tables.assumptions import Assumption, read_assumptions
from beyond_chinchilla.tables.find import Left, explain_nothing, find_tables
from beyond_chinchilla.tables.forecasts import ForecastTable, Understood, forecast_of, split_sheet
from beyond_chinchilla.tables.grids import Grid, read_grids
from beyond_chinchilla.tables.headers import LENGTHS
from beyond_chinchilla.tables.scenario_text import written

Keys = tuple[str, ...]
# What a table of months takes the place of.
_BY_TABLE = {
    *("requests", "requests_per_month", "requests_per_day", "users", "requests_per_user_per_day", "growth_per_month"),
    *("saturation", "months", "start"),
}
# Any of these, without a table, states demand.
_WAYS = {"requests", "requests_per_month", "requests_per_day", "users"}


@dataclass
class Book:
    """What a book says.

    Attributes
    ----------
    name : str
        Of the file.
    tree : dict
        A scenario, as it would be written: text at the leaves.
    sources : dict of tuple to str
        Cell or range of each key; rows of the demand table by ``("demand", "table", "0")``.
    understood : list of Understood
    ignored : list of Left
    notes : list of str
    """

    name: str
    tree: dict[str, Any] = field(default_factory=dict)
    sources: dict[Keys, str] = field(default_factory=dict)
    understood: list[Understood] = field(default_factory=list)
    ignored: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, place: str) -> None:
        """Set a key, ``training.price``, with where it came from."""
        *sections, last = key.split(".")
        node = self.tree
        for section in sections:
            node = node.setdefault(section, {})
        node[last] = value
        self.sources[tuple(key.split("."))] = place


def read_book(path: str | Path, sheet: str | None = None, decimal: str | None = None, start: str | None = None) -> Book:
    """Read a book as a scenario; what it does not say is left out.

    Parameters
    ----------
    path : path
    sheet : str, optional
        Where the table of demand stands, ``Demand`` or ``Demand!B4``; of our own workbooks, the sheet of inputs.
    decimal : str, optional
        ``"point"`` or ``"comma"``.
    start : str, optional
        Calendar month of the first month, where the table counts them 1, 2, 3.

    Raises
    ------
    InputError
        As `forecasts.read_forecast` and `assumptions.read_assumptions`.
    """
    path = Path(path)
    name, corner = split_sheet(sheet)
    grids = read_grids(path)
    book = Book(grids[0].book)
    if own_workbook.is_own(path, grids):
        own = own_workbook.read_own(path, grids, name)
        book.tree, book.notes = own.tree, own.notes
        book.sources = dict(own.sources)
        book.understood = [Understood(place, "", ".".join(keys)) for keys, place in own.sources.items()]
        return book
    wanted = grids if name is None else read_grids(path, name)
    forecast = None
    if name is not None or any(find_tables(grid, ("requests",)) for grid in wanted):
        forecast = forecast_of(wanted, corner, decimal)

    def is_taken(sheet_name: str, row: int) -> bool:
        return forecast is not None and sheet_name == forecast.taken[0] and row in forecast.taken[1]

    assumed = read_assumptions(grids, decimal, is_taken)
    if forecast is None and not any(each.key.removeprefix("demand.") in _WAYS for each in assumed.found):
        raise explain_nothing(grids, "requests", "demand")
    stated = {each.key: each for each in assumed.found}
    if forecast is not None:
        _put_forecast(book, forecast, stated, start)
    for each in assumed.found:
        _put_assumption(book, each, forecast)
    book.ignored += assumed.left
    book.ignored += _unread(grids, [*assumed.sheets, *([forecast.taken[0]] if forecast else [])])
    return book


def _unread(grids: Sequence[Grid], read: Sequence[str]) -> list[Left]:
    return [
        Left(grid.range(0, 0, len(grid.rows) - 1, grid.width - 1), "", "neither a table of demand nor assumptions")
        for grid in grids
        if grid.sheet not in read
    ]


def _put_assumption(book: Book, each: Assumption, forecast: ForecastTable | None) -> None:
    key = each.key.removeprefix("demand.")
    in_table = forecast is not None and key != each.key and (
        key in _BY_TABLE or tuple(each.key.split(".")) in book.sources or _is_in_every_row(forecast, key)
    )  # fmt: skip
    if in_table or tuple(each.key.split(".")) in book.sources:
        if key != "start" or tuple(each.key.split(".")) not in book.sources:
            book.ignored.append(Left(each.place, each.name, "the table of months states it"))
        return
    book.put(each.key, each.value, each.place)
    book.understood.append(Understood(each.place, each.name, f"{each.key}: {each.value}"))


def _is_in_every_row(forecast: ForecastTable, key: str) -> bool:
    return key in LENGTHS and all(key in row for row in forecast.rows)


def _put_forecast(book: Book, forecast: ForecastTable, stated: dict[str, Assumption], start: str | None) -> None:
    months = _calendar(book, forecast, stated, start)
    book.understood += forecast.understood
    book.ignored += forecast.ignored
    book.notes += forecast.notes
    place = forecast.place.split(", ", 1)[-1]
    ranges = {each.meaning.split(",")[0].split(" of the")[0]: each.place for each in forecast.understood}
    constant = {
        name: forecast.rows[0][name]
        for name in LENGTHS
        if name in forecast.rows[0] and all(row.get(name) == forecast.rows[0][name] for row in forecast.rows)
    }
    rows = []
    for index, (month, row) in enumerate(zip(months, forecast.rows, strict=True)):
        rows.append(
            {"month": month, **{key: written(row[key]) for key in row if key != "month" and key not in constant}}
        )
        book.sources["demand", "table", str(index)] = forecast.places[index].split(", ", 1)[-1]
    book.put("demand.table", rows, place)
    for name, value in constant.items():
        book.put(f"demand.{name}", written(value), ranges.get(name.replace("_", " "), place))
    for name, share in (("cached_share", forecast.cached_share), ("batch_share", forecast.batch_share)):
        if share is not None:
            book.put(f"demand.{name}", written(share), ranges.get(name.replace("_", " "), place))
    _put_prices(book, forecast, stated, months, ranges.get("price", place))
    _put_gpus(book, forecast, stated, ranges.get("gpus", place))


def _calendar(book: Book, forecast: ForecastTable, stated: dict[str, Assumption], start: str | None) -> tuple[str, ...]:
    """Return the calendar months of the rows; an assumption counts where the months themselves are none."""
    if start is None and isinstance(forecast.rows[0]["month"], int) and "demand.start" in stated:
        start = stated["demand.start"].value
    months = forecast.calendar(start)
    if start is not None:
        book.notes.append(f"month 1 is {start}")
    return months


def _put_prices(
    book: Book, forecast: ForecastTable, stated: dict[str, Assumption], months: Sequence[str], place: str
) -> None:
    if not forecast.prices:
        return
    if "serving.price" in stated:
        book.ignored.append(Left(place, "price", f"{stated['serving.price'].place} states the price of serving"))
        return
    unit = f"{forecast.currency or 'USD'}/hour"
    calendar = dict(zip((row["month"] for row in forecast.rows), months, strict=True))
    prices = [(calendar[month], price) for month, price in forecast.prices]
    if len({price for _, price in prices}) == 1:
        book.put("serving.price", f"{written(prices[0][1])} {unit}", place)
    else:
        rows = [{"month": month, "price": f"{written(price)} {unit}"} for month, price in prices]
        book.put("serving.price_path.table", rows, place)


def _put_gpus(book: Book, forecast: ForecastTable, stated: dict[str, Assumption], place: str) -> None:
    counts = {count for _, count in forecast.gpus}
    if len(counts) == 1 and "serving.fleet.ceiling" not in stated:
        book.put("serving.fleet.ceiling", written(counts.pop()), place)
    elif counts:
        book.ignored.append(
            Left(place, "GPUs available", "differs by month, but a scenario has one: --set serving.fleet.ceiling=N")
        )
