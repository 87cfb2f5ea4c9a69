"""Label centroids: sums over the rows of each label, for some labels at a time, in files where they are large."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.growing import IN_MEMORY, Spilling
from xmcbench.method import Progress
from xmcbench.sparse.csr import Csr, blocks_of, read_only, row_squares, scale_rows

if TYPE_CHECKING:
    import scipy.sparse as sp

PRODUCTS = 1 << 21  # products of Yᵀ X that are summed and sorted at a time: at most about 50 MiB


def label_centroids(
    features: sp.csr_matrix, labels: sp.csr_matrix, folder: Path, progress: Progress | None = None
) -> Csr:
    """PIFA: the normalised mean of the rows of each label.

    Parameters
    ----------
    features : (n, d) CSR; rows are L2-normalised first.
    labels : (n, L) CSR of ones.
    folder : existing folder for the files of large centroids, which are removed when no array needs them.
    progress : called with (labels done, L).

    Returns
    -------
    (L, d) rows of L2 norm one, with ascending columns; a label without training rows has an empty row.

    Raises WriteError: `folder` is not writable, or the disk is full.
    """
    import scipy.sparse as sp

    # The row norms are applied to the label matrix, since a scaled copy of the features would take the most memory.
    lengths = np.sqrt(row_squares(read_only(features.indptr), features.data))
    shares = np.repeat(1 / np.where(lengths > 0, lengths, 1), np.diff(labels.indptr)).astype(np.float32)
    weights = sp.csr_matrix((shares, labels.indices, labels.indptr), shape=labels.shape)
    # Scores on record are of clusters of rows that were scaled twice: the second time changes some last bits.
    return unit_sums([features], weights, folder, scalings=2, progress=progress)


def unit_sums(
    features: Sequence[sp.csr_matrix | NDArray[np.float32]],
    weights: sp.csr_matrix,
    folder: Path,
    *,
    scalings: int = 1,
    progress: Progress | None = None,
) -> Csr:
    """Yᵀ [X₁ X₂ …], each row divided by its L2 norm, `scalings` times.

    Parameters
    ----------
    features : (n, dᵢ) matrices, CSR or dense float32; their columns are placed next to each other.
    weights : (n, L) CSR, Y.
    folder, progress : as in `label_centroids`, whose errors this function raises.

    Returns
    -------
    (L, Σ dᵢ) rows with ascending columns and without zeros. Memory is that of Yᵀ and of a block of labels.
    """
    import scipy.sparse as sp

    by_label = sp.csr_matrix(weights.T)
    columns, numbers = (Spilling(dtype, IN_MEMORY, folder) for dtype in (np.int32, np.float32))
    lengths = [np.zeros(1, np.int64)]
    for first, last in blocks_of(_products(features, by_label), PRODUCTS):
        rows = by_label[first:last]
        sums = [sp.csr_matrix(rows @ part) for part in features]
        block = sums[0] if len(sums) == 1 else sp.hstack(sums, format="csr", dtype=np.float32)
        block.sort_indices()
        for _ in range(scalings):
            scale_rows(read_only(block.indptr), block.data)
        lengths.append(np.diff(block.indptr))
        columns.append(block.indices)
        numbers.append(block.data)
        if progress is not None:
            progress(last, by_label.shape[0])
    indptr = np.cumsum(np.concatenate(lengths), dtype=np.int64)
    return Csr(*map(read_only, (indptr, columns.whole(), numbers.whole())))


def _products(features: Sequence[Any], by_label: sp.csr_matrix) -> NDArray[np.int64]:
    """(L,) int64: products of each label's sum, and one more, since a label without rows takes space too."""
    of_rows = np.zeros(by_label.shape[1], np.int64)
    for part in features:
        of_rows += np.diff(part.indptr) if hasattr(part, "indptr") else part.shape[1]
    before = np.concatenate([[0], np.cumsum(of_rows[by_label.indices])])[by_label.indptr]
    products: NDArray[np.int64] = np.diff(before) + 1
    return products
