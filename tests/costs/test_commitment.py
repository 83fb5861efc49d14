"""The best commitment against brute force and the newsvendor's rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from beyond_chinchilla.costs.commitment import Commitment, best_committed, best_share, blended_cost, excess
from beyond_chinchilla.errors import InputError

DAY = np.arange(1.0, 25.0)[None, :]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, np.ndarray | float]:
    """Needs of some months and hours, ties and idle hours among them, with prices that move."""
    months, hours = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    loads = st.floats(0.01, 500.0) | st.sampled_from([0.0, 1.0, 8.0, 64.0])
    return {
        "need": draw(arrays.arrays(np.float64, (months, hours), elements=loads)),
        "price": draw(st.floats(0.1, 3.0)),
        "on_demand": draw(arrays.arrays(np.float64, months, elements=st.floats(0.5, 5.0))),
        "weights": draw(arrays.arrays(np.float64, months, elements=st.floats(0.1, 1.0))),
    }


@given(case=cases(), other=st.floats(0.0, 600.0))
def test_no_other_commitment_is_cheaper(case: dict[str, np.ndarray | float], other: float) -> None:
    need = np.asarray(case.pop("need"))
    best = best_committed(need, **case)
    least = blended_cost(need, best, **case)
    for committed in (0.0, other, *need.ravel(), *(need.ravel() + 1e-3), float(need.max())):
        assert least <= blended_cost(need, committed, **case) * (1 + 1e-9) + 1e-9


@given(case=cases(), scale=st.floats(1e-3, 1e6))
def test_the_best_share_does_not_depend_on_the_scale(case: dict[str, np.ndarray | float], scale: float) -> None:
    hours = np.asarray(case.pop("need"))[0] + 0.5
    hours /= hours.mean()
    shape = np.linspace(1.0, 3.0, len(np.asarray(case["on_demand"])))
    share = best_share(shape * scale, hours, **case)
    need = np.outer(shape, hours)
    assert share == pytest.approx(best_share(shape, hours, **case), rel=1e-9)
    least = blended_cost(need, best_committed(need, **case), **case)
    assert blended_cost(need, share * shape.mean(), **case) == pytest.approx(least, rel=1e-9)


# 24 hours with needs of 1 to 24 GPUs: commit up to the load that is exceeded in a share price/on_demand of them.
@pytest.mark.parametrize(("ratio", "hours_above"), [(0.25, 6), (0.5, 12), (0.75, 18), (0.02, 0), (0.99, 23), (1.0, 24)])
def test_the_newsvendors_critical_ratio(ratio: float, hours_above: int) -> None:
    best = best_committed(DAY, price=2.0 * ratio, on_demand=2.0)
    assert (best < DAY).sum() == hours_above
    assert best == 24 - hours_above


def test_weights_and_prices_of_months_count() -> None:
    # Months of 10 and 50 GPUs: the smaller is committed throughout; the larger only if its hours are worth enough.
    need = [[10.0] * 24, [50.0] * 24]
    assert best_committed(need, price=1.5, on_demand=2.0) == 10.0
    assert best_committed(need, price=0.9, on_demand=2.0) == 50.0
    # Discounted to a tenth, the late month does not carry its GPUs; nor do cheap ones on demand.
    assert best_committed(need, price=0.9, on_demand=2.0, weights=[1.0, 0.1]) == 10.0
    assert best_committed(need, price=0.9, on_demand=[4.0, 1.0]) == 10.0
    assert best_committed(need, price=0.9, on_demand=[1.0, 4.0]) == 50.0


def test_cost_by_hand() -> None:
    # 20 committed at 1.70; 10 more in half of the hours of month 1, none in month 2. 730.5 hours a month.
    need = [[10.0, 30.0], [20.0, 20.0]]
    assert excess(need, 20.0).tolist() == [5.0, 0.0]
    nominal = 730.5 * (2 * 20 * 1.70 + 5 * 2.69)
    assert blended_cost(need, 20.0, price=1.70, on_demand=2.69) == pytest.approx(nominal, rel=1e-12)
    later = 730.5 * (20 * 1.70 + 5 * 2.69 + 0.9 * 20 * 1.70)
    assert blended_cost(need, 20.0, price=1.70, on_demand=[2.69, 9.9], weights=[1.0, 0.9]) == pytest.approx(
        later, rel=1e-12
    )


@given(case=cases())
def test_a_commitment_of_nothing_is_all_on_demand(case: dict[str, np.ndarray | float]) -> None:
    need = np.asarray(case.pop("need"))
    hired = 730.5 * (case["weights"] * case["on_demand"] * need.mean(axis=1)).sum()
    assert blended_cost(need, 0.0, **case) == pytest.approx(hired, rel=1e-12)


def test_the_three_ways_to_say_how_many() -> None:
    need = [[10.0, 20.0, 30.0, 40.0]]
    assert Commitment(price=1.7, gpus=200).committed(need, on_demand=2.69) == 200
    assert Commitment(price=1.7, share=0.6).committed(need, on_demand=2.69) == pytest.approx(15.0, rel=1e-12)
    # 1.7/2.69 = 63% of the hours: 20 GPUs are exceeded in half of them, 10 in three quarters.
    assert Commitment(price=1.7, best=True).committed(need, on_demand=2.69) == 20.0


def test_a_dearer_commitment_is_refused_with_a_way_out() -> None:
    dear = Commitment(price=3.0, gpus=8, kind="3-year")
    with pytest.raises(InputError) as caught:
        dear.committed(DAY, on_demand=2.69)
    assert str(caught.value) == (
        "commitment: 3-year at 3 USD/GPU-hour is dearer than 2.69 on demand, even for a GPU in use at every hour; "
        "leave the commitment out or give a lower price"
    )
    # Over the life, prices on demand that rise above it make it worth its price; discounting can undo that.
    dear.refuse_dearer([2.0, 4.1])
    with pytest.raises(InputError, match="is dearer than"):
        dear.refuse_dearer([2.0, 4.1], [1.0, 0.5])
    Commitment(price=2.69, best=True).refuse_dearer(2.69)


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan, math.inf])
def test_committed_prices_are_above_zero(price: float) -> None:
    with pytest.raises(InputError, match=r"^commitment: price must be > 0 USD/GPU-hour"):
        Commitment(price=price, best=True)


@pytest.mark.parametrize(
    "ways", [{}, {"gpus": 8.0, "share": 0.5}, {"gpus": 8.0, "best": True}, {"share": 0.5, "best": True}]
)
def test_how_many_is_said_in_one_way(ways: dict[str, float]) -> None:
    with pytest.raises(InputError, match="in exactly one way: gpus: 200, share: 60%, or best"):
        Commitment(price=1.7, **ways)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0.0, -5.0, math.nan, math.inf])
def test_numbers_of_gpus_are_above_zero(number: float) -> None:
    with pytest.raises(InputError, match="gpus must be > 0"):
        Commitment(price=1.7, gpus=number)
    with pytest.raises(InputError, match="share must be above 0"):
        Commitment(price=1.7, share=number)


def test_a_share_of_60_is_60_percent() -> None:
    with pytest.raises(InputError, match=r"not 60; write 60% or 0.6"):
        Commitment(price=1.7, share=60)


@pytest.mark.parametrize("need", [[1.0, 2.0], [[]], 3.0])
def test_needs_are_by_month_and_hour(need: object) -> None:
    with pytest.raises(InputError, match="by month and hour"):
        excess(need, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("load", [-1.0, math.nan, math.inf])
def test_needs_are_finite_and_not_negative(load: float) -> None:
    with pytest.raises(InputError, match=">= 0 GPUs and finite"):
        excess([[1.0, load]], 1.0)


def test_a_share_of_no_need_is_refused() -> None:
    with pytest.raises(InputError, match="no need in any month"):
        best_share([0.0, 0.0], [1.0], price=1.0, on_demand=2.0)
    assert best_committed([[0.0, 0.0]], price=1.0, on_demand=2.0) == 0.0


def test_rounding_alone_makes_no_commitment_dearer() -> None:
    # By a part in 1e13, no; by one in 1e11, yes. The mean is weighted: (2 x 1 + 4 x .5)/1.5
    for on_demand, weights, mean in ((2.0, 1.0, 2.0), ([2.0, 4.0], [1.0, 0.5], 4.0 / 1.5)):
        Commitment(price=mean * (1.0 + 1e-13), gpus=1).refuse_dearer(on_demand, weights)
        with pytest.raises(InputError) as caught:
            Commitment(price=mean * (1.0 + 1e-11), gpus=1, kind="3-year").refuse_dearer(on_demand, weights)
        assert str(caught.value) == (
            f"commitment: 3-year at {mean:.4g} USD/GPU-hour is dearer than {mean:.4g} on demand, even for a GPU in use "
            "at every hour; leave the commitment out or give a lower price"
        )


def test_of_equally_cheap_commitments_the_smallest_is_taken() -> None:
    # At half the price a GPU that is needed half of the time costs the same either way.
    assert best_committed([[10.0, 20.0]], price=1.0, on_demand=2.0) == 10.0
    assert best_committed([[10.0, 20.0]], price=0.999, on_demand=2.0) == 20.0
    assert best_committed([[10.0, 20.0]], price=2.0, on_demand=2.0) == 0.0
    assert best_committed([[0.0]], price=1.0, on_demand=2.0) == 0.0
    plain = Commitment(price=1.0, best=True)
    assert (plain.gpus, plain.share, plain.kind) == (None, None, "1-year")
    assert plain.committed([[10.0, 20.0]], on_demand=2.0) == 10.0
