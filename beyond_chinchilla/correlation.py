"""Correlation matrices: a factor to draw with, whether there is one, and the nearest matrix that has one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Eigenvalues of stated matrices are exact to rounding: this much below zero is none.
_ROUNDING = 1e-10
_STEPS = 10_000


def least_eigenvalue(matrix: Array) -> float:
    """Return the least eigenvalue of a symmetric matrix; below zero nothing correlates like it."""
    return float(np.linalg.eigvalsh(matrix)[0])


def is_possible(matrix: Array) -> bool:
    """Say whether a symmetric matrix is positive semi-definite, but for rounding."""
    return least_eigenvalue(matrix) >= -_ROUNDING * max(1.0, float(np.abs(matrix).max()))


def factor(matrix: Array) -> Array:
    """Return lower-triangular L with L L^T = matrix, for a positive semi-definite one: zero pivots are allowed.

    Row i of L only needs the first i columns of random numbers, and an entry that correlates with none of the others
    keeps a column of its own.

    >>> factor(np.array([[1.0, 1.0], [1.0, 1.0]]))
    array([[1., 0.],
           [1., 0.]])
    """
    size = len(matrix)
    lower = np.zeros((size, size))
    for j in range(size):
        pivot = matrix[j, j] - lower[j, :j] @ lower[j, :j]
        if pivot <= _ROUNDING * matrix[j, j]:
            # What is left of this row depends on the rows above; below it nothing is left to explain.
            continue
        lower[j, j] = np.sqrt(pivot)
        below = matrix[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]
        lower[j + 1 :, j] = below / lower[j, j]
    return lower


def nearest_correlation(matrix: Array, held: NDArray[np.bool_] | None = None) -> Array:
    """Return the correlation matrix nearest to a symmetric matrix in the Frobenius norm.

    Alternating projections with Dykstra's correction (Higham 2002, Computing the nearest correlation matrix,
    Algorithm 3.3) onto the positive semi-definite matrices and those of unit diagonal.

    Parameters
    ----------
    matrix : array, shape (n, n)
        Symmetric.
    held : array of bool, shape (n, n), optional
        Entries that must stay as they are, beside the diagonal of ones.

    Examples
    --------
    >>> nearest_correlation(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])).round(4)[0]
    array([1.    , 0.7607, 0.1573])
    """
    kept = np.eye(len(matrix), dtype=bool) if held is None else held | np.eye(len(matrix), dtype=bool)
    fixed = np.where(np.eye(len(matrix), dtype=bool), 1.0, matrix)
    found, correction = np.array(fixed), np.zeros_like(matrix)
    for _ in range(_STEPS):
        shifted = found - correction
        values, vectors = np.linalg.eigh(shifted)
        projected = (vectors * np.maximum(values, 0.0)) @ vectors.T
        correction = projected - shifted
        before, found = found, np.where(kept, fixed, projected)
        if np.abs(found - before).max() < 1e-12 and np.abs(found - projected).max() < 1e-9:
            break
    return found


def nearest_round(matrix: Array, held: NDArray[np.bool_] | None = None, digits: int = 2) -> Array:
    """Return a possible correlation matrix near the nearest one, with entries of so many digits to write down.

    The nearest matrix lies on the edge of what is possible, and rounding may lead out: it is drawn in until its
    rounded self is possible.
    """
    nearest = nearest_correlation(matrix, held)
    kept = np.eye(len(matrix), dtype=bool) if held is None else held | np.eye(len(matrix), dtype=bool)
    for shrink in np.linspace(1.0, 0.0, 201):
        rounded = np.where(kept, nearest, np.round(shrink * nearest, digits))
        if least_eigenvalue(rounded) >= 0.0:
            return np.asarray(rounded)
    return np.where(kept, nearest, 0.0)
