"""One scenario a row: numbers as people write them, words, and whatever is wrong with its row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sweeps

from beyond_chinchilla.analyse.sweep import plan, table
from beyond_chinchilla.errors import InputError


def swept(tmp_path, path, **options):
    output = tmp_path / "s.parquet"
    made = plan.plan_sweep(sweeps.scenario(), table_path=path, output=str(output), **options)
    outcome = made.run()
    return outcome, sweeps.rows(output)


def written(tmp_path, text, name="cases.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_numbers_are_read_as_the_scenario_reads_them(tmp_path):
    path = written(
        tmp_path,
        "demand.requests,training.price,serving.decode_mfu,law\n"
        "1B,1.50 USD/hour,5%,sardana-2024\n"
        "2e9,2,0.01,besiroglu-2024\n"
        "300M,$3/hour,1%,sardana-2024\n",
    )
    _, rows = swept(tmp_path, path)
    assert rows["demand.requests"].to_pylist() == [1e9, 2e9, 3e8]
    assert rows["training.price"].to_pylist() == [1.5, 2.0, 3.0]
    assert rows["serving.decode_mfu"].to_pylist() == [0.05, 0.01, 0.01]
    assert rows["law"].to_pylist() == ["sardana-2024", "besiroglu-2024", "sardana-2024"]


def test_a_table_gives_what_the_same_grid_gives(tmp_path):
    vary = ("law=sardana-2024,besiroglu-2024", "demand.requests=1e6:1e12:log:60", "training.price=1:4:lin:10")
    sweeps.small(tmp_path / "grid.parquet", *vary).run()
    grid = sweeps.rows(tmp_path / "grid.parquet")
    cases = grid.select(["demand.requests", "law", "training.price"]).take(
        pa.array(np.random.default_rng(3).permutation(grid.num_rows))
    )
    for name in ("cases.parquet", "cases.csv"):
        if name.endswith("csv"):
            cases.to_pandas().to_csv(tmp_path / name, index=False)
        else:
            pq.write_table(cases, tmp_path / name, row_group_size=77)
        output = tmp_path / f"from-{name}.parquet"
        plan.plan_sweep(sweeps.scenario(), table_path=tmp_path / name, output=str(output)).run()
        found = sweeps.rows(output).drop(["row"]).to_pandas().sort_values(["law", "demand.requests", "training.price"])
        expected = grid.drop(["row"]).to_pandas().sort_values(["law", "demand.requests", "training.price"])
        for figure in ("params", "tokens", "total", "savings_fraction"):
            np.testing.assert_allclose(found[figure], expected[figure], rtol=1e-12)


def test_a_workbook_does_as_well(tmp_path):
    xlsxwriter = pytest.importorskip("xlsxwriter")
    with xlsxwriter.Workbook(tmp_path / "cases.xlsx") as book:
        sheet = book.add_worksheet()
        for place, row in enumerate([["demand.requests", "law"], [1e9, "sardana-2024"], ["2B", "besiroglu-2024"]]):
            sheet.write_row(place, 0, row)
    _, rows = swept(tmp_path, tmp_path / "cases.xlsx")
    assert rows["demand.requests"].to_pylist() == [1e9, 2e9]


def test_a_table_longer_than_a_part_is_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "BLOCK", 8)
    monkeypatch.setattr(table, "_BUFFER", 256)
    numbers = 1e6 * np.arange(1, 401)
    path = written(tmp_path, "demand.requests\n" + "\n".join(f"{number:.0f}" for number in numbers))
    outcome, rows = swept(tmp_path, path)
    assert outcome.rows == 400
    assert rows["row"].to_pylist() == list(range(400))
    np.testing.assert_array_equal(rows["demand.requests"].to_numpy(), numbers)
    assert len(list((tmp_path / "s.parquet").glob("part-*"))) > 3
    assert np.all(np.diff(rows["total"].to_numpy()) > 0)


def test_a_changed_table_is_another_sweep(tmp_path):
    path = written(tmp_path, "demand.requests\n1B\n")
    swept(tmp_path, path)
    path.write_text("demand.requests\n2B\n", encoding="utf-8")
    made = plan.plan_sweep(sweeps.scenario(), table_path=path, output=str(tmp_path / "s.parquet"))
    with pytest.raises(InputError, match="another sha256"):
        made.run(resume=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("demand.requets\n1\n", "column demand.requets: no such key in a scenario; did you mean 'demand.requests'?"),
        ("demand.requests,demand.requests\n1,2\n", "column demand.requests stands twice"),
        ("demand.requests\n1B\nmany\n", "cases.csv row 1: demand.requests: 'many' is not a number"),
        ("demand.requests,law\n1B,sardana-2024\n2B,\n", "row 1: law is empty"),
        ("demand.requests,training.price\n1B,1\n,2\n", "row 1: demand.requests is empty"),
        ("demand.requests\n-5\n", "row 0: demand.requests: -5 must be above zero"),
        ("training.mfu\n0.5\n1.5\n", "row 1: training.mfu: 1.5 must be above 0"),
        ("law\nsardana\n", "no law named 'sardana'"),
        ("demand.requests\n", "has no rows"),
        ("", "has no rows"),
        ("demand.requests,law\n1B\n", "cannot be read"),
        ("demand.requests\nnan\n", "row 0: demand.requests"),
    ],
)
def test_a_mistake_is_told_with_its_row(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as told:
        swept(tmp_path, path)
    assert words in str(told.value)
    assert len(str(told.value).splitlines()) == 1
    assert [each.name for each in tmp_path.iterdir()] == ["cases.csv"]


def test_no_file_a_folder_and_another_kind(tmp_path):
    for name, words in (("no.csv", "no such file"), ("no.txt", "cannot read '.txt' tables")):
        with pytest.raises(InputError, match=words):
            swept(tmp_path, tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=r"a folder|cannot be read"):
        swept(tmp_path, tmp_path / "folder.csv")


def test_both_ways_at_once_and_neither(tmp_path):
    path = written(tmp_path, "demand.requests\n1B\n")
    with pytest.raises(InputError, match="both --vary and --from"):
        swept(tmp_path, path, vary=["demand.requests=1,2"])
    with pytest.raises(InputError, match="--zip goes with --vary"):
        swept(tmp_path, path, beside=True)
