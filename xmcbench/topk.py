"""Predictions: the k best label ids of each row and their scores.

The order is always score descending, then label id ascending. Rows with fewer labels are padded with id −1 and score
−inf; padding counts as a miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, XmcError
from xmcbench.files import read_npz, write_npz

if TYPE_CHECKING:
    import scipy.sparse as sp

PAD = -1


@dataclass(frozen=True)
class TopK:
    """Predicted labels of n rows.

    Attributes
    ----------
    ids : (n, k) int32, best first, −1 at padding.
    scores : (n, k) float32, non-increasing, −inf at padding.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def from_arrays(cls, ids: NDArray[Any], scores: NDArray[Any], k: int | None = None) -> TopK:
        """Sort (n, m) candidates into the order of predictions and keep k.

        Entries with a negative id or score −inf are padding.

        Raises
        ------
        DataError : shapes differ, ids aren't integers below 2³¹, a score is NaN or +inf, or a row holds a label
            twice (the message names the row).
        """
        ids, scores = np.asarray(ids), np.asarray(scores, dtype=np.float32)
        if ids.ndim != 2 or ids.shape != scores.shape:
            raise DataError(f"predictions: ids {ids.shape} and scores {scores.shape} must both be (rows, k)")
        if ids.size and not np.issubdtype(ids.dtype, np.integer):
            raise DataError(f"predictions: ids are {ids.dtype}, not whole numbers")
        if ids.size and ids.max() > np.iinfo(np.int32).max:
            raise DataError(f"predictions: label {ids.max()} is above {np.iinfo(np.int32).max}")
        not_finite = np.isnan(scores) | (scores == np.inf)
        if not_finite.any():
            row = int(np.flatnonzero(not_finite.any(axis=1))[0])
            raise DataError(f"predictions: row {row} has a score that is NaN or +inf", "Scores must be finite.")
        ids = np.where((ids < 0) | (scores == -np.inf), PAD, ids).astype(np.int32)
        scores = np.where(ids == PAD, np.float32(-np.inf), scores)
        by_id = np.sort(ids, axis=1)
        repeated = (by_id[:, 1:] == by_id[:, :-1]) & (by_id[:, 1:] != PAD)
        if repeated.any():
            row = int(np.flatnonzero(repeated.any(axis=1))[0])
            label = int(by_id[row, 1:][repeated[row]][0])
            raise DataError(f"predictions: row {row} names label {label} twice", "Merge its scores before ranking.")
        if not _ordered(ids, scores):
            order = np.lexsort((ids, -scores), axis=1)
            ids, scores = np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
        k = ids.shape[1] if k is None else k
        return cls(np.ascontiguousarray(ids[:, :k]), np.ascontiguousarray(scores[:, :k]))

    @classmethod
    def padding(cls, n_rows: int, k: int) -> TopK:
        """No predictions yet: only padding."""
        return cls(np.full((n_rows, k), PAD, np.int32), np.full((n_rows, k), -np.inf, np.float32))

    @classmethod
    def from_csr(cls, scores: sp.csr_matrix, k: int) -> TopK:
        """The k best stored entries of each row; explicit zeros are predictions with score 0."""
        counts = np.diff(scores.indptr)
        n = scores.shape[0]
        ids = np.full((n, min(max(int(counts.max(initial=0)), 1), k)), PAD, np.int32)
        best_scores = np.full(ids.shape, -np.inf, np.float32)
        by_length = np.argsort(counts, kind="stable")
        lengths, start = counts[by_length], 0
        while start < n:  # rows of similar length together, so that one long row does not pad all others
            widest = max(16, 2 * int(lengths[start]))
            similar_end = int(np.searchsorted(lengths, widest, side="right"))
            stop = min(similar_end, start + max(1, 20_000_000 // widest))  # bounds the memory of the padded arrays
            rows = by_length[start:stop]
            top = cls.from_arrays(*_padded(scores[rows], int(lengths[stop - 1])), k)
            ids[rows, : top.k], best_scores[rows, : top.k] = top.ids[:, : ids.shape[1]], top.scores[:, : ids.shape[1]]
            start = stop
        return cls(ids, best_scores)

    @property
    def n_rows(self) -> int:
        return int(self.ids.shape[0])

    @property
    def k(self) -> int:
        return int(self.ids.shape[1])

    def check(self, n_rows: int, n_labels: int) -> None:
        """Reject predictions that don't match the numbers of rows and labels, or are not in order.

        Raises
        ------
        DataError : the message names the first invalid row.
        """
        if self.ids.ndim != 2 or self.ids.dtype != np.int32 or self.ids.shape[0] != n_rows:
            raise DataError(
                f"predictions: ids are {self.ids.dtype} {self.ids.shape}, expected int32 with {n_rows} rows",
                "One row of predictions for each row of the data, in the same order.",
            )
        outside = (self.ids >= n_labels) | (self.ids < PAD)
        if outside.any():
            row = int(np.flatnonzero(outside.any(axis=1))[0])
            label = int(self.ids[row][outside[row]][0])
            raise DataError(f"predictions: row {row} names label {label}, valid are 0 to {n_labels - 1}")
        if self.scores.dtype != np.float32:
            raise DataError(f"predictions: scores are {self.scores.dtype}, expected float32")
        ordered = TopK.from_arrays(self.ids, self.scores)
        differs = (ordered.ids != self.ids) | (ordered.scores != self.scores)
        if differs.any():
            row = int(np.flatnonzero(differs.any(axis=1))[0])
            raise DataError(
                f"predictions: row {row} is not ordered by falling score, then rising label id, padding last",
                "Build predictions with TopK.from_arrays.",
            )

    def cut(self, k: int) -> TopK:
        """The first k columns."""
        return TopK(np.ascontiguousarray(self.ids[:, :k]), np.ascontiguousarray(self.scores[:, :k]))

    def without(self, pairs: NDArray[np.int64], k: int) -> TopK:
        """Remove the (row, label) pairs, (m, 2) int, close the gaps, and keep k columns.

        Label-feature data sets list such pairs (a product is no recommendation for itself); the official evaluation
        removes them before it keeps the first k.
        """
        if len(pairs) == 0:
            return self.cut(k)
        width = np.int64(max(int(self.ids.max(initial=0)), int(pairs[:, 1].max())) + 1)
        removed_keys = np.unique(pairs[:, 0].astype(np.int64) * width + pairs[:, 1])
        keys = np.arange(self.n_rows, dtype=np.int64)[:, None] * width + self.ids
        removed = np.isin(keys, removed_keys) & (self.ids != PAD)
        ids = np.where(removed, PAD, self.ids)
        return TopK.from_arrays(ids, np.where(removed, np.float32(-np.inf), self.scores), k)

    def save(self, path: Path) -> None:
        """Write `ids` and `scores` atomically as a compressed npz file."""
        write_npz(path, {"ids": self.ids, "scores": self.scores})

    @classmethod
    def load(cls, path: Path) -> TopK:
        """Read what `save` wrote.

        Raises
        ------
        DataError : the file is missing, damaged or holds something else.
        """
        arrays = read_npz(path)
        ids, scores = arrays.get("ids"), arrays.get("scores")
        if ids is None or scores is None or ids.ndim != 2 or ids.shape != scores.shape:
            raise DataError(f"{path}: not a predictions file: it needs ids and scores, both (rows, k)")
        return cls(ids, scores)


def checked(topk: object, n_rows: int, n_labels: int) -> TopK:
    """Check the return value of a method's `predict` against the numbers of rows and labels.

    Raises
    ------
    XmcError : it is not a TopK. DataError : see `TopK.check`.
    """
    if not isinstance(topk, TopK):
        kind = type(topk).__name__
        raise XmcError(f"predict returned a {kind}, not a TopK", "Build it with TopK.from_arrays(ids, scores).")
    topk.check(n_rows, n_labels)
    return topk


def _ordered(ids: NDArray[np.int32], scores: NDArray[np.float32]) -> bool:
    falling = scores[:, :-1] > scores[:, 1:]
    tied = (scores[:, :-1] == scores[:, 1:]) & ((ids[:, :-1] < ids[:, 1:]) | (ids[:, 1:] == PAD))
    return bool((falling | tied).all())


def _padded(matrix: sp.csr_matrix, width: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    ids = np.full((matrix.shape[0], width), PAD, np.int64)
    scores = np.full(ids.shape, -np.inf, np.float32)
    filled = np.arange(width) < np.diff(matrix.indptr)[:, None]
    ids[filled], scores[filled] = matrix.indices, matrix.data
    return ids, scores
