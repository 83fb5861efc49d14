"""How a model of a given size is run: against scipy, against arithmetic, and at the edges of what limits allow."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from scipy.optimize import minimize_scalar
from service_doubles import Chips, FakeBill, designs, shifts
from strategies import log_floats

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.optimise.operation import Operations
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, monomial

CHIPS = Chips()
BILL = FakeBill(chips=CHIPS, shifts=shifts(2e12)).piece({"params": 1e9, "batch": 1.0, "step_time": 1.0})
HBM = CHIPS.memory_limit().quantity.times(1 / 72.0, unit="")


def _latency(seconds: float) -> Posynomial:
    return monomial("latency", 1.0 / seconds, {"step_time": 1.0})


def _step(chips: Chips, params: float, batch: float) -> float:
    held = chips.bytes_per_param * params + batch * chips.context * chips.kv_coefficient * params**chips.kv_power
    reading = held / (chips.gpus * chips.bandwidth) + chips.overhead
    return max(reading, 2 * params * batch / (chips.gpus * chips.peak))


def test_memory_is_filled_where_nothing_else_holds() -> None:
    found = Operations(BILL, [*CHIPS.relations(), HBM]).best(7e9, 1e12)
    cache = 1000 * 40.0 * 7e9**0.35
    assert found.feasible
    assert found.variables["batch"] == pytest.approx((72e9 - 7e9) / cache, rel=1e-9)
    assert found.variables["step_time"] == pytest.approx(72e9 / 2.4e12, rel=1e-9)


def test_a_latency_target_is_used_up() -> None:
    found = Operations(BILL, [*CHIPS.relations(), HBM, _latency(0.010)]).best(7e9, 1e12)
    cache = 1000 * 40.0 * 7e9**0.35
    assert found.variables["step_time"] == pytest.approx(0.010, rel=1e-9)
    assert found.variables["batch"] == pytest.approx((0.010 * 2.4e12 - 7e9) / cache, rel=1e-9)


def test_of_equally_cheap_batches_the_fastest_is_taken() -> None:
    """Bound by compute, a token costs the same at any larger batch: 2 N / peak."""
    chips = Chips(context=10.0)
    found = Operations(BILL, [*chips.relations(), chips.memory_limit().quantity.times(1 / 72.0, unit="")]).best(
        7e9, 1e12
    )
    batch, step = found.variables["batch"], found.variables["step_time"]
    assert step / batch == pytest.approx(2 * 7e9 / chips.peak, rel=1e-9)
    # Where compute takes as long as reading: 2 N b / peak = (N + b c) / bandwidth
    cache = 10 * 40.0 * 7e9**0.35
    assert batch == pytest.approx(7e9 / chips.bandwidth / (2 * 7e9 / chips.peak - cache / chips.bandwidth), rel=1e-6)


@given(designs(), log_floats(1e9, 1e11))
@settings(max_examples=15)
def test_no_batch_is_cheaper(problem: Problem, params: float) -> None:
    bill = problem.bill
    assert isinstance(bill, FakeBill)
    chips = bill.chips
    assert chips is not None
    rows = (*problem.physics, *problem.ratios)
    found = Operations(problem.far, rows).best(params, 1e12)

    def cost(x: float) -> float:
        point = {"params": params, "tokens": 1e12, "batch": math.exp(x), "step_time": _step(chips, params, math.exp(x))}
        over = max(math.log(float(row.value(point))) for row in rows)
        return float(problem.far.value(point)) if over <= 1e-9 else math.inf

    grid = [cost(0.1 * k) for k in range(-5, 200)]
    if not found.feasible:
        assert min(grid) == math.inf
        return
    batch, step = found.variables["batch"], found.variables["step_time"]
    assert step == pytest.approx(_step(chips, params, batch), rel=1e-12)
    mine = float(problem.far.value({"params": params, "batch": batch, "step_time": step}))
    assert mine <= min(grid) * (1 + 1e-9)
    near = minimize_scalar(lambda x: min(cost(x), 1e300), bounds=(0.0, math.log(batch) + 1.0), method="bounded")
    assert mine <= near.fun * (1 + 1e-9)


def test_what_breaks_a_limit_least_is_said() -> None:
    operations = Operations(BILL, [*CHIPS.relations(), HBM, _latency(0.001)])
    found = operations.best(7e9, 1e12)
    # One sequence: weights and its cache are read in 2.96 ms.
    assert not found.feasible
    assert found.excess == pytest.approx(math.log(_step(CHIPS, 7e9, 1.0) / 0.001), rel=1e-9)
    assert operations.least_excess(7e9, 1e12) == found.excess
    assert Operations(BILL, CHIPS.relations()).least_excess(7e9, 1e12) == 0.0


def test_a_problem_without_further_variables_has_nothing_to_run() -> None:
    plain = monomial("decode", 1.0, {"params": 1.0})
    found = Operations(plain, [monomial("size", 1e-10, {"params": 1.0})]).best(2e10, 1e12)
    assert found.variables == {}
    assert found.excess == pytest.approx(math.log(2.0), rel=1e-12)


def test_other_variables_are_refused() -> None:
    with pytest.raises(InputError, match="knows params, tokens, batch, step_time alone, not width"):
        Operations(BILL, [monomial("width", 1.0, {"width": 1.0})])
    with pytest.raises(InputError, match="needs a relation that holds step_time up"):
        Operations(BILL, [monomial("batch", 1.0, {"batch": -1.0})])
