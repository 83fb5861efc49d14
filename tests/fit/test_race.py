"""Curves against GPU-hours: who is ahead, who passes whom, what a loss costs, and the tails."""

from __future__ import annotations

import json

import numpy as np
import pytest

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.fit.curves import Curve, fit_tail, read_curve
from beyond_chinchilla.fit.race import race

HOURS = np.geomspace(1, 1000, 400)


def small(hours=HOURS, **changes):
    return Curve("small", hours, 2.2 + 1.0 / hours, **changes)


def large(hours=HOURS):
    return Curve("large", hours, 2.0 + 3.0 / hours)


# Curves


def test_points_are_sorted_and_merged_and_counted():
    curve = Curve("a", [3.0, 1.0, 2.0, 2.0, 1.0], [5.0, 9.0, 7.0, 6.0, 8.0])
    assert curve.hours.tolist() == [1.0, 2.0, 3.0]
    assert curve.loss.tolist() == [8.5, 6.5, 5.0]
    assert (curve.rows, curve.falls, curve.merged) == (5, 2, 2)
    assert (curve.final_hours, curve.final_loss) == (3.0, 5.0)


def test_a_name_cannot_move_the_cursor():
    assert Curve("a\x1b[2J\n", HOURS, 1 / HOURS).name == "a?[2J?"


def test_the_order_of_the_points_does_not_matter():
    order = np.random.default_rng(0).permutation(HOURS.size)
    shuffled = Curve("small", HOURS[order], (2.2 + 1.0 / HOURS)[order])
    assert shuffled.falls > 100
    first, second = race([small(), large()]), race([shuffled, large()])
    assert first.leads == second.leads
    assert first.crossings == second.crossings


@pytest.mark.parametrize("split", ["\t", ",", ";"])
def test_files_are_read_by_their_header(tmp_path, split):
    path = tmp_path / "a-7B.tsv"
    path.write_text(
        f"\ufeffLoss{split}Step{split} Hours \n2.5{split}1{split}10\n\n2.25{split}2{split}1e1\n2{split}3{split}20\n"
    )
    curve = read_curve(path)
    assert curve.name == "a-7B"
    assert curve.hours.tolist() == [10.0, 20.0]
    assert curve.loss.tolist() == [2.375, 2.0]
    assert read_curve(path, name="other", params=7e9).params == 7e9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no column 'Hours'"),
        ("Hours\tLose\n1\t2\n", "no column 'Loss'"),
        ("Hours\tLoss\n1\t2\n2\ttwo\n", ":3: 'two' is not a number"),
        ("Hours\tLoss\n1\t2\n2\n", ":3: '' is not a number"),
        ("Hours\tLoss\n1\t2\n-2\t2\n", ":3: '-2' is not a positive number"),
        ("Hours\tLoss\n1\t2\n2\tnan\n", ":3: 'nan' is not a positive number"),
    ],
)
def test_files_that_cannot_be_read_are_refused_with_their_line(tmp_path, text, said):
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    with pytest.raises(SpreadsheetError) as caught:
        read_curve(path)
    assert said in str(caught.value)
    assert "bad.tsv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(SpreadsheetError, match="cannot be read"):
        read_curve(tmp_path / "none.tsv")
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(SpreadsheetError, match="UTF-8"):
        read_curve(tmp_path / "binary.tsv")
    (tmp_path / "one.tsv").write_text("Hours,Loss\n5,2\n5,3\n")
    with pytest.raises(InputError, match="one: a curve needs two points"):
        read_curve(tmp_path / "one.tsv")


# The race


def test_a_crossing_is_where_the_losses_are_equal():
    # 2.2 + 1/h = 2 + 3/h at h = 10.
    found = race([small(), large()], window=0, margin=0)
    (crossing,) = found.crossings
    assert crossing.hours == pytest.approx(10, rel=1e-3)
    assert crossing.first_hours == crossing.hours
    assert crossing.loss == pytest.approx(2.3, rel=1e-4)
    assert (crossing.overtaker, crossing.overtaken) == ("large", "small")
    assert not crossing.again
    assert not crossing.finished
    assert [(lead.name, lead.start, lead.end) for lead in found.leads] == [
        ("small", 1.0, crossing.hours),
        ("large", crossing.hours, pytest.approx(1000)),
    ]
    # Smoothing moves it little.
    assert race([small(), large()]).crossings[0].hours == pytest.approx(10, rel=0.01)


def test_who_comes_first_on_the_line_does_not_matter():
    one, other = race([small(), large()]), race([large(), small()])
    assert one.crossings == other.crossings
    assert one.leads == other.leads


def test_a_second_crossing_is_again():
    # The difference is sin(ln h): zero at e^pi and e^(2 pi).
    wave = Curve("wave", HOURS, 3.0 - 0.1 * np.sin(np.log(HOURS) + 1e-9))
    flat = Curve("flat", HOURS, np.full(HOURS.size, 3.0))
    found = race([wave, flat], window=0)
    assert [(each.overtaker, each.again) for each in found.crossings] == [("flat", False), ("wave", True)]
    assert [each.hours for each in found.crossings] == pytest.approx([np.exp(np.pi), np.exp(2 * np.pi)], rel=1e-3)
    assert [lead.name for lead in found.leads] == ["wave", "flat", "wave"]
    assert found.crossings[0].loss == pytest.approx(3.0)


def test_noise_below_the_margin_makes_no_crossing():
    rng = np.random.default_rng(1)
    noisy = [Curve(name, HOURS, 2 + 1 / HOURS + rng.normal(0, 0.003, HOURS.size)) for name in "ab"]
    assert race(noisy, window=0, margin=0.05).crossings == ()
    assert len(race(noisy, window=0, margin=0.05).leads) == 1
    assert len(race(noisy, window=0, margin=0).crossings) > 50
    # Side by side for a while, then apart: one crossing, with the time when they first drew level.
    beside = 0.001 * np.cos(4 * np.log(HOURS))
    drift = Curve("drift", HOURS, 2.0 + np.select([HOURS < 10, HOURS < 100], [0.02, beside], -0.02))
    flat = Curve("flat", HOURS, np.full(HOURS.size, 2.0))
    (crossing,) = race([drift, flat], window=0, margin=0.005).crossings
    assert crossing.first_hours == pytest.approx(10, rel=0.03)
    assert crossing.hours == pytest.approx(100, rel=0.03)
    assert crossing.overtaker == "drift"


def test_a_finished_run_keeps_its_loss_and_can_be_passed():
    short = small(HOURS[HOURS < 5])
    found = race([short, large()], window=0, margin=0)
    (crossing,) = found.crossings
    assert crossing.finished
    assert crossing.hours == pytest.approx(3.0 / (short.final_loss - 2.0), rel=1e-3)
    assert found.loss_at([100.0])[0, 0] == pytest.approx(short.final_loss)
    assert found.spending(100.0)[-1] == {"name": "small", "loss": pytest.approx(short.final_loss), "finished": True}


def test_a_curve_is_not_in_the_race_before_it_begins():
    late = large(HOURS[HOURS > 50])
    found = race([small(), late], window=0)
    assert np.isnan(found.loss_at([20.0])[1, 0])
    assert [lead.name for lead in found.leads] == ["small", "large"]
    assert found.leads[0].end == pytest.approx(late.hours[0])
    # It was ahead from its first point on: it passed nobody.
    assert found.crossings == ()
    assert found.spending(20.0)[-1] == {"name": "large", "loss": None, "finished": False}
    # Nobody has begun before the first hour.
    least, leaders = found.frontier([0.5, 1.0])
    assert np.isnan(least[0])
    assert leaders == [None, "small"]


def test_two_curves_that_never_meet_in_time():
    early, late = small(HOURS[HOURS < 5]), large(HOURS[HOURS > 50])
    found = race([early, late], window=0)
    assert [lead.name for lead in found.leads] == ["small", "large"]
    assert found.leads[0].end == pytest.approx(late.hours[0])


def test_the_frontier_is_never_above_a_curve():
    rng = np.random.default_rng(2)
    curves = [
        Curve(f"m{k}", HOURS * (1 + k), 2.2 - 0.05 * k + (1 + k) / HOURS**0.5 + rng.normal(0, 0.01, HOURS.size))
        for k in range(4)
    ]
    found = race(curves)
    hours = np.geomspace(*found.span, 500)
    least, leaders = found.frontier(hours)
    losses = found.loss_at(hours)
    assert (least <= np.nan_to_num(losses, nan=np.inf)).all()
    assert [losses[found.names.index(name), k] for k, name in enumerate(leaders)] == pytest.approx(least)
    for lead in found.leads:
        # Within the margin of the frontier throughout its lead.
        inside = (hours >= lead.start) & (hours <= lead.end)
        gap = losses[found.names.index(lead.name), inside] - least[inside]
        assert (gap <= found.margin + 1e-12).all()
    assert found.leads[0].start == found.span[0]
    assert found.leads[-1].end == found.span[1]
    assert all(one.end == other.start for one, other in zip(found.leads, found.leads[1:], strict=False))


def test_hours_and_dollars_to_a_loss():
    found = race([small(), large()], window=0, price=1.5)
    rows = found.reaching(2.25)
    assert [row["name"] for row in rows] == ["large", "small"]
    assert rows[0]["hours"] == pytest.approx(12, rel=1e-3)
    assert rows[1]["hours"] == pytest.approx(20, rel=1e-3)
    assert rows[1]["saved_by_first"] == pytest.approx(8, rel=5e-3)
    assert rows[1]["usd"] == pytest.approx(30, rel=1e-3)
    assert rows[1]["usd_saved_by_first"] == pytest.approx(12, rel=5e-3)
    never = found.reaching(2.1)[1]
    assert (never["name"], never["hours"], never["usd"]) == ("small", None, None)
    # Below its first point nobody knows.
    at_once = found.reaching(4.0)
    assert all(row["by"] for row in at_once if row["name"] == "small")
    assert race([small(), large()]).reaching(2.25)[0]["usd"] is None


def test_the_table_and_the_dict_hold_no_nan():
    found = race([small(), large(HOURS[HOURS > 50])], price=2.0)
    rows = found.table(7)
    assert len(rows) == 7
    assert (rows[0]["hours"], rows[-1]["hours"]) == found.span
    assert rows[0]["loss large"] is None
    assert rows[3]["usd"] == 2.0 * rows[3]["hours"]
    assert all(row["loss"] == min(x for x in (row["loss small"], row["loss large"]) if x is not None) for row in rows)
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["schema"] == "beyond-chinchilla/race/1"
    assert [curve["name"] for curve in record["curves"]] == ["small", "large"]


def test_settings_and_names_are_checked():
    with pytest.raises(InputError, match="two curves"):
        race([small()])
    with pytest.raises(InputError, match="'small' runs twice"):
        race([small(), small()])
    for wrong in ({"window": -1}, {"margin": -1}, {"price": -1}, {"margin": np.nan}):
        with pytest.raises(InputError, match="must be >= 0"):
            race([small(), large()], **wrong)
    found = race([small(), large()])
    for ask in (found.reaching, found.spending):
        with pytest.raises(InputError, match="positive number"):
            ask(0.0)


# Tails


def test_tails_go_on_exactly_without_noise():
    power = Curve("power", HOURS, 5 * HOURS**-0.1)
    line = fit_tail(power, 0.5, samples=20)
    assert line.loss_at(1e5) == pytest.approx(np.full(21, 5 * 1e5**-0.1), rel=1e-9)
    assert line.hours_to(1.0) == pytest.approx(5**10, rel=1e-6)
    straight = Curve("straight", HOURS, 3 - 1e-3 * HOURS)
    line = fit_tail(straight, 0.3, "linear", samples=20)
    assert line.loss_at(2000.0) == pytest.approx(np.full(21, 1.0), abs=1e-9)
    assert line.hours_to(0.5) == pytest.approx(2500, rel=1e-6)
    rising = fit_tail(Curve("rising", HOURS, 2 + 1e-3 * HOURS), 0.3, samples=5)
    assert rising.hours_to(1.0) is None


def test_extrapolation_covers_and_is_only_for_the_finished():
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(60):
        hours = np.linspace(1, 100, 300)
        short = Curve("short", hours, 4 * hours**-0.1 * np.exp(rng.normal(0, 0.01, 300)))
        found = race([short, Curve("long", HOURS, 4 * HOURS**-0.08)])
        (tail,) = found.extrapolate(0.4, samples=300, seed=seed, loss=2.1)
        assert (tail.name, tail.hours) == ("short", pytest.approx(1000))
        hits += tail.interval[0] <= 4 * 1000**-0.1 <= tail.interval[1]
    assert 52 <= hits <= 60
    assert tail.interval[0] < tail.loss < tail.interval[1]
    assert tail.ahead > 0.9
    assert tail.reaches == pytest.approx((4 / 2.1) ** 10, rel=0.3)
    again = found.extrapolate(0.4, samples=300, seed=seed, loss=2.1)
    assert again == [tail]
    assert found.extrapolate(0.4, hours=50.0) == []
    for wrong in (0.0, 1.5, -0.2):
        with pytest.raises(InputError, match="0 to 100%"):
            found.extrapolate(wrong)
    with pytest.raises(InputError, match="fit a longer tail"):
        found.extrapolate(0.005)
    with pytest.raises(InputError, match="hours must be"):
        found.extrapolate(0.2, hours=-1.0)


# LLaMA 1 and 2

# GPU-hours and final losses of "Chinchilla's death" (espadrine, 23 July 2023).
LLAMA = {
    "llama1-7B": (82432, 1.8038),
    "llama1-13B": (135168, 1.7252),
    "llama1-33B": (530432, 1.6185),
    "llama1-65B": (1022362, 1.5572),
    "llama2-7B": (184320, 1.7438),
    "llama2-13B": (368640, 1.6635),
    "llama2-34B": (1038336, 1.5754),
    "llama2-70B": (1720320, 1.4957),
}


@pytest.fixture(scope="module")
def llama(bc_data):
    return {name: read_curve(bc_data / f"llama_curves/{name}.tsv") for name in LLAMA}


@pytest.mark.parametrize("name", LLAMA)
def test_llama_curves_end_as_published(llama, name):
    hours, loss = LLAMA[name]
    assert llama[name].final_hours == pytest.approx(hours, abs=0.5)
    assert llama[name].final_loss == pytest.approx(loss, abs=5e-5)
    # LLaMA 1 was read off the figure with falling hours, LLaMA 2 without.
    assert (llama[name].falls > 500) == name.startswith("llama1")
    assert (np.diff(llama[name].hours) > 0).all()


def test_small_llamas_overtake_again(llama):
    found = race([llama["llama1-7B"], llama["llama1-13B"]])
    # The claim: the small model falls first, is overtaken, and overtakes again.
    assert [(each.overtaker, each.again) for each in found.crossings[:2]] == [
        ("llama1-13B", False),
        ("llama1-7B", True),
    ]
    assert found.crossings[0].hours == pytest.approx(21.9e3, rel=0.02)
    assert found.crossings[1].hours == pytest.approx(59.1e3, rel=0.02)
    second = race([llama["llama2-7B"], llama["llama2-13B"]]).crossings
    assert [(each.overtaker, each.again) for each in second[:2]] == [("llama2-13B", False), ("llama2-7B", True)]


def test_all_llamas(llama):
    found = race(list(llama.values()), price=1.5)
    assert [lead.name for lead in found.leads] == [
        "llama2-7B", "llama2-13B", "llama1-7B", "llama1-13B", "llama2-70B", "llama2-13B", "llama1-33B", "llama1-65B",
        "llama2-70B",
    ]  # fmt: skip
    assert found.reaching(1.75)[0]["name"] == "llama1-13B"
    assert found.spending(1e5)[0]["name"] == "llama1-13B"
    # The times of the pairs hold for a half and a double window.
    for window in (0.05, 0.2):
        other = race(list(llama.values()), window=window)
        assert {lead.name for lead in other.leads} == {lead.name for lead in found.leads}
    # A straight tail to the end of the race falls below zero: the reason for the warning.
    straight = {each.name: each.loss for each in found.extrapolate(0.2, tail="linear", samples=10)}
    assert straight["llama1-7B"] < 0
    json.dumps(found.to_dict(), allow_nan=False)


# By hand


def two():
    """Return curves that cross between 2 and 4 hours, where the second has gained 1/4 from 1/2 behind."""
    return [Curve("a", [1.0, 2.0, 4.0, 8.0], [4.0, 3.0, 2.5, 2.5], 1e9),
            Curve("b", [1.0, 2.0, 4.0, 16.0], [5.0, 3.5, 2.25, 2.0])]  # fmt: skip


def test_a_race_of_four_points_by_hand():
    found = race(two(), window=0.0, margin=0.25, price=2.0)
    at = 2.0 * 2.0 ** (2 / 3)
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    table = record.pop("frontier")
    assert record == {
        "schema": "beyond-chinchilla/race/1",
        "window": 0.0,
        "margin": 0.25,
        "price": 2.0,
        "curves": [
            {"name": "a", "params": 1e9, "rows": 4, "falls": 0, "merged": 0, "hours": [1.0, 8.0], "final_loss": 2.5},
            {"name": "b", "params": None, "rows": 4, "falls": 0, "merged": 0, "hours": [1.0, 16.0], "final_loss": 2.0},
        ],
        "leads": [
            {"name": "a", "start": 1.0, "end": pytest.approx(at)},
            {"name": "b", "start": pytest.approx(at), "end": 16.0},
        ],
        "crossings": [
            {
                "hours": pytest.approx(at),
                "first_hours": pytest.approx(at),
                "loss": pytest.approx(3.0 - 0.5 * 2 / 3),
                "overtaker": "b",
                "overtaken": "a",
                "again": False,
                "finished": False,
            }
        ],
    }
    assert found.span == (1.0, 16.0)
    assert len(table) == 50
    hours = np.geomspace(1.0, 16.0, 50)
    for row, hour in zip(table, hours.tolist(), strict=True):
        a = np.interp(np.log(hour), np.log([1, 2, 4, 8]), [4.0, 3.0, 2.5, 2.5])
        b = np.interp(np.log(hour), np.log([1, 2, 4, 16]), [5.0, 3.5, 2.25, 2.0])
        assert row == {
            "hours": pytest.approx(hour),
            "usd": pytest.approx(2.0 * hour),
            "loss": pytest.approx(min(a, b)),
            "leader": "a" if a < b else "b",
            "loss a": pytest.approx(a),
            "loss b": pytest.approx(b),
        }
    assert found.spending(8.0) == [
        {"name": "b", "loss": pytest.approx(2.125), "finished": False},
        {"name": "a", "loss": 2.5, "finished": True},
    ]
    assert [row["finished"] for row in found.spending(7.9)] == [False, False]


def test_a_lead_counts_from_the_margin_on():
    # Behind by a quarter at 4 hours, by half at 16: a is passed from its margin on, where the two drew level.
    for margin, leads in ((0.25, ["a", "b"]), (0.5, ["a", "b"]), (0.51, ["a"])):
        assert [lead.name for lead in race(two(), window=0.0, margin=margin).leads] == leads
        assert len(race(two(), window=0.0, margin=margin).crossings) == len(leads) - 1
    # It has ended by then, had it ended before.
    early = [Curve("a", [1.0, 2.0], [4.0, 3.0]), two()[1]]
    (crossing,) = race(early, window=0.0, margin=0.25).crossings
    assert crossing.finished
    assert crossing.hours == pytest.approx(2.0 * 2.0 ** (0.5 / 1.25))


def test_losses_are_reached_between_points():
    rows = race(two(), window=0.0, price=2.0).reaching(2.75)
    b, a = 2.0 * 2.0 ** (0.75 / 1.25), 2.0 * 2.0**0.5
    assert rows == [
        {"name": "a", "hours": pytest.approx(a), "by": False, "saved_by_first": 0.0, "usd": pytest.approx(2 * a),
         "usd_saved_by_first": 0.0},
        {"name": "b", "hours": pytest.approx(b), "by": False, "saved_by_first": pytest.approx(b - a),
         "usd": pytest.approx(2 * b), "usd_saved_by_first": pytest.approx(2 * (b - a))},
    ]  # fmt: skip
    # Exactly a point's loss is reached there, and none at once.
    assert [row["hours"] for row in race(two(), window=0.0).reaching(2.5)] == pytest.approx([2 * 2**0.8, 4.0])
    nobody = race(two(), window=0.0).reaching(1.9)
    assert [(row["hours"], row["by"], row["saved_by_first"], row["usd"]) for row in nobody] == [
        (None, False, None, None)
    ] * 2
    for loss in (-1.0, np.inf, np.nan):
        with pytest.raises(InputError, match=r"^loss must be a positive number of nats per token, not"):
            race(two()).reaching(loss)
        with pytest.raises(InputError, match=r"^hours must be a positive number, not"):
            race(two()).spending(loss)


def test_an_extrapolation_is_its_tail():
    rng = np.random.default_rng(3)
    hours = np.linspace(1, 100, 60)
    short = Curve("short", hours, 4 * hours**-0.1 * np.exp(rng.normal(0, 0.02, 60)))
    found = race([short, Curve("long", HOURS, 4 * HOURS**-0.098), Curve("late", [2000.0, 3000.0], [1.0, 0.9])])
    extrapolations = found.extrapolate(0.4, hours=900.0, loss=2.2)
    # What has not begun by then is no rival, what goes on until then no question.
    assert [each.name for each in extrapolations] == ["short"]
    (tail,) = extrapolations
    line = fit_tail(short, 0.4, "power", samples=1000, seed=0)
    then = line.loss_at(900.0)
    least = float(found.loss_at(900.0)[1, 0])
    assert (tail.tail, tail.hours, tail.loss) == ("power", 900.0, then[0])
    assert tail.interval == pytest.approx(tuple(np.percentile(then[1:], [2.5, 97.5])))
    assert 0.05 < tail.ahead == np.mean(then < least) < 0.95
    assert tail.reaches == line.hours_to(2.2)
    (narrow,) = found.extrapolate(0.4, hours=900.0, level=0.5, samples=50, seed=2, tail="linear")
    then = fit_tail(short, 0.4, "linear", samples=50, seed=2).loss_at(900.0)
    assert narrow.interval == pytest.approx(tuple(np.percentile(then[1:], [25, 75])))
    assert (narrow.reaches, narrow.tail) == (None, "linear")
    assert found.extrapolate(0.4, samples=0, hours=900.0)[0].interval is None
    assert [each.name for each in found.extrapolate(0.9)] == ["short", "long"]
    assert [each.hours for each in found.extrapolate(0.9)] == [3000.0] * 2
    for wrong in ({"loss": -1.0}, {"loss": np.inf}, {"hours": np.nan}):
        with pytest.raises(InputError, match="must be a positive number"):
            found.extrapolate(0.4, **wrong)


def test_defaults_of_a_race():
    found = race([small(), large()])
    assert (found.window, found.margin, found.price) == (0.1, 0.002, None)
    assert race([small(), large()], window=0.0, margin=0.0, price=0.0).to_dict()["price"] == 0.0
    for wrong in ({"window": np.inf}, {"margin": np.inf}):
        with pytest.raises(InputError, match=r"^window, margin and price must be >= 0; got"):
            race([small(), large()], **wrong)
