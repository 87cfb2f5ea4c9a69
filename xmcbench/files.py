"""Files and folders that are written whole or not at all, locks, and JSON that is decoded into types."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from xmcbench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
TEMPORARY = ".tmp-"  # prefix of unfinished files; a killed process may leave them behind
DAY = 86_400.0  # seconds; an unfinished file of this age is abandoned, since writing a file takes minutes


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that replaces `path` on success; DataError if the folder is not writable or the disk is full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if os.path.exists(name):
            os.unlink(name)


FOLDER_HINT = "XMCBENCH_HOME moves the cache, an option such as --results the rest."


class WriteError(DataError):
    """A folder is read-only, full or missing; the user has to fix it, the code that wrote is not at fault."""


def cannot_write(path: Path, error: OSError) -> WriteError:
    """The error for a folder that is read-only, full or missing; the message names the path."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WriteError(f"{path}: the disk is full", f"Free some space, or choose another folder: {FOLDER_HINT}")
    reason = error.strerror or str(error)
    return WriteError(f"{path}: can't write ({reason})", f"Choose a folder you may write to: {FOLDER_HINT}")


def cannot_read(path: Path, error: OSError) -> DataError:
    """The error for a file that is missing or not readable."""
    return DataError(f"{path}: can't read ({error.strerror or error})", "Give the path of an existing file.")


@contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold the file lock `lock`, which a killed process releases; DataError if its folder can't be written."""
    from filelock import FileLock

    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock)
        held.acquire()
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        yield
    finally:
        held.release()


def lock_of(path: Path) -> Path:
    """The lock of a file or folder, next to it."""
    return path.parent / f".{path.name}.lock"


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A temporary folder next to `target` that replaces `target` on success and is removed on any error.

    The caller must hold the lock of `target`. Temporary folders of killed processes are removed; if one was the old
    `target` and there is no new one, it is restored. DataError if the parent folder is not writable or the disk full.
    """
    prefix = f"{TEMPORARY}{target.name}-"
    try:
        _sweep_folders(target, prefix)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
        yield work
        work.chmod(0o755)
        if target.exists():  # move it away first, since `rename` cannot replace a non-empty folder
            target.rename(work.with_name(work.name + "-old"))
        work.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        with suppress(OSError):
            _sweep_folders(target, prefix)


def _sweep_folders(target: Path, prefix: str) -> None:
    for path in sorted(path for path in target.parent.iterdir() if path.name.startswith(prefix)):
        if path.name.endswith("-old") and not target.exists():
            path.rename(target)
        else:
            shutil.rmtree(path, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove unfinished files of killed processes in `folder`: those not modified for a day."""
    for unfinished in folder.glob(TEMPORARY + "*"):
        try:
            if time.time() - unfinished.stat().st_mtime > DAY:
                unfinished.unlink()
        except OSError:  # another process removed it, or this user may not: both are harmless
            continue


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, an indent of one space and no NaN."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with atomic(path) as file:
        file.write(text.encode() + b"\n")


def typed_json(text: str | bytes, form: type[T], origin: str, hint: str = "") -> T:
    """Decode JSON into `form`; errors are those of `typed`, and a DataError if `text` is not JSON."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: not JSON ({error})", hint) from error
    return typed(raw, form, origin, hint)


def typed(raw: object, form: type[T], origin: str, hint: str = "") -> T:
    """Decode what a JSON or TOML reader returned into `form`, for example a msgspec.Struct.

    DataError names `origin`, and the key and type of a value that is missing, unknown or of another type.
    """
    import msgspec  # slow to import, and list commands use only this module's hashes

    try:
        return msgspec.convert(raw, form)
    except msgspec.ValidationError as error:
        message, _, place = str(error).replace("`", "").partition(" - at $")
        place = f"{place.removeprefix('.')}: " if place else ""
        raise DataError(f"{origin}: {place}{message[0].lower()}{message[1:]}", hint) from error


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = True) -> None:
    """Write an npz file of plain arrays; TypeError for Python objects, which numpy would pickle."""
    import numpy as np  # slow to import, and list commands use only this module's hashes

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"{path.name}: array {name!r} holds Python objects; only numbers and texts can be saved")
    with atomic(path) as file:
        save: Any = np.savez_compressed if compressed else np.savez
        save(file, **arrays)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read an npz file; DataError if it is missing, damaged or holds Python objects, which are never unpickled."""
    import numpy as np  # slow to import, and list commands use only this module's hashes

    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except Exception as error:  # numpy and zipfile raise many types for damaged files
        raise DataError(f"{path}: not a readable npz file ({error})", "Write it again, or remove it.") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
