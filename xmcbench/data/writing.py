"""Write matrices for other programs as scipy npz or XC repository text. Files are written atomically."""

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
    """Write in the format of `scipy.sparse.save_npz`, which PECOS, ELIAS and numpy read."""
    import scipy.sparse as sp

    with atomic(Path(path)) as file:
        sp.save_npz(file, matrix, compressed=compressed)


def write_sparse(path: Path, matrix: sp.csr_matrix) -> None:
    """Write the two-file text form; each value is the shortest text that reads back as the same float32."""
    n, width = matrix.shape
    with atomic(Path(path)) as file:
        file.write(f"{n} {width}\n".encode())
        for start in range(0, n, ROWS_AT_A_TIME):
            lines = _pairs(matrix[start : start + ROWS_AT_A_TIME])
            file.write("".join(f"{line}\n" for line in lines).encode())


def write_xmc(path: Path, features: sp.csr_matrix, labels: sp.csr_matrix) -> None:
    """Write the one-file text form, which Omikuji and napkinXC read; a row without labels begins with a space.

    Raises
    ------
    DataError : features and labels have different numbers of rows.
    """
    n = features.shape[0]
    if labels.shape[0] != n:
        raise DataError(f"{path}: {n} rows of features and {labels.shape[0]} of labels")
    with atomic(Path(path)) as file:
        file.write(f"{n} {features.shape[1]} {labels.shape[1]}\n".encode())
        for start in range(0, n, ROWS_AT_A_TIME):
            block = slice(start, start + ROWS_AT_A_TIME)
            out = io.StringIO()
            for names, pairs in zip(_ids(labels[block]), _pairs(features[block]), strict=True):
                out.write(f"{names} {pairs}".rstrip() + "\n")  # Omikuji rejects a line that ends with a space
            file.write(out.getvalue().encode())


def _ids(matrix: sp.csr_matrix) -> Iterator[str]:
    words = matrix.indices.astype(str).tolist()
    for a, b in zip(matrix.indptr[:-1].tolist(), matrix.indptr[1:].tolist(), strict=True):
        yield ",".join(words[a:b])


def _pairs(matrix: sp.csr_matrix) -> Iterator[str]:
    """Yield `id:value id:value …` per row; numpy formats a float32 as its shortest exact text."""
    values = matrix.data.astype(np.float32).astype(str).tolist()
    words = [f"{i}:{v.removesuffix('.0')}" for i, v in zip(matrix.indices.tolist(), values, strict=True)]
    for a, b in zip(matrix.indptr[:-1].tolist(), matrix.indptr[1:].tolist(), strict=True):
        yield " ".join(words[a:b])
