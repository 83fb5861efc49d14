"""Reading a sweep back gives what holding it whole would give."""

from __future__ import annotations

import numpy as np
import pytest
import sweeps
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.analyse.sweep import parts, plan, summary
from beyond_chinchilla.analyse.sweep.kept import open_sweep
from beyond_chinchilla.analyse.sweep.sketch import ERROR, Sketch
from beyond_chinchilla.errors import InputError

VARY = ("demand.requests=1e8:1e11:log:40", "limits.total_cost.max=300k,1M,5M,1B", "law=sardana-2024,besiroglu-2024")


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    place = tmp_path_factory.mktemp("sweep")
    for kind in ("parquet", "csv", "arrow"):
        sweeps.small(place / f"s.{kind}", *VARY).run()
    return place


@pytest.fixture(scope="module")
def frame(swept):
    return sweeps.rows(swept / "s.parquet").to_pandas()


@pytest.mark.parametrize("kind", ["parquet", "csv", "arrow"])
def test_counts_best_worst_and_quantiles(swept, frame, kind):
    found = summary.summarise(open_sweep(str(swept / f"s.{kind}")), by="law", best=2, shares=[0.1, 0.5])
    assert found.counts == frame["status"].value_counts().to_dict()
    assert set(found.counts) == {"optimal", "infeasible"}
    planned = frame[frame["status"] == "optimal"]
    for title, column, order in summary.RANKINGS:
        expected = planned.sort_values([column, "row"], ascending=[order == "ascending", True])["row"][:2].tolist()
        assert [row["row"] for row in found.ranked[title]] == expected
    assert (found.error, found.partial, found.rows) == (0.0, False, 320)
    assert len(found.quantiles) == 2 * 4
    for each in found.quantiles:
        values = planned[planned["law"] == each.value][each.figure]
        assert each.rows == len(values)
        assert each.quantiles == pytest.approx(np.quantile(values, [0.1, 0.5]), rel=1e-12)


def test_by_a_number_comes_in_its_order(swept):
    found = summary.summarise(open_sweep(str(swept / "s.parquet")), by="limits.total_cost.max", best=0)
    assert list(dict.fromkeys(each.value for each in found.quantiles)) == [3e5, 1e6, 5e6, 1e9]
    assert found.ranked == {}


def test_more_than_is_held_is_sketched_within_its_error(swept, frame, monkeypatch):
    exact = summary.summarise(open_sweep(str(swept / "s.parquet")), by="law")
    monkeypatch.setattr(summary, "HELD", 300)
    sketched = summary.summarise(open_sweep(str(swept / "s.parquet")), by="law")
    assert (exact.error, sketched.error) == (0.0, ERROR)
    planned = frame[frame["status"] == "optimal"]
    for each in sketched.quantiles:
        values = planned[planned["law"] == each.value][each.figure]
        nearest = np.quantile(values, sketched.shares, method="lower")
        np.testing.assert_allclose(each.quantiles, nearest, rtol=1.01 * ERROR, atol=1e-11)


@given(
    st.lists(st.floats(-1e24, 1e24).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=1, max_size=60),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_a_sketch_is_off_by_no_more_than_it_says(values, shares):
    sketch = Sketch()
    for part in np.array_split(np.array(values), 3):
        sketch.add(part)
    exact = np.quantile(values, shares, method="lower")
    np.testing.assert_allclose(sketch.quantiles(shares), exact, rtol=1.01 * ERROR, atol=1.01 * ERROR * 1e-9)


def test_a_pivot_is_the_mean_over_the_plans(swept, frame):
    found = summary.pivot(open_sweep(str(swept / "s.parquet")), "limits.total_cost.max", "law", "total")
    planned = frame[frame["status"] == "optimal"]
    expected = planned.pivot_table(
        index="limits.total_cost.max", columns="law", values="total", aggfunc="mean", observed=True
    )
    assert list(found.heads) == list(expected.columns) == ["besiroglu-2024", "sardana-2024"]
    assert [side for side, _ in found.cells] == list(expected.index)
    np.testing.assert_allclose(
        [[np.nan if x is None else x for x in values] for _, values in found.cells], expected.to_numpy(), rtol=1e-12
    )


def test_a_pair_without_a_plan_is_left_blank(tmp_path):
    vary = ("limits.total_cost.max=300k,1B", "target.chinchilla=7B,30B")
    sweeps.small(tmp_path / "s.parquet", *vary).run()
    found = summary.pivot(
        open_sweep(str(tmp_path / "s.parquet")), "limits.total_cost.max", "target.chinchilla", "total"
    )
    assert found.cells[0][1][0] is not None
    assert found.cells[0][1][1] is None
    assert found.to_rows()[0]["30000000000.0"] is None


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_one_that_is_not_complete_is_refused_or_read_in_part(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(plan, "BLOCK", 1 << 13)
    place = tmp_path / f"s.{kind}"
    made = sweeps.small(place)

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.run(engine_name="serial", progress=stop)
    with pytest.raises(InputError, match=r"is not complete \(1 of 13 parts\); finish it .* --resume, or .* --partial"):
        open_sweep(str(place))
    found = summary.summarise(open_sweep(str(place), partial=True))
    assert found.partial
    assert found.rows == made.manifest.rows_per_part


def test_a_part_that_is_gone_or_damaged_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "BLOCK", 1 << 13)
    sweeps.small(tmp_path / "s.parquet").run()
    first, second, *_ = sorted((tmp_path / "s.parquet").glob("part-*"))
    second.write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match=r"part-000001\.parquet: cannot be read"):
        summary.summarise(open_sweep(str(tmp_path / "s.parquet")))
    first.unlink()
    with pytest.raises(InputError, match="is not complete"):
        open_sweep(str(tmp_path / "s.parquet"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"by": "lwa"}, "--by lwa: no such column; did you mean 'law'"),
        ({"best": -1}, "--best -1: give 0 to"),
        ({"shares": [2.0]}, "--quantiles 2.0: give shares from 0 to 1"),
        ({"shares": []}, "give shares from 0 to 1"),
    ],
)
def test_senseless_questions(swept, options, words):
    with pytest.raises(InputError, match=words):
        summary.summarise(open_sweep(str(swept / "s.parquet")), **options)


def test_too_many_groups_and_a_pivot_of_nothing(swept, tmp_path, monkeypatch):
    kept = open_sweep(str(swept / "s.parquet"))
    monkeypatch.setattr(summary, "MOST_GROUPS", 30)
    with pytest.raises(InputError, match="more than 30 values"):
        summary.summarise(kept, by="demand.requests")
    for names, words in (
        (("law", "law", "total"), "three different columns"),
        (("law", "status", "law"), "three different columns"),
        (("law", "row", "status"), "status holds no numbers"),
        (("law", "row", "totl"), "did you mean 'total'"),
    ):
        with pytest.raises(InputError, match=words):
            summary.pivot(kept, *names)
    monkeypatch.setattr(summary, "MOST_CELLS", 10)
    with pytest.raises(InputError, match="more than 10 cells"):
        summary.pivot(kept, "demand.requests", "law", "total")


def test_what_is_no_sweep(tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (tmp_path / "mine.arrow").write_bytes(b"no arrow")
    (tmp_path / "mine.parquet").mkdir()
    (tmp_path / "mine.parquet" / "a.txt").touch()
    for name, words in (
        ("mine.csv", "holds no sweep"),
        ("mine.arrow", "cannot be read"),
        ("mine.parquet", "holds no sweep"),
        ("none.parquet", "no such sweep"),
        ("none.txt", "--summary .*none.txt: no sweep ends in '.txt'"),
    ):
        with pytest.raises(InputError, match=words):
            open_sweep(str(tmp_path / name))


def test_statuses_are_those_of_the_block():
    assert parts.STATUSES == ("optimal", "infeasible", "out of reach", "unbounded", "invalid", "not solved")
