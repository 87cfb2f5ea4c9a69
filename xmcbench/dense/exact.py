"""Exact search for the labels of largest inner product, on the CPU or a GPU.

On the CPU, each thread multiplies its own blocks on one core and scans the product while it is in the cache: most
scores cost one comparison with the worst of the k best so far, a heap of `xmcbench.sparse.topk`. Blocks depend only on
n and L, so the number of threads changes no score.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from xmcbench.errors import DataError
from xmcbench.method import Progress
from xmcbench.sparse.topk import FREE, put_in_order, sift
from xmcbench.sparse.topk import offer as offer_pairs
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    from torch import Tensor

SMALL = 1 << 21  # multiplications that take less time than starting a second thread
QUERIES, LABELS = 512, 1024  # block size: the product takes 2 MiB; smaller blocks slow down the matrix product
FEW = 8  # with fewer queries one product per query is faster, since a joint product packs the labels first
STRIP = 64  # scores per vectorised comparison; the compiler does not vectorise 32 or fewer

Floats = NDArray[np.float32]


def nearest(
    queries: NDArray[np.float32] | Tensor,
    labels: NDArray[np.float32] | Tensor,
    k: int,
    *,
    bias: NDArray[np.float32] | Tensor | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> TopK:
    """The k labels of largest q · x + b for each query q, among all labels x.

    Parameters
    ----------
    queries : (n, D) float32. labels : (L, D) float32. Arrays in C order on the device are not copied.
    bias : (L,) float32, b; −inf excludes a label.
    device : where to search: "cpu", or torch's name of a GPU; None: where `labels` are.
    progress : called in the calling thread with (queries done by all threads, n); an exception ends the search.

    Returns
    -------
    (n, k), ordered by score descending then id ascending, −1 where there are fewer labels. On a CPU the number of
    threads (numba's) does not change the result; on a GPU `torch.topk` chooses arbitrarily among labels that tie for
    the last rank. Scores are float32 sums: those of equal vectors, or of a query alone and in a batch, may differ by
    rounding.

    Raises
    ------
    ValueError : wrong shapes, a type is not float32, or k is below 0.
    DataError : a score is NaN or +inf, for example because an input is; the message names the query.

    Memory in addition to the result: one block's product and top k per thread; on a GPU also the labels.
    """
    check(queries, labels, bias, k)
    if device is None:
        device = "cpu" if isinstance(labels, np.ndarray) else str(labels.device)
    if device != "cpu":
        from xmcbench.dense.gpu import nearest_by_torch

        return nearest_by_torch(queries, labels, k, bias=bias, device=device, progress=progress)
    q, x = _on_host(queries), _on_host(labels)
    b = np.zeros(len(x), np.float32) if bias is None else _on_host(bias)
    return search(q, x, b, k, 1 if q.size * len(x) < SMALL else get_num_threads(), progress)


def check(queries: Any, labels: Any, bias: Any, k: int) -> None:
    """Raise ValueError unless arrays or tensors are float32 with matching shapes, and k is at least 0."""
    if k < 0:
        raise ValueError(f"k is {k}, below 0")
    if queries.ndim != 2 or labels.ndim != 2 or queries.shape[1] != labels.shape[1]:
        raise ValueError(f"queries {tuple(queries.shape)} and labels {tuple(labels.shape)} must be (n, D) and (L, D)")
    if bias is not None and tuple(bias.shape) != (len(labels),):
        raise ValueError(f"bias {tuple(bias.shape)} must be one number per label, for {len(labels)} labels")
    for name, array in (("queries", queries), ("labels", labels), ("bias", bias)):
        if array is not None and str(array.dtype).removeprefix("torch.") != "float32":
            raise ValueError(f"{name} are {array.dtype}, not float32")


def _on_host(array: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(array if isinstance(array, np.ndarray) else array.detach().cpu().numpy())


def search(queries: Floats, labels: Floats, bias: Floats, k: int, threads: int, progress: Progress | None) -> TopK:
    """`nearest` for checked arrays in C order.

    A unit of work is a block of queries with all labels; or, where there are few such blocks, with every
    `threads`-th block of labels, each unit with its own heaps, which are merged in the end.
    """
    n = len(queries)
    blocks = [slice(first, min(n, first + QUERIES)) for first in range(0, n, QUERIES)] if k else []
    shares = threads if len(blocks) < 2 * threads else 1
    ids, scores = np.full((shares, n, k), FREE, np.int32), np.full((shares, n, k), -np.inf, np.float32)
    units_left, lock, stop, done = [shares] * len(blocks), Lock(), Event(), 0
    units = iter(range(shares * len(blocks)))

    def work(progress: Progress | None) -> None:
        try:
            for unit in units:
                search_unit(*divmod(unit, shares))
                if progress is not None:
                    progress(done, n)
        except BaseException:
            stop.set()
            raise

    def search_unit(block: int, share: int) -> None:
        nonlocal done
        rows = blocks[block]
        product = np.empty((rows.stop - rows.start, min(LABELS, len(labels))), np.float32)
        for first in range(share * LABELS, len(labels), shares * LABELS):
            if stop.is_set():
                return
            part = slice(first, first + LABELS)
            multiply(queries[rows], labels[part], product)
            bad_row = offer(product[:, : len(labels[part])], bias[part], first, ids[share, rows], scores[share, rows])
            if bad_row >= 0:
                raise not_finite(rows.start + bad_row)
        with lock:
            units_left[block] -= 1
            last = units_left[block] == 0
        if last:
            merge(ids, scores, rows.start, rows.stop)
            with lock:
                done += rows.stop - rows.start

    one_core = partial(_blas().limit, limits=1)
    with one_core(), ThreadPoolExecutor(max(1, threads - 1), initializer=one_core) as pool:
        others = [pool.submit(work, None) for _ in range(threads - 1)]
        work(progress)  # in the calling thread; leaving the pool waits for the other threads
        for other in others:
            other.result()
    return TopK(ids[0], scores[0])


def multiply(queries: Floats, labels: Floats, product: Floats) -> None:
    """Write queries · labelsᵀ to the first columns of `product`."""
    height = 1 if len(queries) < FEW else len(queries)
    for row in range(0, len(queries), height):
        np.matmul(queries[row : row + height], labels.T, out=product[row : row + height, : len(labels)])


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
    strips_end = scores.shape[1] // STRIP * STRIP
    for row in range(len(scores)):
        z, row_ids, row_best = scores[row], ids[row], best[row]
        for at in range(0, strips_end, STRIP):
            if _any_above(z[at : at + STRIP], bias[at : at + STRIP], row_best[0]) and not _take(
                z[at : at + STRIP], bias[at : at + STRIP], first + at, row_ids, row_best
            ):
                return row
        if not _take(z[strips_end:], bias[strips_end:], first + strips_end, row_ids, row_best):
            return row
    return -1


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
            sift(ids, best, 0, len(best), first + i, score)
    return True


@njit(cache=True, nogil=True)
def merge(ids: Any, best: Any, begin: int, end: int) -> None:
    """Merge each row's heaps (shares, n, k) of different labels into the first, sort it, and mark padding."""
    for row in range(begin, end):
        for share in range(1, len(ids)):
            offer_pairs(ids[0, row], best[0, row], ids[share, row], best[share, row])
        put_in_order(ids[0, row], best[0, row])
        for i in range(ids.shape[2]):
            if ids[0, row, i] == FREE:
                ids[0, row, i] = PAD


def not_finite(row: int) -> DataError:
    """The error for a query with a score that is NaN or +inf."""
    return DataError(
        f"search: query {row} has a score that is NaN or +inf", "Check queries, labels and bias for NaN and infinity."
    )


@cache
def _blas() -> Any:
    """The BLAS that numpy has loaded; cached, since finding it takes as long as a small search."""
    return ThreadpoolController().select(user_api="blas")
