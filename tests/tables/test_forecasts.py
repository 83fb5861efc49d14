"""One forecast in many layouts reads alike; what cannot be read names its cell."""

from __future__ import annotations

import csv
import datetime

import openpyxl
import pytest
from awkward_books import DATES, INPUT, LAYOUTS, MONTHS, OUTPUT, REQUESTS, ROWS, convert, make_book

from beyond_chinchilla.costs.forecast import Forecast
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.tables.forecasts import read_forecast


def sheet_of(rows, path):
    book = openpyxl.Workbook()
    book.active.title = "Demand"
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        read_forecast(path, **options)
    return str(caught.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_the_same_forecast(tmp_path, layout):
    table = read_forecast(make_book(tmp_path / "book.xlsx", layout))
    assert [row["month"] for row in table.rows] == MONTHS
    assert [row["requests"] for row in table.rows] == pytest.approx(REQUESTS, rel=1e-15)
    assert [row["input_tokens"] for row in table.rows] == pytest.approx(INPUT, rel=1e-12)
    assert [row["output_tokens"] for row in table.rows] == pytest.approx(OUTPUT, rel=1e-12)
    forecast = Forecast.from_rows(table.rows, places=table.places)
    assert forecast.start == "2027-01"


@pytest.mark.own_step
@pytest.mark.parametrize("kind", ["ods", "xls"])
def test_libreoffice_writes_it_and_it_reads_alike(tmp_path, kind):
    ours = read_forecast(make_book(tmp_path / "book.xlsx"))
    theirs = read_forecast(convert(tmp_path / "book.xlsx", kind, tmp_path))
    assert theirs.rows == ours.rows
    assert [each.place for each in theirs.understood] == [each.place for each in ours.understood]


def test_a_text_reads_as_a_workbook(tmp_path):
    path = tmp_path / "forecast.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Forecast of the year"])
        writer.writerow([])
        writer.writerow(["Month", "Requests", "Input tokens", "Output tokens"])
        writer.writerows((month, f"{requests:,.0f}", read, written) for month, requests, read, written in ROWS)
    table = read_forecast(path)
    assert [row["requests"] for row in table.rows] == REQUESTS
    assert table.places[0] == "forecast.csv, A4"


def test_what_was_understood_and_left_out_is_said(tmp_path):
    table = read_forecast(make_book(tmp_path / "book.xlsx"))
    assert table.place == "book.xlsx, Demand!C5:G12"
    assert [(each.place, each.text, each.meaning) for each in table.understood] == [
        ("Demand!C7:C12", "Month", "month"),
        ("Demand!D7:D12", "Requests", "requests"),
        ("Demand!F7:F12", "Input tokens", "input tokens"),
        ("Demand!G7:G12", "Output tokens", "output tokens"),
    ]
    assert [(each.place, each.text) for each in table.ignored] == [("Demand!H5", "Owner"), ("Demand!C13", "Total")]


def test_months_across_are_named_by_their_own_cells(tmp_path):
    table = read_forecast(make_book(tmp_path / "book.xlsx", "across"))
    assert table.place == "book.xlsx, Demand!A3:I7"
    assert ("Demand!F3", "Q1 2027") in [(each.place, each.text) for each in table.ignored]
    assert table.places[3] == "book.xlsx, Demand!G3"


def test_two_tables_of_demand_are_asked_about(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book.copy_worksheet(book["Demand"]).title = "High case"
    book["High case"]["D7"] = 50e6
    book.save(tmp_path / "book.xlsx")
    message = refused(tmp_path / "book.xlsx")
    assert "2 tables look like demand: Demand!C5:G12" in message
    assert "'High case'!C5:G12" in message
    assert '--sheet "Demand"' in message
    assert read_forecast(tmp_path / "book.xlsx", "high case").rows[0]["requests"] == 50e6
    assert read_forecast(tmp_path / "book.xlsx", "Demand").rows[0]["requests"] == 40e6


def test_two_tables_on_a_sheet_are_told_apart_by_a_cell(tmp_path):
    rows = [
        ["Month", "Requests"],
        ["2027-01", 1],
        ["2027-02", 2],
        [],
        ["Month", "Requests"],
        ["2027-01", 3],
        ["2027-02", 4],
    ]
    path = sheet_of(rows, tmp_path / "book.xlsx")
    assert "Demand!A1:B3 (Month, Requests) and Demand!A5:B7" in refused(path)
    assert [row["requests"] for row in read_forecast(path, "Demand!A5").rows] == [3.0, 4.0]
    assert "no table of demand at D9" in refused(path, sheet="Demand!D9")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["Month", "Requests"], ["2027-01", 1], ["2027-03", 2]], "Demand!A3: month 2027-02 is missing"),
        ([["Month", "Requests"], ["2027-01", 1], ["2027-01", 2]], "Demand!A3: month 2027-01 is there already"),
        ([["Month", "Requests"], ["2027-02", 1], ["2027-01", 2]], "Demand!A3: month 2027-01 comes after 2027-02"),
        ([["Month", "Requests"], ["2027-01", 1], ["soon", 2]], "Demand!A3: 'soon' is no month; write it like 2027-01"),
        ([["Month", "Requests"], ["2027-01", "many"]], "Demand!B2: 'many' is not a number (requests)"),
        ([["Month", "Requests"], ["2027-01", -5]], "Demand!B2: '-5': requests must be zero or more"),
        ([["Month", "Requests"], ["2027-01", "(1,200)"]], "Demand!B2: '(1,200)': requests must be zero or more"),
        ([["Month", "Requests"], ["2027-01", None], ["2027-02", 3]], "Demand!A2: requests is missing"),
        ([["Month", "Requests"], ["2027-01", 0], ["2027-02", 0]], "no month has requests"),
        ([["Month", "Requests"], ["2027-01", "1.234"]], "Demand!B2: '1.234' may have a decimal mark"),
        ([["Month", "Requests (M)"], ["2027-01", "1,234"]], "Demand!B2: '1,234' may have a decimal mark"),
        ([["Month", "Requests"], ["2027-01", "1.5"], ["2027-02", "2,5"]], "Demand!B2:B3: '1.5' has a decimal point"),
        ([["Month", "Requests"], ["02/03/2027", 1], ["04/05/2027", 2]], "Demand!A2: '02/03/2027' may have the day or"),
        (
            [["Quarter", "Requests"], ["Q1 2027", 1], ["Q2 2027", 2]],
            "Demand!A2: 'Q1 2027' is a quarter or a year; months",
        ),
        ([["Year", "Requests"], [2027, 1], [2028, 2]], "Demand!A2: '2027' is a quarter or a year; months"),
        (
            [["Month", "Requests", "Calls"], ["2027-01", 1, 2]],
            "Demand!B1 'Requests' and Demand!C1 'Calls' both read as",
        ),
        ([["Month", "Requests", "Input tokens"], ["2027-01", 1e6, 9e8]], "call the column 'Total input tokens'"),
        ([["Month", "Reqests"], ["2027-01", 1]], "Demand!B1 'Reqests' comes near"),
        (
            [["Month", "Requests", "Cached share (%)"], ["2027-01", 1, 0.3]],
            "Demand!C2:C2: 0.3 under a header in percent",
        ),
        (
            [["Month", "Requests", "Cached share"], ["2027-01", 1, 30]],
            "Demand!C2:C2: 30 is no share; write it like 35%",
        ),
    ],
)
def test_what_cannot_be_read_names_its_cell(tmp_path, rows, message):
    assert message in refused(sheet_of(rows, tmp_path / "book.xlsx"))


def test_the_decimal_mark_can_be_said(tmp_path):
    path = sheet_of([["Month", "Requests"], ["2027-01", "1.234"]], tmp_path / "book.xlsx")
    assert read_forecast(path, decimal="point").rows[0]["requests"] == 1.234
    assert read_forecast(path, decimal="comma").rows[0]["requests"] == 1234.0


def test_thousands_of_whole_things_are_no_riddle(tmp_path):
    path = sheet_of([["Month", "Requests"], ["2027-01", "40,000"], ["2027-02", "42,000"]], tmp_path / "book.xlsx")
    assert [row["requests"] for row in read_forecast(path).rows] == [40e3, 42e3]


def test_shares_prices_and_gpus(tmp_path):
    heads = ["Month", "Requests", "Cached share (%)", "Batch share", "EUR/GPU-hour", "GPUs available"]
    table = read_forecast(
        sheet_of([heads, ["2027-01", 1e6, 30, "20%", 2.1, 64], ["2027-02", 3e6, 50, 0.4, 2.0, 96]], tmp_path / "b.xlsx")
    )
    assert table.cached_share == pytest.approx(0.45, rel=1e-12)  # (0.3 x 1 + 0.5 x 3) / 4
    assert table.batch_share == pytest.approx(0.35, rel=1e-12)
    assert (table.prices, table.currency) == ((("2027-01", 2.1), ("2027-02", 2.0)), "EUR")
    assert table.gpus == (("2027-01", 64.0), ("2027-02", 96.0))


def test_days_are_added_up_to_months(tmp_path):
    first = datetime.date(2027, 1, 1)
    rows = [["Date", "Requests", "Input tokens"]]
    rows += [[first + datetime.timedelta(days=day), 1000 if day < 31 else 2000, 100 + day % 2] for day in range(59)]
    table = read_forecast(sheet_of(rows, tmp_path / "book.xlsx"))
    assert [row["month"] for row in table.rows] == ["2027-01", "2027-02"]
    assert [row["requests"] for row in table.rows] == [31000.0, 56000.0]
    # 15 of the 31 days of January have an odd index.
    assert table.rows[0]["input_tokens"] == pytest.approx(100 + 15 / 31, rel=1e-12)
    assert table.notes == ("59 rows by day or hour are added up to 2 months",)


def test_a_month_that_is_not_whole_is_said(tmp_path):
    rows = [["Date", "Requests"], *([datetime.date(2027, 1, day), 5] for day in range(1, 11))]
    assert (
        "2027-01 has 10 of its 31 days: its requests are those of these days"
        in read_forecast(sheet_of(rows, tmp_path / "book.xlsx")).notes
    )


@pytest.mark.own_step
def test_a_hundred_thousand_hours(tmp_path):
    path = tmp_path / "hours.csv"
    first = datetime.datetime(2027, 1, 1)
    with path.open("w", encoding="utf-8") as file:
        file.write("time,requests\n")
        file.writelines(f"{first + datetime.timedelta(hours=hour)},7\n" for hour in range(100_000))
    table = read_forecast(path)
    assert len(table.rows) == 137
    assert table.rows[0]["requests"] == 31 * 24 * 7
    assert sum(row["requests"] for row in table.rows) == 700_000


def test_more_months_than_a_model_lives(tmp_path):
    rows = [["Month", "Requests"], *([f"{1990 + month // 12}-{month % 12 + 1:02}", 1] for month in range(601))]
    assert "601 months; the life of a model is at most 600" in refused(sheet_of(rows, tmp_path / "book.xlsx"))


def test_months_from_launch_stay_numbers(tmp_path):
    rows = [["Month", "Requests"], *([month, 1e6] for month in range(1, 13))]
    table = read_forecast(sheet_of(rows, tmp_path / "book.xlsx"))
    assert [row["month"] for row in table.rows] == list(range(1, 13))
    assert Forecast.from_rows(table.rows, input_tokens=1, output_tokens=1).start is None


def test_a_rate_by_day_is_one_of_the_month(tmp_path):
    rows = [["Month", "Requests per day (k)"], [DATES[0], 100], [DATES[1], 200]]
    assert [row["requests"] for row in read_forecast(sheet_of(rows, tmp_path / "b.xlsx")).rows] == [
        3043750.0,
        6087500.0,
    ]


def test_sheets_that_are_not_there(tmp_path):
    path = make_book(tmp_path / "book.xlsx")
    assert "no sheet 'Demnad'; did you mean 'Demand'?" in refused(path, sheet="Demnad")
    assert "no table of demand found on Assumptions" in refused(path, sheet="Assumptions")


def test_headers_that_were_never_calculated(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Demand"]["D5"] = '="Requ"&"ests"'
    book.save(tmp_path / "book.xlsx")
    assert "1 cells are errors or were never calculated, the first book.xlsx, Demand!D5" in refused(
        tmp_path / "book.xlsx"
    )


def test_a_list_of_assumptions_is_no_table_of_months(tmp_path):
    rows = [["Requests per month", 40e6], ["Months", 36], ["Input tokens", 900]]
    assert "no table of demand found on Demand" in refused(sheet_of(rows, tmp_path / "book.xlsx"))


def test_a_title_right_above_the_header_is_no_part_of_it(tmp_path):
    rows = [["Base case"], ["Month", "Requests"], ["2027-01", 1], ["2027-02", 2]]
    table = read_forecast(sheet_of(rows, tmp_path / "book.xlsx"))
    assert table.place == "book.xlsx, Demand!A2:B4"
    assert [each.text for each in table.understood] == ["Month", "Requests"]


def test_counted_months_get_a_calendar_from_a_start(tmp_path):
    rows = [["Month", "Requests"], [1, 5], [2, 6]]
    table = read_forecast(sheet_of(rows, tmp_path / "book.xlsx"))
    assert table.calendar("2027-12") == ("2027-12", "2028-01")
    with pytest.raises(InputError, match="start: 2027-01 in a scenario"):
        table.calendar()
    dated = read_forecast(make_book(tmp_path / "dated.xlsx"))
    assert dated.calendar() == tuple(MONTHS)
    with pytest.raises(InputError, match="begins in 2027-01 already"):
        dated.calendar("2027-03")


def test_commitments_by_month_are_left_out_and_said(tmp_path):
    rows = [["Month", "Requests", "Committed GPUs"], ["2027-01", 1, 8], ["2027-02", 2, 8]]
    table = read_forecast(sheet_of(rows, tmp_path / "book.xlsx"))
    assert [(each.place, each.text) for each in table.ignored] == [("Demand!C2:C3", "Committed GPUs")]
    assert "commitment" not in [each.meaning for each in table.understood]
