"""A run's work folder: one process at a time, and a journal of the time all attempts have taken."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from xmcbench.context import Reporter
from xmcbench.errors import DataError
from xmcbench.files import write_json


@contextmanager
def locked(work: Path, reporter: Reporter) -> Iterator[None]:
    """One process at a time works in a run's folder; the lock of a killed process is gone with it."""
    from filelock import FileLock, Timeout

    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{work}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            reporter.phase("waiting for another process that does the same run")
            lock.acquire()
    except OSError as error:
        raise DataError(f"{work}: can't write ({error.strerror})", "Point --results elsewhere.") from error
    try:
        yield
    finally:
        lock.release()


def remove(work: Path) -> None:
    """Remove a work folder nobody is working in. Its lock file stays: deleting one others wait for would free them."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(f"{work}.lock", timeout=0):
            shutil.rmtree(work, ignore_errors=True)
    except Timeout:
        return


def clear(work: Path, keep: str | None = None) -> None:
    """Empty a work folder that this process has locked, but for the folder `keep`."""
    for path in work.iterdir():
        if path.is_dir() and path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            path.unlink()
    with suppress(OSError):  # what is kept keeps it
        work.rmdir()


class Journal(Reporter):
    """Passes progress on, and keeps on disk what all attempts at this fit took: seconds, by phase too, and notes."""

    EVERY = 5.0  # seconds between writes

    def __init__(self, path: Path, reporter: Reporter, phases: dict[str, float], notes: dict[str, Any]) -> None:
        """`phases` and `notes` are the context's own: filled from earlier attempts now, read at every write."""
        self.path, self.reporter, self.phases, self.notes = path, reporter, phases, notes
        self.begun: float | None = None
        self.before, self.attempts, self.written = 0.0, 0, 0.0

    def start(self) -> None:
        """A new attempt begins; what earlier ones took is counted with it."""
        if self.path.is_file():
            past = json.loads(self.path.read_text())
            self.before, self.attempts = float(past["seconds"]), int(past["attempts"])
            self.phases.update(past["phases"])
            self.notes.update(past["notes"])
        self.attempts += 1
        self.begun = time.perf_counter()
        self._write()

    def stop(self) -> None:
        """The attempt is over, one way or another."""
        self._write()
        self.before, self.begun = self.seconds, None

    @property
    def seconds(self) -> float:
        """Of work in all attempts so far."""
        return self.before + (0.0 if self.begun is None else time.perf_counter() - self.begun)

    def phase(self, name: str) -> None:
        self._write()
        self.reporter.phase(name)

    def score(self, name: str, value: float) -> None:
        self.reporter.score(name, value)

    def progress(self, done: float, total: float, note: str) -> None:
        if time.perf_counter() - self.written > self.EVERY:
            self._write()
        self.reporter.progress(done, total, note)

    def _write(self) -> None:
        if self.begun is None:
            return
        self.written = time.perf_counter()
        state = {"seconds": self.seconds, "attempts": self.attempts, "phases": self.phases, "notes": self.notes}
        write_json(self.path, state)
