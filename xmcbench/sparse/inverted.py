"""Margins of sparse classifiers by an inverted index: only the weights of a row's own features are read.

A classifier has thousands of weights, a row about a hundred features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import Parts, parts
from xmcbench.sparse.topk import best_first

if TYPE_CHECKING:
    import scipy.sparse as sp


class InvertedWeights(NamedTuple):
    """P classifiers, indexed by feature.

    Attributes
    ----------
    by_feature : CSR parts of (d, P): for each feature, the labels with a weight for it, and the weights.
    bias : (P,) float32, the constant feature's value times its weight.
    """

    by_feature: Parts
    bias: NDArray[np.float32]

    @classmethod
    def of(cls, weights: sp.csr_matrix, bias: float = 1.0) -> InvertedWeights:
        """From (P, d + 1) CSR weights as `xmcbench.sparse.linear` gives them, the bias weight at column d."""
        width = weights.shape[1] - 1
        bias_weights = np.asarray(weights[:, [width]].toarray(), np.float32).ravel()
        return cls(parts(weights[:, :width].T.tocsr()), bias_weights * np.float32(bias))


def best_labels(
    weights: InvertedWeights, features: sp.csr_matrix, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k labels of largest margin z = w·x + bias of each row.

    Parameters
    ----------
    features : (n, d) CSR float32, scaled as in training.
    k : at most P.

    Returns
    -------
    ids : (n, k) int32 in 0 … P − 1, margin descending, then id ascending. margins : (n, k) float32.
    """
    n, n_labels = features.shape[0], len(weights.bias)
    ids, margins = np.empty((n, k), np.int32), np.empty((n, k), np.float32)
    if n and k:
        scratch = np.empty((min(get_num_threads(), n), n_labels), np.float32)
        label_ids = np.arange(n_labels, dtype=np.int32)
        _score_rows(*parts(features), *weights.by_feature, weights.bias, label_ids, scratch, ids, margins)
    return ids, margins


@njit(cache=True, nogil=True)
def _add(columns: Any, numbers: Any, label_ptr: Any, labels: Any, values: Any, z: Any) -> None:
    """Add each feature's contribution to the margins of the labels with a weight for it."""
    for i in range(len(columns)):
        for at in range(label_ptr[columns[i]], label_ptr[columns[i] + 1]):
            z[labels[at]] += numbers[i] * values[at]


@njit(cache=True, nogil=True, parallel=True)
def _score_rows(
    indptr: Any, indices: Any, data: Any, label_ptr: Any, labels: Any, values: Any, bias: Any, label_ids: Any,
    scratch: Any, ids: Any, margins: Any,
) -> None:  # fmt: skip
    workers = len(scratch)
    for worker in prange(workers):
        for row in range(worker, len(ids), workers):
            columns = indices[indptr[row] : indptr[row + 1]]
            numbers = data[indptr[row] : indptr[row + 1]]
            _score_row(
                columns, numbers, label_ptr, labels, values, bias, label_ids, scratch[worker], ids[row], margins[row]
            )


@njit(cache=True, nogil=True)
def _score_row(
    columns: Any, numbers: Any, label_ptr: Any, labels: Any, values: Any, bias: Any, label_ids: Any,
    z: Any, ids: Any, margins: Any,
) -> None:  # fmt: skip
    """Fill one row of `ids` and `margins`; `z` (P,) float32 scratch."""
    z[:] = bias
    _add(columns, numbers, label_ptr, labels, values, z)
    best = best_first(z, label_ids, len(ids))
    for i in range(len(ids)):
        ids[i] = best[i]
        margins[i] = z[best[i]]
