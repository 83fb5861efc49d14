"""Sums of power laws: the core that fits any number of terms."""

from __future__ import annotations

import numpy as np
import pytest

from beyond_chinchilla.fit.parametric import fit_parametric
from beyond_chinchilla.fit.power_sum import Freedom, PowerRows, huber, minimise, starts

RNG = np.random.default_rng(3)
N, D = (axis.ravel() for axis in np.meshgrid(np.geomspace(1e8, 1e10, 6), np.geomspace(1e10, 1e12, 5)))
LOSS = (1.7 + 406.0 * N**-0.34 + 410.0 * D**-0.28) * np.exp(0.002 * RNG.standard_normal(N.size))
ROWS = PowerRows.of([N, D], LOSS)


def test_two_terms_end_where_the_fit_of_chinchillas_form_ends() -> None:
    freedom = Freedom.of(ROWS.size)
    found = minimise(ROWS, starts(ROWS, np.zeros(5), freedom), freedom, delta=1e3)
    best = ROWS.outward(found.theta[np.argmin(found.objective)])
    law = fit_parametric(N, D, LOSS, objective="least-squares").law
    ours = [*np.exp(best[:3]), *best[3:]]
    assert ours == pytest.approx([law.A, law.B, law.E, law.alpha, law.beta], rel=1e-5)


def test_the_jacobian_is_the_derivative_of_the_residuals() -> None:
    theta = ROWS.inward(np.array([[6.0, 6.1, 0.5, 0.34, 0.28]]))
    jacobian = ROWS.jacobian(theta)[0][0]
    step = 1e-6
    for i in range(5):
        ends = [ROWS.shares(theta + sign * step * np.eye(5)[i])[1][0] for sign in (1.0, -1.0)]
        assert jacobian[:, i] == pytest.approx((ends[0] - ends[1]) / (2.0 * step), abs=1e-8)


def test_what_is_held_stays_and_what_is_tied_moves_as_one() -> None:
    freedom = Freedom.of(5, held=(2,), tied=(3, 4))
    held = ROWS.inward(np.array([0.0, 0.0, np.log(1.6), 1.0, 1.0]))
    found = minimise(ROWS, starts(ROWS, held, freedom), freedom, delta=1e3).theta
    assert freedom.count == 3
    assert np.exp(found[:, 2]) == pytest.approx(1.6, rel=1e-12)
    assert found[:, 3] - found[:, 4] == pytest.approx(0.0, abs=1e-12)


def test_hubers_function_by_hand() -> None:
    # Within delta = 1: r^2/2; beyond: |r| - 1/2; the middle row counts twice
    assert huber(np.array([[0.5, -1.0, -3.0]]), 1.0, np.array([[1.0, 2.0, 1.0]])).tolist() == [0.125 + 1.0 + 2.5]


def test_weights_count_as_rows() -> None:
    doubled = PowerRows.of([np.r_[N, N[:7]], np.r_[D, D[:7]]], np.r_[LOSS, LOSS[:7]])
    freedom = Freedom.of(5)
    parameters = np.array([[6.0, 6.1, 0.5, 0.34, 0.28]])
    weights = np.where(np.arange(N.size) < 7, 2.0, 1.0)[None]
    ends = [
        rows.outward(minimise(rows, rows.inward(parameters), freedom, delta=0.002, weights=each).theta)
        for rows, each in ((ROWS, weights), (doubled, None))
    ]
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)
