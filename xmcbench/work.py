"""A run's work folder: one process at a time, and a journal of the time all attempts have taken."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


class Journal(Reporter):
    """Passes progress on, and keeps on disk how long all attempts at this fit have worked so far."""

    EVERY = 5.0  # seconds between writes

    def __init__(self, path: Path, reporter: Reporter) -> None:
        self.path, self.reporter = path, reporter
        self.begun: float | None = None
        self.before, self.attempts, self.written = 0.0, 0, 0.0

    def start(self) -> None:
        if self.path.is_file():
            past = json.loads(self.path.read_text())
            self.before, self.attempts = float(past["seconds"]), int(past["attempts"])
        self.attempts += 1
        self.begun = time.perf_counter()
        self._write()

    def stop(self) -> dict[str, Any]:
        """Seconds of work in all attempts, and their number."""
        self._write()
        self.begun = None
        past: dict[str, Any] = json.loads(self.path.read_text())
        return past

    def phase(self, name: str) -> None:
        self.reporter.phase(name)

    def score(self, name: str, value: float) -> None:
        self.reporter.score(name, value)

    def progress(self, done: float, total: float, note: str) -> None:
        if self.begun is not None and time.perf_counter() - self.written > self.EVERY:
            self._write()
        self.reporter.progress(done, total, note)

    def _write(self) -> None:
        self.written = time.perf_counter()
        seconds = self.before + self.written - (self.begun or self.written)
        write_json(self.path, {"seconds": seconds, "attempts": self.attempts})
