"""What the ranking and propensity metrics need of each row, counted once for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def discounts(length: int) -> NDArray[np.float64]:
    """(length + 1,) float64: d_r = 1/log2(r + 1) at index r, 0 at index 0."""
    table = np.zeros(length + 1)
    table[1:] = 1.0 / np.log2(np.arange(2, length + 2))
    return table


@dataclass(frozen=True)
class Stats:
    """Counts of n rows at some cut-offs, for the truth as it is or restricted to a slice of labels.

    Attributes
    ----------
    cuts : the cut-offs, rising; the arrays of shape (cuts, n) follow them.
    total : (n,) int64 number of true labels.
    first : (n,) int64 rank of the first hit, 0 where there is none.
    own : (n,) int64 hits among the first `total` ranks.
    sums : (cuts, n): "hits" int32; float64 "dcg", "weight" and "weight_dcg" of the hits, "best_weight" and
        "best_weight_dcg" of the true labels in falling weight.
    """

    cuts: tuple[int, ...]
    total: NDArray[np.int64]
    first: NDArray[np.int64]
    own: NDArray[np.int64]
    sums: dict[str, NDArray[Any]]

    @classmethod
    def count(
        cls,
        ranks: NDArray[np.int32],
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        cuts: Iterable[int],
        keep: NDArray[np.bool_] | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> Stats:
        """Count from the rank of each true label.

        Parameters
        ----------
        ranks : (nnz,) int32 rank of each stored true label, 0 where it was not predicted (`kernels.find_ranks`).
        indptr, indices : the truth's CSR arrays.
        keep : (L,) bool, the slice of labels; None for all.
        weights : (L,) float64 inverse propensities; None leaves the weighted sums at 0.
        """
        from xmcbench.metrics import kernels

        at = tuple(sorted(set(cuts))) or (1,)
        longest = max(int(ranks.max(initial=0)), at[-1])
        slot = np.searchsorted(np.array(at), np.arange(longest + 1)).astype(np.int64)
        counted = kernels.row_stats(
            ranks,
            indptr,
            indices,
            np.ones(0, np.bool_) if keep is None else keep,
            np.ones(0, np.float64) if weights is None else weights,
            np.array(at, np.int64),
            slot,
            discounts(longest),
        )
        names = ("hits", "dcg", "weight", "weight_dcg", "best_weight", "best_weight_dcg")
        total, first, own, *sums = counted
        return cls(at, total, first, own, dict(zip(names, sums, strict=True)))

    def at(self, what: str, k: int) -> NDArray[Any]:
        """(n,) the sum named `what` over the first k ranks."""
        column: NDArray[Any] = self.sums[what][self.cuts.index(k)]
        return column

    def ideal(self, k: int) -> NDArray[np.float64]:
        """(n,) I_k: the DCG of a perfect ranking, 0 for rows without a true label."""
        table = np.cumsum(discounts(k))
        return table[np.minimum(self.total, k)]
