"""Numba kernel of the CPU path: the labels of best path in a beam, and the paths to its true labels.

Of b · κ paths only K labels' are wanted. So the paths are laid out and counted by score in buckets, and only those in
the upper buckets are told apart by label; the lower ones are met again only where labels turn out to be too few.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

SHIFT = 18  # low bits of a float32 that its bucket leaves out: sign, exponent and five bits of the fraction stay
HALF = 1 << (31 - SHIFT)  # buckets run from −HALF to HALF − 1


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
    for worker in prange(workers):
        beam = clusters, cluster_scores, entries, entry_scores
        truth = true_indptr, true_labels
        out = labels, paths, targets, true_paths
        shortlist_rows(worker, workers, size, n_labels, beam, truth, out)


@njit(cache=True, nogil=True)
def shortlist_rows(worker: int, workers: int, size: int, n_labels: int, beam: Any, truth: Any, out: Any) -> None:
    """`shortlist` of every `workers`-th row."""
    clusters, cluster_scores, entries, entry_scores = beam
    true_indptr, true_labels = truth
    labels, paths, targets, true_paths = out
    n_paths = clusters.shape[1] * entries.shape[1]
    scores = np.empty(n_paths, entry_scores.dtype)
    names = np.empty(n_paths, np.int64)
    single = np.empty(n_paths, np.float32)
    counts = np.empty(2 * HALF, np.int32)
    best = np.full(n_labels, -np.inf, entry_scores.dtype)
    path = np.empty(n_labels, np.int32)
    touched = np.empty(min(n_paths, n_labels), np.int64)
    is_true = np.zeros(n_labels + 1, np.bool_)
    true_best = np.empty(n_labels + 1, entry_scores.dtype)
    true_path = np.empty(n_labels + 1, np.int32)
    for i in range(worker, len(clusters), workers):
        mine = true_labels[true_indptr[i] : true_indptr[i + 1]]
        for label in mine:
            is_true[label] = True
            true_best[label] = -np.inf
            true_path[label] = -1
        lay_out(clusters[i], cluster_scores[i], entries, entry_scores, scores, names)
        for at in range(n_paths):
            if is_true[names[at]] and scores[at] > true_best[names[at]]:
                true_best[names[at]] = scores[at]
                true_path[names[at]] = at
        found = best_paths(scores, names, single, counts, size, n_labels, best, path, touched)
        chosen = keep_best(touched[:found], best, size)
        for k in range(size):
            known = k < len(chosen)
            labels[i, k] = chosen[k] if known else n_labels
            paths[i, k] = path[chosen[k]] if known else 0
            targets[i, k] = is_true[chosen[k]] if known else False
        best[touched[:found]] = -np.inf
        for at in range(len(mine)):
            true_paths[true_indptr[i] + at] = true_path[mine[at]]
        for label in mine:
            is_true[label] = False


@njit(cache=True, nogil=True)
def lay_out(clusters: Any, cluster_scores: Any, entries: Any, entry_scores: Any, scores: Any, names: Any) -> None:
    """Scores and labels of one row's paths, in the order of paths."""
    width = entries.shape[1]
    for place in range(len(clusters)):
        start = place * width
        for column in range(width):
            scores[start + column] = cluster_scores[place] + entry_scores[clusters[place], column]
            names[start + column] = entries[clusters[place], column]


@njit(cache=True, nogil=True)
def best_paths(
    scores: Any, names: Any, single: Any, counts: Any, size: int, n_labels: int, best: Any, path: Any, touched: Any
) -> int:
    """Fill `best` and `path` for enough labels, and list them in `touched`; returns how many there are.

    Enough: the `size` labels of best path are among them. `best` is −inf on entry. `single` and `counts` are scratch.
    """
    count_buckets(scores, single, counts)
    bits = single.view(np.int32)
    wanted, found = size + size // 4, 0  # some labels have several paths
    while True:
        lowest = lowest_bucket(counts, wanted)
        for at in range(len(scores)):
            if bits[at] >> SHIFT >= lowest and names[at] < n_labels:
                label = names[at]
                if scores[at] > best[label]:  # never true of NaN
                    if best[label] == -np.inf:
                        touched[found] = label
                        found += 1
                    best[label] = scores[at]
                    path[label] = at
        if found >= size or lowest == -HALF:
            return found
        wanted *= 2


@njit(cache=True, nogil=True)
def count_buckets(scores: Any, single: Any, counts: Any) -> None:
    """Count scores by the leading bits of their float32, which become integers of the same order in `single`."""
    bits = single.view(np.int32)
    counts[:] = 0
    for at in range(len(scores)):
        single[at] = scores[at]
    for at in range(len(scores)):
        bits[at] ^= (bits[at] >> 31) & 0x7FFFFFFF
        counts[(bits[at] >> SHIFT) + HALF] += 1


@njit(cache=True, nogil=True)
def lowest_bucket(counts: Any, wanted: int) -> int:
    """The highest bucket that has, with those above it, `wanted` scores; the lowest one where there are fewer."""
    above = 0
    for bucket in range(HALF - 1, -HALF - 1, -1):
        above += counts[bucket + HALF]
        if above >= wanted:
            return bucket
    return -HALF


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
