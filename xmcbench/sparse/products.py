"""Problems of a small group, solved by the inner products of the group's rows.

The solver of `xmcbench.sparse.dual` needs of a row its product with w = Σ_j α_j y_j x_j. With the inner products of all
pairs of rows, every row's product with w is updated instead of w itself: a visit reads one number, and only a change of
α costs one operation per row. Many visits change nothing, and the problems of a group share the inner products. Source:
the dual form of the support vector machine, e.g. Hsieh et al. (ICML 2008), section 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from xmcbench.sparse.csr import add_line, row_of
from xmcbench.sparse.dual import PASSES, add_row

MOST_ROWS = 1024  # 4 MB of products per thread; they should stay in the second or third level of the cache
ROWS_PER_PROBLEM = 8  # the products take as long as passes of all problems over all rows
ROWS_PER_FEATURE = 8  # a change of α costs an operation per row instead of one per feature of the row


@njit(cache=True, nogil=True)
def pays(n_rows: int, n_problems: int, n_features: int) -> bool:
    """Whether a group is trained faster with products; `n_features` are stored in all its rows together."""
    few = n_rows <= MOST_ROWS and n_rows <= ROWS_PER_PROBLEM * n_problems
    return few and n_rows * n_rows <= ROWS_PER_FEATURE * n_features


@njit(cache=True, nogil=True)
def products_of(x: Any, width: int, bias: float) -> Any:
    """(m, m) float32: inner products of all pairs of the m rows of a `Csr` with `width` features, and the constant one.

    `bias` : value of the constant feature.
    """
    m = len(x.indptr) - 1
    starts = np.zeros(width + 1, np.int64)
    for column in x.indices:
        starts[column + 1] += 1
    starts = np.cumsum(starts)
    ends = starts[:-1].copy()
    rows, values = np.empty(len(x.indices), np.int32), np.empty(len(x.indices), np.float32)
    products = np.full((m, m), np.float32(bias * bias))
    for row in range(m):
        line = products[row]
        columns, numbers = row_of(x, row)
        for i in range(len(columns)):
            column, number = columns[i], numbers[i]
            rows[ends[column]], values[ends[column]] = row, number
            ends[column] += 1
            for at in range(starts[column], ends[column]):  # this row and the earlier ones with the feature
                line[np.uint32(rows[at])] += number * values[at]
    for row in range(m):
        for other in range(row):
            products[other, row] = products[row, other]
    return products


@njit(cache=True, nogil=True)
def solve_by_products(x: Any, products: Any, signs: Any, weights: Any, options: Any, seed: int) -> float:
    """Solve the problem of all m rows of a `Csr` from a cold start; returns the bias weight.

    `products` : the result of `products_of`. `signs` : (m,) float64, 1 or −1. `weights` : (d,) float32, zero before.
    """
    alpha = _dual_variables(products, signs, options, seed)
    bias_weight = 0.0
    for row in range(len(alpha)):
        if alpha[row] != 0.0:
            bias_weight += signs[row] * alpha[row] * options.bias
            add_row(x, row, np.float32(signs[row] * alpha[row]), weights)
    return bias_weight


@njit(cache=True, nogil=True)
def _dual_variables(products: Any, signs: Any, options: Any, seed: int) -> Any:
    """(m,) float64: α after the same visits in the same order as in `xmcbench.sparse.dual.solve`, which see.

    A function of its own, since a choice between products and rows at each visit would slow down both.
    """
    tolerance, diagonal = options.tolerance, 0.5 / options.cost
    m = len(signs)
    alpha, margins = np.zeros(m), np.zeros(m, np.float32)  # margins: each row's product with w and the bias weight
    order = np.arange(m)
    size, full, passes = m, True, 0
    state = np.int64(seed) & 0xFFFFFFFF
    for _ in range(options.max_iter):
        highest, lowest = 0.0, 0.0
        for i in range(size - 1):
            state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
            j = i + ((state * (size - i)) >> 32)
            order[i], order[j] = order[j], order[i]
        s = 0
        while s < size:
            i = order[s]
            old = alpha[i]
            gradient = signs[i] * margins[i] - 1.0 + diagonal * old
            if old == 0.0 and gradient >= 0.0:
                size -= 1
                order[s], order[size] = order[size], order[s]
                continue
            highest, lowest = max(highest, gradient), min(lowest, gradient)
            alpha[i] = max(old - gradient / (products[i, i] + diagonal), 0.0)
            step = signs[i] * (alpha[i] - old)
            if step != 0.0:
                add_line(np.float32(step), products[i], np.uint64(0), margins)
            s += 1
        passes += 1
        within = highest - lowest <= tolerance
        if full and within:
            break
        full = not full and (within or passes % PASSES == 0)
        if full:
            size = m
    return alpha
