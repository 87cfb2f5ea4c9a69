"""Predictions of a trained model, batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from xmcbench.encoders.encoder import Rows
from xmcbench.topk import PAD, TopK
from xmcbench_elias.network.batches import embedded, embedded_batch
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.sharded import ShardedModel
from xmcbench_elias.search.merging import by_processes
from xmcbench_elias.search.search import score
from xmcbench_elias.search.searcher import Searcher

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext

CELLS = 1 << 22  # rows · (clusters + beam paths) per batch: some tens of megabytes
SHARE = "share of the shortlist scored"  # key of the note: by k, of the last predictions


def predict(
    model: EliasModel,
    rows: Rows,
    k: int,
    beam: int,
    shortlist: int,
    ctx: RunContext,
    searcher: Searcher | None = None,
) -> TopK:
    """The k best labels of each row's shortlist; fewer columns if the shortlist is shorter than k.

    On the CPU a `Searcher` is used, built here unless one for the current weights is given; elsewhere `by_torch`, and
    over several processes `by_processes`.
    """
    n_rows, on_cpu = len(rows), ctx.device == "cpu"
    if on_cpu and searcher is None and not isinstance(model, ShardedModel):
        searcher = Searcher(model)
    clusters = len(model.entries)
    width = model.width if isinstance(model, ShardedModel) else model.entries.shape[1]
    step = max(1, CELLS // (clusters if searcher is not None else clusters + min(beam, clusters) * width))
    ids, scores, scored, shortlisted = [], [], 0, 0
    for start in range(0, max(n_rows, 1), step):
        phi = embedded(model.encoder, rows, start, start + step, ctx)
        if isinstance(model, ShardedModel):
            top = by_processes(model, phi, k, beam, shortlist)
        elif searcher is None:
            top = by_torch(model, phi, k, beam, shortlist)
        else:
            search_result = searcher(phi.numpy(), k, beam, shortlist)
            top = TopK(search_result.ids, search_result.scores)
            scored += int(search_result.scored.sum())
            shortlisted += int(search_result.shortlisted.sum())
        ids.append(top.ids)
        scores.append(top.scores)
        ctx.progress(min(start + step, n_rows), max(n_rows, 1))
    if shortlisted and k < shortlist:  # with k ≥ shortlist all labels are scored
        ctx.note(SHARE, {**ctx.notes.get(SHARE, {}), str(k): round(scored / shortlisted, 4)})
    return TopK(np.concatenate(ids), np.concatenate(scores))


def by_torch(model: EliasModel, embedding: Tensor, k: int, beam: int, shortlist: int) -> TopK:
    """Predictions for (n, D) embeddings by scoring the whole shortlist on the model's device."""
    batch = embedded_batch(len(embedding), str(embedding.device))
    shortlisted, p = score(model, embedding, batch, beam, shortlist)
    labels = shortlisted.cpu().numpy()
    return TopK.from_arrays(np.where(labels < model.n_labels, labels, PAD), p.cpu().numpy(), k)


def validation_score(top: TopK, labels: sp.csr_matrix) -> float:
    """nDCG@k over rows with labels, k being the number of columns; 0 if no row has labels. Used to select epochs."""
    n, k = top.ids.shape
    counts = np.diff(labels.indptr)
    wide = labels.shape[1] + 1
    true = np.repeat(np.arange(n), counts) * wide + labels.indices
    hits = np.isin(np.arange(n)[:, None] * wide + top.ids, true) & (top.ids != PAD)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(counts, k)]
    labelled = counts > 0
    return float(((hits @ discount)[labelled] / ideal[labelled]).mean()) if k and labelled.any() else 0.0
