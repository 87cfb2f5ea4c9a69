"""What labels look like to a trained encoder: clusters can be made anew from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.encoders.encoder import Rows
from xmcbench_elias.embedding import embedded
from xmcbench_elias.model import EliasModel
from xmcbench_elias.source import Ready

if TYPE_CHECKING:
    from xmcbench.context import RunContext

ROWS = 4096  # embedded at a time


def learned_centroids(model: EliasModel, train: Ready, ctx: RunContext) -> sp.csr_matrix:
    """(L, D + d) centroids of [L2 φ ; L2 features] over each label's rows: what re-clustering looks at."""
    from xmcbench.sparse.csr import unit_rows

    data = train.data
    assert data.features is not None
    phi = embeddings(model, train.rows, ctx)
    phi /= np.maximum(np.linalg.norm(phi, axis=1, keepdims=True), 1e-12)
    both = [sp.csr_matrix(data.labels.T @ phi), data.labels.T @ unit_rows(data.features)]
    return sp.csr_matrix(sp.hstack(both, format="csr", dtype=np.float32))


def embeddings(model: EliasModel, rows: Rows, ctx: RunContext) -> NDArray[np.float32]:
    """(n, D) φ of every row, without dropout."""
    found = []
    for start in range(0, len(rows), ROWS):
        found.append(embedded(model.encoder, rows, start, start + ROWS, ctx).cpu().numpy())
        ctx.progress(min(start + ROWS, len(rows)), len(rows))
    return np.concatenate(found)
