"""Sobol' indices: published ones of test functions, sums by hand, and a scenario's own uncertainty."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.sobol import indices, sobol_indices
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.scenario.uncertainty import Group

SCENARIO = Path(__file__).parents[2] / "scenarios" / "1B-requests.yaml"
FIGURES = ("params", "tokens", "total", "savings")


def _groups(**columns):
    return [Group(name=name, columns=places) for name, places in columns.items()]


def _rows(scenario, samples=512, seed=1):
    rows, notes = sobol_indices(scenario, bc.solve(scenario), samples=samples, seed=seed)
    return {(row.group, row.figure): row for row in rows}, notes


def _uncertain(p90="4B", *changes):
    return bc.load(
        SCENARIO,
        [
            "law=besiroglu-2024",
            f"demand.requests={{median: 1B, p90: {p90}}}",
            "training.price={low: 1.2, mode: 1.5, high: 2.2}",
            *changes,
        ],
    )


def ishigami(u):
    x = math.pi * (2.0 * u - 1.0)
    return {"ishigami": np.sin(x[:, 0]) + 7.0 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])}


def test_ishigami():
    """Ishigami & Homma 1990 with a = 7, b = 0.1: S = .3139, .4424, 0 and T = .5576, .4424, .2437 (Saltelli 2008)."""
    rows = indices(ishigami, _groups(one=(0,), two=(1,), three=(2,)), 3, samples=4096, seed=1)
    first, total = [0.3139, 0.4424, 0.0], [0.5576, 0.4424, 0.2437]
    assert [row.first for row in rows] == pytest.approx(first, abs=0.01)
    assert [row.total for row in rows] == pytest.approx(total, abs=0.01)
    for row, *expected in zip(rows, first, total, strict=True):
        assert abs(row.first - expected[0]) < row.first_error
        assert abs(row.total - expected[1]) < row.total_error


def test_ishigami_with_two_inputs_as_one_group():
    # What the interacting pair has together: all but the second's part.
    rows = indices(ishigami, _groups(pair=(0, 2), two=(1,)), 3, samples=4096, seed=1)
    assert [row.group for row in rows] == ["pair", "two"]
    assert [row.first for row in rows] == pytest.approx([0.5576, 0.4424], abs=0.01)
    assert [row.total for row in rows] == pytest.approx([0.5576, 0.4424], abs=0.01)


def test_groups_keep_their_names_in_any_order():
    groups = _groups(last=(2,), first=(0, 1))
    rows = indices(lambda u: {"sum": u[:, 0] + u[:, 1] + 2.0 * u[:, 2]}, groups, 3, samples=512, seed=1)
    # Variances 1 + 1 and 4, of 6.
    assert {row.group: round(row.total, 2) for row in rows} == {"last": 0.67, "first": 0.33}


def test_what_stands_still_has_no_indices():
    rows = indices(lambda u: {"one": np.ones(len(u))}, _groups(a=(0,), b=(1,)), 2, samples=16, seed=1)
    assert {(row.first, row.first_error, row.total, row.total_error) for row in rows} == {(0.0,) * 4}


def test_points_lie_inside_the_cube():
    seen = []

    def look(u):
        seen.append(u)
        return {"x": u[:, 0]}

    indices(look, _groups(a=(0,), b=(1,)), 2, samples=1024, seed=1)
    assert seen[0].shape == (4096, 2)
    assert 0 < seen[0].min() < seen[0].max() < 1


@pytest.mark.parametrize("samples", [0, 8, 100, 2**17])
def test_only_powers_of_two(samples):
    with pytest.raises(InputError, match="power of two"):
        indices(lambda u: {"x": u[:, 0]}, _groups(a=(0,), b=(1,)), 2, samples=samples, seed=1)


# Of scenarios


@pytest.fixture(scope="module")
def found():
    return _rows(_uncertain())


def test_every_group_has_every_figure(found):
    rows, _ = found
    assert list(rows) == [(group, figure) for figure in FIGURES for group in ("demand", "prices", "law")]
    for row in rows.values():
        assert row.first <= row.total + row.first_error + row.total_error
        assert -row.total_error <= row.total <= 1 + row.total_error


def test_demand_moves_cost_and_savings_most_and_prices_least(found):
    rows, _ = found
    for figure in ("total", "savings", "tokens"):
        assert rows["demand", figure].total > rows["law", figure].total > rows["prices", figure].total
    # 0.5 and more of the spread of the size is the law's: it alone says how alpha and beta share.
    assert rows["law", "params"].total > 0.3


def test_a_smaller_spread_does_not_raise_the_index(found):
    rows, _ = found
    narrower, _ = _rows(_uncertain("2B"))
    for figure in FIGURES:
        wide, narrow = rows["demand", figure], narrower["demand", figure]
        assert narrow.total <= wide.total + wide.total_error + narrow.total_error
    # A half of the log spread is a quarter of its variance: that is beyond any error.
    assert narrower["demand", "total"].total < rows["demand", "total"].total - rows["demand", "total"].total_error


def test_correlated_inputs_are_one_group():
    scenario = _uncertain("4B", "uncertainty.correlations=[{between: [demand.requests, training.price], value: 0.5}]")
    rows, _ = _rows(scenario, samples=64)
    assert {group for group, _ in rows} == {"demand and prices", "law"}


def test_the_same_seed_the_same_indices(found):
    assert _rows(_uncertain())[0] == found[0]
    assert _rows(_uncertain(), seed=2)[0] != found[0]


def test_worlds_out_of_reach_are_counted_and_said():
    rows, notes = _rows(_uncertain("4B", "limits.tokens.max=200B"), samples=64)
    assert "samples, which count as the plan's size" in notes[0]
    assert all(math.isfinite(value) for row in rows.values() for value in (row.first, row.total))


def test_nothing_or_one_group_alone_has_no_indices():
    assert _rows(bc.load(SCENARIO)) == ({}, ())
    rows, notes = _rows(bc.load(SCENARIO, ["demand.requests={median: 1B, p90: 4B}"]))
    assert rows == {}
    assert "demand alone is uncertain" in notes[0]
