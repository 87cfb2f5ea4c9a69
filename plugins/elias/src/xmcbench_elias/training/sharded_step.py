"""One batch over several processes; `network.sharded` says what is exchanged."""

from __future__ import annotations

import torch

from xmcbench.tables.ops import gather_dot, on_cpu
from xmcbench_elias.network.batches import Batch
from xmcbench_elias.network.exchanges import all_rows, summed, summed_gradient
from xmcbench_elias.network.model import log_cluster_scores
from xmcbench_elias.network.sharded import ShardedModel
from xmcbench_elias.params import Settled, Sizes
from xmcbench_elias.search.merging import divided_shortlist, shortlist_size
from xmcbench_elias.search.search import Part, path_scores
from xmcbench_elias.training.loss import shortlist_loss
from xmcbench_elias.training.path_loss import path_loss
from xmcbench_elias.training.step import Losses, path_loss_torch, teacher_forced


def sharded_step(
    model: ShardedModel, batch: Batch, owners: torch.Tensor, params: Settled, size: Sizes, generator: torch.Generator
) -> Losses:
    """`step.train_step` over several processes, with the same result; `batch` and `owners` (L,) are of all labels."""
    ranks, n_rows = model.shard.ranks, batch.n_rows
    embedding = summed_gradient(model.encoder(batch.inputs, params.dropout, generator), ranks)
    rows = model.shard.rows(n_rows)
    logits = model.cluster_logits(embedding[rows])
    is_bad = ~logits.isfinite().all()
    if bool(ranks.largest(is_bad.to(torch.int32))):
        raise FloatingPointError("cluster scores are not finite")
    part = Part(rows, n_rows, ranks)
    forced = logits, model.alpha, batch.part(rows), owners, size.beam, params.extra, generator, part
    own_clusters = teacher_forced(*forced)
    own_scores = log_cluster_scores(logits, model.alpha).gather(1, own_clusters)
    clusters = all_rows(own_clusters, rows, n_rows, ranks)
    log_clusters = all_rows(own_scores, rows, n_rows, ranks)
    return sharded_losses(model, embedding, log_clusters, clusters, batch, size.shortlist, params.shortlist_weight)


def sharded_losses(
    model: ShardedModel,
    embedding: torch.Tensor,
    log_clusters: torch.Tensor,
    clusters: torch.Tensor,
    batch: Batch,
    size: int,
    weight: float,
) -> Losses:
    """`step.losses`: every process adds the losses of its labels."""
    own, log_entries = model.shard.batch(batch), model.log_entries()
    short = divided_shortlist(model, clusters, log_clusters, log_entries, size, own)
    columns = shortlist_size(model, clusters, size)
    z = gather_dot(embedding, model.label_weight, model.label_bias, short.labels)
    valid = short.labels < model.n_labels
    loss = path_loss if on_cpu(z) else path_loss_torch
    mean_of_own = loss(log_clusters, log_entries, z, clusters, short.paths, short.targets, valid)
    ranking_loss = mean_of_own * (z.shape[1] / columns)
    reached = short.true_paths >= 0
    true_rows, true_paths = own.true_rows()[reached], short.true_paths[reached]
    true_scores = path_scores(log_clusters, clusters, log_entries, true_rows, true_paths)
    search_loss = shortlist_loss(true_scores, max(batch.n_rows, 1))
    total = summed(ranking_loss + weight / columns * search_loss, model.shard.ranks)
    return Losses(total, (log_clusters.detach() == 0).float().mean())
