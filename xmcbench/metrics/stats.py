"""What the ranking and propensity metrics need of each row.

All of it is one kind of sum: over a row's true labels with a rank from 1 to k, where the rank is that of the prediction
or, for the best reachable, the place in falling weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float64]  # (n,) one number a row
PLAIN = ("hits", "dcg")  # what the kernels return, in their order
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
    indptr : (n + 1,) int64 where each row begins, less indptr[0]. indices : (m,) int32 the true labels.
    keep : (L,) bool, the slice of labels; None for all.
    cuts : cut-offs that may be asked for. weighted_cuts : those of the propensity metrics.
    weights : (L,) float64 inverse propensities; not looked at without `weighted_cuts`.

    Attributes
    ----------
    total, first, own : (n,) number of true labels; rank of the first hit, 0 where there is none; hits among as many
        ranks as the row has true labels.
    """

    def __init__(
        self,
        ranks: NDArray[np.int32],
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        keep: NDArray[np.bool_] | None,
        cuts: Iterable[int],
        weights: NDArray[np.float64],
        weighted_cuts: Iterable[int],
    ) -> None:
        from xmcbench.metrics import kernels

        entries = (ranks, indptr, indices, np.ones(0, np.bool_) if keep is None else keep)
        self._sums: dict[tuple[str, int], Column] = {}
        self._ideal: dict[int, Column] = {}
        last = int(ranks.max(initial=0))
        at, *tables = _tables(cuts, last)
        self.total: Column
        self.first: Column
        self.own: Column
        self.total, self.first, self.own, *sums = kernels.plain_sums(*entries, *tables)
        self._keep(PLAIN, sums, at)
        at, *tables = _tables(weighted_cuts, last)
        if at:
            self._keep(WEIGHTED, kernels.weighted_sums(*entries, weights, *tables), at)

    def _keep(self, names: Sequence[str], tables: Sequence[NDArray[np.float64]], cuts: Sequence[int]) -> None:
        for name, table in zip(names, tables, strict=True):
            self._sums |= {(name, k): column for k, column in zip(cuts, table, strict=True)}

    def hits(self, k: int) -> Column:
        """Hits among the first k ranks."""
        return self._sums["hits", k]

    def dcg(self, k: int) -> Column:
        """Their discounts."""
        return self._sums["dcg", k]

    def weight(self, k: int) -> Column:
        """Their inverse propensities."""
        return self._sums["weight", k]

    def weight_dcg(self, k: int) -> Column:
        """Their inverse propensities times discounts."""
        return self._sums["weight_dcg", k]

    def best_weight(self, k: int) -> Column:
        """The most `weight(k)` can be: the true labels in falling weight."""
        return self._sums["best_weight", k]

    def best_weight_dcg(self, k: int) -> Column:
        """The most `weight_dcg(k)` can be."""
        return self._sums["best_weight_dcg", k]

    @cached_property
    def some(self) -> Column:
        """1 for rows with a true label, else 0."""
        return (self.total > 0).astype(np.float64)

    @cached_property
    def divisor(self) -> Column:
        """Number of true labels, but 1 for rows without: their numerators are 0 anyway."""
        return np.maximum(self.total, 1.0)

    def ideal(self, k: int) -> Column:
        """I_k, the DCG of a perfect ranking; 1 for rows without a true label: their numerators are 0 anyway."""
        if k not in self._ideal:
            table = np.cumsum(discounts(k))
            table[0] = 1.0
            self._ideal[k] = table[np.minimum(self.total, k).astype(np.int64)]
        return self._ideal[k]


def _tables(cuts: Iterable[int], last: int) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64], Column]:
    """Cut-offs in rising order, and for the kernels: the same as an array, the slot and the discount of each rank."""
    at = sorted(set(cuts))
    longest = max([last, *at])
    slot = np.searchsorted(np.array(at), np.arange(longest + 1))
    return at, np.array(at, np.int64), slot.astype(np.int64), discounts(longest)
