"""Convert a parsed data set to named arrays and back, and hash the arrays into its content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.data.recipes import Parsed
from xmcbench.data.spec import Split
from xmcbench.data.texts import Texts

if TYPE_CHECKING:
    import scipy.sparse as sp

Array = NDArray[Any]
Shapes = dict[str, list[int]]  # "train.labels" → [n, L]
SPLITS = ("train", "test", "validation")


def shapes(parsed: Parsed) -> Shapes:
    """Rows and columns of every matrix of the data set."""
    matrix_shapes: Shapes = {}
    for which in SPLITS:
        for part in ("labels", "features"):
            matrix = getattr(getattr(parsed, which), part, None)
            if matrix is not None:
                matrix_shapes[f"{which}.{part}"] = [int(n) for n in matrix.shape]
    return matrix_shapes


def arrays(parsed: Parsed) -> Iterator[tuple[str, Array]]:
    """Yield (name, array) for every array of a parsed data set, in the order used by the content hash."""
    for which in SPLITS:
        split: Split | None = getattr(parsed, which)
        if split is None:
            continue
        yield from _matrix(f"{which}.labels", split.labels)
        if split.features is not None:
            yield from _matrix(f"{which}.features", split.features)
        if split.texts is not None:
            yield from _texts(f"{which}.texts", split.texts)
    if parsed.label_texts is not None:
        yield from _texts("label_texts", parsed.label_texts)
    yield "train_filter", parsed.train_filter.astype(np.int64, copy=False)
    yield "test_filter", parsed.test_filter.astype(np.int64, copy=False)
    for kind in ("label_groups", "row_groups"):
        groups: Mapping[str, Array] = getattr(parsed, kind)
        for name in sorted(groups):
            yield f"{kind}.{name}", np.asarray(groups[name], bool)


def _matrix(name: str, matrix: sp.csr_matrix) -> Iterator[tuple[str, Array]]:
    needs_int64 = max(matrix.nnz, *matrix.shape) >= 2**31
    # One dtype for `indptr` and `indices`, because scipy copies arrays of different dtypes.
    index_dtype = np.int64 if needs_int64 else np.int32
    yield f"{name}.indptr", matrix.indptr.astype(index_dtype, copy=False)
    yield f"{name}.indices", matrix.indices.astype(index_dtype, copy=False)
    yield f"{name}.data", matrix.data.astype(np.float32, copy=False)


def _texts(name: str, texts: Any) -> Iterator[tuple[str, Array]]:
    packed = Texts.pack(texts)
    yield f"{name}.blob", packed.blob
    yield f"{name}.offsets", packed.offsets


class ContentHash:
    """sha256 over shapes, names, arrays and texts; integers as int64, floats as float32, little-endian.

    The hash does not depend on paths, dtypes of ids, or the order and packing of files.
    """

    def __init__(self, matrices: Shapes) -> None:
        self._digest = hashlib.sha256(json.dumps(matrices, sort_keys=True).encode())

    def add(self, name: str, array: Array) -> None:
        """Hash one array of `arrays`."""
        self._digest.update(f"\n{name} {array.shape}\n".encode())
        flat = np.ascontiguousarray(array).reshape(-1)
        for start in range(0, len(flat), 1 << 22):
            part = flat[start : start + (1 << 22)]
            dtype = {"i": "<i8", "f": "<f4"}.get(part.dtype.kind, "u1")
            self._digest.update(part.astype(dtype, copy=False).view(np.uint8).data)

    def text(self) -> str:
        """ "sha256:" and 64 hex digits."""
        return "sha256:" + self._digest.hexdigest()


def content_hash(parsed: Parsed) -> str:
    """The content hash of a parsed data set; equal for a data set from a recipe and from the cache."""
    digest = ContentHash(shapes(parsed))
    for name, array in arrays(parsed):
        digest.add(name, array)
    return digest.text()


def assemble(named: Mapping[str, Array], matrices: Shapes, extra: Mapping[str, Any]) -> Parsed:
    """The inverse of `arrays` and `shapes`; KeyError if an array is missing."""

    def texts(name: str) -> Texts | None:
        return Texts(named[f"{name}.blob"], named[f"{name}.offsets"]) if f"{name}.blob" in named else None

    def split(which: str) -> Split:
        features = _csr(named, f"{which}.features", matrices) if f"{which}.features" in matrices else None
        return Split(features, texts(f"{which}.texts"), _csr(named, f"{which}.labels", matrices))

    def groups(kind: str) -> dict[str, Array]:
        return {name.removeprefix(f"{kind}."): a for name, a in named.items() if name.startswith(f"{kind}.")}

    return Parsed(
        split("train"),
        split("test"),
        split("validation") if "validation.labels" in matrices else None,
        texts("label_texts"),
        named["train_filter"],
        named["test_filter"],
        groups("label_groups"),
        groups("row_groups"),
        extra,
    )


def _csr(named: Mapping[str, Array], name: str, matrices: Shapes) -> sp.csr_matrix:
    """A CSR matrix over the stored arrays, without copies or checks; the entries were checked after parsing."""
    import scipy.sparse as sp

    rows, columns = matrices[name]
    matrix = sp.csr_matrix((rows, columns), dtype=np.float32)
    matrix.data, matrix.indices = named[f"{name}.data"], named[f"{name}.indices"]
    matrix.indptr = named[f"{name}.indptr"]
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix
