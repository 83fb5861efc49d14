"""A workbook in the making: pages that take text, numbers and formulas, and give back references to them."""

from __future__ import annotations

import datetime
import io
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from beyond_chinchilla.sheets.formula import Formula, Value, is_error
from beyond_chinchilla.sheets.styles import PARTS, properties

Content = Formula | float | str
_A4 = 9
_LINE_HEIGHT = 13.0
# What a cell can hold.
_LONGEST_TEXT = 32_767
# The same scenario makes the same bytes: no clock.
_CREATED = datetime.datetime(2000, 1, 1)
_FIRST_BAD_SURROGATE, _LAST_BAD_SURROGATE = 0xD800, 0xDFFF


class Book:
    """A workbook in memory.

    Parameters
    ----------
    titles : sequence of str
        The sheets in the order of their tabs.
    hidden : sequence of str
        Which of them are hidden.
    """

    def __init__(self, titles: Sequence[str], hidden: Sequence[str] = ()) -> None:
        import xlsxwriter  # type: ignore[import-untyped]  # 50 ms: only for who writes a workbook

        self._buffer = io.BytesIO()
        # Text stays text: no formulas, links or numbers are made of what a user typed.
        options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
        self._workbook: Any = xlsxwriter.Workbook(self._buffer, options)
        self._workbook.set_properties({"title": "Training plan", "comments": "Made by bc-opt", "created": _CREATED})
        self._formats: dict[tuple[str, ...], Any] = {}
        self.pages = {title: Page(self, title) for title in titles}
        for title in hidden:
            self.pages[title].sheet.hide()

    @property
    def workbook(self) -> Any:
        """The xlsxwriter workbook, for charts."""
        return self._workbook

    def format(self, *parts: str) -> Any:
        """Return the format of a style; see `styles.PARTS`."""
        if parts not in self._formats:
            self._formats[parts] = self._workbook.add_format(properties(*parts))
        return self._formats[parts]

    def condition(self, part: str) -> Any:
        """Return what a conditional format changes of a cell: only that part."""
        return self._workbook.add_format(PARTS[part])

    def close(self) -> bytes:
        """Return the finished file."""
        self._workbook.close()
        return self._buffer.getvalue()


class Page:
    """One sheet."""

    def __init__(self, book: Book, title: str) -> None:
        self.book = book
        self.title = title
        self.sheet = book.workbook.add_worksheet(title)
        from xlsxwriter.utility import xl_rowcol_to_cell  # type: ignore[import-untyped]

        self._cell: Callable[..., str] = xl_rowcol_to_cell
        self.sheet.hide_gridlines(2)
        self.prefix = f"'{title}'!" if " " in title else f"{title}!"

    def put(self, row: int, column: int, content: Content, *style: str, name: str = "") -> Formula:
        """Write a cell and return a reference to it.

        Parameters
        ----------
        row, column : int
            From 0.
        content : Formula, float or str
            Text is never read as a formula, whatever it begins with.
        style : str
            Parts of a style.
        name : str
            A name of the workbook by which formulas mention the cell; its address without one.
        """
        formatted = self.book.format(*style)
        if isinstance(content, Formula):
            text = content.text.replace(self.prefix, "")
            self.sheet.write_formula(row, column, f"={text}", formatted, cached(content.value))
            value = content.value
        elif isinstance(content, str):
            self.sheet.write_string(row, column, storable(content), formatted)
            value = content
        else:
            self.sheet.write_number(row, column, content, formatted)
            value = float(content)
        address = self.address(row, column)
        if name:
            self.book.workbook.define_name(name, f"={address}")
        return Formula(name or address, value)

    def blank(self, row: int, first: int, last: int, *style: str) -> None:
        """Give a style to empty cells of a row."""
        for column in range(first, last + 1):
            self.sheet.write_blank(row, column, None, self.book.format(*style))

    def heads(self, row: int, column: int, heads: Sequence[str], words: Collection[int] = (0,)) -> None:
        """Write the heads of a table; `words` are the columns that hold no numbers."""
        for index, head in enumerate(heads):
            self.put(row, column + index, head, "head", "left" if index in words else "right")

    def text_across(self, row: int, first: int, last: int, content: Content, *style: str) -> None:
        """Write a cell over several columns."""
        self.sheet.merge_range(row, first, row, last, "", self.book.format(*style))
        self.put(row, first, content, *style)

    def fit_row(self, row: int, text: str, width: float) -> None:
        """Make a row as high as a text needs that wraps in a column of `width` characters."""
        lines = math.ceil(len(text) / width)
        if lines > 1:
            self.sheet.set_row(row, _LINE_HEIGHT * lines + 2)

    def address(self, row: int, column: int) -> str:
        """Return the absolute address of a cell."""
        return f"{self.prefix}{self._cell(row, column, True, True)}"

    def block(self, first_row: int, first_column: int, last_row: int, last_column: int) -> str:
        """Return the absolute address of a block of cells."""
        corner = self._cell(last_row, last_column, True, True)
        return f"{self.address(first_row, first_column)}:{corner}"

    def lay_out(self, widths: Sequence[float], *, pages: int = 0, freeze: int = 0) -> None:
        """Set column widths and make the sheet print one page wide: landscape, or on `pages` upright ones."""
        for column, width in enumerate(widths):
            self.sheet.set_column(column, column, width, self.book.format())
        if freeze:
            self.sheet.freeze_panes(freeze, 0)
        if not pages:
            self.sheet.set_landscape()
        self.sheet.set_paper(_A4)
        self.sheet.fit_to_pages(1, pages)
        self.sheet.set_margins(left=0.5, right=0.5, top=0.6, bottom=0.6)
        self.sheet.set_footer("&L&8&A&R&8&P / &N")


def cached(value: Value) -> Value:
    """Return a value as a cell's cache may hold it: nan is no XML.

    >>> cached(float("nan")), cached(True)
    ('#N/A', True)
    """
    return "#N/A" if is_error(value) else value


def storable(text: str) -> str:
    """Return text that a cell can hold: bounded, and without halves of characters."""
    sound = "".join("?" if _FIRST_BAD_SURROGATE <= ord(letter) <= _LAST_BAD_SURROGATE else letter for letter in text)
    return sound if len(sound) <= _LONGEST_TEXT else sound[: _LONGEST_TEXT - 3] + "..."
