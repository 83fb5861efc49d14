"""What knowing is worth: never negative, never above the mean regret, and nothing where nothing is learned."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from risk_doubles import PlainWorlds, drawn, worlds_at

from beyond_chinchilla.analyse.risk.decision import Decision, grid_of, mean_regret, regrets, weigh
from beyond_chinchilla.analyse.risk.figures import Information
from beyond_chinchilla.analyse.risk.information import gain, penalised_means, sizes_of, value_of_information
from beyond_chinchilla.analyse.risk.sampling import sobol

GROUPS = [("demand", (0,)), ("prices", (1,)), ("law", (2, 3))]


def values(points: int = 32, repeats: int = 4, seed: int = 1, **spreads: float) -> dict[str, Information]:
    """Return the value of information by group."""
    sizes = sizes_of(drawn(500, **spreads).foresight(), 16e9)
    found = value_of_information(
        partial(worlds_at, **spreads),
        GROUPS,
        sizes,
        dimensions=4,
        max_failure=0.05,
        mean=1.5e6,
        seed=seed,
        points=points,
        repeats=repeats,
    )
    return {row.group: row for row in found}


def product(columns: tuple[int, ...], outer: int, inner: int, seed: int, **spreads: float) -> PlainWorlds:
    """Return the worlds of a product sample: outer points of some columns times inner points of the rest."""
    rest = [column for column in range(4) if column not in columns]
    cube = np.empty((outer, inner, 4))
    cube[:, :, columns] = sobol(outer, len(columns), seed, 3, 1)[:, None]
    cube[:, :, rest] = sobol(inner, len(rest), seed, 3, 2)[None]
    return worlds_at(cube.reshape(-1, 4), **spreads)


@given(
    st.integers(0, 10_000),
    st.sampled_from([columns for _, columns in GROUPS]),
    st.sampled_from((1e16, 6e12, 3e12)),
    st.sampled_from((0.0, 0.03, 0.1)),
    st.sampled_from((0.0, 0.05, 0.3)),
)
@settings(deadline=None)
def test_between_nothing_and_the_mean_regret(
    seed: int, columns: tuple[int, ...], budget: float, law: float, max_failure: float
) -> None:
    """On the sample itself, with failures and without."""
    worlds = product(columns, 16, 8, seed, law=law, budget=budget)
    foresight = worlds.foresight()
    sizes = sizes_of(foresight, 16e9, 24)
    penalised, failed = penalised_means(worlds, sizes, (16, 8))
    value = gain(penalised, failed, max_failure)
    excess = np.maximum(failed.mean(axis=0) - max_failure, 0.0)
    committed = np.lexsort((penalised.mean(axis=0), excess))[0]
    regret = regrets(worlds.bills(sizes[[committed]]), foresight).mean()
    assert 0.0 <= value <= regret * (1.0 + 1e-9) + 1e-6


def test_knowing_everything_is_worth_the_regret() -> None:
    """With all columns known, and each world's own optimum among the sizes, value and least mean regret are one."""
    worlds = drawn(64)
    foresight = worlds.foresight()
    sizes = np.unique(np.append(foresight.params, np.geomspace(8e9, 30e9, 100)))
    value = gain(*penalised_means(worlds, sizes, (64, 1)), 0.05)
    least = Decision(worlds=worlds, foresight=foresight).judge(sizes).mean_regret.min()
    assert value == pytest.approx(least, rel=1e-9)


def test_a_price_of_everything_teaches_nothing() -> None:
    """It scales every bill alike: no size becomes better than another, though the bill is known better."""
    found = values()
    assert found["prices"].value == pytest.approx(0.0, abs=1e-6)
    assert found["demand"].value > 100 * found["demand"].error / 20 > 0.0


def test_what_is_certain_teaches_nothing() -> None:
    found = values(law=0.0)
    assert found["law"].value == pytest.approx(0.0, abs=1e-6)
    assert found["demand"].value > 0.0


def test_more_spread_is_worth_more_to_know() -> None:
    little, much = values(demand=0.4)["demand"], values(demand=1.0)["demand"]
    assert much.value > little.value + 2.0 * (much.error + little.error)


def test_groups_and_everything() -> None:
    """Each group is worth at most everything, beyond sampling errors."""
    worlds = drawn(4000)
    decision = Decision(worlds=worlds, foresight=worlds.foresight())
    grid = decision.judge(grid_of(decision.foresight, [30e9]))
    size = decision.least(grid, mean_regret)
    everything = decision.judge(np.array([size])).mean_regret[0]
    found = values(points=64, repeats=8)
    for row in found.values():
        assert 0.0 <= row.value <= everything + 3.0 * row.error
        assert row.share_of_mean == pytest.approx(row.value / 1.5e6)
    # Without failures the size of least mean regrets least.
    assert size == pytest.approx(decision.least(grid, weigh(0.0)), rel=1e-4)


def test_stated_errors_shrink_and_hold() -> None:
    rough, fine = values(points=16, repeats=8)["demand"], values(points=64, repeats=8)["demand"]
    assert fine.error < rough.error
    assert abs(rough.value - fine.value) < 4.0 * (rough.error + fine.error)


def test_the_same_seed_gives_the_same_value() -> None:
    assert values(points=8, seed=3) == values(points=8, seed=3)
    assert values(points=8, seed=3)["demand"] != values(points=8, seed=4)["demand"]


def test_gain_by_hand() -> None:
    """Two outer points, three sizes; the last size fails in half of the inner points of the second."""
    penalised = np.array([[4.0, 5.0, 1.0], [6.0, 3.0, 2.0]])
    failed = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.5]])
    # Not knowing: 5, 4 or 1.5 but failing in a quarter; so 4. Knowing: 1 and, for its failures, 3 in the second.
    assert gain(penalised, failed, 0.1) == pytest.approx(4.0 - 2.0)
    assert gain(penalised, failed, 0.25) == pytest.approx(1.5 - 1.5)
    # Nothing is safe enough: the safest is committed to.
    assert gain(penalised, failed + 0.5, 0.1) == pytest.approx(4.0 - 2.0)


def test_a_failure_costs_training_and_the_right_model() -> None:
    worlds = drawn(8, law=0.05, budget=2.5e12)
    sizes = np.array([12e9, 40e9])
    penalised, failed = penalised_means(worlds, sizes, (8, 1))
    bills, foresight = worlds.bills(sizes), worlds.foresight()
    assert 0.0 < failed.mean() < 1.0
    assert foresight.reachable.all()
    expected = np.where(bills.failed, bills.training + foresight.total[:, None], bills.total)
    assert_allclose(penalised, expected)


def test_sizes_without_an_optimum() -> None:
    assert sizes_of(drawn(10, budget=1e11).foresight(), 3e9).tolist() == [3e9]


def test_sizes_hold_what_is_committed() -> None:
    sizes = sizes_of(drawn(200).foresight(), 16.5e9, 32)
    assert 16.5e9 in sizes
    assert np.all(np.diff(sizes) > 0)
    assert len(sizes) <= 33
