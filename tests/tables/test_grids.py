"""Workbooks that are damaged, locked, or made to exhaust a reader: one line that names the way out, in bounded time."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import zipfile

import openpyxl
import pytest
from awkward_books import make_book

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.tables import cell_faults
from beyond_chinchilla.tables.cell_faults import NOT_CALCULATED
from beyond_chinchilla.tables.forecasts import read_forecast
from beyond_chinchilla.tables.grids import Fault, Grid, column_letters, read_grids

SHEET = "xl/worksheets/sheet1.xml"
END = b"</sheetData>"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def refused(path, **options):
    with pytest.raises(InputError) as caught:
        read_forecast(path, **options)
    return str(caught.value)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    path = make_book(tmp_path_factory.mktemp("book") / "book.xlsx")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path, parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"", "the file is empty"),
        ("a.xlsx", b"month,requests\n2027-01,5\n", "called .xlsx, but it is text"),
        ("a.xls", b"<html><table></table></html>", "called .xls, but it is text"),
        ("a.xlsx", OLE + b"\0" * 512, "an old .xls that is called .xlsx; rename it"),
        ("a.xlsx", OLE + "EncryptedPackage".encode("utf-16-le"), "protected by a password"),
        ("a.xls", OLE + b"\0" * 4096, "damaged, or no workbook"),
        ("a.xls", b"PK\x03\x04", "if it is a workbook, rename it to .xlsx"),
        ("a.xlsx", b"PK\x03\x04" + b"\0" * 100, "damaged or truncated"),
        ("a.docx", b"PK", "no known extension"),
    ],
)
def test_files_that_are_not_what_they_are_called(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    assert message in refused(tmp_path / name)


def test_files_that_are_not_there(tmp_path):
    assert "no such file" in refused(tmp_path / "none.xlsx")
    (tmp_path / "folder.xlsx").mkdir()
    assert "a folder" in refused(tmp_path / "folder.xlsx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated(tmp_path, share):
    content = make_book(tmp_path / "book.xlsx").read_bytes()
    (tmp_path / "cut.xlsx").write_bytes(content[: int(share * len(content))])
    assert "damaged or truncated" in refused(tmp_path / "cut.xlsx")


def test_a_flipped_bit(tmp_path):
    content = bytearray(make_book(tmp_path / "book.xlsx").read_bytes())
    at = content.index(b"xl/worksheets/sheet1.xml") + 60
    content[at] ^= 0xFF
    (tmp_path / "bad.xlsx").write_bytes(content)
    assert "damaged" in refused(tmp_path / "bad.xlsx")


def test_a_bomb_is_refused_by_its_directory(tmp_path, parts):
    bomb = parts | {SHEET: parts[SHEET].replace(END, b" " * 60_000_000 + END)}
    started = time.process_time()
    assert "unpacks from" in refused(packed(tmp_path / "bomb.xlsx", bomb))
    assert time.process_time() - started < 5.0


def test_a_bomb_that_lies_about_its_size(tmp_path, parts):
    path = packed(tmp_path / "liar.xlsx", parts | {SHEET: parts[SHEET].replace(END, b" " * 5_000_000 + END)})
    content = bytearray(path.read_bytes())
    stated = struct.pack("<I", len(parts[SHEET]) + 5_000_000)
    while stated in content:
        at = content.index(stated)
        content[at : at + 4] = struct.pack("<I", 1000)
    path.write_bytes(content)
    assert "damaged" in refused(path)


def test_a_cell_at_the_end_of_the_world(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Demand"]["XFD1048576"] = "end"
    book.save(tmp_path / "far.xlsx")
    message = refused(tmp_path / "far.xlsx")
    assert "Demand!XFD1048576: the cells reach 1,048,576 rows down" in message


@pytest.mark.own_step
def test_a_million_blank_rows(tmp_path, parts):
    blank = b"".join(b'<row r="%d"><c r="A%d" s="0"/></row>' % (row, row) for row in range(20, 1_000_020))
    path = packed(tmp_path / "blank.xlsx", parts | {SHEET: parts[SHEET].replace(END, blank + END)})
    script = (
        "import resource, sys; from beyond_chinchilla.tables.forecasts import read_forecast;"
        "print(len(read_forecast(sys.argv[1]).rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    rows, kilobytes = map(int, done.stdout.split())
    assert rows == 6
    assert kilobytes < 1_000_000


def test_a_stray_cell_in_the_last_row_is_no_table(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Demand"]["A1048576"] = "end"
    book.save(tmp_path / "far.xlsx")
    assert len(read_forecast(tmp_path / "far.xlsx").rows) == 6


def test_texts_that_repeat_to_gigabytes(tmp_path, parts):
    cells = b"".join(b'<row r="%d"><c r="A%d" t="s"><v>0</v></c></row>' % (row, row) for row in range(20, 20_020))
    strings = (
        b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>'
        + b"x" * 30_000
        + b"</t></si></sst>"
    )
    hostile = parts | {SHEET: parts[SHEET].replace(END, cells + END), "xl/sharedStrings.xml": strings}
    assert "repeats its texts to more than 300 MB" in refused(packed(tmp_path / "texts.xlsx", hostile))


@pytest.mark.parametrize(
    "sheet",
    [b"<c " * 2_000_000, b'<c r="A1" t="e">' * 300_000, b"</f>" + b" " * 9_000_000, b"</f></c>" * 1_000_000],
)
def test_sheets_that_are_no_xml_are_scanned_in_bounded_time(sheet):
    started = time.process_time()
    cell_faults.scan_xlsx(sheet)
    assert time.process_time() - started < 5.0


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("=#REF!", "Demand!D8: holds a formula that was never calculated where a number (requests) was expected; open"),
        ("#REF!", "Demand!D8: holds #REF! where a number (requests) was expected; correct its formula"),
        ("#N/A", "Demand!D8: holds #N/A where"),
    ],
)
def test_cells_that_are_errors(tmp_path, cell, message):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Demand"]["D8"] = cell
    if not cell.startswith("="):
        book["Demand"]["D8"].data_type = "e"
    book.save(tmp_path / "book.xlsx")
    assert message in refused(tmp_path / "book.xlsx")


def test_errors_beside_the_table_do_not_matter(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Demand"]["K40"] = "=1/0"
    book.save(tmp_path / "book.xlsx")
    assert len(read_forecast(tmp_path / "book.xlsx").rows) == 6
    (demand, _) = read_grids(tmp_path / "book.xlsx")
    assert demand.rows[-1][10 - demand.left] == Fault(NOT_CALCULATED)
    assert demand.address(len(demand.rows) - 1, 10 - demand.left) == "Demand!K40"


def test_a_text_formula_that_gave_nothing_is_calculated():
    sheet = b'<c r="A1" t="str"><f>""</f><v></v></c><c r="B1"><f>1+1</f><v>2</v></c><c r="C1"><f>A1</f></c>'
    assert cell_faults.scan_xlsx(sheet).faults == {(0, 2): NOT_CALCULATED}


def test_repeated_rows_of_an_ods():
    table = (
        b'<table:table table:name="A"><table:table-row table:number-rows-repeated="1000000"><table:table-cell '
        b'table:number-columns-repeated="1000" office:value-type="float" office:value="1"/></table:table-row>'
        b"</table:table>"
    )
    assert cell_faults.scan_ods(table)["A"].area == 10**9


def record(kind, data=b""):
    head = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    return head + bytes([len(data)]) + data


def test_the_records_of_an_xlsb():
    cells = record(0, struct.pack("<I", 6) + b"\0" * 13)
    cells += record(5, struct.pack("<IId", 3, 0, 2.5)) + record(3, struct.pack("<IIB", 4, 0, 23))
    scan = cell_faults.scan_xlsb(record(129) + record(145) + cells + record(146))
    assert scan.faults == {(6, 4): "#REF!"}
    assert scan.last == (6, 4)


def test_an_xlsb_is_read(tmp_path):
    def text(value):
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    cell = struct.pack("<I", 0)  # style
    rows = [["Month", "Requests"], ["2027-01", 40e6], ["2027-02", 41e6]]
    sheet = record(129) + record(148, struct.pack("<IIII", 0, 2, 0, 1)) + record(145)
    for number, row in enumerate(rows):
        sheet += record(0, struct.pack("<IIHBBBI", number, 0, 300, 0, 0, 0, 0))
        for column, value in enumerate(row):
            head = struct.pack("<I", column) + cell
            sheet += (
                record(6, head + text(value)) if isinstance(value, str) else record(5, head + struct.pack("<d", value))
            )
    sheet += record(146) + record(130)
    book = (
        record(131) + record(143) + record(156, struct.pack("<II", 0, 1) + text("rId1") + text("Demand")) + record(144)
    )
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" '
        f'Type="{relation}/worksheet" Target="worksheets/sheet1.bin"/></Relationships>'
    )
    path = packed(
        tmp_path / "book.xlsb",
        {
            "xl/workbook.bin": book + record(132),
            "xl/_rels/workbook.bin.rels": relations,
            "xl/worksheets/sheet1.bin": sheet,
        },
    )
    assert [row["requests"] for row in read_forecast(path).rows] == [40e6, 41e6]


def test_turning_a_grid_keeps_its_addresses():
    grid = Grid(book="b", sheet="My sheet", rows=[["a", ""], ["b", 1]], numbers=[2, 5], left=1)
    turned = grid.turned()
    assert turned.rows == [["a", "", "", "b"], ["", "", "", 1]]
    assert turned.address(1, 3) == "'My sheet'!C6"
    assert grid.address(1, 1) == "'My sheet'!C6"
    assert [column_letters(column) for column in (0, 25, 26, 16383)] == ["A", "Z", "AA", "XFD"]
