"""Correlation matrices: their factor, and the nearest possible one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beyond_chinchilla.correlation import factor, is_possible, least_eigenvalue, nearest_correlation, nearest_round


@st.composite
def symmetric(draw: st.DrawFn) -> np.ndarray:
    size = draw(st.integers(2, 5))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    matrix = np.triu(random.uniform(-1, 1, (size, size)), 1)
    return matrix + matrix.T + np.eye(size)


# Higham 2002, Computing the nearest correlation matrix, IMA J. Numer. Anal. 22, section 4: the matrix of Eq. (4.1)...
HIGHAM_3 = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
# ... and the tridiagonal one, as printed to four digits.
HIGHAM_4 = np.array([[2.0, -1, 0, 0], [-1, 2, -1, 0], [0, -1, 2, -1], [0, 0, -1, 2]])
NEAREST_4 = [
    [1.0, -0.8084, 0.1916, 0.1068],
    [-0.8084, 1.0, -0.6562, 0.1916],
    [0.1916, -0.6562, 1.0, -0.8084],
    [0.1068, 0.1916, -0.8084, 1.0],
]


def test_highams_example_of_order_3():
    found = nearest_correlation(HIGHAM_3)
    published = [[1.0, 0.7607, 0.1573], [0.7607, 1.0, 0.7607], [0.1573, 0.7607, 1.0]]
    np.testing.assert_allclose(found, published, atol=5e-5)
    # The distance that he prints.
    assert np.linalg.norm(found - HIGHAM_3) == pytest.approx(0.5278, abs=5e-5)


def test_highams_example_of_order_4():
    np.testing.assert_allclose(nearest_correlation(HIGHAM_4), NEAREST_4, atol=5e-5)


@given(symmetric())
def test_the_nearest_is_possible_and_no_other_is_nearer(matrix: np.ndarray):
    found = nearest_correlation(matrix)
    assert least_eigenvalue(found) > -1e-7
    np.testing.assert_array_equal(np.diag(found), 1.0)
    distance = np.linalg.norm(found - matrix)
    if is_possible(matrix):
        assert distance < 1e-6
    # Convex: of all possible matrices on the way to any other one none is nearer.
    random = np.random.default_rng(1)
    for _ in range(5):
        rows = random.standard_normal((len(matrix), len(matrix)))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        assert np.linalg.norm(rows @ rows.T - matrix) >= distance - 1e-6


def test_held_entries_stay():
    held = np.zeros((3, 3), dtype=bool)
    held[0, 2] = held[2, 0] = True
    found = nearest_correlation(HIGHAM_3, held)
    # With the corner held at 0 the other two are 1/sqrt(2).
    np.testing.assert_allclose(found[[0, 1, 0], [1, 2, 2]], [0.5**0.5, 0.5**0.5, 0.0], atol=1e-6)


@given(symmetric())
def test_rounded_entries_can_be_written_down_and_used(matrix: np.ndarray):
    found = nearest_round(matrix)
    assert is_possible(found)
    np.testing.assert_allclose(found, np.round(found, 2), atol=1e-12)
    # Drawn in by a few hundredths at most.
    assert np.abs(found - nearest_correlation(matrix)).max() < 0.05


@given(symmetric())
def test_a_factor_times_itself_is_the_matrix(matrix: np.ndarray):
    possible = nearest_correlation(matrix)
    lower = factor(possible)
    assert np.allclose(lower, np.tril(lower))
    np.testing.assert_allclose(lower @ lower.T, possible, atol=1e-4)


def test_a_factor_of_perfect_correlation_and_of_nothing():
    np.testing.assert_array_equal(factor(np.array([[1.0, -1.0], [-1.0, 1.0]])), [[1.0, 0.0], [-1.0, 0.0]])
    np.testing.assert_array_equal(factor(np.zeros((2, 2))), np.zeros((2, 2)))
