"""Mean and CVaR as a convex program: the same decision as the direct search, by other means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from risk_doubles import PlainWorlds, drawn

from beyond_chinchilla.analyse.risk.cvar import CvarPlan, solve_cvar, verify_cvar
from beyond_chinchilla.analyse.risk.decision import Decision, grid_of, weigh
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.universal import optimum
from beyond_chinchilla.posynomial import Posynomial, Term

# Both are least values of one function: they agree to the square of how well the size is known.
SAME = 1e-6


def bill(worlds: PlainWorlds) -> Posynomial:
    """Return a N D + b N."""
    return Posynomial(
        (
            Term(label="training", coefficient=worlds.train, powers={"params": 1.0, "tokens": 1.0}),
            Term(label="serving", coefficient=worlds.serve, powers={"params": 1.0}, drivers=("demand",)),
        ),
        "USD",
    )


def program(worlds: PlainWorlds, **options: float) -> CvarPlan:
    return solve_cvar(worlds.law, worlds.loss, bill(worlds), count=worlds.count, **options)


def directly(worlds: PlainWorlds, level: float, aversion: float) -> tuple[float, float]:
    decision = Decision(worlds=worlds, foresight=worlds.foresight(), level=level)
    objective = weigh(aversion)
    size = decision.least(decision.judge(grid_of(decision.foresight, [30e9])), objective)
    return size, float(objective(decision.judge(np.array([size])))[0])


@given(
    st.integers(0, 10_000),
    st.sampled_from((0.0, 0.02, 0.06)),
    st.sampled_from((0.0, 0.5, 1.5)),
    st.sampled_from((0.5, 0.8, 0.9, 0.97)),
    st.sampled_from((0.0, 0.3, 1.0)),
)
@settings(deadline=None, max_examples=8)
def test_program_and_search_agree(seed: int, law: float, demand: float, level: float, aversion: float) -> None:
    worlds = drawn(100, seed, law=law, demand=demand)
    found = program(worlds, level=level, aversion=aversion)
    size, objective = directly(worlds, level, aversion)
    assert found.objective == pytest.approx(objective, rel=SAME)
    # Costs are flat there: the sizes agree to the root of that.
    assert found.params == pytest.approx(size, rel=5e-3)


def test_one_sample_is_the_universal_curve() -> None:
    worlds = drawn(1, law=0.0, demand=0.0, price=0.0)
    found = program(worlds)
    exact = optimum(worlds.law, worlds.loss, worlds.train, worlds.serve)
    assert found.params == pytest.approx(float(exact.params[0]), rel=1e-3)
    assert_allclose(found.total, worlds.train * exact.params * exact.tokens + worlds.serve * exact.params, rtol=1e-7)
    assert found.mean == pytest.approx(found.cvar, rel=1e-12)


def test_every_target_is_met() -> None:
    worlds = drawn(200)
    found = program(worlds, level=0.9)
    assert_allclose(worlds.law.loss(found.params, found.tokens), worlds.loss, rtol=1e-12)
    assert found.cvar > found.mean


def test_the_tail_asks_for_a_smaller_model() -> None:
    """Under uncertain demand the dear samples are those of much demand, which want a smaller model."""
    worlds = drawn(200, law=0.0, price=0.0)
    assert program(worlds, aversion=1.0).params < 0.9 * program(worlds, aversion=0.0).params


def test_other_terms_count() -> None:
    """Data paid by the token and storage that grows with N^0.5: against the search over the same sum."""
    worlds = drawn(60)
    cost = bill(worlds) + Posynomial(
        (
            Term(label="data", coefficient=2e-8, powers={"tokens": 1.0}),
            Term(label="storage", coefficient=np.linspace(1.0, 2.0, 60), powers={"params": 0.5}),
        ),
        "USD",
    )
    found = solve_cvar(worlds.law, worlds.loss, cost, count=60, level=0.8)
    sizes = found.params * np.linspace(0.97, 1.03, 601)
    D = worlds.law.take((slice(None), None)).tokens_for(sizes, worlds.loss[:, None])
    totals = worlds.train[:, None] * sizes * D + worlds.serve[:, None] * sizes + 2e-8 * D
    totals = np.sort(totals + np.linspace(1.0, 2.0, 60)[:, None] * sizes**0.5, axis=0)
    cvar = totals[48:].mean(axis=0)
    assert found.objective == pytest.approx(cvar.min(), rel=SAME)
    assert 50 < cvar.argmin() < 550


def test_a_law_without_embeddings() -> None:
    """Kaplan's N leaves out embeddings; the size found is the total."""
    law = published("kaplan-2020")
    rates = 1e-18, np.geomspace(1e-8, 1e-6, 20)
    cost = Posynomial(
        (
            Term(label="training", coefficient=rates[0], powers={"params": 1.0, "tokens": 1.0}),
            Term(label="serving", coefficient=rates[1], powers={"params": 1.0}),
        ),
        "USD",
    )
    loss = float(law.compute_optimal(params=1e10).loss)
    found = solve_cvar(law, loss, cost, count=20, aversion=0.0)
    total = np.geomspace(0.5, 2.0, 4001) * found.params
    D = law.tokens_for(law.counted_params(total), loss)
    mean = rates[0] * total * D + rates[1].mean() * total
    assert found.objective == pytest.approx(np.nanmin(mean), rel=SAME)


@pytest.mark.parametrize("options", [{"level": 0.0}, {"level": 1.0}, {"aversion": 1.5}])
def test_options_out_of_bounds(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="give a level inside"):
        program(drawn(4), **options)


def test_targets_below_the_floor() -> None:
    worlds = drawn(4)
    with pytest.raises(InputError, match="1 of 4 samples have a target below their law's floor"):
        solve_cvar(worlds.law, np.array([1.6, 2.0, 2.0, 2.0]), bill(worlds), count=4)


def test_verification_leaves_failures_out() -> None:
    # Nine in ten of the worlds reach the target within so many tokens.
    worlds = drawn(150, budget=8e12)
    difference, count = verify_cvar(worlds, worlds.law, worlds.loss, bill(worlds), level=0.8, aversion=1.0)
    assert difference < SAME
    assert 50 < count <= 150
    everything, every = verify_cvar(drawn(50), drawn(50).law, drawn(50).loss, bill(drawn(50)))
    assert everything < SAME
    assert every == 50


def test_verification_without_a_success() -> None:
    worlds = drawn(20, budget=1e11)
    with pytest.raises(InputError, match="every sample fails"):
        verify_cvar(worlds, worlds.law, worlds.loss, bill(worlds))
