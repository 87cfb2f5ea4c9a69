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
