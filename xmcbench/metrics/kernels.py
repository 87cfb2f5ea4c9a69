"""The counting, in numba: predictions are read once, all else follows from the ranks of the true labels.

Plain arrays in and out. Each kernel does some rows (or resamples, from `begin` to `end`) and writes nothing that
belongs to others, so `partition.everywhere` may run it on many threads and the result is the same on any number.
Numba's own threads are not used: they take three times as long to compile, and burn a busy machine's cores while they
wait.
"""

from __future__ import annotations

import numpy as np
from numba import njit

OUTSIDE, TWICE = 1, 2  # faults of a row
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # what SplitMix64 adds to its state for each draw
_GAPS = (1750, 701, 301, 132, 57, 23, 10, 4, 1)  # Ciura, FCT 2001


@njit(nogil=True, cache=True)
def find_ranks(begin, end, ids, width, indptr, indices, n_labels, ranks, faults, shown):  # type: ignore[no-untyped-def]
    """Rank of each true label in its row's predictions.

    Parameters
    ----------
    ids : (n, k) int32 predictions, −1 where there is none. width : how many of the k columns to read.
    indptr, indices : CSR arrays of the truth, (n + 1,) int64 and (nnz,) int32. n_labels : L.
    ranks : (nnz,) int32, to be written: 1 for the first, 0 where the label is not predicted.
    faults : (n,) uint8 of zeros, to be written: `OUTSIDE` for a row with a label not in −1 … L − 1, `TWICE` for one
        where a true label is predicted twice.
    shown : (n, s) int32 with s ≤ width, to be written: the first s columns, for whoever reads them next.
    """
    none = np.int32(0)
    rising = np.arange(1, width + 1).astype(np.int32)
    falling = rising[::-1].copy()
    for i in range(begin, end):
        row = ids[i, :width]
        for j in range(shown.shape[1]):
            shown[i, j] = row[j]
        low, high = np.int32(0), np.int32(0)
        for j in range(width):
            low = min(low, row[j])
            high = max(high, row[j])
        if low < -1 or high >= n_labels:
            faults[i] = OUTSIDE
        for e in range(indptr[i], indptr[i + 1]):
            label = indices[e]
            last, first = none, none  # its last rank, and its first one counted from the end
            for j in range(width):  # no early exit, all in int32: so it becomes vector instructions
                same = row[j] == label
                last = max(last, rising[j] if same else none)
                first = max(first, falling[j] if same else none)
            ranks[e] = last
            if last > 0 and last + first != width + 1:
                faults[i] = TWICE


@njit(nogil=True, cache=True)
def plain_sums(ranks, indptr, indices, keep, cuts, slot, discount):  # type: ignore[no-untyped-def]
    """What the metrics without propensities need of each of n rows.

    Parameters
    ----------
    ranks, indices : (m,) of the rows' true labels. indptr : (n + 1,) where each row begins, less indptr[0].
    keep : (L,) bool slice of labels, or empty for all. cuts : (c,) rising cut-offs.
    slot : (r + 1,) index of the first cut-off at or past each rank, c if past all.
    discount : (r + 1,) discount of each rank, 0 at 0; r is the last rank or the last cut-off.

    Returns
    -------
    total, first, own : (n,) float64 number of true labels, rank of the first hit (0: none), hits among `total` ranks.
    hits, dcg : (c, n) float64 number of hits up to each cut-off and the sum of their discounts.
    """
    n, c, start = len(indptr) - 1, len(cuts), indptr[0]
    total, first, own = np.empty(n), np.empty(n), np.empty(n)
    hits, dcg = np.empty((c, n)), np.empty((c, n))
    at, gain = np.zeros(c + 1), np.zeros(c + 1)  # of the ranks between two cut-offs
    for i in range(n):
        for s in range(c + 1):  # a loop of our own: numba's slices cost more than the few numbers
            at[s] = gain[s] = 0.0
        count, low = 0, 0
        for e in range(indptr[i] - start, indptr[i + 1] - start):
            if len(keep) == 0 or keep[indices[e]]:
                count += 1
                rank = ranks[e]
                if rank > 0:
                    at[slot[rank]] += 1
                    gain[slot[rank]] += discount[rank]
                    low = rank if low == 0 or rank < low else low
        inside = 0
        for e in range(indptr[i] - start, indptr[i + 1] - start):
            inside += 0 < ranks[e] <= count and (len(keep) == 0 or keep[indices[e]])
        total[i], first[i], own[i] = count, low, inside
        many, gained = 0.0, 0.0
        for s in range(c):
            many += at[s]
            gained += gain[s]
            hits[s, i], dcg[s, i] = many, gained
    return total, first, own, hits, dcg


@njit(nogil=True, cache=True)
def weighted_sums(ranks, indptr, indices, keep, weights, cuts, slot, discount):  # type: ignore[no-untyped-def]
    """What the propensity metrics need of each row; `weights` (L,) float64, the rest as in `plain_sums`.

    Returns
    -------
    weight, weight_dcg : (c, n) float64 sums over the hits up to each cut-off.
    best, best_dcg : (c, n) float64 the same sums when the row's true labels come in falling weight.
    """
    n, c, start = len(indptr) - 1, len(cuts), indptr[0]
    weight, weight_dcg = np.empty((c, n)), np.empty((c, n))
    best, best_dcg = np.empty((c, n)), np.empty((c, n))
    mine = np.empty(_longest(0, n, indptr))  # weights of one row's true labels
    at, gain = np.zeros(c + 1), np.zeros(c + 1)
    for i in range(n):
        for s in range(c + 1):
            at[s] = gain[s] = 0.0
        count = 0
        for e in range(indptr[i] - start, indptr[i + 1] - start):
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
def count_labels(begin, end, ids, ranks, indptr, indices, rows, k, counts):  # type: ignore[no-untyped-def]
    """Add to `counts` (3, L) int32 how many of the `rows` (n,) bool have each label, have it and show it in the first k
    ranks, and show it there."""
    width = min(k, ids.shape[1])
    for i in range(begin, end):
        if rows[i]:
            for e in range(indptr[i], indptr[i + 1]):
                counts[0, indices[e]] += 1
                if 0 < ranks[e] <= k:
                    counts[1, indices[e]] += 1
            for j in range(width):
                if ids[i, j] >= 0:
                    counts[2, ids[i, j]] += 1


@njit(nogil=True, cache=True)
def most_over_labels(begin, end, indptr, indices, rows, true, k):  # type: ignore[no-untyped-def]
    """What k labels a row can bring the metrics over labels; `true` (L,) rows with each label, 0 outside the slice.

    Returns
    -------
    How many labels that occur in one row alone the rows can show, and the sum of each row's k largest 1 / true[l].
    """
    shares = np.empty(_longest(begin, end, indptr))
    singles, recalls = 0, 0.0
    for i in range(begin, end):
        if rows[i]:
            count, single = 0, 0
            for e in range(indptr[i], indptr[i + 1]):
                if true[indices[e]] > 0:
                    shares[count] = 1.0 / true[indices[e]]
                    count += 1
                    single += true[indices[e]] == 1
            if count > k:
                _sort(shares, count)
            for j in range(max(0, count - k), count):
                recalls += shares[j]
            singles += min(k, single)
    return singles, recalls


@njit(nogil=True, cache=True)
def resample(begin, end, columns, states, sums):  # type: ignore[no-untyped-def]
    """Column sums over rows drawn with replacement, for the resamples from `begin` to `end`.

    Parameters
    ----------
    columns : (n, c) float32. states : (samples,) uint64, each the start of its own SplitMix64.
    sums : (samples, c) float64, to be written; a draw takes row ⌊u n / 2³²⌋, u the upper 32 of 64 random bits.
    """
    n, c = columns.shape
    times = np.zeros((8, n), np.uint16)  # how often each of eight resamples drew the row: they share a pass over them
    drawn = np.zeros(8)
    for first in range(begin, end, 8):
        several = min(8, end - first)
        times[:] = 0
        for b in range(several):
            state = states[first + b]
            for _ in range(n):
                state, bits = _next(state)
                times[b, ((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)] += 1
        mine = np.zeros((c, 8))
        for i in range(n):
            for b in range(8):
                drawn[b] = times[b, i]
            for j in range(c):
                value = columns[i, j]
                if value != 0:
                    for b in range(8):
                        mine[j, b] += value * drawn[b]
        for b in range(several):
            sums[first + b] = mine[:, b]


@njit(nogil=True, cache=True)
def flip(begin, end, d, states, sums):  # type: ignore[no-untyped-def]
    """Sums of d with a random sign for each entry, for the resamples from `begin` to `end`.

    Eight signs at once are a byte that picks one of 256 sums made before (Arlazarov et al. 1970, "four Russians"), and
    the sums of 64 entries stay in the nearest cache while all resamples pass.

    Parameters
    ----------
    d : (g,) float64, g a multiple of 64. states : (resamples,) uint64, each the start of its own SplitMix64.
    sums : (resamples,) float64, to be written; entry 64 w + b keeps its sign where bit b of draw w is 1.
    """
    table = np.empty((8, 256))
    sums[begin:end] = 0.0
    step = np.uint64(0)
    for word in range(len(d) // 64):
        for byte in range(8):
            mine = d[64 * word + 8 * byte : 64 * word + 8 * byte + 8]
            table[byte, 0] = -mine.sum()
            for bit in range(8):
                for lower in range(1 << bit):
                    table[byte, (1 << bit) + lower] = table[byte, lower] + 2 * mine[bit]
        for r in range(begin, end):
            _, bits = _next(states[r] + step)
            total = 0.0
            for byte in range(8):
                total += table[byte, bits & np.uint64(255)]
                bits >>= np.uint64(8)
            sums[r] += total
        step += GOLDEN


@njit(inline="always")
def _next(state):  # type: ignore[no-untyped-def]
    """One step of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): the new state and 64 random bits."""
    state = state + GOLDEN
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


@njit(nogil=True, cache=True)
def _longest(begin, end, indptr):  # type: ignore[no-untyped-def]
    longest = 0
    for i in range(begin, end):
        longest = max(longest, indptr[i + 1] - indptr[i])
    return longest


@njit(nogil=True, cache=True)
def _sort(values, count):  # type: ignore[no-untyped-def]
    """Put values[:count] in rising order in place: Shell's sort, which for the usual few labels is plain insertion."""
    if count < 2:
        return
    for gap in _GAPS:
        for i in range(gap, count):
            value, j = values[i], i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
