"""RunContext: everything the harness provides to a method during a run."""

from __future__ import annotations

import hashlib
import json
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import TimeLimit, XmcError
from xmcbench.files import TEMPORARY, read_npz, write_npz
from xmcbench.method import TrainData


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


class Checkpoints:
    """Named sets of arrays that survive a killed process. Each set is one npz file, written atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clean = False

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any] | None = None) -> None:
        """Save `arrays` and JSON-serialisable `meta` under `name`, replacing an older checkpoint of that name."""
        text = json.dumps(plain(dict(meta or {}), f"checkpoint {name!r}"))
        if not self._clean:  # the first save removes unfinished files of a killed process
            for unfinished in self.folder.glob(TEMPORARY + "*"):
                unfinished.unlink()
            self._clean = True
        write_npz(self.folder / f"{name}.npz", {**arrays, "__meta__": np.array(text)}, compressed=False)

    def load(self, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """Return the (arrays, meta) last saved under `name`, or None."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            return None
        arrays = read_npz(path)
        meta: dict[str, Any] = json.loads(str(arrays.pop("__meta__")))
        return arrays, meta

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

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.folder / "checkpoints")

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
        """Record what was selected on the validation rows, by which score, and from how many candidates."""
        self.selection.update(plain({"what": what, "by": by, "tried": tried}, "selection"))

    def note(self, name: str, value: Any) -> None:
        """Record a fact about the model: JSON-serialisable, numpy numbers or small arrays; NaN becomes null."""
        self.notes[name] = plain(value, f"note {name!r}")

    def remark(self, sentence: str) -> None:
        """Record a sentence for readers of the results, once; it is also shown below the results table."""
        # an interrupted fit that starts over finds the remarks of its first attempt
        self.notes["remarks"] = list(dict.fromkeys([*self.notes.get("remarks", ()), sentence]))


def plain(value: Any, what: str) -> Any:
    """Convert numpy numbers and arrays in `value` to Python's, and NaN or infinity to None.

    Raises XmcError: `value` holds an object that JSON can't represent; the message begins with `what`.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, what) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, what) for item in value]
    raise XmcError(f"{what} holds a {type(value).__name__}", "Give numbers, texts, lists and dicts of them.")
