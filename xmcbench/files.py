"""Files written whole or not at all: a temporary name in the target folder, flushed to disk, then renamed."""

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

TEMPORARY = ".tmp-"  # prefix of unfinished files; anything of that name is left over from a killed process

DAY = 86_400.0  # seconds; a file is written in minutes, and what hides unfinished files may lie about so long


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on success it becomes `path`, on any error it is removed.

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


MOVED = "XMCBENCH_HOME moves the cache, an option such as --results the rest."


class WriteError(DataError):
    """A folder that is read-only, full or gone: the user's to mend, and no fault of who wrote."""


def cannot_write(path: Path, error: OSError) -> WriteError:
    """The error for a folder that is read-only, full or gone; any may be meant, so the path says which."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WriteError(f"{path}: the disk is full", f"Free some space, or choose another folder: {MOVED}")
    reason = error.strerror or str(error)
    return WriteError(f"{path}: can't write ({reason})", f"Choose a folder you may write to: {MOVED}")


def sweep(folder: Path) -> None:
    """Remove what killed processes left unfinished in `folder`: not written to for a day, so nobody writes it now."""
    for left_over in folder.glob(TEMPORARY + "*"):
        try:
            if time.time() - left_over.stat().st_mtime > DAY:
                left_over.unlink()
        except OSError:  # another process did, or it isn't ours to remove: no harm in either
            continue


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, one space of indent and no NaN."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with atomic(path) as file:
        file.write(text.encode() + b"\n")


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = True) -> None:
    """A (compressed) npz of plain arrays.

    Raises
    ------
    TypeError : an array of Python objects, which numpy would pickle and nobody could load.
    """
    import numpy as np  # heavy, and listings only need this module's hashes

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"{path.name}: array {name!r} holds Python objects; only numbers and texts can be kept")
    with atomic(path) as file:
        save: Any = np.savez_compressed if compressed else np.savez
        save(file, **arrays)


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of an npz.

    Raises
    ------
    DataError : it is missing, cut short, damaged, or holds Python objects, which are never unpickled.
    """
    import numpy as np  # heavy, and listings only need this module's hashes

    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: not a readable npz file ({error})", "Write it again, or remove it.") from error


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
