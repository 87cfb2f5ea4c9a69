"""Cache of parsed data sets: named arrays, their content hash, and one folder of them per view.

    HOME/parsed/NAME/VIEW-KEY/   meta.json  train.labels.indptr.npy  …  label_texts.blob.npy  label_texts.offsets.npy

KEY is a hash of the inputs of the parse (source files, recipe, view). `xmcbench.data.arrays` reads and writes folders.
Before arrays of a folder are used for the first time, their structure is validated and the content hash is computed
again, so that no kernel gets other arrays than those that were parsed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import scipy.sparse as sp

from xmcbench.data.array_files import Array
from xmcbench.data.arrays import Stored, Unusable, Writer, facts_of, open_folder
from xmcbench.data.arrays import open_or_build as open_or_build_arrays
from xmcbench.data.home import home
from xmcbench.data.spec import Parsed, Split
from xmcbench.data.texts import Texts
from xmcbench.data.validate import problems
from xmcbench.data.vectorizer import Options, Vectorizer

FORMAT = 2  # version of the folder layout; raise it when an older reader would misread a newer folder
BLOCK = 1 << 17  # entries of an array that are hashed at once
GROUPS = ("label_groups", "row_groups")
VECTORIZER = "vectorizer."  # prefix of its arrays, which are not part of the content hash
IDS = "ids."  # the same for ids of rows
LABEL_NAMES = "label_names"  # the same
Shapes = dict[str, tuple[int, int]]  # "train.labels" → (n, L)


@dataclass(frozen=True)
class Cached:
    """A parsed data set opened from disk, and its content hash."""

    parsed: Parsed
    content_hash: str


class _Facts(msgspec.Struct):
    """What meta.json says about a parsed data set."""

    content_hash: str
    shapes: Shapes
    extra: dict[str, object]
    vectorizer: list[Options] | None = None


def key_of(parts: Mapping[str, object]) -> str:
    """16 hex digits: hash of the canonical JSON of everything that a parse depends on."""
    text = json.dumps({**parts, "cache format": FORMAT}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_of(name: str, view: str, key: str) -> Path:
    """The folder of the parsed view with that key; it may not exist yet."""
    return home() / "parsed" / name / f"{view}-{key}"


def open_or_build(folder: Path, key: str, build: Callable[[], Parsed], *, verify: bool = False) -> Cached:
    """Open `folder`; one process builds it first if it is missing or damaged. See `arrays.open_or_build`."""

    def save(writer: Writer) -> Mapping[str, object]:
        parsed = build()
        facts = {"content_hash": _hash(parsed, writer), "shapes": shapes(parsed), "extra": dict(parsed.extra)}
        for which, split in parsed.splits.items():
            for name, array in _texts(f"{IDS}{which}", split.ids):
                writer.save(name, array)
        for name, array in _texts(LABEL_NAMES, parsed.label_names):
            writer.save(name, array)
        if parsed.vectorizer is None:
            return facts
        for name, array in parsed.vectorizer.arrays().items():
            writer.save(f"{VECTORIZER}{name}", array)
        return {**facts, "vectorizer": msgspec.to_builtins(parsed.vectorizer.options())}

    return open_or_build_arrays(folder, key, save, _read, "parsed", verify=verify)


def damage(name: str, view: str, content_hash: str) -> str:
    """What is wrong with the parsed view of that content, whose files are all hashed; "" also if it is not here."""
    parsed = home() / "parsed"
    folders = [] if name not in _names(parsed) else sorted((parsed / name).iterdir())
    for folder in folders:
        key = folder.name.removeprefix(f"{view}-")
        try:
            if key == folder.name or facts_of(folder, key).get("content_hash") != content_hash:
                continue
        except Unusable:  # loading parses it again
            continue
        try:
            open_folder(folder, key, _read, verify=True)
        except Unusable as error:
            return f"{folder}: {error}"
    return ""


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def _read(stored: Stored) -> Cached:
    """ValueError or KeyError if the arrays are not those of a valid data set with the content hash of `meta.json`."""
    facts = msgspec.convert(stored.facts, _Facts)
    ours = {name: array for name, array in stored.arrays.items() if not name.startswith(VECTORIZER)}
    parsed = assemble(ours, facts.shapes, facts.extra)
    if facts.vectorizer is not None:
        arrays = {name.removeprefix(VECTORIZER): array for name, array in stored.arrays.items() if name not in ours}
        parsed = dataclasses.replace(parsed, vectorizer=Vectorizer.of(facts.vectorizer, arrays))
    if stored.unchecked:
        if parsed.vectorizer is not None and (fault := parsed.vectorizer.problem()):
            raise ValueError(fault)
        for name, array in ours.items():
            _check_type(name, array)
        if faults := problems(parsed):
            raise ValueError(faults[0])
        if content_hash(parsed) != facts.content_hash:
            raise ValueError("the arrays are not those of the content hash")
    return Cached(parsed, facts.content_hash)


def _check_type(name: str, array: Array) -> None:
    """ValueError for an array of another type or number of dimensions than `arrays` gives it."""
    kind = name.rpartition(".")[2]
    if name.startswith(GROUPS):
        is_right = array.dtype == bool and bool((array.view(np.uint8) <= 1).all())
    elif kind in ("indptr", "indices"):
        is_right = array.dtype in (np.int32, np.int64)
    else:
        types = {"data": np.float32, "blob": np.uint8}
        is_right = array.dtype == types.get(kind, np.int64)  # else offsets or a filter
    if not is_right or array.ndim != (2 if name.endswith("_filter") else 1):
        raise ValueError(f"{name} is {array.dtype} with {array.ndim} dimensions")


def content_hash(parsed: Parsed) -> str:
    """The content hash of a parsed data set, "sha256:" and 64 hex digits; equal from a recipe and from the cache.

    It covers shapes, names, arrays and texts; integers as int64, floats as float32, little-endian. It does not depend
    on paths, dtypes of ids, or the order and packing of files.
    """
    return _hash(parsed, None)


def _hash(parsed: Parsed, writer: Writer | None) -> str:
    """The content hash; also saves each array with `writer`, since making the arrays is expensive."""
    digest = hashlib.sha256(json.dumps(shapes(parsed), sort_keys=True).encode())
    for name, array in arrays(parsed):
        if writer is not None:
            writer.save(name, array)
        digest.update(f"\n{name} {array.shape}\n".encode())
        flat = np.ascontiguousarray(array).reshape(-1)
        dtype = {"i": "<i8", "f": "<f4"}.get(flat.dtype.kind, "u1")
        for start in range(0, len(flat), BLOCK):  # a conversion of all at once could fill the memory
            digest.update(flat[start : start + BLOCK].astype(dtype, copy=False).view(np.uint8).data)
    return "sha256:" + digest.hexdigest()


def shapes(parsed: Parsed) -> Shapes:
    """Rows and columns of every matrix of the data set."""
    matrices = {
        f"{which}.{part}": matrix
        for which, split in parsed.splits.items()
        for part, matrix in (("labels", split.labels), ("features", split.features))
    }
    return {name: (int(m.shape[0]), int(m.shape[1])) for name, m in matrices.items() if m is not None}


def arrays(parsed: Parsed) -> Iterator[tuple[str, Array]]:
    """Yield (name, array) for every array of a parsed data set, in the order used by the content hash."""
    for which, split in parsed.splits.items():
        yield from _matrix(f"{which}.labels", split.labels)
        if split.features is not None:
            yield from _matrix(f"{which}.features", split.features)
        yield from _texts(f"{which}.texts", split.texts)
    yield from _texts("label_texts", parsed.label_texts)
    yield "train_filter", parsed.train_filter.astype(np.int64, copy=False)
    yield "test_filter", parsed.test_filter.astype(np.int64, copy=False)
    for kind in GROUPS:
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


def _texts(name: str, texts: Sequence[str] | None) -> Iterator[tuple[str, Array]]:
    if texts is not None:
        packed = Texts.pack(texts)
        yield f"{name}.blob", packed.blob
        yield f"{name}.offsets", packed.offsets


def assemble(named: Mapping[str, Array], matrices: Shapes, extra: Mapping[str, object]) -> Parsed:
    """The inverse of `arrays` and `shapes`; KeyError if an array is missing."""

    def texts(name: str) -> Texts | None:
        return Texts(named[f"{name}.blob"], named[f"{name}.offsets"]) if f"{name}.blob" in named else None

    def split(which: str) -> Split:
        features = _csr(named, f"{which}.features", matrices) if f"{which}.features" in matrices else None
        return Split(
            features, texts(f"{which}.texts"), _csr(named, f"{which}.labels", matrices), texts(f"{IDS}{which}")
        )

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
        label_names=texts(LABEL_NAMES),
    )


def _csr(named: Mapping[str, Array], name: str, matrices: Shapes) -> sp.csr_matrix:
    """A CSR matrix over the stored arrays, without copies; only lengths and types are checked (see `_read`)."""
    rows, columns = matrices[name]
    data, indices, indptr = (named[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    if len(indptr) != rows + 1 or len(indices) != len(data) or indptr.dtype != indices.dtype or columns < 0:
        raise ValueError(f"{name}: its arrays are not of one matrix of {rows} rows and {columns} columns")
    matrix = sp.csr_matrix((rows, columns), dtype=np.float32)
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    return matrix
