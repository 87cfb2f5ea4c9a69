"""One binary linear classifier: L2-regularised squared hinge by dual coordinate descent.

It minimises over w (the bias is an additional feature of constant value)

    ½ ‖w‖² + C Σ_i max(0, 1 − y_i w·x_i)²

Source: Hsieh et al., "A dual coordinate descent method for large-scale linear SVM" (ICML 2008), algorithm 3, as in
LIBLINEAR's solver 1, but with eager shrinking: a row is set aside as soon as its dual variable is zero and its gradient
would keep it there; all rows are visited again after five passes over the others. In a label tree this applies to
nearly all rows of a node.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

PASSES = 5  # over the active rows, before all rows are visited again; 3 and "until converged" took longer


@njit(cache=True, nogil=True)
def row_squares(indptr: Any, data: Any) -> Any:
    """(n,) float64: squared L2 norms of rows."""
    squares = np.zeros(len(indptr) - 1)
    for row in range(len(squares)):
        for at in range(indptr[row], indptr[row + 1]):
            squares[row] += np.float64(data[at]) * np.float64(data[at])
    return squares


@njit(cache=True, nogil=True)
def solve(
    indptr: Any, indices: Any, data: Any, squares: Any, rows: Any, signs: Any, alpha: Any,
    cost: float, tolerance: float, max_iter: int, bias: float, seed: int, weights: Any, bias_weight: float,
) -> tuple[float, bool]:  # fmt: skip
    """Run up to `max_iter` passes. Returns the bias weight, and whether the solution is within `tolerance`.

    Dual variables `alpha` (m,) float64 and weights (d,) float32 are changed in place. For a cold start they and the
    bias weight are zero; for a warm start they are the result of an earlier call on some of these rows, with zero in
    `alpha` for new rows. `squares`: squared norms of rows, including the constant feature. Convergence is LIBLINEAR's
    criterion: the projected gradients of a pass over all rows differ by at most `tolerance`.
    """
    m = len(rows)
    order = np.arange(m)
    diagonal = 0.5 / cost
    size, full, passes = m, True, 0  # the first `size` of `order` are active; full: this pass visits all rows
    state = np.int64(seed) & 0xFFFFFFFF
    for _ in range(max_iter):
        highest, lowest = 0.0, 0.0  # rows set aside have a projected gradient of zero
        for i in range(size - 1):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF  # Numerical Recipes' generator
            j = i + ((state * (size - i)) >> 32)
            order[i], order[j] = order[j], order[i]
        s = 0
        while s < size:
            i = order[s]
            row = rows[i]
            old = alpha[i]
            gradient = signs[i] * (_dot(indptr, indices, data, row, weights) + bias * bias_weight) - 1.0
            gradient += diagonal * old
            if old == 0.0 and gradient >= 0.0:
                size -= 1
                order[s], order[size] = order[size], order[s]
                continue
            highest, lowest = max(highest, gradient), min(lowest, gradient)
            alpha[i] = max(old - gradient / (squares[row] + diagonal), 0.0)
            step = signs[i] * (alpha[i] - old)
            if step != 0.0:
                bias_weight += step * bias
                _add(indptr, indices, data, row, np.float32(step), weights)
            s += 1
        passes += 1
        within = highest - lowest <= tolerance
        if full and within:
            return bias_weight, True
        full = not full and (within or passes % PASSES == 0)
        if full:
            size = m
    return bias_weight, False


# Unsigned indices save the check for Python's negative indices at every access.


@njit(cache=True, nogil=True)
def _dot(indptr: Any, indices: Any, data: Any, row: int, weights: Any) -> Any:
    """Dot product with two partial sums, so that consecutive additions do not wait for each other."""
    even, odd = np.float32(0.0), np.float32(0.0)
    at, end = indptr[row], indptr[row + 1]
    while at + 2 <= end:
        even += weights[np.uint32(indices[at])] * data[at]
        odd += weights[np.uint32(indices[at + 1])] * data[at + 1]
        at += 2
    if at < end:
        even += weights[np.uint32(indices[at])] * data[at]
    return even + odd


@njit(cache=True, nogil=True)
def _add(indptr: Any, indices: Any, data: Any, row: int, step: Any, weights: Any) -> None:
    for at in range(indptr[row], indptr[row + 1]):
        weights[np.uint32(indices[at])] += step * data[at]
