"""Counting kernels in numba: predictions are read once, everything else follows from the ranks of the true labels.

Each kernel processes the rows (or resamples) from `begin` to `end` and writes only their part of the output, so that
`partition.everywhere` may run it on any number of threads with the same result. Numba's own threads are not used: they
take three times as long to compile, and they use CPU while they wait.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

OUTSIDE, TWICE = 1, 2  # faults of a row
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64 adds this to its state for each draw
_GAPS = (1750, 701, 301, 132, 57, 23, 10, 4, 1)  # Ciura, FCT 2001


class Pattern(NamedTuple):
    """Where the true labels of n rows are: `indptr` (n + 1,) int64, `indices` (nnz,) int32, as in a CSR matrix."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]


class Ranks(NamedTuple):
    """What `find_ranks` finds.

    Attributes
    ----------
    ranks : (nnz,) int32, of each true label: 1 for the first, 0 where the label is not predicted.
    faults : (n,) uint8: 0, `OUTSIDE` for a row with a label not in −1 … L − 1, `TWICE` for one with a label twice.
    top_ids : (n, s) int32 with s ≤ width: the first s columns of the predictions, contiguous.
    """

    ranks: NDArray[np.int32]
    faults: NDArray[np.uint8]
    top_ids: NDArray[np.int32]


@njit(nogil=True, cache=True)
def find_ranks(begin, end, ids, width, truth, n_labels, found):  # type: ignore[no-untyped-def]
    """Rank of each true label in its row's predictions.

    Parameters
    ----------
    ids : (n, k) int32 predictions, −1 where there is none. width : how many of the k columns to read.
    truth : a `Pattern` of the true labels. n_labels : L. found : `Ranks` to be written.
    """
    ranks, top_ids = found.ranks, found.top_ids
    none = np.int32(0)
    rising = np.arange(1, width + 1).astype(np.int32)
    seen = np.zeros((n_labels >> 5) + 1, np.uint32)  # a bit per label, set while its row is read
    for i in range(begin, end):
        row = ids[i, :width]
        for j in range(top_ids.shape[1]):
            top_ids[i, j] = row[j]
        low, high = np.int32(0), np.int32(0)
        for j in range(width):
            low = min(low, row[j])
            high = max(high, row[j])
        if low < -1 or high >= n_labels:
            found.faults[i] = OUTSIDE
            continue
        repeated = np.uint32(0)
        for j in range(width):
            if row[j] >= 0:
                bit = np.uint32(1) << np.uint32(row[j] & 31)
                repeated |= seen[row[j] >> 5] & bit
                seen[row[j] >> 5] |= bit
        for j in range(width):
            if row[j] >= 0:
                seen[row[j] >> 5] = 0
        if repeated:
            found.faults[i] = TWICE
        for e in range(truth.indptr[i], truth.indptr[i + 1]):
            label, rank = truth.indices[e], none
            for j in range(width):  # no early exit, and all values are int32: the compiler vectorises this loop
                rank = max(rank, rising[j] if row[j] == label else none)
            ranks[e] = rank


@njit(nogil=True, cache=True)
def plain_sums(ranks, indptr, indices, label_mask, cuts, slot, discount):  # type: ignore[no-untyped-def]
    """Per-row sums for the metrics without propensities, for n rows.

    Parameters
    ----------
    ranks, indices : (m,) of the rows' true labels. indptr : (n + 1,) start of each row, offset by indptr[0].
    label_mask : (L,) bool slice of labels, or empty for all. cuts : (c,) cut-offs in ascending order.
    slot : (r + 1,) index of the first cut-off ≥ each rank, c if there is none.
    discount : (r + 1,) discount of each rank, 0 slot_hits 0; r is the last rank or the last cut-off.

    Returns
    -------
    total, first, at_total : (n,) float64 number of true labels, rank of the first hit (0: none), hits in the first
        `total` ranks.
    hits, dcg : (c, n) float64 number of hits up to each cut-off and the sum of their discounts.
    """
    n, c, start = len(indptr) - 1, len(cuts), indptr[0]
    total, first, at_total = np.empty(n), np.empty(n), np.empty(n)
    hits, dcg = np.empty((c, n)), np.empty((c, n))
    slot_hits, slot_dcg = np.zeros(c + 1), np.zeros(c + 1)  # over the ranks between two cut-offs
    for i in range(n):
        for s in range(c + 1):  # a loop, since assigning a slice costs more for so few numbers
            slot_hits[s] = slot_dcg[s] = 0.0
        count, first_rank = 0, 0
        for e in range(indptr[i] - start, indptr[i + 1] - start):
            if len(label_mask) == 0 or label_mask[indices[e]]:
                count += 1
                rank = ranks[e]
                if rank > 0:
                    slot_hits[slot[rank]] += 1
                    slot_dcg[slot[rank]] += discount[rank]
                    first_rank = rank if first_rank == 0 or rank < first_rank else first_rank
        hits_at_total = 0
        for e in range(indptr[i] - start, indptr[i + 1] - start):
            hits_at_total += 0 < ranks[e] <= count and (len(label_mask) == 0 or label_mask[indices[e]])
        total[i], first[i], at_total[i] = count, first_rank, hits_at_total
        hits_so_far, dcg_so_far = 0.0, 0.0
        for s in range(c):
            hits_so_far += slot_hits[s]
            dcg_so_far += slot_dcg[s]
            hits[s, i], dcg[s, i] = hits_so_far, dcg_so_far
    return total, first, at_total, hits, dcg


@njit(nogil=True, cache=True)
def weighted_sums(ranks, indptr, indices, label_mask, weights, cuts, slot, discount):  # type: ignore[no-untyped-def]
    """Per-row sums for the propensity metrics; `weights` (L,) float64, the other parameters as in `plain_sums`.

    Returns
    -------
    weight, weight_dcg : (c, n) float64 sums over the hits up to each cut-off.
    best, best_dcg : (c, n) float64 the same sums if the row's true labels were ranked by descending weight.
    """
    n, c, start = len(indptr) - 1, len(cuts), indptr[0]
    weight, weight_dcg = np.empty((c, n)), np.empty((c, n))
    best, best_dcg = np.empty((c, n)), np.empty((c, n))
    row_weights = np.empty(_longest(0, n, indptr))  # weights of one row's true labels
    slot_weight, slot_dcg = np.zeros(c + 1), np.zeros(c + 1)
    for i in range(n):
        for s in range(c + 1):
            slot_weight[s] = slot_dcg[s] = 0.0
        count = 0
        for e in range(indptr[i] - start, indptr[i + 1] - start):
            if len(label_mask) == 0 or label_mask[indices[e]]:
                w, rank = weights[indices[e]], ranks[e]
                row_weights[count] = w
                count += 1
                if rank > 0:
                    slot_weight[slot[rank]] += w
                    slot_dcg[slot[rank]] += w * discount[rank]
        _sort(row_weights, count)
        place, weight_so_far, dcg_so_far, best_so_far, best_dcg_so_far = 0, 0.0, 0.0, 0.0, 0.0
        for s in range(c):
            weight_so_far += slot_weight[s]
            dcg_so_far += slot_dcg[s]
            while place < min(cuts[s], count):
                place += 1
                best_so_far += row_weights[count - place]
                best_dcg_so_far += row_weights[count - place] * discount[place]
            weight[s, i], weight_dcg[s, i] = weight_so_far, dcg_so_far
            best[s, i], best_dcg[s, i] = best_so_far, best_dcg_so_far
    return weight, weight_dcg, best, best_dcg


@njit(nogil=True, cache=True)
def count_labels(begin, end, ids, ranks, truth, rows, k, counts):  # type: ignore[no-untyped-def]
    """Add to `counts` (3, L) int32, over the rows in `rows` (n,) bool: rows with each label, rows with the label and
    the label among the first k predictions, rows with the label among the first k predictions."""
    width = min(k, ids.shape[1])
    for i in range(begin, end):
        if rows[i]:
            for e in range(truth.indptr[i], truth.indptr[i + 1]):
                counts[0, truth.indices[e]] += 1
                if 0 < ranks[e] <= k:
                    counts[1, truth.indices[e]] += 1
            for j in range(width):
                if ids[i, j] >= 0:
                    counts[2, ids[i, j]] += 1


@njit(nogil=True, cache=True)
def most_over_labels(begin, end, indptr, indices, rows, true, k):  # type: ignore[no-untyped-def]
    """The most that k predictions per row can add to the metrics over labels.

    Parameters
    ----------
    true : (L,) number of rows with each label, 0 outside the slice.

    Returns
    -------
    The number of labels with exactly one row that rows can predict, and the sum of each row's k largest 1 / true[l].
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
    times = np.zeros((8, n), np.uint16)  # how often each of eight resamples drew the row; one pass serves all eight
    drawn = np.zeros(8)
    for first in range(begin, end, 8):
        several = min(8, end - first)
        times[:] = 0
        for b in range(several):
            state = states[first + b]
            for _ in range(n):
                state, bits = _next(state)
                times[b, ((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)] += 1
        partial = np.zeros((c, 8))
        for i in range(n):
            for b in range(8):
                drawn[b] = times[b, i]
            for j in range(c):
                value = columns[i, j]
                if value != 0:
                    for b in range(8):
                        partial[j, b] += value * drawn[b]
        for b in range(several):
            for j in range(c):  # assigning a slice takes numba two seconds longer to compile
                sums[first + b, j] = partial[j, b]


@njit(nogil=True, cache=True)
def flip(begin, end, d, states, sums):  # type: ignore[no-untyped-def]
    """Sums of d with a random sign for each entry, for the resamples from `begin` to `end`.

    Eight signs form a byte that selects one of 256 precomputed sums (Arlazarov et al. 1970, "four Russians"). The
    tables of 64 entries stay in the L1 cache while all resamples use them.

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
            entries = d[64 * word + 8 * byte : 64 * word + 8 * byte + 8]
            table[byte, 0] = -entries.sum()
            for bit in range(8):
                for lower in range(1 << bit):
                    table[byte, (1 << bit) + lower] = table[byte, lower] + 2 * entries[bit]
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
    """Sort values[:count] in place, ascending: Shell's sort, which is plain insertion sort for a few labels.

    `values[:count].sort()` costs more for up to 50 labels, several times as much for five: its stack is allocated.
    """
    if count < 2:
        return
    for gap in _GAPS:
        for i in range(gap, count):
            value, j = values[i], i
            while j >= gap and values[j - gap] > value:
                values[j] = values[j - gap]
                j -= gap
            values[j] = value
