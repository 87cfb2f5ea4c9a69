"""Methods with one fault each, the status that their runs end with, and what their records say."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xmcbench.errors import Diverged, UsageError
from xmcbench.method import MethodInfo, param
from xmcbench.topk import TopK


@dataclass(frozen=True)
class Params:
    first: int = param(0, "the label put first", "ours: a test")


INFO = {"name": "faulty", "summary": "for tests", "family": "floor", "version": "1", "parameters": Params}


class Good:
    """Labels by training frequency."""

    info = MethodInfo(**INFO)

    def __init__(self, params: Any) -> None:
        self.params = params

    def skip(self, data: Any, machine: Any) -> str | None:
        return None

    def fit(self, train: Any, ctx: Any) -> None:
        self.counts = np.asarray(train.labels.sum(axis=0), np.float32).ravel()

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        ids = np.tile(np.arange(inputs.n_labels), (inputs.n_rows, 1))
        return TopK.from_arrays(ids, np.tile(self.counts, (inputs.n_rows, 1)), k)

    def save(self, folder: Path) -> None:
        np.savez(folder / "model.npz", counts=self.counts)

    def load(self, folder: Path) -> None:
        with np.load(folder / "model.npz") as file:
            self.counts = file["counts"]


FAULTS: dict[str, tuple[str, str]] = {}  # class → (status, part of the reason or, if the run is ok, of a remark)


def fault(name: str, status: str, said: str, **members: Any) -> None:
    globals()[name] = type(name, (Good,), {"info": MethodInfo(**{**INFO, "name": name}), **members})
    FAULTS[name] = status, said


def throwing(error: Any) -> Callable[..., Any]:
    """A member that raises `error`."""

    def member(*_: object) -> Any:
        raise error

    return member


def after_fit(*work: Callable[[Any, Any], object]) -> Callable[..., None]:
    """A `fit` that then does `work(train, ctx)`."""

    def fit(self: Any, train: Any, ctx: Any) -> None:
        Good.fit(self, train, ctx)
        for one in work:
            one(train, ctx)

    return fit


def nested(depth: int) -> list[Any]:
    return [] if depth == 0 else [nested(depth - 1)]


class Text(str):
    def __str__(self) -> str:
        raise ValueError("no text")


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Trap(Exception):
    @property
    def __class__(self) -> type:
        raise ValueError("no class")


class Exit(BaseException):
    """Neither an Exception nor one of Python's ways to end a program."""


class Sly:
    def __repr__(self) -> str:
        raise ValueError("no repr")


def recursion(*_: object) -> Any:
    return recursion()


def closed_stdout(*_: object) -> None:
    sys.stdout = None  # type: ignore[assignment]


# Members that raise
for member in ("skip", "fit", "predict", "save", "warm_up"):
    fault(f"{member}_raises", "error", f"ValueError: no {member}", **{member: throwing(ValueError(f"no {member}"))})
    fault(f"{member}_exits", "error", "SystemExit: 3", **{member: throwing(SystemExit(3))})
    fault(f"{member}_not_callable", "error", "TypeError", **{member: 3})
fault("init_raises", "error", "RuntimeError: no init", __init__=throwing(RuntimeError("no init")))
fault("init_type_error", "error", "init_type_error: a bug", __init__=throwing(TypeError("a bug")))
fault("fit_raises_a_trap", "error", "Trap: a trap", fit=throwing(Trap("a trap")))
fault("init_exits", "error", "SystemExit", __init__=throwing(SystemExit()))
fault("depends_on_raises", "error", "OSError: no dependency", depends_on=throwing(OSError("no dependency")))
fault("depends_on_set", "error", "depends_on holds a set", depends_on=lambda self: {"x": {1}})
fault("depends_on_number", "error", "TypeError", depends_on=lambda self: 3)
fault("fit_recursion", "error", "RecursionError", fit=recursion)
fault("fit_generator_exit", "error", "GeneratorExit", fit=throwing(GeneratorExit()))
fault("fit_base_exception", "error", "Exit: out", fit=throwing(Exit("out")))
fault("fit_stop_iteration", "error", "StopIteration", fit=throwing(StopIteration()))
fault("fit_unprintable", "error", "Unprintable", fit=throwing(Unprintable()))
fault("fit_surrogate", "error", "\\ud800", fit=throwing(ValueError("\ud800")))
fault("fit_long_text", "error", "more characters", fit=lambda self, train, ctx: throwing(ValueError("x" * 10**7))())
fault("fit_text_of_a_subclass", "error", "ValueError", fit=throwing(ValueError(Text("words"))))
fault("fit_control_characters", "error", "\x1b[31m", fit=throwing(ValueError("\x1b[31m\x00")))
fault("fit_memory", "out_of_memory", "MemoryError", fit=throwing(MemoryError()))
fault("fit_diverged", "diverged", "loss", fit=throwing(Diverged("loss is NaN")))
fault("fit_usage", "error", "wrong", fit=throwing(UsageError("wrong", "right")))
fault("fit_error_of_no_text", "error", "3", fit=throwing(UsageError(3, 4)))  # type: ignore[arg-type]
fault("fit_os_error", "error", "FileNotFoundError", fit=lambda self, train, ctx: Path("/none/there").read_text())
fault("report_raises", "ok", "", report=throwing(ValueError("no report")))
fault("report_exits", "ok", "", report=throwing(SystemExit(1)))
fault("report_unprintable", "ok", "", report=throwing(Unprintable()))
fault("report_without_file", "ok", "", report=lambda self, inputs, score, folder, ctx: None)
fault("report_no_property", "ok", "", report=property(throwing(RuntimeError("no report"))))
fault("info_property", "error", "info is a property", info=property(throwing(RuntimeError("no info"))))
fault("info_number", "error", "info is a int", info=3)
for field, value in (
    *(("version", 1), ("version", Text("1")), ("version", "\ud800"), ("version", "x" * 10**5), ("name", "")),
    *(("deterministic", "no"), ("devices", 3), ("needs", [1]), ("seconds", {"tiny": "long"}), ("presets", {"a": 3})),
    *(("parameters", 3), ("parameters", dict)),
):
    fault(f"info_{field}_{len(FAULTS)}", "error", "info", info=MethodInfo(**{**INFO, "name": "other", field: value}))
for number, default in enumerate((np.float32(1), float("nan"), b"", object(), 2**70, "\ud800")):
    made = dataclass(frozen=True)(type("P", (), {"__annotations__": {"x": Any}, "x": default}))
    fault(
        f"parameter_{number}", "error", "parameter x", info=MethodInfo(**{**INFO, "name": "other", "parameters": made})
    )

# Members that return garbage
fault("skip_true", "error", "skip returned a bool", skip=lambda *_: True)
fault("skip_empty", "error", "empty text", skip=lambda *_: " ")
fault("skip_sly", "error", "skip returned a Sly", skip=lambda *_: Sly())
fault("skip_surrogate", "skipped", "\\udcff", skip=lambda *_: "too small \udcff")
for number, made in enumerate((None, 3, Sly(), np.zeros((20, 3)), "x", TopK)):
    fault(f"predict_garbage_{number}", "error", "predict returned a", predict=lambda *_, made=made: made)
fault("predict_none_inside", "error", "ids are a NoneType", predict=lambda *_: TopK(None, None))  # type: ignore[arg-type]
fault("predict_few_rows", "error", "expected int32 with", predict=lambda *_: TopK.padding(1, 3))
fault(
    "predict_unordered",
    "error",
    "not ordered",
    predict=lambda self, inputs, *_: TopK(
        np.tile(np.int32([0, 1]), (inputs.n_rows, 1)), np.tile(np.float32([0, 1]), (inputs.n_rows, 1))
    ),
)
fault(
    "predict_wrong_labels",
    "error",
    "names label 99",
    predict=lambda self, inputs, *_: TopK(
        np.full((inputs.n_rows, 1), 99, np.int32), np.zeros((inputs.n_rows, 1), np.float32)
    ),
)

# Values that no record holds
for number, value in enumerate((object(), {1}, b"x", 10**400, nested(100), np.array([object()]), lambda: 0, 1j, Sly())):
    fault(
        f"note_{number}",
        "ok",
        "left out of the record: note 'x'",
        fit=after_fit(lambda t, ctx, v=value: ctx.note("x", v)),
    )
endless: list[Any] = []
endless.append(endless)
fault("note_endless", "ok", "nested more than", fit=after_fit(lambda t, ctx: ctx.note("x", endless)))
fault("note_large", "ok", "values and characters", fit=after_fit(lambda t, ctx: ctx.note("x", "x" * 10**8)))
fault("note_wide", "ok", "values and characters", fit=after_fit(lambda t, ctx: ctx.note("x", np.zeros(10**7, np.int8))))
fault("note_two_keys", "ok", "two keys", fit=after_fit(lambda t, ctx: ctx.note("x", {1: 1, "1": 2})))
fault("note_of_ours", "ok", "'scoring'", fit=after_fit(lambda t, ctx: ctx.note("scoring", 5)))
fault(
    "note_name",
    "ok",
    "",
    fit=after_fit(lambda t, ctx: ctx.note(Sly(), 1), lambda t, ctx: ctx.note("\ud800" * 10**6, 1)),
)
fault(
    "note_text",
    "ok",
    "",
    fit=after_fit(lambda t, ctx: ctx.note("x", [Text("a"), "\ud800", np.str_("b"), float("nan")])),
)
fault("remark_number", "ok", "5", fit=after_fit(lambda t, ctx: ctx.remark(5)))
fault("remark_surrogate", "ok", "\\ud800", fit=after_fit(lambda t, ctx: ctx.remark("\ud800")))
fault("remark_sly", "ok", "can't be made", fit=after_fit(lambda t, ctx: ctx.remark(Sly())))
fault("remarks_many", "ok", "further remarks", fit=after_fit(lambda t, ctx: [ctx.remark(f"{i}") for i in range(300)]))
fault("selected_text", "ok", "number of candidates", fit=after_fit(lambda t, ctx: ctx.selected("a", "b", "three")))
fault("selected_negative", "ok", "number of candidates", fit=after_fit(lambda t, ctx: ctx.selected("a", "b", -1)))
fault("selected_objects", "ok", "", fit=after_fit(lambda t, ctx: ctx.selected(Sly(), "\ud800", np.int64(3))))
fault("selection_written", "error", "ctx.selection has foo", fit=after_fit(lambda t, ctx: ctx.selection.update(foo=1)))
fault("phase_object", "ok", "", fit=after_fit(lambda t, ctx: ctx.phase(Sly()).__enter__()))
fault("notes_written", "ok", "note 'x' holds a set", fit=after_fit(lambda t, ctx: ctx.notes.update(x={1})))
fault("phases_written", "error", "", fit=after_fit(lambda t, ctx: ctx.phases.update(x="long")))
fault(
    "notes_written_later",
    "ok",
    "note 'x' holds a set",
    predict=lambda self, inputs, k, ctx: (ctx.notes.update(x={1}, remarks=5), Good.predict(self, inputs, k, ctx))[1],
)

# Changes of the process
fault("changes_folder", "ok", "", fit=after_fit(lambda t, ctx: os.chdir("/")))
fault("clears_environment", "ok", "", fit=after_fit(lambda t, ctx: os.environ.clear()))
fault("seeds", "ok", "", fit=after_fit(lambda t, ctx: (random.seed(0), np.random.seed(0))))  # noqa: NPY002
fault("limits_recursion", "ok", "", predict=lambda self, *a: (sys.setrecursionlimit(250), Good.predict(self, *a))[1])
fault("ignores_signals", "ok", "", fit=after_fit(lambda t, ctx: signal.signal(signal.SIGINT, signal.SIG_IGN)))
fault("sets_an_alarm", "ok", "", fit=after_fit(lambda t, ctx: signal.setitimer(signal.ITIMER_REAL, 3)))
fault("numpy_raises", "ok", "", fit=after_fit(lambda t, ctx: np.seterr(all="raise")))
fault("warnings_raise", "ok", "", fit=after_fit(lambda t, ctx: warnings.simplefilter("error")))
fault("no_permissions", "ok", "", fit=after_fit(lambda t, ctx: os.umask(0o777)))
fault("no_stdout", "ok", "", predict=lambda self, *a: (closed_stdout(), Good.predict(self, *a))[1])
fault("empties_path", "ok", "", fit=after_fit(lambda t, ctx: sys.path.clear()))
fault(
    "leaves_a_thread",
    "ok",
    "left 1 thread running",
    fit=after_fit(lambda t, ctx: threading.Thread(target=time.sleep, args=(1,)).start()),
)

# Changes of the inputs
fault("writes_labels", "error", "read-only", fit=after_fit(lambda t, ctx: t.labels.data.fill(0)))
fault("writes_features", "error", "read-only", fit=after_fit(lambda t, ctx: t.features.indices.fill(0)))
fault("replaces_arrays", "ok", "", fit=after_fit(lambda t, ctx: setattr(t.labels, "indices", t.labels.indices * 0)))
fault("resizes", "error", "read-only", fit=after_fit(lambda t, ctx: t.features.resize(1, 1)))
fault("removes_its_folder", "ok", "", fit=after_fit(lambda t, ctx: ctx.folder.rmdir()))
fault("clock_of_its_own", "error", "", fit=after_fit(lambda t, ctx: setattr(ctx, "clock", lambda: float("nan"))))
