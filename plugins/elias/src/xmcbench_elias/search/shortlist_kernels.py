"""Numba kernel of the CPU path: the labels of best path in a beam, and the paths to its true labels.

Only K labels of b · κ paths are needed. So paths are counted by score in buckets, and only the paths in the upper
buckets are grouped by label; lower buckets are visited only if there are too few labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

SHIFT = 18  # low bits of a float32 that do not count for its bucket; sign, exponent and five fraction bits do
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
    true_indptr, true_labels : (n + 1,), (nnz,), CSR of the rows' true labels; empty if they are not known.
    workers : number of parallel workers, each with scratch of n_labels.
    labels, paths : (n, size) out: label ids, and path = position in the beam · width + column of `entries`;
        n_labels and 0 at padding.
    targets : (n, size) out: True for true labels.
    true_paths : (nnz,) out: path of each true label, −1 if no cluster of the beam leads to it.
    """
    for worker in prange(workers):
        beam = clusters, cluster_scores, entries, entry_scores
        truth = true_indptr, true_labels
        out = labels, paths, targets, true_paths
        shortlist_rows(worker, workers, size, n_labels, beam, truth, out)


@njit(cache=True, nogil=True)
def shortlist_rows(worker: int, workers: int, size: int, n_labels: int, beam: Any, truth: Any, out: Any) -> None:
    """`shortlist` for every `workers`-th row."""
    clusters, cluster_scores, entries, entry_scores = beam
    true_indptr, true_labels = truth
    labels, paths, targets, true_paths = out
    n_paths = clusters.shape[1] * entries.shape[1]
    scores = np.empty(n_paths, entry_scores.dtype)
    path_labels = np.empty(n_paths, np.int64)
    single = np.empty(n_paths, np.float32)
    counts = np.empty(2 * HALF, np.int32)
    best = np.full(n_labels, -np.inf, entry_scores.dtype)
    path = np.empty(n_labels, np.int32)
    touched = np.empty(min(n_paths, n_labels), np.int64)
    is_true = np.zeros(n_labels + 1, np.bool_)
    true_best = np.empty(n_labels + 1, entry_scores.dtype)
    true_path = np.empty(n_labels + 1, np.int32)
    for i in range(worker, len(clusters), workers):
        row_labels = true_labels[true_indptr[i] : true_indptr[i + 1]]
        for label in row_labels:
            is_true[label] = True
            true_best[label] = -np.inf
            true_path[label] = -1
        score_paths(clusters[i], cluster_scores[i], entries, entry_scores, scores, path_labels)
        for at in range(n_paths):
            if is_true[path_labels[at]] and scores[at] > true_best[path_labels[at]]:
                true_best[path_labels[at]] = scores[at]
                true_path[path_labels[at]] = at
        n_touched = best_paths(scores, path_labels, single, counts, size, n_labels, best, path, touched)
        chosen = keep_best(touched[:n_touched], best, size)
        for k in range(size):
            valid = k < len(chosen)
            labels[i, k] = chosen[k] if valid else n_labels
            paths[i, k] = path[chosen[k]] if valid else 0
            targets[i, k] = is_true[chosen[k]] if valid else False
        best[touched[:n_touched]] = -np.inf
        for at in range(len(row_labels)):
            true_paths[true_indptr[i] + at] = true_path[row_labels[at]]
        for label in row_labels:
            is_true[label] = False


@njit(cache=True, nogil=True)
def score_paths(
    clusters: Any, cluster_scores: Any, entries: Any, entry_scores: Any, scores: Any, path_labels: Any
) -> None:
    """Scores and labels of one row's paths, in the order of paths."""
    width = entries.shape[1]
    for position in range(len(clusters)):
        start = position * width
        for column in range(width):
            scores[start + column] = cluster_scores[position] + entry_scores[clusters[position], column]
            path_labels[start + column] = entries[clusters[position], column]


@njit(cache=True, nogil=True)
def best_paths(
    scores: Any,
    path_labels: Any,
    single: Any,
    counts: Any,
    size: int,
    n_labels: int,
    best: Any,
    path: Any,
    touched: Any,
) -> int:
    """Fill `best` and `path` for labels that include the `size` best, and list them in `touched`; returns their number.

    `best` is −inf on entry. `single` and `counts` are scratch.
    """
    count_buckets(scores, single, counts)
    bits = single.view(np.int32)
    wanted, n_touched = size + size // 4, 0  # a surplus, since some labels have several paths
    while True:
        lowest = lowest_bucket(counts, wanted)
        for at in range(len(scores)):
            if bits[at] >> SHIFT >= lowest and path_labels[at] < n_labels:
                label = path_labels[at]
                if scores[at] > best[label]:  # never true of NaN
                    if best[label] == -np.inf:
                        touched[n_touched] = label
                        n_touched += 1
                    best[label] = scores[at]
                    path[label] = at
        if n_touched >= size or lowest == -HALF:
            return n_touched
        wanted *= 2


@njit(cache=True, nogil=True)
def count_buckets(scores: Any, single: Any, counts: Any) -> None:
    """Count scores by bucket; `single` gets their float32 bits as integers in the order of the scores."""
    bits = single.view(np.int32)
    counts[:] = 0
    for at in range(len(scores)):
        single[at] = scores[at]
    for at in range(len(scores)):
        bits[at] ^= (bits[at] >> 31) & 0x7FFFFFFF
        counts[(bits[at] >> SHIFT) + HALF] += 1


@njit(cache=True, nogil=True)
def lowest_bucket(counts: Any, wanted: int) -> int:
    """The highest bucket that, with all buckets above it, has `wanted` scores; the lowest bucket if there are fewer."""
    above = 0
    for bucket in range(HALF - 1, -HALF - 1, -1):
        above += counts[bucket + HALF]
        if above >= wanted:
            return bucket
    return -HALF


@njit(cache=True, nogil=True)
def keep_best(labels: Any, score: Any, size: int) -> Any:
    """The `size` labels of largest score (ties: lower id first), in input order."""
    if len(labels) <= size:
        return labels
    values = np.empty(len(labels), score.dtype)
    for k in range(len(labels)):
        values[k] = score[labels[k]]
    threshold = np.partition(values, len(labels) - size)[len(labels) - size]
    room = size - np.count_nonzero(values > threshold)
    last = np.sort(labels[values == threshold])[room - 1]
    chosen = np.empty(size, np.int64)
    n_chosen = 0
    for k in range(len(labels)):
        if values[k] > threshold or (values[k] == threshold and labels[k] <= last):
            chosen[n_chosen] = labels[k]
            n_chosen += 1
    return chosen
