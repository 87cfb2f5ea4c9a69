"""Exact nearest rows by an inverted index: only stored rows that share a feature with the query are scored.

The index is the transposed matrix: feature → the rows that have it, and their weights. A query adds the products of
weights feature by feature to an accumulator over all rows and then selects the best. "Rows" and "features" may also be
labels and neighbours: the same search counts the votes of a row's neighbours for labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import Parts, parts
from xmcbench.sparse.topk import best_first
from xmcbench.topk import PAD

if TYPE_CHECKING:
    import scipy.sparse as sp


class InvertedIndex(NamedTuple):
    """m stored rows by feature.

    A common feature, one of more than half of the rows, is a dense line of m weights: less memory, and faster to add.
    Field names are part of the file format of methods that save an index.

    Attributes
    ----------
    indptr, indices, data : CSR of (d, m), types as in `Parts`: feature j's rows and weights; empty for common features.
    common : (c, m) float32, the weights of common features. place : (d,) int32, feature j's line there, −1 if none.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float32]
    common: NDArray[np.float32]
    place: NDArray[np.int32]

    @classmethod
    def of(cls, rows: sp.csr_matrix) -> InvertedIndex:
        """Build from (m, d) CSR weights."""
        by_feature = rows.T.tocsr(copy=True)
        counts = np.diff(by_feature.indptr)
        common = np.flatnonzero(2 * counts > rows.shape[0])
        place = np.full(len(counts), -1, np.int32)
        place[common] = np.arange(len(common))
        lines = np.ascontiguousarray(by_feature[common].toarray(), np.float32)
        by_feature.data[np.repeat(place >= 0, counts)] = 0
        by_feature.eliminate_zeros()
        return cls(*parts(by_feature), lines, place)

    @property
    def width(self) -> int:
        """d, the number of features."""
        return len(self.place)

    @property
    def size(self) -> int:
        """m, the number of stored rows."""
        return int(self.common.shape[1])


def nearest(index: InvertedIndex, queries: Parts, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `count` stored rows of largest inner product with each query, if it is above zero.

    Parameters
    ----------
    queries : CSR parts of (n, d): finite weights by feature.

    Returns
    -------
    ids : (n, count) int32, product descending then id ascending; −1 where there are fewer.
    products : (n, count) float32, −inf at padding. They do not depend on the other queries or on the number of threads.

    Raises
    ------
    ValueError : a query has a feature that is not in the index.
    """
    n, size = len(queries.indptr) - 1, index.size
    if queries.indices.max(initial=-1) >= index.width:
        raise ValueError(f"a query has feature {queries.indices.max()}, the index has {index.width} features")
    ids, products = np.full((n, count), PAD, np.int32), np.full((n, count), -np.inf, np.float32)
    workers = max(1, min(get_num_threads(), n))
    sums = np.zeros((workers, size), np.float32)
    hits, scratch = np.empty((workers, size), np.int32), np.empty((workers, size), np.float32)
    row_ids = np.arange(size, dtype=np.int32)
    arguments = (*queries, *index, row_ids)
    if workers == 1:  # starting threads would take longer than a single query
        _one_worker(0, 1, *arguments, sums[0], hits[0], scratch[0], ids, products)
    else:
        _all_workers(*arguments, sums, hits, scratch, ids, products)
    return ids, products


@njit(cache=True, nogil=True, parallel=True)
def _all_workers(
    indptr: Any, indices: Any, data: Any, row_ptr: Any, rows: Any, weights: Any, common: Any, place: Any, row_ids: Any,
    sums: Any, hits: Any, scratch: Any, ids: Any, products: Any,
) -> None:  # fmt: skip
    workers = len(sums)
    for worker in prange(workers):
        _one_worker(
            worker, workers, indptr, indices, data, row_ptr, rows, weights, common, place, row_ids,
            sums[worker], hits[worker], scratch[worker], ids, products,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _one_worker(
    worker: int, workers: int, indptr: Any, indices: Any, data: Any, row_ptr: Any, rows: Any, weights: Any,
    common: Any, place: Any, row_ids: Any, z: Any, hits: Any, scratch: Any, ids: Any, products: Any,
) -> None:  # fmt: skip
    """Answer every `workers`-th query; the accumulator `z` (m,) is zero before and after a query."""
    for query in range(worker, len(ids), workers):
        columns = indices[indptr[query] : indptr[query + 1]]
        numbers = data[indptr[query] : indptr[query + 1]]
        additions = _add(columns, numbers, row_ptr, rows, weights, common, place, z)
        if 4 * additions > len(z):  # one pass over all rows is cheaper than revisiting each addition
            _write(z, row_ids, ids[query], products[query])
            z[:] = 0
        else:
            n_hits = _collect(columns, row_ptr, rows, z, hits, scratch)
            _write(scratch[:n_hits], hits[:n_hits], ids[query], products[query])


@njit(cache=True, nogil=True)
def _add(
    columns: Any, numbers: Any, row_ptr: Any, rows: Any, weights: Any, common: Any, place: Any, z: Any
) -> int:  # fmt: skip
    """Add each feature's contribution to the sums of the rows with it; returns the number of additions."""
    count = 0
    for i in range(len(columns)):
        first, last = row_ptr[columns[i]], row_ptr[columns[i] + 1]
        line = place[columns[i]]
        if line >= 0:
            _add_line(numbers[i], common[line], z)
            count += len(z)
        for at in range(first, last):
            z[rows[at]] += numbers[i] * weights[at]
        count += last - first
    return count


@njit(cache=True, nogil=True)
def _add_line(number: Any, line: Any, z: Any) -> None:
    """A separate function, since the compiler vectorises only a loop as simple as this."""
    for row in range(len(z)):
        z[row] += number * line[row]


@njit(cache=True, nogil=True)
def _collect(columns: Any, row_ptr: Any, rows: Any, z: Any, hits: Any, scratch: Any) -> int:
    """Move the sums above zero to `scratch`, their rows to `hits`, and zero `z`; returns how many there are."""
    n_hits = 0
    for column in columns:
        for at in range(row_ptr[column], row_ptr[column + 1]):
            if z[rows[at]] > 0:
                hits[n_hits], scratch[n_hits] = rows[at], z[rows[at]]
                n_hits += 1
            z[rows[at]] = 0
    return n_hits


@njit(cache=True, nogil=True)
def _write(sums: Any, row_ids: Any, ids: Any, products: Any) -> None:
    """Write the best sums above zero, best first."""
    best = best_first(sums, row_ids, len(ids))
    for i in range(len(best)):
        if sums[best[i]] > 0:
            ids[i], products[i] = row_ids[best[i]], sums[best[i]]
