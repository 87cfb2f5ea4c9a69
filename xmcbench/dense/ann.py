"""Approximate search for the labels of largest inner product: the graph HNSW of faiss.

The graph is built by inner products themselves, as Morozov and Babenko, "Non-metric Similarity Graphs for Maximum Inner
Product Search" (NeurIPS 2018) recommend. The usual way to a metric, one more coordinate that makes all norms equal
(Bachrach et al., RecSys 2014), loses most answers once norms differ: with log-normal norms of σ = 0.3 it found 24 % of
the best 10 where this finds 99 % (10,000 clustered labels, 128 dimensions, ef = 10).

A bias is a coordinate that queries have a 1 in; from it the mean is taken while building and searching, which changes
no ranking, and without which all labels look alike to the graph: 79 % instead of 97 % for biases −5 ± 1 and norms 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from xmcbench.dense.exact import check
from xmcbench.errors import DataError, XmcError
from xmcbench.files import read_npz, write_npz
from xmcbench.topk import PAD, TopK

MOST = 1024  # links of a label; published settings end at 100, and memory for them is taken at once


class Hnsw:
    """A graph of (L, D) float32 labels, with an optional (L,) float32 bias, on the CPU.

    Parameters
    ----------
    m : links of a label, twice that many on the lowest level. ef_construction : candidates looked at for each link.
        Defaults are faiss's own; 100 instead of 40 takes twice as long and finds no more (99.2 and 98.8 % at ef = 100,
        100,000 labels of the project's benchmark).

    The graph is the same for any number of threads (those that numba may use): faiss builds it in an order of its own
    since 1.15; an older one is given one thread to build with, and so takes threads times as long.

    Raises
    ------
    ValueError : shapes or types don't fit. DataError : a label or bias isn't finite. XmcError : faiss isn't installed.
    """

    def __init__(
        self,
        labels: NDArray[np.float32],
        *,
        bias: NDArray[np.float32] | None = None,
        m: int = 32,
        ef_construction: int = 40,
    ) -> None:
        check(labels[:0], labels, bias, 0)
        if not (2 <= m <= MOST and ef_construction >= 1):
            raise ValueError(f"m is {m} and ef_construction {ef_construction}: 2 to {MOST}, and at least 1")
        for name, given in (("label", labels), ("bias of label", bias)):
            if given is not None and not np.isfinite(given).all():
                row = int(np.flatnonzero(~np.isfinite(given.reshape(len(given), -1)).all(axis=1))[0])
                raise DataError(f"search: {name} {row} is not finite")
        faiss = _faiss()
        self.labels, self.bias, self.m, self.ef_construction = labels, bias, m, ef_construction
        self.mean = 0.0 if bias is None or len(bias) == 0 else float(bias.mean(dtype=np.float64))
        vectors = labels if bias is None else np.column_stack([labels, bias - np.float32(self.mean)])
        self.index: Any = faiss.IndexHNSWFlat(vectors.shape[1], m, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = ef_construction
        same_for_any_threads = hasattr(faiss, "hnsw_add_vertices_deterministic")
        with _threads(faiss, get_num_threads() if same_for_any_threads else 1):
            self.index.add(np.ascontiguousarray(vectors))

    def search(self, queries: NDArray[np.float32], k: int, ef: int = 100) -> TopK:
        """(n, k) labels of large q · x + b for (n, D) float32 queries, in the one order; −1 where too few were found.

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
        if self.bias is not None:
            queries = np.column_stack([queries, np.ones(len(queries), np.float32)])
        with _threads(faiss, get_num_threads()):
            how = faiss.SearchParametersHNSW(efSearch=max(ef, k))
            scores, ids = self.index.search(np.ascontiguousarray(queries), k, params=how)
        return TopK.from_arrays(ids, np.where(ids == PAD, -np.inf, scores + np.float32(self.mean)))

    def save(self, path: Path) -> None:
        """Write labels, bias and parameters as an npz: what `load` builds the graph from again."""
        bias = np.empty(0, np.float32) if self.bias is None else self.bias
        how = np.array([self.m, self.ef_construction, self.bias is not None])
        write_npz(path, {"labels": self.labels, "bias": bias, "how": how}, compressed=False)

    @classmethod
    def load(cls, path: Path) -> Hnsw:
        """Build again from what `save` wrote: the same graph, in the time that building takes (100,000 labels of 384
        dimensions: about 20 s on two cores).

        A file in faiss's own format would be quicker, but a search follows its links unchecked: a damaged or made-up
        one could make it read anywhere in memory. Vectors and three numbers can be checked.

        Raises
        ------
        DataError : the file is missing, damaged or holds something else.
        """
        arrays = read_npz(path)
        try:
            m, ef_construction, biased = (int(number) for number in arrays["how"])
            return cls(arrays["labels"], bias=arrays["bias"] if biased else None, m=m, ef_construction=ef_construction)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{path}: not a search index ({error})", "Write it again with Hnsw.save.") from error


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
