"""Atomic file writes: a temporary file in the target folder, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xmcbench.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPORARY = ".tmp-"  # prefix of unfinished files; a killed process may leave them behind

DAY = 86_400.0  # seconds; an unfinished file of this age is abandoned, since writing a file takes minutes


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file next to `path`; rename it to `path` on success, remove it on any error.

    Raises
    ------
    DataError : the folder can't be written or the disk is full.
    """
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


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = True) -> None:
    """Write a (compressed) npz file of plain arrays.

    Raises
    ------
    TypeError : an array holds Python objects, which numpy would pickle; `read_npz` loads no pickle.
    """
    import numpy as np  # slow to import, and list commands use only this module's hashes

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"{path.name}: array {name!r} holds Python objects; only numbers and texts can be saved")
    with atomic(path) as file:
        save: Any = np.savez_compressed if compressed else np.savez
        save(file, **arrays)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of an npz file.

    Raises
    ------
    DataError : the file is missing, truncated, damaged, or holds Python objects, which are never unpickled.
    """
    import numpy as np  # slow to import, and list commands use only this module's hashes

    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable npz file ({error})", "Write it again, or remove it.") from error


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
