"""Rows of a data set as tensors on the model's device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass(frozen=True)
class Batch:
    """n rows: CSR features, and CSR true labels where they are known (training), else no labels at all.

    Attributes
    ----------
    indptr, indices : (n + 1,), (nnz,) int64; values : (nnz,) float32. Features.
    true_indptr, true_labels : (n + 1,), (nnz,) int64. Labels, ascending in a row.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    true_indptr: Tensor
    true_labels: Tensor

    @property
    def n_rows(self) -> int:
        return len(self.indptr) - 1


def make_batch(features: sp.csr_matrix, labels: sp.csr_matrix | None, rows: NDArray[Any] | slice, device: str) -> Batch:
    """The named rows; `labels` None leaves every row without true labels."""
    x = features[rows]
    n = int(x.shape[0])
    y = None if labels is None else labels[rows]
    true_indptr = np.zeros(n + 1, np.int64) if y is None else y.indptr.astype(np.int64)
    true_labels = np.zeros(0, np.int64) if y is None else y.indices.astype(np.int64)
    arrays = x.indptr.astype(np.int64), x.indices.astype(np.int64), x.data.astype(np.float32), true_indptr, true_labels
    return Batch(*(torch.from_numpy(array).to(device) for array in arrays))
