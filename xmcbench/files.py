"""Files and folders that are written whole or not at all, and what tells a changed file."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xmcbench.errors import UsageError, cannot_write
from xmcbench.inputs import open_file
from xmcbench.locks import hold, taken
from xmcbench.npz_files import save_npz

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPORARY = ".tmp-"  # prefix of unfinished files; a killed process may leave them behind
OLD = "-old"  # suffix of a folder that a new one replaces
Stamp = list[int]  # see `stamp_of`
SETTLE = 2_000_000_000  # nanoseconds; the times of files have steps of up to 2 s, those of Linux of 10 ms
LONGEST = 120  # at least as many characters as the names of files in our folders
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

    The caller must hold the lock of `target` at the end of the block. Unfinished files of killed processes are removed
    (`sweep`). DataError if the parent folder is not writable or the disk full.
    """
    descriptors = []
    work: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        work, descriptor = _unfinished_folder(f"{TEMPORARY}{target.name}-", target.parent)
        descriptors.append(descriptor)
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


def remove_folder(folder: Path) -> None:
    """Remove a folder: it is moved away first, so that a killed process leaves no half of it, but what `sweep` removes.

    The caller must hold the lock of `folder`. DataError if it can't be removed.
    """
    hidden: Path | None = None
    try:
        if folder.is_symlink():
            raise OSError("it is a link: remove the folder that it names by hand")
        hidden, descriptor = _unfinished_folder(TEMPORARY, folder.parent)
        try:
            folder.rename(hidden / folder.name)
            shutil.rmtree(hidden)
        finally:
            os.close(descriptor)
    except OSError as error:
        if hidden is not None:
            with suppress(OSError):
                hidden.rmdir()  # empty if the folder could not be moved
        raise cannot_write(folder, error) from error


def _unfinished_folder(prefix: str, parent: Path) -> tuple[Path, int]:
    """A new, held folder and its descriptor; again if another process removed it before it was held."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with suppress(FileNotFoundError):
            descriptor = _held_folder(folder)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


@contextmanager
def temporary_folder(parent: Path, name: str) -> Iterator[Path]:
    """A folder in `parent` for files that are moved elsewhere once all are written; it is removed in the end.

    Those that killed processes left under this `name` are removed, and no other, since `parent` may be anybody's.
    DataError if `parent` is not writable or the disk full.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for path in unfinished(parent):
            if path.name[:-RANDOM] == f"{TEMPORARY}{name}":
                _remove_abandoned(path)
        work, descriptor = _unfinished_folder(f"{TEMPORARY}{name}-", parent)
    except OSError as error:
        raise cannot_write(parent, error) from error
    try:
        yield work
    except OSError as error:
        raise cannot_write(parent, error) from error
    finally:
        os.close(descriptor)
        _remove_abandoned(work)


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


def folder_fault(folder: Path) -> str:
    """Why there can be no such folder, such as "Not a directory"; "" if it exists or its name allows one."""
    try:
        os.stat(folder / ("x" * LONGEST))
    except FileNotFoundError:
        links = (path for path in (folder, *folder.parents) if path.is_symlink() and not path.exists())
        return next((f"{path} is a link to nothing" for path in links), "")
    except OSError as error:
        return error.strerror or str(error)
    return ""


def abandoned(folder: Path) -> list[Path]:
    """Files and folders that `sweep` would remove."""
    found = []
    for path in unfinished(folder):
        with taken(path) as free:
            found += [path] if free else []
    return found


def remove_any(path: Path) -> None:
    """Remove a file or folder, or whatever else has that name; nothing happens if it is missing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file or folder that can't be used to NAME.bad, in place of an earlier one; returns the new path."""
    bad = path.with_name(f"{path.name}.bad")
    try:
        remove_any(bad)
        path.rename(bad)
    except OSError as error:
        raise cannot_write(bad, error) from error
    return bad


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, an indent of one space and no NaN."""
    text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    with atomic(path) as file:
        file.write(text.encode() + b"\n")


def write_npz(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = True) -> None:
    """Write an npz file of plain arrays; TypeError for Python objects, which numpy would pickle."""
    with atomic(path) as file:
        save_npz(file, path.name, arrays, compressed)


def sha256_of(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp_of(stat: os.stat_result) -> Stamp:
    """[size, mtime, ctime, inode] of a file, times in nanoseconds; an edit that keeps the mtime changes the ctime."""
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def is_settled(stamp: Stamp, since: int) -> bool:
    """Whether every later edit of the file changes its stamp, which was taken at the time `since` (ns) or later.

    An edit within one step of the clock after the last change could leave the times of the file as they are.
    """
    return stamp[2] < since - SETTLE
