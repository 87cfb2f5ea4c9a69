"""Exact search for a few queries, which reads a quarter of the memory that the labels take.

A query alone reads every label vector once and computes little, so its time is that of the memory. Labels are
therefore kept a second time in 8 bits per number. Their products with the query come with a bound of the error, by
which all but a few hundred labels are certain not to be among the best k; the others are multiplied again in float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.sparse.shares import run_shares
from xmcbench.sparse.topk import best_of
from xmcbench.topk import TopK

Floats = NDArray[np.float32]
LARGEST = 1e15  # sizes of numbers from which products are near the limits of float32
LEVELS = 127  # largest code of a number
SLACK = np.float32(1e-5)  # relative; for what float32 loses in sums, and in the bounds themselves


class Coarse:
    """Label vectors in 8 bits: x is about scale · codes, and |x − scale · codes| ≤ error.

    Parameters
    ----------
    labels : (L, D) float32, below `LARGEST`; not copied.
    """

    def __init__(self, labels: Floats) -> None:
        self.labels = labels
        self.codes, self.scale, self.length, self.error = _rounded(labels)

    def search(self, queries: Floats, k: int) -> TopK:
        """The k ≤ L labels of largest inner product with each of (n, D) queries below `LARGEST`.

        As `xmcbench.dense.exact.nearest`: score descending, then id ascending; float32 sums may differ by rounding.
        """
        out = TopK.padding(len(queries), k)
        for row, query in enumerate(queries if k else ()):
            candidates = self._candidates(query, k)
            top = best_of(candidates[None], (self.labels[candidates] @ query)[None], k)
            out.ids[row], out.scores[row] = top.ids[0], top.scores[0]
        return out

    def _candidates(self, query: Floats, k: int) -> NDArray[np.int32]:
        """Ids, ascending, of all labels that may be among the best k."""
        codes, scale, _, error = _rounded(query[None])
        sums = np.empty(len(self.labels), np.float32)
        run_shares(_dots, get_num_threads(), self.codes, codes[0].astype(np.int16), sums)
        product = sums * self.scale * scale[0]
        length = np.float32(np.linalg.norm(query))
        bound = (length * self.error + error[0] * self.length) * (1 + SLACK) + SLACK * length * self.length
        least = np.partition(product - bound, len(product) - k)[len(product) - k]
        return np.flatnonzero(product + bound >= least).astype(np.int32)


def _rounded(vectors: Floats) -> tuple[NDArray[np.int8], Floats, Floats, Floats]:
    """(codes, scales, lengths of scale · codes, errors) of (n, D) vectors; a vector of zeros has scale 0."""
    scale = np.abs(vectors).max(axis=1, initial=0) / np.float32(LEVELS)
    exact = vectors / np.where(scale > 0, scale, 1)[:, None]
    codes = np.rint(exact)
    length, error = (scale * np.linalg.norm(part, axis=1) for part in (codes, exact - codes))
    return codes.astype(np.int8), scale, length, error


@njit(cache=True, nogil=True)
def _dots(labels: Any, query: Any, out: Any, share: int, shares: int) -> None:
    """Write the products of a share of the (L, D) int8 labels with an int16 query of small numbers to `out`."""
    for row in range(len(labels) * share // shares, len(labels) * (share + 1) // shares):
        codes, total = labels[row], np.int32(0)
        for d in range(len(query)):
            total += np.int32(np.int16(codes[d]) * query[d])
        out[row] = total
