"""Cached folders of memory-mapped arrays: each folder is built once and is either complete or absent.

    FOLDER/   meta.json  NAME.npy  …  verified.json

The folder is built under a temporary name, with `meta.json` written last, and then renamed. `meta.json` holds the
length and sha256 of every file, and a hash of itself. A file is hashed when the folder is opened, unless its size,
times and inode are those of an earlier opening. The content that a `meta.json` describes is validated once. That this
was done is in `verified.json`. A damaged folder is built again. If two processes need the same folder, only one builds
it; opening an existing folder takes no lock.

What this guarantees: arrays are the bytes that `build` wrote, at the time of opening. Short files are then in memory.
Longer ones are mapped: who replaces or removes a file changes no open array, but who edits a file in place also edits
the arrays of processes that have it open, and who truncates one crashes them. An edit is found at the next opening,
because it changes the file's ctime. Only `verify` finds one that does not: an edit through a mapping that was open
before, a damaged disk, or a clock that was set back. No hash finds edits of somebody who also writes matching hashes;
of those, only contents that `read` refuses are noticed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from xmcbench.data import array_files
from xmcbench.data.array_files import Array, File, load, opened, reason, save
from xmcbench.errors import DataError, WriteError
from xmcbench.files import Stamp, is_settled, lock_of, replaced_folder, sweep, write_json
from xmcbench.locks import locked

T = TypeVar("T")
FORMAT = 2  # version of meta.json; folders of another version are built again
META = "meta.json"
VERIFIED = "verified.json"  # a cache: every file is hashed again if it is damaged or can't be written
DISK = "Check the disk and its free space, then repeat the command."  # hint
DAMAGE = (OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError, msgspec.ValidationError)


class Unusable(Exception):
    """A folder that can't be opened. The text says which file is damaged, and how; "" if the folder is only missing."""


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
    files: dict[str, File] = field(default_factory=dict)

    def save(self, name: str, array: Array) -> None:
        """Save one array."""
        self.save_parts(name, [array])

    def save_parts(self, name: str, parts: Iterable[Array]) -> None:
        """Save one array from parts along its first axis, at least one. Only one part at a time is in memory."""
        self.files[name] = save(self.folder / f"{name}.npy", parts)


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
            meta = {"format": FORMAT, "key": key, **build(writer), "arrays": msgspec.to_builtins(writer.files)}
            with open(work / META, "wb") as file:
                file.write(json.dumps({**meta, "check": _checksum(meta)}, indent=1).encode())
                array_files.flush(file)
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
        for name, file in msgspec.convert(meta["arrays"], dict[str, File]).items():
            arrays[name], stamps[name] = load(folder / f"{name}.npy", file, known.files.get(name))
        content = read(Stored(arrays, meta, unchecked=not known.meta))
    except DAMAGE as error:
        raise Unusable(reason(error)) from error
    found = _Verified(seal, {name: stamp for name, stamp in stamps.items() if is_settled(stamp, started)})
    if found != known and folder.is_dir():
        with suppress(DataError, OSError):  # in a folder that can't be written, files are hashed at every opening
            sweep(folder)
            write_json(folder / VERIFIED, msgspec.to_builtins(found))
    return content


def facts_of(folder: Path, key: str) -> dict[str, Any]:
    """The content of the folder's `meta.json`, without looking at its arrays; Unusable as in `open_folder`."""
    try:
        with opened(folder / META) as file:
            meta = json.load(file)
        if meta.pop("check", None) != _checksum(meta):
            raise ValueError("changed after it was written")
        if meta["key"] != key:
            raise ValueError("of other inputs")
    except DAMAGE as error:
        is_missing = isinstance(error, FileNotFoundError) and not folder.exists()
        raise Unusable("" if is_missing else f"{META}: {reason(error)}") from error
    if meta.get("format") != FORMAT:
        raise Unusable("")
    return dict(meta)


def remove(folder: Path) -> None:
    """Remove a folder and its lock. A process that has the folder open keeps its memory mappings."""
    shutil.rmtree(folder, ignore_errors=True)
    lock_of(folder).unlink(missing_ok=True)


def _checksum(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _known(folder: Path) -> _Verified:
    """The content of `verified.json`, empty if it is damaged or missing."""
    try:
        with opened(folder / VERIFIED) as file:
            return msgspec.json.decode(file.read(), type=_Verified)
    except (OSError, ValueError, RecursionError, msgspec.DecodeError, DataError):
        return _Verified()
