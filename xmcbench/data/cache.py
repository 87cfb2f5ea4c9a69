"""Parsed data sets on disk: one folder a view, arrays memory-mapped on opening, parsed once by whoever comes first.

    HOME/parsed/NAME/VIEW-KEY/   meta.json  train.labels.indptr.npy  …  label_texts.blob.npy  label_texts.offsets.npy

KEY is a hash of what goes into the parse (source files, recipe, view). The folder is built under a temporary name,
`meta.json` last, and renamed: a folder of that name is whole. `meta.json` holds the length of every file and a hash
of itself, so that one cut short or edited is noticed on opening and parsed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmcbench.data.home import home
from xmcbench.data.packing import Array, ContentHash, arrays, assemble, shapes
from xmcbench.data.recipes import Parsed
from xmcbench.files import TEMPORARY, cannot_write

FORMAT = 1  # of the folder; raise it when an older reader would misread a newer folder
SMALL = 1 << 16  # bytes; shorter files are read at once, which is cheaper than a mapping


@dataclass(frozen=True)
class Cached:
    """A parse opened from disk: the rows, their hash, and the folder they lie in."""

    parsed: Parsed
    content_hash: str
    folder: Path


def key_of(parts: Mapping[str, Any]) -> str:
    """16 hex digits of the canonical JSON of all that a parse depends on."""
    text = json.dumps({**parts, "cache format": FORMAT}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_of(name: str, view: str, key: str) -> Path:
    """Where the parse of that key lies, or will lie."""
    return home() / "parsed" / name / f"{view}-{key}"


def open_or_build(folder: Path, key: str, build: Callable[[], Parsed]) -> Cached:
    """The parse in `folder`, made by `build` if it isn't there or is damaged. Two processes parse once.

    Raises
    ------
    DataError : the cache folder can't be written; or whatever `build` raises.
    """
    found = _open(folder, key)
    if found is not None:
        return found
    with _locked(folder):
        _sweep(folder)
        found = _open(folder, key)  # another process may have parsed while this one waited
        if found is not None:
            return found
        if folder.exists():
            warnings.warn(f"{folder} is damaged: it is parsed again", stacklevel=2)
        _write(folder, key, build())
        found = _open(folder, key)
    if found is None:
        raise cannot_write(folder, OSError("what was written reads back otherwise"))
    return found


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of one parse; waits for whoever has it, and a killed holder's lock is free."""
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        lock.acquire()
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove what a killed parse of this folder left; call it under the lock."""
    for left_over in folder.parent.iterdir():
        if left_over.name.startswith(f"{TEMPORARY}{folder.name}-"):
            shutil.rmtree(left_over, ignore_errors=True)


def _write(folder: Path, key: str, parsed: Parsed) -> None:
    try:
        work = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{folder.name}-", dir=folder.parent))
        old = work.with_name(work.name + "-old")
        try:
            _fill(work, key, parsed)
            work.chmod(0o755)
            if folder.exists():  # damaged: out of the way first, since a folder can't replace a full one
                folder.rename(old)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _fill(work: Path, key: str, parsed: Parsed) -> None:
    """All files of one parse; the content hash is taken on the way, so that each array is made once."""
    digest = ContentHash(shapes(parsed))
    sizes: dict[str, int] = {}
    for name, array in arrays(parsed):
        sizes[name] = _save(work / f"{name}.npy", array)
        digest.add(name, array)
    meta = {"key": key, "content_hash": digest.text(), "shapes": shapes(parsed), "arrays": sizes}
    meta["extra"] = dict(parsed.extra)
    with open(work / "meta.json", "wb") as file:
        file.write(json.dumps({**meta, "check": _check(meta)}, indent=1).encode())
        _flush(file)


def _save(path: Path, array: Array) -> int:
    """`np.save` that reports a full disk as such (`ndarray.tofile` loses the reason); returns the file's length."""
    array = np.ascontiguousarray(array)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.reshape(-1).view(np.uint8).data)
        _flush(file)
        return file.tell()


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _check(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _open(folder: Path, key: str) -> Cached | None:
    """The parse in `folder`, or None if it is not there or not what its `meta.json` says."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        if meta.pop("check", None) != _check(meta) or meta["key"] != key:
            return None
        named = {name: _load(folder / f"{name}.npy", size) for name, size in meta["arrays"].items()}
        return Cached(assemble(named, meta["shapes"], meta["extra"]), meta["content_hash"], folder)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _load(path: Path, size: int) -> Array:
    """A read-only plain array (numba is slow with `np.memmap` itself); ValueError if the file has another length."""
    if path.stat().st_size != size:
        raise ValueError(f"{path} has not {size} bytes")
    array = np.asarray(np.load(path, mmap_mode=None if size < SMALL else "r", allow_pickle=False))
    array.flags.writeable = False
    return array
