"""Numba kernels of the CPU path: products of a sparse batch with a table, and AdamW on the rows it refers to.

A sparse batch is CSR: row i holds `indices[indptr[i]:indptr[i+1]]` and as many `values`. Examples are the features of a
batch, and a shortlist with its gradient. Ids outside the table are padding and are skipped. One thread computes a row
of the result, so the result does not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numba import njit, prange

PARTS = 64  # units of work; fixed, so that the result does not depend on the number of threads
Array = TypeVar("Array")  # numpy's in kernels, torch's in `ops`


class Groups(NamedTuple, Generic[Array]):
    """Positions of a sparse batch, grouped by the table row they refer to.

    Attributes
    ----------
    rows : (u,) int64, table rows that occur, ascending.
    starts : (u + 1,) int64: row rows[j] occurs at the positions order[starts[j] : starts[j + 1]].
    order : (m,) int64, positions in the batch's indices, ascending for each row.
    owner : (m,) int32 or int64, the batch row of each position in `order`.
    """

    rows: Array
    starts: Array
    order: Array
    owner: Array


class TableState(NamedTuple):
    """A table (N, D) and what its optimiser stores about it.

    Attributes
    ----------
    weight, first : (N, D), the table and its first moment.
    second : (N, D), or (N, 1) where the elements of a row share their second moment.
    last : (N,) int64, step of a row's last update. shrunk : (N,) float64, log of the decay factors up to then.
    """

    weight: Any
    first: Any
    second: Any
    last: Any
    shrunk: Any


class Step(NamedTuple):
    """One step of AdamW: its number, from 1; the log of all decay factors up to it; and AdamW's parameters."""

    number: int
    shrink: float
    rate: float
    beta1: float
    beta2: float
    epsilon: float


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
    """`Groups` of a batch for a table of `n_rows`."""
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
    return Groups(rows, starts, order, owner)


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
def dots(groups: Any, queries: Any, table: Any, bias: Any, out: Any) -> None:
    """out[at] = queries[i] · table[r] + bias[r] where position `at` of batch row i refers to r; others are unchanged.

    Each table row is read once, in order; the queries of a batch fit into the cache.
    """
    bounds = cut(groups.starts, PARTS)
    for part in prange(PARTS):
        dots_part(bounds[part], bounds[part + 1], groups, queries, table, bias, out)


@njit(cache=True, nogil=True, fastmath=True)
def dots_part(first: int, last: int, groups: Any, queries: Any, table: Any, bias: Any, out: Any) -> None:
    """`dots` for the grouped rows first … last − 1."""
    for j in range(first, last):
        row = groups.rows[j]
        for k in range(groups.starts[j], groups.starts[j + 1]):
            total = out.dtype.type(0)
            i = groups.owner[k]
            for d in range(table.shape[1]):
                total += queries[i, d] * table[row, d]
            out[groups.order[k]] = total + bias[row]


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def query_gradient(groups: Any, values: Any, table: Any, scratch: Any, out: Any) -> None:
    """out[i] = Σ values · table[r] over the positions of batch row i: `rows_times_table`, each table row read once.

    scratch : (parts, n, D) zeros, partial sums of as many parts of the table, for any number of threads.
    """
    parts = len(scratch)
    bounds = cut(groups.starts, parts)
    for part in prange(parts):
        query_gradient_part(bounds[part], bounds[part + 1], groups, values, table, scratch[part])
    for i in prange(len(out)):
        out[i, :] = 0
        for part in range(parts):
            for d in range(out.shape[1]):
                out[i, d] += scratch[part, i, d]


@njit(cache=True, nogil=True, fastmath=True)
def query_gradient_part(first: int, last: int, groups: Any, values: Any, table: Any, out: Any) -> None:
    """Add the contributions of the grouped rows first … last − 1."""
    for j in range(first, last):
        row = groups.rows[j]
        for k in range(groups.starts[j], groups.starts[j + 1]):
            value = values[groups.order[k]]
            i = groups.owner[k]
            for d in range(table.shape[1]):
                out[i, d] += value * table[row, d]


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def table_gradient(groups: Any, values: Any, dense: Any, out: Any) -> None:
    """out[j] = Σ values · dense[i] over the positions of table row rows[j]; `out` (u, D)."""
    bounds = cut(groups.starts, PARTS)
    for part in prange(PARTS):
        for j in range(bounds[part], bounds[part + 1]):
            gradient_row(j, groups, values, dense, out[j])


@njit(cache=True, nogil=True, fastmath=True)
def gradient_row(j: int, groups: Any, values: Any, dense: Any, out: Any) -> None:
    """out = Σ values · dense[i] over the positions of table row rows[j]."""
    out[:] = 0
    for k in range(groups.starts[j], groups.starts[j + 1]):
        value = values[groups.order[k]]
        i = groups.owner[k]
        for d in range(len(out)):
            out[d] += value * dense[i, d]


@njit(cache=True, nogil=True)
def sums(groups: Any, values: Any, out: Any) -> None:
    """out[j] = Σ values over the positions of table row rows[j]."""
    for j in range(len(out)):
        for k in range(groups.starts[j], groups.starts[j + 1]):
            out[j] += values[groups.order[k]]


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def adamw_rows(groups: Any, values: Any, dense: Any, state: Any, step: Any) -> None:
    """One AdamW step on the rows of a batch; their gradients (as in `table_gradient`) are never stored.

    The decay over the steps since a row's last update is applied first.
    """
    bounds = cut(groups.starts, PARTS)
    for part in prange(PARTS):
        adamw_part(bounds[part], bounds[part + 1], groups, values, dense, state, step)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def adamw_part(begin: int, end: int, groups: Any, values: Any, dense: Any, state: Any, step: Any) -> None:
    """`adamw_rows` for the grouped rows begin … end − 1."""
    gradient = np.empty(state.weight.shape[1], state.weight.dtype)
    for j in range(begin, end):
        row = groups.rows[j]
        gradient_row(j, groups, values, dense, gradient)
        decay, steps_since = np.exp(step.shrink - state.shrunk[row]), step.number - state.last[row]
        if state.second.shape[1] == state.weight.shape[1]:
            adamw_row(gradient, state.weight[row], state.first[row], state.second[row], decay, steps_since, step)
        else:
            adamw_shared(gradient, state.weight[row], state.first[row], state.second[row], decay, steps_since, step)
        state.last[row], state.shrunk[row] = step.number, step.shrink


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def adamw_row(gradient: Any, weight: Any, first: Any, second: Any, decay: float, steps_since: int, step: Any) -> None:
    """AdamW on one row. For vectorisation all numbers have the weights' type and divisions are not checked for zero."""
    number = weight.dtype.type
    keep1, add1 = number(step.beta1**steps_since), number(1 - step.beta1)
    keep2, add2 = number(step.beta2**steps_since), number(1 - step.beta2)
    move, root = number(step.rate / (1 - step.beta1**step.number)), number(1 / np.sqrt(1 - step.beta2**step.number))
    tiny, shrinkage = number(step.epsilon), number(decay)
    for d in range(len(weight)):
        g = gradient[d]
        m = keep1 * first[d] + add1 * g
        v = keep2 * second[d] + add2 * g * g
        first[d] = m
        second[d] = v
        weight[d] = weight[d] * shrinkage - move * m / (np.sqrt(v) * root + tiny)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def adamw_shared(
    gradient: Any, weight: Any, first: Any, second: Any, decay: float, steps_since: int, step: Any
) -> None:
    """`adamw_row` where the row's elements share one second moment: that of their mean squared gradient."""
    number = weight.dtype.type
    keep1, add1 = number(step.beta1**steps_since), number(1 - step.beta1)
    shrinkage = number(decay)
    square = number(0)
    for d in range(len(weight)):
        square += gradient[d] * gradient[d]
    second[0] = step.beta2**steps_since * second[0] + (1 - step.beta2) * (square / len(weight))
    size = np.sqrt(second[0] / (1 - step.beta2**step.number)) + step.epsilon
    move = number(step.rate / (1 - step.beta1**step.number) / size)
    for d in range(len(weight)):
        m = keep1 * first[d] + add1 * gradient[d]
        first[d] = m
        weight[d] = weight[d] * shrinkage - move * m
