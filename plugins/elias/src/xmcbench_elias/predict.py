"""Predictions of a trained model, a few thousand rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from xmcbench.encoders.encoder import Rows
from xmcbench.topk import PAD, TopK
from xmcbench_elias.batches import embedded_batch
from xmcbench_elias.embedding import embedded
from xmcbench_elias.model import EliasModel
from xmcbench_elias.searcher import Searcher
from xmcbench_elias.step import score

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext

CELLS = 1 << 22  # rows · (clusters + beam paths) at a time: some tens of megabytes
SHARE = "share of the shortlist scored"  # the note: by k, of the last predictions with it


def predict(
    model: EliasModel,
    rows: Rows,
    k: int,
    beam: int,
    shortlist: int,
    ctx: RunContext,
    searcher: Searcher | None = None,
) -> TopK:
    """The k best labels of each row among its shortlist; fewer columns where the shortlist is shorter than k.

    On the CPU by a `Searcher`, made here unless one of these very weights is given; elsewhere by torch (`rank`).
    """
    n_rows, on_cpu = len(rows), ctx.device == "cpu"
    if on_cpu and searcher is None:
        searcher = Searcher(model)
    clusters, width = model.entries.shape
    step = max(1, CELLS // (clusters if on_cpu else clusters + min(beam, clusters) * width))
    ids, scores, scored, shortlisted = [], [], 0, 0
    for start in range(0, max(n_rows, 1), step):
        phi = embedded(model.encoder, rows, start, start + step, ctx)
        if searcher is None:
            part = by_torch(model, phi, k, beam, shortlist)
        else:
            found = searcher(phi.numpy(), k, beam, shortlist)
            part = TopK(found.ids, found.scores)
            scored, shortlisted = scored + int(found.scored.sum()), shortlisted + int(found.shortlisted.sum())
        ids.append(part.ids)
        scores.append(part.scores)
        ctx.progress(min(start + step, n_rows), max(n_rows, 1))
    if shortlisted and k < shortlist:  # else nothing is left to stop before
        ctx.note(SHARE, {**ctx.notes.get(SHARE, {}), str(k): round(scored / shortlisted, 4)})
    return TopK(np.concatenate(ids), np.concatenate(scores))


def by_torch(model: EliasModel, embedding: Tensor, k: int, beam: int, shortlist: int) -> TopK:
    """Of rows embedded as (n, D), the whole shortlist scored on the model's device."""
    batch = embedded_batch(len(embedding), str(embedding.device))
    found, p = score(model, embedding, batch, beam, shortlist)
    labels = found.cpu().numpy()
    return TopK.from_arrays(np.where(labels < model.n_labels, labels, PAD), p.cpu().numpy(), k)


def validation_score(top: TopK, labels: sp.csr_matrix) -> float:
    """nDCG@k of predictions, k = their columns, over rows that have labels, 0 without any: selects epochs."""
    n, k = top.ids.shape
    counts = np.diff(labels.indptr)
    wide = labels.shape[1] + 1
    true = np.repeat(np.arange(n), counts) * wide + labels.indices
    hits = np.isin(np.arange(n)[:, None] * wide + top.ids, true) & (top.ids != PAD)
    discount = 1 / np.log2(np.arange(2, k + 2))
    best = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(counts, k)]
    labelled = counts > 0
    return float(((hits @ discount)[labelled] / best[labelled]).mean()) if k and labelled.any() else 0.0
