"""Files and folders that are written whole or not at all, and JSON that is decoded into types."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from xmcbench.errors import DataError, UsageError, cannot_write
from xmcbench.locks import hold, taken

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
TEMPORARY = ".tmp-"  # prefix of unfinished files; a killed process may leave them behind
OLD = "-old"  # suffix of a folder that a new one replaces
RANDOM = 9  # characters that `tempfile` adds to a name, with the dash before them


def user_path(text: str, name: str) -> Path:
    """A path as a user wrote it, with `~` and `~user` expanded; `name` is that of the option or variable, with
    the character between name and value.

    Raises UsageError: there is no such user, or this user has no home.
    """
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        hint = "Give a path without ~. A file whose name begins with ~ is ./~NAME."
        raise UsageError(f"{name}{text}: no home folder is known for {text.split('/')[0]}", hint)
    return Path(expanded)


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file that replaces `path` on success; DataError if the folder is not writable or the disk is full."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = _unfinished_file(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
            os.chmod(name, 0o644)
            os.replace(name, path)  # before the file is closed, which releases its lock
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        if os.path.exists(name):
            os.unlink(name)


def _unfinished_file(folder: Path) -> tuple[int, str]:
    """An open, held file with a temporary name; again if another process removed it before it was held."""
    while True:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
        try:
            hold(handle)
        except OSError:
            os.close(handle)
            raise
        if os.path.exists(name):
            return handle, name
        os.close(handle)


def lock_of(path: Path) -> Path:
    """The lock of a file or folder, next to it."""
    return path.parent / f".{path.name}.lock"


@contextmanager
def replaced_folder(target: Path) -> Iterator[Path]:
    """A temporary folder next to `target` that replaces `target` on success and is removed on any error.

    The caller must hold the lock of `target`. Unfinished files of killed processes are removed (`sweep`).
    DataError if the parent folder is not writable or the disk full.
    """
    descriptors = []
    work: Path | None = None
    try:
        sweep(target.parent)
        work = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{target.name}-", dir=target.parent))
        descriptors.append(_held_folder(work))
        yield work
        work.chmod(0o755)
        if target.exists():  # move it away first, since `rename` cannot replace a non-empty folder
            descriptors.append(_held_folder(target))
            target.rename(work.with_name(work.name + OLD))
        work.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        if work is not None:
            for path in (work, work.with_name(work.name + OLD)):
                _remove_abandoned(path)


def _held_folder(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    hold(descriptor)
    return descriptor


def sweep(folder: Path) -> list[Path]:
    """Remove unfinished files and folders of killed processes, those that no process holds; returns them.

    If one is the old content of a folder that has no new content, it is restored.
    """
    return [path for path in unfinished(folder) if _remove_abandoned(path)]


def unfinished(folder: Path) -> list[Path]:
    """Files and folders in `folder` with temporary names, of running and of killed processes."""
    return sorted(folder.glob(TEMPORARY + "*"))


def _remove_abandoned(path: Path) -> bool:
    with taken(path) as abandoned, suppress(OSError):  # another process removed it, or this user may not
        if not abandoned:
            return False
        name = path.name.removeprefix(TEMPORARY).removesuffix(OLD)[:-RANDOM]
        if path.name.endswith(OLD) and name and not (target := path.with_name(name)).exists():
            path.rename(target)
        elif path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True
    return False


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
