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
        matrix = sp.csr_matrix(matrix)
    _check_numbers(path, matrix.dtype, matrix.shape)
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
    """What scipy reads from an npz; DataError that names the arrays if they are those of something else."""
    with np.load(file, allow_pickle=False) as npz:
        if "format" not in npz.files:
            arrays = [f"{name} {npz[name].shape}" for name in npz.files]
            dense = len(arrays) == 1 and npz[npz.files[0]].ndim == 2
            what = "a dense matrix, not a sparse matrix" if dense else "not a sparse matrix"
            raise DataError(f"{path}: {what} in npz form: it contains {', '.join(arrays) or 'nothing'}", SPARSE)
    file.seek(0)
    return sp.load_npz(file)  # with allow_pickle=False


def read_npy(path: Path) -> NDArray[Any]:
    """A dense matrix as `numpy.save` writes it, (rows, columns) numbers of its own type; DataError otherwise."""
    with loading(path, "a whole npy file of numbers", "Save an array of numbers with numpy.save.") as file:
        array = np.load(file, allow_pickle=False)
    if array.ndim != 2:
        raise DataError(f"{path}: an array of shape {array.shape}, not a matrix", "Its shape must be (rows, columns).")
    _check_numbers(path, array.dtype, array.shape)
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


def _check_numbers(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    if shape[1] > WIDEST:
        raise DataError(f"{path}: {shape[1]} columns, at most {WIDEST} are possible")
    if dtype.kind not in "fiub":
        raise DataError(f"{path}: values are {dtype}, not numbers")
