"""Margins of chosen (row, label) pairs under sparse linear classifiers: what re-ranking a shortlist needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import parts

if TYPE_CHECKING:
    import scipy.sparse as sp


def score_pairs(
    weights: sp.csr_matrix, features: sp.csr_matrix, ids: NDArray[np.integer[Any]], bias: float = 1.0
) -> NDArray[np.float32]:
    """w_l · x_i + bias · w_l[d] for each label l of row i's shortlist.

    Parameters
    ----------
    weights : (L, d + 1) CSR float32 from `xmcbench.sparse.linear`, the bias weight at column d.
    features : (n, d) CSR float32, scaled as in training; no column twice in a row.
    ids : (n, K) integers: labels, −1 at padding.
    bias : value of the constant feature in training.

    Returns
    -------
    (n, K) float32 margins, −inf at padding. Rows are independent of each other and of the number of threads.

    Raises
    ------
    ValueError : shapes don't fit together, or an id is not below L.
    """
    n, width = features.shape
    if weights.shape[1] != width + 1:
        raise ValueError(f"weights have {weights.shape[1]} columns, {width} features need {width + 1}")
    if ids.ndim != 2 or len(ids) != n:
        raise ValueError(f"ids have shape {ids.shape}, must be ({n}, K)")
    if ids.max(initial=-1) >= weights.shape[0]:
        raise ValueError(f"ids name label {ids.max()}, there are {weights.shape[0]}")
    margins = np.empty(ids.shape, np.float32)
    scratch = np.zeros((max(1, min(get_num_threads(), n)), width + 1), np.float32)
    scratch[:, width] = bias
    _score_rows(*parts(features), *parts(weights), np.ascontiguousarray(ids, np.int32), scratch, margins)
    return margins


@njit(cache=True, nogil=True, parallel=True)
def _score_rows(
    indptr: Any, indices: Any, data: Any, weight_ptr: Any, weight_columns: Any, weight_values: Any,
    ids: Any, scratch: Any, margins: Any,
) -> None:  # fmt: skip
    """Row i goes to worker i modulo the number of workers; `scratch` (workers, d + 1): zeros and the bias."""
    workers = len(scratch)
    for worker in prange(workers):
        _score_share(
            indptr, indices, data, weight_ptr, weight_columns, weight_values,
            ids, scratch[worker], worker, workers, margins,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _score_share(
    indptr: Any, indices: Any, data: Any, weight_ptr: Any, weight_columns: Any, weight_values: Any,
    ids: Any, x: Any, worker: int, workers: int, margins: Any,
) -> None:  # fmt: skip
    for row in range(worker, len(ids), workers):
        for at in range(indptr[row], indptr[row + 1]):
            x[indices[at]] = data[at]
        for k in range(ids.shape[1]):
            label = ids[row, k]
            if label < 0:
                margins[row, k] = -np.inf
            else:
                margins[row, k] = dot(weight_columns, weight_values, weight_ptr[label], weight_ptr[label + 1], x)
        for at in range(indptr[row], indptr[row + 1]):
            x[indices[at]] = 0.0


@njit(cache=True, nogil=True)
def dot(columns: Any, values: Any, start: int, end: int, dense: Any) -> Any:
    """Σ values · dense[columns] over start … end − 1, float32. Four sums side by side: one alone waits on itself."""
    a = b = c = d = np.float32(0.0)
    at = start
    while at + 4 <= end:
        a += values[at] * dense[columns[at]]
        b += values[at + 1] * dense[columns[at + 1]]
        c += values[at + 2] * dense[columns[at + 2]]
        d += values[at + 3] * dense[columns[at + 3]]
        at += 4
    while at < end:
        a += values[at] * dense[columns[at]]
        at += 1
    return (a + b) + (c + d)
