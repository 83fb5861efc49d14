"""Any bill under limits, many at once: against the universal curve, brute force on a grid, and what limits must do."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import (
    costly,
    demands,
    floats,
    general_problems,
    laws,
    lifetime_bills,
    limit,
    limited_problems,
    log_floats,
    powered_laws,
    problems,
    sizes,
)

from beyond_chinchilla.costs.demand import Demand
from beyond_chinchilla.costs.lifetime import lifetime_flops
from beyond_chinchilla.errors import InputError
from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.laws.loss_law import LossLaw
from beyond_chinchilla.optimise import elementwise, universal
from beyond_chinchilla.optimise.elementwise import Minima, Status, accepts, minimise
from beyond_chinchilla.optimise.limits import Limit
from beyond_chinchilla.optimise.problem import Problem
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SARDANA = published("sardana-2024")
LOSS = float(SARDANA.compute_optimal(params=13e9).loss)
FLOPS = lifetime_flops(Demand(prefill_tokens=2e12, decode_tokens=0.0))


def _minimise(problem: Problem) -> Minima:
    return minimise(problem.law, problem.target_loss, problem.counted_cost, problem.ratios)


def _plan(*limits: Limit, cost: Posynomial = FLOPS, loss: float = LOSS) -> tuple[float, float]:
    """Return N and D of the first worked case under limits."""
    found = minimise(SARDANA, loss, cost, [one.ratio(SARDANA) for one in limits])
    assert found.status == Status.OPTIMAL
    return float(found.params), float(found.tokens)


def _log_cost(problem: Problem, found: Minima) -> float:
    return float(problem.counted_cost.log_value({"params": np.log(found.params), "tokens": np.log(found.tokens)}))


FREE_N, FREE_D = _plan()

FIVE_TERMS = Posynomial(
    (
        Term(label="training", coefficient=1.6e-17, powers={"params": 1.0, "tokens": 1.0}),
        Term(label="serving", coefficient=4e-6, powers={"params": 1.0}),
        Term(label="data", coefficient=2e-8, powers={"tokens": 1.0}),
        Term(label="cache", coefficient=3e-2, powers={"params": 0.48}),
        Term(label="runs", coefficient=1e-3, powers={"params": 0.3, "tokens": 0.2}),
    ),
    "USD",
)


# Without limits


@given(problems())
def test_without_limits_it_is_the_universal_curve(problem: Problem) -> None:
    assert problem.rates is not None
    exact = universal.optimum(problem.law, problem.target_loss, *problem.rates)
    found = _minimise(problem)
    assert found.status == Status.OPTIMAL
    assert float(found.params) == pytest.approx(float(exact.params), rel=1e-12)
    assert float(found.tokens) == pytest.approx(float(exact.tokens), rel=1e-12)


def test_the_worked_case_takes_a_handful_of_steps() -> None:
    # Sardana et al. 2024, Figure 1: 7B on 1.25T tokens
    found = minimise(SARDANA, LOSS, FLOPS)
    assert (float(found.params), float(found.tokens)) == pytest.approx((6.969e9, 1.2478e12), rel=1e-4)
    assert 2 <= found.iterations <= 8
    assert 0 <= found.residual <= 1e-9
    assert (found.params.shape, found.iterations.dtype.kind, found.status.dtype) == ((), "i", np.int8)


@given(general_problems())
def test_the_bill_is_stationary_at_the_optimum(problem: Problem) -> None:
    found = _minimise(problem)
    assert found.status == Status.OPTIMAL
    assert found.residual <= 1e-9
    assert 1 <= found.iterations < 100
    logs = {"params": np.log(found.params), "tokens": np.log(found.tokens)}
    # Both gradients are parallel: d ln cost / d ln N : d ln cost / d ln D = alpha u : beta (1 - u).
    p, r = problem.counted_cost.log_gradient(logs, ("params", "tokens"))
    falls, slides = problem.target.log_gradient(logs, ("params", "tokens"))
    assert p * slides - r * falls == pytest.approx(0.0, abs=1e-11)
    assert float(problem.target.log_value(logs)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("size", [1, elementwise.BLOCK - 1, elementwise.BLOCK + 1])
def test_blocks_do_not_show(size: int) -> None:
    losses = np.linspace(1.8, 3.0, size)
    found = minimise(SARDANA, losses, FLOPS)
    exact = universal.optimum(SARDANA, losses, 6.0, 4e12)
    assert found.params == pytest.approx(exact.params, rel=1e-12)
    assert (found.status == Status.OPTIMAL).all()


# Many at once


def _spread_out(problem: Problem, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, Posynomial, list[Posynomial]]:
    """Return losses, bill and limits of a batch around a problem: every coefficient varies."""
    chance = np.random.default_rng(seed)

    def vary(posynomial: Posynomial) -> Posynomial:
        terms = (replace(t, coefficient=t.coefficient * chance.uniform(0.3, 3.0, shape)) for t in posynomial.terms)
        return Posynomial(tuple(terms), posynomial.unit)

    reducible = problem.reducible * chance.uniform(0.7, 1.5, shape)
    return problem.law.loss_of_reducible(reducible), vary(problem.counted_cost), [vary(r) for r in problem.ratios]


def _single(posynomial: Posynomial, index: tuple[int, ...]) -> Posynomial:
    terms = (replace(t, coefficient=float(np.asarray(t.coefficient)[index])) for t in posynomial.terms)
    return Posynomial(tuple(terms), posynomial.unit)


@costly
@given(limited_problems(), st.integers(0, 2**32 - 1))
def test_a_batch_is_what_its_problems_are_one_by_one(problem: Problem, seed: int) -> None:
    shape = (3, 4)
    losses, cost, ratios = _spread_out(problem, shape, seed)
    batch = minimise(problem.law, losses, cost, ratios)
    assert batch.params.shape == batch.tokens.shape == batch.status.shape == batch.iterations.shape == shape
    for index in np.ndindex(shape):
        alone = minimise(problem.law, losses[index], _single(cost, index), [_single(r, index) for r in ratios])
        for name in ("params", "tokens", "status", "iterations", "residual"):
            np.testing.assert_array_equal(getattr(batch, name)[index], getattr(alone, name), err_msg=name)


@given(general_problems(least=0.0), floats(0.3, 3.0))
def test_coefficients_broadcast_with_losses(problem: Problem, room: float) -> None:
    point = problem.law.compute_optimal(loss=problem.target_loss)
    bounds = float(point.params) * room * np.array([0.5, 1.0, 2.0])
    ceiling = monomial("size", 1.0 / bounds, {"params": 1.0})
    losses = problem.law.loss_of_reducible(problem.reducible * np.array([[0.9], [1.1]]))
    found = minimise(problem.law, losses, problem.counted_cost, [ceiling])
    assert found.params.shape == (2, 3)
    for i, j in np.ndindex(2, 3):
        alone = minimise(
            problem.law, losses[i, 0], problem.counted_cost, [monomial("size", 1 / bounds[j], {"params": 1})]
        )
        np.testing.assert_array_equal(found.params[i, j], alone.params)
        assert found.status[i, j] == alone.status


def test_an_empty_batch_is_empty() -> None:
    found = minimise(SARDANA, np.empty((0, 3)), FLOPS, [monomial("size", 1e-10, {"params": 1.0})])
    assert found.params.shape == found.status.shape == (0, 3)


# What may be said of a problem


def test_every_status_from_one_call() -> None:
    # A bill that knows no tokens falls towards ever smaller models on ever more of them: only a floor stops it.
    rent = monomial("rent", 1.0, {"params": 1.0}, unit="USD")
    least = monomial("params", np.array([1e3, 1e11, 1e11, 1e3, 1e11, 1e3]), {"params": -1.0})
    most = monomial("params", 1.0 / np.array([1e99, 1e99, 1e99, 5e8, 1e10, 1e99]), {"params": 1.0})
    losses = np.array([2.1, 2.1, SARDANA.E, 2.1, 2.1, math.nan])
    found = minimise(SARDANA, losses, rent, [least, most])
    # At a loss of 2.1 no tokens save a model under 826M.
    expected = ["UNBOUNDED", "OPTIMAL", "INVALID", "INFEASIBLE", "INFEASIBLE", "INVALID"]
    assert [Status(int(x)).name for x in found.status] == expected
    lost = found.status != Status.OPTIMAL
    assert np.isnan(found.params[lost]).all()
    assert np.isnan(found.tokens[lost]).all()
    assert found.params[1] == pytest.approx(1e11, rel=1e-12)
    assert found.tokens[1] == pytest.approx(float(SARDANA.tokens_for(1e11, 2.1)), rel=1e-12)
    assert np.isfinite(found.residual).all()


@pytest.mark.parametrize("loss", [SARDANA.E, 1.0, 0.0, -2.0, math.nan, math.inf])
def test_a_target_out_of_reach_is_invalid_whatever_the_limits(loss: float) -> None:
    for limits in ([], [monomial("size", 1e-10, {"params": 1.0})], [monomial("size", 1e10, {"params": -1.0})]):
        found = minimise(SARDANA, [loss, 2.0], FLOPS, limits)
        assert found.status.tolist() == [Status.INVALID, Status.OPTIMAL]
        assert math.isnan(found.params[0])


@pytest.mark.parametrize(
    ("powers", "held"),
    [
        ({"params": 1.0}, {"tokens": 1.0}),
        ({"tokens": 1.0}, {"params": 1.0}),
        ({"tokens": 1.0, "params": -1.0}, {"params": 1.0}),
    ],
)
def test_a_bill_without_a_minimum_ends_where_a_limit_stops_it(powers: dict[str, float], held: dict[str, float]) -> None:
    bill = monomial("rent", 1.0, powers)
    assert minimise(SARDANA, 2.1, bill).status == Status.UNBOUNDED
    found = minimise(SARDANA, 2.1, bill, [monomial("most", 1e-12, held)])
    assert found.status == Status.OPTIMAL
    (name,) = held
    assert float(getattr(found, name)) == pytest.approx(1e12, rel=1e-12)
    assert float(SARDANA.loss(found.params, found.tokens)) == pytest.approx(2.1, rel=1e-12)


def test_what_needs_the_geometric_program_is_refused() -> None:
    ceiling, floor = monomial("size", 1e-10, {"params": 1.0}), monomial("size", 1e9, {"params": -1.0})
    storage = monomial("storage", 1e20, {"params": -0.5}, unit="FLOP")
    # One that also falls, or that holds D up by two powers: no corner of floors can be read off.
    neither = monomial("a", 0.1, {"params": 1.0, "tokens": -1.0}) + monomial("b", 1e-13, {"tokens": 1.0})
    bent = monomial("a", 1e11, {"tokens": -1.0}) + monomial("b", 1e4, {"tokens": -0.5})
    assert accepts(FLOPS, [ceiling, floor])
    assert accepts(FLOPS + storage, [ceiling])
    refused: list[tuple[Posynomial, list[Posynomial]]] = [
        (FLOPS + monomial("runs", 1e24, {"tokens": -0.1}, unit="FLOP"), []),
        (FLOPS + storage, [floor]),
        (monomial("rent", 1.0, {"params": 1.0}) + monomial("storage", 1e20, {"params": -1.0}), []),
        (FLOPS, [neither]),
        (FLOPS, [bent]),
    ]
    for cost, limits in refused:
        assert not accepts(cost, limits)
        with pytest.raises(InputError, match="needs method gp"):
            minimise(SARDANA, LOSS, cost, limits)


# Under limits, against brute force


def _needed(problem: Problem, N: np.ndarray) -> np.ndarray:
    """Return the fewest tokens for sizes N: those of the target, and those of the floors."""
    D = problem.law.tokens_for(N, problem.target_loss)
    total = problem.law.total_params(N)
    for one in problem.limits:
        if one.side == "min" and one.label == "tokens":
            D = np.where(np.isnan(D), D, np.maximum(D, one.bound))
        if one.side == "min" and one.label == "tokens_per_param":
            D = np.where(np.isnan(D), D, np.maximum(D, one.bound * total))
    return np.asarray(D)


def _grid(problem: Problem, logs: np.ndarray, room: float) -> float:
    """Return the least ln cost on a grid of ln N that keeps every limit with so much room; inf where none does."""
    D = _needed(problem, np.exp(logs))
    kept = np.isfinite(D)
    point = {"params": np.log(problem.law.total_params(np.exp(logs))), "tokens": np.log(np.where(kept, D, 1.0))}
    for one in problem.limits:
        over = one.quantity.log_value(point) - math.log(one.bound)
        kept &= (over if one.side == "max" else -over) <= -room
    return float(np.min(np.where(kept, problem.cost.log_value(point), np.inf)))


def _check_by_grid(problem: Problem) -> None:
    found = _minimise(problem)
    centre = math.log(float(problem.law.compute_optimal(loss=problem.target_loss).params))
    wide = np.linspace(centre - 15.0, centre + 15.0, 20_001)
    if found.status == Status.INFEASIBLE:
        assert _grid(problem, wide, 1e-9) == math.inf
        return
    assert found.status == Status.OPTIMAL
    N, D = float(found.params), float(found.tokens)
    assert float(problem.law.loss(N, D)) <= problem.target_loss * (1 + 1e-12)
    assert problem.broken(problem.point(N, D, {})) == ()
    least = _log_cost(problem, found)
    assert least <= _grid(problem, wide, 0.0) + 1e-9
    assert least <= _grid(problem, math.log(N) + np.linspace(-1e-2, 1e-2, 2001), 0.0) + 1e-9


@given(limited_problems())
def test_any_bill_under_ceilings_and_floors_against_a_grid(problem: Problem) -> None:
    _check_by_grid(problem)


@given(limited_problems(slack=(0.03, 1.5)))
def test_hard_limits_against_a_grid(problem: Problem) -> None:
    _check_by_grid(problem)


@given(limited_problems(general_problems()))
def test_bills_that_fall_in_params_under_ceilings_against_a_grid(problem: Problem) -> None:
    limits = tuple(one for one in problem.limits if one.side == "max" and one.label != "tokens_per_param")
    assume(accepts(problem.cost, [one.ratio(problem.law) for one in limits]))
    _check_by_grid(replace(problem, limits=limits))


@given(limited_problems(problems()), powered_laws(), sizes(), st.data())
def test_laws_that_count_no_embeddings_against_a_grid(
    other: Problem, law: LossLaw, size: float, data: st.DataObject
) -> None:
    inner = Problem(
        law=law,
        target_loss=float(law.compute_optimal(params=size).loss),
        cost=data.draw(lifetime_bills(data.draw(demands()))),
        flops=other.flops,
    )
    point = law.compute_optimal(params=size)
    total, D = float(law.total_params(point.params)), float(point.tokens)
    room = data.draw(st.lists(log_floats(0.3, 3.0), min_size=4, max_size=4))
    limits = (
        limit("params", "max", total * room[0]),
        limit("tokens", "max", D * room[1]),
        limit("tokens_per_param", "min", D / total / room[2]),
        limit("params", "min", total / room[3]),
    )
    chosen = tuple(one for one, kept in zip(limits, data.draw(st.permutations([1, 1, 0, 0])), strict=True) if kept)
    _check_by_grid(replace(inner, limits=chosen))


def test_five_terms_against_a_grid() -> None:
    problem = Problem(law=SARDANA, target_loss=2.05, cost=FIVE_TERMS, flops=FLOPS)
    free = _minimise(problem)
    total = float(FIVE_TERMS.value({"params": float(free.params), "tokens": float(free.tokens)}))
    for limits in (
        (),
        (limit("params", "max", 0.8 * float(free.params)),),
        (limit("params", "max", 0.8 * float(free.params)), limit("total_cost", "max", 1.03 * total, FIVE_TERMS)),
        (limit("tokens", "max", 0.7 * float(free.tokens)), limit("total_cost", "max", 1.5 * total, FIVE_TERMS)),
        (limit("tokens_per_param", "min", 1000.0), limit("tokens", "min", 4e12)),
    ):
        limited = replace(problem, limits=limits)
        found = _minimise(limited)
        _check_by_grid(limited)
        N = float(found.params)
        fine = _grid(limited, math.log(N) + np.linspace(-1e-3, 1e-3, 20_001), 0.0)
        assert _log_cost(limited, found) == pytest.approx(fine, rel=0, abs=2e-7 if limits else 1e-13)


@pytest.mark.parametrize(("p", "r"), [(12.0, 12.0), (0.001, 0.001), (20.0, 0.01), (0.01, 20.0), (0.0, 12.0)])
@pytest.mark.parametrize(("alpha", "beta"), [(0.336, 0.283), (0.02, 0.9), (3.0, 0.05)])
def test_extreme_exponents(p: float, r: float, alpha: float, beta: float) -> None:
    # Each term costs as much at 1B parameters on 20B tokens, and each source of loss is half of R = 0.6 there.
    law = LossLaw(E=1.7, A=0.3 * 1e9**alpha, alpha=alpha, B=0.3 * 2e10**beta, beta=beta)
    bill = monomial("training", 1e6 / 2e19, {"params": 1.0, "tokens": 1.0})
    bill += monomial("extreme", 1e6 * 1e9**-p, {"params": p}).times(2e10**-r, {"tokens": r})
    problem = Problem(law=law, target_loss=2.3, cost=bill, flops=FLOPS)
    _check_by_grid(problem)
    found = _minimise(problem)
    _check_by_grid(replace(problem, limits=(limit("params", "max", 0.9 * float(found.params)),)))
    _check_by_grid(replace(problem, limits=(limit("tokens", "max", 0.9 * float(found.tokens)),)))


@pytest.mark.parametrize("times", [1e-6, 1e-3, 1e3, 1e5, 1e8, 1e12])
def test_absurd_targets_are_solved_all_the_same(times: float) -> None:
    # Explaining a conflict walks as far: there the balance of the bill bends sharply.
    loss = float(SARDANA.loss_of_reducible(times * SARDANA.reducible(LOSS)))
    found, exact = minimise(SARDANA, loss, FLOPS), universal.optimum(SARDANA, loss, 6.0, 4e12)
    assert found.status == Status.OPTIMAL
    assert float(found.params) == pytest.approx(float(exact.params), rel=1e-11)
    assert float(found.tokens) == pytest.approx(float(exact.tokens), rel=1e-11)


@pytest.mark.parametrize("share", [0.5, 1.0 - 1e-9, 1.0, 1.0 + 1e-9, 2.0, 2.718, 30.0])
@pytest.mark.parametrize("power", [0.0, 1.7])
def test_bills_whose_params_cancel_where_the_search_starts(share: float, power: float) -> None:
    # At the compute-optimal model training and rent rise with params by as much as storage falls, or nearly.
    point = SARDANA.compute_optimal(params=13e9)
    N, D = float(point.params), float(point.tokens)
    storage = monomial("storage", 2e6 * share * N * D**-power, {"params": -1.0, "tokens": power}, unit="USD")
    bill = monomial("training", 1e6 / (N * D), {"params": 1.0, "tokens": 1.0}, unit="USD")
    bill += monomial("rent", 1e6 / N, {"params": 1.0}, unit="USD") + storage
    problem = Problem(law=SARDANA, target_loss=float(point.loss), cost=bill, flops=FLOPS)
    _check_by_grid(problem)
    found = _minimise(problem)
    near = _grid(problem, math.log(float(found.params)) + np.linspace(-1e-3, 1e-3, 2001), 0.0)
    assert _log_cost(problem, found) == pytest.approx(near, rel=0, abs=1e-12)


# What each limit does


@pytest.mark.parametrize("share", [0.6, 0.9, 0.999])
def test_each_limit_that_binds_gives_its_bound(share: float) -> None:
    assert _plan(limit("params", "max", share * FREE_N))[0] == pytest.approx(share * FREE_N, rel=1e-13)
    assert _plan(limit("params", "min", FREE_N / share))[0] == pytest.approx(FREE_N / share, rel=1e-13)
    assert _plan(limit("tokens", "max", share * FREE_D))[1] == pytest.approx(share * FREE_D, rel=1e-13)
    assert _plan(limit("tokens", "min", FREE_D / share))[1] == pytest.approx(FREE_D / share, rel=1e-13)
    memory = limit("serving_memory", "max", share * FREE_N / 1e9)
    assert _plan(memory)[0] == pytest.approx(share * FREE_N, rel=1e-13)
    ratio = FREE_D / FREE_N
    for side, bound in (("max", share * ratio), ("min", ratio / share)):
        N, D = _plan(limit("tokens_per_param", side, bound))
        assert pytest.approx(bound, rel=1e-12) == D / N
        assert float(SARDANA.loss(N, D)) == pytest.approx(LOSS, rel=1e-13)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_ceiling_on_training_compute_gives_its_bound(share: float) -> None:
    # Between what Chinchilla needs for that loss and what the plan takes
    chinchilla = float(SARDANA.compute_optimal(params=13e9).flops)
    bound = chinchilla + share * (6 * FREE_N * FREE_D - chinchilla)
    N, D = _plan(limit("training_flops", "max", bound))
    assert pytest.approx(bound, rel=1e-12) == 6 * N * D
    assert float(SARDANA.loss(N, D)) == pytest.approx(LOSS, rel=1e-13)
    assert FREE_N < N < 13e9
    short = minimise(SARDANA, LOSS, FLOPS, [limit("training_flops", "max", 0.999 * chinchilla).ratio(SARDANA)])
    assert short.status == Status.INFEASIBLE


def test_params_min_and_max_alike_fix_the_size() -> None:
    for size in (5e9, FREE_N, 40e9):
        N, D = _plan(limit("params", "min", size), limit("params", "max", size))
        assert pytest.approx(size, rel=1e-13) == N
        assert float(SARDANA.loss(N, D)) == pytest.approx(LOSS, rel=1e-13)
    none = [limit("params", "min", 8e9).ratio(SARDANA), limit("params", "max", 7.9e9).ratio(SARDANA)]
    assert minimise(SARDANA, LOSS, FLOPS, none).status == Status.INFEASIBLE


def test_floors_on_both_leave_the_target_slack() -> None:
    floors = limit("params", "min", 20e9), limit("tokens", "min", 2e12)
    for order in (floors, floors[::-1]):
        N, D = _plan(*order)
        assert pytest.approx((20e9, 2e12), rel=1e-13) == (N, D)
        assert float(SARDANA.loss(N, D)) < LOSS - 0.05
    # Floors that the plan on the curve keeps, together or one of them, leave the target tight.
    N, D = _plan(limit("params", "min", 8e9), limit("tokens", "min", 1e11))
    assert pytest.approx(8e9, rel=1e-13) == N
    assert float(SARDANA.loss(N, D)) == pytest.approx(LOSS, rel=1e-13)
    assert _plan(limit("params", "min", 1e9), limit("tokens", "min", 1e9)) == (FREE_N, FREE_D)


@pytest.mark.parametrize(
    ("limits", "corner"),
    [
        (((20e9, "params", "min"), (200.0, "tokens_per_param", "min")), (20e9, 4e12)),
        (((4e12, "tokens", "min"), (200.0, "tokens_per_param", "max")), (20e9, 4e12)),
        (((1e12, "tokens", "min"), (20e9, "params", "min"), (200.0, "tokens_per_param", "min")), (20e9, 4e12)),
        (((4e12, "tokens", "min"), (9e9, "params", "min"), (200.0, "tokens_per_param", "max")), (20e9, 4e12)),
        (((4e12, "tokens", "min"), (20e9, "params", "min"), (200.0, "tokens_per_param", "max")), (20e9, 4e12)),
    ],
)
def test_floors_that_refer_to_each_other_meet_in_a_corner(
    limits: tuple[tuple[float, str, str], ...], corner: tuple[float, float]
) -> None:
    made = [limit(label, side, bound) for bound, label, side in limits]
    for order in (made, made[::-1]):
        assert _plan(*order) == pytest.approx(corner, rel=1e-12)
    # A ceiling below the corner leaves nothing.
    for ceiling in (limit("params", "max", 0.99 * corner[0]), limit("tokens", "max", 0.99 * corner[1])):
        ratios = [one.ratio(SARDANA) for one in (*made, ceiling)]
        assert minimise(SARDANA, LOSS, FLOPS, ratios).status == Status.INFEASIBLE


def test_floors_that_contradict_each_other_leave_nothing() -> None:
    ratio = limit("tokens_per_param", "min", 100.0), limit("tokens_per_param", "max", 99.0)
    for more in ((), (limit("params", "min", 20e9),), (limit("tokens", "min", 4e12),)):
        ratios = [one.ratio(SARDANA) for one in (*ratio, *more)]
        assert minimise(SARDANA, LOSS, FLOPS, ratios).status == Status.INFEASIBLE


@given(problems(), st.data())
def test_a_limit_at_the_unlimited_optimum_changes_nothing(problem: Problem, data: st.DataObject) -> None:
    free = _minimise(problem)
    point = {"params": float(free.params), "tokens": float(free.tokens)}
    label, side = data.draw(
        st.sampled_from(
            [(name, "max") for name in ("params", "tokens", "tokens_per_param", "training_flops", "total_cost")]
            + [(name, "min") for name in ("params", "tokens", "tokens_per_param")]
        )
    )
    one = limit(label, side, 1.0, problem.cost if label == "total_cost" else None)
    one = replace(one, bound=one.value(point))
    found = _minimise(replace(problem, limits=(one,)))
    assert found.status == Status.OPTIMAL
    # On a ceiling on the bill itself N is only known to the square root of what the bill is known to.
    digits = 1e-5 if label == "total_cost" else 1e-11
    assert (float(found.params), float(found.tokens)) == pytest.approx(tuple(point.values()), rel=digits)
    assert _log_cost(problem, found) == pytest.approx(_log_cost(problem, free), rel=0, abs=1e-12)


@given(limited_problems(), st.integers(0, 3), log_floats(1.001, 3.0))
def test_tightening_a_limit_never_lowers_the_cost(problem: Problem, which: int, factor: float) -> None:
    before = _minimise(problem)
    limits = list(problem.limits)
    one = limits[which % len(limits)]
    limits[which % len(limits)] = replace(one, bound=one.bound / factor if one.side == "max" else one.bound * factor)
    after = _minimise(replace(problem, limits=tuple(limits)))
    if before.status == Status.INFEASIBLE:
        assert after.status == Status.INFEASIBLE
    elif after.status == Status.OPTIMAL:
        assert _log_cost(problem, after) >= _log_cost(problem, before) - 1e-11


@given(laws(), sizes())
def test_a_law_alone_never_stops_a_small_enough_limit_from_being_infeasible(law: LossLaw, size: float) -> None:
    loss = float(law.compute_optimal(params=size).loss)
    least = float(law.params_for(math.inf, loss))
    assume(math.isfinite(least))
    bounds = least * np.array([0.999, 1.001])
    found = minimise(law, loss, FLOPS, [monomial("size", 1.0 / bounds, {"params": 1.0})])
    assert found.status[0] == Status.INFEASIBLE
    # However many tokens it takes.
    assert found.status[1] == Status.OPTIMAL
    assert float(found.params[1]) <= bounds[1] * (1 + 1e-12)


def test_limits_under_kaplans_law_are_on_all_parameters() -> None:
    kaplan = published("kaplan-2020")
    problem = Problem(law=kaplan, target_loss=2.4, cost=FLOPS, flops=FLOPS)
    free = _minimise(problem)
    total = float(kaplan.total_params(free.params))
    for limits, expected in (
        # Below .922 of it no number of tokens reaches 2.4.
        ((limit("params", "max", 0.95 * total),), 0.95 * total),
        ((limit("params", "min", 1.4 * total),), 1.4 * total),
        ((limit("serving_memory", "max", 0.95 * total / 1e9),), 0.95 * total),
    ):
        found = _minimise(replace(problem, limits=limits))
        assert found.status == Status.OPTIMAL
        assert float(kaplan.total_params(found.params)) == pytest.approx(expected, rel=1e-12)
        assert float(kaplan.loss(found.params, found.tokens)) == pytest.approx(2.4, rel=1e-12)
    ratio = 2.0 * float(free.tokens) / total
    found = _minimise(replace(problem, limits=(limit("tokens_per_param", "min", ratio),)))
    assert float(found.tokens) == pytest.approx(ratio * float(kaplan.total_params(found.params)), rel=1e-12)
