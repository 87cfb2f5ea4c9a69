"""Predictions: the k best label ids of each row and their scores.

The order of the columns is the ranking: score descending, compared at the precision in which the scores are given, and
among equal scores label id ascending. Scores are stored as float32, which may make different scores equal; the order
stays that of the given scores. Rows with fewer labels are padded with id −1 and score −inf; padding counts as a miss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, XmcError
from xmcbench.files import write_npz
from xmcbench.npz_files import read_npz

if TYPE_CHECKING:
    import scipy.sparse as sp

Numbers = Sequence[int] | NDArray[np.int64]

PAD = -1
BLOCK = 16_384  # rows that are checked at a time
LARGEST = float(np.finfo(np.float32).max)
RANKED = "ranked"  # in a file: float32 scores tie where the given scores did not, so the order of columns must be kept


@dataclass(frozen=True)
class TopK:
    """Predicted labels of n rows.

    Attributes
    ----------
    ids : (n, k) int32, best first, −1 at padding.
    scores : (n, k) float32, non-increasing, −inf at padding.
    given : (n, k) the scores at the precision in which they were given, any value at padding; None if that is float32,
        or is not known. Not saved. `tied` reads it.

    Examples
    --------
    >>> import numpy as np
    >>> topk = TopK.from_arrays(np.array([[4, 7, 2]]), np.array([[0.1, 0.5, 0.5]]), k=2)
    >>> topk.ids.tolist(), topk.scores.tolist()
    ([[2, 7]], [[0.5, 0.5]])
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    given: NDArray[Any] | None = None

    @classmethod
    def from_arrays(cls, ids: NDArray[Any], scores: NDArray[Any], k: int | None = None) -> TopK:
        """Rank (n, m) candidates by their scores as given, ties by label id, and keep k.

        Scores are floats or integers of any precision. Entries with id −1 are padding, and their scores are not read.
        Scores beyond float32 are stored as its largest or smallest finite number.

        Raises
        ------
        DataError : shapes differ, ids aren't integers from −1 to 2³¹ − 1, a label's score is NaN or infinite, or a row
            holds a label twice (the message names the row).
        """
        return cls._ranked(np.asarray(ids), np.asarray(scores), k, range(len(ids)))

    @classmethod
    def _ranked(cls, ids: NDArray[Any], scores: NDArray[Any], k: int | None, rows: Numbers) -> TopK:
        """`from_arrays`; errors name a row by its number in `rows`."""
        _check_values(ids, scores, rows)
        if scores.dtype in (np.float16, np.bool_):  # float32 holds all their values
            scores = scores.astype(np.float32)
        ids = ids.astype(np.int32)
        padding = ids == PAD
        if scores.dtype.kind == "f":
            scores = np.where(padding, scores.dtype.type(-np.inf), scores)
            order = None if _ordered(ids, scores) else np.lexsort((ids, -scores), axis=1)
        else:
            order = np.lexsort((ids, ~scores, padding), axis=1)  # ~x falls as x rises, and can't overflow as −x can
        if order is not None:
            ids, scores = np.take_along_axis(ids, order, axis=1), np.take_along_axis(scores, order, axis=1)
        ids, scores = np.ascontiguousarray(ids[:, :k]), np.ascontiguousarray(scores[:, :k])
        if scores.dtype == np.float32:
            return cls(ids, scores)
        stored = np.clip(scores, -LARGEST, LARGEST).astype(np.float32)
        return cls(ids, np.where(ids == PAD, np.float32(-np.inf), stored), scores)

    @classmethod
    def padding(cls, n_rows: int, k: int) -> TopK:
        """No predictions yet: only padding."""
        return cls(np.full((n_rows, k), PAD, np.int32), np.full((n_rows, k), -np.inf, np.float32))

    @classmethod
    def from_csr(cls, scores: sp.csr_matrix, k: int) -> TopK:
        """The k best stored entries of each row; explicit zeros are predictions with score 0."""
        if scores.dtype == np.float16:  # scipy can't select rows of such a matrix
            scores = scores.astype(np.float32)
        counts = np.diff(scores.indptr)
        n = scores.shape[0]
        top = cls.padding(n, min(max(int(counts.max(initial=0)), 1), k))
        given = None if scores.dtype == np.float32 else np.zeros(top.ids.shape, scores.dtype)
        by_length = np.argsort(counts, kind="stable")
        lengths, start = counts[by_length], 0
        while start < n:  # rows of similar length together, so that one long row does not pad all others
            widest = max(16, 2 * int(lengths[start]))
            similar_end = int(np.searchsorted(lengths, widest, side="right"))
            stop = min(similar_end, start + max(1, 20_000_000 // widest))  # bounds the memory of the padded arrays
            rows = by_length[start:stop]
            part = cls._ranked(*_padded(scores[rows], int(lengths[stop - 1])), top.k, rows)
            top.ids[rows, : part.k], top.scores[rows, : part.k] = part.ids, part.scores
            if given is not None and part.given is not None:
                given[rows, : part.k] = part.given
            start = stop
        return cls(top.ids, top.scores, given)

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
        if self.scores.dtype != np.float32:
            raise DataError(f"predictions: scores are {self.scores.dtype}, expected float32")
        _check_shapes(self.ids, self.scores)
        for rows in _blocks(n_rows):
            self._check_block(rows, n_labels)

    def _check_block(self, rows: range, n_labels: int) -> None:
        ids, scores = self.ids[rows.start : rows.stop], self.scores[rows.start : rows.stop]
        outside = (ids >= n_labels) | (ids < PAD)
        if outside.any():
            row = int(np.flatnonzero(outside.any(axis=1))[0])
            label = int(ids[row][outside[row]][0])
            raise DataError(f"predictions: row {rows[row]} names label {label}, valid are 0 to {n_labels - 1}")
        _check_values(ids, scores, rows)
        padding = ids == PAD
        falling = (scores[:, :-1] >= scores[:, 1:]) & (padding[:, :-1] <= padding[:, 1:])
        wrong = (padding & (scores != -np.inf)).any(axis=1) | ~falling.all(axis=1)
        if wrong.any():
            row = rows[int(wrong.argmax())]
            raise DataError(
                f"predictions: row {row} is not ordered by falling score, padding last with score −inf",
                "Build predictions with TopK.from_arrays.",
            )

    def cut(self, k: int) -> TopK:
        """The first k columns."""
        given = None if self.given is None else np.ascontiguousarray(self.given[:, :k])
        return TopK(np.ascontiguousarray(self.ids[:, :k]), np.ascontiguousarray(self.scores[:, :k]), given)

    def without(self, pairs: NDArray[np.int64], k: int) -> TopK:
        """Remove the (row, label) pairs, (m, 2) int, close the gaps, and keep k columns.

        Label-feature data sets list such pairs (a product is no recommendation for itself); the official evaluation
        removes them before it keeps the first k.
        """
        rows = np.unique(pairs[:, 0])
        rows = rows[rows < self.n_rows]
        if len(rows) == 0:
            return self.cut(k)
        width = np.int64(max(int(self.ids.max(initial=0)), int(pairs[:, 1].max())) + 1)
        removed = np.isin(rows[:, None] * width + self.ids[rows], pairs[:, 0].astype(np.int64) * width + pairs[:, 1])
        removed &= self.ids[rows] != PAD
        order = np.argsort(removed, axis=1, kind="stable")  # the other labels stay in order
        top = TopK(self.ids.copy(), self.scores.copy(), None if self.given is None else self.given.copy())
        top.ids[rows] = np.take_along_axis(np.where(removed, PAD, self.ids[rows]), order, axis=1)
        top.scores[rows] = np.take_along_axis(np.where(removed, -np.inf, self.scores[rows]), order, axis=1)
        if top.given is not None:
            top.given[rows] = np.take_along_axis(top.given[rows], order, axis=1)
        return top.cut(k)

    def tied(self, k: int) -> NDArray[np.bool_]:
        """(n,) whether two of a row's first k labels, or labels k and k + 1, have equal scores as given."""
        scores = (self.scores if self.given is None else self.given)[:, : k + 1]
        ids = self.ids[:, : k + 1]
        # Labels with equal scores have rising ids, and padding is not above the id before it.
        tied: NDArray[np.bool_] = (scores[:, :-1] == scores[:, 1:]) & (ids[:, :-1] < ids[:, 1:])
        return np.asarray(tied.any(axis=1))

    def save(self, path: Path) -> None:
        """Write `ids` and `scores` atomically as a compressed npz file, with `RANKED` if needed."""
        arrays: dict[str, NDArray[Any]] = {"ids": self.ids, "scores": self.scores}
        blocks = _blocks(self.n_rows)
        if not all(_ordered(self.ids[b.start : b.stop], self.scores[b.start : b.stop]) for b in blocks):
            arrays[RANKED] = np.array(True)
        write_npz(path, arrays)

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
        if ids.dtype != np.int32 or scores.dtype != np.float32:
            found = f"ids are {ids.dtype} and scores {scores.dtype}"
            raise DataError(f"{path}: not a predictions file: {found}, expected int32 and float32")
        try:
            for rows in _blocks(len(ids)):
                _check_values(ids[rows.start : rows.stop], scores[rows.start : rows.stop], rows)
        except DataError as error:
            raise DataError(f"{path}: {error.message}", error.hint) from error
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
    arrays = {"ids": topk.ids, "scores": topk.scores, "given scores": topk.given}
    for name, array in arrays.items():
        if not (isinstance(array, np.ndarray) or (array is None and name == "given scores")):
            raise XmcError(f"predict returned a TopK whose {name} are a {type(array).__name__}, not a numpy array")
    topk.check(n_rows, n_labels)
    if topk.given is not None and topk.given.shape != topk.ids.shape:
        raise XmcError(f"predict returned a TopK with ids {topk.ids.shape} and given scores {topk.given.shape}")
    return topk


def _check_shapes(ids: NDArray[Any], scores: NDArray[Any]) -> None:
    if ids.ndim != 2 or ids.shape != scores.shape:
        raise DataError(f"predictions: ids {ids.shape} and scores {scores.shape} must both be (rows, k)")


def _blocks(n_rows: int) -> list[range]:
    """Pieces of 0 … n − 1, so that what is computed on the way takes little beside the predictions."""
    return [range(start, min(start + BLOCK, n_rows)) for start in range(0, n_rows, BLOCK)]


def _check_values(ids: NDArray[Any], scores: NDArray[Any], rows: Numbers) -> None:
    """Raise DataError unless `ids` and `scores` are what `TopK.from_arrays` accepts; it has a number of `rows`."""
    _check_shapes(ids, scores)
    if ids.size == 0:
        return
    if not np.issubdtype(ids.dtype, np.integer):
        raise DataError(f"predictions: ids are {ids.dtype}, not whole numbers")
    if scores.dtype.kind not in "fiub":
        raise DataError(f"predictions: scores are {scores.dtype}, not numbers")
    if ids.max() > np.iinfo(np.int32).max:
        raise DataError(f"predictions: label {ids.max()} is above {np.iinfo(np.int32).max}")
    if ids.min() < PAD:
        row = int((ids < PAD).any(axis=1).argmax())
        raise DataError(f"predictions: row {rows[row]} names label {ids[row].min()}", "Only id −1 marks padding.")
    not_finite = ~np.isfinite(scores) & (ids != PAD)
    if not_finite.any():
        row = int(not_finite.any(axis=1).argmax())
        at = int(not_finite[row].argmax())
        raise DataError(
            f"predictions: row {rows[row]} has a score that is NaN, +inf or −inf: "
            f"label {ids[row, at]}, {scores[row, at]}",
            "Scores must be finite; only id −1 marks padding.",
        )
    reject_repeats(ids, rows)


def reject_repeats(ids: NDArray[Any], rows: Numbers) -> None:
    """DataError if a row of (n, k) ids names a label twice; the message names the row by its number in `rows`, (n,)."""
    by_id = np.sort(ids, axis=1)
    repeated = (by_id[:, 1:] == by_id[:, :-1]) & (by_id[:, 1:] != PAD)
    if repeated.any():
        row = int(repeated.any(axis=1).argmax())
        label = int(by_id[row, 1:][repeated[row]][0])
        raise DataError(f"predictions: row {rows[row]} names label {label} twice", "Merge its scores before ranking.")


def _ordered(ids: NDArray[np.int32], scores: NDArray[Any]) -> bool:
    """Whether scores fall and ties are in the order of ids; `scores` are floats with −inf at padding."""
    falling = scores[:, :-1] > scores[:, 1:]
    tied = (scores[:, :-1] == scores[:, 1:]) & ((ids[:, :-1] < ids[:, 1:]) | (ids[:, 1:] == PAD))
    return bool((falling | tied).all())


def _padded(matrix: sp.csr_matrix, width: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    ids = np.full((matrix.shape[0], width), PAD, np.int64)
    scores = np.zeros(ids.shape, matrix.dtype)
    filled = np.arange(width) < np.diff(matrix.indptr)[:, None]
    ids[filled], scores[filled] = matrix.indices, matrix.data
    return ids, scores
