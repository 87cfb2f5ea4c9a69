"""Stops or fails a process at its n-th change on disk below some folders. Linux only.

Changes are what the interpreter reports to audit hooks (files opened for writing, renamed, removed, linked; folders
made and removed), and `os.fsync`, which counts twice: with half of the file written, and with all of it.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
KILL, FULL, COUNT = "kill", "full", "count"


class Disk:
    """Counts the changes of this process below `folders`, and strikes at number `at`.

    Attributes
    ----------
    kind : KILL ends the process; FULL lets every new file, new folder and fsync fail from there on, as on a full disk;
        COUNT does nothing.
    log : (number, description) of every change.
    """

    def __init__(self, folders: Sequence[Path], kind: str = COUNT, at: int = 0) -> None:
        self.folders = tuple(f"{os.path.realpath(folder)}/" for folder in folders)
        self.kind, self.at, self.count = kind, at, 0
        self.log: list[str] = []

    def install(self) -> None:
        """Watch this process from now on; a hook can't be removed, so call this in a child."""
        real_fsync: Callable[[Any], None] = os.fsync

        def fsync(file: Any) -> None:
            descriptor = file if isinstance(file, int) else file.fileno()
            path = _of_descriptor(descriptor)
            if self._watched(path):
                self._strike(f"half of {path}", lambda: os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2))
                self._strike(f"fsync {path}", fails_if_full=True)
            real_fsync(file)

        os.fsync = fsync
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, flags = arguments[0], arguments[2]
            if isinstance(path, str | bytes | os.PathLike) and flags & WRITES:
                self._at_path(event, path, None, new=not os.path.lexists(path))
        elif event in CHANGES:
            directory = arguments[-1] if isinstance(arguments[-1], int) and arguments[-1] >= 0 else None
            directory = None if event in ("os.truncate", "os.symlink") else directory
            self._at_path(event, arguments[0], directory, new=event == "os.mkdir")

    def _at_path(self, event: str, path: Any, directory: int | None, *, new: bool) -> None:
        if isinstance(path, int):
            return
        name = os.fsdecode(path)
        if directory is not None and not os.path.isabs(name):
            name = os.path.join(_of_descriptor(directory), name)
        name = os.path.abspath(name)
        if self._watched(name):
            self._strike(f"{event} {name}", fails_if_full=new)

    def _watched(self, path: str) -> bool:
        return f"{path}/".startswith(self.folders)

    def _strike(self, what: str, first: Callable[[], None] = lambda: None, *, fails_if_full: bool = False) -> None:
        self.count += 1
        self.log.append(what)
        if self.kind == KILL and self.count == self.at:
            first()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == FULL and self.count >= self.at and fails_if_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), what.split(" ", 1)[1])


class NoMount(Exception):
    """This user may mount no disk."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None]]:
    """A disk in memory, mounted at `folder`; yields a function that sets its size in bytes. NoMount if it can't be."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1g", "xmcbench-attack", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True)
    except OSError as error:
        raise NoMount(str(error)) from error
    if made.returncode:
        raise NoMount(made.stderr.strip())

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True, capture_output=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _of_descriptor(descriptor: int) -> str:
    return os.readlink(f"/proc/self/fd/{descriptor}")
