"""What once went wrong in an assessment of risk: spreads of nothing or beyond measure, and limits that bind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from trees import COST

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.levers import levers
from beyond_chinchilla.analyse.regret_map import FARTHEST, regret_map
from beyond_chinchilla.analyse.risk.assess import assess
from beyond_chinchilla.analyse.sobol import sobol_indices
from beyond_chinchilla.analyse.variation import certain, scaled
from beyond_chinchilla.distributions import Lognormal
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.report.risk import decision
from beyond_chinchilla.scenario.load import Scenario


def scenario(**changes: Any) -> Scenario:
    return Scenario.from_dict({**COST, **changes})


def demanded(**requests: str) -> dict[str, Any]:
    return {"demand": {**COST["demand"], "requests": requests}}


@pytest.mark.parametrize("above", [1.0, math.nextafter(1.0, 2.0)])
def test_a_spread_below_rounding_is_told_as_none(above: float) -> None:
    with pytest.raises(InputError, match="p90 1B is not above the median 1B; give a number alone"):
        Lognormal(middle=1e9, p90=1e9 * above, low=1e-18, high=1e24)


def test_a_tail_beyond_all_numbers_is_told_by_the_end_that_it_passes() -> None:
    with pytest.raises(InputError, match=r"is above 1e\+24, which is not possible here, in 0\.068% of cases"):
        Lognormal(middle=1e9, p90=1e15, low=1e-18, high=1e24)
    with pytest.raises(InputError, match="is above 1, which is not possible here"):
        Lognormal(middle=0.5, p90=0.95, low=1e-18, high=1.0)


def test_a_wide_forecast_is_mapped_as_far_as_maps_go() -> None:
    asked = scenario(**demanded(median="1B", p90="100T"))
    found = regret_map(asked, bc.solve(asked), points=3)
    assert found.met[0] == pytest.approx(1e9 / FARTHEST)
    assert found.met[-1] == pytest.approx(1e9 * FARTHEST)


def test_scaling_a_demand_whose_tail_just_fits_leaves_it_certain() -> None:
    """A hundred times as much would no longer fit: what is varied counts as its median."""
    asked = scenario(**demanded(median="1B", p90="140T"))
    assert asked.uncertainty.inputs
    assert scaled(asked, "demand", 1e6).demand()[0] == pytest.approx(1e15)
    assert certain(asked).uncertainty.inputs == ()
    demand = next(lever for lever in levers(asked) if lever.label == "demand")
    assert demand.at(1e15).demand()[0] == pytest.approx(1e15)


def test_a_limit_that_leaves_no_tokens_keeps_every_index_finite() -> None:
    """Where serving alone passes the limit nothing is left to train on, and 0 has no logarithm."""
    asked = scenario(
        **demanded(median="1.5B", p90="6B"),
        law="besiroglu-2024",
        limits={"total_cost": {"max": {"low": "300k USD", "high": "3M USD"}}},
    )
    rows, notes = sobol_indices(asked, bc.solve(asked), samples=256)
    assert any("no plan keeps the limits" in note for note in notes)
    assert rows
    assert all(np.isfinite((row.first, row.total, row.first_error, row.total_error)).all() for row in rows)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_knowing_everything_is_worth_no_more_than_the_regret_of_any_size_that_holds(seed: int) -> None:
    """Failures make steps in which the search for least regret may stop short of what another one found."""
    asked = scenario(**demanded(median="1.5B", p90="6B"), law="besiroglu-2024", limits={"tokens": {"max": "2.2T"}})
    risk = assess(asked, bc.solve(asked), samples=100, seed=seed, points=0)
    lost = [plan.mean_regret for plan in risk.plans if plan.feasible]
    assert lost
    assert risk.perfect_information <= min(lost) * (1.0 + 1e-12)


def test_a_target_missed_for_want_of_dollars_is_not_put_down_to_tokens() -> None:
    asked = scenario(
        **demanded(median="1.5B", p90="6B"), law="besiroglu-2024", limits={"total_cost": {"max": "900k USD"}}
    )
    risk = assess(asked, bc.solve(asked), samples=200, points=0)
    lines = decision(risk).lines
    assert not risk.best.feasible
    assert "tokens and the limits" in lines[0]
    assert lines[1].startswith("Loosen the limits, ")
