"""The k best scores so far of each row, updated block by block.

A row's best are a heap with the worst on top, in two arrays of ids and scores; free slots have score −inf and id −1.
Most scores cost one comparison with the top, which the compiler vectorises.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from xmcbench.topk import PAD

STRIP = 64  # scores per vectorised comparison; the compiler does not vectorise 32 or fewer


@njit(cache=True, nogil=True)
def offer(scores: Any, bias: Any, first: int, ids: Any, best: Any) -> int:
    """Offer labels first … first + m − 1 to the heaps; `first` must rise from call to call.

    Parameters
    ----------
    scores : (n, m) float32. bias : (m,) float32, added to each row. ids, best : (n, k) int32 and float32, k ≥ 1.

    Returns
    -------
    The first row with a score of NaN or +inf, where the loop stops; −1 if there is none. A score of −inf is ignored.
    """
    for row in range(len(scores)):
        if not _offer_row(scores[row], bias, first, ids[row], best[row]):
            return row
    return -1


@njit(cache=True, nogil=True)
def _offer_row(scores: Any, bias: Any, first: int, ids: Any, best: Any) -> bool:
    strips_end = len(scores) // STRIP * STRIP
    for at in range(0, strips_end, STRIP):
        if _any_above(scores[at : at + STRIP], bias[at : at + STRIP], best[0]) and not _take(
            scores[at : at + STRIP], bias[at : at + STRIP], first + at, ids, best
        ):
            return False
    return _take(scores[strips_end:], bias[strips_end:], first + strips_end, ids, best)


@njit(cache=True, nogil=True)
def _any_above(scores: Any, bias: Any, top: Any) -> bool:
    """Whether a score of one strip is above `top`; without early exit, so that the compiler vectorises the loop."""
    above = False
    for i in range(STRIP):
        above |= not (scores[i] + bias[i] <= top)  # also true for NaN
    return above


@njit(cache=True, nogil=True)
def _take(scores: Any, bias: Any, first: int, ids: Any, best: Any) -> bool:
    """Insert scores above the top; False at NaN or +inf. A score equal to the top has a higher id and is dropped."""
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
    """Merge heaps (n, k) of other labels into `ids` and `best`."""
    for row in range(len(ids)):
        for i in range(ids.shape[1]):
            if _worse(best[row, 0], ids[row, 0], other_best[row, i], other_ids[row, i]):
                ids[row, 0], best[row, 0] = other_ids[row, i], other_best[row, i]
                _sink(ids[row], best[row], ids.shape[1])


@njit(cache=True, nogil=True)
def put_in_order(ids: Any, best: Any) -> None:
    """Sort heaps (n, k) into rows: score descending then id ascending, free slots last."""
    for row in range(len(ids)):
        for size in range(ids.shape[1] - 1, 0, -1):
            ids[row, 0], ids[row, size] = ids[row, size], ids[row, 0]
            best[row, 0], best[row, size] = best[row, size], best[row, 0]
            _sink(ids[row], best[row], size)


@njit(cache=True, nogil=True)
def _worse(score: Any, label: Any, other_score: Any, other_label: Any) -> bool:
    return bool(score < other_score or (score == other_score and label > other_label and other_label != PAD))


@njit(cache=True, nogil=True)
def _sink(ids: Any, best: Any, size: int) -> None:
    """Sift down the top of a heap of this size."""
    label, score, at = ids[0], best[0], 0
    while True:
        child = 2 * at + 1
        if child + 1 < size and _worse(best[child + 1], ids[child + 1], best[child], ids[child]):
            child += 1
        if child >= size or not _worse(best[child], ids[child], score, label):
            break
        ids[at], best[at] = ids[child], best[child]
        at = child
    ids[at], best[at] = label, score
