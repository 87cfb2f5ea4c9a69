"""The work folder of a run: a lock, state files, hashes of the model, and a journal of the time of all attempts.

Nothing of it is trusted: a state file holds the identity of its fit and a hash of its content, and what is damaged or
belongs to another fit is rejected.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from xmcbench import locks
from xmcbench.checkpoints import rejected
from xmcbench.context import Reporter, recall
from xmcbench.errors import DataError, cannot_write
from xmcbench.escaping import clean
from xmcbench.files import TEMPORARY, atomic, remove_any, sha256_of, write_json
from xmcbench.inputs import read_file, typed_json

FINISHED = "finished"  # file with the id of the run that a work folder was for
T = TypeVar("T")
Reject = Callable[[Path, str], object]  # renames a rejected file and reports the reason; `RunContext.reject`


@contextmanager
def locked(work: Path, reporter: Reporter) -> Iterator[None]:
    """Lock a work folder for this process; the system releases the lock of a killed process."""

    def waiting() -> None:
        reporter.phase("waiting for another process that executes the same run")

    with locks.locked(_lock_of(work), waiting=waiting):
        make_folder(work, rejected)
        for path in list(work.rglob(TEMPORARY + "*")):  # of killed processes: this one holds the lock
            with suppress(OSError):
                remove_any(path)
        yield


@contextmanager
def reserved(work: Path) -> Iterator[None]:
    """Lock a work folder whose fit is executed on another machine; the lock's file is removed in the end.

    Raises Busy: another process has it.
    """
    lock = _lock_of(work)
    with locks.locked(lock, wait=False):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def make_folder(path: Path, reject: Reject) -> None:
    """Make a folder of the work folder, unless it exists; whatever else has its name is rejected.

    Raises WriteError: it can't be made.
    """
    if os.path.lexists(path) and not path.is_dir():
        reject(path, "not a folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def remove(work: Path) -> None:
    """Remove a work folder and its lock unless a process uses it."""
    lock = _lock_of(work)
    with suppress(locks.Busy), locks.locked(lock, wait=False):
        discard(work)
        lock.unlink(missing_ok=True)


def discard(work: Path) -> None:
    """Remove a work folder that this process has locked; one that is killed meanwhile leaves no part of it in use."""
    if not os.path.lexists(work):
        return
    with suppress(OSError):  # such as a full disk, on which a folder can be removed all the same
        hidden = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{work.name}-", dir=work.parent))
        work.rename(hidden / work.name)
        shutil.rmtree(hidden, ignore_errors=True)
    with suppress(OSError):
        remove_any(work)


def finish(work: Path, run_id: str) -> None:
    """Note that the work folder is of no use once run `run_id` has a record, see `recorded`."""
    with atomic(work / FINISHED) as file:
        file.write(run_id.encode())


def recorded(work: Path) -> str:
    """The run of `finish`, or "" if the work folder is unfinished or kept."""
    path = work / FINISHED
    try:
        text = path.read_text("ascii") if path.is_file() else ""
    except (OSError, ValueError):
        return ""
    return text if re.fullmatch(r"[\w.-]{1,200}", text) else ""


def _lock_of(work: Path) -> Path:
    return work.with_name(f"{work.name}.lock")


def clear(work: Path, keep: str | None = None) -> None:
    """Empty a work folder that this process has locked, except for the subfolder `keep`."""
    for path in work.iterdir():
        if path.name != keep:
            with suppress(OSError):
                remove_any(path)
    with suppress(OSError):  # not empty if `keep` exists
        work.rmdir()


@dataclass(frozen=True)
class StateFile:
    """A JSON file of a work folder: `content`, the `identity` of the fit, and a hash of both."""

    path: Path
    identity: Mapping[str, object]
    reject: Reject

    def read(self, form: type[T]) -> T | None:
        """The content, or None if the file is missing or rejected."""
        if not os.path.lexists(self.path):
            return None
        try:
            raw = typed_json(read_file(self.path), dict[str, Any], "its text")
            if raw.get("sha256") != _seal(raw):
                raise DataError("changed, or of another version")
            if raw["identity"] != dict(self.identity):
                raise DataError("of another fit")
            return msgspec.convert(raw["content"], form)
        except (DataError, OSError, KeyError, msgspec.ValidationError) as error:
            fault = getattr(error, "strerror", None) or getattr(error, "message", error)
            fault = str(fault).removeprefix(f"{self.path}: ")  # a record shows no private path
            self.reject(self.path, f"not the file that this fit wrote ({clean(fault)})")
            return None

    def write(self, content: object) -> None:
        """Replace the content. Raises WriteError: the folder can't be written, or the disk is full."""
        raw = {"identity": dict(self.identity), "content": msgspec.to_builtins(content)}
        write_json(self.path, {**raw, "sha256": _seal(raw)})


def _seal(raw: Mapping[str, object]) -> str:
    rest = {name: value for name, value in raw.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def hashes(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of all files in a folder, "folder" for its subfolders, and "other" for anything else."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "folder" if path.is_dir() else sha256_of(path) if path.is_file() else "other"
        found[clean(path.relative_to(folder))] = kind
    return found


def changed(folder: Path, expected: Mapping[str, str]) -> str:
    """What differs between a folder and its `hashes` when it was written, in words; "" if nothing does."""
    try:
        found = hashes(folder)
    except OSError as error:
        return f"can't be read ({error.strerror or error})"
    missing, added = expected.keys() - found.keys(), found.keys() - expected.keys()
    other = {name for name in expected.keys() & found.keys() if expected[name] != found[name]}
    parts = (("missing", missing), ("not part of it", added), ("changed", other))
    return "; ".join(f"{', '.join(sorted(names))}: {what}" for what, names in parts if names)


class _Saved(msgspec.Struct):
    """What `model_of` reads of the state file of a finished fit, see `xmcbench.runs.job`."""

    files: dict[str, str]


@contextmanager
def model_of(work: Path, identity: Mapping[str, object], *, is_locked: bool = False) -> Iterator[Path]:
    """The folder of the model that a run saved in its work folder, which is locked meanwhile unless it is already.

    DataError if there is none, or if it is not the one that was saved.
    """
    hint = "Repeat the run with --keep-models."
    if not work.is_dir():
        raise DataError(f"{work}: the fitted model is gone", hint)

    def reject(path: Path, fault: str) -> None:
        raise DataError(f"{path}: {fault}", hint)

    with nullcontext() if is_locked else locks.locked(_lock_of(work)):
        fit = StateFile(work / "fit.json", identity, reject).read(_Saved)
        if fit is None:
            raise DataError(f"{work}: has no fitted model", hint)
        if fault := changed(work / "model", fit.files):
            raise DataError(f"{work / 'model'}: not the model that was saved ({fault})", hint)
        yield work / "model"


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
        file: StateFile,
        reporter: Reporter,
        phases: dict[str, float],
        notes: dict[str, object],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`phases`, `notes` and `clock` are the context's: `start` fills the first two from earlier attempts, each
        write saves them."""
        self.file, self.reporter, self.phases, self.notes, self.clock = file, reporter, phases, notes, clock
        self.start_time: float | None = None
        self.earlier_seconds, self.attempts, self.last_write = 0.0, 0, 0.0

    def start(self) -> None:
        """Begin a new attempt; the time of earlier attempts is included."""
        if (past := self.file.read(Past)) is not None:
            self.earlier_seconds, self.attempts = past.seconds, past.attempts
            self.phases.update(past.phases)
            recall(self.notes, past.notes)
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
        self.file.write(past)
