"""Limits and their rows by hand: every field, either side of every edge."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.limits import Limit, LimitRow, merged, price
from beyond_chinchilla.posynomial import Posynomial, monomial

SARDANA, KAPLAN = published("sardana-2024"), published("kaplan-2020")
# 3 N may be 10 at most, beside the 2 that the quantity holds beyond what is meant: N = 4 is the last that may be.
SHIFTED = Limit(
    label="serving_cost",
    side="max",
    quantity=monomial("spend", 3.0, {"params": 1.0}),
    bound=10.0,
    unit="USD",
    each="USD",
    offset=2.0,
)
FLOOR = Limit(
    label="params",
    side="min",
    quantity=monomial("params", 1.0, {"params": 1.0}),
    bound=8.0,
    unit="params",
    each="parameter",
)
GPUS = Limit(
    label="peak_gpus",
    side="max",
    quantity=monomial("gpus", 1.0, {"params": 1.0}),
    bound=12.0,
    unit="GPUs",
    each="GPU",
)


def test_an_offset_is_no_part_of_the_value() -> None:
    assert SHIFTED.value({"params": 5.0}) == 13.0
    assert FLOOR.value({"params": 5.0}) == 5.0


@pytest.mark.parametrize(
    ("one", "edge", "sign"),
    [(SHIFTED, 4.0, 1.0), (FLOOR, 8.0, -1.0)],
)
def test_a_limit_is_broken_beyond_rounding(one: Limit, edge: float, sign: float) -> None:
    broken = [one.broken({"params": edge * math.exp(sign * by)}) for by in (-3.0, -2e-9, 0.0, 5e-10, 2e-9, 3.0)]
    assert broken == [False, False, False, False, True, True]


def test_a_moved_bound_makes_room_for_so_much_more_of_the_quantity() -> None:
    assert SHIFTED.moved(math.log(1.5)) == pytest.approx(16.0, rel=1e-15)
    assert SHIFTED.moved(0.0) == 10.0
    assert FLOOR.moved(math.log(0.5)) == pytest.approx(4.0, rel=1e-15)


@pytest.mark.parametrize(
    ("one", "bound", "digits", "outward"),
    [
        (SHIFTED, 12341.0, 4, 12350.0),
        (SHIFTED, 12341.0, 2, 13000.0),
        (SHIFTED, 0.00123401, 4, 0.001235),
        (SHIFTED, 1000.0, 4, 1000.0),
        (FLOOR, 12349.0, 4, 12340.0),
        (FLOOR, 0.0012349, 2, 0.0012),
        (GPUS, 12.3, 4, 13.0),
        (GPUS, 123456.7, 4, 123457.0),
        (replace(FLOOR, unit="GPUs"), 12.9, 4, 12.0),
    ],
)
def test_a_bound_that_can_be_stated_makes_no_less_room(one: Limit, bound: float, digits: int, outward: float) -> None:
    assert one.outward(bound, digits) == pytest.approx(outward, rel=1e-14)
    if digits == 4:
        assert one.outward(bound) == one.outward(bound, 4)


def test_what_is_counted_is_written_in_whole() -> None:
    assert GPUS.is_counted
    assert not SHIFTED.is_counted
    assert GPUS.written(12.2) == "13 GPUs"
    assert GPUS.written(1234.0, 2) == "1234 GPUs"
    assert replace(SHIFTED, unit="day").written(12.3456) == "12.3 day"
    assert replace(SHIFTED, unit="day").written(12.3456, 4) == "12.35 day"


def test_an_offset_stands_on_both_sides_of_the_ratio() -> None:
    assert float(SHIFTED.ratio(SARDANA).value({"params": 4.0})) == pytest.approx(1.0, rel=1e-15)
    assert float(SHIFTED.ratio(SARDANA).value({"params": 6.0})) == pytest.approx(1.5, rel=1e-15)
    assert SHIFTED.ratio(SARDANA).unit == ""
    counted = float(KAPLAN.counted_params(6e9))
    large = replace(SHIFTED, bound=6e9)
    assert float(large.ratio(KAPLAN).value({"params": counted})) == pytest.approx(18e9 / (6e9 + 2.0), rel=1e-13)


def test_a_floor_is_the_bound_over_the_value() -> None:
    assert float(FLOOR.ratio(SARDANA).value({"params": 16.0})) == 0.5
    ratio = monomial("ratio", 2.0, {"tokens": 1.0, "params": -1.0})
    per_param = replace(FLOOR, label="tokens_per_param", quantity=ratio, bound=30.0)
    assert float(per_param.ratio(SARDANA).value({"params": 4.0, "tokens": 80.0})) == pytest.approx(0.75, rel=1e-15)
    counted = float(KAPLAN.counted_params(4e9))
    point = {"params": counted, "tokens": 8e10}
    assert float(per_param.ratio(KAPLAN).value(point)) == pytest.approx(0.75, rel=1e-13)


def test_bounds_of_a_block_are_checked_one_by_one() -> None:
    import numpy as np

    assert FLOOR.ratio(SARDANA).variables == ("params",)
    with pytest.raises(InputError, match="limit params: min must be above zero and finite"):
        replace(FLOOR, bound=np.array([1.0, 0.0]))
    assert replace(FLOOR, bound=np.array([1.0, 1e-300])).side == "min"


def test_a_bound_stretches_as_the_law_counts() -> None:
    assert SHIFTED.stretch(SARDANA) == pytest.approx(10.0 / 12.0, rel=1e-15)
    assert SHIFTED.stretch(KAPLAN) == pytest.approx(10.0 / 12.0, rel=1e-15)
    assert replace(SHIFTED, offset=0.0).stretch(KAPLAN) == 1.0
    assert FLOOR.stretch(SARDANA) == 1.0
    params_max = replace(FLOOR, side="max", bound=1e8)
    assert params_max.stretch(KAPLAN) == 1.0
    tokens = replace(FLOOR, label="tokens", quantity=monomial("tokens", 1.0, {"tokens": 1.0}), bound=1e8)
    assert tokens.stretch(KAPLAN) == 1.0
    # Counted without embeddings: total = N + 47491 N^(1/3)
    N = 1e8
    total = N + 47491.0 * N ** (1 / 3)
    expected = total / (N + 47491.0 * N ** (1 / 3) / 3)
    assert replace(FLOOR, bound=total).stretch(KAPLAN) == pytest.approx(expected, rel=1e-12)


def _row(**changes: object) -> LimitRow:
    stated: dict[str, object] = {
        "label": "serving_cost",
        "side": "max",
        "unit": "USD",
        "each": "USD",
        "value": 10.0,
        "bound": 10.0,
        "binding": True,
        "redundant": False,
        "elasticity": 0.0,
        "shadow_price": 0.0,
        "price_unit": "FLOP per USD",
    }
    return LimitRow(**(stated | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("multiplier", "free", "expected"),
    [
        # Of the bound with its offset: 10/12 of the dual, and a bill of 600 over the bound of 10
        (0.6, False, {"elasticity": -0.5, "shadow_price": 30.0}),
        (0.6, True, {"elasticity": -0.5, "shadow_price": 30.0}),
        (0.0, False, {"redundant": True}),
        (0.0, True, {"free": True}),
    ],
)
def test_a_limit_that_binds_has_a_price_or_is_redundant_or_free(
    multiplier: float, free: bool, expected: dict[str, object]
) -> None:
    row = price(SHIFTED, multiplier, SARDANA, point={"params": 4.0}, total=600.0, unit="FLOP", free=free)
    wanted = _row(**expected)
    assert (row.elasticity, row.shadow_price) == pytest.approx((wanted.elasticity, wanted.shadow_price), rel=1e-14)
    assert replace(row, elasticity=0.0, shadow_price=0.0) == replace(wanted, elasticity=0.0, shadow_price=0.0)


def test_freedom_is_said_not_supposed() -> None:
    assert price(SHIFTED, 0.0, SARDANA, point={"params": 4.0}, total=600.0, unit="FLOP") == _row(redundant=True)
    assert not _row().free


@pytest.mark.parametrize(("by", "binding"), [(-1.1e-7, False), (-0.9e-7, True), (0.9e-7, True), (1.1e-7, False)])
def test_a_limit_binds_within_a_ten_millionth(by: float, binding: bool) -> None:
    point = {"params": 4.0 * math.exp(by)}
    for free in (False, True):
        row = price(SHIFTED, 0.6, SARDANA, point=point, total=600.0, unit="FLOP", free=free)
        assert row.binding is binding
        assert row.elasticity == pytest.approx(-0.5 if binding else 0.0)
        slack = price(SHIFTED, 0.0, SARDANA, point=point, total=600.0, unit="FLOP", free=free)
        assert (slack.redundant, slack.free) == (binding and not free, binding and free)


def test_a_floor_has_a_price_above_zero() -> None:
    row = price(FLOOR, 0.25, SARDANA, point={"params": 8.0}, total=64.0, unit="USD")
    assert row == _row(
        label="params",
        side="min",
        unit="params",
        each="parameter",
        value=8.0,
        bound=8.0,
        elasticity=0.25,
        shadow_price=2.0,
        price_unit="USD per parameter",
    )


def test_a_row_as_json_by_hand() -> None:
    assert _row(elasticity=-0.5, shadow_price=30.0, free=True, value=9.0).to_dict() == {
        "label": "serving_cost",
        "side": "max",
        "value": 9.0,
        "bound": 10.0,
        "bound_unit": "USD",
        "binding": True,
        "redundant": False,
        "free": True,
        "elasticity": -0.5,
        "shadow_price": 30.0,
        "unit": "FLOP per USD",
    }


def test_rows_of_one_name_are_one_with_the_price_of_all() -> None:
    first = _row(value=6.0, bound=8.0, binding=False)
    second = _row(value=9.0, bound=10.0, elasticity=-0.2, shadow_price=3.0)
    third = _row(value=18.0, bound=20.1, elasticity=-0.3, shadow_price=4.0)
    other = _row(side="min")
    assert merged([first, second, other, third]) == (
        replace(second, elasticity=-0.5, shadow_price=7.0),
        other,
    )
    # Of a floor the one with the least over its bound is the tightest.
    low, high = _row(side="min", value=21.0, bound=20.0), _row(side="min", value=11.0, bound=10.0)
    assert merged([high, low]) == (replace(low, redundant=True),)
    assert merged([low, high]) == (replace(low, redundant=True),)


@pytest.mark.parametrize(
    ("tightest", "elasticity", "expected"),
    [
        ({"redundant": True}, 0.0, {"redundant": True}),
        ({"redundant": True}, -0.1, {"redundant": False}),
        ({"redundant": True}, 0.1, {"redundant": False}),
        ({"free": True}, 0.0, {"free": True}),
        ({"free": True}, -0.1, {"free": False}),
        ({"free": True}, 0.1, {"free": False}),
        ({"binding": False}, 0.0, {"redundant": False}),
        ({}, 0.0, {"redundant": True}),
    ],
)
def test_what_is_redundant_or_free_is_asked_of_all_rows(
    tightest: dict[str, object], elasticity: float, expected: dict[str, object]
) -> None:
    loose = _row(value=5.0, binding=False, elasticity=elasticity)
    (row,) = merged([_row(**tightest), loose])
    assert row == replace(_row(**tightest), elasticity=elasticity, **expected)  # type: ignore[arg-type]


def test_a_limit_of_several_terms_without_embeddings_counts_each_term() -> None:
    held = Posynomial((*monomial("a", 1.0, {"params": 1.0}).terms, *monomial("b", 2.0, {"tokens": 1.0}).terms), "GB")
    one = Limit(label="memory", side="max", quantity=held, bound=10.0, unit="GB", each="GB")
    counted = float(KAPLAN.counted_params(6.0))
    assert float(one.ratio(KAPLAN).value({"params": counted, "tokens": 7.0})) == pytest.approx(2.0, rel=1e-12)
