"""``bc-opt sweep``: a sweep made, read back, and refused in one line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import command_line
import pytest
import sweeps

from beyond_chinchilla.analyse.sweep import job, parts, plan

SCENARIO = str(Path(__file__).parents[2] / "scenarios" / "1B-requests.yaml")
VARY = ("--vary", "demand.requests=1M:100B:log:6", "--vary", "law=sardana-2024,besiroglu-2024")


def run(*arguments, code=0):
    return command_line.run("sweep", *arguments, code=code)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("made") / "s.parquet"
    result = run(SCENARIO, *VARY, "-o", str(place))
    assert result.stdout == ""
    assert f"wrote {place}: 12 rows, 12 optimal" in result.stderr
    return str(place)


def test_set_moves_the_scenario_that_varies(made, tmp_path):
    run(SCENARIO, *VARY, "--set", "training.price=3", "-o", str(tmp_path / "t.parquet"))
    plain, dearer = sweeps.rows(made)["total"].to_pylist(), sweeps.rows(tmp_path / "t.parquet")["total"].to_pylist()
    assert all(more > less for less, more in zip(plain, dearer, strict=True))


def test_quiet_says_nothing(tmp_path):
    result = run(SCENARIO, *VARY, "-o", str(tmp_path / "s.csv"), "--quiet", "--columns", "params, total")
    assert (result.stdout, result.stderr) == ("", "")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text(encoding="utf-8"))))
    assert list(rows[0]) == ["row", "demand.requests", "law", "status", "params", "total"]
    assert len(rows) == 12


def test_summary_in_every_format(made, tmp_path):
    text = run("--summary", made, "--best", "1", "--by", "law").stdout
    assert text.splitlines()[0] == f"{made}: 12 rows"
    for title in ("Cheapest", "Dearest", "Saves most", "Saves least", "Quantiles"):
        assert title in text
    record = json.loads(run("--summary", made, "--best", "1", "--by", "law", "--format", "json").stdout)
    assert record["status"] == {"optimal": 12}
    assert record["ranked"]["cheapest"][0]["demand.requests"] == 1e6
    rows = list(csv.DictReader(io.StringIO(run("--summary", made, "--quantiles", "50%", "--format", "csv").stdout)))
    assert list(rows[0]) == ["group", "figure", "rows", "q50"]
    run("--summary", made, "-o", str(tmp_path / "page.md"))
    assert "## Cheapest" in (tmp_path / "page.md").read_text(encoding="utf-8")


def test_pivot_in_every_format(made):
    record = run("--summary", made, "--pivot", "demand.requests,law,total", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(record)))
    table = sweeps.rows(made).to_pylist()
    assert list(rows[0]) == ["demand.requests", "besiroglu-2024", "sardana-2024"]
    assert len(rows) == 6
    for row in table:
        (cell,) = (r[row["law"]] for r in rows if float(r["demand.requests"]) == row["demand.requests"])
        assert float(cell) == row["total"]
    text = run("--summary", made, "--pivot", "demand.requests,law,total").stdout
    assert text.splitlines()[0].split() == ["demand.requests", "besiroglu-2024", "sardana-2024"]
    marked = run("--summary", made, "--pivot", "demand.requests,law,total", "--format", "markdown").stdout
    assert marked.startswith("| demand.requests |")


def test_rows_one_by_one_are_announced(tmp_path):
    arguments = ("--set", "demand.months=6", "--vary", "training.price=1,2", "--engine", "serial")
    result = run(SCENARIO, *arguments, "-o", str(tmp_path / "s.parquet"))
    first = result.stderr.splitlines()[0]
    assert first.startswith("2 rows are solved one by one (demand by month): ")
    assert "a row, about" in first


def test_an_interrupt_ends_with_130_and_says_how_to_go_on(tmp_path, monkeypatch):
    real = job.solve_rows
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(job, "solve_rows", interrupted)
    monkeypatch.setattr(plan, "BLOCK", 2)
    place = str(tmp_path / "s.parquet")
    result = run(SCENARIO, *VARY, "-o", place, "--engine", "serial", code=130)
    assert result.stderr == "interrupted at 2 of 12 rows; --resume goes on from there\n"
    monkeypatch.setattr(job, "solve_rows", real)
    assert "1 of 6 parts" in command_line.refused("sweep", "--summary", place)[0]
    assert "(2 rows were there before)" in run(SCENARIO, *VARY, "-o", place, "--resume").stderr


def test_a_full_disk_says_what_is_safe(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts.Writer, "write", full)
    lines = command_line.refused("sweep", SCENARIO, *VARY, "-o", str(tmp_path / "s.parquet"))
    assert len(lines) == 1
    assert lines[0].endswith("No space left on device; 0 of 12 rows are safe: make room, and go on with --resume")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((SCENARIO,), "a sweep needs --output"),
        ((), "which scenario?"),
        ((SCENARIO, "-o", "s.json", *VARY), "no sweep ends in '.json'"),
        ((SCENARIO, "-o", "s.parquet"), "nothing varies; give --vary or --from"),
        ((SCENARIO, "-o", "s.parquet", "--vary", "demand.requets=1,2"), "did you mean 'demand.requests'"),
        ((SCENARIO, "-o", "s.parquet", "--vary", "name=a,b"), "moves no plan"),
        ((SCENARIO, "-o", "s.parquet", *VARY, "--columns", "totl"), "did you mean 'total'"),
        ((SCENARIO, "-o", "s.parquet", *VARY, "--columns", "total,total"), "stands twice"),
        ((SCENARIO, "-o", "s.parquet", *VARY, "--by", "law"), "--by goes with --summary"),
        ((SCENARIO, "-o", "s.parquet", *VARY, "--engine", "serial", "--scheduler", "x:1"), "goes with engine dask"),
        (("--summary", "s.parquet", "--vary", "law=a"), "--vary makes a sweep"),
        (("--summary", "none.parquet"), "none.parquet: no such sweep"),
        ((SCENARIO, "-o", "s.parquet", "--from", "none.csv"), "--from none.csv: no such file"),
        ((SCENARIO, "-o", "s3:/x", *VARY), "no sweep ends in ''"),
        ((SCENARIO, "-o", "gopher://x/s.parquet", *VARY), "Protocol not known"),
        ((SCENARIO, "-o", "memory://s.csv", *VARY), "only parquet goes to a URL"),
        ((SCENARIO, "-o", "s.parquet", "--vary", "demand.requests=1:2:lin:1e9", "--vary", "training.price=1:2:lin:1e6"),
         "1,000,000,000,000,000 rows, about 50 PB"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_in_one_line(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    lines = command_line.refused("sweep", *arguments)
    assert len(lines) == 1
    assert words in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_there_is_left_alone(made):
    before = sweeps.contents(made)
    assert "is there already; take another name" in command_line.refused("sweep", SCENARIO, *VARY, "-o", made)[0]
    other = command_line.refused("sweep", SCENARIO, "--vary", "demand.requests=1,2", "-o", made, "--resume")
    assert "holds another sweep (another grid)" in other[0]
    assert sweeps.contents(made) == before


def test_summary_refuses_what_does_not_go_together(made):
    for arguments, words in (
        (("--pivot", "law,total"), "write it like --pivot"),
        (("--pivot", "law,demand.requests,total", "--by", "law"), "--by goes with the page"),
        (("--quantiles", "half"), "--quantiles: 'half' is not a number"),
        (("--by", "lawn"), "did you mean 'law'"),
        (("-o", "x.xlsx"), "cannot write '.xlsx'"),
    ):
        (line,) = command_line.refused("sweep", "--summary", made, *arguments)
        assert words in line
