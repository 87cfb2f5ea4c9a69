"""Cached folders of memory-mapped arrays: each folder is built once and is either complete or absent.

    FOLDER/   meta.json  NAME.npy  …  verified.json

The folder is built under a temporary name, with `meta.json` written last, and then renamed. `meta.json` holds the
length and sha256 of every file, and a hash of itself. A file is hashed when the folder is opened, unless its size,
times and inode are those of an earlier opening. The content that a `meta.json` describes is validated once. That this
was done is in `verified.json`. A damaged folder is built again. If two processes need the same folder, only one builds
it; opening an existing folder takes no lock.

What this guarantees: arrays are the bytes that `build` wrote, at the time of opening. Files shorter than `SMALL` are
then in memory. Longer ones are mapped: who replaces or removes a file changes no open array, but who edits a file in
place also edits the arrays of processes that have it open, and who truncates one crashes them. An edit is found at the
next opening, because it changes the file's ctime. Only `verify` finds one that does not: an edit through a mapping that
was open before, a damaged disk, or a clock that was set back. No hash finds edits of somebody who also writes
matching hashes; of those, only contents that `read` refuses are noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import mmap
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, WriteError
from xmcbench.files import (
    Stamp,
    is_settled,
    lock_of,
    replaced_folder,
    sha256_of,
    stamp_of,
    sweep,
    typed_json,
    write_json,
)
from xmcbench.inputs import open_file, read_file, read_json
from xmcbench.locks import locked

Array = NDArray[Any]
T = TypeVar("T")
FORMAT = 2  # version of meta.json; folders of another version are built again
META = "meta.json"
VERIFIED = "verified.json"  # a cache: every file is hashed again if it is damaged or can't be written
SMALL = 1 << 16  # bytes; shorter files are read into memory, which is cheaper than a mapping
DISK = "Check the disk and its free space, then repeat the command."  # hint
DAMAGE = (OSError, ValueError, LookupError, AttributeError, TypeError, DataError, msgspec.ValidationError)


class Unusable(Exception):
    """A folder that can't be opened. The text says which file is damaged, and how; "" if the folder is only missing."""


class _File(msgspec.Struct):
    """Length in bytes and sha256 of a file."""

    size: int
    sha256: str


class _Verified(msgspec.Struct):
    """Stamps of files that were whole; `meta` is the hash of the meta.json that describes them, "" if there is none."""

    meta: str = ""
    files: dict[str, Stamp] = {}


@dataclass(frozen=True)
class Stored:
    """The content of a folder: its read-only arrays, and `meta.json` with the facts that `build` returned.

    If `unchecked`, the arrays must be validated before they are used.
    """

    arrays: Mapping[str, Array]
    facts: Mapping[str, Any]
    unchecked: bool


@dataclass
class Writer:
    """Saves the arrays of a folder that is being built."""

    folder: Path
    files: dict[str, dict[str, object]] = field(default_factory=dict)

    def save(self, name: str, array: Array) -> None:
        """Save one array."""
        self.save_parts(name, [array])

    def save_parts(self, name: str, parts: Iterable[Array]) -> None:
        """Save one array from parts along its first axis, at least one. Only one part at a time is in memory."""
        path = self.folder / f"{name}.npy"
        self.files[name] = {"size": _save(path, parts), "sha256": sha256_of(path)}


def open_or_build(
    folder: Path,
    key: str,
    build: Callable[[Writer], Mapping[str, object]],
    read: Callable[[Stored], T],
    verb: str = "made",
    *,
    verify: bool = False,
) -> T:
    """Return `read` of the folder's content. `build` creates the folder if it is missing or damaged.

    Parameters
    ----------
    key : identifies the inputs of the arrays; a folder with another key counts as damaged.
    build : saves arrays and returns facts for `meta.json`, plain JSON. If it raises, nothing is left on disk.
    read : see `open_folder`.
    verb : participle for the warning "FOLDER is damaged: it is … again", which names the damaged file.
    verify : hash every file and validate the content, whatever `verified.json` says.

    Raises
    ------
    DataError : the folder can't be written. Errors of `build` are passed on.
    """
    try:
        return open_folder(folder, key, read, verify=verify)
    except Unusable as error:
        damage = str(error)
    try:
        return _build(folder, key, build, read, verb)
    except WriteError as error:
        if not damage:
            raise
        message = f"{folder} is damaged ({damage}) and can't be {verb} again\n  {error.message}"
        raise WriteError(message, error.hint) from error


def _build(
    folder: Path,
    key: str,
    build: Callable[[Writer], Mapping[str, object]],
    read: Callable[[Stored], T],
    verb: str,
) -> T:
    """Build the folder, unless another process does so meanwhile, and open it."""
    with locked(lock_of(folder)):
        try:
            return open_folder(folder, key, read, verify=True)
        except Unusable as error:
            if damage := str(error):
                warnings.warn(f"{folder} is damaged: it is {verb} again ({damage})", stacklevel=4)
        with replaced_folder(folder) as work:
            writer = Writer(work)
            meta = {"format": FORMAT, "key": key, **build(writer), "arrays": writer.files}
            with open(work / META, "wb") as file:
                file.write(json.dumps({**meta, "check": _checksum(meta)}, indent=1).encode())
                _flush(file)
        try:
            return open_folder(folder, key, read)
        except Unusable as error:
            raise DataError(f"{folder}: what was written reads back differently ({error})", DISK) from error


def open_folder(folder: Path, key: str, read: Callable[[Stored], T], *, verify: bool = False) -> T:
    """Return `read` of the folder's content.

    Parameters
    ----------
    read : raises ValueError, LookupError or msgspec.ValidationError for unexpected content, which counts as damage. It
        must validate everything that kernels rely on, but need not if the content is not `unchecked`.
    verify : hash every file and validate the content, whatever `verified.json` says.

    Raises
    ------
    Unusable : the folder is missing or damaged.
    """
    started = time.time_ns()
    meta = facts_of(folder, key)
    seal = _checksum(meta)
    known = _Verified() if verify else _known(folder)
    if known.meta != seal:
        known = _Verified()
    arrays: dict[str, Array] = {}
    stamps: dict[str, Stamp] = {}
    try:
        for name, file in msgspec.convert(meta["arrays"], dict[str, _File]).items():
            arrays[name], stamps[name] = _load(folder / f"{name}.npy", file, known.files.get(name))
        content = read(Stored(arrays, meta, unchecked=not known.meta))
    except DAMAGE as error:
        raise Unusable(_reason(error)) from error
    found = _Verified(seal, {name: stamp for name, stamp in stamps.items() if is_settled(stamp, started)})
    if found != known and folder.is_dir():
        with suppress(DataError, OSError):  # in a folder that can't be written, files are hashed at every opening
            sweep(folder)
            write_json(folder / VERIFIED, msgspec.to_builtins(found))
    return content


def facts_of(folder: Path, key: str) -> dict[str, Any]:
    """The content of the folder's `meta.json`, without looking at its arrays; Unusable as in `open_folder`."""
    try:
        meta = read_json(folder / META)
        if meta.pop("check", None) != _checksum(meta):
            raise ValueError("changed after it was written")
        if meta["key"] != key:
            raise ValueError("of other inputs")
    except DAMAGE as error:
        is_missing = not folder.exists()
        raise Unusable("" if is_missing else f"{META}: {_reason(error)}") from error
    if meta.get("format") != FORMAT:
        raise Unusable("")
    return dict(meta)


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


def _known(folder: Path) -> _Verified:
    """The content of `verified.json`, empty if it is damaged or missing."""
    try:
        return typed_json(read_file(folder / VERIFIED), _Verified, VERIFIED)
    except (OSError, DataError):
        return _Verified()


def _load(path: Path, expected: _File, known: Stamp | None) -> tuple[Array, Stamp]:
    """A read-only array and its file's stamp; the file is hashed unless it has the `known` stamp.

    The array is made of the open file that was hashed, not of what has its name later. ValueError names a damaged file.
    """
    try:
        with open_file(path) as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            if stamp[0] != expected.size:
                raise ValueError(f"{stamp[0]:,} bytes long, {expected.size:,} were written")
            source = io.BytesIO(file.read()) if expected.size < SMALL else file
            if stamp != known and hashlib.file_digest(source, "sha256").hexdigest() != expected.sha256:
                raise ValueError("changed after it was written")
            shape, dtype = _header(source)
            offset = source.tell()
            if math.prod(shape) * dtype.itemsize != expected.size - offset:
                raise ValueError("its header is not that of its data")
            if isinstance(source, io.BytesIO):
                buffer: bytes | mmap.mmap = source.getvalue()
            else:
                buffer = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            # a plain array, since numba is slow with `np.memmap` objects
            return np.ndarray(shape, dtype, buffer, offset), stamp
    except (OSError, ValueError, DataError) as error:
        raise ValueError(f"{path.name}: {_reason(error)}") from error


def _header(source: io.BufferedReader | io.BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of a .npy file as `_save` writes it; leaves `source` at the data."""
    try:
        source.seek(0)
        if np.lib.format.read_magic(source) != (1, 0):
            raise ValueError
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(source)
    except Exception as error:  # numpy raises many types for damaged headers
        raise ValueError("not an array") from error
    if fortran_order or dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"an array of another kind ({dtype})")
    return shape, dtype


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
