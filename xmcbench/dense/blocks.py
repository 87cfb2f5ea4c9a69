"""Exact search on the CPU: matrix products block by block, and a running top k.

Each thread multiplies its own blocks on one core and scans the product while it is in the cache, so threads wait for
each other only at the end. The blocks depend only on n and L, so the number of threads does not change the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from xmcbench.dense.running import join, offer, put_in_order
from xmcbench.errors import DataError
from xmcbench.method import Progress
from xmcbench.topk import PAD, TopK

QUERIES, LABELS = 512, 1024  # block size: the product takes 2 MiB; smaller blocks slow down the matrix product
FEW = 8  # with fewer queries one product per query is faster, since a joint product packs the labels first

Floats = NDArray[np.float32]


class Search:
    """The arrays of one search, checked and in C order, and the state that its threads share."""

    def __init__(self, queries: Floats, labels: Floats, bias: Floats, k: int, threads: int) -> None:
        n = len(queries)
        self.queries, self.labels, self.bias, self.threads = queries, labels, bias, threads
        self.ids, self.scores = np.full((n, k), PAD, np.int32), np.full((n, k), -np.inf, np.float32)
        first_rows = range(0, n, QUERIES) if k else range(0)
        n_unshared = len(first_rows) // threads * threads
        # query block → threads that work on it: one thread for most; the last blocks' labels are shared by all threads
        self.shares = {first: 1 if i < n_unshared else threads for i, first in enumerate(first_rows)}
        blocks = ((first, iter(range(0, len(labels), LABELS))) for first in first_rows)
        self.todo = iter([block for block in blocks for _ in range(self.shares[block[0]])])
        self.lock, self.done, self.stop = Lock(), 0, False

    def run(self, progress: Progress | None) -> TopK:
        """Search in this thread and threads − 1 others, each with one BLAS core; an error in one thread stops all."""
        with _blas().limit(limits=1):
            if self.threads == 1:
                self._work(progress)
            else:
                self._in_threads(progress)
        return TopK(self.ids, self.scores)

    def _in_threads(self, progress: Progress | None) -> None:
        with ThreadPoolExecutor(self.threads - 1, initializer=partial(_blas().limit, limits=1)) as pool:
            others = [pool.submit(self._work, None) for _ in range(self.threads - 1)]
            try:
                self._work(progress)
                for other in others:
                    other.result()
            except BaseException:
                self.stop = True  # leaving the pool waits for its threads
                raise

    def _work(self, progress: Progress | None) -> None:
        product = np.empty((min(QUERIES, len(self.queries)), min(LABELS, len(self.labels))), np.float32)
        try:
            for first_row, first_labels in self.todo:
                self._share(first_row, first_labels, product)
                if progress is not None:
                    progress(self.done, len(self.queries))
        except BaseException:
            self.stop = True
            raise

    def _share(self, first_row: int, first_labels: Iterator[int], product: Floats) -> None:
        """Search label blocks for one block of queries until none is left, then merge the threads' results."""
        rows = slice(first_row, first_row + QUERIES)
        queries = self.queries[rows]
        ids, scores = np.full_like(self.ids[rows], PAD), np.full_like(self.scores[rows], -np.inf)
        for first in first_labels:
            if self.stop:
                return
            labels = self.labels[first : first + LABELS]
            scores_of_block = product[: len(queries), : len(labels)]
            height = 1 if len(queries) < FEW else len(queries)
            for row in range(0, len(queries), height):
                np.matmul(queries[row : row + height], labels.T, out=scores_of_block[row : row + height])
            bad_row = offer(scores_of_block, self.bias[first : first + LABELS], first, ids, scores)
            if bad_row >= 0:
                raise not_finite(first_row + bad_row)
        with self.lock:
            join(ids, scores, self.ids[rows], self.scores[rows])
            self.shares[first_row] -= 1
            if self.shares[first_row] == 0:
                put_in_order(self.ids[rows], self.scores[rows])
                self.done += len(queries)


def not_finite(row: int) -> DataError:
    """The error for a query with a score that is NaN or +inf."""
    return DataError(
        f"search: query {row} has a score that is NaN or +inf", "Check queries, labels and bias for NaN and infinity."
    )


@cache
def _blas() -> Any:
    """The BLAS that numpy has loaded; cached, since finding it takes as long as a small search."""
    return ThreadpoolController().select(user_api="blas")
