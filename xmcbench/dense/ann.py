"""Approximate search for the labels of largest inner product: the graph HNSW of faiss.

The graph is built directly by inner products, as Morozov and Babenko, "Non-metric Similarity Graphs for Maximum Inner
Product Search" (NeurIPS 2018) recommend. The usual reduction to a metric, an additional coordinate that makes all norms
equal (Bachrach et al., RecSys 2014), loses most of the true best labels once norms differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from xmcbench.dense.exact import check
from xmcbench.errors import DataError, XmcError, install_extra
from xmcbench.topk import PAD, TopK

MAX_LINKS = 1024  # links per label, allocated up front; published settings are at most 100


class Hnsw:
    """A graph of (L, D) float32 labels on the CPU.

    Parameters
    ----------
    m : links per label, twice as many on the lowest level. ef_construction : candidates evaluated per link.
        Defaults are faiss's; ef_construction = 100 takes twice as long and finds no more.

    The number of threads is numba's and does not change the graph: faiss builds it deterministically since 1.15; an
    older version builds with one thread, which takes correspondingly longer.

    Raises
    ------
    ValueError : wrong shapes or types. DataError : a label is not finite. XmcError : faiss is not installed.
    """

    def __init__(self, labels: NDArray[np.float32], *, m: int = 32, ef_construction: int = 40) -> None:
        check(labels[:0], labels, None, 0)
        if not (2 <= m <= MAX_LINKS and ef_construction >= 1):
            raise ValueError(f"m is {m} and ef_construction {ef_construction}: 2 to {MAX_LINKS}, and at least 1")
        _check_finite("label", labels)
        faiss = _faiss()
        self.labels = labels
        self.index: Any = faiss.IndexHNSWFlat(labels.shape[1], m, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = ef_construction
        same_for_any_threads = hasattr(faiss, "hnsw_add_vertices_deterministic")
        with _threads(faiss, get_num_threads() if same_for_any_threads else 1):
            self.index.add(np.ascontiguousarray(labels))

    def search(self, queries: NDArray[np.float32], k: int, ef: int = 100) -> TopK:
        """(n, k) labels of large q · x for (n, D) float32 queries, ordered as predictions; −1 where too few were found.

        ef : number of candidates kept during the search, raised to k if below: a larger value finds more of the true
        best and takes longer.

        Raises
        ------
        ValueError : wrong shapes or types, or k is below 0. DataError : a query is not finite.
        """
        check(queries, self.labels, None, k)
        _check_finite("query", queries)
        if len(queries) == 0 or k == 0 or len(self.labels) == 0:
            return TopK.padding(len(queries), k)
        faiss = _faiss()
        with _threads(faiss, get_num_threads()):
            parameters = faiss.SearchParametersHNSW(efSearch=max(ef, k))
            scores, ids = self.index.search(np.ascontiguousarray(queries), k, params=parameters)
        return TopK.from_arrays(ids, np.where(ids == PAD, -np.inf, scores))


def recall(approx: TopK, exact: TopK) -> float:
    """The share of `exact`'s labels that `approx` has in the same row, at any rank; NaN if `exact` has none.

    Labels that tie for the last rank count as different.

    Raises
    ------
    ValueError : the numbers of rows differ.
    """
    if approx.n_rows != exact.n_rows:
        raise ValueError(f"{approx.n_rows} and {exact.n_rows} rows: both must be of the same queries")
    pairs = zip(approx.ids, exact.ids, strict=True)
    hits = sum(len(np.intersect1d(found[found != PAD], true[true != PAD])) for found, true in pairs)
    n_exact = int((exact.ids != PAD).sum())
    return hits / n_exact if n_exact else float("nan")


def _check_finite(name: str, rows: NDArray[np.float32]) -> None:
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise DataError(f"search: {name} {int(finite.argmin())} is not finite")


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise XmcError(
            "approximate search needs faiss, which is not installed", f"Install it {install_extra('ann')}"
        ) from error
    return faiss


@contextmanager
def _threads(faiss: Any, threads: int) -> Iterator[None]:
    previous = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(previous)
