"""What the ranking and propensity metrics need of each row.

All of it is one kind of sum: over a row's true labels with a rank from 1 to k, where the rank is that of the prediction
or, for the best reachable, the place in falling weight.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]  # (n,) one number a row


def discounts(length: int) -> NDArray[np.float64]:
    """(length + 1,) float64: d_r = 1/log2(r + 1) at index r, 0 at index 0."""
    table = np.zeros(length + 1)
    table[1:] = 1.0 / np.log2(np.arange(2, length + 2))
    return table


class Ranked:
    """Entries of rows, each with a rank from 1, to be summed over the first k ranks of their row.

    Parameters
    ----------
    row, rank : (m,) of each entry. n : number of rows.
    """

    def __init__(self, row: NDArray[np.int64], rank: NDArray[np.int32], n: int) -> None:
        self.last = int(rank.max(initial=0))
        narrow = rank.astype(np.uint16) if self.last < 2**16 else rank  # 16 bits are sorted by radix
        self.order = np.argsort(narrow, kind="stable")
        self.row, self.rank, self.n = row[self.order], rank[self.order], n
        self._ends = np.cumsum(np.bincount(narrow, minlength=1))  # entries up to each rank

    def sums(self, k: int, values: Column | None) -> Column:
        """(n,) sum of `values` (m,), given in the order of `order`, over entries up to rank k; None: their number."""
        end = int(self._ends[min(k, self.last)])
        found = np.bincount(self.row[:end], None if values is None else values[:end], minlength=self.n)
        return found.astype(np.float64, copy=False)


class Stats:
    """Sums over n rows, for the truth as it is or restricted to a slice of labels.

    Parameters
    ----------
    ranks : (nnz,) int32 rank of each stored true label, 0 where it was not predicted (`kernels.find_ranks`).
    row : (nnz,) int64 row of each. indptr, indices : the truth's CSR arrays, (n + 1,) int64 and (nnz,) int32.
    keep : (L,) bool, the slice of labels; None for all.
    weights : (L,) float64 inverse propensities; of length 0 where no metric needs them.
    """

    def __init__(
        self,
        ranks: NDArray[np.int32],
        row: NDArray[np.int64],
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        keep: NDArray[np.bool_] | None,
        weights: NDArray[np.float64],
    ) -> None:
        self.n = len(indptr) - 1
        if keep is not None:  # the same truth with fewer labels
            kept = keep[indices]
            ranks, row, indices = ranks[kept], row[kept], indices[kept]
            indptr = np.searchsorted(row, np.arange(self.n + 1))
        self._row, self._indptr, self._indices, self._weights = row, indptr, indices, weights
        hit = np.flatnonzero(ranks)
        self._hits = Ranked(row[hit], ranks[hit], self.n)
        self._hit_labels = indices[hit[self._hits.order]]
        self._ideal: dict[int, Column] = {}

    def hits(self, k: int) -> Column:
        """Hits among the first k ranks."""
        return self._hits.sums(k, None)

    def dcg(self, k: int) -> Column:
        """Their discounts."""
        return self._hits.sums(k, self._discount)

    def weight(self, k: int) -> Column:
        """Their inverse propensities."""
        return self._hits.sums(k, self._weight)

    def weight_dcg(self, k: int) -> Column:
        """Their inverse propensities times discounts."""
        return self._hits.sums(k, self._discounted)

    def best_weight(self, k: int) -> Column:
        """The most `weight(k)` can be: the true labels in falling weight."""
        return self._best[0].sums(k, self._best[1])

    def best_weight_dcg(self, k: int) -> Column:
        """The most `weight_dcg(k)` can be."""
        return self._best[0].sums(k, self._best[2])

    @cached_property
    def total(self) -> Column:
        """Number of true labels."""
        return np.diff(self._indptr).astype(np.float64)

    @cached_property
    def some(self) -> Column:
        """1 for rows with a true label, else 0."""
        return (self.total > 0).astype(np.float64)

    @cached_property
    def divisor(self) -> Column:
        """Number of true labels, but 1 for rows without: their numerators are 0 anyway."""
        return np.maximum(self.total, 1.0)

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Rank of the first hit, 0 where there is none."""
        first = np.zeros(self.n, np.int64)
        first[self._hits.row[::-1]] = self._hits.rank[::-1]  # the lowest rank is written last and stays
        return first

    @cached_property
    def own(self) -> Column:
        """Hits among as many ranks as the row has true labels."""
        inside = self._hits.rank <= self.total[self._hits.row]
        return np.bincount(self._hits.row[inside], minlength=self.n).astype(np.float64)

    def ideal(self, k: int) -> Column:
        """I_k, the DCG of a perfect ranking; 1 for rows without a true label: their numerators are 0 anyway."""
        if k not in self._ideal:
            table = np.cumsum(discounts(k))
            table[0] = 1.0
            self._ideal[k] = table[np.minimum(self.total, k).astype(np.int64)]
        return self._ideal[k]

    @cached_property
    def _discount(self) -> Column:
        return discounts(self._hits.last)[self._hits.rank]

    @cached_property
    def _weight(self) -> Column:
        return self._weights[self._hit_labels]

    @cached_property
    def _discounted(self) -> Column:
        return self._weight * self._discount

    @cached_property
    def _best(self) -> tuple[Ranked, Column, Column]:
        """All true labels, ranked in falling weight, their weights, and these times discounts."""
        from xmcbench.metrics import kernels

        weight = self._weights[self._indices]
        places = Ranked(self._row, kernels.falling_positions(weight, self._indptr), self.n)
        weight = weight[places.order]
        return places, weight, weight * discounts(places.last)[places.rank]
