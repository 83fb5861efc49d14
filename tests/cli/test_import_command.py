"""``bc-opt import``: books in, one scenario out, and every gap and mistake with its cell."""

from __future__ import annotations

import json

import openpyxl
import pytest
import shipped
from awkward_books import LAYOUTS, REQUESTS, convert, make_book
from command_line import refused, run
from shipped import SCENARIOS, each_scenario

import beyond_chinchilla as bc
from beyond_chinchilla.scenario.load import Scenario, load


def imported(book, folder, *options):
    """Import a book, and return the scenario as values."""
    path = folder / "plan.yaml"
    result = run("import", str(book), "-o", str(path), *options)
    assert result.stdout == ""
    return load(path).to_dict(), result.stderr


@pytest.fixture
def reference(tmp_path):
    """Return the scenario that the forecast and the assumptions of the books make."""
    found, _ = imported(make_book(tmp_path / "reference.xlsx"), tmp_path)
    return found


def same(first, second):
    """Whether two scenarios are equal, numbers to their last digits."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == pytest.approx(second, rel=1e-12) if isinstance(first, float) else first == second


def test_the_scenario_is_what_the_book_says(reference):
    assert [row["requests"] for row in reference["demand"]["table"]] == REQUESTS
    assert reference["demand"]["output_tokens"] == 220.0
    assert reference["law"] == "sardana-2024"
    assert reference["target"] == {"chinchilla": 30e9}
    assert reference["discounting"]["rate"] == 0.1
    training, serving = reference["training"], reference["serving"]
    assert (training["hardware"], training["precision"], training["price"], training["mfu"]) == (
        "h100-sxm",
        "bf16",
        2.5,
        0.4,
    )
    assert (serving["hardware"], serving["precision"], serving["price"]) == ("h100-sxm", "fp8", 2.1)
    assert (serving["prefill_mfu"], serving["decode_mfu"]) == (0.5, 0.05)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_imports_to_the_same_scenario(tmp_path, reference, layout):
    found, _ = imported(make_book(tmp_path / "book.xlsx", layout), tmp_path)
    assert same(found, reference)


@pytest.mark.own_step
@pytest.mark.parametrize("kind", ["ods", "xls"])
def test_books_that_libreoffice_wrote_import_to_the_same_scenario(tmp_path, reference, kind):
    found, _ = imported(convert(make_book(tmp_path / "book.xlsx"), kind, tmp_path), tmp_path)
    assert same(found, reference)


def test_what_was_understood_and_what_not_is_on_stderr(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Assumptions"].append(["Fudge factor", 3])
    book.create_sheet("Notes")["B2"] = "Ask Jo"
    book.save(tmp_path / "book.xlsx")
    result = run("import", str(tmp_path / "book.xlsx"))
    lines = [line.split() for line in result.stderr.splitlines()]
    assert ["Demand!D7:D12", "Requests", "requests"] in lines
    assert ["Assumptions!B8", "Price", "training.price:", "2.5", "USD/hour"] in lines
    assert "Assumptions!A16  Fudge factor" in result.stderr
    assert "Notes!B2:B2" in result.stderr
    assert "price: 2.5 USD/hour  # Assumptions!B8" in result.stdout
    assert "- {month: 2027-01, requests: 40M, input_tokens: 900}  # Demand!C7" in result.stdout


def test_the_scenario_solves(tmp_path):
    imported(make_book(tmp_path / "book.xlsx"), tmp_path)
    assert "Train " in run(str(tmp_path / "plan.yaml")).stdout


def test_gaps_are_told_all_at_once_with_the_way_out(tmp_path):
    lines = refused("import", str(make_book(tmp_path / "book.xlsx", assumptions=False)))
    gaps = [line for line in lines if "is not stated" in line]
    assert len(gaps) == 7
    assert gaps[0] == (
        "book.xlsx: law is not stated; add a row 'Law' to a sheet called Assumptions, or give --set law=sardana-2024"
    )


def test_gaps_are_filled_by_set(tmp_path):
    book = make_book(tmp_path / "book.xlsx", assumptions=False)
    options = ["law=sardana-2024", "target.chinchilla=13B", "objective=flops"]
    result = run("import", str(book), *(part for option in options for part in ("--set", option)))
    assert "chinchilla: 13B  # --set" in result.stdout


def test_gaps_are_filled_by_a_template(tmp_path):
    book = make_book(tmp_path / "book.xlsx", assumptions=False)
    template = next(path for path in SCENARIOS if path.name == "1B-requests.yaml")
    found, said = imported(book, tmp_path, "--template", str(template))
    base = load(template).to_dict()
    assert found["training"] == base["training"]
    assert "requests" not in found["demand"]
    assert len(found["demand"]["table"]) == 6
    assert "keys from" in said


def test_a_mistake_names_the_cell_of_the_book(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Assumptions"]["B9"] = "140%"
    book["Assumptions"]["B2"] = "sardana-2042"
    book.save(tmp_path / "book.xlsx")
    lines = refused("import", str(tmp_path / "book.xlsx"), "-o", str(tmp_path / "plan.yaml"))
    assert any(line.startswith("book.xlsx, Assumptions!B9: training.mfu: ") for line in lines)
    assert any(line.startswith("book.xlsx, Assumptions!B2: law: ") and "sardana-2024" in line for line in lines)
    assert not (tmp_path / "plan.yaml").exists()


def test_an_existing_file_stays_where_the_import_fails(tmp_path):
    (tmp_path / "plan.yaml").write_text("mine", encoding="utf-8")
    refused("import", str(make_book(tmp_path / "book.xlsx", assumptions=False)), "-o", str(tmp_path / "plan.yaml"))
    assert (tmp_path / "plan.yaml").read_text(encoding="utf-8") == "mine"


def test_a_percentage_of_a_percentage_is_asked_about(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Assumptions"]["B15"] = 0.05
    book.save(tmp_path / "book.xlsx")
    lines = refused("import", str(tmp_path / "book.xlsx"))
    assert len(lines) == 1
    assert lines[0].startswith(
        "book.xlsx, Assumptions!B15: 0.05 with the unit % may be 5.000% or 0.050%; leave the unit"
    )


def test_months_from_launch_need_a_calendar(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    for month in range(1, 7):
        book["Demand"][f"C{month + 6}"] = month
        book["Demand"][f"C{month + 6}"].number_format = "0"
    book.save(tmp_path / "book.xlsx")
    assert "--start 2027-01" in refused("import", str(tmp_path / "book.xlsx"))[0]
    found, _ = imported(tmp_path / "book.xlsx", tmp_path, "--start", "2027-03")
    assert [row["month"] for row in found["demand"]["table"]][::5] == ["2027-03", "2027-08"]


def test_text_of_the_book_cannot_become_keys(tmp_path):
    book = openpyxl.load_workbook(make_book(tmp_path / "book.xlsx"))
    book["Assumptions"].append(["Plan name", 'x"\nobjective: flops # \x1b[2J'.replace("\x1b", "")])
    book.save(tmp_path / "book.xlsx")
    found, _ = imported(tmp_path / "book.xlsx", tmp_path)
    assert found["name"] == 'x" objective: flops # [2J'
    assert found["objective"] == "cost"


def own_workbook(tmp_path, path):
    from beyond_chinchilla.sheets.write import write_workbook

    scenario, plan = shipped.scenario(path), shipped.plan(path)
    write_workbook(tmp_path / "plan.xlsx", [(scenario, shipped.problem(path), plan)])
    return scenario, plan


@each_scenario
def test_our_own_workbook_gives_back_the_scenario(tmp_path, path):
    scenario, _ = own_workbook(tmp_path, path)
    imported(tmp_path / "plan.xlsx", tmp_path)
    assert same(load(tmp_path / "plan.yaml").to_dict(), scenario.to_dict())


@pytest.mark.parametrize(
    ("name", "says"),
    [("1B-requests", None), ("limited-fleet", "without the limits"), ("batch-by-month", "values alone")],
)
def test_our_own_workbook_without_its_hidden_sheet(tmp_path, name, says):
    """Saved by a program that drops hidden sheets, the book still gives what its inputs say."""
    path = next(path for path in SCENARIOS if path.stem == name)
    _, plan = own_workbook(tmp_path, path)
    book = openpyxl.load_workbook(tmp_path / "plan.xlsx")
    del book["Scenario"]
    book.save(tmp_path / "plan.xlsx")
    if says == "values alone":
        assert says in refused("import", str(tmp_path / "plan.xlsx"))[0]
        return
    _, said = imported(tmp_path / "plan.xlsx", tmp_path)
    again = bc.solve(load(tmp_path / "plan.yaml"))
    if says is None:
        assert again.best.params == pytest.approx(plan.best.params, rel=1e-9)
        assert again.best.total == pytest.approx(plan.best.total, rel=1e-9)
    else:
        assert says in said
        assert again.best.total < plan.best.total


def test_the_whole_scenario_of_our_own_workbook(tmp_path):
    from beyond_chinchilla.sheets.write import write_workbook
    from beyond_chinchilla.tables.grids import Grid, read_grids
    from beyond_chinchilla.tables.own_workbook import read_own

    path = next(path for path in SCENARIOS if path.name == "six-limits.yaml")
    scenario = load(path)
    write_workbook(tmp_path / "plan.xlsx", [(scenario, scenario.to_problem(), bc.solve(scenario))])
    text = json.dumps(scenario.to_dict())
    rows = [[text[:50]], [text[50:]]]
    hidden = Grid(book="plan.xlsx", sheet="Scenario", rows=rows, numbers=[0, 1])
    grids = [grid for grid in read_grids(tmp_path / "plan.xlsx") if grid.sheet != "Scenario"]
    found = read_own(tmp_path / "plan.xlsx", [*grids, hidden])
    assert same(Scenario.from_dict(found.tree).to_dict(), scenario.to_dict())
    price = found.tree["serving"]["price"]
    inputs = next(grid for grid in grids if grid.sheet == "Inputs")
    row = next(row for row in inputs.rows if "serving.price" in row)
    row[row.index(price)] = 2 * price
    changed = read_own(tmp_path / "plan.xlsx", [*grids, hidden])
    assert float(changed.tree["serving"]["price"]) == 2 * price
    assert changed.tree["limits"] == found.tree["limits"]


def test_our_own_workbook_with_a_cell_changed(tmp_path):
    from beyond_chinchilla.sheets.write import write_workbook

    path = next(path for path in SCENARIOS if path.name == "1B-requests.yaml")
    scenario = load(path)
    write_workbook(tmp_path / "plan.xlsx", [(scenario, scenario.to_problem(), bc.solve(scenario))])
    book = openpyxl.load_workbook(tmp_path / "plan.xlsx")
    sheet, cell = book.defined_names["in_serving_price"].attr_text.replace("$", "").split("!")
    book[sheet][cell] = 2.2
    book.save(tmp_path / "changed.xlsx")
    imported(tmp_path / "changed.xlsx", tmp_path)
    changed = bc.solve(load(path, ["serving.price=2.2"]))
    again = bc.solve(load(tmp_path / "plan.yaml"))
    assert again.best.total == pytest.approx(changed.best.total, rel=1e-9)


def test_the_extension_of_the_output(tmp_path):
    lines = refused("import", str(make_book(tmp_path / "book.xlsx")), "-o", str(tmp_path / "plan.json"))
    assert "a scenario is a .yaml file" in lines[0]
