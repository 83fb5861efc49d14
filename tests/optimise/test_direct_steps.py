"""The direct search on bills that are written down: sizes, batches, and where either may lie."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from service_doubles import SARDANA, Chips, FakeBill, design, latency, shifts
from strategies import limit

from beyond_chinchilla.optimise import direct, outright
from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.direct import Profile, Sized, bill_of
from beyond_chinchilla.optimise.iso_loss import IsoLoss
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.operation import SLIP, Operation, Operations, _grid, _log_sums
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, monomial

CHIPS = Chips()
SMOOTH = design(FakeBill(chips=CHIPS, shifts=shifts(2e12)), CHIPS.memory_limit(), latency(20.0))


# A size run at its best


def test_what_is_broken_comes_before_what_is_dear() -> None:
    kept, dear = Sized(1.0, 1.0, {}, 0.0, 5.0), Sized(1.0, 1.0, {}, SLIP, 9.0)
    broken, worse = Sized(1.0, 1.0, {}, 2e-11, 1.0), Sized(1.0, 1.0, {}, 0.3, 0.5)
    assert [one.key for one in (kept, dear, broken, worse)] == [(False, 5.0), (False, 9.0), (True, 2e-11), (True, 0.3)]
    assert min((worse, broken, dear, kept), key=lambda one: one.key) is kept


def test_a_floor_on_data_asks_for_more_tokens_than_the_target() -> None:
    z = 0.5
    N, D = (math.exp(float(x)) for x in IsoLoss(SARDANA, SMOOTH.reducible).logs(z).values())
    plain = Profile(SMOOTH).at(z)
    assert (plain.params, plain.tokens) == pytest.approx((N, D), rel=1e-12)
    for one, tokens in (
        (limit("tokens", "min", 3.0 * D), 3.0 * D),
        (limit("tokens", "min", 0.5 * D), D),
        (limit("tokens_per_param", "min", 3.0 * D / N), 3.0 * D),
        (limit("tokens", "max", 3.0 * D), D),
        (limit("params", "min", 3.0 * D), D),
    ):
        found = Profile(replace(SMOOTH, limits=(*SMOOTH.limits, one))).at(z)
        assert found.tokens == pytest.approx(tokens, rel=1e-12)
        assert found.params == pytest.approx(N, rel=1e-12)
    # What a floor on size lacks there is broken.
    found = Profile(replace(SMOOTH, limits=(*SMOOTH.limits, limit("params", "min", 2.0 * N)))).at(z)
    assert found.excess == pytest.approx(math.log(2.0), rel=1e-9)


def test_a_budget_is_broken_by_the_bill() -> None:
    floored = replace(SMOOTH, bill=FakeBill(chips=CHIPS, shifts=shifts(2e12), floor=1.2))
    plain = Profile(floored).at(0.5)
    spend = Limit(
        label="serving_cost",
        side="max",
        quantity=monomial("serving", 1.0, {SERVING: 1.0}, unit="USD"),
        bound=1.0,
        unit="USD",
        each="USD",
    )
    point = floored.point(plain.params, plain.tokens, plain.variables)
    for bound, over in ((0.5 * point[SERVING], math.log(2.0)), (2.0 * point[SERVING], -math.log(2.0))):
        found = Profile(replace(floored, limits=(*floored.limits, replace(spend, bound=bound)))).at(0.5)
        assert found.excess == pytest.approx(max(over, plain.excess), abs=1e-9)
        assert found.total == pytest.approx(plain.total, rel=1e-12)


def test_the_bill_of_a_plan_is_training_and_serving_without_the_shift() -> None:
    committed = replace(SMOOTH, bill=FakeBill(chips=CHIPS, shifts=shifts(2e12), committed=2.0))
    assert committed.shift > 0
    variables = {"batch": 100.0, "step_time": 0.01}
    for problem in (SMOOTH, committed):
        point = {"params": 7e9, "tokens": 1e12, **variables}
        assert problem.bill is not None
        served = sum(problem.bill.terms(point).values())
        training = 6.0 * 1.5e-18 * 7e9 * 1e12
        assert bill_of(problem, 7e9, 1e12, variables) == pytest.approx(training + served, rel=1e-12)
    plain = replace(SMOOTH, bill=None, limits=())
    assert bill_of(plain, 7e9, 1e12, {}) == pytest.approx(6.0 * 1.5e-18 * 7e9 * 1e12, rel=1e-12)


class Bowl(Profile):
    """A profile of which the bill is a distance, and some sizes are broken."""

    def __init__(self, least: float, low: float = -math.inf, high: float = math.inf) -> None:
        self.least, self.low, self.high, self.asked = least, low, high, []
        self.curve = IsoLoss(SARDANA, 0.3)

    def at(self, z: float) -> Sized:
        self.asked.append(z)
        over = max(self.low - z, z - self.high, 0.0)
        return Sized(math.exp(float(self.curve.logs(z)["params"])), 1.0, {}, over, 1.0 + (z - self.least) ** 2)


@pytest.mark.parametrize(
    ("least", "low", "high", "found"),
    [
        (0.3, -math.inf, math.inf, 0.3),
        (-13.0, -math.inf, math.inf, -13.0),
        (13.5, -math.inf, math.inf, 13.5),
        (3.0, -math.inf, 1.0, 1.0),
        (-3.0, 1.5, math.inf, 1.5),
    ],
)
def test_golden_section_finds_the_least_that_is_kept(least: float, low: float, high: float, found: float) -> None:
    bowl = Bowl(least, low, high)
    best = bowl.cheapest()
    assert best.excess <= SLIP
    # A bill is known to rounding, and so its least point to the root of that.
    z = float(bowl.curve.coordinate(best.params))
    assert z == pytest.approx(found, abs=3e-7)
    # One size a step, each step 0.618 of the last
    assert len(bowl.asked) <= 2 + math.ceil(math.log(28.0 / 1e-12) / math.log(1.618)) + 2
    assert bowl.asked[:2] == pytest.approx([14.0 - 28.0 * 0.6180339887, -14.0 + 28.0 * 0.6180339887])
    assert max(map(abs, bowl.asked)) < 14.0


@pytest.mark.parametrize("most", [1.01, 2.0, 5.0])
def test_the_range_of_nearly_equal_bills(most: float) -> None:
    bowl = Bowl(0.4)
    N = math.exp(float(bowl.curve.logs(0.4)["params"]))
    low, high = bowl.range(N, most)
    way = math.sqrt(most - 1.0)
    exact = [float(bowl.curve.logs(0.4 + by)["params"]) for by in (way, -way)]
    assert low == pytest.approx(exact[0], abs=1.1e-4)
    assert high == pytest.approx(exact[1], abs=1.1e-4)
    # On the near side of the end
    assert low >= exact[0]
    assert high <= exact[1]


def test_a_range_ends_at_a_limit_or_nowhere() -> None:
    bowl = Bowl(0.4, 0.1, 0.9)
    N = math.exp(float(bowl.curve.logs(0.4)["params"]))
    low, high = bowl.range(N, 100.0)
    assert low == pytest.approx(float(bowl.curve.logs(0.9)["params"]), abs=1.1e-4)
    assert high == pytest.approx(float(bowl.curve.logs(0.1)["params"]), abs=1.1e-4)
    assert Bowl(0.4).range(N, 1e9) == (-math.inf, math.inf)
    # An end nearer than the first step
    for by in (2e-3, 9e-3):
        near = Bowl(0.4, 0.4 - by, 0.4 + by)
        low, high = near.range(N, 100.0)
        assert low == pytest.approx(float(bowl.curve.logs(0.4 + by)["params"]), abs=1.1e-4)
        assert high == pytest.approx(float(bowl.curve.logs(0.4 - by)["params"]), abs=1.1e-4)


def test_a_plan_that_breaks_a_limit_is_none() -> None:
    small = Chips(memory=1.0)
    nothing = direct.optimum(design(FakeBill(chips=small, shifts=shifts(2e12)), small.memory_limit()))
    assert not nothing.found
    assert nothing.method == "direct"
    found = direct.optimum(SMOOTH)
    assert found.found
    assert set(found.variables) == {"batch", "step_time"}


# How a size is run


def test_evenly_spaced_points_end_exactly() -> None:
    grid = _grid(-0.1, 0.3)
    assert len(grid) == 101
    assert grid[-1] == 0.3
    assert grid == pytest.approx(np.linspace(-0.1, 0.3, 101), abs=1e-16)


def test_logs_of_sums_stay_within_the_doubles() -> None:
    owner = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    terms = np.array([[0.0, 1.0], [math.log(2.0), 2000.0], [-2000.0, 3.0]])
    found = _log_sums(owner, terms)
    assert found[0] == pytest.approx([math.log(3.0), 690.0], rel=1e-14)
    assert found[1] == pytest.approx([-690.0, 3.0], rel=1e-14)


STEP = [monomial("reading", 0.01, {"step_time": -1.0}), monomial("compute", 1e-4, {"batch": 1.0, "step_time": -1.0})]
DECODE = monomial("decode", 1.0, {"step_time": 1.0, "batch": -1.0})


def _least(*limits: Posynomial, bill: Posynomial = DECODE, rows: list[Posynomial] = STEP) -> Operation:
    return Operations(bill, [*rows, *limits]).best(1e9, 1e12)


def _at_most(name: str, bound: float, power: float = 1.0) -> Posynomial:
    return monomial(name, bound**-power, {name: power})


@pytest.mark.parametrize(
    ("limits", "batch", "step"),
    [
        # Reading takes 10 ms and each sequence 0.1 ms: beyond a hundred nothing is gained, and below it time is.
        ((), 100.0, 0.01),
        ((_at_most("batch", 20.0),), 20.0, 0.01),
        ((_at_most("batch", 400.0, -1.0),), 400.0, 0.04),
        ((_at_most("batch", 20.0, 2.0),), 20.0, 0.01),
        ((_at_most("batch", 400.0, -3.0),), 400.0, 0.04),
        ((_at_most("batch", 20.0), _at_most("batch", 50.0)), 20.0, 0.01),
        ((_at_most("batch", 400.0, -1.0), _at_most("batch", 300.0, -1.0)), 400.0, 0.04),
        ((_at_most("step_time", 0.02),), 100.0, 0.01),
        ((_at_most("batch", 400.0, -1.0), _at_most("step_time", 0.05)), 400.0, 0.04),
        ((monomial("m", 1e-4, {"step_time": 1.0, "batch": 1.0, "params": 1e-9}),), 100.0, 0.01),
        ((monomial("m", 2.0, {"step_time": 1.0, "batch": 1.0}),), 50.0, 0.01),
    ],
)
def test_the_cheapest_batch_by_hand(limits: tuple[Posynomial, ...], batch: float, step: float) -> None:
    found = _least(*limits)
    assert found.feasible
    assert found.variables["batch"] == pytest.approx(batch, rel=1e-9)
    assert found.variables["step_time"] == pytest.approx(step, rel=1e-9)
    rough = Operations(DECODE, [*STEP, *limits]).roughly(1e9, 1e12)
    assert rough.variables["batch"] == pytest.approx(batch, rel=3e-2)


def test_a_smooth_minimum_is_found() -> None:
    # Half of it falls, half of it rises: least at the root of their ratio.
    bill = monomial("a", 400.0, {"batch": -1.0, "step_time": 1.0}) + monomial(
        "b", 4.0, {"batch": 1.0, "step_time": 1.0}
    )
    found = _least(bill=bill, rows=STEP[:1])
    assert found.variables["batch"] == pytest.approx(10.0, rel=2e-6)
    # One that only rises is run at the least batch.
    rises = monomial("b", 4.0, {"batch": 1.0, "step_time": 1.0})
    assert _least(bill=rises).variables["batch"] == pytest.approx(1e-3, rel=1e-9)
    # Nothing is paid for a step: the fastest is best.
    held = _least(_at_most("batch", 3.0, -1.0), bill=monomial("f", 4.0, {"params": 1.0}))
    assert held.variables["batch"] == pytest.approx(3.0, rel=1e-9)
    assert held.variables["step_time"] == pytest.approx(0.01, rel=1e-9)


def test_what_is_broken_least_where_nothing_can_be_kept() -> None:
    # b / 10 and 40 / b: both 2 at b = 20
    rows = [
        monomial("more", 0.1, {"batch": 1.0, "params": 1e-12}),
        monomial("less", 40.0, {"batch": -1.0, "params": 1e-12}),
    ]
    operations = Operations(DECODE, [*STEP, *rows])
    found = operations.best(1e9, 1e12)
    assert not found.feasible
    assert found.excess == pytest.approx(math.log(2.0), rel=1e-8)
    assert found.variables["batch"] == pytest.approx(20.0, rel=1e-7)
    assert operations.least_excess(1e9, 1e12) == pytest.approx(math.log(2.0), rel=1e-8)
    assert Operation({}, SLIP).feasible
    assert not Operation({}, 1.1 * SLIP).feasible
    assert Operation({}, -1.0).feasible


def test_a_needle_of_batches_is_found() -> None:
    for width in (1.0, 0.1, 1e-3, 1e-6):
        rows = [
            monomial("more", math.exp(-width) / 20.0, {"batch": 1.0, "params": 1e-12}),
            monomial("less", 20.0, {"batch": -1.0, "params": 1e-12}),
        ]
        found = Operations(DECODE, [*STEP, *rows]).best(1e9, 1e12)
        assert found.feasible
        assert found.variables["batch"] == pytest.approx(20.0 * math.exp(width), rel=1e-8)
        assert Operations(DECODE, [*STEP, *rows]).least_excess(1e9, 1e12) == 0.0


@pytest.mark.parametrize(("share", "batch"), [(0.01, 100.0 / 1.01), (0.25, 80.0), (1.0, 50.0)])
def test_the_knee_is_the_smallest_batch_that_costs_little_more(share: float, batch: float) -> None:
    operations = Operations(DECODE, STEP)
    # Below 100 the bill of a token is in proportion to 1 / batch.
    assert operations.knee(1e9, 1e12, share).variables["batch"] == pytest.approx(batch, rel=1e-6)
    assert operations.knee(1e9, 1e12).variables["batch"] == pytest.approx(100.0 / 1.01, rel=1e-6)
    fixed = Operations(monomial("b", 1.0, {"step_time": 1.0}), STEP[:1])
    assert fixed.knee(1e9, 1e12).variables == fixed.best(1e9, 1e12).variables == {"step_time": pytest.approx(0.01)}


# What no model can keep


def _serving(problem: Problem, label: str, side: str, bound: float, quantity: Posynomial, offset: float = 0.0) -> Limit:
    del problem
    return Limit(label=label, side=side, quantity=quantity, bound=bound, unit="USD", each="USD", offset=offset)


@pytest.mark.parametrize(
    ("powers", "grows"),
    [
        ({"params": 1.0}, True),
        ({"params": 0.0}, True),
        ({"batch": -1.0}, True),
        ({"params": -0.1}, False),
        ({"tokens": 1.0}, False),
        ({"tokens": -1.0}, False),
        ({"params": 1.0, "tokens": 1.0}, False),
        ({"params": 1.0, SERVING: 1.0}, False),
    ],
)
def test_what_grows_with_size_alone(powers: dict[str, float], grows: bool) -> None:
    assert outright._grows(monomial("one", 1.0, powers)) is grows
    assert outright._grows(monomial("one", 1.0, powers) + monomial("two", 1.0, {"params": 2.0})) is grows
    assert outright._grows(monomial("two", 1.0, {"params": 2.0}) + monomial("one", 1.0, powers)) is grows


@pytest.mark.parametrize(("p", "r"), [(1.0, 0.0), (0.0, 2.0), (1.0, 1.0), (0.5, 2.0), (0.0, 0.0)])
def test_the_least_of_a_term_on_the_curve(p: float, r: float) -> None:
    curve = IsoLoss(SARDANA, SMOOTH.reducible)
    z = np.linspace(-60.0, 60.0, 120_001)
    logs = curve.logs(z)
    least = float((p * logs["params"] + r * logs["tokens"]).min())
    assert outright._least_on_curve(SMOOTH, p, r) == pytest.approx(least, abs=1e-7)


@pytest.mark.parametrize(
    ("quantity", "side", "serving", "least"),
    [
        (monomial("a", 3.0, {"params": 1.0}), "max", None, "params"),
        (monomial("a", 3.0, {"params": 1.0}), "min", None, None),
        (monomial("a", 3.0, {"params": -1.0}), "max", None, None),
        (monomial("a", 3.0, {"batch": 1.0}), "max", None, None),
        (monomial("a", 3.0, {SERVING: 1.0}), "max", None, None),
        (monomial("a", 3.0, {SERVING: 2.0}), "max", 7.0, 147.0),
        (monomial("a", 3.0, {SERVING: -1.0}), "max", 7.0, None),
        (monomial("a", 3.0, {}), "max", None, 3.0),
        (monomial("a", 3.0, {}) + monomial("b", 2.0, {SERVING: 1.0}), "max", 7.0, 17.0),
    ],
)
def test_the_least_of_a_limit_over_its_bound(
    quantity: Posynomial, side: str, serving: float | None, least: float | str | None
) -> None:
    bound = 12.0
    label = "params" if side == "min" else "anything"
    one = _serving(SMOOTH, label, side, bound, quantity, offset=5.0)
    found = outright._least_over(SMOOTH, one, serving)
    if least is None:
        assert found == -math.inf
        return
    if least == "params":
        least = 3.0 * float((SARDANA.A / SMOOTH.reducible) ** (1.0 / SARDANA.alpha))
    assert found == pytest.approx(math.log(float(least) / 17.0), rel=1e-10)


def test_which_limits_bound_the_very_bill() -> None:
    spent = SMOOTH.cost + monomial("serving", 1.0, {SERVING: 1.0}, unit="USD")
    budget = _serving(SMOOTH, "total_cost", "max", 1e9, spent)
    assert outright._is_budget(SMOOTH, budget)
    assert not outright._is_budget(SMOOTH, replace(budget, quantity=SMOOTH.cost))
    assert not outright._is_budget(SMOOTH, replace(budget, quantity=spent.times(2.0)))
    assert not outright._is_budget(replace(SMOOTH, bill=None, limits=()), budget)
    assert outright._is_budget(replace(SMOOTH, bill=None, limits=()), replace(budget, quantity=SMOOTH.cost))
    assert not outright._is_budget(SMOOTH, limit("params", "min", 1.0))
    capped = replace(SMOOTH, limits=(budget, *SMOOTH.limits))
    freed = outright.unbudgeted(capped)
    assert freed is not None
    assert freed.limits == SMOOTH.limits
    assert outright.unbudgeted(SMOOTH) is None


def test_a_budget_below_the_least_bill_says_what_it_would_have_to_be() -> None:
    spent = SMOOTH.cost + monomial("serving", 1.0, {SERVING: 1.0}, unit="USD")
    located = direct.optimum(SMOOTH)
    least = bill_of(SMOOTH, located.params, located.tokens, dict(located.variables))
    for factor, told in ((1.0 - 2e-6, True), (1.0 - 0.5e-6, False), (1.0, False), (2.0, False)):
        budget = _serving(SMOOTH, "total_cost", "max", factor * least, spent)
        said = outright.over_budget(replace(SMOOTH, limits=(*SMOOTH.limits, budget)), located)
        assert bool(said) is told
    poor: Any = _serving(SMOOTH, "total_cost", "max", 0.5 * least, spent)
    said = outright.over_budget(replace(SMOOTH, limits=(poor,)), located)
    assert said == (
        f"total_cost would be at least {poor.written(least, 4)} for the cheapest model that keeps the other limits, "
        f"max is {poor.written(0.5 * least, 4)}"
    )


@pytest.mark.parametrize(("over", "told"), [(2e-6, True), (0.5e-6, False)])
def test_the_smallest_model_that_reaches_the_target(over: float, told: bool) -> None:
    smallest = float((SARDANA.A / SMOOTH.reducible) ** (1.0 / SARDANA.alpha))
    cap = limit("params", "max", smallest * math.exp(-over))
    said = outright.broken_outright(replace(SMOOTH, limits=(cap,)))
    assert bool(said) is told
    if told:
        size = outright._smallest(smallest)
        assert said == outright._too_much(cap, over, size)
        assert size.startswith("the smallest model that can reach the target (")
    # Of several the one that is broken most is named.
    worse = limit("serving_memory", "max", 0.5 * smallest / 1e9)
    said = outright.broken_outright(replace(SMOOTH, limits=(limit("params", "max", 0.9 * smallest), worse)))
    assert said.startswith("serving_memory would be at least")
