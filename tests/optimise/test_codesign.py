"""Co-design: two solvers agree, every price is a finite difference, and what cannot be is explained."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from service_doubles import SARDANA, Chips, FakeBill, Shift, design, designs, latency, shifts
from strategies import limit

from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise import kkt
from beyond_chinchilla.optimise.bill import SERVING
from beyond_chinchilla.optimise.codesign import least_loss
from beyond_chinchilla.optimise.direct import bill_of
from beyond_chinchilla.optimise.limits import Limit, LimitRow
from beyond_chinchilla.optimise.locate import assess, locate, verify
from beyond_chinchilla.optimise.plan import Candidate, Plan
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.optimise.program import Program
from beyond_chinchilla.optimise.solver import solve
from beyond_chinchilla.posynomial import monomial

CHIPS = Chips()
# 13B quality, 2T tokens served over three years
PLAIN = FakeBill(chips=CHIPS, shifts=shifts(2e12))
SMOOTH = design(PLAIN, CHIPS.memory_limit(), latency(20.0))
# A floor that the quiet hours need and the busy ones do not
FLOORED = design(replace(PLAIN, floor=1.2), CHIPS.memory_limit(), latency(20.0))
COMMITTED = design(replace(PLAIN, committed=1.5), CHIPS.memory_limit(), latency(20.0))
IDLE = design(replace(PLAIN, floor=400.0), CHIPS.memory_limit(), latency(20.0))
TIGHT = design(replace(PLAIN, chips=Chips(memory=16.0)), Chips(memory=16.0).memory_limit(), latency(20.0))


def _best(plan: Plan) -> Candidate:
    assert plan.best is not None
    return plan.best


def _row(plan: Plan, label: str) -> LimitRow:
    return next(row for row in plan.limits if row.label == label)


def _least(problem: Problem, method: str = "auto") -> float:
    """Return the least bill before GPUs are rounded up; inf where there is no plan."""
    found = locate(problem, method)
    if not found.found:
        return math.inf
    return bill_of(problem, found.params, found.tokens, dict(found.variables))


# Two solvers


@given(designs())
@settings(max_examples=7)
def test_the_program_and_the_direct_search_agree_in_cost(problem: Problem) -> None:
    program, direct = _least(problem), _least(problem, "direct")
    assert math.isfinite(program) == math.isfinite(direct)
    if math.isfinite(program):
        assert program == pytest.approx(direct, rel=1e-6)


@given(designs())
@settings(max_examples=7)
def test_every_plan_is_proved_keeps_its_limits_and_pays_what_the_bill_says(problem: Problem) -> None:
    plan = solve(problem)
    if plan.best is None:
        assert plan.status == "infeasible"
        assert plan.conflict is not None
        return
    best, bill = plan.best, problem.bill
    assert bill is not None
    assert plan.method == "gp"
    assert max(plan.duality_gap, plan.kkt_residual) <= 1e-8
    assert best.breaks == ()
    assert best.loss <= problem.target_loss * (1 + 1e-12)
    point = {"params": best.params, "tokens": best.tokens, **best.variables}
    for relation in problem.physics:
        assert float(relation.value(point)) <= 1 + 1e-9
    served = sum(bill.terms(point).values())
    assert best.total == pytest.approx(float(problem.cost.value(point)) + served, rel=1e-12)
    located = locate(problem)
    program = Program(problem, located.pieces)
    objective = float(program.objective.value({**point, SERVING: served + bill.shift}))
    assert objective - bill.shift == pytest.approx(best.total, rel=1e-9)
    # No piece of the program pays more than the bill, and one pays as much.
    if located.pieces:
        paid = max(float(piece.value(point)) for piece in located.pieces)
        assert paid - bill.shift == pytest.approx(served, rel=1e-9, abs=1e-9 * bill.shift)


@pytest.mark.parametrize("problem", [SMOOTH, FLOORED, COMMITTED, IDLE, TIGHT])
def test_verify_compares_both_methods(problem: Problem) -> None:
    found = verify(problem)
    assert list(found) == ["gp", "direct"]
    assert max(found.values()) < 1e-9


@pytest.mark.parametrize("problem", [SMOOTH, FLOORED, COMMITTED])
def test_the_direct_method_is_proved_as_well(problem: Problem) -> None:
    direct, program = solve(problem, "direct"), solve(problem)
    assert direct.method == "direct"
    assert max(direct.duality_gap, direct.kkt_residual) <= 1e-8
    assert _best(direct).total == pytest.approx(_best(program).total, rel=1e-9)


def test_a_method_for_size_and_tokens_alone_is_refused() -> None:
    with pytest.raises(InputError, match="use auto, gp or direct"):
        solve(SMOOTH, "elementwise")
    with pytest.raises(InputError, match="method direct is for serving co-design"):
        solve(design(FakeBill(chips=None, shifts=shifts(2e12))), "direct")


# Bills with kinks


def test_the_plan_may_lie_on_a_kink() -> None:
    """Where the busy hours just need what is committed anyway, a smaller model saves nothing there."""
    busy = FakeBill(chips=CHIPS, shifts=shifts(2e12, (1.0,)))
    free = _best(solve(design(busy, CHIPS.memory_limit(), latency(20.0))))
    committed = 1.15 * free.terms["prefill"] + 1.15 * free.terms["decode"]
    gpus = committed / (busy.price * busy.shifts[0].hours)
    problem = design(replace(busy, floor=gpus), CHIPS.memory_limit(), latency(20.0))
    plan = solve(problem)
    best = _best(plan)
    need = problem.piece({"params": 1e15, "batch": 1.0, "step_time": 1e3})
    used = float(need.value({"params": best.params, **best.variables}))
    assert best.params > free.params * 1.05
    # On the kink: what is used costs as much as what is held.
    assert used == pytest.approx(gpus * busy.price * busy.shifts[0].hours, rel=1e-9)
    assert len(locate(problem).pieces) == 2
    assert plan.duality_gap < 1e-9


def test_where_only_the_floor_is_paid_the_plan_is_chinchilla_run_at_its_best() -> None:
    plan = solve(IDLE)
    best, baseline = _best(plan), plan.baseline
    assert best.params == pytest.approx(13e9, rel=1e-6)
    assert plan.savings_fraction == pytest.approx(0.0, abs=1e-12)
    # Nothing is paid for batch and step time: as under full load, the most that the latency target lets in.
    assert best.variables["step_time"] == pytest.approx(0.020, rel=1e-9)
    full = design(replace(PLAIN, floor=0.0), CHIPS.memory_limit(), latency(20.0), limit("params", "max", 13e9))
    assert best.variables["batch"] == pytest.approx(assess(full, best.params, best.tokens).variables["batch"], rel=1e-6)
    assert plan.duality_gap < 1e-9
    assert _row(plan, "time_per_output_token").shadow_price == 0.0
    assert baseline.breaks == ("time_per_output_token",)
    assert plan.elasticities["demand"] == 0.0


def test_a_step_that_nothing_is_paid_for_is_the_fastest() -> None:
    """Requests without output tokens: prefill alone."""
    bill = FakeBill(chips=CHIPS, shifts=(Shift(hours=26298.0, prefill_tokens=2e12, decode_tokens=0.0),))
    for one in (bill, replace(bill, floor=4.0)):
        plan = solve(design(one, CHIPS.memory_limit()))
        best = _best(plan)
        reading = best.params / CHIPS.bandwidth
        assert reading < best.variables["step_time"] < 1.2 * reading
        assert plan.duality_gap < 1e-9


def test_a_committed_bill_has_negative_constants_and_an_honest_gap() -> None:
    bill = COMMITTED.bill
    assert bill is not None
    # 1.5 GPUs at $1.00 under the price on demand, three years long
    assert bill.shift == pytest.approx(1.5 * 36 * 730.5, rel=1e-12)
    located = locate(COMMITTED)
    program = Program(COMMITTED, located.pieces)
    logs = program.logs(located.params, located.tokens, located.variables)
    multipliers = program.multipliers(logs)
    raw = kkt.certify(program.objective, program.constraints, logs, multipliers)
    total = _best(solve(COMMITTED)).total
    assert program.scale(logs) == pytest.approx((total + bill.shift) / total, rel=1e-9)
    assert program.certify(logs, multipliers).duality_gap == raw.duality_gap * program.scale(logs)


def test_rounding_is_a_term_beyond_the_objective() -> None:
    plain, whole = solve(FLOORED), solve(replace(FLOORED, bill=replace(PLAIN, floor=1.2, whole=True)))
    assert "rounding" not in _best(plain).terms
    assert _best(whole).terms["rounding"] == 123.0
    assert _best(whole).total == pytest.approx(_best(plain).total + 123.0, rel=1e-9)
    saved = 1 - _best(whole).total / whole.baseline.total
    assert whole.savings_fraction == pytest.approx(saved, rel=1e-12)
    assert whole.baseline.terms["rounding"] == 123.0
    # Prices of limits are those of the objective: rounding does not move with them.
    prices = [_row(plan, "time_per_output_token").shadow_price for plan in (plain, whole)]
    assert prices[0] == pytest.approx(prices[1], rel=1e-9)


def test_a_bill_without_kinks_or_relations_is_an_ordinary_problem() -> None:
    bill = FakeBill(chips=None, shifts=shifts(2e12))
    problem = design(bill)
    plan = solve(problem)
    folded = replace(problem, cost=problem.cost + bill.piece({"params": 1e9}), bill=None, nominal_cost=None)
    other = solve(folded)
    assert (plan.method, other.method) == ("universal", "universal")
    assert plan.kappa == other.kappa
    assert _best(plan).params == _best(other).params
    assert _best(plan).total == pytest.approx(_best(other).total, rel=1e-12)
    assert plan.savings_fraction == pytest.approx(other.savings_fraction, rel=1e-9)
    assert dict(plan.elasticities) == pytest.approx(dict(other.elasticities), rel=1e-12)
    floored = solve(design(replace(bill, floor=1e-9)))
    assert floored.method == "gp"
    assert _best(floored).total == pytest.approx(_best(plan).total, rel=1e-9)


# Prices


@pytest.mark.parametrize("problem", [SMOOTH, FLOORED, COMMITTED, TIGHT])
def test_elasticities_are_finite_differences(problem: Problem) -> None:
    plan = solve(problem)
    bill, step = problem.bill, 1e-4
    assert isinstance(bill, FakeBill)

    def slope(up: Problem, down: Problem) -> float:
        return math.log(_least(up) / _least(down)) / (2 * step)

    up, down = math.exp(step), math.exp(-step)
    moved = {
        "demand": [replace(problem, bill=bill.scaled(demand=k)) for k in (up, down)],
        "serving_price": [replace(problem, bill=bill.scaled(price=k)) for k in (up, down)],
        "training_price": [replace(problem, cost=problem.cost.times(k)) for k in (up, down)],
        "target_loss": [replace(problem, target_loss=problem.target_loss * k) for k in (up, down)],
    }
    for name, (higher, lower) in moved.items():
        assert plan.elasticities[name] == pytest.approx(slope(higher, lower), rel=2e-3, abs=2e-5), name


@pytest.mark.parametrize(
    ("problem", "label"),
    [
        (SMOOTH, "time_per_output_token"),
        (FLOORED, "time_per_output_token"),
        (COMMITTED, "time_per_output_token"),
        (TIGHT, "serving_hbm"),
    ],
)
def test_shadow_prices_are_finite_differences(problem: Problem, label: str) -> None:
    plan = solve(problem)
    row = _row(plan, label)
    assert row.binding
    assert row.shadow_price > 0

    def least(step: float) -> float:
        limits = tuple(replace(one, bound=one.bound + step) if one.label == label else one for one in problem.limits)
        return _least(replace(problem, limits=limits))

    step = 1e-4 * row.bound
    assert row.shadow_price == pytest.approx((least(-step) - least(step)) / (2 * step), rel=2e-3)
    assert row.elasticity == pytest.approx(-row.shadow_price * row.bound / _best(plan).total, rel=1e-12)
    assert row.price_unit == {"serving_hbm": "USD per GB", "time_per_output_token": "USD per ms"}[label]


@pytest.mark.parametrize("committed", [0.0, 1.5])
def test_a_budget_knows_the_serving_bill_and_its_shift(committed: float) -> None:
    bill = replace(PLAIN, committed=committed, floor=0.5)
    free = solve(design(bill, CHIPS.memory_limit()))
    served = free.spend_ratio or 0.0
    quantity = monomial(SERVING, 1.0, {SERVING: 1.0}, unit="USD")
    most = 0.97 * _best(free).total * served / (1 + served)
    budget = Limit(
        label="serving_cost", side="max", quantity=quantity, bound=most, unit="USD", each="USD", offset=bill.shift
    )
    problem = design(bill, CHIPS.memory_limit(), budget)
    plan = solve(problem)
    row = _row(plan, "serving_cost")
    assert row.value == pytest.approx(most, rel=1e-9)
    assert row.binding

    def least(step: float) -> float:
        return _least(replace(problem, limits=(problem.limits[0], replace(budget, bound=most + step))))

    step = 1e-5 * most
    assert row.shadow_price == pytest.approx((least(-step) - least(step)) / (2 * step), rel=5e-3)
    assert max(verify(problem).values()) < 1e-6
    # Where no size is cheap enough, the least budget that would do is a budget that does.
    why = solve(replace(problem, limits=(problem.limits[0], replace(budget, bound=0.05 * most))))
    assert why.best is None
    assert why.conflict is not None
    ((_, needed),) = [relief for relief in why.conflict.reliefs if relief[0].label == "serving_cost"]

    def within(bound: float) -> float:
        return _least(replace(problem, limits=(problem.limits[0], replace(budget, bound=bound))))

    assert math.isfinite(within(1.0001 * needed))
    assert not math.isfinite(within(0.99 * needed))


@given(designs(most_latency=40.0), st.floats(1.01, 5.0))
@settings(max_examples=8)
def test_looser_latency_is_never_dearer_and_a_longer_context_never_cheaper(problem: Problem, factor: float) -> None:
    bill = problem.bill
    assert isinstance(bill, FakeBill)
    assert bill.chips is not None
    others = tuple(one for one in problem.limits if one.label != "time_per_output_token")
    tight, loose = (_least(replace(problem, limits=(*others, latency(ms)))) for ms in (15.0, 15.0 * factor))
    assert loose <= tight * (1 + 1e-8)
    chips = replace(bill.chips, context=factor * bill.chips.context)
    rest = tuple(one for one in problem.limits if one.label != "serving_hbm")
    longer = replace(problem, bill=replace(bill, chips=chips), limits=(chips.memory_limit(), *rest))
    assert _least(longer) >= _least(problem) * (1 - 1e-8)


@pytest.mark.parametrize("problem", [SMOOTH, FLOORED, COMMITTED])
def test_at_the_ends_of_the_range_the_bill_is_one_percent_higher(problem: Problem) -> None:
    plan = solve(problem)
    assert plan.one_percent_range is not None
    low, high = plan.one_percent_range
    assert low < _best(plan).params < high
    for size in (low, high):
        fixed = (*problem.limits, limit("params", "max", size * (1 + 1e-9)), limit("params", "min", size))
        assert _least(replace(problem, limits=fixed)) == pytest.approx(1.01 * _best(plan).total, rel=1e-4)


# The baseline


def test_the_baseline_ignores_limits_but_not_its_memory() -> None:
    plan = solve(SMOOTH)
    baseline = plan.baseline
    assert baseline.params == pytest.approx(13e9, rel=1e-12)
    assert baseline.breaks == ("time_per_output_token",)
    held = 13.0 + baseline.variables["batch"] * 1000 * 40.0 * 13e9**0.35 * 1e-9
    assert held == pytest.approx(72.0, rel=1e-9)
    # Reading 72 GB at 2.4 TB/s
    assert baseline.variables["step_time"] == pytest.approx(0.030, rel=1e-9)


def test_a_baseline_that_does_not_fit_says_so() -> None:
    chips = Chips(memory=10.0)
    plan = solve(design(replace(PLAIN, chips=chips), chips.memory_limit()))
    assert _best(plan).params < 10e9
    assert plan.baseline.breaks == ("serving_hbm",)
    # As if there were memory enough, at the batch from which a larger one saves less than 1%.
    batch, step = plan.baseline.variables["batch"], plan.baseline.variables["step_time"]
    cache = 1000 * 40.0 * 13e9**0.35
    prefill, least = 2 * 13e9 / chips.peak, max(2 * 13e9 / chips.peak, cache / chips.bandwidth)
    assert 0.3 * prefill + 0.7 * step / batch == pytest.approx(1.01 * (0.3 * prefill + 0.7 * least), rel=1e-6)


# What cannot be


def test_a_latency_below_one_weight_read_names_the_least_reachable() -> None:
    chips = Chips()
    problem = design(PLAIN, chips.memory_limit(), latency(0.5))
    plan = solve(problem)
    assert plan.status == "infeasible"
    assert plan.conflict is not None
    assert plan.conflict.labels == ("time_per_output_token max", "target")
    ((broken, needed),) = plan.conflict.reliefs
    # One sequence on the smallest model of this quality: its weights and its cache, read once.
    smallest = (SARDANA.A / problem.reducible) ** (1 / SARDANA.alpha)
    read = (smallest + 1000 * 40.0 * smallest**0.35) / 2.4e12 * 1e3
    assert broken.label == "time_per_output_token"
    assert needed == pytest.approx(read, rel=2e-3)
    assert needed >= read
    assert plan.conflict.least_loss is not None
    assert plan.conflict.least_loss > problem.target_loss
    text = " ".join(plan.warnings)
    assert f"raise time_per_output_token max from 0.500 ms to {needed:.3f}"[:-1] in text
    # And it is true.
    assert math.isfinite(_least(replace(problem, limits=(chips.memory_limit(), latency(needed * 1.001)))))


def test_a_latency_that_no_model_keeps_is_named_alone() -> None:
    chips = Chips(overhead=0.004)
    plan = solve(design(replace(PLAIN, chips=chips), chips.memory_limit(), latency(3.0)))
    assert plan.conflict is not None
    assert plan.conflict.labels == ("time_per_output_token max",)
    assert plan.warnings[0] == "no plan: time_per_output_token max cannot be kept by any model"
    assert plan.conflict.least_loss is None
    ((_, needed),) = plan.conflict.reliefs
    assert needed > 4.0


def test_the_least_loss_is_just_reachable() -> None:
    problem = design(PLAIN, CHIPS.memory_limit(), latency(0.5))
    least = least_loss(problem)
    assert least is not None
    assert math.isfinite(_least(replace(problem, target_loss=least * (1 + 1e-5))))
    assert not math.isfinite(_least(replace(problem, target_loss=least * (1 - 1e-3))))


def test_memory_too_small_for_the_quality_is_named() -> None:
    chips = Chips(memory=0.5)
    plan = solve(design(replace(PLAIN, chips=chips), chips.memory_limit(), latency(50.0)))
    assert plan.conflict is not None
    assert plan.conflict.labels == ("serving_hbm max", "target")
    (relief,) = plan.conflict.reliefs
    assert relief[0].label == "serving_hbm"
    assert 0.5 < relief[1] < 3.0


def test_limits_of_one_name_are_one_row_and_one_conflict() -> None:
    """GPUs in each month that can be the busiest."""
    seconds = CHIPS.prefill_seconds().times(1e5) + CHIPS.decode_seconds().times(2e5)
    months = [
        Limit(label="gpus", side="max", quantity=seconds.times(k), bound=40.0, unit="", each="GPU")
        for k in (0.2, 1.0, 0.7)
    ]
    free = solve(design(PLAIN, CHIPS.memory_limit(), *months))
    rows = [row for row in free.limits if row.label == "gpus"]
    assert len(rows) == 1
    point = {"params": _best(free).params, **_best(free).variables}
    assert rows[0].value == pytest.approx(float(seconds.value(point)), rel=1e-12)
    tight = [replace(one, bound=0.9 * rows[0].value) for one in (*months, months[1])]
    problem = design(PLAIN, CHIPS.memory_limit(), *tight)
    row = _row(solve(problem), "gpus")
    assert row.binding
    assert not row.redundant

    def least(factor: float) -> float:
        moved = [replace(one, bound=factor * one.bound) for one in tight]
        return _least(design(PLAIN, CHIPS.memory_limit(), *moved))

    step = 1e-4
    assert row.elasticity == pytest.approx(math.log(least(1 + step) / least(1 - step)) / (2 * step), rel=5e-3)
    none = solve(design(PLAIN, CHIPS.memory_limit(), *[replace(one, bound=1e-3 * one.bound) for one in tight]))
    assert none.conflict is not None
    assert none.conflict.labels == ("gpus max", "target")
    assert len(none.conflict.reliefs) == 1


def test_what_co_design_cannot_do_is_said() -> None:
    with pytest.raises(InputError, match="co-design needs a law that counts total parameters; law kaplan-2020"):
        design(PLAIN, law=published("kaplan-2020"))
    with pytest.raises(InputError, match="objective loss knows serving at a fixed utilisation alone"):
        solve(replace(SMOOTH, objective="loss"))
    with pytest.raises(InputError, match="start_from knows serving at a fixed utilisation alone"):
        solve(replace(SMOOTH, start_from=(7e9, 1e12)))


def test_a_law_without_embeddings_serves_at_a_fixed_utilisation() -> None:
    law = published("kaplan-2020")
    bill = FakeBill(chips=None, shifts=shifts(2e12), floor=2.0)
    problem = replace(design(bill, law=law), target_loss=2.4)
    plan = solve(problem)
    assert plan.duality_gap <= 1e-8
    assert max(verify(problem).values()) < 1e-8
    assert _best(plan).params > float(law.counted_params(_best(plan).params))


# What a plan says


def test_a_plan_says_how_it_is_served() -> None:
    plan = solve(FLOORED)
    record = plan.to_dict()
    assert record["serving"] == {name: _best(plan).variables[name] for name in ("batch", "step_time")}
    assert record["plan"]["variables"] == record["serving"]
    best = _best(plan)
    nominal = best.terms["training"] + 1.25 * (best.total - best.terms["training"])
    assert record["plan"]["nominal_total"] == pytest.approx(nominal, rel=1e-12)
    assert set(record["baseline"]["variables"]) == {"batch", "step_time"}
    assert not {"choice", "choices", "launch"} & set(record)
    frame = plan.to_frame()
    assert frame.loc["plan", "batch"] == best.variables["batch"]
    assert plan.spend_ratio == pytest.approx(best.total / best.terms["training"] - 1, rel=1e-9)


def test_a_limit_that_binds_where_gpus_idle_is_free_not_redundant() -> None:
    """All that is paid are GPUs that are always on: a slower answer would save nothing."""
    row = _row(solve(IDLE), "time_per_output_token")
    assert (row.binding, row.redundant, row.free, row.shadow_price) == (True, False, True, 0.0)
    assert row.to_dict()["free"]
    priced = _row(solve(SMOOTH), "time_per_output_token")
    assert (priced.binding, priced.redundant, priced.free) == (True, False, False)
    # Two alike: one carries the price, the other is redundant.
    again = limit("step_time", "max", 20.0, monomial("step", 1e3, {"step_time": 1.0}))
    both = solve(replace(SMOOTH, limits=(*SMOOTH.limits, again)))
    assert sorted(row.redundant for row in both.limits if row.binding) == [False, True]
    assert not any(row.free for row in both.limits)


# Plans that cost the same


@pytest.mark.parametrize("floor", [0.0, 1.2], ids=["linear", "kinked"])
def test_beyond_the_knee_every_start_ends_at_the_batch_that_answers_soonest(floor: float) -> None:
    """A short context is bound by compute: from the knee on, a token costs the same in every batch."""
    chips = Chips(context=50.0)
    problem = design(replace(PLAIN, chips=chips, floor=floor), chips.memory_limit())
    plans = [solve(problem), solve(problem, "gp"), solve(problem, "direct")]
    points = [_best(plan).variables for plan in plans]
    for plan in plans:
        assert max(plan.duality_gap, plan.kkt_residual) <= 1e-8
        assert _best(plan).total == pytest.approx(_best(plans[0]).total, rel=1e-9)
    for point in points[1:]:
        assert point["batch"] == pytest.approx(points[0]["batch"], rel=1e-6)
        assert point["step_time"] == pytest.approx(points[0]["step_time"], rel=1e-6)
    # Compute and reading the weights take equally long there; the cache beside the weights is next to nothing.
    N, point = _best(plans[0]).params, points[0]
    compute = 2.0 * N * point["batch"] / chips.peak
    assert compute == pytest.approx(point["step_time"], rel=1e-6)
    assert float(chips.held().value({"params": N, **point})) / chips.bandwidth == pytest.approx(compute, rel=1e-6)
    # A memory that holds many more sequences is not filled.
    held = float(chips.memory_limit().quantity.value({"params": N, **point}))
    assert held < 0.9 * chips.memory


def test_newtons_method_needs_no_cvxpy() -> None:
    code = """
        import sys
        sys.path.insert(0, {here!r})
        import test_codesign
        plan = test_codesign.solve(test_codesign.FLOORED)
        assert plan.best is not None
        assert "cvxpy" not in sys.modules
    """
    here = str(Path(__file__).parent)
    text = textwrap.dedent(code.format(here=here))
    subprocess.run([sys.executable, "-c", text], check=True, env={**os.environ, "PYTHONPATH": str(Path(here).parent)})


@given(designs())
@settings(max_examples=7)
def test_newtons_method_and_cvxpy_agree(problem: Problem) -> None:
    own, other = locate(problem), locate(problem, "gp")
    assert own.found == other.found
    if own.found:
        bills = [bill_of(problem, x.params, x.tokens, dict(x.variables)) for x in (own, other)]
        assert bills[0] == pytest.approx(bills[1], rel=1e-9)
