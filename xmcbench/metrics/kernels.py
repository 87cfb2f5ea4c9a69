"""The counting, in numba: predictions are read once, all else follows from the ranks of the true labels.

Plain arrays in and out; no result depends on the number of threads: rows are independent, sums over rows and labels
are made of integers or in one fixed order.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

OUTSIDE, TWICE = 1, 2  # faults of a row
_CHUNK = 1024  # rows a thread takes at a time
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


@njit(nogil=True, cache=True)
def _sort(values, count):  # type: ignore[no-untyped-def]
    """Put values[:count] in rising order in place; most rows are short, where insertion is many times faster."""
    if count > 48:
        values[:count].sort()
        return
    for i in range(1, count):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@njit(parallel=True, nogil=True, cache=True)
def row_stats(ranks, indptr, indices, keep, weights, cuts, slot, discount):  # type: ignore[no-untyped-def]
    """The sums of `stats.Stats`, from the ranks.

    Parameters
    ----------
    keep : (L,) bool slice of labels, or empty for all. weights : (L,) float64, or empty for no weighted sums.
    cuts : (c,) rising cut-offs. slot : (r + 1,) index of the first cut-off at or past each rank, c if past all.
    discount : (r + 1,) discount of each rank, 0 at 0; r is at least the last cut-off.

    Returns
    -------
    total, first, own : (n,) int64.
    hits : (c, n) int32; dcg, weight, weight_dcg, best_weight, best_weight_dcg : (c, n) float64.
    """
    n, c = len(indptr) - 1, len(cuts)
    total, first, own = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    hits, dcg = np.zeros((c, n), np.int32), np.zeros((c, n))
    weighted = c if len(weights) else 0
    weight, weight_dcg = np.zeros((weighted, n)), np.zeros((weighted, n))
    best, best_dcg = np.zeros((weighted, n)), np.zeros((weighted, n))
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        begin, end = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        longest = 0
        for i in range(begin, end):
            longest = max(longest, indptr[i + 1] - indptr[i])
        mine = np.empty(longest)  # weights of one row's true labels
        for i in range(begin, end):
            count = 0
            for e in range(indptr[i], indptr[i + 1]):
                label, rank = indices[e], ranks[e]
                if len(keep) and not keep[label]:
                    continue
                if weighted:
                    mine[count] = weights[label]
                count += 1
                if rank == 0:
                    continue
                if first[i] == 0 or rank < first[i]:
                    first[i] = rank
                s = slot[rank]
                if s < c:
                    hits[s, i] += 1
                    dcg[s, i] += discount[rank]
                    if weighted:
                        weight[s, i] += weights[label]
                        weight_dcg[s, i] += weights[label] * discount[rank]
            total[i] = count
            for e in range(indptr[i], indptr[i + 1]):
                if 0 < ranks[e] <= count and (len(keep) == 0 or keep[indices[e]]):
                    own[i] += 1
            for s in range(1, c):
                hits[s, i] += hits[s - 1, i]
                dcg[s, i] += dcg[s - 1, i]
            if weighted:
                for s in range(1, c):
                    weight[s, i] += weight[s - 1, i]
                    weight_dcg[s, i] += weight_dcg[s - 1, i]
                _sort(mine, count)
                rank, s, plain, discounted = 0, 0, 0.0, 0.0
                for s in range(c):
                    while rank < min(cuts[s], count):
                        rank += 1
                        plain += mine[count - rank]
                        discounted += mine[count - rank] * discount[rank]
                    best[s, i] = plain
                    best_dcg[s, i] = discounted
    return total, first, own, hits, dcg, weight, weight_dcg, best, best_dcg


@njit(nogil=True, cache=True)
def count_ranked(ranks, indptr, indices, rows, first, last, n_labels):  # type: ignore[no-untyped-def]
    """(L,) int64: in how many of the `rows` (n,) bool each true label has a rank from `first` to `last`."""
    counts = np.zeros(n_labels, np.int64)
    for i in range(len(indptr) - 1):
        if rows[i]:
            for e in range(indptr[i], indptr[i + 1]):
                if first <= ranks[e] <= last:
                    counts[indices[e]] += 1
    return counts


@njit(nogil=True, cache=True)
def count_predicted(ids, rows, k, n_labels):  # type: ignore[no-untyped-def]
    """(L,) int64: how many of the `rows` show each label in their first k ranks."""
    counts = np.zeros(n_labels, np.int64)
    for i in range(ids.shape[0]):
        if rows[i]:
            for j in range(min(k, ids.shape[1])):
                if ids[i, j] >= 0:
                    counts[ids[i, j]] += 1
    return counts


@njit(nogil=True, cache=True)
def capped_per_row(indptr, indices, rows, keep, k):  # type: ignore[no-untyped-def]
    """Sum over the `rows` of min(k, number of true labels in `keep`)."""
    total = 0
    for i in range(len(indptr) - 1):
        if rows[i]:
            mine = 0
            for e in range(indptr[i], indptr[i + 1]):
                mine += keep[indices[e]]
            total += min(k, mine)
    return total


@njit(nogil=True, cache=True)
def best_macro_recall(indptr, indices, rows, true, k):  # type: ignore[no-untyped-def]
    """Sum over the `rows` of the k largest 1 / true[l] of their labels; `true` (L,) is 0 outside the slice."""
    longest = 0
    for i in range(len(indptr) - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    shares = np.empty(longest)
    total = 0.0
    for i in range(len(indptr) - 1):
        count = 0
        if rows[i]:
            for e in range(indptr[i], indptr[i + 1]):
                if true[indices[e]] > 0:
                    shares[count] = 1.0 / true[indices[e]]
                    count += 1
        if count > k:
            _sort(shares, count)
        for j in range(max(0, count - k), count):
            total += shares[j]
    return total


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
