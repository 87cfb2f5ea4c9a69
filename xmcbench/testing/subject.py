"""A method under test: built, fitted and asked for predictions under watch, on data it must not write into."""

from __future__ import annotations

import dataclasses
import random
import shutil
import sys
import tempfile
import traceback
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest import SkipTest

import numpy as np
import scipy.sparse as sp

from xmcbench.context import Reporter, RunContext
from xmcbench.data.spec import Dataset, Split
from xmcbench.data.split import CARVE_SEED, carve
from xmcbench.method import Inputs, Machine, Method
from xmcbench.runs.machine import gpu_memory, thread_limits
from xmcbench.testing.surroundings import captured, strays, surrounded
from xmcbench.testing.variants import usual
from xmcbench.topk import TopK

K = 10


class Counter(Reporter):
    """Counts what a method reports and, at call number `stop_at`, raises what Ctrl-C raises."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls = 0
        self.stop_at = stop_at

    def phase(self, name: str) -> None:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt

    def progress(self, done: float, total: float, note: str) -> None:
        self.phase(note)


@dataclass
class Base:
    """The one fit most checks look at, and what was seen while it ran."""

    data: Dataset
    model: Method
    top: TopK
    run: Path  # the folder that held this fit's
    reported: int  # calls of ctx.phase and ctx.progress during fit
    printed: str
    strays: list[str]  # what was written where nothing should be
    moved: bool  # the current folder was changed
    seeded: list[str]  # global generators whose state changed
    changed: list[str]  # input arrays whose values changed
    notes: dict[str, Any]  # what was put on record
    selection: dict[str, Any]


class Unchecked(SkipTest):
    """A check that can't be made; pytest counts it as skipped."""


class Subject:
    """A method with parameters, and a folder for its work that vanishes with it.

    Attributes
    ----------
    unchecked : why no further check can be made, or "".
    """

    def __init__(self, method: type[Method], params: Any = None, device: str = "cpu") -> None:
        self.method = method
        self.params = method.info.parameters() if params is None else params
        self.device = device
        self.unchecked = ""
        self.folder = Path(tempfile.mkdtemp(prefix="xmcbench-check-"))
        weakref.finalize(self, shutil.rmtree, self.folder, True)

    def new_folder(self) -> Path:
        """An empty folder of its own."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def declines(self, data: Dataset) -> str | None:
        """What the method's `skip` says to a data set on a machine with one core and 8 GiB."""
        machine = Machine(1, 8 << 30, self.device, gpu_memory(self.device))
        return self.build().skip(data.facts(), machine)

    def build(self, params: Any = None) -> Method:
        """A new instance; as in a run, its query parameters have their defaults unless other `params` are given."""
        return self.method(dataclasses.replace(self.params, **self._query_defaults()) if params is None else params)

    def _query_defaults(self) -> dict[str, Any]:
        names = self.method.info.query_parameters()
        return {f.name: f.default for f in dataclasses.fields(self.params) if f.name in names}

    def fitting(self, run: Path, *, threads: int = 1, **more: Any) -> RunContext:
        """A context for `fit` as the runner makes it: the folder is the method's own, query values are the defaults."""
        query = MappingProxyType(self._query_defaults())
        return RunContext(folder=run / "method", device=self.device, threads=threads, **{"query": query, **more})

    def fit(self, data: Dataset, *, run: Path | None = None, params: Any = None, **more: Any) -> Method:
        """A new instance fitted on the training rows of `data`; `more` goes to the context."""
        return self.fit_in(self.fitting(self.new_folder() if run is None else run, **more), data, params)

    def fit_in(self, ctx: RunContext, data: Dataset, params: Any = None) -> Method:
        """The same with a context of the caller's."""
        model = self.build(params)
        train = data.train_data()
        if self.method.info.wants_validation:
            train, ctx.validation = carve(
                train, CARVE_SEED
            )  # the same rows whatever the run's seed, as the runner does
            ctx.validation_is_carved = True
        with thread_limits(ctx.threads):
            model.fit(train, ctx)
        return model

    def predict(self, model: Method, inputs: Inputs, k: int = K, **more: Any) -> TopK:
        """The model's predictions, as it returns them; warmed up first, as the runner does."""
        query = {name: getattr(self.params, name) for name in self.method.info.query_parameters()}
        ctx = self.fitting(self.new_folder(), **{"query": query, **more})
        warm_up = getattr(model, "warm_up", None)
        with thread_limits(ctx.threads):
            if warm_up is not None:
                warm_up(ctx)
            return model.predict(inputs, k, ctx)

    @cached_property
    def base(self) -> Base:
        """Fitted on the small world, with everything around it watched. If that fails, nothing more is checked."""
        try:
            return self._watched()
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.unchecked = "not checked: fit or predict failed on the small world"
            raise

    def _watched(self) -> Base:
        data = sealed(usual(), self.new_folder())
        before = {name: array.copy() for name, array in arrays_of(data).items()}
        reporter, states = Counter(), generator_states(self.device)
        run, around = self.new_folder(), self.new_folder()
        ctx = self.fitting(run, reporter=reporter)
        with captured(self.new_folder()) as printed, surrounded(around) as here:
            model = self.fit_in(ctx, data)
            reported = reporter.calls
            top = self.predict(model, data.test_inputs())
            moved = Path.cwd() != here.resolve()
        beside = [f"beside ctx.folder: {path.name}" for path in sorted(run.iterdir()) if path != ctx.folder]
        after = generator_states(self.device)
        return Base(
            data=data,
            model=model,
            top=top,
            run=run,
            reported=reported,
            printed="".join(printed),
            strays=beside + strays(around),
            moved=moved,
            seeded=[name for name, state in after.items() if state != states[name]],
            changed=[name for name, array in arrays_of(data).items() if not np.array_equal(array, before[name])],
            notes=ctx.notes,
            selection=ctx.selection,
        )


def crash(error: BaseException, method: type[Method]) -> str:
    """An error and where it was raised: the last line of the method's own file, if it passed there."""
    frames = traceback.extract_tb(error.__traceback__)
    own = getattr(sys.modules.get(method.__module__), "__file__", None)
    place = next((frame for frame in reversed(frames) if frame.filename == own), frames[-1])
    name = "SystemExit (raise an exception instead of ending the process)" if isinstance(error, SystemExit) else ""
    return f"{name or type(error).__name__}: {error} ({place.filename}:{place.lineno})"


def sealed(data: Dataset, folder: Path) -> Dataset:
    """The same data set in memory-mapped arrays that are marked read-only, as large ones arrive."""

    def matrix(name: str, values: Any) -> Any:
        parts = []
        for part in ("data", "indices", "indptr"):
            path = folder / f"{name}-{part}.npy"
            np.save(path, getattr(values, part))
            mapped = np.load(path, mmap_mode="c")  # a write by native code then changes this copy, and no page faults
            mapped.setflags(write=False)
            parts.append(mapped)
        return sp.csr_matrix(tuple(parts), shape=values.shape, copy=False)

    def split(name: str, rows: Split) -> Split:
        features = None if rows.features is None else matrix(f"{name}-features", rows.features)
        return Split(features, rows.texts, matrix(f"{name}-labels", rows.labels))

    return dataclasses.replace(data, train=split("train", data.train), test=split("test", data.test))


def arrays_of(data: Dataset) -> Mapping[str, Any]:
    """Every array a method is given, by name; texts count too."""
    found: dict[str, Any] = {"train texts": np.array(data.train.texts), "test texts": np.array(data.test.texts)}
    named = {"training labels": data.train.labels, "training features": data.train.features}
    for name, matrix in {**named, "test features": data.test.features}.items():
        if matrix is not None:
            found |= {f"{name}.{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
    return found


def generator_states(device: str) -> dict[str, str]:
    """The state of every global generator, as text."""
    import torch

    states = {
        "random": repr(random.getstate()),
        "numpy.random": repr([np.asarray(part).tolist() for part in np.random.get_state()]),  # noqa: NPY002
        "torch": repr(torch.get_rng_state().tolist()),
    }
    if device == "cuda":
        states["torch.cuda"] = repr([state.tolist() for state in torch.cuda.get_rng_state_all()])
    return states


def move_generators() -> None:
    """Draw a number from every global generator, so that a method that seeds them anew is noticed again."""
    import torch

    random.random()
    np.random.rand()  # noqa: NPY002
    torch.rand(1)
    if torch.cuda.is_available():
        torch.rand(1, device="cuda")
