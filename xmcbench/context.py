"""RunContext: all that the harness lends a method while it runs."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    """Where progress goes; this one says nothing. The terminal's two are in `xmcbench.cli.show`."""

    def phase(self, name: str) -> None:
        """A new phase has begun."""

    def progress(self, done: float, total: float, note: str) -> None:
        """So much of the phase is done; remaining time is the reporter's business."""

    def score(self, name: str, value: float) -> None:
        """A validation score, as a fraction."""


class Checkpoints:
    """Named sets of arrays that outlive a killed process. Each is one npz, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._clean = False

    def _clean_up(self) -> None:
        """Remove what a killed process left half written, at the first save: a query makes many contexts."""
        if not self._clean:
            for left_over in self.folder.glob(TEMPORARY + "*"):
                left_over.unlink()
            self._clean = True

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any] | None = None) -> None:
        """Keep `arrays` and JSON-able `meta` under `name`; an older one of that name is replaced."""
        text = json.dumps(plain(dict(meta or {}), f"checkpoint {name!r}"))
        self._clean_up()
        write_npz(self.folder / f"{name}.npz", {**arrays, "__meta__": np.array(text)}, compressed=False)

    def load(self, name: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """(arrays, meta) last saved under `name`, or None."""
        path = self.folder / f"{name}.npz"
        if not path.exists():
            return None
        arrays = read_npz(path)
        meta: dict[str, Any] = json.loads(str(arrays.pop("__meta__")))
        return arrays, meta

    def drop(self, name: str) -> None:
        """Forget `name`, if it is there."""
        (self.folder / f"{name}.npz").unlink(missing_ok=True)


@dataclass
class RunContext:
    """Seeds, folders, device, threads, progress, checkpoints and deadline of one run.

    Attributes
    ----------
    folder : the method's own; what lies there survives a kill and is removed after success. The fitted model is
        saved elsewhere.
    root_seed : never used itself: ask `seed` or `rng` for one per purpose.
    device : "cpu" or "cuda".
    threads : how many the method may use; numba and BLAS are already set to it.
    validation : rows to select epochs and parameters on, if the method asked for them.
    validation_is_carved : they were taken from the training rows, so a method may learn from them in the end, once
        everything is selected; official development rows are for selection alone.
    query : values of all query-only parameters: their defaults in `fit`, the run's in `predict`.
    deadline : `time.monotonic()` value after which `progress` and `phase` raise `TimeLimit`; None: never.
    """

    folder: Path
    root_seed: int = 0
    device: str = "cpu"
    threads: int = 1
    validation: TrainData | None = None
    validation_is_carved: bool = False
    query: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    deadline: float | None = None
    reporter: Reporter = field(default_factory=Reporter)
    phases: dict[str, float] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.checkpoints = Checkpoints(self.folder / "checkpoints")

    def seed(self, purpose: str) -> int:
        """A seed below 2³¹ that depends on the run's seed and on `purpose` alone."""
        digest = hashlib.sha256(f"{self.root_seed}/{purpose}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def rng(self, purpose: str) -> np.random.Generator:
        """A numpy generator of its own for each purpose, so that one more draw here changes nothing there."""
        return np.random.default_rng(self.seed(purpose))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a named part of the work; the seconds of phases of one name add up."""
        self.check()
        self.reporter.phase(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Say how far the phase is; call it often, it is cheap. Raises `TimeLimit` past the deadline."""
        self.check()
        self.reporter.progress(done, total, note)

    def check(self) -> None:
        """Raise `TimeLimit` when the deadline has passed."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise TimeLimit("the time limit has passed", "Raise --time-limit; the run goes on from its checkpoints.")

    def score(self, name: str, value: float) -> None:
        """Show a score on the validation rows, as a fraction; the best one stands on the run's line."""
        self.reporter.score(name, value)

    def selected(self, what: str, by: str, tried: int) -> None:
        """Put on record what was chosen on the validation rows, by which score, and of how many it was chosen."""
        self.selection.update(plain({"what": what, "by": by, "tried": tried}, "selection"))

    def note(self, name: str, value: Any) -> None:
        """Put a fact about the fitted model on record: JSON-able, numpy numbers and small arrays too; NaN is null."""
        self.notes[name] = plain(value, f"note {name!r}")

    def remark(self, sentence: str) -> None:
        """Tell whoever reads the results something they should know; shown below their table, and kept on record."""
        self.notes["remarks"] = [*self.notes.get("remarks", []), sentence]


def plain(value: Any, what: str) -> Any:
    """`value` with numpy's numbers and arrays as Python's, and NaN or infinity as None.

    Raises
    ------
    XmcError : something in it has no place in JSON; `what` says whose it is.
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
