"""The cores of the fits, step by step: derivatives, scaling and damped steps against the same written plainly."""

from __future__ import annotations

import numpy as np
import pytest

from beyond_chinchilla.fit import levenberg, power_sum
from beyond_chinchilla.fit.huber import UNLIMITED, Rows, bend, derivatives, objective, prepare
from beyond_chinchilla.fit.levenberg import Constraint, minimise, solve
from beyond_chinchilla.fit.power_sum import Freedom, PowerRows
from beyond_chinchilla.fit.result import hold
from beyond_chinchilla.laws.loss_law import LossLaw

LAW = LossLaw(E=1.8172, A=482.01, alpha=0.3478, B=2085.43, beta=0.3658)
RANDOM = np.random.default_rng(4)
N = 10 ** RANDOM.uniform(7.7, 10.3, 30)
D = N * 10 ** RANDOM.uniform(0.0, 2.7, 30)
L = LAW.loss(N, D) * np.exp(0.02 * RANDOM.standard_normal(30))
ROWS = Rows.of(N, D, L)
AT = np.array([6.0, 7.5, 0.6, 0.34, 0.37])
WEIGHTS = RANDOM.integers(0, 4, size=30).astype(float)


def shares(theta):
    """Return each term's part of the law and the log residuals, of theta = (5,)."""
    logs = np.stack([theta[0] - theta[3] * ROWS.log_params, theta[1] - theta[4] * ROWS.log_tokens, np.zeros(30)])
    total = np.logaddexp.reduce(logs)
    return np.exp(logs - total), total + theta[2] - ROWS.log_loss


def slopes(theta):
    (u, v, _), residual = shares(theta)
    return np.stack([u, v, np.ones(30), -ROWS.log_params * u, -ROWS.log_tokens * v], axis=1), residual


def test_rows_are_centred_logs():
    x, y = np.log(N), np.log(D)
    assert ROWS.centre == pytest.approx((x.mean(), y.mean()))
    np.testing.assert_allclose(ROWS.log_params, x - x.mean())
    np.testing.assert_allclose(ROWS.log_tokens, y - y.mean())
    np.testing.assert_allclose(ROWS.log_loss, np.log(L))
    assert ROWS.count == 30
    reach = [1, 1, 1, np.abs(x - x.mean()).max(), np.abs(y - y.mean()).max()]
    np.testing.assert_allclose(ROWS.spans, np.array(reach)[:, None])
    a, b, e, alpha, beta = AT
    theta = [a - alpha * x.mean() - e, b - beta * y.mean() - e, e, alpha, beta]
    np.testing.assert_allclose(ROWS.inward @ AT, theta)
    u, v, residual = ROWS.terms((ROWS.inward @ AT)[:, None])
    total = 403.4287934927351 * N**-0.34 + 1808.0424144560632 * D**-0.37 + 1.8221188003905089
    np.testing.assert_allclose(residual[0], np.log(total / L), atol=1e-12)
    np.testing.assert_allclose(u[0], 403.4287934927351 * N**-0.34 / total)
    np.testing.assert_allclose(v[0], 1808.0424144560632 * D**-0.37 / total)


def test_terms_beyond_any_number_are_cut():
    for where in (0, 1):
        theta = np.zeros((5, 1))
        theta[where] = 1e4
        np.testing.assert_allclose(ROWS.residuals(theta)[0], 300.0 - ROWS.log_loss, rtol=1e-12)
        theta[where] = 299.0
        np.testing.assert_allclose(ROWS.residuals(theta)[0], 299.0 - ROWS.log_loss, rtol=1e-12)


@pytest.mark.parametrize("delta", [0.01, UNLIMITED])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_gradient_metric_and_objective_row_by_row(delta, weights):
    theta = ROWS.inward @ AT
    jacobian, residual = slopes(theta)
    w = np.ones(30) if weights is None else weights
    size = np.abs(residual)
    assert 0 < (size > 0.01).sum() < 30
    loss = np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))
    given = None if weights is None else weights[None]
    found = derivatives(ROWS, theta[:, None], np.array([delta]), given)
    assert found.objective[0] == pytest.approx(w @ loss, rel=1e-12)
    assert objective(ROWS, theta[:, None], delta, given)[0] == pytest.approx(w @ loss, rel=1e-12)
    np.testing.assert_allclose(found.gradient[:, 0], jacobian.T @ (w * np.clip(residual, -delta, delta)), rtol=1e-10)
    reweighted = w * np.minimum(1.0, delta / size)
    np.testing.assert_allclose(found.metric[..., 0], jacobian.T @ (reweighted[:, None] * jacobian), rtol=1e-10)
    # Shares' own derivatives, by differences, on top of the rows within delta.
    curved = np.zeros((5, 5))
    for i in range(5):
        step = 1e-6 * np.eye(5)[i]
        curved[i] = (
            (slopes(theta + step)[0] - slopes(theta - step)[0]).T @ (w * np.clip(residual, -delta, delta)) / 2e-6
        )
    expected = jacobian.T @ ((w * (size <= delta))[:, None] * jacobian) + curved
    np.testing.assert_allclose(found.second[..., 0], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


def test_many_problems_in_blocks_are_each_alone():
    random = np.random.default_rng(2)
    theta = (ROWS.inward @ AT)[:, None] + 0.1 * random.standard_normal((5, 2500))
    delta = random.uniform(0.001, 0.1, 2500)
    weights = random.integers(0, 3, (2500, 30)).astype(float)
    found = derivatives(ROWS, theta, delta, weights)
    for k in (0, 1, 1091, 1092, 1093, 2184, 2499):
        alone = derivatives(ROWS, theta[:, [k]], delta[[k]], weights[[k]])
        for name in ("objective", "gradient", "second", "metric"):
            np.testing.assert_allclose(getattr(found, name)[..., k], getattr(alone, name)[..., 0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_bend_counts_rows_as_the_step_does(weights):
    theta, step = ROWS.inward @ AT, np.array([0.3, -0.2, 0.1, 0.02, 0.05])
    jacobian, residual = slopes(theta)
    second = (shares(theta + 1e-4 * step)[1] - 2 * residual + shares(theta - 1e-4 * step)[1]) / 1e-8
    delta, damping = 0.01, 0.3
    size = np.abs(residual)
    counted = (size <= delta) + damping * np.minimum(1.0, delta / size)
    counted *= 1.0 if weights is None else weights
    given = None if weights is None else weights[None]
    force = bend(ROWS, theta[:, None], step[:, None], np.array([delta]), np.array([damping]), given)
    np.testing.assert_allclose(force[:, 0], jacobian.T @ (counted * second), rtol=1e-4, atol=1e-6)


def test_starts_are_lifted_and_shifted():
    random = np.random.default_rng(3)
    starts = random.uniform([-20, -20, -8, 0, 0], [20, 20, 8, 2, 2], (12, 5)).T
    # Inside, the first two are relative to E.
    found = prepare(ROWS, starts.copy())
    for k in range(12):
        a, b, e, alpha, beta = starts[:, k]
        tops = np.array([(a - alpha * ROWS.log_params).max(), (b - beta * ROWS.log_tokens).max(), 0.0])
        lifted = np.maximum(tops, tops.max() - 2.0)
        a, b, e = np.array([a, b, 0.0]) + lifted - tops + [0, 0, e]
        terms = np.stack([a - alpha * ROWS.log_params, b - beta * ROWS.log_tokens, np.full(30, e - starts[2, k])])
        shift = np.median(np.logaddexp.reduce(terms) + starts[2, k] - ROWS.log_loss)
        level = e - shift
        expected = [a + starts[2, k] - e, b + starts[2, k] - e, level, alpha, beta]
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-9, atol=1e-9)
        assert np.median(shares(found[:, k])[1]) == pytest.approx(0.0, abs=1e-9)


def test_starts_beside_a_fixed_floor_keep_it():
    random = np.random.default_rng(3)
    starts = random.uniform([-20, -20, -8, 0, 0], [20, 20, 8, 2, 2], (12, 5)).T
    floor = np.log(1.7)
    found = prepare(ROWS, starts.copy(), floor)
    for k in range(12):
        a, b, _, alpha, beta = starts[:, k]
        tops = np.array([(a - alpha * ROWS.log_params).max(), (b - beta * ROWS.log_tokens).max()])
        a, b = np.array([a, b]) + np.maximum(tops, tops.max() - 2.0) - tops
        terms = np.logaddexp(a - alpha * ROWS.log_params, b - beta * ROWS.log_tokens)
        shift = np.median(np.log(L / 1.7 - 1.0) - terms)
        np.testing.assert_allclose(found[:, k], [a + shift, b + shift, floor, alpha, beta], rtol=1e-9, atol=1e-9)


def test_conditions_add_up_and_starts_are_brought_to_them():
    none = Constraint.none()
    assert (none.matrix.shape, none.value.shape) == ((0, 5), (0, 1))
    both = hold(True, 2.0).also(np.eye(5)[[0]], np.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_array_equal(both.matrix, [[0, 0, 1, 0, 0], [0, 0, 0, 1, -1], [1, 0, 0, 0, 0]])
    np.testing.assert_allclose(both.value, [[np.log(2)] * 3, [0.0] * 3, [1.0, 2.0, 3.0]])
    # No condition on anything: E = 0 stands at e^-60, as does whatever is less.
    assert hold(False, 0.0).value.tolist() == hold(False, 1e-30).value.tolist() == [[-60.0]]
    assert hold(False, None).matrix.shape == (0, 5)
    start = np.array([[9.0, 9.0, 9.0], [1.0, 1.0, 1.0], [5.0, 5.0, 5.0], [0.1, 0.2, 0.3], [0.3, 0.3, 0.3]])
    # The nearest point: the mean of the exponents, and what is held.
    found = levenberg._project(start, both)
    np.testing.assert_allclose(found, [[1, 2, 3], [1, 1, 1], [np.log(2)] * 3, [0.2, 0.25, 0.3], [0.2, 0.25, 0.3]])


def test_a_pivot_below_round_off_is_no_pivot():
    for excess, definite in ((2e-14, True), (5e-15, False)):
        matrix = np.array([[1.0, 1.0], [1.0, 1.0 + excess]])[..., None]
        assert solve(matrix, np.ones((2, 1)))[1].tolist() == [definite]
    for scale in (1e-3, 1e3):
        found, definite = solve(scale * np.array([[4.0, 2.0], [2.0, 3.0]])[..., None], np.array([[2.0], [5.0]]))
        np.testing.assert_allclose(found[:, 0], np.array([-0.5, 2.0]) / scale)
        assert definite.all()


def plain(start, delta, weights, steps, *, widest=UNLIMITED, free=None, tolerance=1e-12):
    """Levenberg's and Marquardt's method for one problem: theta after so many steps, and whether it ended."""
    theta, free = start.copy(), np.eye(5) if free is None else free
    now, damping, growth, idle, age, stride = max(widest, delta), 1e-2, 2.0, 0, 0, 0.5
    spans = ROWS.spans[:, 0]
    given = None if weights is None else weights[None]

    def at(theta):
        return derivatives(ROWS, theta[:, None], np.array([now]), given)

    here = at(theta)
    for step_count in range(1, steps + 1):
        final = now <= delta
        age += final
        value, gradient = here.objective[0], here.gradient[:, 0]
        second, metric = here.second[..., 0], here.metric[..., 0]
        inertia = np.abs(gradient) * spans / stride + 1e-12 * metric[2, 2] * spans**2
        matrix = free.T @ (second + damping * metric + np.diag(inertia)) @ free
        definite = np.linalg.eigvalsh(matrix).min() > 0
        step = free @ np.linalg.solve(matrix, -free.T @ gradient) if definite else np.zeros(5)
        step = step * min(1.0, 5 * stride / max(np.abs(step * spans).max(), 1e-300))
        if final and definite and age > 3:
            force = bend(ROWS, theta[:, None], step[:, None], np.array([now]), np.array([damping]), given)[:, 0]
            turn = free @ np.linalg.solve(matrix, -0.5 * free.T @ force)
            step = step + turn * min(1.0, 0.75 * np.abs(step * spans).max() / max(np.abs(turn * spans).max(), 1e-300))
        predicted = -(gradient @ step + 0.5 * step @ second @ step)
        trial = at(theta + step)
        gain = value - trial.objective[0]
        taken = definite and gain >= 0
        if taken:
            theta, here = theta + step, trial
        quality = gain / predicted if predicted > 0 else 0.0
        if not taken or quality < 0.25:
            damping, growth = damping * growth, 2 * growth
        else:
            damping, growth = (damping / 6 if quality > 0.75 else damping), 2.0
        damping = min(max(damping, 1e-6), 1e12)
        least = (tolerance if delta >= UNLIMITED or final else 1e-4) * value
        idle = idle + 1 if (gain if taken else 0.0) <= least and abs(predicted) <= least else 0
        stuck = damping > (1e11 if final else 1e6)
        perfect = here.objective[0] < 0.5 * 30 * 1e-26
        if not final and (idle >= 1 or stuck or perfect):
            now = max(min(now / 5, 0.05), delta)
            idle, damping, here = 0, 1e-2, at(theta)
        elif final and (idle >= 2 or stuck or perfect):
            return theta, True, step_count
    return theta, False, steps


STARTS = np.array(
    [[6.0, 7.5, 0.6, 0.34, 0.37], [12.0, 3.0, 0.2, 0.7, 0.2], [0.0, 15.0, -1.0, 0.0, 1.0], [25.0, 25.0, 1.0, 2.0, 0.5]]
)


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize(
    "options",
    [{"delta": UNLIMITED}, {"delta": 0.003}, {"delta": 0.003, "widest": 0.009}, {"delta": 0.02, "tied": True}],
)
def test_the_steps_are_those_of_the_method(start, options):
    """One problem after the other, each from its start to its end."""
    options = dict(options)
    held = hold(options.pop("tied", False), None)
    theta = prepare(ROWS, ROWS.inward @ STARTS[[start]].T)
    outward = np.linalg.inv(ROWS.inward)
    begun = levenberg._project(outward @ theta, held)
    free = levenberg._null_space(held.matrix @ outward)
    weights = WEIGHTS if start % 2 else None
    for steps in (1, 2, 3, 6, 12, 300):
        expected, ended, count = plain((ROWS.inward @ begun)[:, 0], weights=weights, steps=steps, free=free, **options)
        found = minimise(
            ROWS,
            begun,
            weights=None if weights is None else weights[None],
            constraint=held,
            max_iterations=steps,
            **options,
        )
        reached = ROWS.inward @ found.parameters[:, 0]
        if steps < 300:
            np.testing.assert_allclose(reached, expected, rtol=1e-5, atol=1e-6)
            assert found.iterations[0] == count
        assert bool(found.converged[0]) is ended
    value = objective(ROWS, expected[:, None], options["delta"], None if weights is None else weights[None])[0]
    assert ended
    assert found.objective[0] == pytest.approx(value, rel=1e-8)
    assert found.iterations[0] == pytest.approx(count, abs=3)


@pytest.mark.parametrize(
    ("start", "delta"),
    [
        ([16.8, 4.99, 0.88, 0.73, 0.21], UNLIMITED),
        ([13.82, 14.85, 0.7, 0.29, 0.81], 0.003),
        ([18.94, 12.44, 0.06, 1.57, 0.83], 0.003),
    ],
)
def test_a_bend_turns_a_step_by_three_quarters_of_its_length_at_most(start, delta):
    """Where valleys are so curved that it would turn it by more."""
    theta = prepare(ROWS, ROWS.inward @ np.array([start]).T)
    begun = np.linalg.inv(ROWS.inward) @ theta
    for steps in (5, 7, 9, 11):
        expected, _, _ = plain(theta[:, 0], delta, None, steps, widest=delta)
        found = minimise(ROWS, begun, delta=delta, widest=delta, max_iterations=steps)
        np.testing.assert_allclose(ROWS.inward @ found.parameters[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_the_null_space_is_what_a_condition_leaves():
    matrix = np.array([[0.0, 0.0, 0.0, 1.0, -1.0], [0.0, 0.0, 1.0, 0.0, 0.0]])
    free = levenberg._null_space(matrix)
    assert free.shape == (5, 3)
    np.testing.assert_allclose(matrix @ free, 0.0, atol=1e-12)
    np.testing.assert_allclose(free.T @ free, np.eye(3), atol=1e-12)


# Sums of powers

TABLE = PowerRows.of([N, D], L)


def test_rows_of_a_sum_are_centred_and_go_there_and_back():
    x = np.log(np.stack([N, D]))
    np.testing.assert_allclose(TABLE.centres, x.mean(axis=1))
    np.testing.assert_allclose(TABLE.logs, x - x.mean(axis=1)[:, None])
    assert (TABLE.terms, TABLE.size) == (2, 5)
    theta = TABLE.inward(AT)
    np.testing.assert_allclose(theta, [6 - 0.34 * x[0].mean(), 7.5 - 0.37 * x[1].mean(), 0.6, 0.34, 0.37])
    np.testing.assert_allclose(TABLE.outward(theta), AT)
    share, residual = TABLE.shares(theta[None])
    parts = np.stack([np.exp(6.0) * N**-0.34, np.exp(7.5) * D**-0.37, np.full(30, np.exp(0.6))])
    np.testing.assert_allclose(share[0], (parts / parts.sum(axis=0)).T)
    np.testing.assert_allclose(residual[0], np.log(parts.sum(axis=0) / L), atol=1e-12)


def test_what_is_held_and_tied_leaves_these_directions():
    assert Freedom.of(5).count == 5
    np.testing.assert_array_equal(Freedom.of(4, held=(1,)).directions, np.delete(np.eye(4), 1, axis=1))
    tied = Freedom.of(5, held=(2,), tied=(3, 4)).directions
    np.testing.assert_array_equal(tied, [[1, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize("delta", [1e3, 0.01])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_steps_of_a_sum_are_those_of_the_method(delta, weights):
    freedom = Freedom.of(5, tied=(3, 4)) if weights is None else Freedom.of(5)
    G = freedom.directions
    w = np.ones(30) if weights is None else weights
    start = TABLE.inward(np.array([3.0, 9.0, 0.0, 0.5, 0.5]))

    def value(theta):
        residual = TABLE.shares(theta[None])[1][0]
        size = np.abs(residual)
        return w @ np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))

    theta, damping, ended = start.copy(), 1e-3, False
    path, lengths = [], []
    while not ended and len(path) < 300:
        jacobian, residual = (part[0] for part in TABLE.jacobian(theta[None]))
        J = jacobian @ G
        counted = w * np.minimum(1.0, delta / np.abs(residual))
        metric, gradient = J.T @ (counted[:, None] * J), J.T @ (counted * residual)
        s = -np.linalg.solve(metric + damping * np.diag(np.diag(metric)), gradient)
        lengths.append(np.abs(s).max())
        s *= min(1.0, 1.0 / np.abs(s).max())
        better = value(theta + G @ s) < value(theta)
        ended = -(gradient @ s) - 0.5 * s @ metric @ s <= 1e-13 * value(theta) + 1e-30 * 30
        theta = theta + G @ s if better else theta
        damping = min(max(damping * (0.2 if better else 5.0), 1e-12), 1e12)
        path.append(theta)
        ended |= not better and damping >= 1e12
    assert lengths[0] > 1.0
    given = None if weights is None else weights[None]
    for steps in (1, 2, 3, 5, 8):
        found = power_sum.minimise(TABLE, start[None], freedom, delta=delta, weights=given, max_iterations=steps)
        np.testing.assert_allclose(found.theta[0], path[steps - 1], rtol=1e-6, atol=1e-7)
        assert found.objective[0] == pytest.approx(value(path[steps - 1]), rel=1e-6)
        assert not found.converged[0]
    found = power_sum.minimise(TABLE, start[None], freedom, delta=delta, weights=given)
    assert found.converged[0]
    assert found.objective[0] == pytest.approx(value(theta), rel=1e-9)


def test_sums_in_blocks_are_each_alone():
    random = np.random.default_rng(6)
    start = TABLE.inward(AT + 0.05 * random.standard_normal((2200, 5)))
    weights = random.integers(0, 3, (2200, 30)).astype(float)
    found = power_sum.minimise(TABLE, start, Freedom.of(5), delta=0.05, weights=weights, max_iterations=2)
    assert found.theta.shape == (2200, 5)
    for k in (0, 2183, 2184, 2199):
        alone = power_sum.minimise(TABLE, start[[k]], Freedom.of(5), delta=0.05, weights=weights[[k]], max_iterations=2)
        np.testing.assert_allclose(found.theta[k], alone.theta[0], rtol=1e-7, atol=1e-9)
        assert found.objective[k] == pytest.approx(alone.objective[0], rel=1e-9)


def test_starts_of_a_sum_are_the_best_coefficients_for_their_exponents():
    from scipy.optimize import nnls

    found = power_sum.starts(TABLE, np.zeros(5), Freedom.of(5))
    assert [tuple(row[3:]) for row in found] == [(p, q) for p in (0.2, 0.5, 1.2) for q in (0.2, 0.5, 1.2)]
    for theta in found:
        x, y = TABLE.logs
        columns = np.stack([np.exp(-theta[3] * x), np.exp(-theta[4] * y), np.ones(30)], axis=1) / L[:, None]
        best = np.maximum(nnls(columns, np.ones(30))[0], 1e-3 / columns.mean(axis=0))
        np.testing.assert_allclose(np.exp(theta[:3]), best, rtol=1e-9)
    # Tied exponents are one choice; what is held stays, and its part is taken off first.
    tied = power_sum.starts(TABLE, np.zeros(5), Freedom.of(5, tied=(3, 4)))
    assert [tuple(row[3:]) for row in tied] == [(0.2, 0.2), (0.5, 0.5), (1.2, 1.2)]
    held = np.array([0.0, 0.0, np.log(1.5), 0.3, 0.0])
    (first, *_) = rows = power_sum.starts(TABLE, held, Freedom.of(5, held=(2, 3)))
    assert len(rows) == 3
    assert (rows[:, 2] == np.log(1.5)).all()
    assert (rows[:, 3] == 0.3).all()
    columns = np.stack([np.exp(-0.3 * TABLE.logs[0]), np.exp(-0.2 * TABLE.logs[1])], axis=1) / L[:, None]
    best = np.maximum(nnls(columns, 1.0 - 1.5 / L)[0], 1e-3 / columns.mean(axis=0))
    np.testing.assert_allclose(np.exp(first[:2]), best, rtol=1e-9)
