"""A folder of arrays made once: whole or not there, memory-mapped, built by whoever comes first.

    FOLDER/   meta.json  NAME.npy  …

The folder is built under a temporary name, `meta.json` last, and renamed: a folder of that name is whole. `meta.json`
holds the length of every file and a hash of itself, so that one cut short or edited is noticed on opening and made
again. Two processes that want one folder build it once; opening one that is there takes no lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from xmcbench.files import TEMPORARY, cannot_write

Array = NDArray[Any]
T = TypeVar("T")
SMALL = 1 << 16  # bytes; shorter files are read at once, which is cheaper than a mapping


@dataclass(frozen=True)
class Stored:
    """What a folder holds: its arrays, read-only, and the facts that `build` returned beside them."""

    arrays: Mapping[str, Array]
    facts: Mapping[str, Any]


@dataclass
class Writer:
    """Takes the arrays of a folder that is being built."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)

    def save(self, name: str, array: Array) -> None:
        """One array."""
        self.save_parts(name, [array])

    def save_parts(self, name: str, parts: Iterable[Array]) -> None:
        """One array by parts along its first axis, one at least: as many rows as come, none kept in memory."""
        self.sizes[name] = _save(self.folder / f"{name}.npy", parts)


def open_or_build(
    folder: Path,
    key: str,
    build: Callable[[Writer], Mapping[str, Any]],
    read: Callable[[Stored], T],
    again: str = "made",
) -> T:
    """What `read` makes of the folder, which `build` fills if it isn't there or is damaged.

    Parameters
    ----------
    key : of what the arrays were made from; a folder with another key counts as damaged.
    build : saves arrays and returns facts for `meta.json`, plain JSON. It may raise to stop: nothing is left then.
    read : raises ValueError or KeyError where the arrays aren't what they should be, which counts as damage.
    again : what is done to a damaged folder, for the warning.

    Raises
    ------
    DataError : the folder can't be written; or whatever `build` raises.
    """
    found = open_folder(folder, key, read)
    if found is not None:
        return found
    with _locked(folder):
        _sweep(folder)
        found = open_folder(folder, key, read)  # another process may have built it while this one waited
        if found is not None:
            return found
        if folder.exists():
            warnings.warn(f"{folder} is damaged: it is {again} again", stacklevel=3)
        _write(folder, key, build)
        found = open_folder(folder, key, read)
    if found is None:
        raise cannot_write(folder, OSError("what was written reads back otherwise"))
    return found


def open_folder(folder: Path, key: str, read: Callable[[Stored], T]) -> T | None:
    """What `read` makes of the folder, or None if it is not there or not what its `meta.json` says."""
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        if meta.pop("check", None) != _check(meta) or meta["key"] != key:
            return None
        return read(Stored({name: _load(folder / f"{name}.npy", size) for name, size in meta["arrays"].items()}, meta))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def remove(folder: Path) -> None:
    """Remove a folder and its lock; of no use to a process that has it open, which keeps its mappings."""
    shutil.rmtree(folder, ignore_errors=True)
    _lock_of(folder).unlink(missing_ok=True)


def _lock_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of one folder; waits for whoever has it, and a killed holder's lock is free."""
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_of(folder))
        lock.acquire()
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove what a killed build of this folder left; call it under the lock."""
    for left_over in folder.parent.iterdir():
        if left_over.name.startswith(f"{TEMPORARY}{folder.name}-"):
            shutil.rmtree(left_over, ignore_errors=True)


def _write(folder: Path, key: str, build: Callable[[Writer], Mapping[str, Any]]) -> None:
    try:
        work = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{folder.name}-", dir=folder.parent))
        old = work.with_name(work.name + "-old")
        try:
            _fill(work, key, build)
            work.chmod(0o755)
            if folder.exists():  # damaged: out of the way first, since a folder can't replace a full one
                folder.rename(old)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _fill(work: Path, key: str, build: Callable[[Writer], Mapping[str, Any]]) -> None:
    writer = Writer(work)
    facts = build(writer)
    meta = {"key": key, **facts, "arrays": writer.sizes}
    with open(work / "meta.json", "wb") as file:
        file.write(json.dumps({**meta, "check": _check(meta)}, indent=1).encode())
        _flush(file)


def _save(path: Path, parts: Iterable[Array]) -> int:
    """`np.save` by parts that reports a full disk as such (`ndarray.tofile` loses the reason); the file's length."""
    each = iter(parts)
    first = np.ascontiguousarray(next(each))
    header = np.lib.format.header_data_from_array_1_0(first)
    rows = 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in chain([first], each):
            part = np.ascontiguousarray(part, first.dtype)
            file.write(part.reshape(-1).view(np.uint8).data)
            rows += len(part)
        if rows != len(first):
            file.seek(0)  # numpy pads headers so that the first axis can grow in place
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (rows, *first.shape[1:])})
            file.seek(0, os.SEEK_END)
        _flush(file)
        return file.tell()


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _check(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _load(path: Path, size: int) -> Array:
    """A read-only plain array (numba is slow with `np.memmap` itself); ValueError if the file has another length."""
    if path.stat().st_size != size:
        raise ValueError(f"{path} has not {size} bytes")
    array = np.asarray(np.load(path, mmap_mode=None if size < SMALL else "r", allow_pickle=False))
    array.flags.writeable = False
    return array
