"""Approximate search for the labels of largest inner product: the graph HNSW of faiss.

The graph is built by inner products themselves, as Morozov and Babenko, "Non-metric Similarity Graphs for Maximum Inner
Product Search" (NeurIPS 2018) recommend. The usual way to a metric, one more coordinate that makes all norms equal
(Bachrach et al., RecSys 2014), loses most answers once norms differ: with log-normal norms of σ = 0.3 it found 24 % of
the best 10 where this finds 99 % (10,000 clustered labels, 128 dimensions, ef = 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from xmcbench.dense.exact import check
from xmcbench.errors import DataError, XmcError
from xmcbench.topk import PAD, TopK

MOST = 1024  # links of a label; published settings end at 100, and memory for them is taken at once


class Hnsw:
    """A graph of (L, D) float32 labels on the CPU.

    Parameters
    ----------
    m : links of a label, twice that many on the lowest level. ef_construction : candidates looked at for each link.
        Defaults are faiss's own; 100 instead of 40 takes twice as long and finds no more (99.2 and 98.8 % at ef = 100,
        100,000 labels of the project's benchmark).

    The graph is the same for any number of threads (those that numba may use): faiss builds it in an order of its own
    since 1.15; an older one is given one thread to build with, and so takes threads times as long.

    Raises
    ------
    ValueError : shapes or types don't fit. DataError : a label isn't finite. XmcError : faiss isn't installed.
    """

    def __init__(self, labels: NDArray[np.float32], *, m: int = 32, ef_construction: int = 40) -> None:
        check(labels[:0], labels, None, 0)
        if not (2 <= m <= MOST and ef_construction >= 1):
            raise ValueError(f"m is {m} and ef_construction {ef_construction}: 2 to {MOST}, and at least 1")
        if not np.isfinite(labels).all():
            row = int(np.flatnonzero(~np.isfinite(labels).all(axis=1))[0])
            raise DataError(f"search: label {row} is not finite")
        faiss = _faiss()
        self.labels = labels
        self.index: Any = faiss.IndexHNSWFlat(labels.shape[1], m, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = ef_construction
        same_for_any_threads = hasattr(faiss, "hnsw_add_vertices_deterministic")
        with _threads(faiss, get_num_threads() if same_for_any_threads else 1):
            self.index.add(np.ascontiguousarray(labels))

    def search(self, queries: NDArray[np.float32], k: int, ef: int = 100) -> TopK:
        """(n, k) labels of large q · x for (n, D) float32 queries, in the one order; −1 where too few were found.

        ef : candidates kept on the way, at least k are: more find more of the true best, and take longer. At the
        default the project's benchmark finds 99 % of the best 10, about three times as fast as the exact search.

        Raises
        ------
        ValueError : shapes or types don't fit, or k is below 0. DataError : a query isn't finite.
        """
        check(queries, self.labels, None, k)
        if not np.isfinite(queries).all():
            row = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise DataError(f"search: query {row} is not finite")
        if len(queries) == 0 or k == 0 or len(self.labels) == 0:
            return TopK(np.full((len(queries), k), PAD, np.int32), np.full((len(queries), k), -np.inf, np.float32))
        faiss = _faiss()
        with _threads(faiss, get_num_threads()):
            how = faiss.SearchParametersHNSW(efSearch=max(ef, k))
            scores, ids = self.index.search(np.ascontiguousarray(queries), k, params=how)
        return TopK.from_arrays(ids, np.where(ids == PAD, -np.inf, scores))


def recall(approx: TopK, exact: TopK) -> float:
    """The share of `exact`'s labels that `approx` has in the same row, at any place; NaN if `exact` has none.

    Labels that tie for the last place are counted as different, as their ids are.

    Raises
    ------
    ValueError : the two are not of as many rows.
    """
    if approx.n_rows != exact.n_rows:
        raise ValueError(f"{approx.n_rows} and {exact.n_rows} rows: both must be of the same queries")
    hits = sum(len(np.intersect1d(a[a != PAD], e[e != PAD])) for a, e in zip(approx.ids, exact.ids, strict=True))
    known = int((exact.ids != PAD).sum())
    return hits / known if known else float("nan")


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise XmcError(
            "approximate search needs faiss, which isn't installed", "pip install 'xmcbench[ann]'"
        ) from error
    return faiss


@contextmanager
def _threads(faiss: Any, threads: int) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
