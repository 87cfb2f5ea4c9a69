"""CSR matrices in the form kernels take: contiguous arrays of fixed types, rows of unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp


class Csr(NamedTuple):
    """The arrays of a CSR matrix: `indptr` (n + 1,) int64, `indices` (nnz,) int32, `data` (nnz,) float32."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: sp.csr_matrix) -> Csr:
        """Read-only views of the arrays of `matrix`, copied only where types differ.

        Numba compiles once for arrays that may be written and once for those of a mapped file, so none may be written.
        """
        return cls(*(read_only(array) for array in cls.stored(matrix)))

    @classmethod
    def stored(cls, matrix: sp.csr_matrix) -> Csr:
        """The arrays of `matrix` in the types kernels are compiled for, for a model that is saved and loaded."""
        return cls(
            np.ascontiguousarray(matrix.indptr, np.int64),
            np.ascontiguousarray(matrix.indices, np.int32),
            np.ascontiguousarray(matrix.data, np.float32),
        )


def blocks_of(sizes: NDArray[np.int64], limit: int) -> list[tuple[int, int]]:
    """(first, last) of consecutive items whose `sizes` (n,) sum to at most `limit`, or of one larger item."""
    before = np.concatenate([[0], np.cumsum(sizes)])
    blocks, first = [], 0
    while first < len(sizes):
        last = max(first + 1, int(np.searchsorted(before, before[first] + limit, side="right")) - 1)
        blocks.append((first, last))
        first = last
    return blocks


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that may not be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def unit_rows(features: sp.csr_matrix | NDArray[Any]) -> sp.csr_matrix:
    """Float32 CSR rows of L2 norm one from a CSR matrix or dense (n, d) array; empty rows stay empty.

    Values are copied; `indices` and `indptr` are shared with `features`, so they must not be changed in either.
    """
    import scipy.sparse as sp

    matrix = features if isinstance(features, sp.csr_matrix) else sp.csr_matrix(features)
    rows = sp.csr_matrix((matrix.data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
    scale_rows(read_only(rows.indptr), rows.data)
    return rows


def of_unit_length(rows: Csr) -> Csr:
    """Rows of L2 norm one, as `unit_rows`, without a matrix of scipy: that takes a tenth to a third of a query."""
    data = rows.data.copy()
    scale_rows(rows.indptr, data)
    return rows._replace(data=read_only(data))


@njit(cache=True, nogil=True)
def row_squares(indptr: Any, data: Any) -> Any:
    """(n,) float64: squared L2 norms of rows."""
    squares = np.zeros(len(indptr) - 1)
    for row in range(len(squares)):
        for at in range(indptr[row], indptr[row + 1]):
            squares[row] += np.float64(data[at]) * np.float64(data[at])
    return squares


@njit(cache=True, nogil=True)
def scale_rows(indptr: Any, data: Any) -> None:
    """Divide each row by its L2 norm, in place."""
    squares = row_squares(indptr, data)
    for row in range(len(squares)):
        if squares[row] > 0:
            for at in range(indptr[row], indptr[row + 1]):
                data[at] = data[at] / np.sqrt(squares[row])


@njit(cache=True, nogil=True)
def row_of(matrix: Any, row: int) -> Any:
    """The columns and the numbers of one row of a `Csr`."""
    first, last = matrix.indptr[row], matrix.indptr[row + 1]
    return matrix.indices[first:last], matrix.data[first:last]


@njit(cache=True, nogil=True)
def columns_of(matrix: Any, rows: Any, width: int) -> Any:
    """Features that occur in any of `rows` of a `Csr`, ascending."""
    seen, n_seen = np.zeros(width, np.bool_), 0
    for row in rows:
        for at in range(matrix.indptr[row], matrix.indptr[row + 1]):
            n_seen += not seen[matrix.indices[at]]
            seen[matrix.indices[at]] = True
    columns, at = np.empty(n_seen, np.int32), 0
    for column in range(width):
        if seen[column]:
            columns[at] = column
            at += 1
    return columns


@njit(cache=True, nogil=True)
def gather_rows(matrix: Any, rows: Any, active: Any, width: int) -> Any:
    """`rows` of a `Csr` in that order, with feature active[j] renumbered to j; `active` has all their features."""
    number = np.empty(width, np.int32)
    for j in range(len(active)):
        number[active[j]] = j
    indptr = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        indptr[i + 1] = indptr[i] + matrix.indptr[rows[i] + 1] - matrix.indptr[rows[i]]
    indices, data = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.float32)
    for i in range(len(rows)):
        columns, numbers = row_of(matrix, rows[i])
        for at in range(len(columns)):
            indices[indptr[i] + at], data[indptr[i] + at] = number[columns[at]], numbers[at]
    return Csr(indptr, indices, data)


@njit(cache=True, nogil=True)
def add_line(number: Any, lines: Any, start: Any, z: Any) -> None:
    """z += number · lines[start : start + len(z)], `start` a uint64.

    The unsigned `start` excludes Python's negative indices, so that the compiler can vectorise the loop.
    """
    for i in range(len(z)):
        z[i] += number * lines[start + np.uint64(i)]
