"""The index as rows of labels: first the clustering itself, then the graph that training walked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench_elias.batches import embedded_batch
from xmcbench_elias.embedding import embedded
from xmcbench_elias.model import EliasModel, log_cluster_scores
from xmcbench_elias.source import Ready
from xmcbench_elias.step import teacher_forced

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench_elias.params import Settled, Sizes

ROWS = 1024  # at a time, while the graph is counted
Graph = tuple[NDArray[np.int64], NDArray[np.float32]]  # labels of each cluster's row, and what their logits start from


def clustering_rows(clusters: NDArray[np.int32], n_clusters: int) -> NDArray[np.int64]:
    """(C, width) int64 labels of each cluster, ascending, padded with L. `clusters`: (L,) cluster of each label."""
    n_labels = len(clusters)
    order = np.argsort(clusters, kind="stable")
    return _padded(clusters[order], order, np.zeros(n_labels), n_clusters, n_labels)[0]


def graph_rows(visits: sp.csr_matrix, labels: sp.csr_matrix, clusters: NDArray[np.int32], kappa: int) -> Graph:
    """The labels that training rows brought to each cluster: the κ largest of Yᵀ M, own labels always.

    Parameters
    ----------
    visits : (n, C) CSR, M: scores of the clusters each training row searched.
    labels : (n, L) CSR, Y.
    clusters : (L,) the stage-1 cluster of each label; its entry stays, or the label could never be found again.
    kappa : most entries a row; a cluster with more labels of its own has those alone.

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
    row, label, count, own = row[order], label[order], count[order], own[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(n_clusters))[row]
    kept = own | (rank < kappa)
    return _padded(row[kept], label[kept], count[kept], n_clusters, n_labels)


def learned_rows(
    model: EliasModel,
    train: Ready,
    clusters: NDArray[np.int32],
    ctx: RunContext,
    params: Settled,
    size: Sizes,
) -> Graph:
    """`graph_rows` of what training rows search now, true labels' clusters among it: M are the clusters' scores."""
    n_rows, true = len(train.rows), train.data.labels
    generator = torch.Generator(ctx.device).manual_seed(ctx.seed("graph"))
    owners = model.owners()
    rows, found, scores = [], [], []
    for start in range(0, n_rows, ROWS):
        batch = embedded_batch(true[start : start + ROWS], ctx.device)
        phi = embedded(model.encoder, train.rows, start, start + ROWS, ctx)
        with torch.no_grad():
            logits = model.cluster_logits(phi)
            beam = teacher_forced(logits, model.alpha, batch, owners, size.beam, params.extra, generator)
            scores.append(log_cluster_scores(logits, model.alpha).gather(1, beam).exp().cpu().numpy().ravel())
        found.append(beam.cpu().numpy().ravel())
        rows.append(np.repeat(np.arange(start, start + batch.n_rows), beam.shape[1]))
        ctx.progress(start + batch.n_rows, n_rows)
    places = np.concatenate(rows), np.concatenate(found)
    visits = sp.csr_matrix((np.concatenate(scores), places), shape=(n_rows, size.clusters))
    return graph_rows(visits, true, clusters, size.kappa)


def random_rows(
    model: EliasModel,
    train: Ready,
    clusters: NDArray[np.int32],
    ctx: RunContext,
    params: Settled,
    size: Sizes,
) -> Graph:
    """A control: each cluster's own labels, filled up to κ with random ones; all logits start alike."""
    rng = ctx.rng("random graph")
    n_labels = len(clusters)
    row = np.repeat(np.arange(size.clusters), size.kappa)
    label = np.concatenate([rng.choice(n_labels, size.kappa, replace=False) for _ in range(size.clusters)])
    visits = sp.csr_matrix(
        (np.ones(len(row)), label, np.arange(0, len(row) + 1, size.kappa)), shape=(size.clusters, n_labels)
    )
    entries, counts = graph_rows(sp.identity(size.clusters, format="csr"), visits, clusters, size.kappa)
    return entries, np.zeros_like(counts)


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
