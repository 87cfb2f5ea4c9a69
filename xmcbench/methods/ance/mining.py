"""Hard negatives: the labels or documents near each document under the current encoder, and the cost of mining."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.dense.index import LabelIndex
from xmcbench.encoders.encoder import Rows
from xmcbench.methods.ance.dual import DualEncoder

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.methods.ance.params import Settled

CLUSTER_SIZE = 32  # documents per cluster: a sixteenth of a batch of 512, so that a batch stays mixed


@dataclass
class Mined:
    """The result of the last refresh, and the total cost of all refreshes.

    Attributes
    ----------
    labels : (N, pool) int32 nearest labels of each document, or None before the first refresh.
    clusters : (N,) int32 id of the cluster of near documents that each document is in, or None.
    """

    labels: NDArray[np.int32] | None = None
    clusters: NDArray[np.int32] | None = None
    cost: dict[str, Any] = field(default_factory=lambda: {"times": 0, "seconds": 0.0, "embedding": 0.0})

    def refresh(
        self, model: DualEncoder, rows: Rows, seen: NDArray[np.bool_], params: Settled, ctx: RunContext
    ) -> None:
        """Embed all documents, then cluster them or find the nearest labels among those marked in `seen` (L,)."""
        start = time.perf_counter()
        documents = model.embed_documents(rows, ctx.device, lambda done, total: ctx.check())
        if params.negatives == "cluster":
            self.cost["embedding"] += time.perf_counter() - start
            self.clusters = clusters_of(documents, ctx.seed(f"clusters {self.cost['times']}"))
        else:
            labels = model.embed_labels(ctx.device, lambda done, total: ctx.check())
            self.cost["embedding"] += time.perf_counter() - start
            index = LabelIndex(labels, seen, params.search, ctx.device)
            nearest = index.search(documents, params.pool, params.ef, ctx.device, lambda done, total: ctx.check())
            self.labels = nearest.ids
        self.cost["times"] += 1
        self.cost["seconds"] += time.perf_counter() - start

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays to save in a checkpoint."""
        arrays = {"labels": self.labels, "clusters": self.clusters}
        return {name: value for name, value in arrays.items() if value is not None}


def clusters_of(documents: NDArray[np.float32], seed: int) -> NDArray[np.int32]:
    """(N,) balanced clusters of about `CLUSTER_SIZE` near documents; their number is a power of two."""
    from xmcbench.sparse.clustering import balanced_clusters

    return balanced_clusters(documents, max_leaf=CLUSTER_SIZE, seed=seed)
