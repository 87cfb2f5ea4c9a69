"""One batch through the network: search, rank, both losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xmcbench.tables.ops import gather_dot, on_cpu
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.model import EliasModel, log_cluster_scores
from xmcbench_elias.params import Settled, Sizes
from xmcbench_elias.search.search import Part, forced_beam, path_scores, shortlist
from xmcbench_elias.training.loss import classification_loss, shortlist_loss
from xmcbench_elias.training.path_loss import path_loss


@dataclass(frozen=True)
class Losses:
    """The total of both losses, and the share of beam clusters with a score clamped at 1."""

    total: Tensor
    clamped: Tensor


def teacher_forced(
    logits: Tensor,
    alpha: float,
    batch: Batch,
    owners: Tensor,
    beam: int,
    extra: int,
    generator: torch.Generator,
    part: Part | None = None,
) -> Tensor:
    """(n, w) clusters to train on; `owners` (L,) from `EliasModel.owners`, `part` as of `forced_beam`."""
    rows, clusters = batch.true_rows(), owners[batch.true_labels]
    owned = clusters >= 0
    return forced_beam(logits.detach(), alpha, beam, extra, rows[owned], clusters[owned], generator, part)


def train_step(
    model: EliasModel, batch: Batch, owners: Tensor, params: Settled, size: Sizes, generator: torch.Generator
) -> Losses:
    """Losses of one batch; `owners` (L,) from `EliasModel.owners`.

    FloatingPointError if the network's outputs are not finite.
    """
    embedding = model.encoder(batch.inputs, params.dropout, generator)
    logits = model.cluster_logits(embedding)
    if not bool(logits.isfinite().all()):
        raise FloatingPointError("cluster scores are not finite")
    clusters = teacher_forced(logits, model.alpha, batch, owners, size.beam, params.extra, generator)
    return losses(model, embedding, logits, clusters, batch, size.shortlist, params.shortlist_weight)


def losses(
    model: EliasModel, embedding: Tensor, logits: Tensor, clusters: Tensor, batch: Batch, size: int, weight: float
) -> Losses:
    """Losses from embeddings, cluster logits and clusters of rows; `weight` is λ · K."""
    log_clusters = log_cluster_scores(logits, model.alpha).gather(1, clusters)
    log_entries = model.log_entries()
    short = shortlist(clusters, log_clusters, model.entries, log_entries, size, model.n_labels, batch)
    z = gather_dot(embedding, model.label_weight, model.label_bias, short.labels)
    valid = short.labels < model.n_labels
    loss = path_loss if on_cpu(z) else path_loss_torch
    ranking_loss = loss(log_clusters, log_entries, z, clusters, short.paths, short.targets, valid)
    reached = short.true_paths >= 0
    true_rows, true_paths = batch.true_rows()[reached], short.true_paths[reached]
    true_scores = path_scores(log_clusters, clusters, log_entries, true_rows, true_paths)
    search_loss = shortlist_loss(true_scores, max(batch.n_rows, 1))
    total = ranking_loss + weight / short.labels.shape[1] * search_loss
    return Losses(total, (log_clusters.detach() == 0).float().mean())


def path_loss_torch(
    log_clusters: Tensor,
    log_entries: Tensor,
    z: Tensor,
    clusters: Tensor,
    paths: Tensor,
    targets: Tensor,
    valid: Tensor,
) -> Tensor:
    """`path_loss.path_loss` for any device."""
    rows = torch.arange(len(z), device=z.device)[:, None].expand_as(paths)
    return classification_loss(path_scores(log_clusters, clusters, log_entries, rows, paths), z, targets, valid)
