"""RunContext: everything the harness provides to a method during a run."""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import TimeLimit, XmcError, explain
from xmcbench.escaping import clean, kind_of, plain_text
from xmcbench.files import atomic, set_aside, sweep, typed_json
from xmcbench.method import TrainData

META = "__meta__"  # the array of a checkpoint that holds its JSON
NAME = 200  # characters of the name of a note or a phase
REMARKS = 100  # remarks of one run; further ones are left out
LEFT_OUT = "left out of the record: "  # how a remark on a value begins that no record can hold
RESERVED = ("remarks", "scoring", "report", "traceback", "tuning")  # notes that the harness writes
DEEPEST = 50  # nesting of a note
ROOM = 5_000_000  # values and characters of a note
DIGITS = 300  # of a whole number
VALID = "Give numbers, texts, lists and dicts of them."


class Reporter:
    """Receives progress; this base class prints nothing. `xmcbench.cli.progress` has the terminal reporters."""

    def phase(self, name: str) -> None:
        """A new phase begins."""

    def progress(self, done: float, total: float, note: str) -> None:
        """`done` of `total` units of the phase are done; the reporter estimates the remaining time."""

    def score(self, name: str, value: float) -> None:
        """A validation score, as a fraction."""

    def compiling(self, begins: bool) -> None:
        """Numba begins (or ends) to compile kernels, in any thread; the phase continues afterwards."""


class FailSafeReporter(Reporter):
    """Forwards progress to a reporter until that raises an exception: what can't be shown must not fail a run."""

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    def phase(self, name: str) -> None:
        self._forward(lambda: self.reporter.phase(name))

    def progress(self, done: float, total: float, note: str) -> None:
        self._forward(lambda: self.reporter.progress(done, total, note))

    def score(self, name: str, value: float) -> None:
        self._forward(lambda: self.reporter.score(name, value))

    def compiling(self, begins: bool) -> None:
        self._forward(lambda: self.reporter.compiling(begins))

    def _forward(self, report: Callable[[], None]) -> None:
        try:
            report()
        except Exception as error:
            self.reporter = Reporter()
            with suppress(Warning):  # warnings may be errors
                warnings.warn(f"progress is shown no longer ({type(error).__name__}: {error})", stacklevel=3)


def rejected(path: Path, fault: str) -> str:
    """Set aside a file or folder of an earlier attempt that can't be used, with a warning; returns what it says.

    Raises WriteError: the folder can't be written.
    """
    bad = set_aside(path)
    warnings.warn(f"{path}: {fault}; it is set aside as {bad.name}, and its work is done again", stacklevel=3)
    return f"{clean(path.name)} of an earlier attempt was set aside, and its work done again: {fault}"


class Checkpoints:
    """Named sets of arrays that survive a killed process. Each set is one npz file, written atomically.

    The comment of the zip file is a seal: a hash of the identity of the fit, the name of the checkpoint, and names,
    lengths and CRC-32 of its arrays. The zip file has these CRC-32 in any case, so that the seal costs no second pass
    over the arrays. A file that is damaged, or belongs elsewhere, is not loaded.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, object] = MappingProxyType({}),
        reject: Callable[[Path, str], object] = rejected,
    ) -> None:
        """`identity`: JSON of what the fit depends on. `reject` sets a file aside and says why."""
        self.folder, self.identity, self.reject = folder, identity, reject
        self._clean = False

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any] | None = None) -> None:
        """Save `arrays` and JSON-serialisable `meta` under `name`, replacing an older checkpoint of that name.

        Raises
        ------
        TypeError : an array holds Python objects, which would be pickled.
        XmcError : `meta` holds what JSON can't represent.
        WriteError : the folder can't be written, or the disk is full.
        """
        text = json.dumps(plain(dict(meta or {}), f"checkpoint {name!r}"))
        if not self._clean:  # the first save removes what a killed process left
            if os.path.lexists(self.folder) and not self.folder.is_dir():
                self.reject(self.folder, "not a folder")
            sweep(self.folder)
            self._clean = True
        with atomic(self.folder / f"{name}.npz") as file, zipfile.ZipFile(file, "w") as archive:
            for key, array in {**arrays, META: np.array(text)}.items():
                if np.asarray(array).dtype.hasobject:
                    raise TypeError(f"checkpoint {name!r}: array {key!r} holds Python objects; only numbers and texts")
                with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
            archive.comment = self._seal(name, archive)

    def load(self, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """Return the (arrays, meta) last saved under `name`, or None; also None if the file is rejected."""
        path = self.folder / f"{name}.npz"
        if not os.path.lexists(path):
            return None
        try:
            arrays = self._read(name, path)
            meta = typed_json(str(arrays.pop(META)), dict[str, Any], META)
        except Exception as error:  # numpy and zipfile raise many types for damaged files
            fault = getattr(error, "strerror", None) or error  # without the path
            self.reject(path, f"not the checkpoint that this fit saved ({clean(fault)})")
            return None
        return arrays, meta

    def _read(self, name: str, path: Path) -> dict[str, NDArray[Any]]:
        if not path.is_file():
            raise ValueError("not a file")
        arrays = {}
        with zipfile.ZipFile(path) as archive:
            if archive.comment != self._seal(name, archive):
                raise ValueError("changed, or saved by another fit or another version")
            for info in archive.infolist():
                with archive.open(info) as member:
                    arrays[info.filename.removesuffix(".npy")] = np.lib.format.read_array(member, allow_pickle=False)
                    if member.read(1):  # zipfile compares the CRC-32 at the end of the member
                        raise ValueError("an array has another length")
        return arrays

    def _seal(self, name: str, archive: zipfile.ZipFile) -> bytes:
        members = [(info.filename, info.file_size, info.CRC) for info in archive.infolist()]
        text = json.dumps([dict(self.identity), name, members], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest().encode()

    def drop(self, name: str) -> None:
        """Delete the checkpoint `name` if it exists."""
        (self.folder / f"{name}.npz").unlink(missing_ok=True)


@dataclass
class RunContext:
    """Seeds, folders, device, threads, progress, checkpoints and deadline of one run.

    Attributes
    ----------
    folder : existing folder for the method's working files; they survive a kill and are removed after success. The
        fitted model is saved elsewhere.
    root_seed : the run's seed. Do not use it directly: `seed` and `rng` derive one seed per purpose.
    device : "cpu" or "cuda".
    threads : number of threads the method may use; numba and BLAS are already limited to it.
    validation : rows on which the method selects epochs and parameters, if it asked for them.
    validation_is_carved : the validation rows were taken from the training rows, so a method may train on them once
        everything is selected. Official development rows are for selection only.
    query : values of all query parameters: the defaults in `fit`, the run's values in `predict`.
    clock : seconds for measuring times; in a run, the clock stands still while numba compiles or loads kernels.
    identity : JSON of what the fit depends on; checkpoints of another identity are not loaded.
    deadline : `time.monotonic()` value after which `progress` and `phase` raise `TimeLimit`; None means no limit.
    """

    folder: Path
    root_seed: int = 0
    device: str = "cpu"
    threads: int = 1
    validation: TrainData | None = None
    validation_is_carved: bool = False
    query: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    clock: Callable[[], float] = time.perf_counter
    deadline: float | None = None
    reporter: Reporter = field(default_factory=Reporter)
    phases: dict[str, float] = field(default_factory=dict)
    selection: dict[str, object] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    identity: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.folder / "checkpoints", self.identity, self.reject)

    def seed(self, purpose: str) -> int:
        """A seed below 2³¹ that depends only on the run's seed and on `purpose`."""
        digest = hashlib.sha256(f"{self.root_seed}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def rng(self, purpose: str) -> np.random.Generator:
        """A numpy generator per purpose, so that an additional draw for one purpose changes no other."""
        return np.random.default_rng(self.seed(purpose))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a named part of the work; the seconds of phases with the same name are summed."""
        self.check()
        name = plain_text(name, NAME)
        self.reporter.phase(name)
        start = self.clock()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + self.clock() - start

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Report the progress of the phase. The call is cheap; it raises `TimeLimit` after the deadline."""
        self.check()
        self.reporter.progress(done, total, note)

    def check(self) -> None:
        """Raise `TimeLimit` when the deadline has passed."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeLimit("the time limit has passed", "Raise --time-limit; the run resumes from its checkpoints.")

    def score(self, name: str, value: float) -> None:
        """Report a score on the validation rows, as a fraction; the run's progress line shows the best one."""
        self.reporter.score(name, value)

    def selected(self, what: str, by: str, tried: int) -> None:
        """Record what was selected on the validation rows, by which score, and from how many candidates.

        A number of candidates that is no whole number from 0 is left out, with a remark.
        """
        count = tried.tolist() if isinstance(tried, np.generic) else tried
        if type(count) is not int or not 0 <= count < 2**63:
            self.remark(
                f"{LEFT_OUT}the number of candidates for {plain_text(what, NAME)}, which is no whole number from 0"
            )
            count = None
        self.selection.update({"what": plain_text(what), "by": plain_text(by), "tried": count})

    def note(self, name: str, value: Any) -> None:
        """Record a fact about the model: numbers, texts, lists and dicts of them, numpy numbers or small arrays.

        NaN becomes null. A value that a record can't hold is left out, with a remark that says why.
        """
        name = plain_text(name, NAME)
        if name in RESERVED:
            self.remark(f"{LEFT_OUT}note {name!r}, a name that xmcbench uses itself")
            return
        self.notes.pop(name, None)
        try:
            self.notes[name] = plain(value, f"note {name!r}")
        except Exception as error:  # also of an object that fails while it is converted
            self.remark(f"{LEFT_OUT}{explain(error)[1]}")

    def remark(self, sentence: str) -> None:
        """Record a sentence for readers of the results, once; it is also shown below the results table."""
        # an interrupted fit that starts over finds the remarks of its first attempt
        remarks = [*self.notes.get("remarks", ()), plain_text(sentence)]
        if len(remarks) > REMARKS:
            remarks[REMARKS:] = [f"further remarks than these {REMARKS} are left out"]
        self.notes["remarks"] = list(dict.fromkeys(remarks))

    def checked_notes(self) -> dict[str, Any]:
        """The notes as a record holds them, also if the method changed `notes` without `note` and `remark`."""
        given = dict(self.notes) if isinstance(self.notes, Mapping) else {}
        remarks = given.pop("remarks", [])
        self.notes = {}
        for sentence in remarks if isinstance(remarks, list | tuple) else [remarks]:
            self.remark(sentence)
        for name, value in given.items():
            self.note(name, value)
        return self.notes

    def reject(self, path: Path, fault: str) -> None:
        """Set aside a file of an earlier attempt that can't be used, with a warning and a remark in the record."""
        self.remark(rejected(path, fault))


def recall(notes: dict[str, Any], earlier: Mapping[str, Any]) -> None:
    """Add the notes of an earlier attempt to `notes`; its remarks come before those already made."""
    remarks = dict.fromkeys([*earlier.get("remarks", ()), *notes.get("remarks", ())])
    notes.update(earlier)
    if remarks:
        notes["remarks"] = list(remarks)


def plain(value: Any, what: str) -> Any:
    """Convert numpy numbers and arrays in `value` to Python's, and NaN or infinity to None.

    Raises XmcError: `value` holds an object that JSON can't represent, or is too deep or too large for a record; the
    message begins with `what`.
    """
    room = ROOM

    def take(size: int) -> None:
        nonlocal room
        room -= size
        if room < 0:
            raise XmcError(f"{what} has more than {ROOM:,} values and characters", "Save it in a file of the model.")

    def convert(value: Any, depth: int) -> Any:
        take(1)
        if depth > DEEPEST:
            raise XmcError(f"{what} is nested more than {DEEPEST} deep", VALID)
        if isinstance(value, np.generic | np.ndarray):
            take(value.size)
            value = value.tolist()
        if isinstance(value, str):
            take(len(value))
            return plain_text(value, ROOM)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            if abs(value) >= 10**DIGITS:
                raise XmcError(f"{what} holds a whole number of more than {DIGITS} digits", VALID)
            return int.__int__(value)  # exactly an int, not a subclass
        if isinstance(value, float):
            return float.__float__(value) if math.isfinite(value) else None
        if isinstance(value, Mapping):
            return mapping(value, depth)
        if isinstance(value, list | tuple):
            return [convert(item, depth + 1) for item in value]
        raise XmcError(f"{what} holds a {kind_of(value)}", VALID)

    def mapping(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        converted: dict[str, Any] = {}
        for key, item in value.items():
            name = plain_text(key, ROOM)
            take(len(name))
            if name in converted:
                raise XmcError(f"{what} has two keys that JSON writes as {plain_text(name, NAME)!r}", "Rename one.")
            converted[name] = convert(item, depth + 1)
        return converted

    return convert(value, 0)
