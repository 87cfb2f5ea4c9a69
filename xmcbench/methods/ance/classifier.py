"""A classifier on top of a dual encoder: one weight vector per label, trained on the encoder's shortlists.

Encoder and index stay fixed. Label weights are initialised with the label embeddings and learn from the training rows
what the label texts lack (as in NGAME and SiameseXML). The nearest labels of a row are then ranked by the mean of
similarity and margin.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.methods.ance.params import Settled
from xmcbench.methods.ance.steps import FAR, loss_of
from xmcbench.methods.ance.training import HINT
from xmcbench.methods.helpers import Arrays, checkpointed
from xmcbench.methods.training import Batch, Loop
from xmcbench.sparse.topk import best_of
from xmcbench.tables.ops import gather_dot
from xmcbench.tables.optim import Optimisers, warm_then_linear
from xmcbench.topk import PAD, TopK

NAME = "classifier"


class Classifier:
    """Margins w · φ + b. weight : (L, D) float32. bias : (L,) float32."""

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self.weight, self.bias = torch.from_numpy(weight), torch.from_numpy(bias)

    def rerank(self, documents: NDArray[np.float32], nearest: TopK, temperature: float, k: int) -> TopK:
        """The k labels of `nearest`, per row, with the largest mean of similarity / temperature and margin."""
        ids = torch.from_numpy(np.where(nearest.ids == PAD, len(self.weight), nearest.ids).astype(np.int64))
        with torch.inference_mode():
            margins = gather_dot(torch.from_numpy(documents), self.weight, self.bias, ids).numpy()
        return best_of(
            nearest.ids, np.where(nearest.ids == PAD, -np.inf, (nearest.scores / temperature + margins) / 2), k
        )


def train_classifier(
    documents: NDArray[np.float32],
    labels: sp.csr_matrix,
    embeddings: NDArray[np.float32],
    shortlists: NDArray[np.int32],
    params: Settled,
    ctx: RunContext,
) -> Classifier:
    """Train on (N, D) embedded rows and their (N, K) shortlists; the result is saved in a checkpoint.

    A label in no shortlist keeps its initial margin, similarity / temperature. Diverged if the loss is not finite.
    """

    def trained() -> Arrays:
        weight = torch.nn.Parameter(torch.from_numpy(embeddings / np.float32(params.temperature)).to(ctx.device))
        bias = torch.nn.Parameter(torch.zeros(len(embeddings), device=ctx.device))

        def loss(_: int, batch: Batch) -> torch.Tensor:
            ids, rows, columns = told_apart(shortlists[batch], labels[batch])
            candidates, row, column = (torch.from_numpy(x).to(ctx.device) for x in (ids, rows, columns))
            z = gather_dot(torch.from_numpy(documents[batch]).to(ctx.device), weight, bias, candidates)
            return loss_of(torch.where(candidates < len(weight), z, FAR), row, column, "decoupled", 0.0, 1)

        # No decay: weights should stay at their initial values unless the rows move them.
        optimiser = Optimisers([(weight, params.table_rate)], [{"params": [bias], "lr": params.rate}], 0.0)
        steps, rng = -(-len(documents) // params.batch), ctx.rng(NAME)
        rate = partial(warm_then_linear, total=params.epochs * steps)
        loop = Loop(NAME, steps, optimiser, rate, ctx, HINT)
        for epoch in range(params.epochs):
            order = rng.permutation(len(documents))
            batches = (order[start : start + params.batch] for start in range(0, len(order), params.batch))
            loop.epoch(epoch, params.epochs, batches, loss)
        return {"weight": weight.detach().cpu().numpy(), "bias": bias.detach().cpu().numpy()}

    return Classifier(**checkpointed(ctx.checkpoints, NAME, trained))


def told_apart(
    shortlists: NDArray[np.int32], labels: sp.csr_matrix
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Merge true labels into shortlists: (n, K') int64 ids padded with L, and rows and columns of the true labels.

    True labels come first, then the other labels of the shortlist.
    """
    n, n_labels = labels.shape
    counts = np.diff(labels.indptr)
    width = int(counts.max(initial=0))
    rows = np.repeat(np.arange(n), counts)
    columns = np.arange(len(rows)) - labels.indptr[rows]
    ids = np.full((n, width + shortlists.shape[1]), n_labels, np.int64)
    ids[rows, columns] = labels.indices
    true = np.isin(
        np.arange(n)[:, None] * (n_labels + 1) + shortlists, rows * (n_labels + 1) + labels.indices.astype(np.int64)
    )
    ids[:, width:] = np.where(true | (shortlists == PAD), n_labels, shortlists)
    return ids, rows, columns
