"""Metrics over labels rather than rows: Coverage and macro precision, recall, F1."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xmcbench.metrics.definition import NO_PART, Definition


@dataclass
class LabelStats:
    """Counts of each label over some rows, for one slice of labels.

    Attributes
    ----------
    ids, ranks : predictions, and rank of each true label (0: not predicted).
    row, indptr, indices : (nnz,) row of each true label and the truth's CSR arrays.
    keep : (L,) bool, the slice of labels.
    rows : (n,) bool, the rows that count.
    """

    ids: NDArray[np.int32]
    ranks: NDArray[np.int32]
    row: NDArray[np.int64]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    keep: NDArray[np.bool_]
    rows: NDArray[np.bool_]
    _hits: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    _predicted: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    @cached_property
    def counts(self) -> NDArray[np.bool_]:
        """(nnz,) the true labels in the slice, of rows that count."""
        return self.keep[self.indices] & self.rows[self.row]

    @cached_property
    def true(self) -> NDArray[np.int64]:
        """(L,) rows that have the label; 0 outside the slice."""
        return np.bincount(self.indices[self.counts], minlength=len(self.keep))

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(L,) the labels of the slice with at least one row: those the metrics average over."""
        return self.true > 0

    def hits(self, k: int) -> NDArray[np.int64]:
        """(L,) rows that have the label and show it in the first k ranks."""
        if k not in self._hits:
            found = self.counts & (self.ranks > 0) & (self.ranks <= k)
            self._hits[k] = np.bincount(self.indices[found], minlength=len(self.keep))
        return self._hits[k]

    def predicted(self, k: int) -> NDArray[np.int64]:
        """(L,) rows that show the label in the first k ranks; 0 outside the slice."""
        import numba

        from xmcbench.metrics import kernels

        if k not in self._predicted:
            pieces = min(numba.get_num_threads(), 8)  # each takes 4 L bytes
            counts = kernels.count_predicted(self.ids, self.rows, k, len(self.keep), pieces)
            self._predicted[k] = np.where(self.keep, counts, 0)
        return self._predicted[k]

    def mean(self, shares: NDArray[np.float64]) -> float:
        """Mean over the labels present; NaN where there is none."""
        return float(shares[self.present].mean()) if self.present.any() else float("nan")

    def most_covered(self, k: int) -> float:
        """An upper bound of Coverage@k: of the labels that occur in one row alone, a row can show only k."""
        single = self.row[self.counts & (self.true[self.indices] == 1)]
        shown = np.minimum(np.bincount(single), k).sum() + (self.true > 1).sum()
        return float(shown) / max(int(self.present.sum()), 1)

    def most_recall(self, k: int) -> float:
        """The best MacroR@k: each row shows the k of its labels with the fewest rows."""
        share, places = self._shares
        return min(1.0, float(share[places <= k].sum()) / max(int(self.present.sum()), 1))

    @cached_property
    def _shares(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """(nnz,) what showing each true label adds to the recalls, and its place in its row by that."""
        from xmcbench.metrics import kernels

        share = np.where(self.counts, 1.0 / np.maximum(self.true, 1)[self.indices], 0.0)
        return share, np.asarray(kernels.falling_positions(share, self.indptr))


def macro_precision(s: LabelStats, k: int) -> float:
    return s.mean(s.hits(k) / np.maximum(s.predicted(k), 1))


def macro_recall(s: LabelStats, k: int) -> float:
    return s.mean(s.hits(k) / np.maximum(s.true, 1))


def macro_f1(s: LabelStats, k: int) -> float:
    return s.mean(2 * s.hits(k) / np.maximum(s.true + s.predicted(k), 1))


def most_f1(s: LabelStats, k: int) -> float:
    """F1 ≤ 2 R / (1 + R) for each label, a concave function of R: so its mean is at most that of the mean R."""
    recall = s.most_recall(k)
    return 2 * recall / (1 + recall)


def napkinxc(value: float, s: LabelStats, k: int) -> float:
    """The same sum over labels 0 to the largest id that is true or predicted; labels without a row add 0."""
    seen = np.flatnonzero((s.true > 0) | (s.predicted(k) > 0))
    return value * float(s.present.sum()) / float(seen[-1] + 1) if len(seen) else float("nan")


_OVER = "mean over the labels with at least one test row of "
_WHY = "; over labels with a test row, so that the divisor is the same for every method"
_NAPKIN = "napkinXC 0.7.2 (which stops at k = 5): mean over labels 0 to the largest one true or predicted"

DEFINITIONS = (
    Definition(
        "Coverage",
        "",
        "share of the labels with a test row that are shown rightly at least once; best reachable is an upper bound",
        "|{l : some row has l among its first k ranks and in Y}| / |{l : some row has l in Y}|",
        "napkinXC 0.7.2, coverage_at_k",
        "over labels",
        NO_PART,
        label=lambda s, k: s.mean((s.hits(k) > 0).astype(np.float64)),
        label_best=lambda s, k: s.most_covered(k),
        same=("like=napkinxc",),
    ),
    Definition(
        "MacroP",
        "",
        "macro precision: 0 for a label never shown; best reachable is an upper bound",
        _OVER + "rightly shown in the first k ranks / shown there",
        "Schultheis et al., NeurIPS 2023" + _WHY,
        "over labels",
        NO_PART,
        label=macro_precision,
        label_best=lambda s, k: s.most_covered(k),
    ),
    Definition(
        "MacroR",
        "",
        "macro recall",
        _OVER + "rightly shown in the first k ranks / true",
        "Schultheis et al., NeurIPS 2023" + _WHY,
        "over labels",
        NO_PART,
        label=macro_recall,
        label_best=lambda s, k: s.most_recall(k),
    ),
    Definition(
        "MacroF1",
        "",
        "macro F1; best reachable is an upper bound",
        _OVER + "2 · rightly shown in the first k ranks / (shown there + true)",
        "Schultheis et al., NeurIPS 2023" + _WHY,
        "over labels",
        NO_PART,
        label=macro_f1,
        label_best=most_f1,
    ),
    Definition(
        "MacroP",
        "like=napkinxc",
        "macro precision as napkinXC averages it",
        "sum over labels of rightly shown / shown, over 1 + the largest label id seen",
        _NAPKIN,
        "over labels",
        NO_PART,
        label=lambda s, k: napkinxc(macro_precision(s, k), s, k),
    ),
    Definition(
        "MacroR",
        "like=napkinxc",
        "macro recall as napkinXC averages it",
        "sum over labels of rightly shown / true, over 1 + the largest label id seen",
        _NAPKIN,
        "over labels",
        NO_PART,
        label=lambda s, k: napkinxc(macro_recall(s, k), s, k),
    ),
    Definition(
        "MacroF1",
        "like=napkinxc",
        "macro F1 as napkinXC averages it",
        "sum over labels of 2 · rightly shown / (shown + true), over 1 + the largest label id seen",
        _NAPKIN,
        "over labels",
        NO_PART,
        label=lambda s, k: napkinxc(macro_f1(s, k), s, k),
    ),
)
