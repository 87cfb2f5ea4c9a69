"""CSR matrices in the form kernels take: contiguous arrays of fixed types, rows of unit length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp


class Parts(NamedTuple):
    """The arrays of a CSR matrix: `indptr` (n + 1,) int64, `indices` (nnz,) int32, `data` (nnz,) float32."""

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float32]


def parts(matrix: sp.csr_matrix) -> Parts:
    """The three arrays of `matrix` in the types the kernels are compiled for; copied only where they differ."""
    return Parts(
        np.ascontiguousarray(matrix.indptr, np.int64),
        np.ascontiguousarray(matrix.indices, np.int32),
        np.ascontiguousarray(matrix.data, np.float32),
    )


def unit_rows(features: sp.csr_matrix | NDArray[Any]) -> sp.csr_matrix:
    """Float32 CSR rows of L2 norm one from a CSR matrix or dense (n, d) array; empty rows stay empty.

    Values are copied; `indices` and `indptr` are shared with `features`, so they must not be changed in either.
    """
    import scipy.sparse as sp

    matrix = sp.csr_matrix(features)
    rows = sp.csr_matrix((matrix.data.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
    scale_rows(rows.indptr, rows.data)
    return rows


@njit(cache=True, nogil=True)
def scale_rows(indptr: Any, data: Any) -> None:
    """Divide each row by its L2 norm, in place."""
    for row in range(len(indptr) - 1):
        square = 0.0
        for at in range(indptr[row], indptr[row + 1]):
            square += np.float64(data[at]) * np.float64(data[at])
        if square > 0:
            for at in range(indptr[row], indptr[row + 1]):
                data[at] = data[at] / np.sqrt(square)


@njit(cache=True, nogil=True)
def columns_of(indptr: Any, indices: Any, rows: Any, width: int) -> Any:
    """Features that occur in any of `rows`, ascending."""
    seen = np.zeros(width, np.bool_)
    for row in rows:
        for at in range(indptr[row], indptr[row + 1]):
            seen[indices[at]] = True
    return np.flatnonzero(seen).astype(np.int32)


@njit(cache=True, nogil=True)
def gather_rows(indptr: Any, indices: Any, data: Any, rows: Any, active: Any, width: int) -> Any:
    """CSR parts of `rows` in that order, with feature active[j] renumbered to j; `active` has all their features."""
    number = np.empty(width, np.int32)
    for j in range(len(active)):
        number[active[j]] = j
    out_ptr = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        out_ptr[i + 1] = out_ptr[i] + indptr[rows[i] + 1] - indptr[rows[i]]
    out_indices, out_data = np.empty(out_ptr[-1], np.int32), np.empty(out_ptr[-1], np.float32)
    for i in range(len(rows)):
        at = out_ptr[i]
        for source in range(indptr[rows[i]], indptr[rows[i] + 1]):
            out_indices[at], out_data[at] = number[indices[source]], data[source]
            at += 1
    return out_ptr, out_indices, out_data


@njit(cache=True, nogil=True)
def add_line(number: Any, lines: Any, start: Any, z: Any) -> None:
    """z += number · lines[start : start + len(z)], `start` a uint64.

    The unsigned `start` excludes Python's negative indices, so that the compiler can vectorise the loop.
    """
    for i in range(len(z)):
        z[i] += number * lines[start + np.uint64(i)]
