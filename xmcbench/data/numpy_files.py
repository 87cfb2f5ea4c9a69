"""Read matrices from numpy's files into CSR: npz of a scipy matrix, and dense npy. Nothing is ever unpickled."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.reading import opened
from xmcbench.errors import DataError, XmcError

WIDEST = 2**31 - 1  # ids are int32
SPARSE = "Write a sparse matrix with scipy.sparse.save_npz, or a dense one with numpy.save."

PARTS = {  # format of a sparse matrix → its arrays of ids and positions in an npz
    "csr": ("indices", "indptr"),
    "csc": ("indices", "indptr"),
    "bsr": ("indices", "indptr"),
    "coo": ("row", "col"),
    "dia": ("offsets",),
}


@contextmanager
def loading(path: Path, form: str, hint: str) -> Iterator[Any]:
    """The file, opened for numpy; an error of numpy or scipy about its content becomes a DataError: not `form`."""
    try:
        with opened(path) as file:
            yield file if isinstance(file, io.BufferedReader) else io.BytesIO(file.read())
    except XmcError:
        raise
    except Exception as error:  # numpy, scipy and zipfile raise many types for damaged files
        objects = "pickle" in str(error).lower()
        reason = "it holds Python objects, which are never loaded" if objects else str(error) or type(error).__name__
        again = "" if objects else " If the file was cut off or damaged, get it again."
        raise DataError(f"{path}: not {form} ({reason})", f"{hint}{again}") from error


def read_npz_csr(path: Path) -> sp.csr_matrix:
    """A matrix as `scipy.sparse.save_npz` writes it, of any format and type, as CSR with sorted, unique ids.

    DataError if it is damaged, no sparse matrix, or has ids out of range or twice in a row, or values that aren't
    finite numbers.
    """
    with loading(path, "a sparse matrix in npz form", SPARSE) as file:
        matrix: Any = _load_sparse(path, file)
        if matrix.format in ("csr", "csc", "bsr"):  # scipy's conversions don't check bounds
            matrix.check_format(full_check=True)
        matrix = _as_csr(matrix)
    _check_width(path, matrix.shape)
    non_finite = np.flatnonzero(~np.isfinite(matrix.data))
    if len(non_finite):
        row = int(np.searchsorted(matrix.indptr, non_finite[0], side="right")) - 1
        raise DataError(f"{path}: row {row} holds a value that is NaN or infinite: {matrix.data[non_finite[0]]}")
    matrix = sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)  # nothing is summed yet
    matrix.sort_indices()
    duplicates = np.flatnonzero(matrix.indices[1:] == matrix.indices[:-1]) + 1
    duplicates = duplicates[~np.isin(duplicates, matrix.indptr)]
    if len(duplicates):
        row = int(np.searchsorted(matrix.indptr, duplicates[0], side="right")) - 1
        raise DataError(
            f"{path}: row {row} names id {matrix.indices[duplicates[0]]} twice",
            "Merge them before saving: matrix.sum_duplicates().",
        )
    matrix.has_canonical_format = True
    return matrix


def _load_sparse(path: Path, file: Any) -> Any:
    """The matrix of an npz in its own format, with nothing summed; DataError if the arrays are those of something else.

    `scipy.sparse.load_npz` cuts ids such as 1.5 to whole numbers, and refuses or mixes up types of values that scipy
    can't compute with, such as float16.
    """
    with np.load(file, allow_pickle=False) as npz:
        if "format" not in npz.files:
            arrays = [f"{name} {npz[name].shape}" for name in npz.files]
            dense = len(arrays) == 1 and npz[npz.files[0]].ndim == 2
            what = "a dense matrix, not a sparse matrix" if dense else "not a sparse matrix"
            raise DataError(f"{path}: {what} in npz form: it contains {', '.join(arrays) or 'nothing'}", SPARSE)
        form = npz["format"].item()
        form = form.decode("ascii", "backslashreplace") if isinstance(form, bytes) else str(form)
        if form not in PARTS:
            problem = f"its format is {form!r}, valid are {', '.join(PARTS)}"
            raise DataError(f"{path}: not a sparse matrix in npz form: {problem}", SPARSE)
        shape = tuple(npz["shape"].tolist())
        if len(shape) != 2:
            raise DataError(f"{path}: an array of shape {shape}, not a matrix", "Its shape must be (rows, columns).")
        parts = [npz[name] for name in PARTS[form]]
        data = plain_numbers(path, npz["data"])
    for name, part in zip(PARTS[form], parts, strict=True):
        if part.dtype.kind not in "iu":
            raise DataError(f"{path}: its array {name!r} has {part.dtype}, not whole numbers", SPARSE)
    if form == "coo":
        return sp.coo_matrix((data, tuple(parts)), shape=shape)
    return getattr(sp, f"{form}_matrix")((data, *parts), shape=shape)


def _as_csr(matrix: Any) -> sp.csr_matrix:
    """The same entries as CSR; scipy would add up those of a COO matrix that have the same row and id."""
    if matrix.format != "coo":
        return sp.csr_matrix(matrix)
    order = np.argsort(matrix.row, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(matrix.row, minlength=matrix.shape[0]))])
    return sp.csr_matrix((matrix.data[order], matrix.col[order], starts), shape=matrix.shape)


def read_npy(path: Path) -> NDArray[Any]:
    """A dense matrix as `numpy.save` writes it, (rows, columns), see `plain_numbers`; DataError otherwise."""
    with loading(path, "a whole npy file of numbers", "Save an array of numbers with numpy.save.") as file:
        array = np.load(file, allow_pickle=False)
    if array.ndim != 2:
        raise DataError(f"{path}: an array of shape {array.shape}, not a matrix", "Its shape must be (rows, columns).")
    array = plain_numbers(path, array)
    _check_width(path, array.shape)
    non_finite = ~np.isfinite(array)
    if non_finite.any():
        row = int(non_finite.any(axis=1).argmax())
        column = int(non_finite[row].argmax())
        raise DataError(f"{path}: row {row}, column {column} is {array[row, column]}", "All values must be finite.")
    return np.asarray(array)


def as_float32(path: Path, matrix: sp.csr_matrix) -> sp.csr_matrix:
    """The same matrix with float32 values; DataError if float32 can't hold one."""
    with np.errstate(over="ignore"):
        values = matrix.data.astype(np.float32)  # `matrix.astype` would silently sum duplicates
    too_large = np.flatnonzero(~np.isfinite(values))
    if len(too_large):
        row = int(np.searchsorted(matrix.indptr, too_large[0], side="right")) - 1
        raise DataError(f"{path}: row {row} holds a value too large for float32: {matrix.data[too_large[0]]}")
    same = sp.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
    same.has_canonical_format = True
    return same


def plain_numbers(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in a type that scipy can compute with: in this machine's byte order, float16 as float32.

    DataError if they are no real numbers, such as complex numbers, texts, dates or records.
    """
    if array.dtype.kind not in "fiub":
        hint = "Save real numbers, such as array.real." if array.dtype.kind == "c" else "Save an array of numbers."
        raise DataError(f"{path}: values are {array.dtype}, not numbers", hint)
    native = np.dtype(np.float32) if array.dtype.itemsize == 2 and array.dtype.kind == "f" else array.dtype
    return array.astype(native.newbyteorder("="), copy=False)


def _check_width(path: Path, shape: tuple[int, ...]) -> None:
    if shape[1] > WIDEST:
        raise DataError(f"{path}: {shape[1]} columns, at most {WIDEST} are possible")
