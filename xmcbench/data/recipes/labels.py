"""Convert lists of label ids to the (n, L) label matrix of a split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp


def label_matrix(rows: Sequence[Iterable[int]], n_labels: int) -> sp.csr_matrix:
    """(n, L) CSR float32 of ones with sorted ids; a repeated id in a row counts once."""
    import scipy.sparse as sp

    sorted_rows = [sorted(set(row)) for row in rows]
    indptr = np.zeros(len(sorted_rows) + 1, np.int64)
    np.cumsum([len(ids) for ids in sorted_rows], out=indptr[1:])
    indices = np.fromiter((label for ids in sorted_rows for label in ids), np.int64, int(indptr[-1]))
    return sp.csr_matrix((np.ones(len(indices), np.float32), indices, indptr), shape=(len(sorted_rows), n_labels))
