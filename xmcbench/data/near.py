"""Near-duplicate rows: which test rows have one in train, and which test rows are near-duplicates of each other.

Near is a cosine above a threshold, found exactly and without all pairs.

Two rows of length 1 that share none of the test row's first terms have a cosine of at most the length of what is left
of it (Cauchy-Schwarz; the prefix filter of Bayardo et al., "Scaling up all pairs similarity search", WWW 2007). So
each test row looks up its rarest terms only, until the rest is shorter than the threshold, and computes the cosine of
the train rows found there. At 0.9 the rarest fifth of a row's squared length is enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.data.spec import Split

Array = NDArray[Any]
SLACK = 1e-6  # kept candidates that rounding would put below the threshold; they are then computed in full


def near_duplicates(test: sp.csr_matrix, train: sp.csr_matrix, threshold: float = 0.9) -> NDArray[np.bool_]:
    """(n_test,) whether some train row has a cosine above `threshold` (strictly) with the test row.

    Parameters
    ----------
    test, train : (n_test, d) and (n_train, d) CSR, ids sorted, values ≥ 0 or of any sign; need not be normalised.
        A row of zeros is near nothing.
    threshold : in (0, 1).

    The train matrix is turned into postings once: memory is about twice the train matrix.
    """
    postings = train.tocsc()
    order = np.argsort(np.diff(postings.indptr), kind="stable")  # rare terms first
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    rows = Rows(test.indptr, test.indices, test.data, _lengths(test))
    others = Rows(train.indptr, train.indices, train.data, _lengths(train))
    found: NDArray[np.bool_] = _near(rows, others, postings.indptr, postings.indices, rank, threshold)
    return found


def near_groups(split: Split, threshold: float = 0.9) -> NDArray[np.int32]:
    """(n,) int32 the smallest row number of each row's group of near-duplicates; a row near to none is its own group.

    Rows are of one group when a chain of near-duplicates joins them. Their outcomes are not independent, so a test over
    rows must take or leave a group whole. Without features, rows of equal text are a group.

    Parameters
    ----------
    threshold : in (0, 1); 0.9 is the one by which the catalogue's data sets name rows near-duplicates of train.
    """
    if split.features is None:
        first: dict[str, int] = {}
        texts = split.texts if split.texts is not None else [str(row) for row in range(split.labels.shape[0])]
        return np.array([first.setdefault(text, row) for row, text in enumerate(texts)], np.int32)
    features = split.features
    postings = features.tocsc()
    rank = np.empty(features.shape[1], np.int64)
    rank[np.argsort(np.diff(postings.indptr), kind="stable")] = np.arange(features.shape[1])
    rows = Rows(features.indptr, features.indices, features.data, _lengths(features))
    found: NDArray[np.int32] = _grouped(rows, postings.indptr, postings.indices, rank, threshold)
    return found


class Rows(NamedTuple):
    """A CSR matrix and the Euclidean length of its rows, for the kernels."""

    indptr: Array
    indices: Array
    data: Array
    lengths: Array


def _lengths(matrix: sp.csr_matrix) -> Array:
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return np.asarray(np.sqrt(np.bincount(rows, matrix.data.astype(np.float64) ** 2, minlength=matrix.shape[0])))


@njit(cache=True, nogil=True, parallel=True)
def _near(rows: Any, others: Any, posting_starts: Any, postings: Any, rank: Any, threshold: float) -> Any:
    n = len(rows.indptr) - 1
    found = np.zeros(n, np.bool_)
    pieces = 64  # each has its own scratch; rows are independent, so the number changes nothing
    for piece in prange(pieces):
        dense = np.zeros(len(rank), np.float64)
        seen = np.full(len(others.indptr) - 1, -1, np.int64)
        for row in range(n * piece // pieces, n * (piece + 1) // pieces):
            if rows.lengths[row] == 0.0:
                continue
            terms = rows.indices[rows.indptr[row] : rows.indptr[row + 1]]
            dense[terms] = rows.data[rows.indptr[row] : rows.indptr[row + 1]] / rows.lengths[row]
            by_rarity = terms[np.argsort(rank[terms])]
            found[row] = _any_above(row, by_rarity, dense, seen, others, posting_starts, postings, threshold)
            dense[terms] = 0.0
    return found


@njit(cache=True, nogil=True)
def _any_above(
    row: int, terms: Any, dense: Any, seen: Any, others: Any, posting_starts: Any, postings: Any, threshold: float
) -> Any:
    """Whether one of `others` is nearer than the threshold to the row laid out in `dense`."""
    left = 1.0  # squared length of the terms not looked up yet
    for term in terms:
        if np.sqrt(max(left, 0.0)) < threshold - SLACK:
            return False
        for p in range(posting_starts[term], posting_starts[term + 1]):
            other = postings[p]
            if seen[other] == row:
                continue
            seen[other] = row
            dot = 0.0
            for e in range(others.indptr[other], others.indptr[other + 1]):
                dot += dense[others.indices[e]] * others.data[e]
            if dot > threshold * others.lengths[other]:
                return True
        left -= dense[term] ** 2
    return False


@njit(cache=True, nogil=True)
def _grouped(rows: Any, posting_starts: Any, postings: Any, rank: Any, threshold: float) -> Any:
    """Union-find over all pairs above the threshold; one thread, so that memory is one row laid out."""
    n = len(rows.indptr) - 1
    parent = np.arange(n).astype(np.int32)
    dense = np.zeros(len(rank), np.float64)
    seen = np.full(n, -1, np.int64)
    for row in range(n):
        if rows.lengths[row] == 0.0:
            continue
        terms = rows.indices[rows.indptr[row] : rows.indptr[row + 1]]
        dense[terms] = rows.data[rows.indptr[row] : rows.indptr[row + 1]] / rows.lengths[row]
        left = 1.0
        for term in terms[np.argsort(rank[terms])]:
            if np.sqrt(max(left, 0.0)) < threshold - SLACK:
                break
            for p in range(posting_starts[term], posting_starts[term + 1]):
                other = postings[p]
                if other >= row:
                    break  # postings ascend; a pair is looked at from its later row
                if seen[other] == row or _root(parent, other) == _root(parent, row):
                    continue
                seen[other] = row
                dot = 0.0
                for e in range(rows.indptr[other], rows.indptr[other + 1]):
                    dot += dense[rows.indices[e]] * rows.data[e]
                if dot > threshold * rows.lengths[other]:
                    a, b = _root(parent, other), _root(parent, row)
                    parent[max(a, b)] = min(a, b)
            left -= dense[term] ** 2
        dense[terms] = 0.0
    for row in range(n):
        parent[row] = _root(parent, row)
    return parent


@njit(cache=True, nogil=True)
def _root(parent: Any, row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row
