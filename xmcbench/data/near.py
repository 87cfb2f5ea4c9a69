"""Which test rows have a near-duplicate in train: cosine above a threshold, exactly, without all pairs.

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
