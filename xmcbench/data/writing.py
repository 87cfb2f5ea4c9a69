"""Matrices to files that other programs read: scipy npz and XC repository text, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xmcbench.errors import DataError
from xmcbench.files import atomic

if TYPE_CHECKING:
    import scipy.sparse as sp

ROWS_AT_A_TIME = 4096


def write_npz_csr(path: Path, matrix: sp.csr_matrix, *, compressed: bool = True) -> None:
    """As `scipy.sparse.save_npz`, so that PECOS, ELIAS and numpy read it."""
    import scipy.sparse as sp

    with atomic(Path(path)) as file:
        sp.save_npz(file, matrix, compressed=compressed)


def write_sparse(path: Path, matrix: sp.csr_matrix) -> None:
    """Two-file text form; values as the shortest text that reads back as the same float32."""
    n, width = matrix.shape
    with atomic(Path(path)) as file:
        file.write(f"{n} {width}\n".encode())
        for start in range(0, n, ROWS_AT_A_TIME):
            lines = _pairs(matrix[start : start + ROWS_AT_A_TIME])
            file.write("".join(f"{line}\n" for line in lines).encode())


def write_xmc(path: Path, features: sp.csr_matrix, labels: sp.csr_matrix) -> None:
    """One-file text form, as Omikuji and napkinXC read it; a row without labels begins with a blank.

    Raises
    ------
    DataError : the two have different numbers of rows.
    """
    n = features.shape[0]
    if labels.shape[0] != n:
        raise DataError(f"{path}: {n} rows of features and {labels.shape[0]} of labels")
    with atomic(Path(path)) as file:
        file.write(f"{n} {features.shape[1]} {labels.shape[1]}\n".encode())
        for start in range(0, n, ROWS_AT_A_TIME):
            which = slice(start, start + ROWS_AT_A_TIME)
            out = io.StringIO()
            for names, pairs in zip(_ids(labels[which]), _pairs(features[which]), strict=True):
                out.write(f"{names} {pairs}".rstrip() + "\n")  # omikuji refuses a line that ends with a blank
            file.write(out.getvalue().encode())


def _ids(matrix: sp.csr_matrix) -> Iterator[str]:
    words = matrix.indices.astype(str).tolist()
    for a, b in zip(matrix.indptr[:-1].tolist(), matrix.indptr[1:].tolist(), strict=True):
        yield ",".join(words[a:b])


def _pairs(matrix: sp.csr_matrix) -> Iterator[str]:
    """`id:value id:value …` of each row; numpy writes a float32 as its shortest exact text."""
    values = matrix.data.astype(np.float32).astype(str).tolist()
    words = [f"{i}:{v.removesuffix('.0')}" for i, v in zip(matrix.indices.tolist(), values, strict=True)]
    for a, b in zip(matrix.indptr[:-1].tolist(), matrix.indptr[1:].tolist(), strict=True):
        yield " ".join(words[a:b])
