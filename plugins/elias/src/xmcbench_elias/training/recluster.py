"""Label centroids from a trained encoder, for re-clustering."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.encoders.encoder import Rows
from xmcbench_elias.network.embedding import embedded
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.source import PreparedRows

if TYPE_CHECKING:
    from xmcbench.context import RunContext

ROWS = 4096  # rows embedded at a time


def learned_centroids(model: EliasModel, train: PreparedRows, ctx: RunContext) -> sp.csr_matrix:
    """(L, D + d) centroids of [L2 φ ; L2 features] over each label's rows."""
    from xmcbench.sparse.csr import unit_rows

    data = train.data
    assert data.features is not None
    phi = embeddings(model, train.rows, ctx)
    phi /= np.maximum(np.linalg.norm(phi, axis=1, keepdims=True), 1e-12)
    centroids = [sp.csr_matrix(data.labels.T @ phi), data.labels.T @ unit_rows(data.features)]
    return sp.csr_matrix(sp.hstack(centroids, format="csr", dtype=np.float32))


def embeddings(model: EliasModel, rows: Rows, ctx: RunContext) -> NDArray[np.float32]:
    """(n, D) φ of all rows, without dropout."""
    parts = []
    for start in range(0, len(rows), ROWS):
        parts.append(embedded(model.encoder, rows, start, start + ROWS, ctx).cpu().numpy())
        ctx.progress(min(start + ROWS, len(rows)), len(rows))
    return np.concatenate(parts)
