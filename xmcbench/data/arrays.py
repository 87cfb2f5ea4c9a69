"""Cached folders of memory-mapped arrays: each folder is built once and is either complete or absent.

    FOLDER/   meta.json  NAME.npy  …

The folder is built under a temporary name, with `meta.json` written last, and then renamed. `meta.json` holds the
length of every file and a hash of itself, so that a truncated or edited folder is detected on opening and rebuilt. If
two processes need the same folder, only one builds it; opening an existing folder takes no lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from xmcbench.array_files import check_npy_header
from xmcbench.errors import DataError, cannot_write
from xmcbench.files import lock_of, replaced_folder
from xmcbench.inputs import open_file, read_json
from xmcbench.locks import locked

Array = NDArray[Any]
T = TypeVar("T")
SMALL = 1 << 16  # bytes; shorter files are read into memory, which is cheaper than a mapping


@dataclass(frozen=True)
class Stored:
    """The content of a folder: its read-only arrays, and `meta.json` with the facts that `build` returned."""

    arrays: Mapping[str, Array]
    facts: Mapping[str, Any]


@dataclass
class Writer:
    """Saves the arrays of a folder that is being built."""

    folder: Path
    sizes: dict[str, int] = field(default_factory=dict)

    def save(self, name: str, array: Array) -> None:
        """Save one array."""
        self.save_parts(name, [array])

    def save_parts(self, name: str, parts: Iterable[Array]) -> None:
        """Save one array from parts along its first axis, at least one. Only one part at a time is in memory."""
        self.sizes[name] = _save(self.folder / f"{name}.npy", parts)


def open_or_build(
    folder: Path,
    key: str,
    build: Callable[[Writer], Mapping[str, object]],
    read: Callable[[Stored], T],
    verb: str = "made",
) -> T:
    """Return `read` of the folder's content. `build` creates the folder if it is missing or damaged.

    Parameters
    ----------
    key : identifies the inputs of the arrays; a folder with another key counts as damaged.
    build : saves arrays and returns facts for `meta.json`, plain JSON. If it raises, nothing is left on disk.
    read : raises ValueError, KeyError or msgspec.ValidationError for unexpected content, which counts as damage.
    verb : participle for the warning "FOLDER is damaged: it is … again".

    Raises
    ------
    DataError : the folder can't be written. Errors of `build` are passed on.
    """
    content = open_folder(folder, key, read)
    if content is not None:
        return content
    with locked(lock_of(folder)):
        content = open_folder(folder, key, read)  # another process may have built it while this one waited
        if content is not None:
            return content
        if folder.exists():
            warnings.warn(f"{folder} is damaged: it is {verb} again", stacklevel=3)
        with replaced_folder(folder) as work:
            writer = Writer(work)
            meta = {"key": key, **build(writer), "arrays": writer.sizes}
            with open(work / "meta.json", "wb") as file:
                file.write(json.dumps({**meta, "check": _checksum(meta)}, indent=1).encode())
                _flush(file)
        content = open_folder(folder, key, read)
    if content is None:
        raise cannot_write(folder, OSError("the written content reads back differently"))
    return content


def open_folder(folder: Path, key: str, read: Callable[[Stored], T]) -> T | None:
    """Return `read` of the folder's content, or None if the folder is missing or disagrees with its `meta.json`."""
    try:
        meta = read_json(folder / "meta.json")
        if meta.pop("check", None) != _checksum(meta) or meta["key"] != key:
            return None
        return read(Stored({name: _load(folder / f"{name}.npy", size) for name, size in meta["arrays"].items()}, meta))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, MemoryError, DataError, msgspec.ValidationError):
        return None


def remove(folder: Path) -> None:
    """Remove a folder and its lock. A process that has the folder open keeps its memory mappings."""
    shutil.rmtree(folder, ignore_errors=True)
    lock_of(folder).unlink(missing_ok=True)


def _save(path: Path, parts: Iterable[Array]) -> int:
    """`np.save` from parts; returns the file's length. Reports a full disk (`ndarray.tofile` loses the reason)."""
    remaining_parts = iter(parts)
    first = np.ascontiguousarray(next(remaining_parts))
    header = np.lib.format.header_data_from_array_1_0(first)
    rows = 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in chain([first], remaining_parts):
            part = np.ascontiguousarray(part, first.dtype)
            file.write(part.reshape(-1).view(np.uint8).data)
            rows += len(part)
        if rows != len(first):
            file.seek(0)  # numpy pads headers, so that a longer first axis fits in place
            np.lib.format.write_array_header_1_0(file, {**header, "shape": (rows, *first.shape[1:])})
            file.seek(0, os.SEEK_END)
        _flush(file)
        return file.tell()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _checksum(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _load(path: Path, size: int) -> Array:
    """A read-only plain array (numba is slow with `np.memmap` objects); ValueError if the length is not `size`."""
    if path.stat().st_size != size:
        raise ValueError(f"{path} does not have {size} bytes")
    with open_file(path) as file:
        check_npy_header(file, size)
    array = np.asarray(np.load(path, mmap_mode=None if size < SMALL else "r", allow_pickle=False))
    array.flags.writeable = False
    return array
