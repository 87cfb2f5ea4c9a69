"""The best labels of a row in the order of predictions, score descending then id ascending: one heap for all kernels.

A heap is two arrays, of ids and of scores, with the worst pair on top. A free slot is `FREE` with score −inf: an id
past every label, so that it is the worst of all. Searches on a GPU use `torch.topk` instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.sparse.shares import run_shares
from xmcbench.topk import PAD, TopK

FREE = np.iinfo(np.int32).max
FEW = 8  # rows that take less time than starting a second thread


def best_of(ids: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> TopK:
    """The k best of (n, m) candidates in any order, no label twice in a row; id −1 or score −inf is padding.

    The result of `TopK.from_arrays` for what isn't padding, without its checks and without sorting what is cut off.

    Raises
    ------
    ValueError : a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    out = TopK.padding(len(ids), min(k, ids.shape[1]))
    candidates = np.ascontiguousarray(ids, np.int32), np.where(ids == PAD, -np.inf, scores).astype(np.float32)
    run_shares(_best_of, 1 if len(ids) <= FEW else get_num_threads(), *candidates, out.ids, out.scores)
    return out


@njit(cache=True, nogil=True)
def _best_of(ids: Any, scores: Any, best_ids: Any, best_scores: Any, share: int, shares: int) -> None:
    for row in range(share, len(ids), shares):
        best_first(ids[row], scores[row], best_ids[row], best_scores[row])
        for i in range(best_ids.shape[1]):
            if best_scores[row, i] == -np.inf:
                best_ids[row, i] = PAD


@njit(cache=True, nogil=True)
def best_first(ids: Any, scores: Any, best_ids: Any, best_scores: Any) -> int:
    """Write the best of m pairs, best first, to arrays of size k; returns their number, min(k, m)."""
    k = min(len(best_ids), len(ids))
    for i in range(k):  # assigning slices takes numba two seconds longer to compile
        best_ids[i], best_scores[i] = ids[i], scores[i]
    heapify(best_ids[:k], best_scores[:k])
    offer(best_ids[:k], best_scores[:k], ids[k:], scores[k:])
    put_in_order(best_ids[:k], best_scores[:k])
    return k


@njit(cache=True, nogil=True)
def heapify(ids: Any, scores: Any) -> None:
    """Make a heap of pairs in any order."""
    for at in range(len(ids) // 2 - 1, -1, -1):
        sift(ids, scores, at, len(ids), ids[at], scores[at])


@njit(cache=True, nogil=True)
def offer(ids: Any, scores: Any, other_ids: Any, other_scores: Any) -> None:
    """Replace the worst of a heap by other pairs that are better."""
    if len(ids) > 0:
        for at in range(len(other_ids)):
            if worse(scores[0], ids[0], other_scores[at], other_ids[at]):
                sift(ids, scores, 0, len(ids), other_ids[at], other_scores[at])


@njit(cache=True, nogil=True)
def put_in_order(ids: Any, scores: Any) -> None:
    """Sort a heap, best first."""
    for size in range(len(ids) - 1, 0, -1):
        label, score = ids[size], scores[size]
        ids[size], scores[size] = ids[0], scores[0]
        sift(ids, scores, 0, size, label, score)


@njit(cache=True, nogil=True)
def worse(score: Any, label: Any, other_score: Any, other_label: Any) -> bool:
    """Whether a pair comes after another: score descending, then label ascending."""
    return bool(score < other_score or (score == other_score and label > other_label))


@njit(cache=True, nogil=True)
def sift(ids: Any, scores: Any, at: int, size: int, label: Any, score: Any) -> None:
    """Replace node `at` of a heap of `size` by a pair and restore the order below it."""
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and worse(scores[child + 1], ids[child + 1], scores[child], ids[child]):
            child += 1
        if not worse(scores[child], ids[child], score, label):
            break
        ids[at], scores[at] = ids[child], scores[child]
        at = child
    ids[at], scores[at] = label, score
