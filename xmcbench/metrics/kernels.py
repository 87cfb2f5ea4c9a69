"""The counting, in numba: predictions are read once, all else follows from the ranks of the true labels.

Plain arrays in and out; no result depends on the number of threads: rows are independent, sums over rows and labels
are made of integers or in one fixed order.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

OUTSIDE, TWICE = 1, 2  # faults of a row
_CHUNK = 1024  # rows a thread takes at a time
_SHORT = 48  # labels of a row up to which insertion beats sorting
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
def plain_sums(ranks, indptr, indices, keep, cuts, slot, discount):  # type: ignore[no-untyped-def]
    """What the metrics without propensities need of each row.

    Parameters
    ----------
    keep : (L,) bool slice of labels, or empty for all. cuts : (c,) rising cut-offs.
    slot : (r + 1,) index of the first cut-off at or past each rank, c if past all.
    discount : (r + 1,) discount of each rank, 0 at 0; r is the last rank or the last cut-off.

    Returns
    -------
    total, first, own : (n,) float64 number of true labels, rank of the first hit (0: none), hits among `total` ranks.
    hits, dcg : (c, n) float64 number of hits up to each cut-off and the sum of their discounts.
    """
    n, c = len(indptr) - 1, len(cuts)
    total, first, own = np.empty(n), np.empty(n), np.empty(n)
    hits, dcg = np.empty((c, n)), np.empty((c, n))
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        at, gain = np.zeros(c + 1), np.zeros(c + 1)  # of the ranks between two cut-offs
        for i in range(chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)):
            at[:] = 0
            gain[:] = 0
            count, low = 0, 0
            for e in range(indptr[i], indptr[i + 1]):
                if len(keep) == 0 or keep[indices[e]]:
                    count += 1
                    rank = ranks[e]
                    if rank > 0:
                        at[slot[rank]] += 1
                        gain[slot[rank]] += discount[rank]
                        low = rank if low == 0 or rank < low else low
            inside = 0
            for e in range(indptr[i], indptr[i + 1]):
                inside += 0 < ranks[e] <= count and (len(keep) == 0 or keep[indices[e]])
            total[i], first[i], own[i] = count, low, inside
            many, gained = 0.0, 0.0
            for s in range(c):
                many += at[s]
                gained += gain[s]
                hits[s, i] = many
                dcg[s, i] = gained
    return total, first, own, hits, dcg


@njit(parallel=True, nogil=True, cache=True)
def weighted_sums(ranks, indptr, indices, keep, weights, cuts, slot, discount):  # type: ignore[no-untyped-def]
    """What the propensity metrics need of each row; `weights` (L,) float64, the rest as in `plain_sums`.

    Returns
    -------
    weight, weight_dcg : (c, n) float64 sums over the hits up to each cut-off.
    best, best_dcg : (c, n) float64 the same sums when the row's true labels come in falling weight.
    """
    n, c = len(indptr) - 1, len(cuts)
    weight, weight_dcg = np.empty((c, n)), np.empty((c, n))
    best, best_dcg = np.empty((c, n)), np.empty((c, n))
    for chunk in prange((n + _CHUNK - 1) // _CHUNK):
        begin, end = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        mine = np.empty(_longest(indptr[begin : end + 1]))  # weights of one row's true labels
        at, gain = np.zeros(c + 1), np.zeros(c + 1)
        for i in range(begin, end):
            at[:] = 0
            gain[:] = 0
            count = 0
            for e in range(indptr[i], indptr[i + 1]):
                if len(keep) == 0 or keep[indices[e]]:
                    w, rank = weights[indices[e]], ranks[e]
                    mine[count] = w
                    count += 1
                    if rank > 0:
                        at[slot[rank]] += w
                        gain[slot[rank]] += w * discount[rank]
            _sort(mine, count)
            place, much, gained, most, most_gained = 0, 0.0, 0.0, 0.0, 0.0
            for s in range(c):
                much += at[s]
                gained += gain[s]
                while place < min(cuts[s], count):
                    place += 1
                    most += mine[count - place]
                    most_gained += mine[count - place] * discount[place]
                weight[s, i], weight_dcg[s, i] = much, gained
                best[s, i], best_dcg[s, i] = most, most_gained
    return weight, weight_dcg, best, best_dcg


@njit(nogil=True, cache=True)
def _longest(indptr):  # type: ignore[no-untyped-def]
    longest = 0
    for i in range(len(indptr) - 1):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return longest


@njit(nogil=True, cache=True)
def _sort(values, count):  # type: ignore[no-untyped-def]
    """Put values[:count] in rising order in place; most rows are short, where insertion is many times faster."""
    if count > _SHORT:
        values[:count].sort()
        return
    for i in range(1, count):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@njit(parallel=True, nogil=True, cache=True)
def count_true(ranks, indptr, indices, rows, k, n_labels, pieces):  # type: ignore[no-untyped-def]
    """true, found : (2, L) int64, how many of the `rows` (n,) bool have each label, and show it in the first k ranks.

    Rows are counted in `pieces` at once, each into int32 of its own; whole numbers add up the same in any order.
    """
    n = len(indptr) - 1
    counts = np.zeros((pieces, 2, n_labels), np.int32)
    for piece in prange(pieces):
        for i in range(n * piece // pieces, n * (piece + 1) // pieces):
            if rows[i]:
                for e in range(indptr[i], indptr[i + 1]):
                    counts[piece, 0, indices[e]] += 1
                    if 0 < ranks[e] <= k:
                        counts[piece, 1, indices[e]] += 1
    return counts.sum(axis=0)


@njit(parallel=True, nogil=True, cache=True)
def count_predicted(ids, rows, k, n_labels, pieces):  # type: ignore[no-untyped-def]
    """(L,) int64: how many of the `rows` show each label in their first k ranks; `pieces` as in `count_true`."""
    n = ids.shape[0]
    counts = np.zeros((pieces, n_labels), np.int32)
    for piece in prange(pieces):
        for i in range(n * piece // pieces, n * (piece + 1) // pieces):
            if rows[i]:
                for j in range(min(k, ids.shape[1])):
                    if ids[i, j] >= 0:
                        counts[piece, ids[i, j]] += 1
    return counts.sum(axis=0)


@njit(parallel=True, nogil=True, cache=True)
def most_over_labels(indptr, indices, rows, true, k):  # type: ignore[no-untyped-def]
    """What k labels a row can bring the metrics over labels; `true` (L,) rows with each label, 0 outside the slice.

    Returns
    -------
    singles : how many of the labels that occur in one row alone can be shown.
    recalls : sum over rows of their k largest 1 / true[l], added up by chunks of rows in one fixed order.
    """
    n = len(indptr) - 1
    chunks = (n + _CHUNK - 1) // _CHUNK
    singles, recalls = np.zeros(chunks, np.int64), np.zeros(chunks)
    for chunk in prange(chunks):
        begin, end = chunk * _CHUNK, min(n, (chunk + 1) * _CHUNK)
        shares = np.empty(_longest(indptr[begin : end + 1]))
        for i in range(begin, end):
            if not rows[i]:
                continue
            count, single = 0, 0
            for e in range(indptr[i], indptr[i + 1]):
                if true[indices[e]] > 0:
                    shares[count] = 1.0 / true[indices[e]]
                    count += 1
                    single += true[indices[e]] == 1
            singles[chunk] += min(k, single)
            if count > k:
                _sort(shares, count)
            for j in range(max(0, count - k), count):
                recalls[chunk] += shares[j]
    return singles.sum(), recalls.sum()


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
