"""Curves, their smoothing and their tails, against the same written run by run with numpy's polynomials."""

from __future__ import annotations

import math

import numpy as np
import pytest

from beyond_chinchilla.errors import InputError, SpreadsheetError
from beyond_chinchilla.fit import curves
from beyond_chinchilla.fit.curves import Curve, TailFit, fit_tail, read_curve, smooth

HOURS = np.linspace(1.0, 100.0, 100)
NOISY = 4.0 * HOURS**-0.1 * np.exp(0.01 * np.random.default_rng(1).normal(size=100))


def test_a_curve_says_what_it_covers():
    curve = Curve("a", [3.0, 1.0, 2.0, 2.0, 1.0], [5.0, 9.0, 7.0, 6.0, 8.0], 7e9)
    assert curve.to_dict() == {
        "name": "a",
        "params": 7e9,
        "rows": 5,
        "falls": 2,
        "merged": 2,
        "hours": [1.0, 3.0],
        "final_loss": 5.0,
    }
    # Equal hours one after the other do not fall.
    assert Curve("b", [1.0, 1.0, 2.0], [3.0, 2.0, 1.0]).falls == 0
    assert Curve("b", [1.0, 2.0], [2.0, 1.0]).to_dict()["params"] is None


def test_two_points_make_a_curve_and_what_is_no_number_is_refused_with_its_name():
    with pytest.raises(InputError, match=r"^a: a curve needs two points at different hours, and there is 1$"):
        Curve("a", [1.0, 1.0], [2.0, 3.0])
    with pytest.raises(InputError, match=r"^a: loss\[1\] is -3, not a positive number"):
        Curve("a", [1.0, 2.0], [2.0, -3.0])
    with pytest.raises(InputError, match=r"^a: columns differ in length: hours 2, loss 1"):
        Curve("a", [1.0, 2.0], [2.0])


@pytest.mark.parametrize("window", [0.05, 0.3, 2.0])
def test_smoothing_is_the_line_through_each_window(window):
    x = np.sort(np.random.default_rng(1).uniform(0, 5, 60))
    x[10:13] = x[10]
    y = np.cos(x) + 0.1 * np.random.default_rng(2).normal(size=60)
    expected = []
    for at in x:
        near = (x >= at - window / 2) & (x <= at + window / 2)
        if np.var(x[near]) <= 1e-6 * window**2:
            expected.append(y[near].mean())
        else:
            expected.append(np.polyval(np.polyfit(x[near] - at, y[near], 1), 0.0))
    assert smooth(x, y, window) == pytest.approx(expected, abs=1e-9)


def test_a_window_reaches_half_its_width_each_way_its_ends_included():
    x, y = [0.0, 1.0, 2.0, 10.0, 10.5], [0.0, 3.0, 0.0, 8.0, 4.0]
    assert smooth(x, y, 2.0).tolist() == pytest.approx([0.0, 1.0, 0.0, 8.0, 4.0])
    assert smooth(x, y, 1.99).tolist() == pytest.approx(y)
    # Points at almost one place have no slope: the spread of two 0.001 apart is a quarter of 1e-6.
    assert smooth([0.0, 0.0019], [1.0, 3.0], 1.0).tolist() == [2.0, 2.0]
    assert smooth([0.0, 0.0021], [1.0, 3.0], 1.0).tolist() == pytest.approx([1.0, 3.0])
    assert smooth([0.0, 0.0038], [1.0, 3.0], 2.0).tolist() == [2.0, 2.0]
    assert smooth([0.0, 0.0042], [1.0, 3.0], 2.0).tolist() == pytest.approx([1.0, 3.0])
    assert smooth([0.0, 1.0], [1.0, 3.0], -1.0).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("tail", ["power", "linear"])
def test_a_tail_is_a_line_and_its_draws_are_of_blocks_of_residuals(tail):
    """The same draws, one polynomial after the other."""
    line = fit_tail(Curve("a", HOURS, NOISY), 0.4, tail, samples=5, seed=3)
    x, y = (np.log(part) if tail == "power" else part for part in (HOURS[59:], NOISY[59:]))
    assert x.size == 41
    slope, level = np.polyfit(x, y, 1)
    fitted = level + slope * x
    residuals = (y - fitted) * math.sqrt(41 / 39)
    # ceil(41^(1/3)) = 4 neighbours, 11 blocks, the last cut short.
    starts = np.random.default_rng(3).integers(0, 41, (5, 11))
    expected = [(level, slope)]
    for row in starts:
        places = [(start + k) % 41 for start in row for k in range(4)][:41]
        expected.append(tuple(np.polyfit(x, fitted + residuals[places], 1)[::-1]))
    np.testing.assert_allclose(line.lines, expected, rtol=1e-9)
    then = np.array(expected) @ [1.0, math.log(500.0) if tail == "power" else 500.0]
    np.testing.assert_allclose(line.loss_at(500.0), np.exp(then) if tail == "power" else then, rtol=1e-9)


def test_a_tail_draws_a_thousand_times_from_seed_0_in_logs():
    curve = Curve("a", HOURS, NOISY)
    line = fit_tail(curve, 0.4)
    assert line.lines.shape == (1001, 2)
    np.testing.assert_array_equal(line.lines, fit_tail(curve, 0.4, "power", samples=1000, seed=0).lines)


def test_a_tail_has_four_points_at_least():
    curve = Curve("a", [1.0, 4.0, 5.0, 6.0, 8.0], [5.0, 4.0, 3.0, 2.5, 2.0])
    assert fit_tail(curve, 0.5, samples=3).lines.shape == (4, 2)
    assert fit_tail(curve, 1.0, samples=0).lines.shape == (1, 2)
    with pytest.raises(InputError, match=r"^a: 3 points in its last 49\.0%; fit a longer tail$"):
        fit_tail(curve, 0.49)
    for share, tail, told in ((0.0, "power", "0, power"), (1.1, "power", "1.1, power"), (0.5, "cubic", "0.5, cubic")):
        with pytest.raises(InputError, match=f"0 to 100% of a run, power or linear; not {told}"):
            fit_tail(curve, share, tail)


def test_hours_to_a_loss():
    power = TailFit("power", np.array([[math.log(4.0), -0.5], [9.0, 9.0]]))
    assert power.hours_to(2.0) == pytest.approx(4.0)
    # e^700 hours are never: 4 h^-0.5 = 4 e^-350.
    assert power.hours_to(4.0 * math.exp(-349.9)) == pytest.approx(math.exp(699.8), rel=1e-9)
    assert power.hours_to(4.0 * math.exp(-350.1)) is None
    linear = TailFit("linear", np.array([[3.0, -0.5]]))
    assert linear.hours_to(1.0) == pytest.approx(4.0)
    assert linear.hours_to(3.0) is None
    assert linear.hours_to(3.5) is None
    assert linear.hours_to(2.75) == pytest.approx(0.5)
    for slope in (0.0, 0.1):
        assert TailFit("linear", np.array([[3.0, slope]])).hours_to(1.0) is None


# Files


@pytest.mark.parametrize(
    "head",
    ["hours,loss", "GPU-hours,training loss", "gpu hours,train loss", "gpu_hours,train_loss", "Hours,Smoothed Loss",
     # The first known name wins, wherever it stands.
     "hours,smoothed loss,loss,gpu hours"],
)  # fmt: skip
def test_heads_by_their_aliases(tmp_path, head):
    path = tmp_path / "a.csv"
    first, second = ("3,9,2,7", "4,9,1,7") if head.count(",") == 3 else ("3,2", "4,1")
    path.write_text(f"{head}\n{first}\n{second}\n")
    curve = read_curve(path, name="b")
    assert (curve.name, curve.params, curve.hours.tolist(), curve.loss.tolist()) == ("b", None, [3.0, 4.0], [2.0, 1.0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hours\tLoss\n1\t2\n2\t0\n", ":3: '0' is not a positive number; leave this row out"),
        ("Hours\tLoss\n1\t2\n2\tinf\n", ":3: 'inf' is not a positive number; leave this row out"),
        ("Hours\tLoss\n1\t2\n\n \t \n2\tx\n", ":5: 'x' is not a number; write hours and loss as plain numbers"),
        ("Step\tLoss\n1\t2\n", ":1: no column 'Hours'; the header needs Hours and Loss"),
        (f"Hours,Loss\n1,{'x' * 50}\n", f":2: '{'x' * 40}' is not a number"),
        (f"Hours,Loss\n1,-1e-5{'0' * 50}\n", f":2: '-1e-5{'0' * 35}' is not a positive number"),
        (f"Hours,Loss\n1,{'2' * 131_073}\n", ": cannot be read: field larger than field limit (131072)"),
    ],
)
def test_bad_cells_are_refused_with_their_line(tmp_path, text, said):
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    with pytest.raises(SpreadsheetError) as caught:
        read_curve(path)
    assert f"bad.tsv{said}" in str(caught.value)


def test_the_size_of_a_file_is_bounded(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_text("Hours,Loss\n1,3\n2,2\n")
    size = path.stat().st_size
    monkeypatch.setattr(curves, "MAX_BYTES", size)
    monkeypatch.setattr(curves, "MAX_LINES", 3)
    assert read_curve(path).loss.tolist() == [3.0, 2.0]
    monkeypatch.setattr(curves, "MAX_LINES", 2)
    with pytest.raises(SpreadsheetError, match="or 2 lines; keep every tenth point, or fewer"):
        read_curve(path)
    monkeypatch.setattr(curves, "MAX_LINES", 3)
    monkeypatch.setattr(curves, "MAX_BYTES", size - 1)
    with pytest.raises(SpreadsheetError, match=r"larger than 1\.8e-05 MB or 3 lines"):
        read_curve(path)
