"""CSR matrices as kernels like them: plain contiguous arrays of one type each, rows of length one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp


class Parts(NamedTuple):
    """A CSR matrix taken apart: `indptr` (n + 1,) int64, `indices` (nnz,) int32, `data` (nnz,) float32."""

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
    """Float32 CSR rows of L2 norm one; empty rows stay empty. A dense (n, d) array is taken too.

    Values are copied; where the features lie is shared with `features`, so nobody may change it in either.
    """
    import scipy.sparse as sp

    given = sp.csr_matrix(features)
    rows = sp.csr_matrix((given.data.astype(np.float32), given.indices, given.indptr), shape=given.shape)
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
    """Ascending features that occur in any of `rows`."""
    seen = np.zeros(width, np.bool_)
    for row in rows:
        for at in range(indptr[row], indptr[row + 1]):
            seen[indices[at]] = True
    return np.flatnonzero(seen).astype(np.int32)


@njit(cache=True, nogil=True)
def gather_rows(indptr: Any, indices: Any, data: Any, rows: Any, active: Any, width: int) -> Any:
    """CSR parts of `rows` alone, in that order; feature active[j] is number j."""
    number = np.empty(width, np.int32)
    for j in range(len(active)):
        number[active[j]] = j
    near_ptr = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        near_ptr[i + 1] = near_ptr[i] + indptr[rows[i] + 1] - indptr[rows[i]]
    near_indices, near_data = np.empty(near_ptr[-1], np.int32), np.empty(near_ptr[-1], np.float32)
    for i in range(len(rows)):
        at = near_ptr[i]
        for source in range(indptr[rows[i]], indptr[rows[i] + 1]):
            near_indices[at], near_data[at] = number[indices[source]], data[source]
            at += 1
    return near_ptr, near_indices, near_data


@njit(cache=True, nogil=True)
def add_line(number: Any, lines: Any, start: Any, z: Any) -> None:
    """z += number · lines[start : start + len(z)], `start` a uint64.

    What is this simple becomes vector instructions; a signed start might count from the end, and then it does not.
    """
    for i in range(len(z)):
        z[i] += number * lines[start + np.uint64(i)]
