"""Files of every kind to cells, and one clear line for what is no table."""

from __future__ import annotations

import gzip
import io
import json
import zipfile

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.tables import files
from beyond_chinchilla.tables.files import read_frame, read_sheets

NAMES = {"month", "price"}
ROWS = [{"month": "2027-01", "price": "2.5"}, {"month": "2027-02", "price": "3"}]
CSV = "month,price\n2027-01,2.5\n2027-02,3\n"


def score(names):
    return len(NAMES & set(names))


def write(path, content):
    if isinstance(content, str):
        content = content.encode()
    path.write_bytes(content)
    return path


def records(path, **options):
    table = read_frame(path, score, **options)
    return [{name: str(cell) for name, cell in row.items()} for row in table.frame.to_dict("records")], table


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", CSV.replace(",", ";")),
        ("a.csv", CSV.replace("\n", ",\n")),
        ("a.csv", "A list of prices\n\n" + CSV),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.txt", CSV.replace(",", "|")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("a.jsonl.gz", gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
        ("a.json", json.dumps({"date": "2027", "tags": ["x"], "rows": ROWS})),
        ("a.json", json.dumps(ROWS)),
    ],
)
def test_the_same_table_of_every_text(tmp_path, name, content):
    found, table = records(write(tmp_path / name, content))
    assert found == ROWS
    assert table.place == name


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx"])
def test_the_same_table_of_binary_kinds(tmp_path, name):
    frame = pd.DataFrame(ROWS)
    path = tmp_path / name
    frame.to_parquet(path) if name.endswith("parquet") else frame.to_excel(path, index=False)
    found, _ = records(path)
    assert found == ROWS


def test_latin_text_keeps_its_letters(tmp_path):
    found, _ = records(write(tmp_path / "a.csv", "month,price\nFévrier,2\n".encode("latin-1")))
    assert found[0]["month"] == "Février"


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (CSV, [2, 3]),
        ("title\n\n" + CSV, [4, 5]),
        ("month,price\n\n2027-01,2\n\n\n2027-02,3\n", [3, 6]),
        ('month,price\n"two\nlines",2\n2027-02,3', [2, 4]),
    ],
)
def test_lines_are_those_of_an_editor(tmp_path, content, lines):
    assert read_frame(write(tmp_path / "a.csv", content), score).lines.tolist() == lines


def test_rows_of_a_sheet_count_from_its_top(tmp_path):
    path = tmp_path / "a.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame([["Notes"]]).to_excel(book, sheet_name="Notes", index=False, header=False)
        pd.DataFrame(ROWS).to_excel(book, sheet_name="Prices", index=False, startrow=3)
    table = read_frame(path, score)
    assert table.lines.tolist() == [5, 6]
    assert table.place == "a.xlsx, sheet 'Prices'"
    assert [sheet.name for sheet in read_sheets(path)] == ["Notes", "Prices"]
    assert read_sheets(path, "Prices")[0].cells.iloc[3, 0] == "month"
    with pytest.raises(InputError, match=r"a.xlsx: no sheet 'Price' with cells; did you mean 'Prices'\?"):
        read_frame(path, score, "Price")


def test_sheets_hand_over_cells_as_they_stand(tmp_path):
    (sheet,) = read_sheets(write(tmp_path / "a.csv", "Forecast;;\n;month;price\n;2027-01;2\n"))
    assert sheet.cells.to_numpy().tolist() == [["Forecast", "", ""], ["", "month", "price"], ["", "2027-01", "2"]]
    (sheet,) = read_sheets(write(tmp_path / "a.csv", '"a, b",c\n' * 30 + "1,2,3\n"))
    assert sheet.cells.iloc[[0, -1]].to_numpy().tolist() == [["a, b", "c", ""], ["1", "2", "3"]]
    (sheet,) = read_sheets(write(tmp_path / "a.jsonl", json.dumps(ROWS[0])))
    assert sheet.cells.to_numpy().tolist() == [["month", "price"], ["2027-01", "2.5"]]


BAD = {
    "empty.csv": (b"", "the file is empty"),
    "blank.csv": (b"  \n\n", "the file is empty"),
    "empty.csv.gz": (b"", "the file is empty"),
    "zero.xlsx": (b"", "the file is empty"),
    "cut.csv.gz": (gzip.compress(CSV.encode() * 99, mtime=0)[:60], "no gzip file, or a damaged one"),
    "plain.csv.gz": (CSV.encode(), "no gzip file, or a damaged one"),
    "packed.csv": (gzip.compress(CSV.encode(), mtime=0), "binary, not text"),
    "nul.csv": (b"month,price\n\0,1\n", "binary, not text"),
    "elf.csv": (b"\x7fELF\x02\x01\0\0" * 40, "binary, not text"),
    "text.xlsx": (CSV.encode(), "no workbook, or a damaged one"),
    "old.xlsx": (b"\xd0\xcf\x11\xe0" + b"x" * 99, "protected by a password, or an old .xls"),
    "text.parquet": (CSV.encode(), "no Parquet file, or a damaged one"),
    "cut.parquet": (b"PAR1" + b"x" * 50, "no Parquet file, or a damaged one"),
    "wide.csv": (b"month,price\n2027-01,2\n2027-02,3,4\n", "wide.csv:3: more cells than the 2 column names"),
    "wider.csv": (b"month,price\n2027-01,2\n2027-02,3,4,5\n", "row 3 has 4 cells"),
    "twice.csv": (b"month,price,price\n2027-01,2,3\n", "two columns are called 'price'"),
    "quote.csv": (b'month,price\n2027-01,"2\n', "cannot be read as a table"),
    "array.jsonl": (b'{"month": 1}\n[1]\n', "array.jsonl:2: no object"),
    "words.jsonl": (b'{"month": 1}\nand so on\n', "words.jsonl:2: no JSON"),
    "deep.jsonl": (b"[" * 100_000, "no JSON"),
    "none.json": (b"[]", "holds no records"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_said_in_one_line(tmp_path, name):
    content, said = BAD[name]
    for read in (lambda path: read_frame(path, score), read_sheets):
        if read is read_sheets and name in ("wide.csv", "wider.csv", "twice.csv"):
            continue
        with pytest.raises(SpreadsheetError) as caught:
            read(write(tmp_path / name, content))
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_enormous_line_is_no_header(tmp_path):
    with pytest.raises(SpreadsheetError, match="no row of column names in the first 20 rows"):
        read_frame(write(tmp_path / "a.csv", b"x" * 3_000_000), score)


def test_places_that_are_no_file(tmp_path):
    with pytest.raises(InputError, match=r"b\.csv: no such file"):
        read_frame(tmp_path / "b.csv", score)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"folder\.csv: a folder, not a file"):
        read_frame(tmp_path / "folder.csv", score)
    with pytest.raises(InputError, match=r"'\.exe' is no known extension"):
        read_frame(tmp_path / "a.exe", score)
    with pytest.raises(InputError, match="only a workbook has sheets"):
        read_frame(write(tmp_path / "a.csv", CSV), score, "Prices")


def test_sizes_are_bounded_before_memory_is(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 1000)
    for name, content in (("a.csv", CSV * 99), ("a.csv.gz", gzip.compress(CSV.encode() * 99, mtime=0))):
        with pytest.raises(SpreadsheetError, match=rf"{name}: larger than 0.001 MB"):
            read_frame(write(tmp_path / name, content), score)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/sheet.xml", b"0" * 9000)
    with pytest.raises(SpreadsheetError, match="unpacks to more than"):
        read_frame(write(tmp_path / "a.xlsx", bomb.getvalue()), score)
    monkeypatch.setattr(files, "MAX_ROWS", 2)
    with pytest.raises(SpreadsheetError, match="more than 2 rows"):
        read_frame(write(tmp_path / "a.csv", CSV), score)


def test_control_characters_never_reach_a_message(tmp_path):
    with pytest.raises(InputError) as caught:
        read_frame(tmp_path / "\x1b[31mred.csv", score)
    assert "\x1b" not in str(caught.value)
    with pytest.raises(SpreadsheetError) as caught:
        read_frame(write(tmp_path / "a.csv", "month,\x1b[2J,\x1b[2J\n1,2,3\n"), score)
    assert "\x1b" not in str(caught.value)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.csv.gz", "a.parquet", "a.xlsx"]))
def test_any_bytes_are_a_table_or_a_clear_error(tmp_path_factory, content, name):
    path = write(tmp_path_factory.mktemp("any") / name, content)
    said = ""
    try:
        table = read_frame(path, score)
    except InputError as error:
        said = str(error)
    assert said.startswith(name) if said else len(table.frame) == len(table.lines)
    assert said == "" or said.isprintable()
