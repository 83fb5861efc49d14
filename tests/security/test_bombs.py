"""Small files that are large inside, or that take for ever: one line, under 5 s of processor time, under 1 GB.

Bombs in YAML (aliases, merges, depth, tags) are in tests/scenario/test_document.py; zip archives that lie, far cells,
texts that repeat and sheets that are no XML in tests/tables/test_grids.py; rubbish of every kind in tests/fuzz.
"""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from beyond_chinchilla import files
from beyond_chinchilla.cli.main import cli
from beyond_chinchilla.errors import SpreadsheetError

pytestmark = pytest.mark.own_step

SCENARIO = "target: {chinchilla: 13B}\ndemand: {tokens: 2T}\nobjective: flops\n"
SECONDS, BYTES = 5.0, 1_000_000_000
HEADS = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone"
Words = tuple[str, ...]


def law(text: str) -> Words:
    """Write a law's file, and a scenario that names it."""
    Path("law.json").write_text(text, encoding="utf-8")
    Path("plan.yaml").write_text("law: law.json\n" + SCENARIO, encoding="utf-8")
    return ("plan.yaml",)


def scenario(text: str) -> Words:
    Path("plan.yaml").write_text(text, encoding="utf-8")
    return ("plan.yaml",)


def table(command: Words, name: str, data: bytes | str) -> Words:
    Path(name).write_bytes(data.encode() if isinstance(data, str) else data)
    return (*command, name)


def workbook(parts: dict[str, bytes]) -> bytes:
    """Return a workbook of one sheet with parts put in the place of its own."""
    import openpyxl

    plain, made = io.BytesIO(), io.BytesIO()
    openpyxl.Workbook().save(plain)
    with zipfile.ZipFile(plain) as book, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in book.namelist():
            archive.writestr(name, parts.get(name) or book.read(name))
        for name in parts.keys() - set(book.namelist()):
            archive.writestr(name, parts[name])
    return made.getvalue()


def entities(root: bytes) -> bytes:
    """Return XML whose one word stands for a billion."""
    lines = [b'<!ENTITY a0 "lollollol">'] + [
        b'<!ENTITY a%d "%s">' % (level, b"&a%d;" % (level - 1) * 10) for level in range(1, 10)
    ]
    return b'<?xml version="1.0"?><!DOCTYPE x [' + b"".join(lines) + b"]>" + root.replace(b"@", b"&a9;")


def parquet(columns: dict[str, object]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    written = io.BytesIO()
    pq.write_table(pa.table(columns), written, store_schema=False)
    return written.getvalue()


def repeated(text: str, rows: int) -> object:
    """Return a column that says one text in every row, and keeps it once."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text])


def prices(cell: str) -> str:
    quoted = '"' + cell + '"'
    return f"{HEADS}\n{quoted},{quoted},8,208,1800,{quoted},{quoted},,{quoted},{quoted}\n"


def pumped(header: str, row: str) -> Callable[[], Words]:
    return lambda: table(("import",), "book.csv", f"{header}\n{row}\n")


_STRINGS = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><si><t>@</t></si></sst>'
_BOOK = b'<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheets><sheet name="@"/></sheets></workbook>'  # noqa: E501
FIT = ("fit",)
IMPORT = ("import",)
# Each writes its files into the current folder, and returns what to ask.
BOMBS: dict[str, Callable[[], Words]] = {
    # Numbers of scenarios and laws
    "an integer of a million digits in JSON": lambda: law('{"E": ' + "9" * 1_000_000 + "}"),
    "a number of a million digits in YAML": lambda: scenario(f"law: kaplan-2020\nbudget: {'9' * 900_000}\n" + SCENARIO),
    "an exponent of nine digits": lambda: scenario(SCENARIO.replace("2T", "1e999999999") + "law: sardana-2024\n"),
    "an exponent of nine digits in JSON": lambda: law('{"E": 1e999999999, "A": 1, "alpha": 1, "B": 1, "beta": 1}'),
    "JSON that is nested": lambda: law("[" * 1_000_000),
    "JSON that is nested and closed": lambda: law('{"law": ' * 50_000 + "1" + "}" * 50_000),
    "refits without end": lambda: law(json.dumps({"E": 1, "bootstrap": {"parameters": [[1] * 100] * 20_000}})),
    "one scalar as long as a file may be": lambda: scenario("name: " + "a " * 490_000),
    "a key as long as a file may be": lambda: scenario("a" * 990_000 + ": 1"),
    "spaces before a unit": lambda: scenario(SCENARIO.replace("2T", f'"2{" " * 400_000}x"') + "law: sardana-2024\n"),
    # Tables of runs
    "runs packed a thousandfold": lambda: table(FIT, "runs.csv.gz", gzip.compress(b"0," * 10_000_000, mtime=0)),
    "runs in one line": lambda: table(FIT, "runs.csv", "1e9," * 3_000_000),
    "runs in columns without end": lambda: table(FIT, "runs.csv", ",".join(f"c{i}" for i in range(300_000)) + "\n1\n"),
    "runs of one quote": lambda: table(FIT, "runs.csv", 'params,tokens,loss\n"' + "1,\n" * 1_000_000),
    "records that are nested": lambda: table(FIT, "runs.jsonl", '{"loss": ' * 100_000),
    "records of long integers": lambda: table(FIT, "runs.jsonl", '{"loss": ' + "9" * 1_000_000 + "}\n"),
    "texts that Parquet keeps once": lambda: table(FIT, "runs.parquet", parquet(
        {"params": [1e9] * 20_000, "tokens": [1e9] * 20_000, "loss": repeated("x" * 100_000, 20_000)})),
    "a price list of texts that are kept once": lambda: table(("hardware", "--prices"), "list.parquet", parquet(
        {"AcceleratorName": repeated("x" * 100_000, 20_000), "Price": [1.0] * 20_000})),
    "a claim of a billion rows": lambda: table(FIT, "runs.parquet", b"PAR1" + b"\x15\xff" * 1_000 + b"PAR1"),
    # Workbooks
    "entities in a workbook's texts": lambda: table(IMPORT, "book.xlsx", workbook(
        {"xl/sharedStrings.xml": entities(_STRINGS)})),
    "entities in a workbook's list of sheets": lambda: table(IMPORT, "book.xlsx", workbook(
        {"xl/workbook.xml": entities(_BOOK)})),
    "an entity that is a file": lambda: table(IMPORT, "book.xlsx", workbook(
        {"xl/workbook.xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a9 SYSTEM "file:///etc/passwd">]>'
         + _BOOK.replace(b"@", b"&a9;")})),
    "a workbook of 5,001 parts": lambda: table(IMPORT, "book.xlsx", workbook({f"a/{i}": b"a" for i in range(5_001)})),
    "a workbook in a workbook": lambda: table(IMPORT, "book.xlsx", workbook({"xl/embeddings/a.xlsx": workbook({
        "a": b"0" * 20_000_000})})),
    "runs in a workbook that unpacks without end": lambda: table(FIT, "runs.xlsx", workbook(
        {"xl/worksheets/sheet1.xml": b" " * 60_000_000})),
    # Curves
    "a curve of a million and one points": lambda: table(("race",), "a.tsv", "Hours\tLoss\n" + "1\t2\n" * 1_000_001),
    "a curve in one line": lambda: table(("race",), "a.tsv", "Hours\tLoss\n" + "1\t" * 3_000_000),
    # Patterns that go back on themselves
    "brackets without end": pumped("month,requests," + "(" * 60_000, "2027-01,1," + "[" * 60_000),
    "blanks in a name of a column": lambda: table(
        (*FIT, "--thinking"), "runs.csv", f"params,tokens,loss,\"{' ' * 60_000}!\"\n1,2,3,4\n"),
    "commas in a name of a column": lambda: table(FIT, "runs.csv", f"params,tokens,loss,{'a_ ' * 30_000}\n1,2,3,4\n"),
    "machines without end": lambda: table(("hardware", "--prices"), "list.csv", prices("tpu-1" * 12_000)),
    "digits without end": lambda: table(("hardware", "--prices"), "list.csv", prices("1." * 30_000)),
    "units without end": lambda: table(("hardware", "--prices"), "list.csv", prices("1 per " * 10_000)),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_in_time(bomb: Callable[[], Words], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    words = bomb()
    started = time.process_time()
    result = CliRunner().invoke(cli, words)
    assert time.process_time() - started < SECONDS
    # A price list goes on without a row that cannot be used, and says so.
    assert (result.exit_code, type(result.exception)) in ((0, type(None)), (2, SystemExit)), repr(result.exception)
    assert result.exit_code == 2 or "set aside" in result.stdout
    assert 0 < len(result.output) < 3_000
    assert "root:" not in result.output


def test_numbers_that_parquet_keeps_once():
    data = parquet({"loss": [0.0] * 10_000})
    files.check_parquet(data, "runs.parquet", 80_000)
    assert len(data) < 1_000
    with pytest.raises(SpreadsheetError, match=r"runs\.parquet: unpacks to more than 0\.079999 MB"):
        files.check_parquet(data, "runs.parquet", 79_999)


def detonate() -> None:
    """Refuse every bomb in one process, and print the most memory that took [bytes]: for the test below."""
    import resource

    for bomb in BOMBS.values():
        assert CliRunner().invoke(cli, bomb()).exit_code in (0, 2)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")
def test_all_of_them_take_less_than_a_gigabyte(tmp_path: Path):
    here = Path(__file__).parent
    script = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]!r}; import test_bombs; test_bombs.detonate()"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < BYTES
