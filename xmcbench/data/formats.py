"""Read matrices, label sets and filter pairs, in formats detected by content and not by name; write matrices.

`xmcbench.data.matrix_text` has the readers of text, `numpy_files` those of npz and npy, `documents` those of documents.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.matrix_text import BOM, read_sparse, read_svmlight, read_xmc
from xmcbench.data.numpy_files import as_float32, read_npy, read_npz_csr
from xmcbench.data.reading import FIRST, DataWarning, load_bytes, opened, unsupported
from xmcbench.data.spec import Parsed, no_pairs
from xmcbench.errors import DataError
from xmcbench.files import atomic

ROWS_AT_A_TIME = 512  # rows per write


MATRICES = (
    "Accepted: npz of a scipy matrix, npy of a dense one, XMC text with a header 'rows features labels' or "
    "'rows columns', and svmlight text 'l1,l2 f:v f:v'."
)
NPZ, NPY, ONE_FILE, TWO_FILE, SVMLIGHT, OTHER = "npz", "npy", "one-file", "two-file", "svmlight", "other text"
HEAD = 1 << 16  # bytes from which the form of a file is seen
NUMBERS = re.compile(rb"[-+\d.,]+")  # the labels of a line, perhaps wrong ones
PAIR = re.compile(rb"(\d+|qid):\S+")


def form_of(path: Path, accepted: str = MATRICES) -> str:
    """The form of a matrix file, seen from its content: `NPZ`, `NPY`, `ONE_FILE`, `TWO_FILE`, `SVMLIGHT`, or `OTHER`.

    DataError if the file is missing, damaged, or of a form that is never read, such as a pickle; `accepted`: its hint.
    """
    with opened(path) as file:
        head = file.read(HEAD)
    if foreign := unsupported(head[:FIRST]):
        raise DataError(f"{path}: {foreign}, which is not read here", accepted)
    if head.startswith((b"PK\x03\x04", b"\x93NUMPY")):
        return NPZ if head.startswith(b"PK") else NPY
    lines = head.removeprefix(BOM).split(b"\n")
    words = lines[0].split()
    if len(words) in (2, 3) and all(word.isdigit() for word in words):
        return TWO_FILE if len(words) == 2 else ONE_FILE
    contents = [content for line in lines[:100] if (content := line.partition(b"#")[0].split())]
    regular = [_is_svmlight(content) for content in contents]
    has_pairs = any(b":" in words[-1] for words, is_regular in zip(contents, regular, strict=True) if is_regular)
    return SVMLIGHT if has_pairs and regular[0] else OTHER


def no_matrix(path: Path, accepted: str = MATRICES) -> DataError:
    """The error for a text of form `OTHER`, with its first line and the `accepted` forms."""
    with opened(path) as file:
        line = file.readline(HEAD)
    if line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return DataError(f"{path}: a text in UTF-16", "Save it as UTF-8. " + accepted)
    excerpt = repr(line[:60].removeprefix(BOM).decode("utf-8", "backslashreplace").strip()) if line else "nothing"
    found = f"found {excerpt}, neither a header of whole numbers nor id:value pairs"
    return DataError(f"{path}, line 1: {found}" if line else f"{path}: the file is empty", accepted)


def _is_svmlight(words: list[bytes]) -> bool:
    """Whether the words of a line are ids:value pairs, perhaps after label ids."""
    pairs = words[1:] if NUMBERS.fullmatch(words[0]) else words
    return all(PAIR.fullmatch(word) for word in pairs)


def read_matrix(path: Path, *, one_based: bool = False) -> sp.csr_matrix:
    """(n, d) float32 CSR with sorted ids, from any form of `form_of`; of files with labels too, the features.

    `one_based`: column ids count from 1. DataError names the file and, for text, the line of a fault.
    """
    return read_both(path, one_based_features=one_based)[0]


def read_both(
    path: Path, *, one_based_features: bool = False, one_based_labels: bool = False
) -> tuple[sp.csr_matrix, sp.csr_matrix | None]:
    """(features or another matrix, labels or None if the file has no labels besides), as float32 CSR.

    In npz and npy with ids that count from 1, column 0 must be empty, and is left out.
    """
    form = form_of(path)
    if form == ONE_FILE:
        return read_xmc(path, one_based_features=one_based_features, one_based_labels=one_based_labels)
    if form == SVMLIGHT:
        bases = {"one_based_features": one_based_features, "one_based_labels": one_based_labels}
        features, labels = read_svmlight(path, **bases)
        return features, labels if labels.nnz else None
    if form == TWO_FILE:
        return read_sparse(path, one_based=one_based_features), None
    if form == OTHER:
        raise no_matrix(path)
    matrix = as_float32(path, read_npz_csr(path) if form == NPZ else sp.csr_matrix(read_npy(path)))
    return from_one(path, matrix) if one_based_features else matrix, None


def read_labels(path: Path, *, one_based: bool = False, one_based_features: bool = False) -> sp.csr_matrix:
    """(n, L) float32 CSR of ones, from the labels of a file, or else from its matrix without entries of value 0.

    A positive value makes a label true, and a `DataWarning` tells of values other than 1; a negative one is a
    DataError. `one_based`, `one_based_features`: ids of labels, and of features in the same file, count from 1.
    """
    form = form_of(path)
    if form in (ONE_FILE, SVMLIGHT):
        of_features = one_based_features and form == ONE_FILE
        matrix, labels = read_both(path, one_based_features=of_features, one_based_labels=one_based)
        if labels is not None:
            return labels
        matrix = from_one(path, matrix) if one_based else matrix
    else:
        matrix = read_matrix(path, one_based=one_based)
    for what, wrong in (("negative", matrix.data < 0), ("neither 0 nor 1", (matrix.data != 0) & (matrix.data != 1))):
        if wrong.any():
            at = int(wrong.argmax())
            row = int(np.searchsorted(matrix.indptr, at, side="right")) - 1
            first = f"{path}: row {row}, label {matrix.indices[at]} has the value {matrix.data[at]:g}"
            if what == "negative":
                raise DataError(f"{first}, which is negative", "1 means that a label is true; 0 or nothing, that not.")
            warnings.warn(f"{first}: every value above 0 counts as a true label", DataWarning, stacklevel=2)
    return as_labels(matrix)


def from_one(path: Path, matrix: sp.csr_matrix) -> sp.csr_matrix:
    """A matrix whose ids count from 1, without its empty column 0; DataError if that column has an entry."""
    in_first = np.flatnonzero(matrix.indices == 0)
    if len(in_first):
        row = int(np.searchsorted(matrix.indptr, in_first[0], side="right")) - 1
        raise DataError(
            f"{path}: row {row} has id 0 in a file with one-based ids", "Leave out --one-based for this file."
        )
    return matrix[:, 1:]


def with_one_width(files: Sequence[tuple[Path | None, sp.csr_matrix]], what: str, width: int = 0) -> None:
    """Widen, in place, the matrices of svmlight files to the widest of all `files` or to `width`.

    Such a file has no header: its matrix is as wide as its largest id, and other splits may have larger ids. Nothing in
    it says where ids begin either, so a `DataWarning` tells if no file has id 0. `what`: a value of --one-based.
    """
    widest = max([width, *(int(matrix.shape[1]) for _, matrix in files)], default=width)
    headerless = [(path, matrix) for path, matrix in files if path is not None and form_of(path) == SVMLIGHT]
    for _, matrix in headerless:
        if matrix.shape[1] < widest:
            matrix.resize(matrix.shape[0], widest)
    if headerless and all(matrix.nnz and matrix.indices.min() > 0 for _, matrix in files):
        text = f"{headerless[0][0]}: no row has id 0 of {what}; if ids count from 1, give --one-based {what}"
        warnings.warn(DataWarning(text), stacklevel=2)


def as_labels(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Drop entries of value 0 and set the others to 1, in place; returns `matrix`."""
    matrix.eliminate_zeros()
    matrix.data[:] = 1
    return matrix


def read_filter(path: Path, n_rows: int, n_labels: int, *, one_based: bool = False) -> NDArray[np.int64]:
    """(m, 2) int64 pairs from lines `row label`, sorted and unique; none for an empty file.

    The label-feature data sets list pairs to exclude from evaluation, where a document is itself a label. A repeated
    pair counts once and causes a `DataWarning`. `one_based`: rows and labels count from 1. DataError names the file and
    the line that is not two ids within (n_rows, n_labels).
    """
    pairs: list[tuple[int, int]] = []
    base = int(one_based)
    content = load_bytes(path)
    if foreign := unsupported(content[:FIRST]):
        raise DataError(f"{path}: {foreign}, not lines 'row label'", f"Two ids per line, counted from {base}.")
    for number, line in enumerate(content.splitlines(), 1):
        words = line.removeprefix(BOM).split()
        if not words:
            continue
        if len(words) != 2 or not all(w.isdigit() and len(w) < 19 for w in words):
            excerpt = line[:60].decode("ascii", "backslashreplace")
            raise DataError(
                f"{path}, line {number}: expected 'row label', found {excerpt!r}", f"Two ids, counted from {base}."
            )
        row, label = int(words[0]) - base, int(words[1]) - base
        if not (0 <= row < n_rows and 0 <= label < n_labels):
            raise DataError(
                f"{path}, line {number}: pair ({row + base}, {label + base}) is outside {n_rows} rows and {n_labels} "
                f"labels counted from {base}",
                "Is it the filter of the other split? See --one-based for ids that count from 1."
                if base == 0
                else "Is it the filter of the other split, or do its ids count from 0? Rows and labels count alike.",
            )
        pairs.append((row, label))
    unique = np.unique(np.array(pairs, np.int64).reshape(-1, 2), axis=0)
    if repeats := len(pairs) - len(unique):
        warnings.warn(f"{path}: {repeats} pairs repeat earlier ones; each counts once", DataWarning, stacklevel=2)
    return unique


def write_filter(path: Path, pairs: NDArray[np.int64]) -> None:
    """Write (m, 2) pairs (row, label) as `read_filter` reads them."""
    with atomic(path) as file:
        file.write("".join(f"{row} {label}\n" for row, label in pairs.tolist()).encode())


def with_filters(data: Parsed, train: Path | None, test: Path | None, *, one_based: bool = False) -> Parsed:
    """`data` with the filter pairs of two files, where they are given; see `read_filter`."""
    given = ((train, data.train.labels), (test, data.test.labels))
    pairs = [read_filter(path, *labels.shape, one_based=one_based) if path else no_pairs() for path, labels in given]
    return dataclasses.replace(data, train_filter=pairs[0], test_filter=pairs[1])


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
