"""From cluster scores to a shortlist of labels: beam, teacher forcing, best path to each label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numba import get_num_threads
from torch import Tensor

from xmcbench_elias import shortlist_kernels as kernels
from xmcbench_elias.batches import Batch
from xmcbench_elias.model import log_cluster_scores


@dataclass(frozen=True)
class Shortlist:
    """The K labels of best path score.

    Attributes
    ----------
    labels : (n, K) int64, n_labels at padding. paths : (n, K) int64, place in the beam · width + column.
    targets : (n, K) bool, is that label true?
    true_paths : (nnz,) int64, the path to each true label, −1 where there is none.
    """

    labels: Tensor
    paths: Tensor
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
) -> Tensor:
    """Training only: a beam that holds the true labels' clusters; no cluster twice in a row.

    The true clusters come first, then the beam; rows that are short of the longest are filled up with clusters not
    yet there, all equally likely. Past `beam + extra` clusters the beam's are sampled without replacement by their
    scores s = min(1, α · softmax), those of largest log s plus Gumbel noise; the true ones stay.

    Parameters
    ----------
    logits : (n, C) float, no gradient needed.
    alpha : α of the cluster scores.
    true_rows, true_clusters : (m,) int64 pairs; a pair may come twice.

    Returns
    -------
    (n, w) int64 distinct clusters; w ≤ beam + extra unless some row has more true clusters than that.
    """
    found = beam_search(logits, beam)
    drawn = torch.rand(found.shape, dtype=torch.float64, generator=generator, device=logits.device)
    keys = log_cluster_scores(logits, alpha).gather(1, found) - torch.log(-torch.log(drawn))
    found = found.gather(1, keys.argsort(dim=1))
    # Fillers are below 1 and the beam's places are whole numbers from 1 on: exact in float32, unlike a large offset.
    places = torch.arange(1.0, found.shape[1] + 1, device=logits.device).expand(found.shape)
    keys = torch.rand(logits.shape, generator=generator, device=logits.device).scatter_(1, found, places)
    first_true = found.shape[1] + 1
    keys[true_rows, true_clusters] = first_true + keys[true_rows, true_clusters]
    longest, most_true = ((keys >= least).sum(dim=1).max() for least in (1, first_true))
    width = max(min(beam + extra, int(longest)), int(most_true))
    return keys.topk(width, dim=1).indices


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
    out = (
        torch.empty(n, size, dtype=torch.int64),
        torch.empty(n, size, dtype=torch.int64),
        torch.empty(n, size, dtype=torch.bool),
        torch.empty(len(batch.true_labels), dtype=torch.int64),
    )
    given = (clusters.contiguous(), log_clusters.contiguous(), entries, log_entries)
    numbers = size, n_labels
    truth = batch.true_indptr.numpy(), batch.true_labels.numpy()
    run: Any = kernels.shortlist
    run(*(t.numpy() for t in given), *numbers, *truth, get_num_threads(), *(t.numpy() for t in out))
    return Shortlist(*out)


def by_sorting(
    clusters: Tensor, log_clusters: Tensor, entries: Tensor, log_entries: Tensor, size: int, n_labels: int, batch: Batch
) -> Shortlist:
    """The same in plain torch, for any device: three stable sorts instead of a table of L a row."""
    n = len(clusters)
    labels = entries[clusters].flatten(1)
    scores = (log_clusters[:, :, None] + log_entries[clusters]).flatten(1)
    scores = torch.where(labels < n_labels, scores, -torch.inf)
    by_score = scores.sort(dim=1, descending=True, stable=True).indices
    by_label = labels.gather(1, by_score).sort(dim=1, stable=True)
    paths = by_score.gather(1, by_label.indices)
    labels = by_label.values
    again = torch.zeros_like(labels, dtype=torch.bool)
    again[:, 1:] = labels[:, 1:] == labels[:, :-1]
    scores = torch.where(again | (labels == n_labels), -torch.inf, scores.gather(1, paths))
    kept = scores.sort(dim=1, descending=True, stable=True)
    found = kept.values[:, :size] > -torch.inf
    shown = torch.where(found, labels.gather(1, kept.indices[:, :size]), n_labels)
    shown_paths = torch.where(found, paths.gather(1, kept.indices[:, :size]), 0)

    rows = torch.arange(n, device=labels.device)
    wide = n_labels + 1
    true_keys = torch.repeat_interleave(rows, batch.true_indptr.diff()) * wide + batch.true_labels
    all_keys = torch.where(again, rows[:, None] * wide + n_labels, rows[:, None] * wide + labels).view(-1)
    order = all_keys.sort(stable=True)
    at = torch.searchsorted(order.values, true_keys).clamp(max=max(len(order.values) - 1, 0))
    reached = order.values[at] == true_keys
    true_paths = torch.where(reached, paths.reshape(-1)[order.indices[at]], -1)
    targets = torch.isin(rows[:, None] * wide + shown, true_keys)
    return Shortlist(shown, shown_paths, targets, true_paths)
