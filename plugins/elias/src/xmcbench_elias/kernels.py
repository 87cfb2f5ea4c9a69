"""Numba kernels of the CPU path: a sparse batch times a table, both ways, and the shortlist of a beam.

A sparse batch is CSR: row i holds `indices[indptr[i]:indptr[i+1]]` and as many `values`. Features of a batch are one;
the shortlist with its gradient is another. Ids outside the table are padding and are passed over. Every row (of the
result) is worked on by one thread alone, so the thread count never shows in the result.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange


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


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def dots(indptr: Any, indices: Any, queries: Any, table: Any, out: Any) -> None:
    """out[at] = queries[i] · table[indices[at]], 0 at padding; `out` has the length of `indices`."""
    n_rows, width = table.shape
    for i in prange(len(indptr) - 1):
        query = queries[i]
        for at in range(indptr[i], indptr[i + 1]):
            total = out.dtype.type(0)
            if 0 <= indices[at] < n_rows:
                row = table[indices[at]]
                for d in range(width):
                    total += query[d] * row[d]
            out[at] = total


@njit(cache=True, nogil=True)
def group(indptr: Any, indices: Any, n_rows: int) -> Any:
    """Turn the batch round: which table rows it names, and from where.

    Returns (rows, starts, order, owner): rows (u,) ascending; row rows[j] is named at order[starts[j]:starts[j+1]],
    ascending positions in `indices`, each in batch row owner[position].
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
    owner = np.empty(len(indices), np.int32)
    for i in range(len(indptr) - 1):
        for at in range(indptr[i], indptr[i + 1]):
            owner[at] = i
            if 0 <= indices[at] < n_rows:
                order[counts[indices[at]]] = at
                counts[indices[at]] += 1
    return rows, starts, order, owner


@njit(cache=True, nogil=True, parallel=True, fastmath=True)
def table_gradient(starts: Any, order: Any, owner: Any, values: Any, dense: Any, out: Any) -> None:
    """out[j] = Σ values · dense[owner] over the positions that name table row j (see `group`); `out` (u, D)."""
    width = dense.shape[1]
    for j in prange(len(starts) - 1):
        out[j, :] = 0
        for k in range(starts[j], starts[j + 1]):
            value = values[order[k]]
            row = dense[owner[order[k]]]
            for d in range(width):
                out[j, d] += value * row[d]


@njit(cache=True, nogil=True, parallel=True)
def shortlist(
    clusters: Any,
    cluster_scores: Any,
    entries: Any,
    entry_scores: Any,
    size: int,
    n_labels: int,
    true_indptr: Any,
    true_labels: Any,
    workers: int,
    labels: Any,
    paths: Any,
    targets: Any,
    true_paths: Any,
) -> None:
    """The best path to each label of the beam's rows, and the `size` labels of best path (ties: lower id first).

    Parameters
    ----------
    clusters, cluster_scores : (n, b) distinct cluster ids and their log scores.
    entries, entry_scores : (C, width) label ids (n_labels: padding) and log values of the adjacency.
    true_indptr, true_labels : (n + 1,), CSR of the rows' true labels; all zero where there are none to find.
    workers : rows are dealt out to so many, each with scratch of n_labels.
    labels, paths : (n, size) out: label ids, and path = place in the beam · width + column of `entries`.
        Past the last label: n_labels and 0.
    targets : (n, size) out: is that label true?
    true_paths : (nnz,) out: path of each true label, −1 where no cluster of the beam leads to it.
    """
    n, beam = clusters.shape
    width = entries.shape[1]
    for worker in prange(workers):
        best = np.full(n_labels, -np.inf, entry_scores.dtype)
        path = np.empty(n_labels, np.int32)
        is_true = np.zeros(n_labels, np.bool_)
        touched = np.empty(min(beam * width, n_labels), np.int64)
        for i in range(worker, n, workers):
            found = 0
            for place in range(beam):
                cluster = clusters[i, place]
                for column in range(width):
                    label = entries[cluster, column]
                    if label >= n_labels:
                        continue
                    score = cluster_scores[i, place] + entry_scores[cluster, column]
                    if score > best[label]:  # never true of NaN
                        if best[label] == -np.inf:
                            touched[found] = label
                            found += 1
                        best[label] = score
                        path[label] = place * width + column
            for at in range(true_indptr[i], true_indptr[i + 1]):
                label = true_labels[at]
                is_true[label] = True
                true_paths[at] = path[label] if best[label] > -np.inf else -1
            chosen = keep_best(touched[:found], best, size)
            for k in range(size):
                if k < len(chosen):
                    labels[i, k] = chosen[k]
                    paths[i, k] = path[chosen[k]]
                    targets[i, k] = is_true[chosen[k]]
                else:
                    labels[i, k] = n_labels
                    paths[i, k] = 0
                    targets[i, k] = False
            for at in range(true_indptr[i], true_indptr[i + 1]):
                is_true[true_labels[at]] = False
            for k in range(found):
                best[touched[k]] = -np.inf


@njit(cache=True, nogil=True)
def keep_best(labels: Any, score: Any, size: int) -> Any:
    """The `size` labels of largest score (ties: lower id first), in the order they came."""
    if len(labels) <= size:
        return labels
    values = np.empty(len(labels), score.dtype)
    for k in range(len(labels)):
        values[k] = score[labels[k]]
    border = np.partition(values, len(labels) - size)[len(labels) - size]
    room = size - np.count_nonzero(values > border)
    last = np.sort(labels[values == border])[room - 1]
    chosen = np.empty(size, np.int64)
    kept = 0
    for k in range(len(labels)):
        if values[k] > border or (values[k] == border and labels[k] <= last):
            chosen[kept] = labels[k]
            kept += 1
    return chosen


@njit(cache=True, nogil=True, parallel=True)
def adamw_rows(
    rows: Any,
    gradient: Any,
    weight: Any,
    first: Any,
    second: Any,
    last: Any,
    shrunk: Any,
    step: int,
    shrink: float,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """One AdamW step on the named rows; what decay would have done to them meanwhile is settled first.

    last : (N,) step at which a row was last touched; shrunk : (N,) log of the decay factors up to then;
    shrink : the same log up to this step.
    """
    correct1 = 1 - beta1**step
    correct2 = 1 - beta2**step
    for j in prange(len(rows)):
        row = rows[j]
        keep1 = beta1 ** (step - last[row])
        keep2 = beta2 ** (step - last[row])
        decay = np.exp(shrink - shrunk[row])
        for d in range(weight.shape[1]):
            g = gradient[j, d]
            m = weight.dtype.type(keep1 * first[row, d] + (1 - beta1) * g)
            v = weight.dtype.type(keep2 * second[row, d] + (1 - beta2) * g * g)
            first[row, d] = m
            second[row, d] = v
            weight[row, d] = weight[row, d] * decay - rate * (m / correct1) / (np.sqrt(v / correct2) + epsilon)
        last[row] = step
        shrunk[row] = shrink
