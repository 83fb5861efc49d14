"""Buying instead of building: what it costs, and the demand from which building wins."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import fixed, scenario

import beyond_chinchilla as bc
from beyond_chinchilla.analyse.buy import LEAST_FACTOR, break_even, offer
from beyond_chinchilla.analyse.deployment import deploy
from beyond_chinchilla.errors import InfeasibleError, InputError

API = {"input": "0.15 USD", "output": "0.60 USD", "cached_input": "0.03 USD", "name": "some API"}
SMALL = {"requests_per_month": "40M"}


def totals(asked: bc.Scenario, factor: float) -> tuple[float, float]:
    """Return what building and what buying costs at a multiple of the demand."""
    scaled = asked.scaled(factor)
    plan = bc.solve(scaled)
    assert plan.best is not None
    return plan.best.total, offer(deploy(scaled, plan)).total


def test_an_api_by_hand():
    asked = scenario(buy=API, discounting=None)
    found = offer(deploy(asked, bc.solve(asked)))
    requests = 4e8 * sum(1.05**month for month in range(12))
    tokens = {"input": 900 * 0.7, "cached input": 900 * 0.3, "output": 220}
    price = {"input": 0.15, "cached input": 0.03, "output": 0.60}
    expected = {label: requests * tokens[label] * price[label] / 1e6 for label in tokens}
    assert dict(found.terms) == pytest.approx(expected, rel=1e-12)
    assert (found.name, found.kind, found.choice) == ("some API", "api", "")
    assert found.total == pytest.approx(sum(expected.values()), rel=1e-12)


def test_bought_tokens_are_discounted_as_served_ones():
    asked = scenario(buy=API, demand={"growth_per_month": None, "months": 24})
    deployment = deploy(asked, bc.solve(asked))
    per_month = 4e8 * (900 * 0.7 * 0.15 + 900 * 0.3 * 0.03 + 220 * 0.60) / 1e6
    months = np.arange(24) + 0.5
    assert offer(deployment).total == pytest.approx(per_month * (1.1 ** (-months / 12.0)).sum(), rel=1e-12)


def test_at_the_break_even_building_and_buying_cost_the_same():
    asked = scenario(buy=API)
    factor = break_even(asked)
    assert factor is not None
    assert LEAST_FACTOR < factor < 1e3
    built, bought = totals(asked, factor)
    # Whole replicas make steps.
    assert built == pytest.approx(bought, rel=2e-2)
    above, below = totals(asked, 1.3 * factor), totals(asked, factor / 1.3)
    assert above[0] < above[1]
    assert below[0] > below[1]


@pytest.mark.own_step
@settings(max_examples=4)
@given(share=st.floats(0.02, 0.5), start=st.sampled_from([1e-2, 1.0, 50.0]))
def test_break_even_does_not_depend_on_where_the_search_starts(share: float, start: float):
    asked = fixed(buy={"input": share, "output": 4 * share}, discounting=None)
    factor, again = break_even(asked), break_even(asked.scaled(start))
    if factor is None or again is None:
        assert factor is again
    elif factor > 10 * LEAST_FACTOR and again > 10 * LEAST_FACTOR:
        assert again * start == pytest.approx(factor, rel=5e-3)


@settings(max_examples=5)
@given(log_factors=st.lists(st.floats(-3.0, 3.0), min_size=4, max_size=4, unique=True))
def test_building_over_buying_falls_in_demand(log_factors: list[float]):
    """Training and floors are spread over more tokens; the search stands on it."""
    asked = fixed(buy=API, serving={"fleet": {"floor": 16}})
    ratios = [built / bought for built, bought in (totals(asked, math.exp(log)) for log in sorted(log_factors))]
    assert ratios == sorted(ratios, reverse=True)


def test_a_dearer_api_is_beaten_sooner():
    factors = [break_even(fixed(buy={"input": usd, "output": 4 * usd})) for usd in (0.1, 0.2, 0.4)]
    assert all(factor is not None for factor in factors)
    assert factors == sorted(factors, reverse=True)  # type: ignore[type-var]
    assert factors[0] > 1.5 * factors[-1]  # type: ignore[operator]


def test_an_api_below_the_cost_of_serving_is_never_beaten():
    assert break_even(fixed(buy={"input": "0.0002 USD", "output": "0.0002 USD"}, target={"chinchilla": "30B"})) is None


def test_an_api_at_a_fortune_is_beaten_at_once():
    assert break_even(fixed(buy={"input": "500k USD", "output": "500k USD"})) == LEAST_FACTOR


def test_limits_that_allow_no_larger_fleet_leave_no_break_even():
    asked = scenario(buy={"input": "0.001 USD", "output": "0.001 USD"}, limits={"gpus": {"max": 400}})
    assert bc.solve(asked).best is not None
    assert break_even(asked) is None


# An open model


def test_an_open_model_costs_its_serving_alone():
    asked = scenario(buy={"model": "llama-2-13b"}, serving={"gpus_per_replica": [1, 2], "precision": ["bf16", "fp8"]})
    deployment = deploy(asked, bc.solve(asked))
    found = offer(deployment)
    assert (found.kind, found.name, found.params) == ("model", "llama-2-13b", 13.0e9)
    assert "training" not in found.terms
    # The cheapest of all ways to serve it, each at its own best batch.
    bills = []
    for use in deployment.monthly.uses:
        service = deployment.monthly.service(use, 0, [])
        batches = np.geomspace(1.0, float(use.largest_batch(13.0e9)), 60)
        points = [{"params": 13.0e9, "batch": b, "step_time": float(use.step_time(13.0e9, b))} for b in batches]
        bills.append(min(sum(service.terms(point).values()) + service.rounding(point) for point in points))
    assert found.total == pytest.approx(min(bills), rel=2e-3)


def test_an_open_model_keeps_the_latency_and_says_so_if_it_cannot():
    fast = {"time_per_output_token": {"max": "9 ms"}}
    asked = scenario(buy={"model": "llama-2-13b"}, limits=fast)
    free = scenario(buy={"model": "llama-2-13b"})
    kept, loose = (offer(deploy(one, bc.solve(one))).total for one in (asked, free))
    assert kept > 1.05 * loose
    large = scenario(buy={"model": "llama-2-70b"}, limits=fast)
    with pytest.raises(InfeasibleError, match=r"no fleet of this scenario serves llama-2-70b \(70B params\)"):
        offer(deploy(large, bc.solve(large)))


@pytest.mark.own_step
def test_an_open_model_needs_gpus_for_the_demand_as_it_is_but_not_for_any_other():
    few = {"gpus": {"max": 60}}
    asked = scenario(buy={"model": "llama-2-13b"}, limits=few, demand=SMALL)
    free = scenario(buy={"model": "llama-2-13b"}, demand=SMALL)
    assert break_even(asked) == pytest.approx(break_even(free), rel=1e-2)
    short = scenario(
        buy={"model": "llama-2-70b"}, limits={"gpus": {"max": 5}}, demand=SMALL, serving={"gpus_per_replica": [1, 2]}
    )
    with pytest.raises(InfeasibleError, match="no fleet of this scenario serves llama-2-70b"):
        offer(deploy(short, bc.solve(short)))


def test_a_mixture_of_experts_is_refused_and_nothing_to_buy_says_so():
    asked = scenario()
    deployment = deploy(asked, bc.solve(asked))
    with pytest.raises(InputError, match="nothing to buy; give buy"):
        offer(deployment)
    experts = scenario(buy={"model": "deepseek-v3"})
    with pytest.raises(InputError, match="deepseek-v3 is a mixture of experts"):
        offer(replace(deployment, scenario=experts))


def test_batch_work_at_its_own_price_is_bought_whatever_the_fleet_may_hold():
    asked = scenario(
        buy={"model": "llama-2-13b"},
        limits={"gpus": {"max": 1}},
        demand={**SMALL, "batch_share": "100%"},
        serving={"batch_price": 1.0},
    )
    free = scenario(buy={"model": "llama-2-13b"}, demand={**SMALL, "batch_share": "100%"}, serving={"batch_price": 1.0})
    bounded, loose = (offer(deploy(one, bc.solve(one))).total for one in (asked, free))
    assert bounded == pytest.approx(loose, rel=1e-12)
