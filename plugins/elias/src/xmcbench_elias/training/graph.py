"""The index as rows of labels per cluster: the clustering in stage 1, the graph in stage 2; centroids to re-cluster."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.growing import Growing
from xmcbench.sparse.centroids import unit_sums
from xmcbench.sparse.csr import Csr, blocks_of, unit_rows
from xmcbench_elias.network.batches import embedded, embedded_batch
from xmcbench_elias.network.model import EliasModel, log_cluster_scores
from xmcbench_elias.network.source import PreparedRows
from xmcbench_elias.params import Settled, Sizes
from xmcbench_elias.training.step import teacher_forced

ROWS, CELLS = 1024, 1 << 22  # rows per batch while the graph is counted, and rows · clusters: 16 MiB of scores
PRODUCTS = 1 << 23  # products of Yᵀ M that are summed and sorted at a time: about 256 MiB
CENTROID_ROWS = 4096  # rows embedded at a time for centroids
Graph = tuple[NDArray[np.int64], NDArray[np.float32]]  # labels of each cluster, and their counts


def learned_centroids(model: EliasModel, train: PreparedRows, ctx: RunContext) -> Csr:
    """L rows of D + d columns, of L2 norm one: centroids of [L2 φ ; L2 features] over each label's rows.

    φ is without dropout.
    """
    data, n_rows, parts = train.data, len(train.rows), []
    assert data.features is not None
    for start in range(0, n_rows, CENTROID_ROWS):
        parts.append(embedded(model.encoder, train.rows, start, start + CENTROID_ROWS, ctx).cpu().numpy())
        ctx.progress(min(start + CENTROID_ROWS, n_rows), n_rows)
    phi = np.concatenate(parts)
    phi /= np.maximum(np.linalg.norm(phi, axis=1, keepdims=True), 1e-12)
    return unit_sums([phi, unit_rows(data.features)], data.labels, ctx.folder, progress=ctx.progress)


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
    and their counts, float32. Counts are summed for some clusters at a time, so that memory depends on the result.
    """
    n_labels, n_clusters = len(clusters), visits.shape[1]
    by_cluster = sp.csr_matrix(visits.T)
    own_labels = np.argsort(clusters, kind="stable")
    own_ends = np.searchsorted(clusters[own_labels], np.arange(n_clusters + 1))
    row_products = np.concatenate([[0], np.cumsum(np.diff(labels.indptr)[by_cluster.indices])])
    products = row_products[by_cluster.indptr]  # (C + 1,) of all clusters before each
    parts = []
    for first, last in blocks_of(np.diff(products), PRODUCTS):
        own = own_labels[own_ends[first] : own_ends[last]]
        row, label, count = _best_entries(by_cluster[first:last] @ labels, own, clusters[own] - first, kappa)
        parts.append((row + first, label, count))
    row, label, count = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return _padded(row, label, count, n_clusters, n_labels)


def _best_entries(
    counts: sp.csr_matrix, own: NDArray[np.int64], own_rows: NDArray[np.int32], kappa: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Cluster, label and count of the entries of `graph_rows`, sorted, for the clusters of `counts` (m, L).

    `own` labels belong to the clusters `own_rows`.
    """
    counts = counts.tocoo()
    row_of_own = np.full(counts.shape[1], -1, np.int32)
    row_of_own[own] = own_rows
    uncounted = np.ones(counts.shape[1], bool)
    uncounted[counts.col[row_of_own[counts.col] == counts.row]] = False
    added = own[uncounted[own]]
    row = np.concatenate([counts.row, row_of_own[added]])
    label = np.concatenate([counts.col, added.astype(np.int32)])
    count = np.concatenate([counts.data, np.zeros(len(added), counts.data.dtype)])
    is_own = row_of_own[label] == row
    order = np.lexsort((label, -count, ~is_own, row))
    row, label, count, is_own = row[order], label[order], count[order], is_own[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(counts.shape[0]))[row]
    selected = is_own | (rank < kappa)
    return row[selected], label[selected], count[selected]


def learned_rows(
    model: EliasModel, train: PreparedRows, clusters: NDArray[np.int32], ctx: RunContext, params: Settled, size: Sizes
) -> Graph:
    """`graph_rows` of the clusters that training rows search now, including their true labels' clusters.

    clusters : (L,) the index of stage 1, in which each label has one cluster, its owner.
    """
    n_rows, true_labels = len(train.rows), train.data.labels
    generator = torch.Generator(ctx.device).manual_seed(ctx.seed("graph"))
    owners = torch.from_numpy(clusters.astype(np.int64)).to(ctx.device)
    step = min(ROWS, max(1, CELLS // size.clusters))
    # Arrays of their own for each batch would lie between the batch's large ones, whose memory then stays taken.
    widths, visited, scores = Growing(np.int64), Growing(np.int32), Growing(np.float32)
    for start in range(0, n_rows, step):
        batch = embedded_batch(true_labels[start : start + step], ctx.device)
        phi = embedded(model.encoder, train.rows, start, start + step, ctx)
        with torch.no_grad():
            logits = model.cluster_logits(phi)
            beam = teacher_forced(logits, model.alpha, batch, owners, size.beam, params.extra, generator)
            scores.append(log_cluster_scores(logits, model.alpha).gather(1, beam).exp().cpu().numpy().ravel())
        visited.append(beam.to(torch.int32).cpu().numpy().ravel())
        widths.append(np.full(batch.n_rows, beam.shape[1]))
        ctx.progress(start + batch.n_rows, n_rows)
    indptr = np.concatenate([[0], np.cumsum(widths.array)])
    visits = sp.csr_matrix((scores.array, visited.array, indptr), shape=(n_rows, size.clusters))
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
