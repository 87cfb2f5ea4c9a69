"""Search of a trained model on the CPU by numba kernels, with an exact early stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.errors import DataError
from xmcbench.metrics.partition import everywhere, threads
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.search import kernels

PIECE = 64  # queries per unit of work: some ten milliseconds, so that threads end at about the same time


@dataclass(frozen=True)
class SearchResult:
    """Predictions for n queries, and counts of the labels visited.

    Attributes
    ----------
    ids, scores : (n, k) int32 and float32, in the order of `xmcbench.topk`, padded with −1 and −inf.
    shortlisted, scored : (n,) int64, number of labels in the shortlist (at most K), and of those whose w · φ was
        computed.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    shortlisted: NDArray[np.int64]
    scored: NDArray[np.int64]

    @property
    def share(self) -> float:
        """Share of the shortlists that was scored; 1.0 if all are empty."""
        return float(self.scored.sum() / self.shortlisted.sum()) if self.shortlisted.sum() else 1.0


class Searcher:
    """Finds the labels of best p = s · a · σ(w · φ + b), as by scoring the whole shortlist (sections 3.2, 3.3).

    It is built from a model's current weights by sorting its adjacency: build a new one after further training. Label
    weights are not copied. Calls are thread-safe.
    """

    def __init__(self, model: EliasModel) -> None:
        """`model` on the CPU, in float32."""
        with torch.no_grad():
            values, order = model.log_entries().sort(dim=1, descending=True, stable=True)
            labels = model.entries.gather(1, order)
        lengths = model.filled.sum(dim=1)
        weights = model.label_weight, model.label_bias, model.cluster_weight, model.cluster_bias
        weight, bias, *clusters = (tensor.detach().contiguous().numpy() for tensor in weights)
        rows = labels.to(torch.int32).numpy(), values.numpy(), lengths.to(torch.int32).numpy()
        self.index = kernels.Index(*rows, weight, bias)
        self.cluster_weight, self.cluster_bias = clusters
        self.log_alpha = np.float32(math.log(model.alpha))
        self._scratch: SimpleQueue[kernels.Scratch] = SimpleQueue()
        for _ in range(threads()):
            self._scratch.put(kernels.Scratch.empty(len(bias)))

    def __call__(self, queries: NDArray[np.float32], k: int, beam: int, size: int) -> SearchResult:
        """The k best labels for (n, D) embeddings φ, from `beam` clusters and at most `size` shortlisted labels.

        There are fewer than k columns if no shortlist can be that long.

        Raises
        ------
        DataError : a row's cluster scores are not finite.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        beam = min(beam, len(self.cluster_bias))
        size = max(1, min(size, beam * self.index.labels.shape[1], len(self.index.bias)))
        k = max(1, min(k, size))
        n = len(queries)
        logits = self.cluster_logits(queries)
        ids, scores, counts = np.empty((n, k), np.int32), np.empty((n, k), np.float32), np.empty((n, 2), np.int64)

        def work(begin: int, end: int) -> None:
            scratch = self._scratch.get()
            out = kernels.Predictions(ids[begin:end], scores[begin:end], counts[begin:end])
            arguments = logits[begin:end], queries[begin:end], beam, self.log_alpha, size
            try:
                kernels.search(*arguments, self.index, scratch, out)
            finally:
                self._scratch.put(scratch)

        if n <= PIECE:
            work(0, n)
        else:
            everywhere(n, work, PIECE)
        if n and counts[:, 0].min() < 0:
            row = int(np.argmin(counts[:, 0]))
            raise DataError(f"predictions: row {row} has cluster scores that are not finite", "Check its features.")
        return SearchResult(ids, scores, counts[:, 0], counts[:, 1])

    def cluster_logits(self, queries: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, C) float32."""
        if len(queries) == 1:
            one = np.empty((1, len(self.cluster_bias)), np.float32)
            kernels.cluster_logits(queries[0], self.cluster_weight, self.cluster_bias, one[0])
            return one
        weight, bias = torch.from_numpy(self.cluster_weight), torch.from_numpy(self.cluster_bias)
        out: NDArray[np.float32] = torch.addmm(bias, torch.from_numpy(queries), weight.T).numpy()
        return out
