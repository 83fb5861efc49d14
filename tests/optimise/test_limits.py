"""What limits cost: every price is a finite difference, what does not bind is free, and what is no limit is refused."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import costly, limit, limited_problems, log_floats, problems, sizes

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import HiredCompute, lifetime_cost, lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise.limits import Limit, LimitRow
from beyond_chinchilla.optimise.locate import locate
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import Posynomial, monomial

SARDANA = published("sardana-2024")
KAPLAN = published("kaplan-2020")
DEMAND = Demand(prefill_tokens=70e9, decode_tokens=215e9)
# Sardana et al. 2024, appendix B: 1B requests at 30B quality
BILL = lifetime_cost(
    training=HiredCompute(price=1.50, peak=312e12),
    training_mfu=0.5,
    serving=HiredCompute(price=1.10, peak=624e12),
    prefill_mfu=0.5,
    decode_mfu=0.01,
    demand=DEMAND,
)
REQUESTS = Problem(
    law=SARDANA,
    target_loss=float(SARDANA.compute_optimal(params=30e9).loss),
    cost=BILL,
    flops=lifetime_flops(DEMAND),
)
# Kaplan's law counts no embeddings.
CORE = Problem(
    law=KAPLAN,
    target_loss=2.4,
    cost=lifetime_flops(Demand(prefill_tokens=1e12, decode_tokens=0.0)),
    flops=lifetime_flops(Demand(prefill_tokens=1e12, decode_tokens=0.0)),
)


def _best(plan: Plan) -> Candidate:
    assert plan.best is not None
    return plan.best


def _driven(driver: str) -> Posynomial:
    return Posynomial(tuple(term for term in BILL.terms if driver in term.drivers), "USD")


FREE = _best(solve(REQUESTS))


def _under(problem: Problem, *limits: Limit) -> Plan:
    return solve(replace(problem, limits=limits))


def _log_cost(problem: Problem) -> float:
    """Return ln of the least cost, inf where there is no plan."""
    found = locate(problem)
    if not found.found:
        return math.inf
    return float(problem.counted_cost.log_value({"params": math.log(found.params), "tokens": math.log(found.tokens)}))


def _moved(problem: Problem, which: int, step: float) -> Problem:
    """Return the problem with ln of one bound moved by a step."""
    limits = list(problem.limits)
    limits[which] = replace(limits[which], bound=limits[which].bound * math.exp(step))
    return replace(problem, limits=tuple(limits))


def _slopes(problem: Problem, which: int, h: float) -> tuple[float, float]:
    """Return d ln cost / d ln bound from the left and from the right; infinite towards where no plan is."""
    down, here, up = (_log_cost(_moved(problem, which, step)) for step in (-h, 0.0, h))
    return (here - down) / h, (up - here) / h


# Prices are finite differences


@costly
@given(st.one_of(limited_problems(problems()), limited_problems()))
def test_every_elasticity_lies_between_finite_differences(problem: Problem) -> None:
    # ln cost is convex in ln bound: its slope lies between those of the chords, which meet away from kinks.
    plan = solve(problem)
    if plan.best is None:
        return
    for which, row in enumerate(plan.limits):
        left, right = _slopes(problem, which, 1e-4)
        assert left - 1e-8 <= row.elasticity <= right + 1e-8
        if row.side == "max":
            assert row.elasticity <= 0
        else:
            assert row.elasticity >= 0


@pytest.mark.parametrize(
    ("label", "side", "room"),
    [
        ("params", "max", 0.7),
        ("params", "min", 1.5),
        ("tokens", "max", 0.7),
        ("tokens", "min", 1.5),
        ("tokens_per_param", "max", 0.6),
        ("tokens_per_param", "min", 2.0),
        ("training_flops", "max", 0.97),
        ("serving_memory", "max", 0.7),
        ("serving_cost", "max", 0.9),
        ("training_cost", "max", 0.97),
    ],
)
def test_each_kind_of_limit_has_its_price(label: str, side: str, room: float) -> None:
    quantities = {"serving_cost": _driven("serving_price"), "training_cost": _driven("training_price")}
    one = limit(label, side, 1.0, quantities.get(label))
    one = replace(one, bound=room * one.value({"params": FREE.params, "tokens": FREE.tokens}))
    problem = replace(REQUESTS, limits=(one,))
    plan = solve(problem)
    (row,) = plan.limits
    h = 1e-5
    numeric = (_log_cost(_moved(problem, 0, h)) - _log_cost(_moved(problem, 0, -h))) / (2 * h)
    assert abs(numeric) > 1e-3
    assert row.elasticity == pytest.approx(numeric, rel=1e-6)
    # One unit more of room, in the unit of the bound
    unit = 1e-5 * one.bound * (1 if side == "max" else -1)
    gain = _best(plan).total - _best(_under(problem, replace(one, bound=one.bound + unit))).total
    assert row.shadow_price == pytest.approx(gain / abs(unit), rel=1e-3)
    assert row.shadow_price > 0
    assert (row.binding, row.redundant) == (True, False)
    assert row.price_unit == f"USD per {one.each}"
    assert row.value == pytest.approx(one.bound, rel=1e-10)


@costly
@given(st.one_of(limited_problems(problems()), limited_problems()))
def test_a_price_is_an_elasticity_in_its_unit_and_slack_is_free(problem: Problem) -> None:
    plan = solve(problem)
    if plan.best is None:
        assert plan.limits == ()
        return
    assert [(row.label, row.side, row.bound) for row in plan.limits] == [
        (one.label, one.side, one.bound) for one in problem.limits
    ]
    for one, row in zip(problem.limits, plan.limits, strict=True):
        assert row.shadow_price * row.bound / plan.best.total == pytest.approx(abs(row.elasticity), rel=1e-14)
        assert row.value == pytest.approx(
            one.value({"params": plan.best.params, "tokens": plan.best.tokens}), rel=1e-14
        )
        slack = math.log(row.bound / row.value) * (1 if row.side == "max" else -1)
        assert slack >= -1e-9
        assert row.binding == (slack <= 1e-7)
        if not row.binding:
            assert (row.elasticity, row.shadow_price, row.redundant) == (0.0, 0.0, False)
        assert row.redundant == (row.binding and row.shadow_price == 0)


@given(problems(), log_floats(1.05, 10.0))
def test_limits_that_do_not_bind_change_nothing(problem: Problem, room: float) -> None:
    free = solve(problem)
    N, D = _best(free).params, _best(free).tokens
    limits = (
        limit("params", "max", N * room),
        limit("params", "min", N / room),
        limit("tokens", "max", D * room),
        limit("tokens_per_param", "min", D / N / room),
    )
    plan = _under(problem, *limits)
    assert plan.best == free.best
    assert plan.elasticities == free.elasticities
    assert [(row.binding, row.shadow_price) for row in plan.limits] == 4 * [(False, 0.0)]


# Limits that say the same


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("looser", [1.0, 1.0 + 1e-8])
def test_of_two_proportional_limits_the_tighter_carries_the_price(first: int, looser: float) -> None:
    bound = 0.7 * FREE.params
    pair = [limit("params", "max", bound), limit("serving_memory", "max", bound / 1e9 * looser)]
    order = pair[::-1] if first else pair
    both = {row.label: row for row in _under(REQUESTS, *order).limits}
    alone = _under(REQUESTS, pair[0]).limits[0]
    # Of equals, the first one stated
    holder = order[0].label if looser == 1.0 else "params"
    (other,) = set(both) - {holder}
    assert both[holder].elasticity == pytest.approx(alone.elasticity, rel=1e-6)
    assert (both[holder].binding, both[holder].redundant) == (True, False)
    assert (both[other].binding, both[other].redundant) == (True, True)
    assert (both[other].elasticity, both[other].shadow_price) == (0.0, 0.0)


def test_a_proportional_limit_that_is_looser_by_more_is_slack() -> None:
    bound = 0.7 * FREE.params
    tight, loose = limit("params", "max", bound), limit("serving_memory", "max", 1.001 * bound / 1e9)
    rows = _under(REQUESTS, loose, tight).limits
    assert [(row.binding, row.redundant) for row in rows] == [(False, False), (True, False)]


def test_two_limits_that_bind_together_both_have_a_price() -> None:
    # Floors on both: the target is slack, and each floor alone holds its variable.
    problem = replace(REQUESTS, limits=(limit("params", "min", 30e9), limit("tokens", "min", 3e12)))
    plan = solve(problem)
    assert (_best(plan).params, _best(plan).tokens) == pytest.approx((30e9, 3e12), rel=1e-12)
    assert _best(plan).loss < problem.target_loss - 0.01
    assert plan.elasticities["target_loss"] == 0
    training = _best(plan).terms["training"] / _best(plan).total
    assert [row.elasticity for row in plan.limits] == pytest.approx([1.0, training], rel=1e-9)
    assert all(row.binding and not row.redundant for row in plan.limits)


# A law that counts no embeddings


@pytest.mark.parametrize(
    ("label", "side", "room"),
    [("params", "max", 0.95), ("params", "min", 1.5), ("tokens_per_param", "min", 2.0), ("tokens", "max", 0.7)],
)
def test_prices_without_embeddings(label: str, side: str, room: float) -> None:
    free = _best(solve(CORE))
    one = limit(label, side, 1.0)
    one = replace(one, bound=room * one.value({"params": free.params, "tokens": free.tokens}))
    problem = replace(CORE, limits=(one,))
    (row,) = solve(problem).limits
    h = 1e-5
    numeric = (_log_cost(_moved(problem, 0, h)) - _log_cost(_moved(problem, 0, -h))) / (2 * h)
    assert abs(numeric) > 1e-3
    assert row.elasticity == pytest.approx(numeric, rel=1e-6)
    # The bound is on all parameters, and so is its price.
    assert row.value == pytest.approx(row.bound, rel=1e-10)


def test_a_ceiling_on_tokens_per_param_is_refused_without_embeddings() -> None:
    for bound in (1.0, 1e6):
        with pytest.raises(InputError, match=r"limit tokens_per_param: max is not possible under law kaplan-2020"):
            replace(CORE, limits=(limit("tokens_per_param", "max", bound),))
    assert replace(REQUESTS, limits=(limit("tokens_per_param", "max", 100.0),)).limits


# What drives a plan under a limit on spend


def _driven_by(problem: Problem, driver: str, step: float) -> Problem:
    """Return the problem with one input times e^step, in the bill and in the limits."""

    def scaled(posynomial: Posynomial) -> Posynomial:
        terms = (term.times(math.exp(step)) if driver in term.drivers else term for term in posynomial.terms)
        return Posynomial(tuple(terms), posynomial.unit)

    limits = tuple(replace(one, quantity=scaled(one.quantity)) for one in problem.limits)
    return replace(problem, cost=scaled(problem.cost), limits=limits)


@pytest.mark.parametrize(("label", "driver"), [("serving_cost", "serving_price"), ("training_cost", "training_price")])
def test_a_dearer_hour_also_tightens_a_limit_on_spend(label: str, driver: str) -> None:
    quantity = _driven(driver)
    bound = 0.95 * float(quantity.value({"params": FREE.params, "tokens": FREE.tokens}))
    problem = replace(REQUESTS, limits=(limit(label, "max", bound, quantity),))
    plan = solve(problem)
    assert plan.limits[0].binding
    h = 1e-5
    for name in ("demand", "training_price", "serving_price"):
        up, down = (_log_cost(_driven_by(problem, name, step)) for step in (h, -h))
        assert plan.elasticities[name] == pytest.approx((up - down) / (2 * h), rel=1e-6, abs=1e-8)
    # The limit counts: without it the elasticities are shares, and add up to 1.
    shares = plan.elasticities["training_price"] + plan.elasticities["serving_price"]
    assert shares == pytest.approx(1 - plan.limits[0].elasticity, rel=1e-9)
    assert shares > 1.05
    step = h * (1 - problem.law.E / problem.target_loss)
    losses = (problem.target_loss * math.exp(s) for s in (step, -step))
    up, down = (_log_cost(replace(problem, target_loss=loss)) for loss in losses)
    assert plan.elasticities["target_loss"] == pytest.approx((up - down) / (2 * step), rel=1e-5)


# Published figures


@pytest.mark.parametrize(
    ("share", "overhead", "half"),
    [
        # Recomputed from De Vries 2023, "Go smol or go home": k_N k_D - 1 with alpha .336, beta .283
        (0.75, 2.85, 5e-3),
        (0.57, 12.53, 5e-3),
        (0.50, 20.78, 5e-3),
        (0.30, 105.56, 5e-3),
        (0.25, 188.88, 5e-3),
        (0.20, 428.8, 5e-2),
        # As the blog prints them: half the size for 20%, a quarter for 188%; 30% is "critical"
        (0.50, 20, 1),
        (0.25, 188, 1),
        (0.30, 100, 6),
        (0.57, 12, 1),
    ],
)
@pytest.mark.parametrize("size", [1e9, 70e9])
def test_the_price_of_smaller_models(share: float, overhead: float, half: float, size: float) -> None:
    # Next to no demand: the bill is the training compute.
    flops = lifetime_flops(Demand(prefill_tokens=1.0, decode_tokens=0.0))
    problem = Problem(
        law=SARDANA, target_loss=float(SARDANA.compute_optimal(params=size).loss), cost=flops, flops=flops
    )
    plan = _under(problem, limit("params", "max", share * size))
    assert 100 * (_best(plan).total / plan.baseline.total - 1) == pytest.approx(overhead, abs=half)
    assert plan.savings_fraction == pytest.approx(1 - _best(plan).total / plan.baseline.total, rel=1e-9)
    assert _best(plan).params == pytest.approx(share * size, rel=1e-12)
    assert plan.baseline.breaks == ("params",)


def test_no_model_under_a_tenth_of_chinchilla_gets_there() -> None:
    # The asymptote of De Vries's curve: (f/(1 + f))^(1/alpha) = .0974 with f = beta/alpha
    flops = lifetime_flops(Demand(prefill_tokens=1.0, decode_tokens=0.0))
    problem = Problem(law=SARDANA, target_loss=float(SARDANA.compute_optimal(params=7e9).loss), cost=flops, flops=flops)
    assert _under(problem, limit("params", "max", 0.0973 * 7e9)).status == "infeasible"
    assert _under(problem, limit("params", "max", 0.0975 * 7e9)).status == "optimal"


# What may be a limit


@pytest.mark.parametrize("label", ["training_flops", "serving_memory", "total_cost", "training_time", "anything"])
def test_a_floor_is_only_for_params_tokens_and_their_ratio(label: str) -> None:
    quantity = monomial("training", 1.0, {"params": 1.0, "tokens": 1.0})
    with pytest.raises(InputError, match=rf"limit {label}: min is not possible: a floor on spend has no certified"):
        limit(label, "min", 1e20, quantity)
    assert limit(label, "max", 1e20, quantity).side == "max"


@pytest.mark.parametrize("bound", [0.0, -1.0, math.inf, math.nan])
@pytest.mark.parametrize("side", ["max", "min"])
def test_a_bound_is_positive_and_finite(bound: float, side: str) -> None:
    with pytest.raises(InputError, match=rf"limit params: {side} must be above zero and finite, not {bound}"):
        limit("params", side, bound)


def test_a_side_is_max_or_min() -> None:
    with pytest.raises(InputError, match="limit params: side must be max or min, not most"):
        limit("params", "most", 1e9)


def test_a_limit_knows_who_breaks_it() -> None:
    ceiling, floor = limit("params", "max", 7e9), limit("tokens", "min", 1e12)
    assert [ceiling.broken({"params": size}) for size in (6.9e9, 7e9, 7e9 * (1 + 1e-12), 7.01e9)] == [
        False,
        False,
        False,
        True,
    ]
    assert [floor.broken({"tokens": tokens}) for tokens in (9.9e11, 1e12, 1e13)] == [True, False, False]
    assert limit("training_flops", "max", 1e22).value({"params": 1e9, "tokens": 1e12}) == pytest.approx(6e21, rel=1e-15)


@given(sizes(), log_floats(1e9, 1e14))
def test_the_ratio_is_the_value_over_the_bound(total: float, D: float) -> None:
    for label, side in (("params", "max"), ("tokens", "max"), ("tokens_per_param", "min"), ("training_flops", "max")):
        one = limit(label, side, 12345.0)
        for law in (SARDANA, KAPLAN):
            N = float(law.counted_params(total))
            ratio = float(one.ratio(law).value({"params": N, "tokens": D}))
            value = one.value({"params": total, "tokens": D}) / one.bound
            assert ratio == pytest.approx(value if side == "max" else 1 / value, rel=1e-12)
    # A floor on params bounds the count of the law: as tight, at the bound itself.
    floor = limit("params", "min", total)
    for law in (SARDANA, KAPLAN):
        assert float(floor.ratio(law).value({"params": float(law.counted_params(total))})) == pytest.approx(
            1, rel=1e-12
        )


def test_a_row_as_json() -> None:
    plan = _under(REQUESTS, limit("params", "max", 0.7 * FREE.params), limit("tokens", "min", 1e9))
    rows = json.loads(json.dumps(plan.to_dict(), allow_nan=False))["limits"]
    assert [list(row) for row in rows] == 2 * [
        [
            "label",
            "side",
            "value",
            "bound",
            "bound_unit",
            "binding",
            "redundant",
            "free",
            "elasticity",
            "shadow_price",
            "unit",
        ]
    ]
    assert (rows[0]["label"], rows[0]["side"], rows[0]["binding"]) == ("params", "max", True)
    assert (rows[0]["bound_unit"], rows[0]["unit"]) == ("params", "USD per parameter")
    assert (rows[1]["label"], rows[1]["binding"], rows[1]["shadow_price"]) == ("tokens", False, 0.0)
    assert isinstance(plan.limits[0], LimitRow)
