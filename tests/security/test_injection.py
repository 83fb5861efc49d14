"""Names that are formulas, tags, links, escape codes: each arrives in every output, and stays a name there."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hostile
import pyarrow.parquet as pq
import pytest
import yaml
from command_line import run
from hostile import MARK, MOVING, PLAIN, SHOWN
from rich.console import Console
from trees import COST, changed

import beyond_chinchilla as bc
from beyond_chinchilla.report import document, markdown, rows, tables, text
from beyond_chinchilla.report.blocks import Block
from beyond_chinchilla.report.html import page
from beyond_chinchilla.report.plots import gallery
from beyond_chinchilla.report.plots.figure import save, to_svg
from beyond_chinchilla.report.plots.subject import Subject
from beyond_chinchilla.scenario.load import Scenario
from beyond_chinchilla.sheets.write import workbook

pytestmark = pytest.mark.own_step

each_shown = pytest.mark.parametrize("name", SHOWN.values(), ids=SHOWN)
each_moving = pytest.mark.parametrize("name", MOVING.values(), ids=MOVING)
ALL = {**SHOWN, **{f"moving {key}": name for key, name in MOVING.items()}}
LAW = {"E": 1.69, "A": 406.4, "alpha": 0.336, "B": 410.7, "beta": 0.283}
Tree = dict[str, Any]


def named(name: str) -> Tree:
    """Return a scenario that says a name wherever a scenario takes a text."""
    return changed(
        COST,
        name=name,
        law={**LAW, "name": name, "source": name},
        demand__source=name,
        serving__price_source=name,
        compare=[{"name": name, "params": "8B", "tokens": "15T"}],
        currency={"code": "EUR", "per_usd": 0.9, "date": "2026-11-01", "source": name},
        buy={"name": name, "input": "1 USD per million tokens", "output": "4 USD per million tokens"},
    )


@functools.cache
def subject(name: str) -> Subject:
    """Return a solved scenario that says a name everywhere; solved once, as names move no plan."""
    scenario = Scenario.from_dict(named(name))
    problem = scenario.to_problem()
    if name == PLAIN:
        return Subject(scenario=scenario, problem=problem, plan=bc.solve(scenario))
    plan = replace(subject(PLAIN).plan, name=name, law=problem.law, warnings=(name, *subject(PLAIN).plan.warnings))
    return Subject(scenario=scenario, problem=problem, plan=plan)


def parts(name: str) -> list[Block]:
    return [Block(name, [name, "b"], [[name, "1"], ["x", name]], [name])]


def arrived(printed: str, name: str) -> bool:
    """Say whether a name is in a page, however it was wrapped."""
    folded = "".join(printed.split())
    return "".join(name.split()) in folded


# One name, every renderer


@each_shown
def test_a_page_on_the_terminal(name: str):
    buffer = io.StringIO()
    console = Console(file=buffer, width=120, highlight=False, emoji=False, markup=False, color_system=None)
    text.print_page(console, subject(name).plan, extras=parts(name))
    text.print_comparison(console, [subject(name).plan], parts(name))
    tables.print_table(console, [name, name], [[name, name]], name)
    tables.print_record(console, name, [(name, name)])
    hostile.check_text(buffer.getvalue())
    assert arrived(buffer.getvalue(), name)


@each_shown
def test_markdown_keeps_its_shape(name: str):
    def pages(of: str) -> list[str]:
        plan = replace(subject(of).plan, warnings=(of,))
        return [
            markdown.page(plan, extras=parts(of)),
            markdown.comparison([plan, plan], parts(of)),
            tables.to_markdown([of, "b"], [[of, of]]),
        ]

    for printed, harmless in zip(pages(name), pages(PLAIN), strict=True):
        hostile.check_markdown(printed)
        assert hostile.markdown_shape(printed) == hostile.markdown_shape(harmless)
        assert MARK in printed
    report = document.report_markdown(subject(name), parts(name))
    hostile.check_markdown(report, fences=1)


@each_shown
def test_html_keeps_its_shape(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(page, "images", lambda _: ())

    def pages(of: str) -> str:
        found = subject(of)
        return page.render(replace(found, plan=replace(found.plan, warnings=(of,))), parts(of), lead=True)

    printed = pages(name)
    hostile.check_html(printed)
    assert hostile.html_shape(printed) == hostile.html_shape(pages(PLAIN))
    assert MARK in printed


@each_shown
def test_csv_runs_nothing_and_loses_nothing(name: str):
    printed = tables.to_csv([rows.flat(subject(name).plan), {"scenario": name, name: name, "number": -1.5}])
    hostile.check_csv(printed)
    assert printed.count(MARK) >= 4


@each_shown
def test_json_and_parquet_hold_the_very_name(name: str):
    plan = subject(name).plan
    printed = tables.to_json(plan.to_dict())
    hostile.check_json(printed)
    assert json.loads(printed)["scenario"] == name
    assert json.loads(printed)["law"]["name"] == name
    table = pq.read_table(io.BytesIO(tables.to_parquet([rows.flat(plan)])))
    assert table.column("scenario").to_pylist() == [name]


def test_a_workbook_has_no_formula_of_a_name():
    name = SHOWN["formula"]
    found = subject(name)
    data = workbook([(found.scenario, found.problem, found.plan)])
    hostile.check_workbook(data)
    assert len(hostile.formulas(data)) > 200
    assert name in hostile.texts_of(data)


@pytest.mark.parametrize("key", ["mathtext", "script"])
def test_a_picture_has_no_markup_of_a_name(key: str, tmp_path: Path):
    figure = gallery.draw("terms", subject(SHOWN[key]))
    for alt in ("", SHOWN[key]):
        markup = to_svg(figure, alt)
        hostile.check_xml(markup)
        assert MARK in markup
    save(figure, tmp_path / "a.pdf")
    data = (tmp_path / "a.pdf").read_bytes()
    assert data.startswith(b"%PDF")
    assert not [word for word in (b"/JavaScript", b"/JS", b"/URI", b"/Launch", b"/OpenAction") if word in data]


# Every command that reads a scenario

MONTHS = {
    "table": [{"month": "2027-01", "requests": "1B"}, {"month": "2027-02", "requests": "2B"}],
    "input_tokens": 900,
    "output_tokens": 220,
}
ASKED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "solve": ((), {}),
    "frontier": (("--over", "demand", "--points", "2"), {}),
    "regret": (("--points", "2"), {}),
    "capacity": ((), {"demand": MONTHS}),
}
WORST = [SHOWN["formula"], SHOWN["reference"]]


@pytest.mark.parametrize("format_", hostile.CHECKS)
@pytest.mark.parametrize("command", ASKED)
@pytest.mark.parametrize("name", [pytest.param(WORST[0], id="formula"), pytest.param(WORST[1], id="reference")])
def test_every_command_in_every_format(command: str, format_: str, name: str, tmp_path: Path):
    options, changes = ASKED[command]
    path = tmp_path / "plan.yaml"
    tree = named(name) | changes
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    result = run(command, str(path), *options, "--format", format_)
    hostile.CHECKS[format_](result.stdout)
    hostile.check_text(result.stderr)
    # Lines and maps of many plans are numbers alone.
    assert MARK in result.stdout or (command in ("frontier", "regret") and format_ != "text") or command == "regret"


def test_several_scenarios_with_questions(tmp_path: Path):
    paths = []
    for index, name in enumerate(WORST):
        paths.append(str(tmp_path / f"{index}.yaml"))
        Path(paths[-1]).write_text(yaml.safe_dump(named(name)), encoding="utf-8")
    for format_, check in hostile.CHECKS.items():
        extra = () if format_ == "csv" else ("--break-even",)
        printed = run(*paths, *extra, "--format", format_).stdout
        check(printed)
        assert printed.count(MARK) >= 2


def test_a_sweep_and_its_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(yaml.safe_dump(named(SHOWN["formula"])), encoding="utf-8")
    sources = [SHOWN[key] for key in ("plus", "semicolon", "wide")]
    table = tables.to_json([{"demand.source": name, "demand.requests": f"{n + 1}B"} for n, name in enumerate(sources)])
    import pandas as pd

    pd.DataFrame(json.loads(table)).to_csv("cases.csv", index=False)
    result = run("sweep", "plan.yaml", "--from", "cases.csv", "-o", "sweep.csv", "--quiet")
    hostile.check_text(result.stderr)
    hostile.check_csv(Path("sweep.csv").read_text(encoding="utf-8"))
    for format_, check in hostile.CHECKS.items():
        check(run("sweep", "--summary", "sweep.csv", "--by", "demand.source", "--format", format_).stdout)


# Tables of others

RUNS = [(10.0**a, 10.0**b) for a in (8, 8.5, 9, 9.5, 10) for b in (9.5, 10, 10.5, 11)]


def runs(folder: Path, file: str, head: str, cell: str) -> str:
    """Write a table of training runs with a hostile column and cell; return its path."""
    import csv

    path = folder / file
    with path.open("w", encoding="utf-8", newline="") as written:
        writer = csv.writer(written)
        writer.writerow(["params", "tokens", "loss", "model name", head])
        for N, D in RUNS:
            writer.writerow([N, D, 1.69 + 406.4 * N**-0.336 + 410.7 * D**-0.283, cell, cell])
        writer.writerow([cell, 1e9, 2.0, cell, cell])
    return str(path)


@pytest.mark.parametrize(
    ("format_", "key"),
    [("text", "rich"), ("json", "script"), ("csv", "semicolon"), ("markdown", "fence")],
)
def test_a_fit_of_a_hostile_table(format_: str, key: str, tmp_path: Path):
    file = f"{SHOWN[key].replace('/', '')}.csv"
    path = runs(tmp_path, file, SHOWN[key] + MOVING["escape"], SHOWN[key] + MOVING["c1"])
    result = run("fit", path, "--bootstraps", "0", "--name", SHOWN[key] + MOVING["link"], "--format", format_)
    hostile.CHECKS[format_](result.stdout)
    hostile.check_text(result.stderr)
    assert format_ == "csv" or MARK in result.stdout


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@pytest.mark.parametrize("format_", hostile.CHECKS)
def test_a_hostile_price_list(format_: str, tmp_path: Path):
    path = tmp_path / "list.csv"
    lines = ["InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region"]
    for number, cell in enumerate(map(quoted, ALL.values())):
        lines += [
            f"{cell},H100,8,208,1800,{cell},{16 - number / 10},,{cell}",
            f"{cell},{cell},8,208,1800,,{cell},,{cell}",
            f"{cell},H100,8,208,1800,,{cell},,x",
        ]
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    result = run("hardware", "--prices", str(path), "--format", format_)
    hostile.CHECKS[format_](result.stdout)
    hostile.check_text(result.stderr)
    assert result.stdout.count(MARK) >= (40 if format_ in ("json", "csv") else 2)


@pytest.mark.parametrize("format_", hostile.CHECKS)
def test_hostile_names_of_curves(format_: str, tmp_path: Path):
    words, named = [], []
    for number, name in enumerate(ALL.values()):
        level = 3.0 - number / 50
        path = tmp_path / f"{number}.tsv"
        lines = [f"{hours}\t{level + level / hours}" for hours in (1, 2, 4, 8, 4, 16)]
        path.write_text("Hours\tLoss\n" + "\n".join(lines), encoding="utf-8")
        words.append(str(path))
        # What is shown of two of them is the same: control characters are.
        named += ["--name", f"{name}{number}"]
    result = run("race", *words, *named, "--format", format_)
    hostile.CHECKS[format_](result.stdout)
    hostile.check_text(result.stderr)
    assert result.stdout.count(MARK) >= (1 if format_ == "csv" else len(ALL))


def test_a_book_of_hostile_cells_makes_a_scenario_that_reads_back(tmp_path: Path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Demand"
    heads = ["month", "requests", "input tokens", "output tokens"]
    for row in (heads, ["2027-01", 1e6, 9, 2], ["2027-02", 2e6, 9, 2]):
        book.active.append(row)
    sheet = book.create_sheet("Assumptions")
    sheet.append(["name", "value", "unit"])
    # A workbook is XML, which has no room for most control characters.
    for cell in [name for name in ALL.values() if not set(map(ord, name)) & {*range(32), 127}]:
        sheet.append([cell, 5, "x"])
        sheet.cell(sheet.max_row, 1).data_type = "s"
    sheet.append(["Requests", SHOWN["script"], SHOWN["rich"]])
    path = tmp_path / f"{SHOWN['formula'].replace('/', '')}.xlsx"
    book.save(path)
    template = tmp_path / "template.yaml"
    template.write_text(yaml.safe_dump(changed(COST, name=SHOWN["formula"])), encoding="utf-8")
    result = run("import", str(path), "--template", str(template))
    hostile.check_text(result.stdout)
    hostile.check_text(result.stderr)
    assert result.stderr.count(MARK) >= 20
    (tmp_path / "made.yaml").write_text(result.stdout, encoding="utf-8")
    assert bc.load(tmp_path / "made.yaml").name == SHOWN["formula"]


# What moves a cursor


@each_moving
def test_a_scenario_holds_no_such_text(name: str, tmp_path: Path):
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(named(name), allow_unicode=False), encoding="utf-8")
    # Spaces of all kinds, line ends among them, count as one blank.
    result = run(str(path), code=0 if " ".join(name.split()).isprintable() else 2)
    hostile.check_text(result.stderr + result.stdout)


@pytest.mark.parametrize("key", ["escape", "c1", "line", "right to left"])
def test_names_of_files_are_told_in_one_line(key: str, tmp_path: Path):
    file = MOVING[key].replace("/", "")
    for command in ((), ("fit",), ("race",), ("import",), ("hardware", "--prices"), ("capacity",), ("explore",)):
        result = run(*command, str(tmp_path / file), code=2)
        hostile.check_text(result.stderr)
        assert len(result.stderr.splitlines()) == 1
        assert MARK in result.stderr
    path = tmp_path / f"{file}.yaml"
    path.write_text(yaml.safe_dump(changed(COST, name=None)), encoding="utf-8")
    for format_, check in hostile.CHECKS.items():
        result = run(str(path), "--format", format_)
        check(result.stdout)
        assert MARK in result.stdout
    path.write_text("law: [", encoding="utf-8")
    (line,) = run(str(path), code=2).stderr.splitlines()
    hostile.check_text(line)


WORDS: dict[str, Callable[[str], tuple[str, ...]]] = {
    "option": lambda word: (f"--{word}",),
    "value of an option": lambda word: ("frontier", "plan.yaml", "--over", word),
    "number of an option": lambda word: ("frontier", "plan.yaml", "--over", "demand", "--points", word),
    "one word too many": lambda word: ("capacity", "plan.yaml", word),
    "set": lambda word: ("plan.yaml", "--set", f"law={word}"),
    "set key": lambda word: ("plan.yaml", "--set", f"{word}=1"),
    "set nothing": lambda word: ("plan.yaml", "--set", word),
    "end of a line": lambda word: ("frontier", "plan.yaml", "--over", "demand", "--from", word),
    "times": lambda word: ("regret", "plan.yaml", "--low", word),
    "forecast key": lambda word: ("regret", "plan.yaml", "--over", word),
    "range": lambda word: ("sweep", "plan.yaml", "--vary", f"training.price={word}", "-o", "x.csv"),
    "range key": lambda word: ("sweep", "plan.yaml", "--vary", f"{word}=1,2", "-o", "x.csv"),
    "place": lambda word: ("sweep", "plan.yaml", "--vary", "training.price=1,2", "-o", f"{word}.csv/x"),
    "columns": lambda word: ("sweep", "plan.yaml", "--vary", "training.price=1,2", "--columns", word, "-o", "x.csv"),
    "summary": lambda word: ("sweep", "--summary", word.replace("/", "")),
    "kind of file": lambda word: ("plan.yaml", "-o", f"x.{word}"),
    "plot": lambda word: ("plan.yaml", "--plot", word, "-o", "x.svg"),
    "role": lambda word: ("fit", "runs.csv", "--columns", f"{word}=loss"),
    "column": lambda word: ("fit", "runs.csv", "--columns", f"loss={word}"),
    "held": lambda word: ("fit", "runs.csv", "--irreducible", word),
    "ratios": lambda word: ("fit", "runs.csv", "--by-max-tokens-per-param", word),
    "budget": lambda word: ("fit", "runs.csv", "--suggest", "2", "--budget", word),
    "base law": lambda word: ("fit", "runs.csv", "--thinking", "--base-law", word),
    "sheet": lambda word: ("fit", "runs.csv", "--sheet", word),
    "law": lambda word: ("laws", word),
    "chip": lambda word: ("hardware", word),
    "model": lambda word: ("models", word),
    "price": lambda word: ("race", "a.tsv", "--price", word),
    "month": lambda word: ("import", "runs.csv", "--start", word),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_words_of_the_command_line_are_echoed_as_words(
    words: Callable[[str], tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("plan.yaml").write_text(yaml.safe_dump(named(PLAIN)), encoding="utf-8")
    runs(tmp_path, "runs.csv", "x", "y")
    Path("a.tsv").write_text("Hours\tLoss\n1\t3\n2\t2\n", encoding="utf-8")
    for name in (MOVING["escape"], MOVING["c1"], MOVING["line"], SHOWN["rich"]):
        result = run(*words(name), code=2)
        hostile.check_text(result.stderr)
        assert "all is well" not in [line.rpartition(": ")[2] for line in result.stderr.splitlines()[1:]]


# The checks can fail


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        (hostile.check_text, f"\x1b[31m{MARK}"),
        (hostile.check_text, f"{MARK}\u202e"),
        (hostile.check_json, f'"{MARK}\x9b"'),
        (hostile.check_csv, f"a\n=1+{MARK}\n"),
        (hostile.check_csv, f"a\n{MARK};=1+1\n"),
        (hostile.check_markdown, f"<b>{MARK}</b>"),
        (hostile.check_markdown, f"[{MARK}](http://e.example)"),
        (hostile.check_markdown, f"``` {MARK}\n"),
        (hostile.check_markdown, f"[a]\n\n[a]: http://e.example/{MARK}"),
        (hostile.check_html, f"<p onclick=a>{MARK}</p>"),
        (hostile.check_html, f'<a href="javascript:a">{MARK}</a>'),
        (hostile.check_xml, f"<svg><script>{MARK}</script></svg>"),
    ],
)
def test_each_check_can_fail(check: Callable[[str], None], bad: str):
    with pytest.raises(AssertionError):
        check(bad)
