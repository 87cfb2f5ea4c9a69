"""Search over several processes: each shortlists and scores its labels, then the lists are merged."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xmcbench.errors import DataError
from xmcbench.sparse.topk import best_of
from xmcbench.tables.ops import gather_dot, on_cpu
from xmcbench.topk import PAD, TopK
from xmcbench_elias.network.batches import Batch, embedded_batch
from xmcbench_elias.network.exchanges import all_rows
from xmcbench_elias.network.model import log_cluster_scores
from xmcbench_elias.network.sharded import Shard, ShardedModel
from xmcbench_elias.search.kernels import top_clusters
from xmcbench_elias.search.search import Shortlist, beam_search, shortlist


def shortlist_size(model: ShardedModel, clusters: Tensor, size: int) -> int:
    """K: the number of columns of a shortlist of all labels, as of `search.shortlist` in one process."""
    reached: int = clusters.shape[1] * model.width
    return max(1, min(size, reached, model.shard.n_labels))


def divided_shortlist(
    model: ShardedModel, clusters: Tensor, log_clusters: Tensor, log_entries: Tensor, size: int, batch: Batch
) -> Shortlist:
    """This process's part of the shortlist of all labels, by the numbers of its model; at most K columns.

    Parameters
    ----------
    clusters, log_clusters : (n, w) of all rows. log_entries : (C, width) of `model`.
    batch : rows with their true labels of this process.
    """
    index = model.entries, log_entries.detach()
    size = shortlist_size(model, clusters, size)
    short = shortlist(clusters, log_clusters.detach(), *index, size, model.n_labels, batch)
    if size == min(clusters.shape[1] * model.width, model.shard.n_labels):  # of all labels that the beams lead to
        return short
    kept = among_best(short.scores, short.labels, size, model.shard)
    return Shortlist(
        torch.where(kept, short.labels, model.n_labels),
        torch.where(kept, short.paths, 0),
        torch.where(kept, short.scores, -torch.inf),
        short.targets & kept,
        short.true_paths,
    )


def among_best(scores: Tensor, labels: Tensor, size: int, shard: Shard) -> Tensor:
    """(n, k) bool: which of this process's labels are among the `size` best of all (ties: lower id first).

    For its share of the rows, each process finds the last of these labels in one order of whole numbers.
    scores : (n, k ≤ size) float32, −inf at padding. labels : (n, k) int64, numbers of this process's model.
    """
    ranks, n_rows = shard.ranks, len(scores)
    shares = [shard.rows_of(n_rows, rank) for rank in range(ranks.count)]
    keys = ordered(scores, shard.global_ids(labels))
    padded = F.pad(keys, (0, size - keys.shape[1]), value=torch.iinfo(torch.int64).min)
    of_rows = ranks.dealt(padded, shares).permute(1, 0, 2).flatten(1)
    last = of_rows.kthvalue(of_rows.shape[1] - size + 1, dim=1, keepdim=True).values
    return (scores > -torch.inf) & (keys >= all_rows(last, shares[ranks.rank], n_rows, ranks))


def ordered(scores: Tensor, ids: Tensor) -> Tensor:
    """int64 numbers in the order of float32 scores, those of equal scores from the highest id to the lowest."""
    bits = (scores + 0.0).view(torch.int32)  # −0.0 + 0.0 is 0.0
    ascending = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # of negative numbers all bits but the sign are the other way round
    return (ascending.long() << 32) - ids


@torch.no_grad()
def by_processes(model: ShardedModel, embedding: Tensor, k: int, beam: int, size: int) -> TopK:
    """The k best labels for (n, D) embeddings, the same in all processes; each scores its part of the shortlist."""
    shard, n_rows = model.shard, len(embedding)
    rows = shard.rows(n_rows)
    own_clusters, own_scores = beams(model.cluster_logits(embedding[rows]), beam, model.alpha)
    clusters = all_rows(own_clusters, rows, n_rows, shard.ranks)
    log_clusters = all_rows(own_scores, rows, n_rows, shard.ranks)
    log_entries = model.log_entries()
    no_labels = embedded_batch(n_rows, str(embedding.device))
    short = divided_shortlist(model, clusters, log_clusters, log_entries, size, no_labels)
    z = gather_dot(embedding, model.label_weight, model.label_bias, short.labels)
    ids = torch.where(short.labels < model.n_labels, shard.global_ids(short.labels), PAD)
    p = (short.scores + F.logsigmoid(z)).exp()
    k = min(k, shortlist_size(model, clusters, size))
    return merged(TopK.from_arrays(ids.cpu().numpy(), p.cpu().numpy(), k), k, shard)


def beams(logits: Tensor, beam: int, alpha: float) -> tuple[Tensor, Tensor]:
    """(n, b) int64 clusters of largest logit, best first, and log s; on a CPU, ties are in the order of `Searcher`."""
    if not on_cpu(logits):
        clusters = beam_search(logits, beam)
        return clusters, log_cluster_scores(logits, alpha).gather(1, clusters)
    shape = len(logits), min(beam, logits.shape[1])
    ids, scores = np.zeros(shape, np.int64), np.full(shape, np.nan, np.float32)
    for own, own_ids, own_scores in zip(logits.numpy(), ids, scores, strict=True):
        if not top_clusters(own, shape[1], np.float32(math.log(alpha)), own_ids, own_scores):
            raise DataError("predictions: a row has cluster scores that are not finite", "Check its features.")
    return torch.from_numpy(ids), torch.from_numpy(scores)


def merged(top: TopK, k: int, shard: Shard) -> TopK:
    """The k best labels of all processes, from the best of each."""
    empty = ((0, 0), (0, k - top.ids.shape[1]))
    ids = torch.from_numpy(np.pad(top.ids, empty, constant_values=PAD))
    scores = torch.from_numpy(np.pad(top.scores, empty, constant_values=-np.inf))
    all_ids, all_scores = (shard.ranks.stacked(part).permute(1, 0, 2).flatten(1) for part in (ids, scores))
    return best_of(all_ids.numpy(), all_scores.numpy(), k)
