"""Search over label embeddings: exact, or by inverted lists where there are many labels; on request by faiss's graph.

Exact search on a CPU has two ways: by matrix products, and for a few queries by `Coarse`, which reads less memory.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from xmcbench.dense.ann import Hnsw, recall
from xmcbench.dense.coarse import LARGEST, Coarse
from xmcbench.dense.exact import FEW, SMALL, nearest
from xmcbench.dense.lists import Lists
from xmcbench.method import Progress
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from torch import Tensor

How = Literal["auto", "exact", "hnsw", "lists"]
MANY = 200_000  # number of labels from which `auto` uses lists; see docs/dense.md
BLOCK = 4096  # queries per call of the graph or of lists: Ctrl-C and the deadline are checked between calls


class LabelIndex:
    """Search index over the labels that can be predicted.

    Parameters
    ----------
    embeddings : (L, D) float32.
    known : (L,) bool, labels that can be predicted; the others are never returned.
    how : exact, hnsw, lists, or auto, see `choice`. Graph and lists run on the CPU. device : where exact search will
        run.
    """

    def __init__(
        self, embeddings: NDArray[np.float32], known: NDArray[np.bool_], how: How, device: str = "cpu"
    ) -> None:
        self.ids = np.flatnonzero(known).astype(np.int32)
        self.how = choice(how, len(self.ids), device)
        self.lists = Lists(embeddings, known) if self.how == "lists" and len(self.ids) else None
        if self.lists is not None:
            self.ids, self.vectors = self.lists.ids, self.lists.vectors
        else:
            all_known = len(self.ids) == len(known)
            self.vectors = np.ascontiguousarray(embeddings if all_known else embeddings[known], np.float32)
        self.graph = Hnsw(self.vectors) if self.how == "hnsw" else None
        self._coarse: Coarse | None = None  # made at the first use
        self._on_device: dict[str, Tensor] = {}  # device → label vectors, moved there once

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        ef: int,
        device: str = "cpu",
        progress: Progress | None = None,
    ) -> TopK:
        """The k labels of largest inner product with each of (n, D) float32 queries; fewer columns if fewer are known.

        ef : number of candidates the graph keeps during its search; lists compare 64 times as many.
        progress : called with (queries done, n).
        """
        k = min(k, len(self.ids))
        approximate = self.graph or self.lists
        if approximate is None and device == "cpu" and self._reads_memory(queries):
            self._coarse = self._coarse or Coarse(self.vectors)
            return self._with_label_ids(self._coarse.search(queries, k))
        if approximate is None:
            return self._with_label_ids(nearest(queries, self._vectors_on(device), k, device=device, progress=progress))
        out = TopK.padding(len(queries), k)
        for start in range(0, len(queries), BLOCK):
            part = slice(start, start + BLOCK)
            top = approximate.search(queries[part], k, ef)
            out.ids[part], out.scores[part] = top.ids, top.scores
            if progress is not None:
                progress(min(start + BLOCK, len(queries)), len(queries))
        return out if self.lists is not None else self._with_label_ids(out)

    def _reads_memory(self, queries: NDArray[np.float32]) -> bool:
        """Whether reading the labels takes most of the time, and `Coarse` can have these numbers; false for NaN."""
        few = len(queries) < FEW and self.vectors.size >= SMALL
        return few and self._moderate and bool((np.abs(queries) < LARGEST).all())

    @cached_property
    def _moderate(self) -> bool:
        return bool((np.abs(self.vectors) < LARGEST).all())

    def _vectors_on(self, device: str) -> NDArray[np.float32] | Tensor:
        if device == "cpu":
            return self.vectors
        if device not in self._on_device:
            import torch

            self._on_device[device] = torch.from_numpy(self.vectors).to(device)
        return self._on_device[device]

    def recall(self, queries: NDArray[np.float32], k: int, ef: int) -> float:
        """Share of the k truly nearest labels that `search` finds; 1 for exact search."""
        if self.graph is None and self.lists is None:
            return 1.0
        exact = self._with_label_ids(nearest(queries, self.vectors, min(k, len(self.ids))))
        return recall(self.search(queries, k, ef), exact)

    def _with_label_ids(self, top: TopK) -> TopK:
        """Replace positions in `ids` by label ids, which keeps their order unless `ids` is in lists."""
        ids = top.ids if not len(self.ids) else np.where(top.ids >= 0, self.ids[top.ids], -1).astype(np.int32)
        return TopK(ids, top.scores)


def choice(how: How, n_labels: int, device: str = "cpu") -> Literal["exact", "hnsw", "lists"]:
    """Resolve `auto`: lists from `MANY` labels on, on a CPU; exact search on a GPU."""
    if how == "auto":
        return "lists" if n_labels >= MANY and device == "cpu" else "exact"
    return how
