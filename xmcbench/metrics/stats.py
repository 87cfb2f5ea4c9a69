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
ByCut = dict[int, Column]


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
    hits, dcg : by cut-off k, (n,) number of hits in the first k ranks; sum of their discounts.
    weight, weight_dcg : sum of the inverse propensities of these hits; of inverse propensities times discounts.
    best_weight, best_weight_dcg : best reachable values of the two: the true labels by descending weight.
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
        self._ideal: ByCut = {}
        last = int(ranks.max(initial=0))
        ascending, *tables = _tables(cuts, last)
        self.total: Column
        self.first: Column
        self.hits_at_total: Column
        self.total, self.first, self.hits_at_total, *sums = kernels.plain_sums(*entries, *tables)
        self.hits, self.dcg = (_by_cut(ascending, table) for table in sums)
        ascending, *tables = _tables(weighted_cuts, last)
        sums = kernels.weighted_sums(*entries, weights, *tables) if ascending else ((), (), (), ())
        self.weight, self.weight_dcg, self.best_weight, self.best_weight_dcg = (
            _by_cut(ascending, table) for table in sums
        )

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


def _by_cut(cuts: Sequence[int], table: Sequence[Column]) -> ByCut:
    return dict(zip(cuts, table, strict=True))
