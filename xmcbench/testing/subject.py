"""A method under test: built, fitted and asked for predictions under watch, on data it must not write into."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import random
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmcbench.context import Reporter, RunContext
from xmcbench.data.spec import Dataset, Split
from xmcbench.data.split import carve
from xmcbench.machine import thread_limits
from xmcbench.method import Inputs, Machine, Method
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
    reported: int  # calls of ctx.phase and ctx.progress during fit
    printed: str
    left_behind: list[str]  # files in what was the current folder
    moved: bool  # the current folder was changed
    seeded: list[str]  # global generators whose state changed
    changed: list[str]  # input arrays whose values changed
    notes: dict[str, Any]  # what was put on record
    selection: dict[str, Any]


class Subject:
    """A method with parameters, and a folder for its work that vanishes with it."""

    def __init__(self, method: type[Method], params: Any = None) -> None:
        self.method = method
        self.params = method.info.parameters() if params is None else params
        self.folder = Path(tempfile.mkdtemp(prefix="xmcbench-check-"))
        weakref.finalize(self, shutil.rmtree, self.folder, True)

    def new_folder(self) -> Path:
        """An empty folder of its own."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def declines(self, data: Dataset) -> str | None:
        """What the method's `skip` says to a data set on a small machine."""
        return self.method.skip(data.facts(), Machine(threads=1, memory_bytes=8 << 30, device="cpu"))

    def context(self, folder: Path, *, threads: int = 1, params: Any = None, **more: Any) -> RunContext:
        """A context as the runner makes it: every query parameter has its value in `query`."""
        params = self.params if params is None else params
        query = {name: getattr(params, name) for name in self.method.info.query_parameters()}
        return RunContext(folder=folder, threads=threads, **{"query": query, **more})

    def fit(self, data: Dataset, *, folder: Path | None = None, params: Any = None, **more: Any) -> Method:
        """A new instance fitted on the training rows of `data`; `more` goes to the context."""
        folder = self.new_folder() if folder is None else folder
        return self.fit_in(self.context(folder, params=params, **more), data, params)

    def fit_in(self, ctx: RunContext, data: Dataset, params: Any = None) -> Method:
        """The same with a context of the caller's."""
        model = self.method(self.params if params is None else params)
        train = data.train_data()
        if self.method.info.wants_validation:
            train, ctx.validation = carve(train, ctx.seed("validation"))
        with thread_limits(ctx.threads):
            model.fit(train, ctx)
        return model

    def predict(self, model: Method, inputs: Inputs, k: int = K, *, threads: int = 1, **more: Any) -> TopK:
        """The model's predictions, as it returns them; warmed up first, as the runner does."""
        ctx = self.context(self.new_folder(), threads=threads, **more)
        warm_up = getattr(model, "warm_up", None)
        with thread_limits(threads):
            if warm_up is not None:
                warm_up(ctx)
            return model.predict(inputs, k, ctx)

    @cached_property
    def base(self) -> Base:
        """Fitted on the small world, with everything around it watched."""
        data = sealed(usual(), self.new_folder())
        before = {name: array.copy() for name, array in arrays_of(data).items()}
        reporter, states = Counter(), generator_states()
        here, ctx = self.new_folder(), self.context(self.new_folder(), reporter=reporter)
        with captured(self.new_folder()) as printed, standing_in(here):
            model = self.fit_in(ctx, data)
            reported = reporter.calls
            top = self.predict(model, data.test_inputs())
            moved = Path.cwd() != here.resolve()
        return Base(
            data=data,
            model=model,
            top=top,
            reported=reported,
            printed="".join(printed),
            left_behind=sorted(p.name for p in here.iterdir()),
            moved=moved,
            seeded=[name for name, state in generator_states().items() if state != states[name]],
            changed=[name for name, array in arrays_of(data).items() if not np.array_equal(array, before[name])],
            notes=ctx.notes,
            selection=ctx.selection,
        )


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


def generator_states() -> dict[str, str]:
    """The state of every global generator, as text."""
    import torch

    return {
        "random": repr(random.getstate()),
        "numpy.random": repr([np.asarray(part).tolist() for part in np.random.get_state()]),  # noqa: NPY002
        "torch": repr(torch.get_rng_state().tolist()),
    }


@contextlib.contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """Make `folder` the current one for a while."""
    old = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(old)


@contextlib.contextmanager
def captured(folder: Path) -> Iterator[list[str]]:
    """Collect what Python code and native libraries write to standard output and standard error."""
    said: list[str] = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    python, saved = io.StringIO(), (os.dup(1), os.dup(2))
    with open(folder / "printed", "w+b") as native:
        for number in (1, 2):
            os.dup2(native.fileno(), number)
        try:
            with contextlib.redirect_stdout(python), contextlib.redirect_stderr(python):
                yield said
        finally:
            for number, old in zip((1, 2), saved, strict=True):
                os.dup2(old, number)
                os.close(old)
            native.seek(0)
            said += [python.getvalue(), native.read().decode(errors="replace")]
