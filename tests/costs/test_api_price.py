"""The bill of somebody else's API."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.costs.api_price import ApiPrice
from beyond_chinchilla.errors import InputError

API = ApiPrice(input=0.60, output=2.40, cached_input=0.06, batch_discount=0.5, name="some API")
tokens = st.floats(0.0, 1e15)


def test_bill_by_hand() -> None:
    # 100 million input tokens, 30 of them cached, and 20 million output tokens
    bill = API.cost(70e6, 30e6, 20e6)
    assert bill == pytest.approx({"input": 42.0, "cached input": 1.8, "output": 48.0}, rel=1e-12)


def test_a_cache_without_a_price_of_its_own_costs_as_input() -> None:
    plain = ApiPrice(input=0.60, output=2.40)
    assert plain.cost(70e6, 30e6, 0.0)["cached input"] == pytest.approx(18.0, rel=1e-12)


def test_a_free_cache_is_free() -> None:
    assert ApiPrice(input=0.60, output=2.40, cached_input=0.0).cost(1e6, 1e6, 0.0)["cached input"] == 0.0


@given(prefill=tokens, cached=tokens, decode=tokens, share=st.floats(0.0, 1.0))
def test_batch_work_gets_its_discount_on_every_token(
    prefill: float, cached: float, decode: float, share: float
) -> None:
    full = sum(API.cost(prefill, cached, decode).values())
    paid = sum(API.cost(prefill, cached, decode, batch_share=share).values())
    assert paid == pytest.approx(full * (1 - 0.5 * share), rel=1e-9)
    assert paid <= full


def test_months_at_once() -> None:
    bill = API.cost(np.array([1e6, 2e6]), np.array([0.0, 1e6]), np.array([1e6, 0.0]))
    assert {label: usd.tolist() for label, usd in bill.items()} == {
        "input": pytest.approx([0.60, 1.20], rel=1e-12),
        "cached input": pytest.approx([0.0, 0.06], rel=1e-12),
        "output": pytest.approx([2.40, 0.0], rel=1e-12),
    }


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        ApiPrice(input=6e-7, output=-1.0, cached_input=0.1, batch_discount=50.0)
    assert str(caught.value).splitlines() == [
        "buy: input 6e-07 looks like a price per token; per million tokens it is 0.6 USD",
        "buy: output must be >= 0 USD per million tokens and finite, not -1.0",
        "buy: cached_input 0.1 is above input 6e-07; leave it out without a cache",
        "buy: batch_discount must be from 0 to below 1, not 50.0; write 50% or 0.5",
    ]


@pytest.mark.parametrize("price", [math.nan, math.inf])
@pytest.mark.parametrize("field", ["input", "output", "cached_input"])
def test_prices_are_finite(field: str, price: float) -> None:
    with pytest.raises(InputError, match=f"buy: {field} must be >= 0 USD per million tokens and finite"):
        ApiPrice(**{"input": 1.0, "output": 1.0, field: price})


def test_nobody_serves_for_nothing() -> None:
    with pytest.raises(InputError, match="both free"):
        ApiPrice(input=0.0, output=0.0)
    assert ApiPrice(input=0.0, output=1.0).cost(1e6, 1e6, 1e6)["output"] == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_batch_shares_are_shares(share: float) -> None:
    with pytest.raises(InputError, match="batch_share must be from 0 to 1"):
        API.cost(1.0, 1.0, 1.0, batch_share=share)
