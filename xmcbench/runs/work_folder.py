"""The work folder of a run: a lock, and a journal of the time that all attempts took."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from xmcbench import locks
from xmcbench.context import Reporter
from xmcbench.errors import cannot_write
from xmcbench.files import typed, write_json
from xmcbench.inputs import read_json


@contextmanager
def locked(work: Path, reporter: Reporter) -> Iterator[None]:
    """Lock a work folder for this process; the system releases the lock of a killed process."""

    def waiting() -> None:
        reporter.phase("waiting for another process that executes the same run")

    with locks.locked(_lock_of(work), waiting=waiting):
        try:
            work.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(work, error) from error
        yield


def remove(work: Path) -> None:
    """Remove a work folder unless a process uses it. The lock file stays: other processes may wait for it."""
    with suppress(locks.Busy), locks.locked(_lock_of(work), wait=False):
        shutil.rmtree(work, ignore_errors=True)


def _lock_of(work: Path) -> Path:
    return work.with_name(f"{work.name}.lock")


def clear(work: Path, keep: str | None = None) -> None:
    """Empty a work folder that this process has locked, except for the subfolder `keep`."""
    for path in work.iterdir():
        if path.is_dir() and path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink()
    with suppress(OSError):  # not empty if `keep` exists
        work.rmdir()


class Past(msgspec.Struct, kw_only=True):
    """All attempts at a fit so far: their seconds and number, and phases and notes of the context."""

    seconds: float
    attempts: int
    phases: dict[str, float]
    notes: dict[str, object]


class Journal(Reporter):
    """Forwards progress, and saves on disk the seconds, phases and notes of all attempts at a fit."""

    EVERY = 5.0  # seconds between writes

    def __init__(
        self,
        path: Path,
        reporter: Reporter,
        phases: dict[str, float],
        notes: dict[str, object],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`phases`, `notes` and `clock` are the context's: `start` fills the first two from earlier attempts, each
        write saves them."""
        self.path, self.reporter, self.phases, self.notes, self.clock = path, reporter, phases, notes, clock
        self.start_time: float | None = None
        self.earlier_seconds, self.attempts, self.last_write = 0.0, 0, 0.0

    def start(self) -> None:
        """Begin a new attempt; the time of earlier attempts is included."""
        if self.path.is_file():
            past = typed(read_json(self.path), Past, str(self.path), "Remove the file.")
            self.earlier_seconds, self.attempts = past.seconds, past.attempts
            self.phases.update(past.phases)
            self.notes.update(past.notes)
        self.attempts += 1
        self.start_time = self.clock()
        self._write()

    def stop(self) -> None:
        """End the attempt, whether it succeeded or failed."""
        self._write()
        self.earlier_seconds, self.start_time = self.seconds, None

    @property
    def seconds(self) -> float:
        """Total seconds of all attempts so far."""
        return self.earlier_seconds + (0.0 if self.start_time is None else self.clock() - self.start_time)

    def phase(self, name: str) -> None:
        self._write()
        self.reporter.phase(name)

    def score(self, name: str, value: float) -> None:
        self.reporter.score(name, value)

    def progress(self, done: float, total: float, note: str) -> None:
        if time.perf_counter() - self.last_write > self.EVERY:
            self._write()
        self.reporter.progress(done, total, note)

    def _write(self) -> None:
        if self.start_time is None:
            return
        self.last_write = time.perf_counter()
        past = Past(seconds=self.seconds, attempts=self.attempts, phases=self.phases, notes=self.notes)
        write_json(self.path, msgspec.to_builtins(past))
