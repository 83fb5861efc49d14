"""How long tables take to read, and how that compares with openpyxl.

A forecast of 100,000 hours as .xlsx, read to months, and a billing export in the columns of FOCUS, 50 MB as .csv and a
tenth of it as .xlsx, read to prices. openpyxl, in its fastest mode, only turns cells into values. The files are made
anew in a temporary folder; everything runs on one core.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.timing import elapsed, one_core, progress
from beyond_chinchilla.tables.forecasts import read_forecast
from beyond_chinchilla.tables.prices import read_prices

_FOCUS = (
    *("BillingCurrency", "ChargeCategory", "ChargePeriodStart", "PricingCategory", "EffectiveCost", "PricingQuantity"),
    *("PricingUnit", "ConsumedQuantity", "ConsumedUnit", "SkuId", "ServiceCategory", "ServiceProviderName"),
    *("RegionId", "SkuMeter", "SkuPriceDetails"),
)


def write_forecast(path: Path, rows: int) -> None:
    """Write a forecast by the hour, as a spreadsheet would."""
    import xlsxwriter  # type: ignore[import-untyped]

    book = xlsxwriter.Workbook(path, {"constant_memory": True})
    sheet = book.add_worksheet("Demand")
    dated = book.add_format({"num_format": "yyyy-mm-dd hh:mm"})
    sheet.write_row(0, 0, ("Hour", "Requests", "Input tokens", "Output tokens"))
    first = datetime.datetime(2027, 1, 1)
    for row in range(1, rows + 1):
        sheet.write_datetime(row, 0, first + datetime.timedelta(hours=row - 1), dated)
        sheet.write_number(row, 1, 50_000 + row % 997)
        sheet.write_number(row, 2, 900 + row % 13)
        sheet.write_number(row, 3, 220 + row % 7)
    book.close()


def write_export(path: Path, size: int) -> int:
    """Write a billing export of at least `size` bytes; return its rows."""
    first = datetime.datetime(2026, 1, 1)
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_FOCUS)
        while file.tell() < size:
            for _ in range(1000):
                start = (first + datetime.timedelta(hours=rows % 8760)).isoformat() + "Z"
                writer.writerow((
                    "USD", "Usage", start, "Standard", f"{55.04 + rows % 11:.2f}", "1", "Hours", "1", "Hours",
                    f"SKU{rows % 40}", "Compute", "AWS", f"us-east-{rows % 3}", "BoxUsage:p5.48xlarge",
                    '{"InstanceType": "p5.48xlarge", "GpuCount": 8}',
                ))  # fmt: skip
                rows += 1
    return rows


def by_openpyxl(path: Path) -> int:
    """Read every value of a workbook."""
    import openpyxl  # type: ignore[import-untyped]

    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    return sum(1 for row in book.active.iter_rows(values_only=True) if row[0] is not None)


def as_workbook(export: Path, path: Path, rows: int) -> None:
    """Write the first rows of an export as .xlsx."""
    import xlsxwriter

    book = xlsxwriter.Workbook(path, {"constant_memory": True})
    sheet = book.add_worksheet("export")
    with export.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(itertools.islice(csv.reader(file), rows + 1)):
            sheet.write_row(number, 0, row)
    book.close()


def main() -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the forecast (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=50, help="size of the export (default: %(default)s)")
    given = parser.parse_args()
    if given.rows < 1 or given.megabytes < 1:
        parser.error("--rows and --megabytes must be at least 1")
    one_core()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress("writing the files")
        write_forecast(folder / "forecast.xlsx", given.rows)
        rows = write_export(folder / "focus.csv", given.megabytes * 1_000_000)
        as_workbook(folder / "focus.csv", folder / "focus.xlsx", rows // 10)
        progress("reading them")
        _compare(f"forecast, {given.rows:,} rows of .xlsx, to months", read_forecast, folder / "forecast.xlsx")
        _compare(f"FOCUS export, {rows // 10:,} rows of .xlsx, to prices", read_prices, folder / "focus.xlsx")
        size = (folder / "focus.csv").stat().st_size / 1e6
        seconds = elapsed(lambda: read_prices(folder / "focus.csv"))
        print(f"FOCUS export, {rows:,} rows of .csv, {size:.0f} MB, to prices: {seconds:.2f} s")


def _compare(what: str, read: Callable[[Path], object], path: Path) -> None:
    ours = elapsed(lambda: read(path))
    theirs = elapsed(lambda: by_openpyxl(path))
    print(f"{what}: {ours:.2f} s; openpyxl only reads the cells: {theirs:.2f} s ({theirs / ours:.1f}x)")


if __name__ == "__main__":
    main()
