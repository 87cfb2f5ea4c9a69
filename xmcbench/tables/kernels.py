"""Numba kernels of the CPU path: products of a sparse batch with a table, and AdamW on the rows it refers to.

A sparse batch is CSR: row i holds `indices[indptr[i]:indptr[i+1]]` and as many `values`. Examples are the features of a
batch, and a shortlist with its gradient. Ids outside the table are padding and are skipped. One thread computes a row
of the result, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

PARTS = 64  # units of work; fixed, so that the result does not depend on the number of threads


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def rows_times_table(indptr: Any, indices: Any, values: Any, table: Any, out: Any) -> None:
    """out[i] = Σ values · table[indices] over row i of the batch; `out` (n, D)."""
    n_rows, width = table.shape
    for i in prange(len(indptr) - 1):
        out[i, :] = 0
        for at in range(indptr[i], indptr[i + 1]):
            if 0 <= indices[at] < n_rows:
                row = table[indices[at]]
                value = values[at]
                for d in range(width):
                    out[i, d] += value * row[d]


@njit(cache=True, nogil=True)
def group(indptr: Any, indices: Any, n_rows: int) -> Any:
    """Group the positions of a batch by the table row they refer to.

    Returns (rows, starts, order, owner): rows (u,) ascending; table row rows[j] occurs at the positions
    order[starts[j]:starts[j+1]] of `indices`, ascending; position order[k] belongs to batch row owner[k].
    """
    counts = np.zeros(n_rows + 1, np.int64)
    for index in indices:
        if 0 <= index < n_rows:
            counts[index] += 1
    rows = np.flatnonzero(counts)
    starts = np.zeros(len(rows) + 1, np.int64)
    for j in range(len(rows)):
        starts[j + 1] = starts[j] + counts[rows[j]]
        counts[rows[j]] = starts[j]
    order = np.empty(starts[-1], np.int64)
    owner = np.empty(starts[-1], np.int32)
    for i in range(len(indptr) - 1):
        for at in range(indptr[i], indptr[i + 1]):
            if 0 <= indices[at] < n_rows:
                k = counts[indices[at]]
                order[k] = at
                owner[k] = i
                counts[indices[at]] = k + 1
    return rows, starts, order, owner


@njit(cache=True, nogil=True)
def cut(starts: Any, parts: int) -> Any:
    """(parts + 1,) bounds of parts of the grouped rows of about equal cost: a row costs as much as two positions."""
    bounds = np.zeros(parts + 1, np.int64)
    total = starts[-1] + 2 * (len(starts) - 1)
    j = 0
    for part in range(1, parts + 1):
        while j < len(starts) - 1 and starts[j] + 2 * j < total * part // parts:
            j += 1
        bounds[part] = j
    bounds[parts] = len(starts) - 1
    return bounds


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def dots(rows: Any, starts: Any, order: Any, owner: Any, queries: Any, table: Any, bias: Any, out: Any) -> None:
    """out[at] = queries[i] · table[r] + bias[r] where position `at` of batch row i refers to r; others are unchanged.

    Each table row is read once, in order; the queries of a batch fit into the cache.
    """
    bounds = cut(starts, PARTS)
    for part in prange(PARTS):
        dots_part(bounds[part], bounds[part + 1], rows, starts, order, owner, queries, table, bias, out)


@njit(cache=True, nogil=True, fastmath=True)
def dots_part(
    first: int, last: int, rows: Any, starts: Any, order: Any, owner: Any, queries: Any, table: Any, bias: Any, out: Any
) -> None:
    """`dots` for the grouped rows first … last − 1."""
    for j in range(first, last):
        row = rows[j]
        for k in range(starts[j], starts[j + 1]):
            total = out.dtype.type(0)
            i = owner[k]
            for d in range(table.shape[1]):
                total += queries[i, d] * table[row, d]
            out[order[k]] = total + bias[row]


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def query_gradient(
    rows: Any, starts: Any, order: Any, owner: Any, values: Any, table: Any, scratch: Any, out: Any
) -> None:
    """out[i] = Σ values · table[r] over the positions of batch row i: `rows_times_table`, each table row read once.

    scratch : (parts, n, D) zeros, partial sums of as many parts of the table, for any number of threads.
    """
    parts = len(scratch)
    bounds = cut(starts, parts)
    for part in prange(parts):
        query_gradient_part(bounds[part], bounds[part + 1], rows, starts, order, owner, values, table, scratch[part])
    for i in prange(len(out)):
        out[i, :] = 0
        for part in range(parts):
            for d in range(out.shape[1]):
                out[i, d] += scratch[part, i, d]


@njit(cache=True, nogil=True, fastmath=True)
def query_gradient_part(
    first: int, last: int, rows: Any, starts: Any, order: Any, owner: Any, values: Any, table: Any, out: Any
) -> None:
    """Add the contributions of the grouped rows first … last − 1."""
    for j in range(first, last):
        row = rows[j]
        for k in range(starts[j], starts[j + 1]):
            value = values[order[k]]
            i = owner[k]
            for d in range(table.shape[1]):
                out[i, d] += value * table[row, d]


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def table_gradient(starts: Any, order: Any, owner: Any, values: Any, dense: Any, out: Any) -> None:
    """out[j] = Σ values · dense[i] over the positions of table row j (see `group`); `out` (u, D)."""
    bounds = cut(starts, PARTS)
    for part in prange(PARTS):
        table_gradient_part(bounds[part], bounds[part + 1], starts, order, owner, values, dense, out)


@njit(cache=True, nogil=True, fastmath=True)
def table_gradient_part(
    first: int, last: int, starts: Any, order: Any, owner: Any, values: Any, dense: Any, out: Any
) -> None:
    """`table_gradient` for the grouped rows first … last − 1."""
    for j in range(first, last):
        gradient_row(starts[j], starts[j + 1], order, owner, values, dense, out[j])


@njit(cache=True, nogil=True, fastmath=True)
def gradient_row(first: int, last: int, order: Any, owner: Any, values: Any, dense: Any, out: Any) -> None:
    """out = Σ values · dense[i] over the grouped positions first … last − 1."""
    out[:] = 0
    for k in range(first, last):
        value = values[order[k]]
        i = owner[k]
        for d in range(len(out)):
            out[d] += value * dense[i, d]


@njit(cache=True, nogil=True)
def sums(starts: Any, order: Any, values: Any, out: Any) -> None:
    """out[j] = Σ values over the positions of table row j."""
    for j in range(len(starts) - 1):
        for k in range(starts[j], starts[j + 1]):
            out[j] += values[order[k]]


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def adamw_rows(
    rows: Any,
    starts: Any,
    order: Any,
    owner: Any,
    values: Any,
    dense: Any,
    weight: Any,
    first: Any,
    second: Any,
    last: Any,
    shrunk: Any,
    step: int,
    shrink: float,
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """One AdamW step on the rows of a batch; their gradients (as in `table_gradient`) are never stored.

    The decay over the steps since a row's last update is applied first.

    last : (N,) step of a row's last update; shrunk : (N,) log of the decay factors up to then;
    shrink : the same log up to this step.
    """
    bounds = cut(starts, PARTS)
    for part in prange(PARTS):
        part_bounds = bounds[part], bounds[part + 1]
        factors = rows, starts, order, owner, values, dense
        adamw_part(part_bounds, factors, weight, first, second, last, shrunk, step, shrink, rate, betas, epsilon)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def adamw_part(
    bounds: Any,
    factors: Any,
    weight: Any,
    first: Any,
    second: Any,
    last: Any,
    shrunk: Any,
    step: int,
    shrink: float,
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """`adamw_rows` for the grouped rows bounds[0] … bounds[1] − 1."""
    rows, starts, order, owner, values, dense = factors
    gradient = np.empty(weight.shape[1], weight.dtype)
    for j in range(bounds[0], bounds[1]):
        row = rows[j]
        gradient_row(starts[j], starts[j + 1], order, owner, values, dense, gradient)
        decay = np.exp(shrink - shrunk[row])
        adamw_row(gradient, weight[row], first[row], second[row], decay, step, step - last[row], rate, betas, epsilon)
        last[row] = step
        shrunk[row] = shrink


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def adamw_row(
    gradient: Any,
    weight: Any,
    first: Any,
    second: Any,
    decay: float,
    step: int,
    steps_since: int,
    rate: float,
    betas: tuple[float, float],
    epsilon: float,
) -> None:
    """AdamW on one row. For vectorisation all numbers have the weights' type and divisions are not checked for zero."""
    number = weight.dtype.type
    beta1, beta2 = betas
    keep1, add1 = number(beta1**steps_since), number(1 - beta1)
    keep2, add2 = number(beta2**steps_since), number(1 - beta2)
    move, root, tiny = number(rate / (1 - beta1**step)), number(1 / np.sqrt(1 - beta2**step)), number(epsilon)
    shrinkage = number(decay)
    for d in range(len(weight)):
        g = gradient[d]
        m = keep1 * first[d] + add1 * g
        v = keep2 * second[d] + add2 * g * g
        first[d] = m
        second[d] = v
        weight[d] = weight[d] * shrinkage - move * m / (np.sqrt(v) * root + tiny)
