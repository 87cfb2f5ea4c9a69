"""Numba kernel of the CPU path: the labels of best path in a beam, and the paths to its true labels.

Only K labels of b · κ paths are needed. So paths are counted by score in buckets, and only the paths in the upper
buckets are grouped by label; lower buckets are visited only if there are too few labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit, prange

SHIFT = 18  # low bits of a float32 that do not count for its bucket; sign, exponent and five fraction bits do
HALF = 1 << (31 - SHIFT)  # buckets run from −HALF to HALF − 1


class Beams(NamedTuple):
    """The clusters of n rows and the adjacency they lead to.

    Attributes
    ----------
    clusters, scores : (n, b) distinct cluster ids and their log scores.
    entries, values : (C, width) label ids (n_labels: padding) and log values of the adjacency.
    """

    clusters: Any
    scores: Any
    entries: Any
    values: Any


class Truth(NamedTuple):
    """CSR of the rows' true labels, (n + 1,) and (nnz,); empty if they are not known."""

    indptr: Any
    labels: Any


class Shortlists(NamedTuple):
    """Where results are written.

    Attributes
    ----------
    labels, paths : (n, size) label ids, and path = position in the beam · width + column of `Beams.entries`; n_labels
        and 0 at padding.
    scores : (n, size) of the scores' type: log scores of the paths, −inf at padding.
    targets : (n, size) bool, True for true labels.
    true_paths : (nnz,) path of each true label, −1 if no cluster of the beam leads to it.
    """

    labels: Any
    paths: Any
    scores: Any
    targets: Any
    true_paths: Any


class Paths(NamedTuple):
    """Scratch for the paths of one row: their scores and labels; `single` and `counts` are those of `count_buckets`."""

    scores: Any
    labels: Any
    single: Any
    counts: Any


@njit(cache=True, nogil=True, parallel=True)
def shortlist(beams: Any, truth: Any, size: int, n_labels: int, out: Any, workers: int) -> None:
    """The best path to each label of the beam's rows, and the `size` labels of best path (ties: lower id first).

    workers : number of parallel workers, each with scratch of n_labels.
    """
    for worker in prange(workers):
        shortlist_rows(beams, truth, size, n_labels, out, worker, workers)


@njit(cache=True, nogil=True)
def shortlist_rows(beams: Any, truth: Any, size: int, n_labels: int, out: Any, worker: int, workers: int) -> None:
    """`shortlist` for every `workers`-th row."""
    n_paths = beams.clusters.shape[1] * beams.entries.shape[1]
    dtype = beams.values.dtype
    all_paths = Paths(
        np.empty(n_paths, dtype),
        np.empty(n_paths, np.int64),
        np.empty(n_paths, np.float32),
        np.empty(2 * HALF, np.int32),
    )
    best, path = np.full(n_labels, -np.inf, dtype), np.empty(n_labels, np.int32)
    touched = np.empty(min(n_paths, n_labels), np.int64)
    is_true = np.zeros(n_labels + 1, np.bool_)
    true_best, true_path = np.empty(n_labels + 1, dtype), np.empty(n_labels + 1, np.int32)
    for i in range(worker, len(beams.clusters), workers):
        first, last = truth.indptr[i], truth.indptr[i + 1]
        row_labels = truth.labels[first:last]
        for label in row_labels:
            is_true[label] = True
            true_best[label] = -np.inf
            true_path[label] = -1
        score_paths(beams, i, all_paths.scores, all_paths.labels)
        for at in range(n_paths):
            label = all_paths.labels[at]
            if is_true[label] and all_paths.scores[at] > true_best[label]:
                true_best[label] = all_paths.scores[at]
                true_path[label] = at
        n_touched = best_paths(all_paths, size, n_labels, best, path, touched)
        chosen = keep_best(touched[:n_touched], best, size)
        for k in range(size):
            valid = k < len(chosen)
            out.labels[i, k] = chosen[k] if valid else n_labels
            out.paths[i, k] = path[chosen[k]] if valid else 0
            out.scores[i, k] = best[chosen[k]] if valid else -np.inf
            out.targets[i, k] = is_true[chosen[k]] if valid else False
        best[touched[:n_touched]] = -np.inf
        for at in range(first, last):
            out.true_paths[at] = true_path[truth.labels[at]]
        for label in row_labels:
            is_true[label] = False


@njit(cache=True, nogil=True)
def score_paths(beams: Any, row: int, scores: Any, labels: Any) -> None:
    """Scores and labels of one row's paths, in the order of paths."""
    width = beams.entries.shape[1]
    for position in range(beams.clusters.shape[1]):
        start, cluster, score = position * width, beams.clusters[row, position], beams.scores[row, position]
        for column in range(width):
            scores[start + column] = score + beams.values[cluster, column]
            labels[start + column] = beams.entries[cluster, column]


@njit(cache=True, nogil=True)
def best_paths(paths: Any, size: int, n_labels: int, best: Any, path: Any, touched: Any) -> int:
    """Fill `best` and `path` for labels that include the `size` best, and list them in `touched`; returns their number.

    `best` is −inf on entry.
    """
    scores, labels = paths.scores, paths.labels
    count_buckets(scores, paths.single, paths.counts)
    bits = paths.single.view(np.int32)
    wanted, n_touched = size + size // 4, 0  # a surplus, since some labels have several paths
    while True:
        lowest = lowest_bucket(paths.counts, wanted)
        for at in range(len(scores)):
            if bits[at] >> SHIFT >= lowest and labels[at] < n_labels:
                label = labels[at]
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
    """The `size` labels of largest score (ties: lower id first), in input order.

    The heap of `xmcbench.sparse.topk` would change their order, and with it the order of sums in training.
    """
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
