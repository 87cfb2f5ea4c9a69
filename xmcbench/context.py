"""RunContext: everything the harness provides to a method during a run."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from xmcbench.checkpoints import Checkpoints, rejected
from xmcbench.errors import TimeLimit, cannot_write, explain
from xmcbench.escaping import plain_text
from xmcbench.memory import trim
from xmcbench.method import TrainData
from xmcbench.values import plain

if TYPE_CHECKING:
    from xmcbench.processes import Ranks

NAME = 200  # characters of the name of a note or a phase
REMARKS = 100  # remarks of one run; further ones are left out
LEFT_OUT = "left out of the record: "  # how a remark on a value begins that no record can hold
RESERVED = ("remarks", "scoring", "report", "traceback", "tuning")  # notes that the harness writes


class Reporter:
    """Receives progress; this base class prints nothing. `xmcbench.running.progress` has the terminal reporters."""

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
    run_name : data set, view, method and seed in words, for the title of a report.
    identity : JSON of what the fit depends on; checkpoints of another identity are not loaded.
    ranks : the processes that fit one model together, each of which calls `fit`; None if this one works alone.
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
    ranks: Ranks | None = None
    reporter: Reporter = field(default_factory=Reporter)
    phases: dict[str, float] = field(default_factory=dict)
    selection: dict[str, object] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    run_name: str = ""
    identity: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.folder / "checkpoints", self.identity, self.reject)

    def part(self, name: str, **changes: Any) -> RunContext:
        """The context of a fit within this one, with other attributes and a folder of its own, which is made.

        WriteError if it can't be made.
        """
        folder = self.folder / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error
        return replace(self, folder=folder, **changes)

    def seed(self, purpose: str) -> int:
        """A seed below 2³¹ that depends only on the run's seed and on `purpose`."""
        digest = hashlib.sha256(f"{self.root_seed}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def rng(self, purpose: str) -> np.random.Generator:
        """A numpy generator per purpose, so that an additional draw for one purpose changes no other."""
        return np.random.default_rng(self.seed(purpose))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a named part of the work; the seconds of phases with the same name are summed.

        Memory that earlier work left free is returned to the system first, so that no phase holds it.
        """
        self.check()
        trim()
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
