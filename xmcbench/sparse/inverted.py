"""Search by an inverted index, feature → the rows that have it: only the weights of a query's own features are read.

`nearest` finds stored rows: exactly those of largest inner product, if they share a feature with the query. "Rows" and
"features" may also be labels and neighbours: the same search counts the votes of a row's neighbours for labels.
`best_labels` finds classifiers: one has thousands of weights, a row about a hundred features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.sparse.csr import Csr, add_line, row_of
from xmcbench.sparse.shares import run_shares
from xmcbench.sparse.topk import best_first
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    import scipy.sparse as sp


class InvertedIndex(NamedTuple):
    """m stored rows by feature.

    A common feature, one of more than half of the rows, is a dense line of m weights: less memory, and faster to add.
    Field names are part of the file format of methods that save an index.

    Attributes
    ----------
    indptr, indices, data : CSR of (d, m), types as in `Csr`: feature j's rows and weights; empty for common features.
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
        return cls(*Csr.stored(by_feature), lines, place)

    @property
    def width(self) -> int:
        """d, the number of features."""
        return len(self.place)

    @property
    def size(self) -> int:
        """m, the number of stored rows."""
        return int(self.common.shape[1])


class InvertedWeights(NamedTuple):
    """P classifiers, indexed by feature.

    Attributes
    ----------
    by_feature : (d, P): for each feature, the labels with a weight for it, and the weights.
    bias : (P,) float32, the constant feature's value times its weight.
    """

    by_feature: Csr
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, weights: sp.csr_matrix, bias: float = 1.0) -> InvertedWeights:
        """From (P, d + 1) CSR weights as `xmcbench.sparse.linear` gives them, the bias weight at column d."""
        indptr, labels, values = Csr.stored(weights.T.tocsr())
        end = indptr[-2]  # of the features; the rest is cut off rather than left out, which would take a copy of all
        biases = np.zeros(weights.shape[0], np.float32)
        biases[labels[end:]] = values[end:] * np.float32(bias)
        return cls(Csr(indptr[:-1], labels[:end], values[:end]), biases)


def weights_of(index: InvertedIndex, features: NDArray[np.int32], row: int) -> NDArray[np.float32]:
    """(m,) float32: the weights of the stored row `row` for `features`; 0 where it has none."""
    found = np.zeros(len(features), np.float32)
    for i, feature in enumerate(features.tolist()):
        if index.place[feature] >= 0:
            found[i] = index.common[index.place[feature], row]
        first, last = index.indptr[feature], index.indptr[feature + 1]
        found[i] += index.data[first:last][index.indices[first:last] == row].sum()
    return found


class Scratch(NamedTuple):
    """Memory of each worker, (workers, m): sums (zero between queries); the rows with a sum above zero, their sums."""

    sums: NDArray[np.float32]
    hits: NDArray[np.int32]
    hit_sums: NDArray[np.float32]


def nearest(index: InvertedIndex, queries: Csr, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The `count` stored rows of largest inner product with each query, if it is above zero.

    Parameters
    ----------
    queries : (n, d) finite weights by feature.

    Returns
    -------
    ids : (n, count) int32, product descending then id ascending; −1 where there are fewer.
    products : (n, count) float32, −inf at padding. They do not depend on the other queries or on the number of threads.

    Raises
    ------
    ValueError : a query has a feature that is not in the index.
    """
    n = len(queries.indptr) - 1
    if queries.indices.max(initial=-1) >= index.width:
        raise ValueError(f"a query has feature {queries.indices.max()}, the index has {index.width} features")
    out = TopK.padding(n, count)
    shape = max(1, min(get_num_threads(), n)), index.size
    scratch = Scratch(np.zeros(shape, np.float32), np.empty(shape, np.int32), np.empty(shape, np.float32))
    row_ids = np.arange(index.size, dtype=np.int32)
    run_shares(_answer_share, shape[0], queries, index, row_ids, scratch, out.ids, out.scores)
    return out.ids, out.scores


@njit(cache=True, nogil=True)
def _answer_share(
    queries: Any, index: Any, row_ids: Any, scratch: Any, ids: Any, products: Any, worker: int, workers: int
) -> None:
    """Answer every `workers`-th query."""
    z, hits, hit_sums = scratch.sums[worker], scratch.hits[worker], scratch.hit_sums[worker]
    for query in range(worker, len(ids), workers):
        columns, numbers = row_of(queries, query)
        additions = 0
        for i in range(len(columns)):
            line = index.place[columns[i]]
            if line >= 0:
                add_line(numbers[i], index.common[line], np.uint64(0), z)
                additions += len(z)
            additions += _add_list(numbers[i], index, columns[i], z)
        if 4 * additions > len(z):  # one pass over all rows is cheaper than revisiting each addition
            best_first(row_ids, z, ids[query], products[query])
            z[:] = 0
        else:
            n_hits = _collect(columns, index, z, hits, hit_sums)
            best_first(hits[:n_hits], hit_sums[:n_hits], ids[query], products[query])
        for i in range(ids.shape[1]):
            if not products[query, i] > 0:
                ids[query, i], products[query, i] = PAD, -np.inf


@njit(cache=True, nogil=True)
def _add_list(number: Any, index: Any, feature: int, z: Any) -> int:
    """Add a feature's contribution to the sums of the rows with it; returns the number of additions."""
    first, last = index.indptr[feature], index.indptr[feature + 1]
    for at in range(first, last):
        z[index.indices[at]] += number * index.data[at]
    return int(last - first)


@njit(cache=True, nogil=True)
def _collect(columns: Any, index: Any, z: Any, hits: Any, hit_sums: Any) -> int:
    """Move the sums above zero to `hit_sums`, their rows to `hits`, and zero `z`; returns how many there are."""
    n_hits = 0
    for column in columns:
        for at in range(index.indptr[column], index.indptr[column + 1]):
            row = index.indices[at]
            if z[row] > 0:
                hits[n_hits], hit_sums[n_hits] = row, z[row]
                n_hits += 1
            z[row] = 0
    return n_hits


def best_labels(weights: InvertedWeights, x: Csr, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k labels of largest margin z = w·x + bias of each row.

    Parameters
    ----------
    x : n rows, scaled as in training.
    k : at most P.

    Returns
    -------
    ids : (n, k) int32 in 0 … P − 1, margin descending, then id ascending. margins : (n, k) float32.
    """
    n, n_labels = len(x.indptr) - 1, len(weights.bias)
    ids, margins = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    if n and k:
        scratch = np.empty((min(get_num_threads(), n), n_labels), np.float32)
        label_ids = np.arange(n_labels, dtype=np.int32)
        arguments = (x, *weights, label_ids, scratch, ids, margins)
        run_shares(_score_share, len(scratch), *arguments)
    return ids, margins


def products(weights: InvertedWeights, row: sp.csr_matrix, label: int) -> NDArray[np.float32]:
    """(nnz,) weight × feature of one classifier, for each stored feature of the only row of `row`."""
    by_feature, values = weights.by_feature, np.zeros(row.nnz, np.float32)
    for i, (feature, number) in enumerate(zip(row.indices, row.data, strict=True)):
        first, last = by_feature.indptr[feature], by_feature.indptr[feature + 1]
        at = first + np.flatnonzero(by_feature.indices[first:last] == label)
        values[i] = number * by_feature.data[at].sum()
    return values


@njit(cache=True, nogil=True)
def _score_share(
    features: Any,
    by_feature: Any,
    bias: Any,
    label_ids: Any,
    scratch: Any,
    ids: Any,
    margins: Any,
    worker: int,
    workers: int,
) -> None:
    """Score every `workers`-th row."""
    z = scratch[worker]
    for row in range(worker, len(ids), workers):
        columns, numbers = row_of(features, row)
        for label in range(len(z)):
            z[label] = bias[label]
        for i in range(len(columns)):
            _add_list(numbers[i], by_feature, columns[i], z)
        best_first(label_ids, z, ids[row], margins[row])
