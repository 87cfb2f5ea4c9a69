"""Approximate search for the labels of largest inner product: inverted lists.

Labels are in lists, each at its nearest centre by spherical k-means, and a query is compared with the labels of those
lists alone whose mean has the largest inner product with it: "IVF" of Jégou et al., "Product Quantization for Nearest
Neighbor Search" (TPAMI 2011), without quantization. Lists are made in seconds where a graph takes minutes, and need
no memory beyond the label vectors.

Many queries are answered together, list by list, so that a label's vector is read once for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.dense.exact import nearest
from xmcbench.sparse.shares import run_shares
from xmcbench.sparse.topk import FEW, best_first
from xmcbench.topk import TopK

Floats = NDArray[np.float32]
PER_LIST = 64  # labels per list in the sample that k-means sees: ours, not searched
STEPS = 8  # of k-means: ours, not searched
SCANNED = 64  # labels compared with a query per unit of `ef`; see docs/dense.md
QUERIES = 2048  # answered together; their scores take about 100 MiB at ef = 200


@dataclass(frozen=True)
class Lists:
    """Lists of m of L label vectors.

    Attributes
    ----------
    ids : (m,) int32, the known labels, list after list. vectors : (m, D), theirs.
    starts : (n_lists + 1,) int64: list i is the positions starts[i] … starts[i + 1] − 1.
    means : (n_lists, D), of the vectors of each list.
    """

    ids: NDArray[np.int32]
    vectors: Floats
    starts: NDArray[np.int64]
    means: Floats

    @classmethod
    def of(cls, embeddings: Floats, known: NDArray[np.bool_]) -> Lists:
        """The lists of the `known` labels, (L,) bool, of (L, D). The number of threads does not change them."""
        known_ids = np.flatnonzero(known).astype(np.int32)
        count = list_count(len(known_ids))
        sample = known_ids[np.linspace(0, len(known_ids) - 1, min(len(known_ids), PER_LIST * count)).astype(np.int64)]
        part = nearest(embeddings, centres_of(np.ascontiguousarray(embeddings[sample]), count), 1).ids[known_ids, 0]
        order = np.argsort(part, kind="stable")
        ids = known_ids[order]
        vectors = np.ascontiguousarray(embeddings[ids])
        starts = np.searchsorted(part[order], np.arange(count + 1)).astype(np.int64)
        counts = np.maximum(np.diff(starts), 1).astype(np.float32)
        return cls(ids, vectors, starts, _sums(vectors, part[order], count) / counts[:, None])

    def check(self) -> None:
        """Raise ValueError where arrays of a file don't belong together: kernels would read beyond their ends."""
        n_lists, width = self.means.shape
        whole = self.starts.shape == (n_lists + 1,) and (self.starts[0], self.starts[-1]) == (0, len(self.ids))
        if not whole or (np.diff(self.starts) < 0).any() or self.vectors.shape != (len(self.ids), width):
            raise ValueError(f"lists of {len(self.ids)} labels do not match their starts and means")

    def search(self, queries: Floats, k: int, ef: int) -> TopK:
        """(n, k) labels of large q · x for (n, D) queries, score descending then id ascending; −1 where too few are
        compared. `ef`: about 64 times as many labels are compared.
        """
        out = TopK.padding(len(queries), k)
        probes = min(len(self.means), -(-SCANNED * ef * len(self.means) // max(len(self.ids), 1)))
        for first in range(0, len(queries), QUERIES):
            part = slice(first, first + QUERIES)
            self._search(np.ascontiguousarray(queries[part]), probes, out.ids[part], out.scores[part])
        return out

    def _search(self, queries: Floats, probes: int, ids: NDArray[np.int32], scores: Floats) -> None:
        lists = nearest(queries, self.means, probes).ids
        sizes = np.diff(self.starts)[lists]
        ends = np.cumsum(sizes.ravel())
        products = np.empty(int(ends[-1]), np.float32)
        starts = np.ascontiguousarray((ends - sizes.ravel()).reshape(lists.shape))
        by_list = np.argsort(lists.ravel(), kind="stable")
        workers = 1 if len(queries) < FEW else get_num_threads()
        shared = lists, starts, self.starts
        run_shares(_multiply, workers, by_list, *shared, self.vectors, queries, products)
        run_shares(_select, workers, *shared, self.ids, products, ids, scores)


def list_count(n_labels: int) -> int:
    """The power of two nearest to twice the root of the number of labels: comparing centres and labels is balanced."""
    return 1 << round(math.log2(2 * max(n_labels, 1) ** 0.5))


def centres_of(vectors: Floats, count: int) -> Floats:
    """(count, D) unit centres by spherical k-means, from vectors at equal distances."""
    centres = _unit(vectors[np.linspace(0, len(vectors) - 1, count).astype(np.int64)])
    for _ in range(STEPS):
        sums = _sums(vectors, nearest(vectors, centres, 1).ids[:, 0], count)
        found = np.abs(sums).sum(axis=1) > 0  # the centre of an empty list stays
        centres[found] = _unit(sums[found])
    return centres


def _sums(vectors: Floats, part: NDArray[np.int32], count: int) -> Floats:
    """(count, D) sums of the vectors of each part."""
    import scipy.sparse as sp

    rows = np.arange(len(vectors) + 1)
    membership = sp.csr_matrix((np.ones(len(vectors), np.float32), part, rows), shape=(len(vectors), count))
    return np.asarray(membership.T @ vectors, np.float32)


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), np.float32)


@njit(cache=True, nogil=True, fastmath=True)
def _multiply(
    by_list: Any,
    lists: Any,
    starts: Any,
    list_starts: Any,
    vectors: Any,
    queries: Any,
    products: Any,
    share: Any,
    shares: Any,
) -> None:
    """The products of a share of the pairs of query and list, which come list by list in `by_list`."""
    probes = lists.shape[1]
    first, last = len(by_list) * share // shares, len(by_list) * (share + 1) // shares
    while first < last:
        which = lists[by_list[first] // probes, by_list[first] % probes]
        end = first + 1
        while end < last and lists[by_list[end] // probes, by_list[end] % probes] == which:
            end += 1
        for position in range(list_starts[which], list_starts[which + 1]):
            for at in range(first, end):
                row, probe = by_list[at] // probes, by_list[at] % probes
                total = np.float32(0)
                for d in range(vectors.shape[1]):
                    total += queries[row, d] * vectors[position, d]
                products[starts[row, probe] + position - list_starts[which]] = total
        first = end


@njit(cache=True, nogil=True)
def _select(
    lists: Any,
    starts: Any,
    list_starts: Any,
    ids: Any,
    products: Any,
    best_ids: Any,
    best_scores: Any,
    share: Any,
    shares: Any,
) -> None:
    """Rank the labels of every `shares`-th query's lists."""
    for row in range(share, len(lists), shares):
        begin, last = starts[row, 0], lists.shape[1] - 1
        end = starts[row, last] + list_starts[lists[row, last] + 1] - list_starts[lists[row, last]]
        candidates = np.empty(end - begin, np.int32)
        at = 0
        for probe in range(last + 1):
            for position in range(list_starts[lists[row, probe]], list_starts[lists[row, probe] + 1]):
                candidates[at] = ids[position]
                at += 1
        best_first(candidates, products[begin:end], best_ids[row], best_scores[row])
