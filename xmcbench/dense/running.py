"""The k best so far of each row, while scores come in block by block.

A row's best are a heap with the worst kept one on top, in two arrays of their own, score −inf and id −1 where nothing
is yet. Most scores cost one comparison with the top, which the compiler does for many at once.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from xmcbench.topk import PAD

STRIP = 64  # scores that are compared before one is looked at; from 32 down the compiler makes no vectors of them


@njit(cache=True, nogil=True)
def offer(scores: Any, bias: Any, first: int, ids: Any, best: Any) -> int:
    """Take the m labels from `first` on into the heaps; ids must rise from call to call.

    Parameters
    ----------
    scores : (n, m) float32. bias : (m,) float32, added to each row. ids, best : (n, k) int32 and float32, k ≥ 1.

    Returns
    -------
    The first row with a score that is NaN or +inf, where it stops; −1 where there is none. A score −inf is passed over.
    """
    for row in range(len(scores)):
        if not _offer_row(scores[row], bias, first, ids[row], best[row]):
            return row
    return -1


@njit(cache=True, nogil=True)
def _offer_row(scores: Any, bias: Any, first: int, ids: Any, best: Any) -> bool:
    whole = len(scores) // STRIP * STRIP
    for at in range(0, whole, STRIP):
        if _any_above(scores[at : at + STRIP], bias[at : at + STRIP], best[0]) and not _take(
            scores[at : at + STRIP], bias[at : at + STRIP], first + at, ids, best
        ):
            return False
    return _take(scores[whole:], bias[whole:], first + whole, ids, best)


@njit(cache=True, nogil=True)
def _any_above(scores: Any, bias: Any, top: Any) -> bool:
    """Of one strip; without a way out of the loop, since the compiler makes vector instructions of nothing else."""
    above = False
    for i in range(STRIP):
        above |= not (scores[i] + bias[i] <= top)  # NaN is not, either, and so is found
    return above


@njit(cache=True, nogil=True)
def _take(scores: Any, bias: Any, first: int, ids: Any, best: Any) -> bool:
    """False at NaN or +inf. A score equal to the top's is of a higher id, and so stays out."""
    for i in range(len(scores)):
        score = scores[i] + bias[i]
        if not (score <= best[0]):
            if not (score < float("inf")):
                return False
            ids[0], best[0] = first + i, score
            _sink(ids, best, len(best))
    return True


@njit(cache=True, nogil=True)
def join(other_ids: Any, other_best: Any, ids: Any, best: Any) -> None:
    """Take heaps (n, k) of other labels into `ids` and `best`."""
    for row in range(len(ids)):
        for i in range(ids.shape[1]):
            if _worse(best[row, 0], ids[row, 0], other_best[row, i], other_ids[row, i]):
                ids[row, 0], best[row, 0] = other_ids[row, i], other_best[row, i]
                _sink(ids[row], best[row], ids.shape[1])


@njit(cache=True, nogil=True)
def put_in_order(ids: Any, best: Any) -> None:
    """Heaps (n, k) to rows, best first: score falling, then id rising, what was never filled last."""
    for row in range(len(ids)):
        for size in range(ids.shape[1] - 1, 0, -1):
            ids[row, 0], ids[row, size] = ids[row, size], ids[row, 0]
            best[row, 0], best[row, size] = best[row, size], best[row, 0]
            _sink(ids[row], best[row], size)


@njit(cache=True, nogil=True)
def _worse(score: Any, ident: Any, other_score: Any, other: Any) -> bool:
    return bool(score < other_score or (score == other_score and ident > other and other != PAD))


@njit(cache=True, nogil=True)
def _sink(ids: Any, best: Any, size: int) -> None:
    """Let the top of a heap of this size down to its place."""
    ident, score, at = ids[0], best[0], 0
    while True:
        child = 2 * at + 1
        if child + 1 < size and _worse(best[child + 1], ids[child + 1], best[child], ids[child]):
            child += 1
        if child >= size or not _worse(best[child], ids[child], score, ident):
            break
        ids[at], best[at] = ids[child], best[child]
        at = child
    ids[at], best[at] = ident, score
