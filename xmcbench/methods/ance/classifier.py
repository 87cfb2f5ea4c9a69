"""A classifier on top of a dual encoder: one weight vector a label, told apart on the encoder's own shortlists.

Encoder and index stay as they are; label weights start from the label embeddings and learn what of a label's training
rows its text doesn't tell (as NGAME and SiameseXML train theirs). A row's labels are then the nearest ones, ranked by
similarity and margin together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.errors import Diverged
from xmcbench.methods.ance.losses import loss_of
from xmcbench.methods.ance.training import HINT
from xmcbench.sparse.topk import best_of
from xmcbench.tables.ops import gather_dot
from xmcbench.tables.optim import Optimisers, warm_then_linear
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.methods.ance.params import Settled

NAME = "classifier"


class Classifier:
    """Margins w · φ + b. weight : (L, D) float32. bias : (L,) float32."""

    def __init__(self, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        self.weight, self.bias = torch.from_numpy(weight), torch.from_numpy(bias)

    def rerank(self, documents: NDArray[np.float32], near: TopK, temperature: float, k: int) -> TopK:
        """The k of each row's nearest labels with the largest mean of similarity / temperature and margin."""
        ids = torch.from_numpy(np.where(near.ids == PAD, len(self.weight), near.ids).astype(np.int64))
        with torch.inference_mode():
            margins = gather_dot(torch.from_numpy(documents), self.weight, self.bias, ids).numpy()
        return best_of(near.ids, np.where(near.ids == PAD, -np.inf, (near.scores / temperature + margins) / 2), k)


def train_classifier(
    documents: NDArray[np.float32],
    labels: sp.csr_matrix,
    embeddings: NDArray[np.float32],
    shortlists: NDArray[np.int32],
    params: Settled,
    ctx: RunContext,
) -> Classifier:
    """Train one on (N, D) embedded rows and their (N, K) shortlists; kept in a checkpoint once it is done.

    A label that no shortlist holds keeps the margin it starts with, which is its similarity / temperature.

    Raises
    ------
    Diverged : the loss is not finite.
    """
    kept = ctx.checkpoints.load(NAME)
    if kept is not None:
        return Classifier(kept[0]["weight"], kept[0]["bias"])
    weight = torch.nn.Parameter(torch.from_numpy(embeddings / np.float32(params.temperature)).to(ctx.device))
    bias = torch.nn.Parameter(torch.zeros(len(embeddings), device=ctx.device))
    # No decay: weights start where they should stay unless rows say otherwise.
    optimiser = Optimisers([(weight, params.table_rate)], [{"params": [bias], "lr": params.rate}], 0.0)
    steps = -(-len(documents) // params.batch)
    rng, total = ctx.rng(NAME), 0.0
    for step in range(params.epochs * steps):
        if step % steps == 0:
            order, total = rng.permutation(len(documents)), 0.0
        which = order[step % steps * params.batch :][: params.batch]
        ids, rows, columns = told_apart(shortlists[which], labels[which])
        names, row, column = (torch.from_numpy(x).to(ctx.device) for x in (ids, rows, columns))
        z = gather_dot(torch.from_numpy(documents[which]).to(ctx.device), weight, bias, names)
        z = torch.where(names < len(weight), z, -1e4)
        loss = loss_of(z, row, column, "decoupled", 0.0, 1)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(warm_then_linear(step, params.epochs * steps))
        total += float(loss.detach())
        shown = total / (step % steps + 1)
        if not np.isfinite(shown):
            raise Diverged(f"{NAME}, step {step + 1}: the loss is {shown}", HINT)
        ctx.progress(step + 1, params.epochs * steps, f"epoch {step // steps + 1}/{params.epochs} loss {shown:.4f}")
    optimiser.settle()
    found = {"weight": weight.detach().cpu().numpy(), "bias": bias.detach().cpu().numpy()}
    ctx.checkpoints.save(NAME, found)
    return Classifier(**found)


def told_apart(
    shortlists: NDArray[np.int32], labels: sp.csr_matrix
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Shortlists with every true label in them: (n, K') int64 ids padded with L, and the places that are true.

    True labels come first, then what of the shortlist isn't true.
    """
    n, n_labels = labels.shape
    counts = np.diff(labels.indptr)
    most = int(counts.max(initial=0))
    rows = np.repeat(np.arange(n), counts)
    columns = np.arange(len(rows)) - labels.indptr[rows]
    ids = np.full((n, most + shortlists.shape[1]), n_labels, np.int64)
    ids[rows, columns] = labels.indices
    true = np.isin(
        np.arange(n)[:, None] * (n_labels + 1) + shortlists, rows * (n_labels + 1) + labels.indices.astype(np.int64)
    )
    ids[:, most:] = np.where(true | (shortlists == PAD), n_labels, shortlists)
    return ids, rows, columns
