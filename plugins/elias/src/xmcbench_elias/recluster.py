"""What labels look like to a trained encoder: clusters can be made anew from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench_elias.batches import make_batch
from xmcbench_elias.model import EliasModel

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import TrainData

ROWS = 4096  # embedded at a time


def learned_centroids(model: EliasModel, train: TrainData, ctx: RunContext) -> sp.csr_matrix:
    """(L, D + d) centroids of [L2 φ ; L2 features] over each label's rows: what re-clustering looks at."""
    from xmcbench.sparse.csr import unit_rows

    assert train.features is not None
    phi = embeddings(model, train, ctx)
    phi /= np.maximum(np.linalg.norm(phi, axis=1, keepdims=True), 1e-12)
    both = [sp.csr_matrix(train.labels.T @ phi), train.labels.T @ unit_rows(train.features)]
    return sp.csr_matrix(sp.hstack(both, format="csr", dtype=np.float32))


@torch.no_grad()
def embeddings(model: EliasModel, train: TrainData, ctx: RunContext) -> NDArray[np.float32]:
    """(n, D) φ of every row, without dropout."""
    assert train.features is not None
    found = []
    for start in range(0, train.n_rows, ROWS):
        batch = make_batch(train.features, None, slice(start, start + ROWS), ctx.device)
        found.append(model.encoder(batch).float().cpu().numpy())
        ctx.progress(min(start + ROWS, train.n_rows), train.n_rows)
    return np.concatenate(found)
