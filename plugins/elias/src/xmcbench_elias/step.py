"""One batch through the network: search, rank, both losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from xmcbench.tables.ops import gather_dot, on_cpu
from xmcbench_elias.batches import Batch
from xmcbench_elias.loss import classification_loss, shortlist_loss
from xmcbench_elias.model import EliasModel, log_cluster_scores
from xmcbench_elias.path_loss import path_loss
from xmcbench_elias.search import beam_search, forced_beam, shortlist

if TYPE_CHECKING:
    from xmcbench_elias.params import Settled, Sizes


@dataclass(frozen=True)
class Losses:
    """The sum of both losses, and the share of beam clusters whose score is clamped at 1."""

    total: Tensor
    clamped: Tensor


def path_scores(log_clusters: Tensor, clusters: Tensor, log_entries: Tensor, rows: Tensor, paths: Tensor) -> Tensor:
    """log s + log a of paths; `rows` and `paths` of one shape, path = place in the beam · width + column.

    log_clusters, clusters : (n, w) of the beam. log_entries : (C, width).
    """
    width = log_entries.shape[1]
    at = rows * clusters.shape[1] + torch.div(paths, width, rounding_mode="floor")
    return log_clusters.reshape(-1)[at] + log_entries.reshape(-1)[clusters.reshape(-1)[at] * width + paths % width]


def true_rows(batch: Batch) -> Tensor:
    """(nnz,) int64: the row of each true label."""
    rows = torch.arange(batch.n_rows, device=batch.true_indptr.device)
    return torch.repeat_interleave(rows, batch.true_indptr.diff())


def teacher_forced(
    logits: Tensor, alpha: float, batch: Batch, owners: Tensor, beam: int, extra: int, generator: torch.Generator
) -> Tensor:
    """(n, w) clusters to train on; `owners` (L,) as from `EliasModel.owners`."""
    rows, clusters = true_rows(batch), owners[batch.true_labels]
    owned = clusters >= 0
    return forced_beam(logits.detach(), alpha, beam, extra, rows[owned], clusters[owned], generator)


def train_step(
    model: EliasModel, batch: Batch, owners: Tensor, params: Settled, size: Sizes, generator: torch.Generator
) -> Losses:
    """Losses of one batch; `owners` (L,) as from `EliasModel.owners`.

    Raises
    ------
    FloatingPointError : the network's outputs are not finite.
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
    """Losses of rows with these embeddings, cluster logits and clusters; `weight` is λ · K."""
    log_clusters = log_cluster_scores(logits, model.alpha).gather(1, clusters)
    log_entries = model.log_entries()
    found = shortlist(clusters, log_clusters, model.entries, log_entries, size, model.n_labels, batch)
    z = gather_dot(embedding, model.label_weight, model.label_bias, found.labels)
    known = found.labels < model.n_labels
    ranking = path_loss if on_cpu(z) else path_loss_torch
    first = ranking(log_clusters, log_entries, z, clusters, found.paths, found.targets, known)
    reached = found.true_paths >= 0
    true = path_scores(log_clusters, clusters, log_entries, true_rows(batch)[reached], found.true_paths[reached])
    second = shortlist_loss(true, max(batch.n_rows, 1))
    return Losses(first + weight / found.labels.shape[1] * second, (log_clusters.detach() == 0).float().mean())


def path_loss_torch(
    log_clusters: Tensor,
    log_entries: Tensor,
    z: Tensor,
    clusters: Tensor,
    paths: Tensor,
    targets: Tensor,
    known: Tensor,
) -> Tensor:
    """`path_loss.path_loss` for any device."""
    rows = torch.arange(len(z), device=z.device)[:, None].expand_as(paths)
    return classification_loss(path_scores(log_clusters, clusters, log_entries, rows, paths), z, targets, known)


@torch.no_grad()
def score(model: EliasModel, embedding: Tensor, batch: Batch, beam: int, size: int) -> tuple[Tensor, Tensor]:
    """(n, K) label ids (n_labels: padding) and p = s · a · σ(z) in float32, in no order, of rows embedded as (n, D)."""
    logits = model.cluster_logits(embedding)
    clusters = beam_search(logits, beam)
    log_clusters = log_cluster_scores(logits, model.alpha).gather(1, clusters)
    log_entries = model.log_entries()
    found = shortlist(clusters, log_clusters, model.entries, log_entries, size, model.n_labels, batch)
    rows = torch.arange(batch.n_rows, device=clusters.device)[:, None].expand_as(found.paths)
    log_paths = path_scores(log_clusters, clusters, log_entries, rows, found.paths)
    z = gather_dot(embedding, model.label_weight, model.label_bias, found.labels)
    return found.labels, (log_paths + F.logsigmoid(z)).exp()
