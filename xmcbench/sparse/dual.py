"""One binary linear classifier: L2-regularised squared hinge by dual coordinate descent.

It minimises over w (the bias is an additional feature of constant value)

    ½ ‖w‖² + C Σ_i max(0, 1 − y_i w·x_i)²

Source: Hsieh et al., "A dual coordinate descent method for large-scale linear SVM" (ICML 2008), algorithm 3, as in
LIBLINEAR's solver 1, but with eager shrinking: a row is set aside as soon as its dual variable is zero and its gradient
would keep it there; all rows are visited again after five passes over the others. In a label tree this applies to
nearly all rows of a node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

WorkProgress = Callable[[float, float], None]  # called with (work done, work in all); it may raise to stop the work
PASSES = 5  # over the active rows, before all rows are visited again; 3 and "until converged" took longer


class SolverOptions(NamedTuple):
    """How classifiers are trained; the defaults of `cost` and `tolerance` are those of LIBLINEAR's solver 1.

    Attributes
    ----------
    cost : C; 1 in Parabel, PECOS, DiSMEC and napkinXC too.
    tolerance : a problem ends when the projected gradients of a pass over all its rows differ by at most this.
    max_iter : maximum number of passes per problem; 20 in Parabel, 100 in napkinXC.
    bias : value of the constant feature.
    threshold : weights of smaller magnitude are dropped; the bias weight is kept.
    seed : determines the order in which rows are visited.
    """

    cost: float = 1.0
    tolerance: float = 0.1
    max_iter: int = 20
    bias: float = 1.0
    threshold: float = 0.0
    seed: int = 0


class Problem(NamedTuple):
    """One binary problem: the numbers of its rows in `x`, and their signs.

    Attributes
    ----------
    x : `Csr` with d features. squares : squared norms of the rows of `x`, including the constant feature.
    rows : (m,) integers. signs : (m,) float64, 1 or −1.
    """

    x: Any
    squares: Any
    rows: Any
    signs: Any


@njit(cache=True, nogil=True)
def solve(problem: Any, alpha: Any, weights: Any, bias_weight: float, options: Any, seed: int) -> tuple[float, bool]:
    """Run up to `options.max_iter` passes. Returns the bias weight, and whether the solution is within `tolerance`.

    Dual variables `alpha` (m,) float64 and weights (d,) float32 are changed in place. For a cold start they and the
    bias weight are zero; for a warm start they are the result of an earlier call on some of these rows, with zero in
    `alpha` for new rows. Convergence is LIBLINEAR's criterion, see `SolverOptions.tolerance`.
    """
    x, squares, rows, signs = problem
    bias, tolerance, diagonal = options.bias, options.tolerance, 0.5 / options.cost
    m = len(rows)
    order = np.arange(m)
    size, full, passes = m, True, 0  # the first `size` of `order` are active; full: this pass visits all rows
    state = np.int64(seed) & 0xFFFFFFFF
    for _ in range(options.max_iter):
        highest, lowest = 0.0, 0.0  # rows set aside have a projected gradient of zero
        for i in range(size - 1):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF  # Numerical Recipes' generator
            j = i + ((state * (size - i)) >> 32)
            order[i], order[j] = order[j], order[i]
        s = 0
        while s < size:
            i = order[s]
            row, old = rows[i], alpha[i]
            gradient = signs[i] * (_dot(x, row, weights) + bias * bias_weight) - 1.0
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
                add_row(x, row, np.float32(step), weights)
            s += 1
        passes += 1
        within = highest - lowest <= tolerance
        if full and within:
            return bias_weight, True
        full = not full and (within or passes % PASSES == 0)
        if full:
            size = m
    return bias_weight, False


# Inlined by numba, since LLVM does not inline them: a call with arrays has twenty arguments on the stack, and the
# solver takes an eighth longer on rows of 11 features. Unsigned indices save the check for Python's negative indices.


@njit(cache=True, nogil=True, inline="always")
def _dot(x: Any, row: Any, weights: Any) -> Any:
    """Dot product with two partial sums, so that consecutive additions do not wait for each other."""
    even, odd = np.float32(0.0), np.float32(0.0)
    at, end = np.uint64(x.indptr[row]), np.uint64(x.indptr[row + 1])
    while at + np.uint64(2) <= end:
        even += weights[np.uint32(x.indices[at])] * x.data[at]
        odd += weights[np.uint32(x.indices[at + np.uint64(1)])] * x.data[at + np.uint64(1)]
        at += np.uint64(2)
    if at < end:
        even += weights[np.uint32(x.indices[at])] * x.data[at]
    return even + odd


@njit(cache=True, nogil=True, inline="always")
def add_row(x: Any, row: Any, step: Any, weights: Any) -> None:
    """w += step · a row."""
    for at in range(np.uint64(x.indptr[row]), np.uint64(x.indptr[row + 1])):
        weights[np.uint32(x.indices[at])] += step * x.data[at]
