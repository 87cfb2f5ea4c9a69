"""All labels by embedding: searched exactly, or by a graph where there are many and faiss is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xmcbench.dense.ann import Hnsw, recall
from xmcbench.dense.exact import nearest
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from torch import Tensor

How = Literal["auto", "exact", "hnsw"]
MANY = 200_000  # labels from which `auto` takes the graph; ours, not measured
BLOCK = 4096  # queries a call of the graph, so that Ctrl-C and deadlines come through


class LabelIndex:
    """Labels that can be predicted, and how they are searched.

    Parameters
    ----------
    embeddings : (L, D) float32.
    known : (L,) bool, labels that can be predicted; others are never found.
    how : exact, hnsw, or auto, see `choice`. The graph lives on the CPU. device : where exact search will be done.
    """

    def __init__(
        self, embeddings: NDArray[np.float32], known: NDArray[np.bool_], how: How, device: str = "cpu"
    ) -> None:
        everything = bool(known.all())
        self.ids = np.flatnonzero(known).astype(np.int32)
        self.vectors = np.ascontiguousarray(embeddings if everything else embeddings[known], np.float32)
        self.how = choice(how, len(self.ids), device)
        self.graph = Hnsw(self.vectors) if self.how == "hnsw" else None
        self._moved: dict[str, Tensor] = {}  # by device: moved once, not once a query

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        ef: int,
        device: str = "cpu",
        progress: Callable[[int, int], None] | None = None,
    ) -> TopK:
        """The k labels of largest inner product with each of (n, D) float32 queries; fewer where there are fewer.

        ef : candidates the graph keeps on its way. progress : told queries done and queries in all.
        """
        k = min(k, len(self.ids))
        if self.graph is None:
            return self._named(nearest(queries, self._on(device), k, device=device, progress=progress))
        ids, scores = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.float32)
        for start in range(0, len(queries), BLOCK):
            part = slice(start, start + BLOCK)
            found = self.graph.search(queries[part], k, ef)
            ids[part], scores[part] = found.ids, found.scores
            if progress is not None:
                progress(min(start + BLOCK, len(queries)), len(queries))
        return self._named(TopK(ids, scores))

    def _on(self, device: str) -> NDArray[np.float32] | Tensor:
        if device == "cpu":
            return self.vectors
        if device not in self._moved:
            import torch

            self._moved[device] = torch.from_numpy(self.vectors).to(device)
        return self._moved[device]

    def recall(self, queries: NDArray[np.float32], k: int, ef: int) -> float:
        """Share of the k truly nearest labels that a search finds; 1 where it is exact."""
        if self.graph is None:
            return 1.0
        return recall(self.search(queries, k, ef), self._named(nearest(queries, self.vectors, min(k, len(self.ids)))))

    def _named(self, found: TopK) -> TopK:
        """Places among the known labels as label ids, whose order is the same."""
        ids = found.ids if not len(self.ids) else np.where(found.ids >= 0, self.ids[found.ids], -1).astype(np.int32)
        return TopK(ids, found.scores)


def choice(how: How, n_labels: int, device: str = "cpu") -> Literal["exact", "hnsw"]:
    """What `auto` means: the graph from `MANY` labels on, on a CPU where faiss is installed; a GPU needs none."""
    if how == "auto":
        many = n_labels >= MANY and device == "cpu"
        return "hnsw" if many and find_spec("faiss") is not None else "exact"
    return how
