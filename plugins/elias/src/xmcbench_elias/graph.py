"""The index as rows of labels: first the clustering itself, then the graph that training walked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp


def clustering_rows(clusters: NDArray[np.int32], n_clusters: int) -> NDArray[np.int64]:
    """(C, width) int64 labels of each cluster, ascending, padded with L. `clusters`: (L,) cluster of each label."""
    n_labels = len(clusters)
    order = np.argsort(clusters, kind="stable")
    return _padded(clusters[order], order, np.zeros(n_labels), n_clusters, n_labels)[0]


def graph_rows(
    visits: sp.csr_matrix, labels: sp.csr_matrix, clusters: NDArray[np.int32], kappa: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The labels that training rows brought to each cluster: the κ largest of Yᵀ M, own labels always.

    Parameters
    ----------
    visits : (n, C) CSR, M: scores of the clusters each training row searched.
    labels : (n, L) CSR, Y.
    clusters : (L,) the stage-1 cluster of each label; its entry stays, or the label could never be found again.
    kappa : most entries a row.

    Returns
    -------
    (C, width) int64 labels, padded with L: own labels first, then by falling count (ties: lower id first); and
    their counts, float32.
    """
    n_labels, n_clusters = len(clusters), visits.shape[1]
    counts = (labels.T @ visits).tocoo()
    row = np.concatenate([counts.col, clusters])
    label = np.concatenate([counts.row, np.arange(n_labels)])
    count = np.concatenate([counts.data, np.zeros(n_labels, counts.data.dtype)])
    own = clusters[label] == row
    order = np.lexsort((-count, label, ~own, row))
    row, label, count, own = row[order], label[order], count[order], own[order]
    first = np.ones(len(row), bool)
    first[1:] = (row[1:] != row[:-1]) | (label[1:] != label[:-1])  # an own label stands there twice: its count stays
    row, label, count, own = row[first], label[first], count[first], own[first]
    order = np.lexsort((label, -count, ~own, row))
    row, label, count = row[order], label[order], count[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(n_clusters))[row]
    kept = rank < kappa
    return _padded(row[kept], label[kept], count[kept], n_clusters, n_labels)


def _padded(
    row: NDArray[np.integer], label: NDArray[np.integer], count: NDArray[np.floating], n_clusters: int, n_labels: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows side by side; `row` ascends."""
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(n_clusters))[row]
    width = int(rank.max(initial=0)) + 1
    labels = np.full((n_clusters, width), n_labels, np.int64)
    counts = np.zeros((n_clusters, width), np.float32)
    labels[row, rank] = label
    counts[row, rank] = count
    return labels, counts
