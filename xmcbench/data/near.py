"""Near-duplicate rows: which test rows have one in train, and which test rows are near-duplicates of each other.

Two rows are near-duplicates if their cosine is above a threshold. The search is exact but does not compare all pairs.

Remove some terms from a test row of norm 1. Its cosine with a row of norm 1 that has none of the removed terms is at
most the norm of the remaining part (Cauchy-Schwarz; the prefix filter of Bayardo et al., "Scaling up all pairs
similarity search", WWW 2007). So each test row looks up its terms from the rarest on, until the norm of the remaining
part is below the threshold, and computes the cosine only with train rows found in these lookups. At 0.9 the rarest
fifth of a row's squared norm is enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numba import njit, prange
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xmcbench.data.spec import Split

Array = NDArray[Any]
ROWS_AT_A_TIME = 1 << 12  # of which norms and orders are computed
ROUNDING_SLACK = 1e-6  # margin below the threshold, so that rounding never drops a candidate


def near_duplicates(test: sp.csr_matrix, train: sp.csr_matrix, threshold: float = 0.9) -> NDArray[np.bool_]:
    """(n_test,) whether some train row has a cosine strictly above `threshold`, in (0, 1), with the test row.

    `test` and `train` are (n_test, d) and (n_train, d) CSR with sorted ids; values of any sign, not necessarily
    normalised. A row of zeros has no near-duplicate. Memory: six bytes per entry of `train`, for a transpose.
    """
    postings = _postings(train)
    return np.asarray(_has_near_row(_rows(test), _by_rarity(test, postings), _rows(train), postings, threshold))


def near_groups(split: Split, threshold: float = 0.9) -> NDArray[np.int32]:
    """(n,) int32 smallest row number of each row's near-duplicate group, which may be only that row.

    Rows are in one group if a chain of near-duplicates connects them. Their outcomes are not independent, so a
    statistical test over rows must treat a group as one unit. Without features, rows with equal text form a group.
    The catalogue's row groups of near-duplicates of train have the same `threshold`, in (0, 1).
    """
    if split.features is None:
        first_row: dict[str, int] = {}
        texts = split.texts if split.texts is not None else [str(row) for row in range(split.labels.shape[0])]
        return np.array([first_row.setdefault(text, row) for row, text in enumerate(texts)], np.int32)
    rows, postings = _rows(split.features), _postings(split.features)
    return np.asarray(_group_ids(rows, _by_rarity(split.features, postings), postings, threshold))


class RowsWithNorms(NamedTuple):
    """The arrays of a CSR matrix and the Euclidean norms of its rows, for the kernels."""

    indptr: Array
    indices: Array
    data: Array
    norms: Array


class Postings(NamedTuple):
    """The rows that have each term (`rows[starts[t]:starts[t + 1]]`, ascending), and the terms' ranks, rarest first."""

    starts: Array
    rows: Array
    rank: Array


def _blocks(matrix: sp.csr_matrix) -> Iterator[tuple[slice, slice, Array]]:
    """Yield (rows, their entries, the row of each entry, counted from the first of them) for blocks of rows."""
    for start in range(0, matrix.shape[0], ROWS_AT_A_TIME):
        stop = min(start + ROWS_AT_A_TIME, matrix.shape[0])
        row_of_entry = np.repeat(np.arange(stop - start), np.diff(matrix.indptr[start : stop + 1]))
        yield slice(start, stop), slice(matrix.indptr[start], matrix.indptr[stop]), row_of_entry


def _rows(matrix: sp.csr_matrix) -> RowsWithNorms:
    norms = np.zeros(matrix.shape[0])
    for rows, entries, row_of_entry in _blocks(matrix):
        squares = matrix.data[entries].astype(np.float64) ** 2
        norms[rows] = np.sqrt(np.bincount(row_of_entry, squares, minlength=rows.stop - rows.start))
    return RowsWithNorms(matrix.indptr, matrix.indices, matrix.data, norms)


def _postings(matrix: sp.csr_matrix) -> Postings:
    pattern = sp.csr_matrix((np.ones(matrix.nnz, np.int8), matrix.indices, matrix.indptr), matrix.shape)
    columns = pattern.tocsc()  # without the values, which nothing here uses
    rank = np.empty(matrix.shape[1], np.int64)
    rank[np.argsort(np.diff(columns.indptr), kind="stable")] = np.arange(matrix.shape[1])
    return Postings(columns.indptr, columns.indices, rank)


def _by_rarity(matrix: sp.csr_matrix, postings: Postings) -> Array:
    """(nnz,) the terms of each row, the rarest first. By numpy, since numba takes seconds to compile a sort."""
    terms: Array = np.empty(matrix.nnz, matrix.indices.dtype)
    for _, entries, row_of_entry in _blocks(matrix):
        ids = matrix.indices[entries]
        terms[entries] = ids[np.lexsort((postings.rank[ids], row_of_entry))]
    return terms


@njit(cache=True, nogil=True, parallel=True)
def _has_near_row(test_rows: Any, by_rarity: Any, train_rows: Any, postings: Any, threshold: float) -> Any:
    n = len(test_rows.indptr) - 1
    has_duplicate = np.zeros(n, np.bool_)
    n_chunks = 64  # each chunk has its own scratch arrays; rows are independent, so the number does not affect results
    for chunk in prange(n_chunks):
        query = np.zeros(len(postings.rank), np.float64)
        compared = np.full(len(train_rows.indptr) - 1, -1, np.int64)
        for row in range(n * chunk // n_chunks, n * (chunk + 1) // n_chunks):
            if test_rows.norms[row] == 0.0:
                continue
            _set_unit(query, test_rows, row)
            rarest_first = by_rarity[test_rows.indptr[row] : test_rows.indptr[row + 1]]
            has_duplicate[row] = _any_above(row, rarest_first, query, compared, train_rows, postings, threshold)
            _clear(query, test_rows, row)
    return has_duplicate


@njit(cache=True, nogil=True)
def _set_unit(query: Any, rows: Any, row: int) -> None:
    """Write the unit vector of a row to `query`. A loop, since numba takes seconds to compile assignments of arrays."""
    for entry in range(rows.indptr[row], rows.indptr[row + 1]):
        query[rows.indices[entry]] = rows.data[entry] / rows.norms[row]


@njit(cache=True, nogil=True)
def _clear(query: Any, rows: Any, row: int) -> None:
    for entry in range(rows.indptr[row], rows.indptr[row + 1]):
        query[rows.indices[entry]] = 0.0


@njit(cache=True, nogil=True)
def _dot(query: Any, rows: Any, row: Any) -> float:
    dot = 0.0
    for entry in range(rows.indptr[row], rows.indptr[row + 1]):
        dot += query[rows.indices[entry]] * rows.data[entry]
    return dot


@njit(cache=True, nogil=True)
def _any_above(
    row: int, terms: Any, query: Any, compared: Any, train_rows: Any, postings: Any, threshold: float
) -> Any:
    """Whether a train row has a cosine above the threshold with test row `row`, whose dense unit vector is `query`."""
    remaining = 1.0  # squared norm of the terms that are not looked up yet
    for term in terms:
        if np.sqrt(max(remaining, 0.0)) < threshold - ROUNDING_SLACK:
            return False
        for p in range(postings.starts[term], postings.starts[term + 1]):
            train_row = postings.rows[p]
            if compared[train_row] == row:
                continue
            compared[train_row] = row
            if _dot(query, train_rows, train_row) > threshold * train_rows.norms[train_row]:
                return True
        remaining -= query[term] ** 2
    return False


@njit(cache=True, nogil=True)
def _group_ids(rows: Any, by_rarity: Any, postings: Any, threshold: float) -> Any:
    """Union-find over all pairs above the threshold; single-threaded, so that one dense row is enough memory."""
    n = len(rows.indptr) - 1
    parent = np.arange(n).astype(np.int32)
    query = np.zeros(len(postings.rank), np.float64)
    compared = np.full(n, -1, np.int64)
    for row in range(n):
        if rows.norms[row] == 0.0:
            continue
        _set_unit(query, rows, row)
        remaining = 1.0
        for term in by_rarity[rows.indptr[row] : rows.indptr[row + 1]]:
            if np.sqrt(max(remaining, 0.0)) < threshold - ROUNDING_SLACK:
                break
            for p in range(postings.starts[term], postings.starts[term + 1]):
                earlier_row = postings.rows[p]
                if earlier_row >= row:
                    break  # postings are sorted; each pair is compared from its later row
                if compared[earlier_row] == row or _root(parent, earlier_row) == _root(parent, row):
                    continue
                compared[earlier_row] = row
                if _dot(query, rows, earlier_row) > threshold * rows.norms[earlier_row]:
                    root_a, root_b = _root(parent, earlier_row), _root(parent, row)
                    parent[max(root_a, root_b)] = min(root_a, root_b)
            remaining -= query[term] ** 2
        _clear(query, rows, row)
    for row in range(n):
        parent[row] = _root(parent, row)
    return parent


@njit(cache=True, nogil=True)
def _root(parent: Any, row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row
