"""Search in torch, from cluster scores to a shortlist: beam, teacher forcing, best path to each label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from numba import get_num_threads
from torch import Tensor

from xmcbench.processes import Ranks
from xmcbench.tables.ops import gather_dot
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.model import EliasModel, log_cluster_scores
from xmcbench_elias.search import shortlist_kernels as kernels


@dataclass(frozen=True)
class Part:
    """The share of a batch of `n_rows` rows that this process searches."""

    rows: slice
    n_rows: int
    ranks: Ranks


@dataclass(frozen=True)
class Shortlist:
    """The K labels of best path score.

    Attributes
    ----------
    labels : (n, K) int64, n_labels at padding. paths : (n, K) int64, position in the beam · width + column.
    scores : (n, K) log s + log a of these paths, −inf at padding; no gradient.
    targets : (n, K) bool, True for true labels.
    true_paths : (nnz,) int64, the path to each true label, −1 if there is none.
    """

    labels: Tensor
    paths: Tensor
    scores: Tensor
    targets: Tensor
    true_paths: Tensor


def beam_search(logits: Tensor, beam: int) -> Tensor:
    """(n, b) int64: clusters of largest score, best first."""
    return logits.topk(min(beam, logits.shape[1]), dim=1).indices


def forced_beam(
    logits: Tensor,
    alpha: float,
    beam: int,
    extra: int,
    true_rows: Tensor,
    true_clusters: Tensor,
    generator: torch.Generator,
    part: Part | None = None,
) -> Tensor:
    """Training only: a beam that includes the true labels' clusters; no cluster occurs twice in a row.

    The true clusters come first, then the beam; rows shorter than the longest are filled up with other clusters, drawn
    uniformly. If there are more than `beam + extra` clusters, those of the beam are sampled without replacement by
    their scores s = min(1, α · softmax), as the largest log s plus Gumbel noise; the true ones stay.

    Parameters
    ----------
    logits : (n, C) float, no gradient needed.
    alpha : α of the cluster scores.
    true_rows, true_clusters : (m,) int64 pairs; a pair may occur twice.
    part : if `logits` are a share of the rows of a batch: they get the noise and the width that they have in the batch.

    Returns
    -------
    (n, w) int64 distinct clusters; w ≤ beam + extra unless some row has more true clusters than that.
    """
    beam_clusters = beam_search(logits, beam)
    noise_inputs = _uniform(beam_clusters.shape, torch.float64, generator, part)
    keys = log_cluster_scores(logits, alpha).gather(1, beam_clusters) - torch.log(-torch.log(noise_inputs))
    beam_clusters = beam_clusters.gather(1, keys.argsort(dim=1))
    # Keys of fillers are below 1, those of the beam are integers from 1 on: exact in float32, unlike a large offset.
    ranks = torch.arange(1.0, beam_clusters.shape[1] + 1, device=logits.device).expand(beam_clusters.shape)
    keys = _uniform(logits.shape, torch.float32, generator, part).scatter_(1, beam_clusters, ranks)
    first_true = beam_clusters.shape[1] + 1
    keys[true_rows, true_clusters] = first_true + keys[true_rows, true_clusters]
    # Torch sums bools into int32 five times as fast as into int64, its default.
    counts = torch.stack([(keys >= minimum).sum(dim=1, dtype=torch.int32) for minimum in (1, first_true)]).long()
    if part is None:
        longest, most_true = counts.amax(dim=1)
    else:  # its share may have no rows
        longest, most_true = part.ranks.largest(torch.cat([counts.new_zeros(2, 1), counts], dim=1).amax(dim=1))
    width = max(min(beam + extra, int(longest)), int(most_true))
    return keys.topk(width, dim=1).indices


def _uniform(shape: torch.Size, dtype: torch.dtype, generator: torch.Generator, part: Part | None) -> Tensor:
    """Uniform numbers for each row; those of a part are drawn for the whole batch, as in one process."""
    if part is None:
        return torch.rand(shape, dtype=dtype, generator=generator, device=generator.device)
    return torch.rand(part.n_rows, shape[1], dtype=dtype, generator=generator, device=generator.device)[part.rows]


def shortlist(
    clusters: Tensor, log_clusters: Tensor, entries: Tensor, log_entries: Tensor, size: int, n_labels: int, batch: Batch
) -> Shortlist:
    """The best path to each label, and the `size` labels of best path score (ties: lower id first); no gradient.

    Parameters
    ----------
    clusters, log_clusters : (n, w) distinct clusters and their log scores.
    entries, log_entries : (C, width) labels of each cluster (n_labels: padding) and the log adjacency.
    """
    w = clusters.shape[1]
    size = max(1, min(size, w * entries.shape[1], n_labels))
    form = _on_cpu if clusters.device.type == "cpu" else by_sorting
    return form(clusters, log_clusters.detach(), entries, log_entries.detach(), size, n_labels, batch)


def _on_cpu(
    clusters: Tensor, log_clusters: Tensor, entries: Tensor, log_entries: Tensor, size: int, n_labels: int, batch: Batch
) -> Shortlist:
    n = len(clusters)
    labels, paths = torch.empty(n, size, dtype=torch.int64), torch.empty(n, size, dtype=torch.int64)
    scores, targets = torch.empty(n, size, dtype=log_entries.dtype), torch.empty(n, size, dtype=torch.bool)
    out = labels, paths, scores, targets, torch.empty_like(batch.true_labels)
    tensors = clusters.contiguous(), log_clusters.contiguous(), entries, log_entries
    beams = kernels.Beams(*(tensor.numpy() for tensor in tensors))
    truth = kernels.Truth(batch.true_indptr.numpy(), batch.true_labels.numpy())
    results = kernels.Shortlists(*(tensor.numpy() for tensor in out))
    kernels.shortlist(beams, truth, size, n_labels, results, get_num_threads())
    return Shortlist(*out)


def by_sorting(
    clusters: Tensor, log_clusters: Tensor, entries: Tensor, log_entries: Tensor, size: int, n_labels: int, batch: Batch
) -> Shortlist:
    """`shortlist` in plain torch, for any device, by three stable sorts."""
    n = len(clusters)
    labels = entries[clusters].flatten(1)
    scores = (log_clusters[:, :, None] + log_entries[clusters]).flatten(1)
    scores = torch.where(labels < n_labels, scores, -torch.inf)
    by_score = scores.sort(dim=1, descending=True, stable=True).indices
    by_label = labels.gather(1, by_score).sort(dim=1, stable=True)
    paths = by_score.gather(1, by_label.indices)
    labels = by_label.values
    repeated = torch.zeros_like(labels, dtype=torch.bool)
    repeated[:, 1:] = labels[:, 1:] == labels[:, :-1]
    scores = torch.where(repeated | (labels == n_labels), -torch.inf, scores.gather(1, paths))
    by_best = scores.sort(dim=1, descending=True, stable=True)
    shortlisted_scores = by_best.values[:, :size]
    valid = shortlisted_scores > -torch.inf
    shortlisted = torch.where(valid, labels.gather(1, by_best.indices[:, :size]), n_labels)
    shortlisted_paths = torch.where(valid, paths.gather(1, by_best.indices[:, :size]), 0)

    rows = torch.arange(n, device=labels.device)
    wide = n_labels + 1
    true_keys = torch.repeat_interleave(rows, batch.true_indptr.diff()) * wide + batch.true_labels
    all_keys = torch.where(repeated, rows[:, None] * wide + n_labels, rows[:, None] * wide + labels).view(-1)
    order = all_keys.sort(stable=True)
    at = torch.searchsorted(order.values, true_keys).clamp(max=max(len(order.values) - 1, 0))
    reached = order.values[at] == true_keys
    true_paths = torch.where(reached, paths.reshape(-1)[order.indices[at]], -1)
    targets = torch.isin(rows[:, None] * wide + shortlisted, true_keys)
    return Shortlist(shortlisted, shortlisted_paths, shortlisted_scores, targets, true_paths)


def path_scores(log_clusters: Tensor, clusters: Tensor, log_entries: Tensor, rows: Tensor, paths: Tensor) -> Tensor:
    """log s + log a of paths; `rows` and `paths` have one shape, path = position in the beam · width + column.

    log_clusters, clusters : (n, w) of the beam. log_entries : (C, width).
    """
    width = log_entries.shape[1]
    at = rows * clusters.shape[1] + torch.div(paths, width, rounding_mode="floor")
    return log_clusters.reshape(-1)[at] + log_entries.reshape(-1)[clusters.reshape(-1)[at] * width + paths % width]


@torch.no_grad()
def score(model: EliasModel, embedding: Tensor, batch: Batch, beam: int, size: int) -> tuple[Tensor, Tensor]:
    """(n, K) label ids (n_labels: padding) and p = s · a · σ(z) in float32, unsorted, for (n, D) embeddings."""
    logits = model.cluster_logits(embedding)
    clusters = beam_search(logits, beam)
    log_clusters = log_cluster_scores(logits, model.alpha).gather(1, clusters)
    log_entries = model.log_entries()
    shortlisted = shortlist(clusters, log_clusters, model.entries, log_entries, size, model.n_labels, batch)
    z = gather_dot(embedding, model.label_weight, model.label_bias, shortlisted.labels)
    return shortlisted.labels, (shortlisted.scores + F.logsigmoid(z)).exp()
