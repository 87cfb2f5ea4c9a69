"""Metrics over labels rather than rows: Coverage and macro precision, recall, F1."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xmcbench.metrics.definition import Definition
from xmcbench.metrics.partition import everywhere, threads

Counts = NDArray[np.int32]  # (L,)


@dataclass
class LabelStats:
    """Counts of each label over some rows, for one slice of labels.

    Attributes
    ----------
    ids : (n, s) predictions; s is the largest cut-off that will be requested.
    ranks, indptr, indices : rank of each true label (0: not predicted), and the truth's CSR arrays.
    label_mask : (L,) bool, the slice of labels.
    rows : (n,) bool, the rows that count.
    """

    ids: NDArray[np.int32]
    ranks: NDArray[np.int32]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    label_mask: NDArray[np.bool_]
    rows: NDArray[np.bool_]
    _counted: dict[int, tuple[Counts, Counts, Counts]] = field(default_factory=dict)
    _bounds: dict[int, tuple[int, float]] = field(default_factory=dict)

    def true(self, k: int) -> Counts:
        """(L,) number of rows with the label; 0 outside the slice, here and below. The same for every k."""
        return self._counts(k)[0]

    def hits(self, k: int) -> Counts:
        """(L,) number of rows with the label that have it among their first k predictions."""
        return self._counts(k)[1]

    def predicted(self, k: int) -> Counts:
        """(L,) number of rows with the label among their first k predictions."""
        return self._counts(k)[2]

    def mean(self, k: int, shares: NDArray[np.float64]) -> float:
        """Mean over the labels with at least one row; NaN if no label has one."""
        present = self.true(k) > 0
        return float(shares[present].mean()) if present.any() else float("nan")

    def most_covered(self, k: int) -> float:
        """An upper bound of Coverage@k: a row can predict only k of the labels that occur in no other row."""
        true = self.true(k)
        return float(self._reachable(k)[0] + (true > 1).sum()) / max(int((true > 0).sum()), 1)

    def most_recall(self, k: int) -> float:
        """The best MacroR@k: each row predicts those k of its labels that have the fewest rows."""
        return min(1.0, self._reachable(k)[1] / max(int((self.true(k) > 0).sum()), 1))

    def _counts(self, k: int) -> tuple[Counts, Counts, Counts]:
        from xmcbench.metrics import kernels

        def count(begin: int, end: int) -> NDArray[np.int32]:
            counts = np.zeros((3, len(self.label_mask)), np.int32)
            truth = kernels.Pattern(self.indptr, self.indices)
            kernels.count_labels(begin, end, self.ids, self.ranks, truth, self.rows, k, counts)
            return counts

        if k not in self._counted:
            size = -(-len(self.rows) // min(threads(), 8)) or 1  # few pieces, since each takes 12 L bytes
            pieces = everywhere(len(self.rows), count, size)
            true, hits, predicted = sum(pieces[1:], start=pieces[0]) * self.label_mask
            self._counted[k] = (true, hits, predicted)
        return self._counted[k]

    def _reachable(self, k: int) -> tuple[int, float]:
        from xmcbench.metrics import kernels

        if k not in self._bounds:
            entries = (self.indptr, self.indices, self.rows, self.true(k), k)
            pieces = everywhere(len(self.rows), lambda begin, end: kernels.most_over_labels(begin, end, *entries))
            self._bounds[k] = (sum(single for single, _ in pieces), sum(recall for _, recall in pieces))
        return self._bounds[k]


def macro_precision(s: LabelStats, k: int) -> float:
    return s.mean(k, s.hits(k) / np.maximum(s.predicted(k), 1))


def macro_recall(s: LabelStats, k: int) -> float:
    return s.mean(k, s.hits(k) / np.maximum(s.true(k), 1))


def macro_f1(s: LabelStats, k: int) -> float:
    return s.mean(k, 2 * s.hits(k) / np.maximum(s.true(k) + s.predicted(k), 1))


def most_f1(s: LabelStats, k: int) -> float:
    """An upper bound: F1 ≤ 2 R / (1 + R) for each label, a concave function of R, so Jensen's inequality applies."""
    recall = s.most_recall(k)
    return 2 * recall / (1 + recall)


_OVER = "mean over the labels with at least one test row of "
_WHY = "; over labels with a test row, so that the divisor is the same for every method"
_NAPKIN = "napkinXC 0.7.2 (which stops at k = 5): mean over labels 0 to the largest one true or predicted"

MACRO = (
    Definition(
        "MacroP",
        "macro precision: 0 for a label never predicted; best reachable is an upper bound",
        _OVER + "hits in the first k ranks / predictions in the first k ranks",
        "Schultheis et al., NeurIPS 2023" + _WHY,
        kind="over labels",
        label=macro_precision,
        label_best=lambda s, k: s.most_covered(k),
    ),
    Definition(
        "MacroR",
        "macro recall",
        _OVER + "hits in the first k ranks / rows with the label",
        "Schultheis et al., NeurIPS 2023" + _WHY,
        kind="over labels",
        label=macro_recall,
        label_best=lambda s, k: s.most_recall(k),
    ),
    Definition(
        "MacroF1",
        "macro F1; best reachable is an upper bound",
        _OVER + "2 · hits in the first k ranks / (predictions in the first k ranks + rows with the label)",
        "Schultheis et al., NeurIPS 2023" + _WHY,
        kind="over labels",
        label=macro_f1,
        label_best=most_f1,
    ),
)


def _like_napkinxc(macro: Definition, name: str, share: str) -> Definition:
    """A macro metric as a mean over labels 0 to the largest id that is true or predicted."""

    def label(s: LabelStats, k: int) -> float:
        assert macro.label is not None
        seen = np.flatnonzero((s.true(k) > 0) | (s.predicted(k) > 0))
        present = float((s.true(k) > 0).sum())
        return macro.label(s, k) * present / float(seen[-1] + 1) if len(seen) else float("nan")

    return Definition(
        macro.metric,
        f"macro {name} as napkinXC averages it",
        f"sum over labels of {share}, over 1 + the largest label id seen",
        _NAPKIN,
        variant="like=napkinxc",
        kind="over labels",
        label=label,
    )


DEFINITIONS = (
    Definition(
        "Coverage",
        "share of the labels with a test row that are predicted correctly at least once; "
        "best reachable is an upper bound",
        "|{l : some row has l among its first k ranks and in Y}| / |{l : some row has l in Y}|",
        "napkinXC 0.7.2, coverage_at_k",
        kind="over labels",
        label=lambda s, k: s.mean(k, (s.hits(k) > 0).astype(np.float64)),
        label_best=lambda s, k: s.most_covered(k),
        same=("like=napkinxc",),
    ),
    *MACRO,
    _like_napkinxc(MACRO[0], "precision", "hits / predictions"),
    _like_napkinxc(MACRO[1], "recall", "hits / rows with the label"),
    _like_napkinxc(MACRO[2], "F1", "2 · hits / (predictions + rows with the label)"),
)
