"""The folders of downloads, parsed data sets and imports, and the locks that let processes share them.

HOME/locks/used NAME       shared by processes that use a data set, until they end or free it; alone to remove its files
HOME/locks/version NAME    shared while an import's files are read; alone for the moment in which they are replaced
HOME/locks/turn NAME       held while one waits for `version NAME`, so that many readers can't keep a writer waiting
HOME/locks/used encoders   as the first, for the caches of tokens and embeddings

A process takes them in this order, and never waits for the first or the last alone: so no two wait for each other. On a
file system without locks, data sets are used after a warning, and removing or replacing one is refused.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from xmcbench.errors import UsageError, WriteError
from xmcbench.escaping import clean
from xmcbench.files import LONGEST, sweep, user_path
from xmcbench.locks import Busy, locked

VERSION = "version "  # first part of the name of a lock
ENCODERS = ("tokens", "embeddings")  # caches of encoders in the home folder
_held = threading.local()  # `names`: data sets whose version this thread has locked


def home() -> Path:
    """`XMCBENCH_HOME`, or else the platform's cache folder for xmcbench; the folder is not created.

    Raises UsageError: there can be no such folder; the message names the variable to set.
    """
    hint = "Set XMCBENCH_HOME to a folder you may write to."
    path = folder_in("XMCBENCH_HOME") or _cache_folder(hint)
    try:
        os.stat(path / ("x" * LONGEST))
    except (FileNotFoundError, NotADirectoryError):
        pass  # files in a mirror or package may be all that is needed; what writes here reports the fault
    except OSError as error:
        name = "XMCBENCH_HOME=" if os.environ.get("XMCBENCH_HOME") else ""
        raise UsageError(f"{name}{clean(path)[:200]}: {error.strerror or error}", hint) from error
    return path


def _cache_folder(hint: str) -> Path:
    import platformdirs

    try:
        folder = Path(platformdirs.user_cache_dir("xmcbench", appauthor=False))
    except RuntimeError as error:
        raise UsageError("no home folder is known for this user", hint) from error
    if not folder.is_absolute():  # platformdirs leaves a ~ that it can't expand
        raise UsageError(f"no home folder is known for this user, so {folder} can't be used", hint)
    return folder


def folder_in(variable: str) -> Path | None:
    """The absolute path in an environment variable, or None if that is unset or empty.

    Raises UsageError: it begins with the `~` of an unknown user, or is relative to a current folder that was removed.
    """
    if not (text := os.environ.get(variable)):
        return None
    try:
        return user_path(text, f"{variable}=").absolute()
    except FileNotFoundError as error:
        raise UsageError(f"{variable}={text}: the current folder was removed", "Change to another folder.") from error


def imported() -> Path:
    """The folder of `xmcbench data import`, with one subfolder per data set."""
    return home() / "imported"


def version_lock(name: str) -> Path:
    """The lock of an import's files; it exists from the first import of that name on."""
    return home() / "locks" / f"{VERSION}{name}"


@contextmanager
def using(name: str) -> Iterator[None]:
    """Keep the files of a data set from being removed: downloads, parsed views, imported files, encoders' caches."""
    with _shared(home() / "locks" / f"used {name}"), using_encoders():
        yield


@contextmanager
def using_encoders() -> Iterator[None]:
    """Keep the caches of tokens and embeddings from being removed."""
    with _shared(home() / "locks" / "used encoders"):
        yield


@contextmanager
def unused(name: str | None) -> Iterator[None]:
    """Keep others from using a data set, or the encoders' caches (None), while its files are removed.

    Raises
    ------
    Busy : it is in use, by this or another process.
    NoLocks : the file system has no locks, so nobody knows.
    """
    what = name or " and ".join(ENCODERS)
    with ExitStack() as held:
        try:
            held.enter_context(locked(home() / "locks" / f"used {name or 'encoders'}", wait=False, must=True))
        except Busy as error:
            raise Busy(
                f"{what}: in use by a process", "Repeat this when that process has ended, or has freed it."
            ) from error
        yield


@contextmanager
def reading(name: str, *, must: bool = False) -> Iterator[None]:
    """Keep the files of an import from being replaced while they are read; within itself without effect.

    `must` : raise NoLocks, instead of a warning, if the file system has no locks.
    """
    with _version(name, shared=True, must=must):
        yield


@contextmanager
def changing(name: str, *, must: bool) -> Iterator[None]:
    """Be the only process that reads or replaces the files of an import; waits for those that read them.

    Raises
    ------
    Busy : this thread reads them.
    NoLocks : with `must`, the file system has no locks.
    """
    with _version(name, shared=False, must=must):
        yield


@contextmanager
def _version(name: str, *, shared: bool, must: bool) -> Iterator[None]:
    names: set[str] = _held.__dict__.setdefault("names", set())
    if name in names:
        if not shared:
            raise Busy(f"{name}: this process reads it at this moment", "Replace or remove it afterwards.")
        yield
        return
    lock, turn = version_lock(name), home() / "locks" / f"turn {name}"
    with ExitStack() as held:
        with _shared(turn) if shared else locked(turn, must=must):
            held.enter_context(_shared(lock, must=must) if shared else locked(lock, must=must))
        names.add(name)
        held.callback(names.discard, name)
        yield


@contextmanager
def _shared(lock: Path, *, must: bool = False) -> Iterator[None]:
    """Share a lock; in a home folder that this user may only read, and without the lock's file, go on without it."""
    with ExitStack() as held:
        try:
            held.enter_context(locked(lock, shared=True, must=must))
        except WriteError:
            _warn(lock.parent)
        yield


@cache
def _warn(folder: Path) -> None:
    warnings.warn(f"{folder}: can't write, so other processes don't see which data sets this one uses", stacklevel=2)


def folders() -> list[Path]:
    """The existing folders in which downloads, parsed data sets, imports and what methods cache are written."""
    parents = [home() / name for name in ("downloads", "parsed")]
    listed = [path for parent in parents if parent.is_dir() for path in (parent, *sorted(parent.iterdir()))]
    written = [home(), *(home() / name for name in ("imported", *ENCODERS, "peers")), *listed]
    return [path for path in written if path.is_dir()]


def sweep_home() -> None:
    """Remove unfinished files of killed processes."""
    for folder in folders():
        sweep(folder)
