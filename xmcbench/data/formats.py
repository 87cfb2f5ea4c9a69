"""Read matrices, label sets and filter pairs, in formats detected by content and not by name; write matrices.

`xmcbench.data.reading` has the readers of XC repository text, `xmcbench.data.documents` those of texts.
"""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.reading import WIDEST, load_bytes, opened, read_sparse, read_xmc
from xmcbench.data.spec import Parsed, no_pairs
from xmcbench.errors import DataError
from xmcbench.files import atomic

ROWS_AT_A_TIME = 4096  # rows per write


def read_matrix(path: Path) -> sp.csr_matrix:
    """(n, d) float32 CSR with sorted ids, from npz, the two-file text form, or the features of the one-file form.

    DataError names the file and, for text, the line of a fault.
    """
    if is_npz(path):
        return read_npz_csr(path)
    return read_xmc(path)[0] if header_words(path) == 3 else read_sparse(path)


def read_labels(path: Path) -> sp.csr_matrix:
    """(n, L) float32 CSR of ones from the same formats as `read_matrix`; entries of value 0 are dropped."""
    if is_npz(path):
        return as_labels(read_npz_csr(path))
    return read_xmc(path)[1] if header_words(path) == 3 else as_labels(read_sparse(path))


def as_labels(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Drop entries of value 0 and set the others to 1, in place; returns `matrix`."""
    matrix.eliminate_zeros()
    matrix.data[:] = 1
    return matrix


def read_npz_csr(path: Path) -> sp.csr_matrix:
    """A matrix as `scipy.sparse.save_npz` writes it, of any format, as float32 CSR with sorted, unique ids.

    DataError if it is damaged, no matrix, or has ids out of range or twice in a row, or values beyond finite float32.
    """
    try:
        matrix: Any = sp.load_npz(path)  # scipy loads it with allow_pickle=False
        if matrix.format == "csr":
            matrix.check_format(full_check=True)
        matrix = sp.csr_matrix(matrix)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, KeyError, EOFError, IndexError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: not a sparse matrix in npz form ({error})", "Write it with scipy.sparse.save_npz."
        ) from error
    if matrix.shape[1] > WIDEST:
        raise DataError(f"{path}: {matrix.shape[1]} columns, at most {WIDEST} are possible")
    if matrix.dtype.kind not in "fiub":
        raise DataError(f"{path}: values are {matrix.dtype}, not numbers")
    with np.errstate(over="ignore"):
        values = matrix.data.astype(np.float32)  # `matrix.astype` would silently sum duplicates
    matrix = sp.csr_matrix((values, matrix.indices, matrix.indptr), shape=matrix.shape)
    non_finite = np.flatnonzero(~np.isfinite(matrix.data))
    if len(non_finite):
        row = int(np.searchsorted(matrix.indptr, non_finite[0], side="right")) - 1
        raise DataError(f"{path}: row {row} holds a value that is NaN, infinite or too large for float32")
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


def read_filter(path: Path, n_rows: int, n_labels: int) -> NDArray[np.int64]:
    """(m, 2) int64 pairs from lines `row label`, sorted and unique; none for an empty file.

    The label-feature data sets list pairs to exclude from evaluation, where a document is itself a label. DataError
    names the file and the line that is not two ids within (n_rows, n_labels).
    """
    pairs: list[tuple[int, int]] = []
    for number, line in enumerate(load_bytes(path).tobytes().splitlines(), 1):
        words = line.removeprefix(b"\xef\xbb\xbf").split()
        if not words:
            continue
        if len(words) != 2 or not all(w.isdigit() for w in words):
            excerpt = line[:60].decode("ascii", "backslashreplace")
            raise DataError(
                f"{path}, line {number}: expected 'row label', found {excerpt!r}", "Two ids, counted from 0."
            )
        row, label = int(words[0]), int(words[1])
        if row >= n_rows or label >= n_labels:
            raise DataError(
                f"{path}, line {number}: pair ({row}, {label}) is outside {n_rows} rows and {n_labels} labels",
                "Is it the filter of the other split? Ids count from 0.",
            )
        pairs.append((row, label))
    return np.unique(np.array(pairs, np.int64).reshape(-1, 2), axis=0)


def with_filters(data: Parsed, train: Path | None, test: Path | None) -> Parsed:
    """`data` with the filter pairs of two files, where they are given."""
    given = ((train, data.train.labels), (test, data.test.labels))
    pairs = [read_filter(path, *labels.shape) if path else no_pairs() for path, labels in given]
    return dataclasses.replace(data, train_filter=pairs[0], test_filter=pairs[1])


def is_npz(path: Path) -> bool:
    """Whether a file is a zip archive, as npz files are."""
    with opened(path) as file:
        return file.read(4) == b"PK\x03\x04"


def header_words(path: Path) -> int:
    """Number of words on the first line of a text: 2 for the two-file form, 3 for the one-file form."""
    with opened(path) as file:
        return len(file.readline(4096).removeprefix(b"\xef\xbb\xbf").split())


def write_npz_csr(path: Path, matrix: sp.csr_matrix, *, compressed: bool = True) -> None:
    """Write in the format of `scipy.sparse.save_npz`, which PECOS, ELIAS and numpy read."""
    with atomic(path) as file:
        sp.save_npz(file, matrix, compressed=compressed)


def write_sparse(path: Path, matrix: sp.csr_matrix) -> None:
    """Write the two-file text form; each value is the shortest text that reads back as the same float32."""
    n, width = matrix.shape
    with atomic(path) as file:
        file.write(f"{n} {width}\n".encode())
        for start in range(0, n, ROWS_AT_A_TIME):
            file.write("".join(f"{line}\n" for line in _pairs(matrix[start : start + ROWS_AT_A_TIME])).encode())


def write_xmc(path: Path, features: sp.csr_matrix, labels: sp.csr_matrix) -> None:
    """Write the one-file text form, which Omikuji and napkinXC read; a row without labels begins with a space.

    DataError if features and labels have different numbers of rows.
    """
    n = features.shape[0]
    if labels.shape[0] != n:
        raise DataError(f"{path}: {n} rows of features and {labels.shape[0]} of labels")
    with atomic(path) as file:
        file.write(f"{n} {features.shape[1]} {labels.shape[1]}\n".encode())
        for start in range(0, n, ROWS_AT_A_TIME):
            block = slice(start, start + ROWS_AT_A_TIME)
            lines = zip(_ids(labels[block]), _pairs(features[block]), strict=True)
            # Omikuji rejects a line that ends with a space.
            file.write("".join(f"{names} {pairs}".rstrip() + "\n" for names, pairs in lines).encode())


def _ids(matrix: sp.csr_matrix) -> Iterator[str]:
    return _joined(matrix, ",", matrix.indices.astype(str).tolist())


def _pairs(matrix: sp.csr_matrix) -> Iterator[str]:
    """Yield `id:value id:value …` per row; numpy formats a float32 as its shortest exact text."""
    values = matrix.data.astype(np.float32).astype(str).tolist()
    words = [f"{i}:{v.removesuffix('.0')}" for i, v in zip(matrix.indices.tolist(), values, strict=True)]
    return _joined(matrix, " ", words)


def _joined(matrix: sp.csr_matrix, separator: str, words: list[str]) -> Iterator[str]:
    """Join the words of each row's entries."""
    return (separator.join(words[a:b]) for a, b in pairwise(matrix.indptr.tolist()))
