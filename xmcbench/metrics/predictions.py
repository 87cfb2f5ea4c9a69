"""Read predictions from a file: npz, npy, XMC text or JSON. Pickled objects are never loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.formats import HEAD, NPY, NPZ, ONE_FILE, OTHER, SVMLIGHT, TWO_FILE, form_of, from_one, no_matrix
from xmcbench.data.matrix_text import BOM, read_scores
from xmcbench.data.numpy_files import loading, plain_numbers, read_npy, read_npz_csr
from xmcbench.data.reading import opened
from xmcbench.errors import DataError, counted
from xmcbench.metrics.json_predictions import is_json, read_json
from xmcbench.npz_files import opened_npz
from xmcbench.topk import PAD, RANKED, TopK

if TYPE_CHECKING:
    from xmcbench.metrics.truth import Truth

IDS = ("ids", "indices", "labels")  # accepted names of the (n, k) label ids; the first one present is read
SCORES = ("scores", "values")
ACCEPTED = (
    f"Accepted: npz with {' or '.join(IDS)} and {' or '.join(SCORES)}, both (rows, k); npz of a CSR matrix by "
    "scipy.sparse.save_npz; npy of all scores, (rows, labels); text with a line of id:score pairs per row, with or "
    "without a first line 'rows labels'; JSON with a row per line, such as [[id, score], …]."
)
ONE_BASED = " If the ids in the file count from 1, say so with --one-based predictions."


@dataclass(frozen=True)
class Given:
    """Predictions for n rows as a file gives them, at its precision: either arrays or a sparse matrix.

    Attributes
    ----------
    path : the file. arrays : (n, m) label ids, −1 at padding, and their scores.
    matrix : (n, L) CSR; stored entries are predictions, also those of score 0.
    ranked : the order of the columns of `arrays` is the ranking, see `xmcbench.topk.RANKED`.
    """

    path: Path
    arrays: tuple[NDArray[Any], NDArray[Any]] | None = None
    matrix: sp.csr_matrix | None = None
    ranked: bool = False

    def topk(self, n_labels: int, k: int | None = None) -> TopK:
        """The k best labels per row (None: all); DataError, with the file, for what `TopK` rejects."""
        try:
            if self.arrays is None:
                assert self.matrix is not None
                widest = int(np.diff(self.matrix.indptr).max(initial=0))
                return TopK.from_csr(self.matrix, max(1, widest if k is None else k))
            ids, scores = self.arrays
            if not self.ranked:
                return TopK.from_arrays(ids, scores, k)
            top = TopK(ids, scores)
            top.check(len(ids), n_labels)
            return top.cut(top.k if k is None else k)
        except DataError as error:
            raise DataError(f"{self.path}: {error.message}", error.hint) from error

    def csr(self, n_labels: int, pairs: NDArray[np.int64]) -> sp.csr_matrix:
        """(n, L) CSR of the scores as given, without the (m, 2) filter `pairs`."""
        if self.arrays is None:
            assert self.matrix is not None
            rows = np.repeat(np.arange(self.matrix.shape[0]), np.diff(self.matrix.indptr))
            ids, scores, shape = self.matrix.indices, self.matrix.data, self.matrix.shape
        else:
            shape = (len(self.arrays[0]), n_labels)
            rows, columns = np.nonzero(self.arrays[0] != PAD)
            ids, scores = (array[rows, columns] for array in self.arrays)
        kept = ~np.isin(rows.astype(np.int64) * n_labels + ids, pairs[:, 0] * n_labels + pairs[:, 1])
        return sp.csr_matrix((scores[kept], (rows[kept], ids[kept])), shape=shape)


def read_predictions(path: Path, n_rows: int, n_labels: int, k: int | None = None, *, one_based: bool = False) -> TopK:
    """The k best labels per row (None: all in the file), ranked as `TopK.from_arrays` ranks them; see `read_given`."""
    return read_given(path, n_rows, n_labels, one_based=one_based).topk(n_labels, k)


def read_given(path: Path, n_rows: int, n_labels: int, *, one_based: bool = False) -> Given:
    """Predictions at the precision of the file.

    In CSR and text, a stored score of 0 is a prediction with score 0; labels that are not stored are not predicted. In
    arrays of ids and scores, id −1 is padding. A dense npy predicts every label. `one_based`: label ids count from 1.

    Raises
    ------
    DataError : damaged file, other rows or labels than (n_rows, n_labels), an id outside, a score that isn't finite.
    """
    path = Path(path)
    form = form_of(path, ACCEPTED)
    if form == NPZ and (arrays := _arrays(path)) is not None:
        ids, scores = _checked(path, *arrays[:2], n_labels, one_based)
        _check_rows(path, len(ids), n_rows)
        return Given(path, (ids, scores), ranked=arrays[2] and scores.dtype == np.float32)
    if form in (ONE_FILE, TWO_FILE, OTHER):
        _reject_bare_ids(path, n_rows, n_labels)
    if form == ONE_FILE:
        raise DataError(f"{path}, line 1: three numbers, as of features and labels, not of predictions", ACCEPTED)
    if form == NPZ:
        matrix = read_npz_csr(path)
        if one_based:
            matrix = from_one(path, matrix)
            if matrix.shape[1] == n_labels - 1:  # saved with a column for each label: none for the last id
                matrix.resize(matrix.shape[0], n_labels)
    elif form == NPY:
        matrix = _from_dense(path, read_npy(path), n_labels, one_based)
    elif form in (TWO_FILE, SVMLIGHT):
        matrix = read_scores(path, n_rows, n_labels, header=form == TWO_FILE, one_based=one_based)
    elif is_json(path):
        matrix = read_json(path, n_labels, one_based=one_based)
    else:
        raise no_matrix(path, ACCEPTED)
    _check_rows(path, int(matrix.shape[0]), n_rows)
    if matrix.shape[1] != n_labels:
        raise DataError(
            f"{path}: predictions over {matrix.shape[1]} labels, the truth has {n_labels}",
            "Both must use one label space." + ("" if one_based else ONE_BASED),
        )
    return Given(path, matrix=matrix)


def base_note(given: Given, top: TopK, truth: Truth, *, one_based: bool, truth_is_file: bool) -> list[str]:
    """A note if ids of the predictions seem to count from another number than those of the truth; otherwise none.

    This is so if all ids stay within the labels when shifted by one, and the first five labels of the first 10,000 rows
    then have far more hits: twice as many, and more by three standard deviations of the difference.

    `given`, `top` : the file and its best labels, with ids from 0 as `one_based` says. `truth_is_file`: its base is an
    option, too.
    """
    if given.arrays is not None:
        ids = given.arrays[0]
    else:
        assert given.matrix is not None
        ids = given.matrix.indices
    first = top.ids[:10_000, :5].astype(np.int64)
    starts = np.arange(len(first) + 1) * truth.n_labels
    n_true = truth.indptr[: len(first) + 1]
    true = np.repeat(starts[:-1], np.diff(n_true)) + truth.indices[: n_true[-1]]
    hits = {
        shift: int((np.isin(first + shift + starts[:-1, None], true) & (first != PAD)).sum()) for shift in (-1, 0, 1)
    }
    in_truth = "if ids of the truth count from 1, give --one-based truth" if truth_is_file else ""
    for shift, edge, what, advice in (
        (-1, 0, "lower", "" if one_based else "if their ids count from 1, give --one-based predictions"),
        (1, truth.n_labels - 1, "higher", "leave out --one-based predictions" if one_based else in_truth),
    ):
        many = hits[shift] > 2 * hits[0] and hits[shift] - hits[0] >= 3 * np.sqrt(hits[shift] + hits[0])
        if many and advice and not (ids == edge).any():
            found = f"no prediction names id {edge + one_based}; with ids one {what}, predictions would have"
            return [f"{found} {counted(hits[shift], 'hit')} and not {hits[0]:,}: {advice}"]
    return []


def _checked(
    path: Path, ids: NDArray[Any], scores: NDArray[Any], n_labels: int, one_based: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The same arrays, checked, with ids that count from 0."""
    if ids.dtype.kind not in "iu" or ids.ndim != 2 or scores.shape != ids.shape or scores.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: ids are {ids.dtype} {ids.shape} and scores {scores.dtype} {scores.shape}",
            "Both must be (rows, k): ids of whole numbers, scores of numbers.",
        )
    base = int(one_based)
    real = ids != PAD if ids.dtype.kind == "i" else np.ones(ids.shape, bool)
    outside = real & ((ids < base) | (ids >= n_labels + base))
    if outside.any():
        row = int(outside.any(axis=1).argmax())
        label = int(ids[row][outside[row]][0])
        raise DataError(
            f"{path}: row {row} names label {label}, valid are {base} to {n_labels - 1 + base}",
            "Pad short rows with id −1; no other id marks padding.",
        )
    return (np.where(real, ids.astype(np.int64) - base, PAD) if one_based else ids), scores


def _from_dense(path: Path, scores: NDArray[Any], n_labels: int, one_based: bool) -> sp.csr_matrix:
    """CSR in which every entry is stored."""
    if scores.shape[1] != n_labels + one_based:
        raise DataError(
            f"{path}: a dense matrix {scores.shape}, expected a score for each of {n_labels + one_based} labels",
            "Label ids need scores next to them: numpy.savez(file, ids=ids, scores=scores).",
        )
    if one_based:
        if scores[:, 0].any():
            row = int(np.flatnonzero(scores[:, 0])[0])
            message = f"{path}: row {row} has a score for id 0 in a file with one-based ids"
            raise DataError(message, "Leave out --one-based for this file.")
        scores = scores[:, 1:]
    n, width = scores.shape
    indices = np.tile(np.arange(width, dtype=np.int32), n)
    return sp.csr_matrix((scores.ravel(), indices, np.arange(n + 1) * width), shape=scores.shape)


def _reject_bare_ids(path: Path, n_rows: int, n_labels: int) -> None:
    """DataError for a text of whole numbers alone, whose first line would otherwise be read as a header."""
    with opened(path) as file:
        lines = file.read(HEAD).removeprefix(BOM).splitlines()
    rows = [(number, words) for number, line in enumerate(lines, 1) if (words := line.replace(b",", b" ").split())]
    if rows and rows[0][1] == [b"%d" % n_rows, b"%d" % n_labels]:
        del rows[0]
    elif len(rows) == 1:  # a wrong header of empty rows, more likely
        return
    if rows and all(re.fullmatch(rb"-?\d+", word) for _, words in rows for word in words):
        number, words = rows[0]
        pairs = b" ".join(b"%s:%g" % (word, 1 / place) for place, word in enumerate(words[:3], 1)).decode()
        raise DataError(
            f"{path}, line {number}: ids without scores",
            f"Each id needs its score, which gives the ranking: id:score, such as '{pairs}' if ids are best first.",
        )


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any], bool] | None:
    """(ids, scores, whether columns are ranked) of an npz, or None for that of a sparse matrix."""
    with loading(path, "a whole npz of plain arrays", ACCEPTED) as file, opened_npz(file) as npz:
        if "indptr" in npz.files or "format" in npz.files:
            return None
        ids = next((name for name in IDS if name in npz.files), None)
        scores = next((name for name in SCORES if name in npz.files), None)
        if ids and scores:
            return npz[ids], plain_numbers(path, npz[scores]), RANKED in npz.files
        members = ", ".join(f"{name} {npz[name].shape}" for name in npz.files)
    missing = "ids without scores" if ids else "scores without ids" if scores else "not predictions"
    raise DataError(f"{path}: contains {members or 'nothing'}: {missing}", ACCEPTED)


def _check_rows(path: Path, n_predicted: int, n_rows: int) -> None:
    if n_predicted != n_rows:
        raise DataError(
            f"{path}: {n_predicted} rows of predictions, the truth has {n_rows} rows",
            "One row of predictions for each test row, in the same order.",
        )
