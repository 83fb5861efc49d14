"""Geometric programs: the least cost, the price of each limit, and what happens where there is no plan."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from strategies import costly, floats, general_bills, laws, log_floats, sizes

from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise import gp
from beyond_chinchilla.optimise.gp import GpResult, solve_gp
from beyond_chinchilla.optimise.kkt import Array, Stack, certify
from beyond_chinchilla.posynomial import Posynomial, monomial

SARDANA = published("sardana-2024")
TARGET = SARDANA.posynomial().times(1.0 / 0.268)
BILL = monomial("training", 9.6e-18, {"params": 1, "tokens": 1}) + monomial("serving", 1e-4, {"params": 1})


@dataclass(frozen=True)
class Program:
    """Minimise `cost` with each of `limits` at most 1; the plan `feasible` (logs) meets them all."""

    cost: Posynomial
    limits: tuple[Posynomial, ...]
    feasible: dict[str, float]


def _at_most(powers: dict[str, float], value: float) -> Posynomial:
    return monomial("limit", 1.0 / value, powers)


@st.composite
def programs(draw: st.DrawFn, extra: tuple[str, ...] = ()) -> Program:
    """A law's target, a bill of several terms and up to four limits, around a plan that meets them all.

    `extra` variables have a price in both directions, one of them together with params.
    """
    law = draw(laws())
    point = law.compute_optimal(params=draw(sizes()))
    plan = {"params": float(point.params), "tokens": float(point.tokens)}
    plan |= {name: draw(log_floats(1e-3, 1e5)) for name in extra}
    cost = draw(general_bills(plan["params"], plan["tokens"]))
    for name in extra:
        for powers in ({name: 1.0}, {name: -draw(floats(0.3, 2.0)), "params": 1.0}):
            term = monomial(name, 1.0, powers, unit="USD")
            cost += term.times(1e6 * draw(log_floats(1e-3, 1e3)) / float(term.value(plan)))
    choices: list[Posynomial] = [monomial("max", 1.0, {name: 1.0}) for name in plan]
    choices += [monomial("min", 1.0, {name: -1.0}) for name in plan]
    choices += [monomial("ratio", 1.0, {"tokens": 1.0, "params": -1.0}), Posynomial(cost.terms[:1]), cost]
    choices += [monomial("memory", 2.0, {"params": 1.0}) + monomial("cache", 1e4, {name: 1.0}) for name in plan]
    limits = [law.posynomial().times(1.0 / float(law.posynomial().value(plan)))]
    # A little room, so that the interior is not empty.
    limits += [
        limit.times(math.exp(-draw(floats(0.01, 3.0))) / float(limit.value(plan)))
        for limit in draw(st.lists(st.sampled_from(choices), max_size=4))
    ]
    return Program(cost, tuple(limits), {name: math.log(value) for name, value in plan.items()})


ANY_PROGRAM = st.one_of(programs(), programs(), programs(("batch",)), programs(("batch", "time")))


def _log_cost(cost: Posynomial, found: GpResult) -> float:
    assert found.status == "optimal", found.message
    return float(cost.log_value(found.logs))


def _by_scipy(program: Program, starts: Sequence[dict[str, float]]) -> float:
    """Return the least ln cost that SLSQP finds in logs, from any of the starts, with the limits kept."""
    stack = Stack(program.cost, program.limits)
    centre = stack.point(program.feasible)

    def values(z: Array) -> Array:
        return stack.at(centre + z).values

    def gradients(z: Array) -> Array:
        return stack.at(centre + z).gradients

    base = values(np.zeros(len(centre)))[0]
    best = math.inf
    for start in starts:
        found = minimize(
            lambda z: values(z)[0] - base,
            stack.point(start) - centre,
            jac=lambda z: gradients(z)[0],
            constraints={"type": "ineq", "fun": lambda z: -values(z)[1:], "jac": lambda z: -gradients(z)[1:]},
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 300},
        )
        if np.all(values(found.x)[1:] <= 1e-10):
            best = min(best, float(values(found.x)[0]))
    return best


# The optimum


@costly
@given(ANY_PROGRAM)
def test_the_cost_is_the_least_that_scipy_finds(program: Program) -> None:
    found = solve_gp(program.cost, program.limits)
    least = _log_cost(program.cost, found)
    nearby = {name: 0.99 * value + 0.01 * program.feasible[name] for name, value in found.logs.items()}
    assert least == pytest.approx(_by_scipy(program, [program.feasible, nearby]), abs=1e-8)


@given(ANY_PROGRAM)
def test_every_plan_is_proved_and_keeps_its_limits(program: Program) -> None:
    found = solve_gp(program.cost, program.limits)
    assert found.status == "optimal", found.message
    proof = certify(program.cost, program.limits, found.logs, found.multipliers)
    assert proof.duality_gap <= 1e-12
    assert proof.kkt_residual <= 1e-11
    assert max(float(limit.log_value(found.logs)) for limit in program.limits) <= 1e-12


@given(programs())
def test_a_priced_target_is_reached_exactly(program: Program) -> None:
    found = solve_gp(program.cost, program.limits)
    assume(found.multipliers[0] > 1e-6)
    assert float(program.limits[0].value({k: math.exp(v) for k, v in found.logs.items()})) == pytest.approx(
        1.0, abs=1e-12
    )


@given(ANY_PROGRAM, st.data())
def test_units_do_not_matter(program: Program, data: st.DataObject) -> None:
    # Variables counted in other units, of 1e-20 to 1e20, and the bill in any currency
    found = solve_gp(program.cost, program.limits)
    units = {name: data.draw(log_floats(1e-20, 1e20)) for name in found.logs}
    money = data.draw(log_floats(1e-20, 1e20))

    def convert(posynomial: Posynomial, factor: float = 1.0) -> Posynomial:
        return Posynomial(
            tuple(t.times(factor * math.prod(units[v] ** p for v, p in t.powers.items())) for t in posynomial.terms)
        )

    converted = solve_gp(convert(program.cost, money), [convert(limit) for limit in program.limits])
    expected = _log_cost(program.cost, found) + math.log(money)
    assert _log_cost(convert(program.cost, money), converted) == pytest.approx(expected, abs=1e-10)


@given(programs(), st.data())
def test_any_start_leads_to_the_same_cost(program: Program, data: st.DataObject) -> None:
    start = {name: value + data.draw(floats(-20, 20)) for name, value in program.feasible.items()}
    free, started = solve_gp(program.cost, program.limits), solve_gp(program.cost, program.limits, start)
    assert _log_cost(program.cost, started) == pytest.approx(_log_cost(program.cost, free), abs=1e-10)


# What limits cost


@given(ANY_PROGRAM, st.data())
def test_duals_are_finite_differences_away_from_kinks(program: Program, data: st.DataObject) -> None:
    step = 1e-4
    found = solve_gp(program.cost, program.limits)
    i = data.draw(st.integers(0, len(program.limits) - 1))
    log_costs = []
    for change in (step, -step):
        moved = [limit.times(math.exp(-change)) if k == i else limit for k, limit in enumerate(program.limits)]
        there = solve_gp(program.cost, moved)
        assume(there.status == "optimal")
        # A kink: another set of limits binds, or this one only just does.
        assume([m > 0 for m in there.multipliers] == [m > 0 for m in found.multipliers])
        log_costs.append(_log_cost(program.cost, there))
    slope = (log_costs[0] - log_costs[1]) / (2 * step)
    # The second difference says how much of the slope is curvature of higher order.
    bend = abs(sum(log_costs) - 2 * _log_cost(program.cost, found)) / step
    assert -slope == pytest.approx(found.multipliers[i], rel=1e-5, abs=1e-7 + bend)


@given(ANY_PROGRAM, st.data())
def test_tightening_never_lowers_the_cost(program: Program, data: st.DataObject) -> None:
    least = _log_cost(program.cost, solve_gp(program.cost, program.limits))
    i = data.draw(st.integers(0, len(program.limits) - 1))
    factor = data.draw(log_floats(1.0, 10.0))
    tighter = [limit.times(factor) if k == i else limit for k, limit in enumerate(program.limits)]
    found = solve_gp(program.cost, tighter)
    if found.status == "optimal":
        assert _log_cost(program.cost, found) >= least - 1e-11
    else:
        assert found.status == "infeasible", found.message


@costly
@given(ANY_PROGRAM, st.data())
def test_a_limit_at_the_optimum_changes_nothing(program: Program, data: st.DataObject) -> None:
    found = solve_gp(program.cost, program.limits)
    name = data.draw(st.sampled_from(sorted(found.logs)))
    side = data.draw(st.sampled_from([1.0, -1.0]))
    edge = monomial("edge", math.exp(-side * found.logs[name]), {name: side})
    again = solve_gp(program.cost, [*program.limits, edge])
    assert _log_cost(program.cost, again) == pytest.approx(_log_cost(program.cost, found), abs=1e-11)


def test_proportional_limits_share_one_price() -> None:
    free = solve_gp(BILL, [TARGET])
    ceiling = 0.8 * math.exp(free.logs["params"])
    loose, tight = _at_most({"params": 1}, ceiling), _at_most({"params": 1}, 0.999 * ceiling)
    alone = solve_gp(BILL, [TARGET, tight])
    assert alone.multipliers[1] > 0.1
    # The tighter takes all of it, wherever it stands; of equal ones, the first; a power of a limit is the same limit.
    assert solve_gp(BILL, [TARGET, loose, tight]).multipliers == pytest.approx(
        [alone.multipliers[0], 0.0, alone.multipliers[1]], rel=1e-9
    )
    assert solve_gp(BILL, [TARGET, tight, loose]).multipliers[2] == 0.0
    assert solve_gp(BILL, [TARGET, tight, tight]).multipliers == pytest.approx([*alone.multipliers, 0.0], rel=1e-9)
    squared = _at_most({"params": 2}, (0.999 * ceiling) ** 2)
    assert solve_gp(BILL, [TARGET, squared, tight]).multipliers[1:] == pytest.approx(
        [alone.multipliers[1] / 2, 0.0], rel=1e-9
    )


def test_a_budget_at_the_least_cost_has_no_price() -> None:
    # Many sets of multipliers prove this plan; the smallest says that the limit costs nothing.
    free = solve_gp(BILL, [TARGET])
    budget = BILL.times(math.exp(-float(BILL.log_value(free.logs))))
    assert solve_gp(BILL, [TARGET, budget]).multipliers == pytest.approx([free.multipliers[0], 0.0], rel=1e-9)


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.1, 3.0])
def test_equal_bounds_fix_a_variable(factor: float) -> None:
    N = factor * math.exp(solve_gp(BILL, [TARGET]).logs["params"])
    found = solve_gp(BILL, [TARGET, _at_most({"params": 1}, N), monomial("min", N, {"params": -1})])
    assert found.logs["params"] == pytest.approx(math.log(N), abs=1e-14)
    assert math.exp(found.logs["tokens"]) == pytest.approx(float(SARDANA.tokens_for(N, SARDANA.E + 0.268)), rel=1e-11)
    assert min(found.multipliers[1:]) == 0.0


def test_floors_on_both_with_a_slack_target() -> None:
    found = solve_gp(
        BILL, [TARGET, monomial("min params", 2e10, {"params": -1}), monomial("min tokens", 3e13, {"tokens": -1})]
    )
    assert [math.exp(found.logs[v]) for v in ("params", "tokens")] == pytest.approx([2e10, 3e13], rel=1e-13)
    assert found.multipliers[0] == 0.0
    training = 9.6e-18 * 3e13 / (9.6e-18 * 3e13 + 1e-4)
    assert found.multipliers[1:] == pytest.approx([1.0, training], rel=1e-12)


def test_extra_variables_of_a_serving_fleet() -> None:
    # Batch b and step time t: cost t/b per token, t >= compute and >= memory traffic (DESIGN 2.6); at the optimum
    # a limit on t binds, and b follows from the traffic by hand.
    cost = BILL + monomial("serving", 2e9, {"time": 1, "batch": -1})
    traffic = monomial("weights", 1e-13, {"params": 1, "time": -1}) + monomial("cache", 5e-5, {"batch": 1, "time": -1})
    latency = _at_most({"time": 1}, 0.01)
    found = solve_gp(cost, [TARGET, traffic, latency])
    assert found.multipliers[2] > 0
    N, t, b = (math.exp(found.logs[name]) for name in ("params", "time", "batch"))
    assert t == pytest.approx(0.01, rel=1e-13)
    assert b == pytest.approx((t - 1e-13 * N) / 5e-5, rel=1e-11)


# No plan


@given(programs(), floats(1e-3, 3.0))
def test_conflicting_limits_are_infeasible(program: Program, missing: float) -> None:
    ceiling = monomial("max", math.exp(-program.feasible["params"]), {"params": 1})
    floor = monomial("min", math.exp(program.feasible["params"] + missing), {"params": -1})
    found = solve_gp(program.cost, [*program.limits, ceiling, floor])
    assert (found.status, found.logs, found.multipliers) == ("infeasible", {}, ())
    assert "no plan meets all limits" in found.message


def test_a_target_out_of_reach_of_the_limits_is_infeasible() -> None:
    found = solve_gp(BILL, [TARGET, _at_most({"params": 1}, 1e9)])
    assert found.status == "infeasible"
    # 1B parameters alone lose 406.4 (1e9)^-.336 = .3846, 43% too much; where both limits give by the same factor x,
    # 1.435 x^-.336 = x
    excess = (406.4 * 1e9**-0.336 / 0.268) ** (1 / 1.336) - 1
    assert excess == pytest.approx(0.31, abs=5e-3)
    assert f"broken by {excess:.3g} of its bound" in found.message
    assert solve_gp(BILL, [TARGET, monomial("paid already", 2.0, {})]).status == "infeasible"


@pytest.mark.parametrize(
    ("cost", "limits", "message"),
    [
        (
            monomial("serving", 1e-4, {"params": 1}),
            [TARGET],
            "tokens can grow for ever: no term or limit holds them down",
        ),
        (BILL, [_at_most({"params": 1}, 1e10)], "params can shrink for ever: no term or limit holds them up"),
        (BILL, [TARGET, monomial("load", 1.0, {"params": 1, "batch": -1})], "batch can grow for ever"),
        (
            monomial("a", 1.0, {"params": 1, "tokens": -2}) + monomial("b", 1.0, {"params": -2, "tokens": 1}),
            [monomial("min", 1e9, {"params": -1})],
            "params can grow while tokens grow for ever: no term or limit stops them together",
        ),
        # The least cost is 1, which no plan reaches.
        (
            monomial("a", 1.0, {"params": 1, "tokens": 1}) + monomial("b", 1.0, {"tokens": 1}),
            [monomial("min", 1.0, {"params": -1, "tokens": -1})],
            "params can grow while tokens shrink for ever",
        ),
    ],
)
def test_unbounded_programs_name_what_runs_away(cost: Posynomial, limits: list[Posynomial], message: str) -> None:
    found = solve_gp(cost, limits)
    assert (found.status, found.logs) == ("unbounded", {})
    assert message in found.message


@pytest.mark.parametrize("R", [1e-35, 1e-45, 1e-80, 1e-200])
def test_absurd_plans_are_no_plans(R: float) -> None:
    found = solve_gp(BILL, [SARDANA.posynomial().times(1.0 / R)])
    assert (found.status, found.logs, found.multipliers) == ("failed", {}, ())
    assert found.message


def test_limits_that_leave_less_than_a_point_say_so() -> None:
    N = 0.5 * math.exp(solve_gp(BILL, [TARGET]).logs["params"])
    D = float(SARDANA.tokens_for(N, SARDANA.E + 0.268))
    found = solve_gp(BILL, [TARGET, _at_most({"params": 1}, N), _at_most({"tokens": 1}, D * (1 - 1e-9))])
    assert (found.status, found.message) == (
        "failed",
        "the limits leave a single plan at most: loosen or tighten one a little",
    )


@pytest.mark.parametrize("status", ["optimal", "optimal_inaccurate"])
def test_no_status_is_believed_without_proof(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = solve_gp(BILL, [TARGET])
    y = Stack(BILL, [TARGET]).point(truth.logs)

    def answer(offset: float) -> GpResult:
        def run(stack: Stack, *_: object) -> tuple[str, Array | None, Array]:
            # Asked for anything else, such as whether a plan exists, it has no answer.
            return status, y + offset if len(stack.variables) == 2 else None, np.array([1.0])

        monkeypatch.setattr(gp, "_run", run)
        return solve_gp(BILL, [TARGET])

    # Nearly right is made right; beyond every sane range, or with nothing to polish, it is no plan.
    assert _log_cost(BILL, answer(1e-3)) == pytest.approx(_log_cost(BILL, truth), abs=1e-13)
    absurd = answer(210.0)
    assert (absurd.status, absurd.logs) == ("failed", {})
    monkeypatch.setattr(gp, "newton", lambda stack, y, prices: (y, prices))
    assert answer(1e-3).status == "failed"
    monkeypatch.setattr(gp, "_run", lambda *_: (status, None, np.array([1.0])))
    assert solve_gp(BILL, [TARGET]).status == "failed"


def test_a_false_infeasible_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run, answers = gp._run, []

    def lie_once(*arguments: object) -> tuple[str, Array | None, Array]:
        answers.append(1)
        return ("infeasible", None, np.zeros(1)) if len(answers) == 1 else run(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(gp, "_run", lie_once)
    found = solve_gp(BILL, [TARGET])
    assert found.status == "optimal"
    assert len(answers) == 3


# Speed


def test_other_coefficients_and_exponents_compile_nothing_new() -> None:
    solve_gp(BILL, [TARGET, _at_most({"params": 1}, 1e11)])
    before = gp._compile.cache_info()
    for k in range(5):
        law = SARDANA.posynomial() if k % 2 else published("besiroglu-2024").posynomial()
        limits = [_at_most({"tokens": 1}, 1e13 * 2.0**k), law.times(1.0 / (0.25 + 0.01 * k))]
        assert solve_gp(BILL.times(1.0 + k), limits).status == "optimal"
    after = gp._compile.cache_info()
    assert after.misses == before.misses
    assert after.hits == before.hits + 5
    assert after.maxsize is not None


@settings(max_examples=5)
@given(programs())
def test_a_solve_leaves_nothing_behind_for_the_next(program: Program) -> None:
    first = solve_gp(program.cost, program.limits)
    solve_gp(program.cost.times(17.0), [limit.times(0.5) for limit in program.limits])
    again = solve_gp(program.cost, program.limits)
    assert _log_cost(program.cost, again) == pytest.approx(_log_cost(program.cost, first), abs=1e-12)


def test_importing_the_module_imports_no_solver() -> None:
    code = (
        "import sys; import beyond_chinchilla.optimise.gp, beyond_chinchilla.optimise.kkt; "
        "print([name for name in ('cvxpy', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
