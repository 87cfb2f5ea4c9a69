"""The best of a row's candidates in the order of predictions: score descending, then id ascending."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.topk import PAD, TopK


def best_of(ids: NDArray[np.int32], scores: NDArray[np.float32], k: int) -> TopK:
    """The k best of (n, m) candidates in any order, no label twice in a row; id −1 or score −inf is padding.

    The result of `TopK.from_arrays`, without its checks and without sorting candidates that are cut off.

    Raises
    ------
    ValueError : a score is NaN.
    """
    if np.isnan(scores).any():
        raise ValueError("a score is NaN")
    n, k = len(ids), min(k, ids.shape[1])
    out = TopK(np.full((n, k), PAD, np.int32), np.full((n, k), -np.inf, np.float32))
    candidates = np.ascontiguousarray(ids, np.int32), np.where(ids == PAD, -np.inf, scores).astype(np.float32)
    _best_of(*candidates, min(get_num_threads(), max(n, 1)), out.ids, out.scores)
    return out


@njit(cache=True, nogil=True, parallel=True)
def _best_of(ids: Any, scores: Any, workers: int, best_ids: Any, best_scores: Any) -> None:
    for worker in prange(workers):
        for row in range(worker, len(ids), workers):
            positions = best_first(scores[row], ids[row], best_ids.shape[1])
            for i in range(len(positions)):
                if scores[row, positions[i]] > -np.inf:
                    best_ids[row, i], best_scores[row, i] = ids[row, positions[i]], scores[row, positions[i]]


@njit(cache=True, nogil=True)
def best_first(scores: Any, ids: Any, k: int) -> Any:
    """(min(k, m),) int64: positions of the k highest scores, best first; ties by ascending id. A heap of size k."""
    m = len(scores)
    k = min(k, m)
    if k == 0:
        return np.empty(0, np.int64)
    heap = np.empty(k, np.int64)  # the worst candidate on top
    for i in range(k):
        heap[i] = i
    for i in range(k // 2 - 1, -1, -1):
        _sink(heap, i, k, scores, ids)
    for i in range(k, m):
        if _worse(heap[0], i, scores, ids):
            heap[0] = i
            _sink(heap, 0, k, scores, ids)
    for size in range(k - 1, 0, -1):
        heap[0], heap[size] = heap[size], heap[0]
        _sink(heap, 0, size, scores, ids)
    return heap


@njit(cache=True, nogil=True)
def _worse(a: int, b: int, scores: Any, ids: Any) -> bool:
    return bool(scores[a] < scores[b] or (scores[a] == scores[b] and ids[a] > ids[b]))


@njit(cache=True, nogil=True)
def _sink(heap: Any, at: int, size: int, scores: Any, ids: Any) -> None:
    while True:
        child = 2 * at + 1
        if child >= size:
            return
        if child + 1 < size and _worse(heap[child + 1], heap[child], scores, ids):
            child += 1
        if not _worse(heap[child], heap[at], scores, ids):
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child
