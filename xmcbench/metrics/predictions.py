"""Reads predictions from a file: npz CSR, npz of ids and scores, or XMC text. Pickled objects are never loaded."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError
from xmcbench.topk import PAD, TopK

IDS = ("ids", "indices", "labels")  # accepted names of the (n, k) label ids; the first one present is read
SCORES = ("scores", "values")
ACCEPTED = (
    f"Accepted: npz with {' or '.join(IDS)} and {' or '.join(SCORES)}, both (rows, k); npz of a CSR matrix by "
    "scipy.sparse.save_npz; text 'rows labels', then a line of id:score pairs per row."
)
_DAMAGED = (OSError, ValueError, KeyError, EOFError, TypeError, IndexError, zipfile.BadZipFile, zlib.error)


def read_predictions(path: Path, n_rows: int, n_labels: int, k: int | None = None) -> TopK:
    """The k best labels per row (None: all in the file), sorted as `TopK` sorts them.

    In CSR and text, a stored score of 0 is a prediction with score 0; labels that are not stored are not predicted. In
    arrays of ids and scores, id −1 or score −inf is padding.

    Raises
    ------
    DataError : damaged file, other rows or labels than (n_rows, n_labels), a score NaN or +inf, a label twice in a row.
    """
    path = Path(path)
    arrays = _arrays(path)
    if arrays is None:
        return _from_matrix(path, n_rows, n_labels, k)
    ids, scores = arrays
    if ids.dtype.kind not in "iu" or ids.ndim != 2 or scores.shape != ids.shape or scores.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: ids are {ids.dtype} {ids.shape} and scores {scores.dtype} {scores.shape}",
            "Both must be (rows, k): ids of whole numbers, scores of numbers.",
        )
    _check_rows(path, ids.shape[0], n_rows)
    outside = (ids >= n_labels) | (ids < PAD) if ids.dtype.kind == "i" else ids >= n_labels
    if outside.any():
        row = int(np.flatnonzero(outside.any(axis=1))[0])
        label = int(ids[row][outside[row]][0])
        raise DataError(
            f"{path}: row {row} names label {label}, valid are 0 to {n_labels - 1}", "Pad short rows with −1."
        )
    return _named(path, lambda: TopK.from_arrays(ids, scores, k))


def _from_matrix(path: Path, n_rows: int, n_labels: int, k: int | None) -> TopK:
    from xmcbench.data.formats import read_matrix
    from xmcbench.data.reading import read_sparse

    matrix = read_matrix(path) if _is_npz(path) else read_sparse(path)
    _check_rows(path, int(matrix.shape[0]), n_rows)
    if matrix.shape[1] != n_labels:
        raise DataError(
            f"{path}: predictions over {matrix.shape[1]} labels, the truth has {n_labels}",
            "Both must use one label space, ids counted from 0.",
        )
    widest = int(np.diff(matrix.indptr).max(initial=0))
    return _named(path, lambda: TopK.from_csr(matrix, max(1, widest if k is None else k)))


def _arrays(path: Path) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """(ids, scores) of an npz, or None for text or an npz of a sparse matrix, which `xmcbench.data.formats` reads."""
    if not _is_npz(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as npz:
            if "indptr" in npz.files or "format" in npz.files:
                return None
            ids = next((name for name in IDS if name in npz.files), None)
            scores = next((name for name in SCORES if name in npz.files), None)
            if ids and scores:
                return npz[ids], npz[scores]
            members = ", ".join(npz.files)
    except _DAMAGED as error:
        raise DataError(f"{path}: not a whole npz of plain arrays ({error})", ACCEPTED) from error
    raise DataError(f"{path}: contains {members or 'nothing'}, not predictions", ACCEPTED)


def _is_npz(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"PK"
    except OSError as error:
        raise DataError(f"{path}: can't read ({error.strerror or error})", ACCEPTED) from error


def _check_rows(path: Path, n_predicted: int, n_rows: int) -> None:
    if n_predicted != n_rows:
        raise DataError(
            f"{path}: {n_predicted} rows of predictions, the truth has {n_rows} rows",
            "One row of predictions for each test row, in the same order.",
        )


def _named(path: Path, build: Any) -> TopK:
    """Add the path to the errors of `TopK`."""
    try:
        topk: TopK = build()
    except DataError as error:
        raise DataError(f"{path}: {error.message}", error.hint) from error
    return topk
