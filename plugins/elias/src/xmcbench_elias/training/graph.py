"""The index as rows of labels per cluster: the clustering in stage 1, the graph in stage 2; centroids to re-cluster."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.sparse.csr import unit_rows
from xmcbench_elias.network.batches import embedded, embedded_batch
from xmcbench_elias.network.model import EliasModel, log_cluster_scores
from xmcbench_elias.network.source import PreparedRows
from xmcbench_elias.params import Settled, Sizes
from xmcbench_elias.training.step import teacher_forced

ROWS = 1024  # rows per batch while the graph is counted
CENTROID_ROWS = 4096  # rows embedded at a time for centroids
Graph = tuple[NDArray[np.int64], NDArray[np.float32]]  # labels of each cluster, and their counts


def learned_centroids(model: EliasModel, train: PreparedRows, ctx: RunContext) -> sp.csr_matrix:
    """(L, D + d) centroids of [L2 φ ; L2 features] over each label's rows; φ is without dropout."""
    data, n_rows, parts = train.data, len(train.rows), []
    assert data.features is not None
    for start in range(0, n_rows, CENTROID_ROWS):
        parts.append(embedded(model.encoder, train.rows, start, start + CENTROID_ROWS, ctx).cpu().numpy())
        ctx.progress(min(start + CENTROID_ROWS, n_rows), n_rows)
    phi = np.concatenate(parts)
    phi /= np.maximum(np.linalg.norm(phi, axis=1, keepdims=True), 1e-12)
    centroids = [sp.csr_matrix(data.labels.T @ phi), data.labels.T @ unit_rows(data.features)]
    return sp.csr_matrix(sp.hstack(centroids, format="csr", dtype=np.float32))


def clustering_rows(clusters: NDArray[np.int32], n_clusters: int) -> NDArray[np.int64]:
    """(C, width) int64 labels of each cluster, ascending, padded with L. `clusters`: (L,) cluster of each label."""
    n_labels = len(clusters)
    order = np.argsort(clusters, kind="stable")
    return _padded(clusters[order], order, np.zeros(n_labels), n_clusters, n_labels)[0]


def graph_rows(visits: sp.csr_matrix, labels: sp.csr_matrix, clusters: NDArray[np.int32], kappa: int) -> Graph:
    """The labels of each cluster: the κ largest entries of Yᵀ M, and always the cluster's own labels.

    Parameters
    ----------
    visits : (n, C) CSR, M: scores of the clusters that each training row searches.
    labels : (n, L) CSR, Y.
    clusters : (L,) the stage-1 cluster of each label; that entry always stays, so that every label can be found.
    kappa : maximum number of entries per row; a cluster with more own labels has only those.

    Returns
    -------
    (C, width) int64 labels, padded with L: own labels first, then by descending count (ties: lower id first);
    and their counts, float32.
    """
    n_labels, n_clusters = len(clusters), visits.shape[1]
    counts = (labels.T @ visits).tocoo()
    row = np.concatenate([counts.col, clusters])
    label = np.concatenate([counts.row, np.arange(n_labels)])
    count = np.concatenate([counts.data, np.zeros(n_labels, counts.data.dtype)])
    is_own = clusters[label] == row
    order = np.lexsort((-count, label, ~is_own, row))
    row, label, count, is_own = row[order], label[order], count[order], is_own[order]
    is_first = np.ones(len(row), bool)
    is_first[1:] = (row[1:] != row[:-1]) | (label[1:] != label[:-1])  # of two entries, the one with the count
    row, label, count, is_own = row[is_first], label[is_first], count[is_first], is_own[is_first]
    order = np.lexsort((label, -count, ~is_own, row))
    row, label, count, is_own = row[order], label[order], count[order], is_own[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(n_clusters))[row]
    selected = is_own | (rank < kappa)
    return _padded(row[selected], label[selected], count[selected], n_clusters, n_labels)


def learned_rows(
    model: EliasModel, train: PreparedRows, clusters: NDArray[np.int32], ctx: RunContext, params: Settled, size: Sizes
) -> Graph:
    """`graph_rows` of the clusters that training rows search now, including their true labels' clusters.

    clusters : (L,) the index of stage 1, in which each label has one cluster, its owner.
    """
    n_rows, true_labels = len(train.rows), train.data.labels
    generator = torch.Generator(ctx.device).manual_seed(ctx.seed("graph"))
    owners = torch.from_numpy(clusters.astype(np.int64)).to(ctx.device)
    rows, visited, scores = [], [], []
    for start in range(0, n_rows, ROWS):
        batch = embedded_batch(true_labels[start : start + ROWS], ctx.device)
        phi = embedded(model.encoder, train.rows, start, start + ROWS, ctx)
        with torch.no_grad():
            logits = model.cluster_logits(phi)
            beam = teacher_forced(logits, model.alpha, batch, owners, size.beam, params.extra, generator)
            scores.append(log_cluster_scores(logits, model.alpha).gather(1, beam).exp().cpu().numpy().ravel())
        visited.append(beam.cpu().numpy().ravel())
        rows.append(np.repeat(np.arange(start, start + batch.n_rows), beam.shape[1]))
        ctx.progress(start + batch.n_rows, n_rows)
    coordinates = np.concatenate(rows), np.concatenate(visited)
    visits = sp.csr_matrix((np.concatenate(scores), coordinates), shape=(n_rows, size.clusters))
    return graph_rows(visits, true_labels, clusters, size.kappa)


def random_rows(clusters: NDArray[np.int32], ctx: RunContext, size: Sizes) -> Graph:
    """A control: each cluster's own labels, filled up to κ with random ones; all logits start equal."""
    rng = ctx.rng("random graph")
    n_labels = len(clusters)
    row = np.repeat(np.arange(size.clusters), size.kappa)
    label = np.concatenate([rng.choice(n_labels, size.kappa, replace=False) for _ in range(size.clusters)])
    pattern = np.ones(len(row)), label, np.arange(0, len(row) + 1, size.kappa)
    visits = sp.csr_matrix(pattern, shape=(size.clusters, n_labels))
    entries, counts = graph_rows(sp.identity(size.clusters, format="csr"), visits, clusters, size.kappa)
    return entries, np.zeros_like(counts)


def _padded(
    row: NDArray[np.integer], label: NDArray[np.integer], count: NDArray[np.floating], n_clusters: int, n_labels: int
) -> Graph:
    """Pad variable-length rows into (C, width) matrices. `row` must be sorted."""
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(n_clusters))[row]
    width = int(rank.max(initial=0)) + 1
    labels = np.full((n_clusters, width), n_labels, np.int64)
    counts = np.zeros((n_clusters, width), np.float32)
    labels[row, rank] = label
    counts[row, rank] = count
    return labels, counts
