"""A method under test, which is fitted and predicts on read-only data while its side effects are watched."""

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
from numpy.typing import NDArray

from xmcbench.context import Reporter, RunContext
from xmcbench.data.spec import Dataset, Split
from xmcbench.data.split import CARVE_SEED, carve
from xmcbench.method import Inputs, Machine, Method
from xmcbench.runs.machine import thread_limits
from xmcbench.testing.surroundings import captured, strays, surrounded
from xmcbench.testing.worlds import usual
from xmcbench.topk import TopK

K = 10


class Counter(Reporter):
    """Counts the progress reports of a method; raises KeyboardInterrupt, like Ctrl-C, at call number `stop_at`."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls, self.stop_at = 0, stop_at

    def phase(self, name: str) -> None:
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt

    def progress(self, done: float, total: float, note: str) -> None:
        self.phase(note)


@dataclass
class Base:
    """The fit that most checks share, and the side effects observed during it."""

    data: Dataset
    model: Method
    top: TopK
    run: Path  # folder of the run
    reported: int  # number of calls of ctx.phase and ctx.progress during fit
    printed: str
    strays: list[str]  # files written outside ctx.folder
    moved: bool  # whether the current folder changed
    seeded: list[str]  # global generators whose state changed
    changed: list[str]  # input arrays whose values changed
    notes: Mapping[str, Any]  # ctx.notes
    selection: Mapping[str, object]


class Unchecked(SkipTest):
    """A check can't be made; pytest counts it as skipped."""


class Subject:
    """A method with parameters, and a temporary folder that is removed together with the object.

    Attributes
    ----------
    unchecked : reason why no further check can be made, or "".
    """

    def __init__(self, method: type[Method], params: Any = None, device: str = "cpu") -> None:
        self.method, self.device, self.unchecked = method, device, ""
        self.params = method.info.parameters() if params is None else params
        self.folder = Path(tempfile.mkdtemp(prefix="xmcbench-check-"))
        weakref.finalize(self, shutil.rmtree, self.folder, True)

    def new_folder(self) -> Path:
        """Create an empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def skip_reason(self, data: Dataset) -> str | None:
        """The answer of the method's `skip` for a data set and a machine with one core."""
        return self.build().skip(data.facts(), Machine(1, self.device))

    def build(self, params: Any = None) -> Method:
        """A new instance. As in a run, query parameters have their defaults, unless `params` is given."""
        return self.method(dataclasses.replace(self.params, **self._query_defaults()) if params is None else params)

    def _query_defaults(self) -> dict[str, object]:
        names = self.method.info.query_parameters()
        return {f.name: f.default for f in dataclasses.fields(self.params) if f.name in names}

    def fit_context(self, run: Path, *, threads: int = 1, **more: Any) -> RunContext:
        """A context for `fit` like the runner's, with the default query values."""
        query = MappingProxyType(self._query_defaults())
        (run / "method").mkdir(parents=True, exist_ok=True)
        return RunContext(folder=run / "method", device=self.device, threads=threads, **{"query": query, **more})

    def fit(self, data: Dataset, *, run: Path | None = None, params: Any = None, **more: Any) -> Method:
        """A new instance fitted on the training rows of `data`; `more` is passed to the context."""
        return self.fit_in(self.fit_context(run or self.new_folder(), **more), data, params)

    def fit_in(self, ctx: RunContext, data: Dataset, params: Any = None) -> Method:
        """Like `fit`, in the context `ctx`."""
        model = self.build(params)
        train = data.train_data()
        if self.method.info.wants_validation:
            # The runner also carves the same rows for every seed.
            train, ctx.validation = carve(train, CARVE_SEED)
            ctx.validation_is_carved = True
        with thread_limits(ctx.threads):
            model.fit(train, ctx)
        return model

    def predict(self, model: Method, inputs: Inputs, k: int = K, **more: Any) -> TopK:
        """The unmodified predictions of the model, after `warm_up` as in a run."""
        query = {name: getattr(self.params, name) for name in self.method.info.query_parameters()}
        ctx = self.fit_context(self.new_folder(), **{"query": query, **more})
        warm_up = getattr(model, "warm_up", None)
        with thread_limits(ctx.threads):
            if warm_up is not None:
                warm_up(ctx)
            return model.predict(inputs, k, ctx)

    @cached_property
    def base(self) -> Base:
        """The fit on the small data set. If it fails, no further check is made."""
        try:
            return self._fit_watched()
        except KeyboardInterrupt:
            raise
        except BaseException:
            self.unchecked = "not checked: fit or predict failed on the small data set"
            raise

    def _fit_watched(self) -> Base:
        data = sealed(usual(), self.new_folder())
        original = {name: array.copy() for name, array in arrays_of(data).items()}
        reporter, states_before = Counter(), generator_states(self.device)
        run, outside = self.new_folder(), self.new_folder()
        ctx = self.fit_context(run, reporter=reporter)
        with captured(self.new_folder()) as output, surrounded(outside) as current:
            model = self.fit_in(ctx, data)
            reported = reporter.calls
            top = self.predict(model, data.test_inputs())
            moved = Path.cwd() != current.resolve()
        strays_in_run = [f"next to ctx.folder: {path.name}" for path in sorted(run.iterdir()) if path != ctx.folder]
        states_after = generator_states(self.device)
        return Base(
            data=data,
            model=model,
            top=top,
            run=run,
            reported=reported,
            printed="".join(output),
            strays=strays_in_run + strays(outside),
            moved=moved,
            seeded=[name for name, state in states_after.items() if state != states_before[name]],
            changed=[name for name, array in arrays_of(data).items() if not np.array_equal(array, original[name])],
            notes=ctx.notes,
            selection=ctx.selection,
        )


def crash(error: BaseException, method: type[Method]) -> str:
    """Describe an error and where it was raised: in the method's file if that is in the traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    file = getattr(sys.modules.get(method.__module__), "__file__", None)
    place = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
    name = "SystemExit (raise an exception instead of ending the process)" if isinstance(error, SystemExit) else ""
    return f"{name or type(error).__name__}: {error} ({place.filename}:{place.lineno})"


def sealed(data: Dataset, folder: Path) -> Dataset:
    """A copy of the data set in read-only memory-mapped arrays, like those of a large data set."""

    def matrix(name: str, values: Any) -> Any:
        parts = []
        for part in ("data", "indices", "indptr"):
            path = folder / f"{name}-{part}.npy"
            np.save(path, getattr(values, part))
            mapped = np.load(path, mmap_mode="c")  # copy-on-write, so that a write by native code doesn't crash
            mapped.setflags(write=False)
            parts.append(mapped)
        return sp.csr_matrix(tuple(parts), shape=values.shape, copy=False)

    def split(name: str, rows: Split) -> Split:
        features = None if rows.features is None else matrix(f"{name}-features", rows.features)
        return Split(features, rows.texts, matrix(f"{name}-labels", rows.labels))

    return dataclasses.replace(data, train=split("train", data.train), test=split("test", data.test))


def arrays_of(data: Dataset) -> dict[str, NDArray[Any]]:
    """All arrays that a method gets, texts included, by name."""
    arrays = {"train texts": np.array(data.train.texts), "test texts": np.array(data.test.texts)}
    matrices = {"training labels": data.train.labels, "training features": data.train.features}
    for name, matrix in {**matrices, "test features": data.test.features}.items():
        if matrix is not None:
            arrays |= {f"{name}.{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
    return arrays


def generator_states(device: str) -> dict[str, str]:
    """The state of each global random generator, as text."""
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
    """Draw a number from each global generator, so that a method that seeds them again is detected."""
    import torch

    random.random()
    np.random.rand()  # noqa: NPY002
    torch.rand(1)
    if torch.cuda.is_available():
        torch.rand(1, device="cuda")
