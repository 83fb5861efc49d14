"""Workbooks that one forecast comes in: one for each awkward layout."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet

MONTHS = ["2027-01", "2027-02", "2027-03", "2027-04", "2027-05", "2027-06"]
REQUESTS = [40e6, 41.5e6, 43e6, 44.25e6, 46e6, 48e6]
INPUT, OUTPUT = [900.0, 905.5, 910.0, 915.0, 920.0, 925.0], [220.0] * 6
ROWS = list(zip(MONTHS, REQUESTS, INPUT, OUTPUT, strict=True))
DATES = [datetime.date(2027, month, 1) for month in range(1, 7)]
ASSUMPTIONS = [
    ("Assumption", "Value", "Unit", "Source"),
    ("Law", "sardana-2024", "", "paper"),
    ("Target", 30e9, "parameters", "board"),
    ("Discount rate", 0.1, "", "finance"),
    ("Training",),
    ("GPU", "H100 SXM"),
    ("Precision", "bf16"),
    ("Price", 2.5, "$/GPU-hour"),
    ("MFU", "40%"),
    ("Serving",),
    ("GPU", "H100 SXM"),
    ("Precision", "fp8"),
    ("GPU price", "$2.10"),
    ("Prefill MFU", 0.5),
    ("Decode MFU", 5, "%"),
]


def titled(sheet: Worksheet) -> None:
    """Title rows, blank rows and columns, dates, a total, a footnote, a column of something else."""
    sheet["B1"] = "Demand forecast, assistant"
    sheet["B2"] = "Version 7, not for circulation"
    for column, head in zip("CDFGH", ("Month", "Requests", "Input tokens", "Output tokens", "Owner"), strict=True):
        sheet[f"{column}5"] = head
    for index, (_, requests, read, written) in enumerate(ROWS):
        row = 7 + index
        sheet[f"C{row}"], sheet[f"D{row}"], sheet[f"F{row}"], sheet[f"G{row}"] = DATES[index], requests, read, written
        sheet[f"H{row}"] = "Jo"
    sheet["C13"], sheet["D13"] = "Total", sum(REQUESTS)
    sheet["C15"] = "Source: product analytics"


def merged(sheet: Worksheet) -> None:
    """Two header rows, the upper one merged; months as text; thousands as a scale."""
    sheet["A1"], sheet["B1"], sheet["C1"] = "Period", "Volume", "Tokens per request"
    sheet.merge_cells("A1:A2")
    sheet.merge_cells("C1:D1")
    sheet["B2"], sheet["C2"], sheet["D2"] = "Calls (thousands)", "Prompt", "Completion"
    for index, (_, requests, read, written) in enumerate(ROWS):
        sheet.append([DATES[index].strftime("%b %Y"), requests / 1e3, read, written])


def across(sheet: Worksheet) -> None:
    """Months across, units in a column, a blank row between, quarters and a year among the months."""
    heads = [*DATES[:3], "Q1 2027", *DATES[3:], "Q2 2027", "FY2027"]
    volumes = [*REQUESTS[:3], sum(REQUESTS[:3]), *REQUESTS[3:], sum(REQUESTS[3:]), sum(REQUESTS)]
    sheet["A1"] = "Capacity model"
    lines = [("Metric", "Unit", heads), ("Requests", "M", [volume / 1e6 for volume in volumes]), ("", "", [])]
    lines += [("Prompt tokens", "tokens/request", [*INPUT[:3], "", *INPUT[3:]])]
    lines += [("Generated tokens", "tokens/request", [*OUTPUT[:3], "", *OUTPUT[3:]])]
    for row, (label, unit, cells) in enumerate(lines, start=3):
        for column, cell in enumerate((label, unit, *cells), start=1):
            if cell != "":
                sheet.cell(row, column, cell)


def european(sheet: Worksheet) -> None:
    """Numbers as text with decimal commas; days before months."""
    sheet.append(["Date", "Requests", "Input tokens", "Output tokens"])
    for index, (_, requests, read, written) in enumerate(ROWS):
        texts = [f"{value:,.1f}".translate(str.maketrans(",.", ".,")) for value in (requests, read, written)]
        sheet.append([DATES[index].strftime("01.%m.%Y"), *texts])


def texts(sheet: Worksheet) -> None:
    """Suffixes, currency signs elsewhere, totals of the month instead of lengths, a second table below."""
    sheet.append(["month", "# of queries", "Total input tokens", "Total output tokens"])
    for month, requests, read, written in ROWS:
        sheet.append([month, f"{requests / 1e6:g}M", requests * read, f"{requests * written / 1e6:,.0f} million"])
    sheet.append([])
    sheet.append(["Month", "GPUs available"])
    for month in MONTHS:
        sheet.append([month, 512])


def serials(sheet: Worksheet) -> None:
    """Dates that lost their format, a running total beside, subtotals between."""
    sheet.append(["Date", "Requests", "Running total of requests (unused)", "Context tokens", "Response tokens"])
    for index, (_, requests, read, written) in enumerate(ROWS):
        serial = (DATES[index] - datetime.date(1899, 12, 30)).days
        sheet.append([serial, requests, None, read, written])
        if index == 2:
            sheet.append(["Subtotal", sum(REQUESTS[:3])])


LAYOUTS = {each.__name__: each for each in (titled, merged, across, european, texts, serials)}


def make_book(path: Path, layout: str = "titled", *, assumptions: bool = True) -> Path:
    """Write the forecast in a layout, with the assumptions on a sheet of their own."""
    book = openpyxl.Workbook()
    book.active.title = "Demand"
    LAYOUTS[layout](book.active)
    if assumptions:
        sheet = book.create_sheet("Assumptions")
        for row in ASSUMPTIONS:
            sheet.append(row)
    book.save(path)
    return path


def convert(path: Path, kind: str, folder: Path) -> Path:
    """Let LibreOffice write a workbook in another format; skips the test where it is missing."""
    office = shutil.which("soffice") or shutil.which("libreoffice")
    if office is None:
        pytest.skip("needs LibreOffice to write the file: no soffice on the path")
    profile = folder / "profile"
    subprocess.run(
        [office, f"-env:UserInstallation={profile.as_uri()}", "--headless", "--convert-to", kind, "--outdir",
         str(folder / "out"), str(path)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    made = folder / "out" / f"{path.stem}.{kind}"
    assert made.exists(), f"LibreOffice wrote no {made.name}"
    return made
