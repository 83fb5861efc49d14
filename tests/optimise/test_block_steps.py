"""Bills and curves of a block against the scalar ones, and each step of the solver that reads them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from beyond_chinchilla.laws.catalogue import law as published
from beyond_chinchilla.optimise import elementwise
from beyond_chinchilla.optimise.blocks import BlockBill, BlockCurve, mix, powers, spread
from beyond_chinchilla.optimise.elementwise import Status, minimise
from beyond_chinchilla.optimise.iso_loss import IsoLoss, widest
from beyond_chinchilla.posynomial import Posynomial, Term, monomial

SARDANA = published("sardana-2024")
BILL = Posynomial(
    (
        Term(label="training", coefficient=np.array([6.0, 7.0]), powers={"params": 1.0, "tokens": 1.0}),
        Term(label="serving", coefficient=4e12, powers={"params": 1.0}),
        Term(label="data", coefficient=3e10, powers={"tokens": 0.75}),
    )
)
R = np.array([0.25, 0.5])
CURVE = BlockCurve.of(SARDANA, np.log(R), (2,))
COST = BlockBill.of(BILL, (2,))
Z = np.array([0.3, -0.7])


def _one(posynomial: Posynomial, at: int) -> Posynomial:
    terms = (replace(t, coefficient=float(np.broadcast_to(t.coefficient, 2)[at])) for t in posynomial.terms)
    return Posynomial(tuple(terms))


def test_powers_and_coefficients_are_those_of_the_terms() -> None:
    assert powers(BILL) == ([1.0, 1.0, 0.0], [1.0, 0.0, 0.75])
    assert [log.tolist() for log in COST.logs] == [
        np.log([6.0, 7.0]).tolist(),
        [math.log(4e12)] * 2,
        [math.log(3e10)] * 2,
    ]
    assert spread([[1.0], [2.0]], (2, 2)).tolist() == [1.0, 1.0, 2.0, 2.0]
    cut = COST.cut(slice(1, 2))
    assert [log.tolist() for log in cut.logs] == [[math.log(7.0)], [math.log(4e12)], [math.log(3e10)]]
    assert (cut.p, cut.r) == (COST.p, COST.r)


def test_terms_weights_and_value_of_a_block_are_those_of_each_problem() -> None:
    n, d = np.array([23.0, 24.0]), np.array([29.0, 27.0])
    for at in (0, 1):
        one, logs = _one(BILL, at), {"params": float(n[at]), "tokens": float(d[at])}
        terms = one.log_terms(logs)
        assert [term[at] for term in COST.terms(n, d)] == pytest.approx(terms.tolist(), rel=1e-15)
        peak, weights = COST.weights(n, d)
        assert peak[at] == pytest.approx(float(terms.max()), rel=1e-15)
        assert [w[at] for w in weights] == pytest.approx(np.exp(terms - terms.max()).tolist(), rel=1e-13)
        assert COST.log_value(n, d)[at] == pytest.approx(float(one.log_value(logs)), rel=1e-15)
    # A term that does not know an infinite variable is what it is.
    assert np.isfinite(BlockBill([np.zeros(1)], [0.0], [2.0]).terms(np.array([np.inf]), np.ones(1))[0])
    single = BlockBill([np.array([1.5])], [2.0], [0.0])
    peak, weights = single.weights(np.array([3.0]), np.array([np.inf]))
    assert (peak.tolist(), [w.tolist() for w in weights]) == ([7.5], [[1.0]])
    assert single.log_value(np.array([3.0]), np.zeros(1)).tolist() == [7.5]


@pytest.mark.parametrize(("n", "d"), [(0.0, 0.0), (20.0, -30.0), (-20.0, 30.0)])
def test_a_limit_is_broken_beyond_the_rounding_of_its_logs(n: float, d: float) -> None:
    edge = 1e-12 * (1.0 + abs(n) + abs(d))
    for over, broken in ((-1.0, False), (0.9 * edge, False), (1.1 * edge, True), (np.nan, True)):
        # Its log at n, d is `over`, whatever these are.
        limit = BlockBill([np.array([over])], [0.0], [0.0])
        assert limit.broken(np.array([n]), np.array([d])).tolist() == [broken]


def test_a_mixture_of_weights_leaves_out_what_counts_for_nothing() -> None:
    weights = [np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([np.inf, 1.0])]
    assert mix(weights, [1.0, -2.0, 0.0]).tolist() == [-5.0, -6.0]
    assert weights[0].tolist() == [1.0, 2.0]
    assert mix(weights[:1], [0.0]).tolist() == [0.0, 0.0]


def test_a_curve_and_its_slopes_are_those_of_the_law() -> None:
    n, d, n_slope, d_slope = CURVE.in_units(Z)
    N, D = (np.exp(x) for x in CURVE.at(Z))
    assert SARDANA.loss(N, D) - SARDANA.E == pytest.approx(R, rel=1e-13)
    u = SARDANA.A * N**-SARDANA.alpha / R
    assert np.log(u / (1 - u)) == pytest.approx(Z, rel=1e-12)
    assert np.exp(n * SARDANA.alpha) == pytest.approx(1 / u, rel=1e-13)
    assert np.exp(d * SARDANA.beta) == pytest.approx(1 / (1 - u), rel=1e-13)
    assert n_slope == pytest.approx(-(1 - u) / SARDANA.alpha, rel=1e-12)
    assert d_slope == pytest.approx(u / SARDANA.beta, rel=1e-12)
    other = IsoLoss(SARDANA, R).logs(Z)
    assert CURVE.at(Z)[0] == pytest.approx(other["params"], rel=1e-14)
    assert CURVE.at(Z)[1] == pytest.approx(other["tokens"], rel=1e-14)


def test_a_posynomial_along_the_curve_has_its_value_and_slope() -> None:
    value, slope = CURVE.along(COST, Z)
    h = 1e-5
    for at in (0, 1):
        curve = IsoLoss(SARDANA, float(R[at]))
        up, here, down = (float(curve.log_cost(_one(BILL, at), Z[at] + by)) for by in (h, 0.0, -h))
        assert value[at] == pytest.approx(here, rel=1e-14)
        assert slope[at] == pytest.approx((up - down) / (2 * h), rel=1e-8)


def test_the_balance_vanishes_where_the_bill_is_stationary_and_knows_its_slope() -> None:
    terms = COST.terms(CURVE.least_n, CURVE.least_d)
    bill = BlockBill(terms, COST.p, COST.r)
    G, slope = CURVE.balance(bill, Z)
    h = 1e-5
    up, down = (CURVE.balance(bill, Z + by)[0] for by in (h, -h))
    assert slope == pytest.approx((up - down) / (2 * h), rel=1e-8)
    # G = z + ln(alpha E[r]) - ln(beta E[p]) by the shares of the terms
    for at in (0, 1):
        logs = {name: float(x[at]) for name, x in zip(("params", "tokens"), CURVE.at(Z), strict=True)}
        shares = _one(BILL, at).shares(logs)
        in_n, in_d = float(shares @ np.array(COST.p)), float(shares @ np.array(COST.r))
        assert G[at] == pytest.approx(Z[at] + math.log(SARDANA.alpha * in_d / (SARDANA.beta * in_n)), rel=1e-12)


def test_a_curve_of_many_laws_is_cut_and_made_single_with_them() -> None:
    assert CURVE.cut(slice(1, 2)).least_n.tolist() == [CURVE.least_n[1]]
    assert CURVE.cut(slice(1, 2)).alpha == SARDANA.alpha
    many = BlockCurve(np.array([0.3, 0.4]), np.array([0.2, 0.5]), CURVE.least_n, CURVE.least_d)
    cut = many.cut(np.array([1]))
    assert (cut.alpha.tolist(), cut.beta.tolist(), cut.least_d.tolist()) == ([0.4], [0.5], [CURVE.least_d[1]])
    single = many.single()
    assert {x.dtype for x in (single.alpha, single.beta, single.least_n, single.least_d)} == {np.dtype(np.float32)}
    assert single.least_n == pytest.approx(CURVE.least_n, rel=1e-6)
    assert CURVE.single().alpha == SARDANA.alpha


# One step after the other


def test_the_share_of_a_model_as_a_coordinate() -> None:
    u = np.array([1e-12, 0.3, 0.5, 1.0 - 1e-9, 1.0, 2.0])
    with np.errstate(divide="ignore", invalid="ignore"):
        found = elementwise._logit(np.log(u))
    assert found[:3] == pytest.approx(np.log(u[:3] / (1 - u[:3])), abs=1e-12)
    assert found[3] == pytest.approx(math.log(1e9), rel=1e-6)
    assert found[4:].tolist() == [600.0, 600.0]
    # ln of the number next to 1 is not far enough.
    assert elementwise._logit(np.array([-1e-300])).tolist() == [600.0]


@pytest.mark.parametrize(
    ("limit", "where"),
    [
        # A ceiling on N, one on D, and one on both: where the curve meets them
        (monomial("size", 2.0**-34, {"params": 1.0}), {"params": 34.0 * math.log(2.0)}),
        (monomial("size", 2.0**-68, {"params": 2.0}), {"params": 34.0 * math.log(2.0)}),
        (monomial("data", 2.0**-39, {"tokens": 1.0}), {"tokens": 39.0 * math.log(2.0)}),
        (monomial("data", 2.0**-117, {"tokens": 3.0}), {"tokens": 39.0 * math.log(2.0)}),
        (monomial("size", 2.0**34, {"params": -1.0}), {"params": 34.0 * math.log(2.0)}),
    ],
)
def test_a_bound_on_one_variable_is_a_point_of_the_curve(limit: Posynomial, where: dict[str, float]) -> None:
    z = elementwise._end(CURVE, BlockBill.of(limit, (2,)), np.array([0.0, 0.0]))
    ((name, log),) = where.items()
    found = CURVE.at(z)[0 if name == "params" else 1]
    assert found == pytest.approx([log, log], abs=1e-12)


@pytest.mark.parametrize("start", [-8.0, 8.0])
def test_a_walk_to_a_limit_on_both_ends_where_it_begins_to_hold(start: float) -> None:
    # Both at once: 6 N D below that of either start, met on the near side.
    compute = monomial("compute", 6.0, {"params": 1.0, "tokens": 1.0})
    middle = np.array([-3.0, -3.0]) if start < 0 else np.array([3.0, 3.0])
    bound = np.exp([float(IsoLoss(SARDANA, r).log_cost(compute, z)) for r, z in zip(R, middle, strict=True)])
    limit = BlockBill.of(monomial("compute", 6.0 / bound, {"params": 1.0, "tokens": 1.0}), (2,))
    found = elementwise._end(CURVE, limit, np.array([start, start]))
    assert found == pytest.approx(middle, abs=1e-11)
    assert np.abs(CURVE.along(limit, found)[0]).max() < 1e-12


def test_a_limit_that_never_holds_is_followed_down_to_its_least() -> None:
    compute = monomial("compute", 6.0 / 1e15, {"params": 1.0, "tokens": 1.0})
    limit = BlockBill.of(compute, (2,))
    for start in (-5.0, 5.0):
        found = elementwise._end(CURVE, limit, np.full(2, start))
        # Past the compute-optimal point it rises again.
        least = math.log(SARDANA.beta / SARDANA.alpha)
        assert ((found - least) * (start - least) <= 1e-6).all()
        assert limit.broken(*CURVE.at(found)).all()


def test_only_what_breaks_a_limit_is_moved_to_the_farthest_end() -> None:
    n, d = CURVE.at(Z)
    tight = BlockBill.of(monomial("size", np.exp(-n - np.array([0.1, -0.1])), {"params": 1.0}), (2,))
    tighter = BlockBill.of(monomial("size", np.exp(-n + np.array([-1.0, 0.3])), {"params": 1.0}), (2,))
    z, moved = elementwise._respect(CURVE, [tight, tighter], Z, n, d)
    assert moved.tolist() == [1]
    assert z[0] == Z[0]
    assert CURVE.at(z)[0][1] == pytest.approx(n[1] - 0.3, abs=1e-12)
    z, moved = elementwise._respect(CURVE, [tighter, tight], Z, n, d)
    assert CURVE.at(z)[0][1] == pytest.approx(n[1] - 0.3, abs=1e-12)
    assert elementwise._respect(CURVE, [], Z, n, d)[1].size == 0


def test_floors_that_refer_to_each_other_have_a_corner() -> None:
    # D >= 20 N and N >= 2^40: far better than the target of either problem
    floors = [
        BlockBill.of(monomial("ratio", 20.0, {"params": 1.0, "tokens": -1.0}), (2,)),
        BlockBill.of(monomial("size", 2.0**40, {"params": -1.0}), (2,)),
    ]
    n, d, held = elementwise._corner(CURVE, floors)
    assert held.tolist() == [True, True]
    assert n == pytest.approx([40.0 * math.log(2.0)] * 2, rel=1e-14)
    assert d == pytest.approx([40.0 * math.log(2.0) + math.log(20.0)] * 2, rel=1e-14)
    # A square of either says the same.
    squares = [
        BlockBill.of(monomial("ratio", 400.0, {"params": 2.0, "tokens": -2.0}), (2,)),
        BlockBill.of(monomial("size", 2.0**120, {"params": -3.0}), (2,)),
    ]
    assert elementwise._corner(CURVE, squares)[0] == pytest.approx(n, rel=1e-14)
    assert elementwise._corner(CURVE, squares)[1] == pytest.approx(d, rel=1e-14)
    # Of several the tightest counts.
    more = [*floors, BlockBill.of(monomial("size", 2.0**30, {"params": -1.0}), (2,))]
    assert elementwise._corner(CURVE, more)[0].tolist() == n.tolist()
    looser = BlockBill.of(monomial("data", 2.0**30, {"tokens": -1.0}), (2,))
    assert elementwise._corner(CURVE, [looser, *floors])[1].tolist() == d.tolist()
    # N >= 20 D and N >= 2^40: nothing holds D up but another floor.
    upside = [BlockBill.of(monomial("ratio", 20.0, {"params": -1.0, "tokens": 1.0}), (2,)), looser]
    n, d, held = elementwise._corner(CURVE, upside)
    assert d == pytest.approx([30.0 * math.log(2.0)] * 2, rel=1e-14)
    assert n == pytest.approx([30.0 * math.log(2.0) + math.log(20.0)] * 2, rel=1e-14)


@pytest.mark.parametrize(("off", "held"), [(-1e-9, False), (1e-9, True)])
def test_a_corner_counts_where_it_is_as_good_as_the_target(off: float, held: bool) -> None:
    n, d = CURVE.at(Z)
    floors = [
        BlockBill.of(monomial("size", np.exp(n + off), {"params": -1.0}), (2,)),
        BlockBill.of(monomial("data", np.exp(d + off), {"tokens": -1.0}), (2,)),
    ]
    assert elementwise._corner(CURVE, floors)[2].tolist() == [held, held]
    # A floor on one of the two alone holds no corner.
    assert elementwise._corner(CURVE, floors[:1])[2].tolist() == [False, False]
    assert elementwise._corner(CURVE, floors[1:])[2].tolist() == [False, False]


@pytest.mark.parametrize(
    ("p", "r", "held_up"),
    [
        ([-1.0], [0.0], "params"),
        ([-1.0, -1.0], [0.0, 2.0], "params"),
        ([-1.0, -2.0], [0.0, 0.0], None),
        ([-1.0, -1.0], [0.0, -2.0], None),
        ([-1.0, 0.0], [0.0, 0.0], None),
        ([0.0], [-0.5], "tokens"),
        ([0.0, 2.0], [-0.5, -0.5], "tokens"),
        ([0.0, -2.0], [-0.5, -0.5], None),
        ([0.0, 0.0], [-0.5, -0.6], None),
        ([0.0, 0.0], [-0.5, 0.0], None),
        ([0.0], [0.0], None),
        ([1.0], [1.0], None),
        ([-1.0], [-1.0], None),
    ],
)
def test_what_a_limit_is_a_floor_of(p: list[float], r: list[float], held_up: str | None) -> None:
    assert elementwise._held_up(p, r) == held_up
    assert elementwise._never_falls(p, r) is (min(*p, *r) >= 0.0)


@pytest.mark.parametrize(
    ("bill", "end"),
    [(monomial("rent", 2.0, {"params": 1.0}), 600.0), (monomial("data", 2.0, {"tokens": 1.0}), -600.0)],
)
def test_a_bill_that_knows_one_variable_falls_to_the_end_of_the_curve(bill: Posynomial, end: float) -> None:
    z, status, iterations, residual = elementwise._stationary(CURVE, BlockBill.of(bill, (2,)))
    assert z.tolist() == [end, end]
    assert status.tolist() == [Status.UNBOUNDED, Status.UNBOUNDED]
    assert iterations.tolist() == [0, 0]
    assert residual.tolist() == [0.0, 0.0]


def test_where_a_bill_is_stationary() -> None:
    z, status, iterations, residual = elementwise._stationary(CURVE, COST)
    assert status.tolist() == [Status.OPTIMAL, Status.OPTIMAL]
    assert np.abs(CURVE.along(COST, z)[1]).max() < 1e-14
    assert (iterations >= 4).all()
    assert (iterations <= 6).all()
    assert (residual <= 1e-10).all()


@pytest.mark.parametrize("gap", [20, 200, 500])
def test_a_bill_of_far_apart_terms_is_solved_in_few_steps(gap: int) -> None:
    """One term after the other takes over: Newton's method is thrown too far, and the bracket brings it back."""
    cost = monomial("a", 1.0, {"params": 3.0, "tokens": 0.01}) + monomial(
        "b", math.exp(gap), {"params": 0.01, "tokens": 0.5}
    )
    found = minimise(SARDANA, SARDANA.E + np.geomspace(0.01, 3.0, 40), cost)
    assert (found.status == Status.OPTIMAL).all()
    assert found.iterations.max() <= 60
    logs = {"params": np.log(found.params), "tokens": np.log(found.tokens)}
    p, r = cost.log_gradient(logs, ("params", "tokens")).T
    model, data = SARDANA.A * found.params**-SARDANA.alpha, SARDANA.B * found.tokens**-SARDANA.beta
    # Both gradients are parallel.
    assert p * SARDANA.beta * data == pytest.approx(r * SARDANA.alpha * model, rel=1e-9)


# The same curve for one problem


@pytest.mark.parametrize("z", [-30.0, -1.0, 0.0, 2.5, 20.0])
def test_a_coordinate_and_its_model_are_one(z: float) -> None:
    curve = IsoLoss(SARDANA, 0.3)
    logs = curve.logs(z)
    N, D = math.exp(float(logs["params"])), math.exp(float(logs["tokens"]))
    assert float(SARDANA.loss(N, D)) == pytest.approx(SARDANA.E + 0.3, rel=1e-12)
    u = SARDANA.A * N**-SARDANA.alpha / 0.3
    if abs(z) < 5:
        assert math.log(u / (1 - u)) == pytest.approx(z, abs=1e-12)
        assert float(curve.coordinate(N)) == pytest.approx(z, abs=1e-12)
    assert math.isnan(float(curve.coordinate(0.9 * math.exp(float(curve.logs(600.0)["params"])))))


def test_the_widest_range_ends_where_the_cost_or_a_limit_does() -> None:
    curve = IsoLoss(SARDANA, 0.3)
    cost = monomial("compute", 6.0, {"params": 1.0, "tokens": 1.0}) + monomial("serving", 4e12, {"params": 1.0})
    found = minimise(SARDANA, SARDANA.E + 0.3, cost)
    n, z = float(np.log(found.params)), float(curve.coordinate(found.params))
    low, high = widest(curve, cost, [], z, 1.01)
    assert low < n < high
    for end in (low, high):
        D = float(SARDANA.tokens_for(math.exp(end), SARDANA.E + 0.3))
        over = float(cost.value({"params": math.exp(end), "tokens": D}))
        least = float(cost.value({"params": math.exp(n), "tokens": float(found.tokens)}))
        assert over / least == pytest.approx(1.01, rel=1e-9)
    ceiling = monomial("size", math.exp(-n - 0.01), {"params": 1.0})
    floor = monomial("size", math.exp(n - 0.02), {"params": -1.0})
    assert widest(curve, cost, [ceiling, floor], z, 1.01) == pytest.approx((n - 0.02, n + 0.01), abs=2e-8)
    assert widest(curve, cost, [ceiling], z, 1.01) == pytest.approx((low, n + 0.01), abs=2e-8)
    # No size is small enough, or large enough, to cost so much more.
    flat = monomial("flat", 1.0, {})
    assert widest(curve, flat, [], z, 1.01) == (-math.inf, math.inf)
    assert widest(curve, flat, [ceiling], z, 1.01) == pytest.approx((-math.inf, n + 0.01), abs=2e-8)
    assert widest(curve, flat, [floor], z, 1.01) == pytest.approx((n - 0.02, math.inf), abs=2e-8)
    # Held on both sides nothing is free.
    point = [monomial("size", math.exp(-n), {"params": 1.0}), monomial("size", math.exp(n), {"params": -1.0})]
    assert widest(curve, cost, point, z, 1.01) == pytest.approx((n, n), abs=1e-8)
