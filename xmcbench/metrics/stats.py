"""Per-row sums from which the ranking and propensity metrics are computed.

Each sum is over a row's true labels with a rank from 1 to k. The rank is that of the prediction or, for the best
reachable value, the position in descending order of weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]  # (n,) one number per row
PLAIN = ("hits", "dcg")  # in the order in which the kernels return them
WEIGHTED = ("weight", "weight_dcg", "best_weight", "best_weight_dcg")


def discounts(length: int) -> NDArray[np.float64]:
    """(length + 1,) float64: d_r = 1/log2(r + 1) at index r, 0 at index 0."""
    table = np.zeros(length + 1)
    table[1:] = 1.0 / np.log2(np.arange(2, length + 2))
    return table


class Stats:
    """Sums over n rows, for the truth as it is or restricted to a slice of labels.

    Parameters
    ----------
    ranks : (m,) int32 rank of each of the rows' true labels, 0 where it was not predicted (`kernels.find_ranks`).
    indptr : (n + 1,) int64 start of each row, offset by indptr[0]. indices : (m,) int32 the true labels.
    label_mask : (L,) bool, the slice of labels; None for all.
    cuts : cut-offs that may be requested. weighted_cuts : cut-offs of the propensity metrics.
    weights : (L,) float64 inverse propensities; not read without `weighted_cuts`.

    Attributes
    ----------
    total, first, hits_at_total : (n,) number of true labels; rank of the first hit, 0 if there is none; hits in the
        first `total` ranks.
    """

    def __init__(
        self,
        ranks: NDArray[np.int32],
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        label_mask: NDArray[np.bool_] | None,
        cuts: Iterable[int],
        weights: NDArray[np.float64],
        weighted_cuts: Iterable[int],
    ) -> None:
        from xmcbench.metrics import kernels

        entries = (ranks, indptr, indices, np.ones(0, np.bool_) if label_mask is None else label_mask)
        self._sums: dict[tuple[str, int], Column] = {}
        self._ideal: dict[int, Column] = {}
        last = int(ranks.max(initial=0))
        sorted_cuts, *tables = _tables(cuts, last)
        self.total: Column
        self.first: Column
        self.hits_at_total: Column
        self.total, self.first, self.hits_at_total, *sums = kernels.plain_sums(*entries, *tables)
        self._add(PLAIN, sums, sorted_cuts)
        sorted_cuts, *tables = _tables(weighted_cuts, last)
        if sorted_cuts:
            self._add(WEIGHTED, kernels.weighted_sums(*entries, weights, *tables), sorted_cuts)

    def _add(self, names: Sequence[str], tables: Sequence[NDArray[np.float64]], cuts: Sequence[int]) -> None:
        for name, table in zip(names, tables, strict=True):
            self._sums |= {(name, k): column for k, column in zip(cuts, table, strict=True)}

    def hits(self, k: int) -> Column:
        """Number of hits in the first k ranks."""
        return self._sums["hits", k]

    def dcg(self, k: int) -> Column:
        """Sum of the discounts of these hits."""
        return self._sums["dcg", k]

    def weight(self, k: int) -> Column:
        """Sum of their inverse propensities."""
        return self._sums["weight", k]

    def weight_dcg(self, k: int) -> Column:
        """Sum of their inverse propensities times discounts."""
        return self._sums["weight_dcg", k]

    def best_weight(self, k: int) -> Column:
        """Best reachable `weight(k)`: the true labels by descending weight."""
        return self._sums["best_weight", k]

    def best_weight_dcg(self, k: int) -> Column:
        """Best reachable `weight_dcg(k)`."""
        return self._sums["best_weight_dcg", k]

    @cached_property
    def has_labels(self) -> Column:
        """1 for rows with a true label, else 0."""
        return (self.total > 0).astype(np.float64)

    @cached_property
    def divisor(self) -> Column:
        """Number of true labels; 1 for rows without a true label, whose numerators are 0."""
        return np.maximum(self.total, 1.0)

    def ideal(self, k: int) -> Column:
        """I_k, the DCG of a perfect ranking; 1 for rows without a true label, whose numerators are 0."""
        if k not in self._ideal:
            table = np.cumsum(discounts(k))
            table[0] = 1.0
            self._ideal[k] = table[np.minimum(self.total, k).astype(np.int64)]
        return self._ideal[k]


def _tables(cuts: Iterable[int], last: int) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64], Column]:
    """Cut-offs in ascending order; for the kernels, the same as an array, and the slot and discount of each rank."""
    ascending = sorted(set(cuts))
    longest = max([last, *ascending])
    slot = np.searchsorted(np.array(ascending), np.arange(longest + 1))
    return ascending, np.array(ascending, np.int64), slot.astype(np.int64), discounts(longest)
