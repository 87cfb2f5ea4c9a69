"""Search over label embeddings: exact, or by inverted lists where there are many labels; on request by faiss's graph.

Exact search on a CPU has two ways: by matrix products, and for a few queries by `Coarse`, which reads less memory.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

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
Arrays = dict[str, NDArray[Any]]
MANY = 200_000  # number of labels from which `auto` uses lists; see docs/dense.md
BLOCK = 4096  # queries per call of the graph or of lists: Ctrl-C and the deadline are checked between calls


class LabelIndex:
    """Search index over the labels that can be predicted.

    Attributes
    ----------
    ids : (m,) int32 labels that can be predicted; the others are never returned. vectors : (m, D) float32, theirs.
    how : exact, hnsw or lists. Graph and lists run on the CPU.
    lists : the lists, whose order is then that of `ids` and `vectors`.
    """

    def __init__(
        self,
        ids: NDArray[np.int32],
        vectors: NDArray[np.float32],
        how: Literal["exact", "hnsw", "lists"],
        lists: Lists | None = None,
    ) -> None:
        self.ids, self.vectors, self.how, self.lists = ids, vectors, how, lists
        self.graph = Hnsw(self.vectors) if how == "hnsw" else None
        self._coarse: Coarse | None = None  # made at the first use
        self._on_device: dict[str, Tensor] = {}  # device → label vectors, moved there once

    @classmethod
    def of(cls, embeddings: NDArray[np.float32], known: NDArray[np.bool_], how: How, device: str = "cpu") -> LabelIndex:
        """The index of the labels that can be predicted.

        Parameters
        ----------
        embeddings : (L, D) float32.
        known : (L,) bool, labels that can be predicted.
        how : exact, hnsw, lists, or auto, see `choice`. device : where exact search will run.
        """
        ids = np.flatnonzero(known).astype(np.int32)
        chosen = choice(how, len(ids), device)
        if chosen == "lists" and len(ids):
            lists = Lists.of(embeddings, known)
            return cls(lists.ids, lists.vectors, chosen, lists)
        vectors = np.ascontiguousarray(embeddings if len(ids) == len(known) else embeddings[known], np.float32)
        return cls(ids, vectors, chosen)

    def arrays(self) -> Arrays:
        """What a saved model keeps of the index: a graph is made again, lists are not."""
        arrays: Arrays = {"ids": self.ids, "vectors": self.vectors}
        return arrays if self.lists is None else arrays | {"starts": self.lists.starts, "means": self.lists.means}

    @classmethod
    def read(cls, arrays: Arrays, how: How) -> LabelIndex:
        """The index of what `arrays` returned; arrays may be mapped, so that processes share their memory.

        Lists serve on every device. Older models have the embeddings of all labels instead.
        KeyError or ValueError: an array is missing, or their shapes disagree.
        """
        if "embeddings" in arrays:
            return cls.of(arrays["embeddings"], arrays["known"], how)
        ids, vectors = arrays["ids"], arrays["vectors"]
        if vectors.ndim != 2 or ids.shape != vectors.shape[:1]:
            raise ValueError(f"{ids.shape} labels have {vectors.shape} vectors")
        if "starts" in arrays:
            lists = Lists(ids, vectors, arrays["starts"], arrays["means"])
            lists.check()
            return cls(ids, vectors, "lists", lists)
        index = cls.of(vectors, np.ones(len(ids), np.bool_), how)
        ids, made = ids[index.ids], index.lists
        return cls(ids, index.vectors, index.how, made and replace(made, ids=ids))

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
