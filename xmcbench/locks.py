"""Locks between processes: files that a process holds alone or shares with others, and unfinished files it works on.

The system releases the locks of a killed process. They are `flock` locks, of Linux and macOS; on a file system without
them, such as some network file systems, work goes on without locks after one warning, except for removing what another
process might use (`must`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

from xmcbench.errors import DataError, cannot_write

MISSING = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems without locks report


class Busy(DataError):
    """Another process holds the lock."""


class NoLocks(DataError):
    """The file system has no locks."""


@contextmanager
def locked(
    lock: Path,
    *,
    shared: bool = False,
    wait: bool = True,
    must: bool = False,
    waiting: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock file `lock`, alone or shared with other readers.

    A thread that holds a lock must not ask for it again: it would wait forever. Only who holds a lock file alone may
    remove it.

    Parameters
    ----------
    shared : with others that share it, but with nobody who holds it alone.
    wait : until it is free, in which case `waiting` is called first; otherwise Busy is raised.
    must : raise NoLocks, instead of a warning, if the file system has no locks.

    Raises
    ------
    Busy : another process holds the lock, and `wait` is False.
    NoLocks : see `must`.
    WriteError : the lock file or its folder can't be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _acquired(lock, shared, wait, must, waiting)
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        yield
    finally:
        os.close(descriptor)  # releases the lock


def _acquired(lock: Path, shared: bool, wait: bool, must: bool, waiting: Callable[[], None] | None) -> int:
    while True:
        descriptor = _opened(lock, shared)
        try:
            if not _lock(descriptor, lock, shared=shared, wait=False, must=must):
                if not wait:
                    raise Busy(f"{lock.parent}: another process uses it", "Wait until it has ended, then repeat this.")
                if waiting is not None:
                    waiting()
                    waiting = None
                _lock(descriptor, lock, shared=shared, wait=True, must=must)
            with suppress(
                FileNotFoundError
            ):  # who held the lock may have removed its file, or another may have made one
                if os.path.samestat(os.fstat(descriptor), os.stat(lock)):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _opened(lock: Path, shared: bool) -> int:
    """The open lock file, which a reader can share without the permission to write or make it."""
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if not shared or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        try:
            return os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise error from None


def hold(descriptor: int) -> None:
    """Lock an open unfinished file or folder until `descriptor` is closed, so that nobody takes it for abandoned."""
    _lock(descriptor, None, shared=False, wait=True, must=False)


@contextmanager
def taken(path: Path) -> Iterator[bool]:
    """Whether an unfinished file or folder is abandoned (see `hold`); if so, hold it. False where locks are missing."""
    with ExitStack() as opened:
        try:
            writable = 0 if path.is_dir() else os.O_RDWR  # without it, network file systems lock no file alone
            descriptor = os.open(path, writable | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            opened.callback(os.close, descriptor)
            abandoned = _lock(descriptor, path, shared=False, wait=False, must=True)
        except (OSError, NoLocks):
            abandoned = False
        yield abandoned


def _lock(descriptor: int, path: Path | None, *, shared: bool, wait: bool, must: bool) -> bool:
    """Whether the lock was acquired; True too without locks, unless `must`."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in MISSING:
            raise
        if must and path is not None:
            raise NoLocks(
                f"{path.parent}: its file system has no locks, so other processes might use it",
                "Choose a folder on another file system.",
            ) from error
        if path is not None:
            _warn(path.parent)
    return True


@cache
def _warn(folder: Path) -> None:
    warnings.warn(f"{folder}: its file system has no locks; let only one process use it at a time", stacklevel=2)
