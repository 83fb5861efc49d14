"""Tables of runs from the inside: files, headers, cells, names and faults, each at the edge of what it takes."""

from __future__ import annotations

import gzip
import json
import math
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.fit import run_files
from beyond_chinchilla.fit.cells import has_decimal_comma, read_numbers
from beyond_chinchilla.fit.checks import accuracies, contradicts_6ND, find_faults, units_forgotten
from beyond_chinchilla.fit.columns import Meaning, count_recognised, find_columns, recognise
from beyond_chinchilla.fit.run_files import read_table
from beyond_chinchilla.fit.runs import make_runs, read_runs

TEXT = "N,D,loss\n1e8,2e9,3.4\n1e9,2e10,2.6\n"


def score(names):
    return count_recognised(names, {})


def table(folder, text, name="runs.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, score)


def refused(call, *given, **options):
    with pytest.raises(InputError) as caught:
        call(*given, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Files


@pytest.mark.parametrize("name", ["runs.csv.gz", "runs.v2.csv.gz", "a.json.csv.gz", "v1.0.tsv", "RUNS.CSV", "runs.txt"])
def test_the_kind_is_the_last_extension_before_gz(tmp_path, name):
    text = TEXT.replace(",", "\t") if name.endswith("tsv") else TEXT
    data = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
    found = table(tmp_path, data, name)
    assert found.names == ("N", "D", "loss")
    assert list(found.column(2)) == ["3.4", "2.6"]
    assert found.rows.tolist() == [2, 3]
    assert (found.place, found.may_write_comma) == (name, False)


@pytest.mark.parametrize(("name", "kind"), [("runs.csv.bak", ".bak"), ("csv.gz", ""), ("runs.gz", ""), ("csv", ""),
                                            ("a.xlsx.gz", ".xlsx"), ("a.csv.gz.gz", ".gz")])  # fmt: skip
def test_other_extensions_are_named(tmp_path, name, kind):
    (tmp_path / name).write_text(TEXT)
    assert refused(read_table, tmp_path / name, score) == (
        f"{name}: '{kind}' is no known extension; save it as .csv, .tsv, .txt, .jsonl, .ndjson, .json, .parquet, "
        ".xlsx, .xlsm, .ods (texts also as .gz)"
    )


def test_a_header_may_stand_in_the_twentieth_row_and_not_below(tmp_path):
    titles = "".join(f"title {k}\n" for k in range(19))
    found = table(tmp_path, titles + TEXT)
    assert (found.names, found.rows.tolist()) == (("N", "D", "loss"), [21, 22])
    # One below, the first row speaks.
    assert table(tmp_path, "other\n" + titles + "N\n1\n").names == ("other",)
    frame = pd.DataFrame([["t", "", ""]] * 19 + [["N", "D", "loss"], [1e8, 2e9, 3.4]])
    frame.to_excel(tmp_path / "runs.xlsx", header=False, index=False, engine="openpyxl")
    assert read_table(tmp_path / "runs.xlsx", score).rows.tolist() == [21]
    frame = pd.concat([frame.iloc[:1], frame])
    frame.to_excel(tmp_path / "runs.xlsx", header=False, index=False, engine="openpyxl")
    assert read_table(tmp_path / "runs.xlsx", score).names == ("t", "", "")


@pytest.mark.parametrize("blank", [20, 21])
def test_twenty_blank_rows_hide_a_header(tmp_path, blank):
    assert table(tmp_path, "\n" * 19 + TEXT).rows.tolist() == [21, 22]
    with pytest.raises(SpreadsheetError, match=r"^runs.csv: no row of column names in the first 20 rows$"):
        table(tmp_path, "\n" * blank + TEXT)


def test_the_best_header_is_the_one_of_most_names_then_the_first_then_the_widest(tmp_path):
    # Two known names beat one; a second row that is as good does not.
    assert table(tmp_path, "loss\nN,loss\n1e8,3\nN,loss\n").rows.tolist() == [3, 4]
    assert table(tmp_path, "N,loss\nD,loss\n1,2\n").names == ("N", "loss")
    # Nobody's names: the first row that is not blank, with the delimiter that splits it most.
    assert table(tmp_path, "\np;q;r,s\n1;2;3,4\n").names == ("p", "q", "r,s")
    # With nothing to split, tabs are for .tsv: a delimiter at the end of a row tells them apart.
    assert table(tmp_path, "loss\n3\n2\n", "runs.tsv").column(0) == ["3", "2"]
    wide = ",".join(["x"] * 10_001)
    assert table(tmp_path, f"{wide}\n{TEXT}").names == ("N", "D", "loss")
    assert len(table(tmp_path, ",".join(["x"] * 10_000) + "\n" + ",".join(["1"] * 10_000)).names) == 10_000


def test_a_quoted_header_of_two_lines_and_ragged_rows(tmp_path):
    found = table(tmp_path, 'note\n"N\n(params)",D,loss\n1e8,2e9,3.4\n\n1e9\n')
    assert found.names == ("N\n(params)", "D", "loss")
    assert found.rows.tolist() == [3, 5]
    assert list(found.column(1)) == ["2e9", ""]
    assert table(tmp_path, "N;D;loss\n1;2;3\n").may_write_comma
    for bad, told in (
        ("N,loss\n1,2\n1,2,3,4\n", "row 3 has 4 cells under 2 column names"),
        ("N,loss\n1,2,3\n", "row 2 has 3 cells under 2 column names"),
        ("N,loss\n1,2,3,4\n", "row 2 has 4 cells under 2 column names"),
        ("\nN,loss\n\n1,2\n1,2,3,4\n", "row 5 has 4 cells under 2 column names"),
        ("\nN,loss\n\n1,2\n1,2,3\n", "row 5 has 3 cells under 2 column names"),
        ("\nN,loss\n1,2,3,4\n", "row 3 has 4 cells under 2 column names"),
    ):
        assert refused(table, tmp_path, bad) == f"runs.csv: {told}; quote cells that hold the delimiter"


def test_records_are_numbered_by_line_or_by_place(tmp_path):
    lines = '\n{"N": 1, "loss": 3}\n\n{"loss": 2, "D": 5}\n'
    found = table(tmp_path, lines, "runs.ndjson")
    assert found.names == ("N", "loss", "D")
    assert found.rows.tolist() == [2, 4]
    assert [list(found.column(k)) for k in range(3)] == [[1, None], [3, 2], [None, 5]]
    listed = table(tmp_path, ' [{"N": 1}, {"N": 2}]', "runs.json")
    assert listed.rows.tolist() == [1, 2]
    example = '{"params": 1e9, "tokens": 2e10, "loss": 2.58}'
    for text, told in (
        ('{"N": 1}\n2\n', f"runs.jsonl:2: record 2 is no object; write it like {example}"),
        ('[{"N": 1}, 2]', f"runs.jsonl: record 2 is no object; write it like {example}"),
        ("[1", f"runs.jsonl: no JSON; each line is one object like {example}"),
        ("\n{", f"runs.jsonl:2: no JSON; each line is one object like {example}"),
    ):
        assert refused(table, tmp_path, text, "runs.jsonl") == told


def test_a_parquet_numbers_its_records_from_one_and_tells_of_damage(tmp_path, monkeypatch):
    frame = pd.DataFrame({"N": [1e8, 1e9], "loss": [3.4, 2.6]})
    frame.to_parquet(tmp_path / "runs.parquet")
    found = read_table(tmp_path / "runs.parquet", score)
    assert (found.names, found.rows.tolist(), list(found.column(1))) == (("N", "loss"), [1, 2], [3.4, 2.6])
    import pyarrow.parquet as parquet

    broken = "runs.parquet: no Parquet file, or a damaged one; write it again, or save it as .csv"

    def explode(*_, **__):
        raise OSError("torn")

    monkeypatch.setattr(parquet.ParquetFile, "read", explode)
    assert refused(found.column, 0) == broken
    monkeypatch.setattr(parquet.ParquetFile, "read", lambda *_, **__: pd.DataFrame)
    assert refused(found.column, 0) == broken
    import pyarrow

    # A column that is shorter than its footer says.
    monkeypatch.setattr(parquet.ParquetFile, "read", lambda *_, **__: pyarrow.table({"N": [1.0]}))
    assert refused(found.column, 0) == broken


def test_of_several_sheets_the_one_that_looks_most_like_runs(tmp_path):
    path = tmp_path / "book.xlsx"
    runs = pd.DataFrame([["N", "D", "loss"], [1e8, 2e9, 3.4], [None, None, None], [1e9, 2e10, 2.6]])
    poor = pd.DataFrame([["N", "D"], [1, 2]])

    def write(**sheets):
        with pd.ExcelWriter(path, engine="openpyxl") as book:
            for name, frame in sheets.items():
                frame.to_excel(book, sheet_name=name, header=False, index=False)

    write(poor=poor, runs=runs, empty=pd.DataFrame())
    found = read_table(path, score)
    assert (found.place, found.rows.tolist()) == ("book.xlsx, sheet 'runs'", [2, 4])
    assert read_table(path, score, "poor").names[:2] == ("N", "D")
    assert refused(read_table, path, score, "empty").startswith("book.xlsx: no sheet 'empty' with cells; ")
    # Two of two names each are both poor: the first is taken, to say what it lacks. Two of three are both good.
    write(poor=poor, worse=poor)
    assert read_table(path, score).place == "book.xlsx, sheet 'poor'"
    write(poor=poor, runs=runs, more=runs, third=runs)
    assert refused(read_table, path, score) == (
        "book.xlsx: the sheets 'runs' and 'more' could both hold the runs; say which with --sheet NAME"
    )
    write(runs=runs)
    assert read_table(path, score).place == "book.xlsx"
    write(empty=pd.DataFrame())
    assert refused(read_table, path, score) == (
        "book.xlsx: the workbook is empty; it needs a header and at least 2 runs"
    )
    assert refused(read_table, path, score, "runs") == ("book.xlsx: no sheet 'runs' with cells; the workbook is empty")


def test_bounds_hold_to_the_last_row_and_byte(tmp_path, monkeypatch):
    assert (run_files.MAX_ROWS, run_files.MAX_BYTES) == (5_000_000, 500_000_000)
    frame = pd.DataFrame({"N": [1e8, 1e9], "loss": [3.4, 2.6]})
    frame.to_parquet(tmp_path / "runs.parquet")
    frame.to_excel(tmp_path / "runs.xlsx", index=False, engine="openpyxl")
    (tmp_path / "runs.csv").write_text("title\n" + TEXT)
    (tmp_path / "runs.jsonl").write_text('{"N": 1}\n{"N": 2}')
    (tmp_path / "runs.json").write_text('[{"N": 1},{"N": 2}]')
    for most, fine in ((2, True), (1, False)):
        monkeypatch.setattr(run_files, "MAX_ROWS", most)
        for kind in ("parquet", "xlsx", "csv", "jsonl", "json"):
            if fine:
                assert len(read_table(tmp_path / f"runs.{kind}", score).rows) == 2
            else:
                assert refused(read_table, tmp_path / f"runs.{kind}", score) == (
                    f"runs.{kind}: more than 1 rows; keep the last evaluation of each run"
                )
    monkeypatch.setattr(run_files, "MAX_ROWS", 9)
    size = (tmp_path / "runs.csv").stat().st_size
    monkeypatch.setattr(run_files, "MAX_BYTES", size)
    assert len(read_table(tmp_path / "runs.csv", score).rows) == 2
    monkeypatch.setattr(run_files, "MAX_BYTES", size - 1)
    assert refused(read_table, tmp_path / "runs.csv", score).startswith("runs.csv: larger than 3.9e-05 MB; keep the")


# Cells


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1.2B", 1.2e9), (" 3e9 ", 3e9), (7, 7.0), (2.5, 2.5), (Decimal("0.5"), 0.5), (np.int64(3), 3.0), ("-4", -4.0),
     ("10_000", 1e4), ("2,000,000", 2e6)],
)  # fmt: skip
def test_numbers_of_cells(cell, value):
    found = read_numbers([cell, "x"], 10.0)
    assert found.values[0] == 10.0 * value
    assert math.isnan(found.values[1])
    assert found.faults == {1: ("not a number", "x")}


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        *(
            (blank, ("missing", ""))
            for blank in ("", " ", "NaN", "NA", "n/a", "#N/A", "<NA>", "null", "None", "-", "--")
        ),
        (None, ("missing", "")),
        (math.nan, ("missing", "")),
        ("inf", ("infinite", "inf")),
        (-math.inf, ("infinite", "-inf")),
        (10**400, ("infinite", "1" + "0" * 39)),
        (True, ("not a number", "True")),
        (np.bool_(False), ("not a number", "False")),
        ([1], ("not a number", "[1]")),
        ("3 apples" * 9, ("not a number", ("3 apples" * 9)[:40])),
        ("1,5", ("not a number", "1,5")),
        (Decimal("sNaN"), ("not a number", "sNaN")),
    ],
)
def test_faults_of_cells(cell, fault):
    found = read_numbers([1.0, cell])
    assert found.faults == {1: fault}
    assert math.isnan(found.values[1])


@pytest.mark.parametrize(
    ("cells", "comma"),
    [
        (["3,68", "2"], True),
        (["3,68", "2.5"], False),
        (["3", "2"], False),
        (["3,68", "1.000.000"], True),
        (["3,68", "1.000"], True),
        (["3,68", "1.0000"], False),
        (["3,68", "a.b"], True),
        (["1.000,5 B"], True),
        (["-3,5e-3"], True),
        ([3.5, "3,5"], True),
        (["3,68", ".5"], False),
        (["3,", "x,5"], False),
        (["3,68", "v1.2"], False),
    ],
)
def test_decimal_commas(cells, comma):
    assert has_decimal_comma(cells) is comma


def test_cells_with_a_decimal_comma():
    cells = ["3,68", "1.000.000", "1.000", "2.5", "1.234,5", "1,5B", "0.25"]
    found = read_numbers(cells, decimal_comma=True)
    assert found.values.tolist() == [3.68, 1e6, 1e3, 2.5, 1234.5, 1.5e9, 0.25]


# Names


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("total_params", Meaning("params", 0, "total")),
        ("N", Meaning("params", 1)),
        ("noemb params", Meaning("params", 2, "non-embedding")),
        ("D", Meaning("tokens")),
        ("TPP", Meaning("tokens_per_param")),
        ("D over N", Meaning("tokens_per_param")),
        ("budget", Meaning("flops", 1)),
        ("compute", Meaning("flops")),
        *((f"training {letter}flops", Meaning("flops", scale=10.0**power))
          for letter, power in zip("kmgtpez", range(3, 22, 3), strict=True)),
        *((f"C ({letter}FLOP)", Meaning("flops", scale=10.0**power))
          for letter, power in zip("kmgtpez", range(3, 22, 3), strict=True)),
        ("petaflop days", Meaning("flops", scale=8.64e19)),
        ("smoothed loss", Meaning("loss", 0)),
        ("final val loss", Meaning("loss", 1)),
        ("last loss", Meaning("loss", 2)),
        ("heldout loss", Meaning("loss", 3)),
        ("test loss", Meaning("loss", 4)),
        ("loss", Meaning("loss", 5)),
        ("NLL", Meaning("loss", 5)),
        ("nats per token", Meaning("loss", 5, "nats")),
        ("final train loss", Meaning("loss", 6)),
        ("train loss", Meaning("loss", 7)),
        ("my loss", Meaning("loss", 8)),
        ("my loss in bits", Meaning("loss", 8, "bits")),
        ("name", Meaning("name", 0)),
        ("id", Meaning("name", 7)),
        *((f"Tokens ({unit})", Meaning("tokens", scale=scale))
          for unit, scale in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("B", 1e9), ("T", 1e12), ("thousand", 1e3),
                              ("millions", 1e6), ("bn", 1e9), ("trillion", 1e12), ("1e6", 1e6), ("10^9", 1e9),
                              ("x 1e+9", 1e9), ("B tok", 1e9), ("of tokens", 1.0))),
        ("Params (1e3)", Meaning("params", 1, scale=1e3)),
        ("run/total tokens", Meaning("tokens")),
        ("spike loss", None),
        ("z-loss", None),
        ("val loss per byte bpb", None),
        ("usd/tokens", None),
        ("dn_b", None),
        ("params_b", Meaning("params", 1, scale=1e9)),
        ("tpp_b", None),
        ("name (B)", None),
    ],
)  # fmt: skip
def test_what_names_mean(name, meaning):
    assert recognise(name) == meaning


def test_a_name_of_200_letters_is_read_and_no_longer_one():
    assert recognise("loss".rjust(200)) == Meaning("loss", 5)
    assert recognise("loss".rjust(201)) is None


def test_headers_count_their_roles_and_what_was_stated():
    assert count_recognised(["N", "params", "loss", "x", ""], {}) == 2
    assert count_recognised(["N", "x", "X ", ""], {"loss": "x", "flops": ""}) == 3


def numbers_of(columns):
    return lambda column: read_numbers(columns[column.index], column.meaning.scale)


def test_which_column_is_which():
    names = ["N_no_emb", "N", "total N", "TPP", "D", "C", "train loss", "loss", "run", "model"]
    data = [[1.0, 2.0], [3.0, 4.0], ["", "x"], [1.0, 1.0], [5.0, 6.0], [1.0, 2.0], [9.0, 9.0], [3.0, 2.0], "ab", "cd"]
    chosen, notes = find_columns(names, numbers_of(data), {}, "here")
    assert {role: column.index for role, column in chosen.items()} == {
        "params": 1, "tokens": 4, "flops": 5, "loss": 7, "name": 8,
    }  # fmt: skip
    assert notes == ["params: 'N' is used, 'total N', 'N_no_emb' not", "loss: 'loss' is used, 'train loss' not"]
    stated = {"tokens": "none", "params": "n no emb", "name": "model"}
    chosen, notes = find_columns(names, numbers_of(data), stated, "here")
    assert {role: column.index for role, column in chosen.items()} == {
        "params": 0, "tokens_per_param": 3, "flops": 5, "loss": 7, "name": 9,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "stated", "told"),
    [
        (
            ["x"] * 41,
            {},
            (
                "here: no column for the number of parameters, the loss, the training tokens (or tokens per "
                f"parameter, or training FLOPs) among {', '.join(40 * [repr('x')])} and 1 more; name it: "
                "--columns params=NAME --columns loss=NAME --columns tokens=NAME"
            ),
        ),
        (["", " "], {}, " among none with a name; name it:"),
        (["N", "D"], {}, "here: no column for the loss among 'N', 'D'; name it: --columns loss=NAME"),
        (["N", "C", "y" * 61], {}, f"the loss among 'N', 'C', '{'y' * 60}'; name"),
        (["N", "D", "l"], {"pramas": "N"}, "--columns pramas=N: did you mean 'params'?"),
        (["N", "D", "l"], {"N": "N", "params": "N"}, "--columns names the number of parameters twice; keep one"),
        (["N", "D", "l", "L"], {"loss": "loss"}, "here: --columns loss=loss: no such column; "),
        (["N", "D", "x", "X"], {"loss": " X "}, None),
        (["N", "D", "x", "x"], {"loss": "x"}, "here: --columns loss=x: 2 columns have that name; rename one"),
        (
            ["N", "D", "size"],
            {"params": "size (GB)"},
            "'GB' is no unit of the number of parameters; write it like (B) or",
        ),
        (
            ["N", "D", "bpb"],
            {"loss": "bpb"},
            "--columns loss=bpb: a loss per byte or character, or a perplexity, is no",
        ),
    ],
)
def test_columns_that_are_not_there(names, stated, told):
    data = [[1.0, 2.0]] * len(names)
    if told is None:
        assert find_columns(names, numbers_of(data), stated, "here")[0]["loss"].index == 3
        return
    assert told in refused(find_columns, names, numbers_of(data), stated, "here")


@pytest.mark.parametrize(
    ("name", "stated", "expected"),
    [
        ("size", "size (B)", Meaning("params", scale=1e9)),
        ("size (M)", "size (M)", Meaning("params", scale=1e6)),
        ("size_millions", "size_millions", Meaning("params", scale=1e6)),
        ("size_b", "size_b", Meaning("params")),
        ("size (foo)", "size (foo)", Meaning("params")),
        ("N_no_emb", "N_no_emb", Meaning("params", 2, "non-embedding")),
        ("D", "D", Meaning("params")),
        ("N (B)", "N (B)", Meaning("params", 1, scale=1e9)),
    ],
)
def test_what_a_stated_column_says_of_itself(name, stated, expected):
    chosen, _ = find_columns([name, "tokens", "loss"], numbers_of([[1.0, 2.0]] * 3), {"params": stated}, "here")
    assert chosen["params"].meaning == expected
    kind = "" if expected.scale == 1.0 else f", times {expected.scale:g}"
    assert chosen["params"].describe() == f"column '{name}'{kind}"


def test_a_stated_loss_may_say_its_unit():
    names = ["N", "D", "x"]
    data = numbers_of([[1.0, 2.0]] * 3)
    chosen, _ = find_columns(names, data, {"loss": "x (bits)"}, "here")
    assert chosen["loss"].meaning == Meaning("loss", kind="bits")
    chosen, _ = find_columns(names, data, {"loss_bits": "x"}, "here")
    assert chosen["loss"].meaning.kind == "bits"


# Faults


def test_faults_of_rows():
    values = np.array([1.0, 1e-12, 0.9e-12, 1e40, 1.1e40, 0.0, -2.0, np.inf, -np.inf, np.nan, np.nan])
    found = find_faults(
        [("tokens_per_param", values), ("loss", np.full(11, np.nan))],
        {"tokens_per_param": {10: ("not a number", "x")}},
    )
    assert {row: fault for row, fault in found.items() if "per param" in fault[0]} == {
        2: ("tokens per param out of this world", "9e-13"),
        4: ("tokens per param out of this world", "1.1e+40"),
        5: ("tokens per param not positive", "0"),
        6: ("tokens per param not positive", "-2"),
        7: ("tokens per param infinite", ""),
        8: ("tokens per param not positive", "-inf"),
        9: ("tokens per param missing", ""),
        10: ("tokens per param not a number", "x"),
    }
    assert {row: fault for row, fault in found.items() if "loss" in fault[0]} == dict.fromkeys(
        (0, 1, 3), ("loss missing", "")
    )


def test_units_that_were_forgotten():
    assert units_forgotten(np.array([1e4, 7.0]), np.array([1e5, 70.0])) == ""
    assert units_forgotten(np.array([9999.0]), np.array([1e5])).startswith("the largest model has 9999 parameters; if")
    for ratio, fine in ((1e-3, True), (0.9e-3, False), (1e7, True), (1.1e7, False)):
        told = units_forgotten(np.array([1e9]), np.array([1e9 * ratio]))
        assert told == ("" if fine else told)
        assert bool(told) is not fine
        assert fine or told.startswith(f"the middle run has {ratio:.3g} tokens per parameter; if")


def test_flops_against_6nd():
    N = D = np.ones(11)
    for factor, fine in ((4.0, True), (4.01, False), (0.25, True), (0.249, False)):
        told = contradicts_6ND(6.0 * factor * N, N, D)
        expected = f"is {factor:.3g} times 6ND in the middle ({factor:.3g} to {factor:.3g} for four runs in five)"
        assert told == ("" if fine else expected)
    # One in ten and nine in ten, within a factor of five.
    spread = np.array([0.1, *np.full(9, 1.0), 50.0])
    assert contradicts_6ND(6.0 * spread, N, D) == ""
    spread[1], spread[9] = 0.5, 2.5
    assert contradicts_6ND(6.0 * spread, N, D) == ""
    spread[9] = 2.51
    assert contradicts_6ND(6.0 * spread, N, D) == "is 1 times 6ND in the middle (0.5 to 2.51 for four runs in five)"
    spread[0] = np.nan
    assert contradicts_6ND(np.append(6.0 * spread, np.nan)[:11], N, D).startswith("is 1 times")


def test_accuracies_and_percentages():
    N, D = np.array([1e8, 1e9, 1e9]), np.array([1e9, 1e9, 1e10])
    rising = np.array([0.5, 0.6, 1.0])
    assert accuracies(N, D, rising).startswith("the losses are at most 1 and rise with parameters and tokens, as")
    assert accuracies(N, D, rising * 1.01) == ""
    assert accuracies(N, D, np.array([18.0, 19.0, 20.0])) == ""
    assert accuracies(N, D, np.array([18.0, 19.0, 20.1])).startswith("the losses are as large as 20.1 and rise with")
    # As many pairs rise as fall: only those of which one run has no fewer of both count.
    assert accuracies(np.array([1.0, 2.0]), np.array([2.0, 1.0]), np.array([0.1, 0.9])) == ""
    assert accuracies(np.array([1.0, 2.0, 3.0]), np.ones(3), np.array([0.5, 0.6, 0.5])) == ""
    # 500 runs of many are compared.
    many = np.arange(1.0, 4001.0)
    assert accuracies(many, many, many / 1e4) != ""


def test_runs_say_all_they_know():
    runs = make_runs(
        [1e8, 1e9, 1e9, -1.0], [2e9, 2e10, 2e10, 1.0], [3.4, 2.6, 2.6, 2.0], flops=[2e18, np.nan, 1e20, 1e18],
        names=["a", "b", "c", "d"], counts="total",
    )  # fmt: skip
    assert json.loads(json.dumps(runs.to_dict(), allow_nan=False)) == {
        "source": "arrays",
        "runs": 2,
        "set_aside": [
            {"reason": "duplicate", "count": 1, "rows": [3]},
            {"reason": "params not positive", "count": 1, "rows": [4]},
        ],
        "conventions": {
            "params": "given", "tokens": "given", "flops": "given", "loss": "given", "counts": "total",
            "loss_unit": "nats",
        },
        "notes": [],
        "range": {
            "params": [1e8, 1e9], "tokens": [2e9, 2e10], "tokens_per_param": [20.0, 20.0], "flops": [2e18, 1.2e20],
        },
        "fingerprint": runs.fingerprint,
    }  # fmt: skip
    taken = runs.take([False, True], "a test")
    assert (taken.rows.tolist(), taken.names.tolist(), taken.compute.tolist()) == ([2], ["b"], [1.2e20])
    assert [(each.row, each.reason) for each in taken.set_aside] == [
        (1, "a test"), (3, "duplicate"), (4, "params not positive"),
    ]  # fmt: skip
    assert taken.take([False], "none").fitted.to_dict() == dict.fromkeys(
        ("params", "tokens", "tokens_per_param", "flops")
    )


def test_too_few_runs_list_five_reasons_with_their_first_rows():
    with pytest.raises(InputError) as caught:
        make_runs([np.nan, -1, np.inf, 1, 1, 1, 1, 1e41], [1, 1, 1, np.nan, -1, np.inf, 1, 1], [1, 1, 1, 1, 1, 1, 2, 1])
    assert str(caught.value) == (
        "arrays: 1 usable of 8 runs, at least 2 are needed: params missing (1, first in row 1); "
        "params not positive (1, first in row 2: '-1'); params infinite (1, first in row 3); "
        "tokens missing (1, first in row 4); tokens not positive (1, first in row 5: '-1')"
    )
    with pytest.raises(InputError, match="unequal length: params 2, tokens 2, loss 2, names 1"):
        make_runs([1, 2], [1, 2], [3, 2], names=["a"])


def test_labels_are_cut_at_200_letters_and_bits_are_nats_times_ln_2(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(f"run,N,TPP,bits per token\n{'a' * 201},1e8,20,5\nb,1e9,20,4\n")
    runs = read_runs(path)
    assert [len(name) for name in runs.names] == [200, 1]
    assert runs.tokens.tolist() == [2e9, 2e10]
    assert runs.loss == pytest.approx([5 * math.log(2), 4 * math.log(2)], rel=1e-15)
    assert runs.conventions["tokens"] == "N times column 'TPP'"
    assert re.fullmatch("[0-9a-f]{64}", runs.fingerprint)
