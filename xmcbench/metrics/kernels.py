"""The counting, in numba: predictions are read once, all else follows from the ranks of the true labels.

Plain arrays in and out; no result depends on the number of threads: rows are independent, sums over rows and labels
are made of integers or in one fixed order.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

OUTSIDE, TWICE = 1, 2  # faults of a row
_SHORT = 48  # labels of a row up to which counting beats sorting
_SAMPLES = 8  # resamples that share one pass over the rows


@njit(parallel=True, nogil=True, cache=True)
def find_ranks(ids, width, indptr, indices, n_labels):  # type: ignore[no-untyped-def]
    """Rank of each true label in its row's predictions.

    Parameters
    ----------
    ids : (n, k) int32 predictions, −1 where there is none. width : how many of the k columns to read.
    indptr, indices : CSR arrays of the truth, (n + 1,) int64 and (nnz,) int32. n_labels : L.

    Returns
    -------
    ranks : (nnz,) int32, 1 for the first; 0: not among the predictions.
    faults : (n,) uint8, 0 or `OUTSIDE` (a label not in −1 … L − 1) or `TWICE` (a true label predicted twice).
    """
    n = len(indptr) - 1
    ranks = np.zeros(len(indices), np.int32)
    faults = np.zeros(n, np.uint8)
    for i in prange(n):
        row = ids[i, :width]
        low, high = np.int32(0), np.int32(0)
        for j in range(width):
            low = min(low, row[j])
            high = max(high, row[j])
        if low < -1 or high >= n_labels:
            faults[i] = OUTSIDE
        for e in range(indptr[i], indptr[i + 1]):
            label = indices[e]
            found, times = 0, 0
            for j in range(width):  # no early exit: so it becomes vector instructions
                same = row[j] == label
                found += (j + 1) * same
                times += same
            if times > 1:
                faults[i] = TWICE
            elif times == 1:
                ranks[e] = found
    return ranks, faults


@njit(parallel=True, nogil=True, cache=True)
def falling_positions(values, indptr):  # type: ignore[no-untyped-def]
    """(nnz,) int32: each entry's place, from 1, when its row is put in order of falling `values`; ties as stored."""
    positions = np.empty(len(values), np.int32)
    for i in prange(len(indptr) - 1):
        begin, end = indptr[i], indptr[i + 1]
        if end - begin <= _SHORT:  # comparing all pairs is faster than any sort
            for e in range(begin, end):
                place = 1
                for f in range(begin, end):
                    place += values[f] > values[e] or (values[f] == values[e] and f < e)
                positions[e] = place
        else:
            order = np.argsort(-values[begin:end], kind="mergesort")
            for place in range(end - begin):
                positions[begin + order[place]] = place + 1
    return positions


@njit(parallel=True, nogil=True, cache=True)
def count_predicted(ids, rows, k, n_labels, pieces):  # type: ignore[no-untyped-def]
    """(L,) int64: how many of the `rows` (n,) bool show each label in their first k ranks.

    Rows are counted in `pieces` at once, each into (L,) int32 of its own; whole numbers add up the same in any order.
    """
    n = ids.shape[0]
    counts = np.zeros((pieces, n_labels), np.int32)
    for piece in prange(pieces):
        for i in range(n * piece // pieces, n * (piece + 1) // pieces):
            if rows[i]:
                for j in range(min(k, ids.shape[1])):
                    if ids[i, j] >= 0:
                        counts[piece, ids[i, j]] += 1
    return counts.sum(axis=0)


@njit(inline="always")
def _next(state):  # type: ignore[no-untyped-def]
    """One step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the new state and 64 random bits."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


@njit(parallel=True, nogil=True, cache=True)
def resample(columns, states):  # type: ignore[no-untyped-def]
    """Column sums over rows drawn with replacement, once for each generator state.

    Parameters
    ----------
    columns : (n, c) float32. states : (samples,) uint64, each the start of its own SplitMix64.

    Returns
    -------
    (samples, c) float64; a draw takes row ⌊u n / 2³²⌋, u the upper 32 of 64 random bits.
    """
    n, c = columns.shape
    sums = np.zeros((len(states), c))
    for block in prange((len(states) + _SAMPLES - 1) // _SAMPLES):
        begin, end = block * _SAMPLES, min(len(states), (block + 1) * _SAMPLES)
        times = np.zeros((_SAMPLES, n), np.uint16)  # how often each of these samples drew the row
        for b in range(end - begin):
            state = states[begin + b]
            for _ in range(n):
                state, bits = _next(state)
                times[b, ((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)] += 1
        mine = np.zeros((c, _SAMPLES))
        drawn = np.zeros(_SAMPLES)
        for i in range(n):
            for b in range(_SAMPLES):
                drawn[b] = times[b, i]
            for j in range(c):
                value = columns[i, j]
                if value != 0:
                    for b in range(_SAMPLES):
                        mine[j, b] += value * drawn[b]
        sums[begin:end] = mine.T[: end - begin]
    return sums
