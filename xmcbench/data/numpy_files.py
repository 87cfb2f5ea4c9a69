"""Read matrices from numpy's files into CSR: npz of a scipy matrix, and dense npy. Nothing is ever unpickled."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench import limits
from xmcbench.data.reading import is_packed, opened
from xmcbench.errors import DataError, XmcError
from xmcbench.inputs import reason
from xmcbench.npz_files import check_npy_header, opened_npz

TWO_SIDES = "Its shape must be (rows, columns)."
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
            yield io.BytesIO(file.read()) if is_packed(file) else file
    except XmcError:
        raise
    except Exception as error:  # numpy, scipy and zipfile raise many types for damaged files
        objects = "pickle" in str(error).lower()
        problem = "it holds Python objects, which are never loaded" if objects else reason(error)
        again = "" if objects else " If the file was cut off or damaged, get it again."
        raise DataError(f"{path}: not {form} ({problem})", f"{hint}{again}") from error


def read_npz_csr(path: Path) -> sp.csr_matrix:
    """A matrix as `scipy.sparse.save_npz` writes it, of any format and type, as CSR with sorted, unique ids.

    DataError if it is damaged, no sparse matrix, or has ids out of range or twice in a row, or values that aren't
    finite numbers.
    """
    with loading(path, "a sparse matrix in npz form", SPARSE) as file, opened_npz(file) as npz:
        matrix = _as_csr(path, *_parts(path, npz))
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


def _parts(path: Path, npz: Any) -> tuple[str, tuple[int, int], dict[str, NDArray[Any]]]:
    """(format, shape, arrays) of a sparse matrix in an npz; DataError if the arrays are those of something else."""
    if "format" not in npz.files:
        arrays = [f"{name} {npz[name].shape}" for name in npz.files]
        dense = len(arrays) == 1 and npz[npz.files[0]].ndim == 2
        what = "a dense matrix, not a sparse matrix" if dense else "not a sparse matrix"
        raise DataError(f"{path}: {what} in npz form: it contains {', '.join(arrays) or 'nothing'}", SPARSE)
    form = npz["format"].item()
    form = form.decode("ascii", "backslashreplace") if isinstance(form, bytes) else str(form)
    if form not in PARTS:
        raise _unfit(path, f"its format is {form!r}, valid are {', '.join(PARTS)}")
    if "shape" in npz.files and npz["shape"].shape not in ((2,), ()):
        raise DataError(f"{path}: an array of shape {tuple(npz['shape'].tolist())}, not a matrix", TWO_SIDES)
    if missing := {"shape", "data", *PARTS[form]} - set(npz.files):
        raise _unfit(path, f"it has no array {min(missing)!r}")
    shape = npz["shape"]
    if shape.dtype.kind not in "iu" or shape.shape != (2,):
        raise _unfit(path, f"its array 'shape' is {shape} of {shape.dtype}, not two whole numbers")
    return form, tuple(shape.tolist()), {name: npz[name] for name in (*PARTS[form], "data")}


def _as_csr(path: Path, form: str, shape: tuple[int, int], arrays: dict[str, NDArray[Any]]) -> sp.csr_matrix:
    """The matrix of `arrays` in the format `form` as CSR, with nothing summed or left out.

    DataError, with `path`, unless every id, position and length fits: scipy trusts them, cuts ids such as 1.5 to whole
    numbers, and reads or writes beyond the end of arrays.
    """
    data = plain_numbers(path, arrays["data"])
    _check_shape(path, shape, sum(array.nbytes for array in arrays.values()))
    for name in PARTS[form]:
        if arrays[name].dtype.kind not in "iu":
            raise _unfit(path, f"its array {name!r} has {arrays[name].dtype}, not whole numbers")
        if arrays[name].ndim != 1:
            raise _unfit(path, f"its array {name!r} has the shape {arrays[name].shape}, expected one dimension")
    dimensions = {"dia": 2, "bsr": 3}.get(form, 1)
    if data.ndim != dimensions:
        raise _unfit(path, f"its array 'data' has {data.ndim} dimensions, a {form} matrix {dimensions}")
    if form == "dia":
        return _from_dia(path, shape, data, arrays["offsets"])
    if form == "coo":
        sides = zip(("row", "col"), shape, strict=True)
        rows, columns = (_within(path, name, arrays[name], 0, size, len(data)) for name, size in sides)
        order = np.argsort(rows, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
        return sp.csr_matrix((data[order], columns[order], starts), shape=shape)
    block = data.shape[1:] if form == "bsr" else (1, 1)
    if min(block) < 1 or shape[0] % block[0] or shape[1] % block[1]:
        raise _unfit(path, f"blocks of {block} do not divide a matrix of shape {shape}")
    major, minor = (shape[1], shape[0]) if form == "csc" else (shape[0] // block[0], shape[1] // block[1])
    starts = _within(path, "indptr", arrays["indptr"], 0, len(data) + 1, major + 1)
    if starts[0] != 0 or starts[-1] != len(data) or (starts[1:] < starts[:-1]).any():
        problem = f"its array 'indptr' does not rise from 0 to {len(data)}, the number of values"
        raise _unfit(path, problem, "Save it again; matrix.prune() removes unused values.")
    indices = _within(path, "indices", arrays["indices"], 0, minor, len(data))
    return sp.csr_matrix(getattr(sp, f"{form}_matrix")((data, indices, starts), shape=shape))


def _within(path: Path, name: str, ids: NDArray[Any], first: int, end: int, length: int) -> NDArray[Any]:
    """`ids` as int32 or int64; DataError unless they are `length` numbers from `first` to `end` − 1."""
    if len(ids) != length:
        raise _unfit(path, f"its array {name!r} has {len(ids)} numbers, expected {length}")
    outside = np.flatnonzero((ids < first) | (ids >= end))
    if len(outside):
        found = f"{name}[{outside[0]}] is {ids[outside[0]]}"
        raise _unfit(path, f"{found}, valid are {first} to {end - 1}", "Is its shape wrong? Save it again.")
    return ids if ids.dtype in (np.int32, np.int64) else ids.astype(np.int64)


def _unfit(path: Path, problem: str, hint: str = SPARSE) -> DataError:
    return DataError(f"{path}: not a sparse matrix in npz form: {problem}", hint)


def _from_dia(path: Path, shape: tuple[int, int], data: NDArray[Any], offsets: NDArray[Any]) -> sp.csr_matrix:
    """CSR of the values of diagonals that are not 0; zeros fill diagonals that have fewer entries."""
    offsets = _within(path, "offsets", offsets, 1 - shape[0], max(shape[1], 1), len(data))
    if len(np.unique(offsets)) < len(offsets):
        raise _unfit(path, "its array 'offsets' names a diagonal twice")
    if data[:, shape[1] :].any():
        raise _unfit(path, f"its diagonals have values beyond the {shape[1]} columns")
    return sp.csr_matrix(sp.dia_matrix((data[:, : shape[1]], offsets), shape=shape))


def read_npy(path: Path) -> NDArray[Any]:
    """A dense matrix as `numpy.save` writes it, (rows, columns), see `plain_numbers`; DataError otherwise."""
    with loading(path, "a whole npy file of numbers", "Save an array of numbers with numpy.save.") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        check_npy_header(file, size)
        file.seek(0)
        limits.check_memory(size)
        array = np.load(file, allow_pickle=False)
    if array.ndim != 2:
        raise DataError(f"{path}: an array of shape {array.shape}, not a matrix", TWO_SIDES)
    array = plain_numbers(path, array)
    _check_shape(path, array.shape, size)
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


def _check_shape(path: Path, shape: tuple[int, ...], n_bytes: int) -> None:
    """DataError if a matrix in arrays of `n_bytes` can't have such a shape."""
    for size, what, floor in zip(shape, ("rows", "columns"), (limits.ROWS, limits.COLUMNS), strict=True):
        most = limits.longest_side(floor, n_bytes)
        if size < 0:
            raise DataError(f"{path}: its shape is {shape}", TWO_SIDES)
        if size > limits.WIDEST:
            raise DataError(f"{path}: {size} {what}, at most {limits.WIDEST} are possible")
        if size > most:
            raise DataError(f"{path}: {size} {what} can't be right in {n_bytes:,} bytes of arrays", f"At most {most}.")
