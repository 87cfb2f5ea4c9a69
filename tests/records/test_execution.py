"""A run ends in a record whatever happens, goes on after a stop, and shows a method no test label."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.context import Reporter
from xmcbench.data.spec import Dataset
from xmcbench.errors import Diverged, Terminated
from xmcbench.method import MethodInfo, param
from xmcbench.records import record_file
from xmcbench.records.execution import execute
from xmcbench.records.record import SCHEMA, Limits, Record
from xmcbench.records.store import Store
from xmcbench.runs import job
from xmcbench.runs.footprint import BASE
from xmcbench.runs.job import Options
from xmcbench.runs.spec import RunSpec
from xmcbench.testing.worlds import single_label, tiny
from xmcbench.topk import TopK


@dataclass(frozen=True)
class Params:
    trouble: str = param("", "what goes wrong", "ours: a test")
    width: int = param(5, "labels returned", "ours: a test", query=(2, 5))


class Frequent:
    """Labels by training frequency, in three phases with a checkpoint after each; trouble on request."""

    info = MethodInfo("frequent", "for tests", "floor", "1", parameters=Params, needs=("features",))
    fits = 0

    def __init__(self, params: Any) -> None:
        self.params = params

    @classmethod
    def skip(cls, data: Any, machine: Any) -> str | None:
        return "too small for it" if data.n_train < 10 else None

    @classmethod
    def raise_skip(cls, data: Any, machine: Any) -> str | None:
        raise ValueError("no skip")

    def fit(self, train: Any, ctx: Any) -> None:
        type(self).fits += 1
        ctx.remark("labels are counted")
        state = ctx.checkpoints.load("state")
        done = state[1]["done"] if state else 0
        for step in range(done, 3):
            with ctx.phase(f"step {step}"):
                if self.params.trouble == "note":
                    ctx.note("x", {1, 2})
                ctx.checkpoints.save("state", {}, {"done": step + 1})
                if step == 1 and not ctx.checkpoints.load("second try"):
                    ctx.checkpoints.save("second try", {})
                    self.fail()
                ctx.progress(step, 3)
        ctx.note("first step", done)
        ctx.note("width while fitting", [self.params.width, ctx.query["width"]])
        self.counts = np.asarray(train.labels.sum(axis=0)).ravel().astype(np.float32)

    def fail(self) -> None:
        if self.params.trouble == "interrupt":
            raise KeyboardInterrupt
        if self.params.trouble == "crash":
            raise ValueError("a bug")
        if self.params.trouble == "diverge":
            raise Diverged("loss is NaN")
        if self.params.trouble == "memory":
            raise MemoryError("too big")
        if self.params.trouble == "slow":
            time.sleep(0.3)
        if self.params.trouble == "greedy":
            taken = [np.ones(10 << 17) for _ in range(40) if not time.sleep(0.02)]  # 400 MiB in 0.8 seconds
            time.sleep(20)
            del taken
        if self.params.trouble == "exit":
            raise SystemExit(3)

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        shown = np.tile(self.counts, (inputs.n_rows, 1))
        if self.params.trouble == "array":
            return shown  # type: ignore[return-value]
        if self.params.trouble == "nan":
            shown[0, 0] = np.nan
        ids = np.tile(np.arange(inputs.n_labels), (inputs.n_rows, 1))
        return TopK.from_arrays(ids, shown, max(k, ctx.query["width"]))

    def save(self, folder: Path) -> None:
        np.savez(folder / "model.npz", counts=self.counts)

    def load(self, folder: Path) -> None:
        with np.load(folder / "model.npz") as file:
            self.counts = file["counts"]


class BadSkip(Frequent):
    skip = Frequent.raise_skip  # type: ignore[assignment]


class OnGpu(Frequent):
    info = dataclasses.replace(Frequent.info, devices=("cuda",))


def spec(trouble: str = "", width: int = 5, seed: int = 0, method: Any = Frequent) -> RunSpec:
    method = BadSkip if trouble == "bad skip" else method
    return RunSpec(f"{__file__}:{method.__name__}", method, Params(trouble, width), "tiny", None, seed, 100)


def run(store: Store, dataset: Dataset, what: RunSpec, **options: Any) -> Record:
    return execute(what, dataset, store, Options(threads=1, samples=50, **options), Reporter())[0]


class Failing(Reporter):
    """Raises in every call, as a progress bar on a terminal that is gone might."""

    def phase(self, name: str) -> None:
        raise OSError("no terminal")

    progress = score = compiling = phase  # type: ignore[assignment]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.mark.parametrize("filters", ["default", "error"])
def test_progress_that_cant_be_shown_fails_no_run(store: Store, filters: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter(filters)
        options = Options(threads=1, samples=50)
        record, _ = execute(spec(), tiny(), store, options, Failing())
    assert (record.status, record.reason) == ("ok", None)


def test_a_query_value_never_reaches_the_fit(store: Store) -> None:
    first = run(store, tiny(), spec(width=2))
    assert first.method.parameters["width"] == 2
    assert first.notes["width while fitting"] == [5, 5]


def test_metrics_asked_for_later_are_scored_from_kept_predictions(store: Store) -> None:
    first = run(store, tiny(), spec())
    fits = Frequent.fits
    more = run(store, tiny(), spec(), metrics=["R@7"])
    assert Frequent.fits == fits
    assert more.supersedes == first.run_id
    assert more.metric("R@7") is not None
    assert more.metric("P@1") == first.metric("P@1")
    assert run(store, tiny(), spec(), metrics=["R@7", "P@1"]) == more


@pytest.mark.parametrize("trouble", ["bad skip", "exit", "array"])
def test_whatever_a_method_does_there_is_a_record(store: Store, trouble: str) -> None:
    record = run(store, tiny(), spec(trouble))
    assert record.status == "error"
    assert record.notes["traceback"]
    said = {"bad skip": "no skip", "exit": "SystemExit", "array": "not a TopK"}
    assert said[trouble] in record.reason


class OneBuffer(Frequent):
    """Returns the same arrays from every call."""

    buffer = np.zeros((80, 5), np.int32), np.zeros((80, 5), np.float32)

    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        top, (ids, scores) = super().predict(inputs, 5, ctx), self.buffer
        ids[: inputs.n_rows], scores[: inputs.n_rows] = top.ids, top.scores
        if inputs.n_rows == 1:
            ids[:] = 7
        return TopK(ids[: inputs.n_rows], scores[: inputs.n_rows])


def test_predictions_are_those_of_the_batch_although_the_method_uses_their_arrays_again(store: Store) -> None:
    record = run(store, tiny(), spec(method=OneBuffer))
    assert record.metric("P@1") == run(store, tiny(), spec()).metric("P@1")
    assert not (store.predictions(record).ids[:, 0] == 7).all()


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"n_train": 2}, "error", "at least 3 training rows"),
        ({"n_train": 1}, "error", "at least 3 training rows"),
        ({"n_test": 0}, "ok", ""),
    ],
)
def test_few_rows_fail_before_the_fit_or_have_a_record(store: Store, changes: Any, status: str, said: str) -> None:
    method: Any = type("NeverSkips", (Frequent,), {"skip": lambda *_: None, "fits": 0})
    record = run(store, tiny(**changes), spec(method=method))
    assert (record.status, said in (record.reason or "")) == (status, True)
    assert method.fits == (status == "ok")
    assert store.records() == [record]


def test_a_single_label_and_fewer_labels_than_k(store: Store) -> None:
    assert run(store, single_label(), spec()).status == "ok"


def test_what_must_have_a_gpu_is_skipped_without_one(store: Store) -> None:
    record = run(store, tiny(), spec(method=OnGpu))
    assert (record.status, record.reason) == ("skipped", "needs cuda, and this run is on cpu")


def test_a_good_run_leaves_a_complete_record(store: Store) -> None:
    dataset = tiny()
    record = run(store, dataset, spec())
    assert record.status == "ok"
    assert {*Record.__struct_fields__} - {"raw"} <= set(record.raw)
    assert record.schema == SCHEMA
    threads = record.environment.threads
    assert (threads.given, threads.variables["OMP_NUM_THREADS"]) == (1, "1"), "as they were while it ran"
    truth = np.asarray(dataset.test.labels.todense()) > 0
    most = int(np.argmax(np.asarray(dataset.train.labels.sum(axis=0)).ravel()))
    assert record.metric("P@1") == pytest.approx(truth[:, most].mean())
    assert record.costs.fit_seconds > 0
    assert record.costs.model_bytes > 0
    assert list(record.costs.phases)[:3] == ["step 0", "step 1", "step 2"]
    kept = TopK.load(store.folder / record.predictions.file)
    assert kept.ids.shape == (80, 40)
    assert store.rows(record)
    assert record_file.read(store.folder / "records" / f"{record.run_id}.json") == record


@pytest.mark.parametrize(
    ("trouble", "status", "said"),
    [
        ("crash", "error", "ValueError: a bug"),
        ("diverge", "diverged", "loss is NaN"),
        ("memory", "out_of_memory", "too big"),
        ("interrupt", "interrupted", "resumes from here"),
        ("nan", "error", "NaN"),
    ],
)
def test_trouble_becomes_a_status_with_a_reason(store: Store, trouble: str, status: str, said: str) -> None:
    record = run(store, tiny(), spec(trouble))
    assert record.status == status
    assert said in record.reason
    assert record.metrics == ()
    assert store.records() == [record]


def test_a_time_limit_stops_the_run_and_the_next_one_goes_on(store: Store) -> None:
    record = run(store, tiny(), spec("slow"), time_limit=0.2)
    assert record.status == "timeout"
    assert record.costs.fit_seconds > 0.2
    assert record.limits == Limits(time_seconds=0.2)
    again = run(store, tiny(), spec("slow"))
    assert again.status == "ok"
    assert again.notes["first step"] == 2
    assert again.costs.attempts == 2


def test_a_run_that_passes_its_memory_limit_is_on_record_and_resumes(store: Store) -> None:
    limit = BASE + (150 << 20)  # more than the process holds before is of other tests
    record = run(store, tiny(), spec("greedy"), memory=limit)
    assert record.status == "out_of_memory"
    assert record.reason is not None
    assert "(--memory)" in record.reason
    assert record.limits == Limits(memory_bytes=limit)
    again = run(store, tiny(), spec("greedy"), memory=limit)
    assert (again.status, again.notes["first step"]) == ("ok", 2)


def test_after_ctrl_c_the_next_run_resumes_and_predicts_the_same(store: Store, tmp_path: Path) -> None:
    assert run(store, tiny(), spec("interrupt")).status == "interrupted"
    resumed = run(store, tiny(), spec("interrupt"))
    assert resumed.notes["first step"] == 2
    assert resumed.notes["remarks"] == ["labels are counted"]  # though both attempts made it
    whole = run(Store(tmp_path / "other"), tiny(), spec())
    assert resumed.predictions.sha256 == whole.predictions.sha256


def test_after_a_crash_the_next_run_starts_clean(store: Store) -> None:
    run(store, tiny(), spec("crash"))
    assert not list(store.folder.glob("work/*/*"))


def test_what_is_done_is_not_done_again_unless_asked(store: Store) -> None:
    first = run(store, tiny(), spec())
    fits = Frequent.fits
    assert run(store, tiny(), spec()) == first
    assert Frequent.fits == fits
    second = run(store, tiny(), spec(), again=True)
    assert second.supersedes == first.run_id
    assert run(store, tiny(seed=1), spec()).run_id not in (first.run_id, second.run_id)


def test_runs_that_differ_in_query_parameters_share_one_fit(store: Store) -> None:
    fits = Frequent.fits
    a, b = run(store, tiny(), spec(width=5)), run(store, tiny(), spec(width=2))
    assert a.status == b.status == "ok"
    assert a.spec_hash != b.spec_hash
    assert Frequent.fits == fits + 1
    assert b.costs.fit_seconds == a.costs.fit_seconds


class StoppedInPrediction(Frequent):
    def predict(self, inputs: Any, k: int, ctx: Any) -> TopK:
        raise Terminated


@pytest.mark.parametrize(
    ("missing", "reason"), [("rank 2 on b no longer answers", "rank 2 on b no"), ("", "stopped by SIGTERM")]
)
def test_a_process_that_died_while_this_one_predicted_is_named(missing: str, reason: str, store: Store) -> None:
    """torchrun sends SIGTERM to all others."""
    ranks: Any = SimpleNamespace(missing=lambda: missing)
    record = run(store, tiny(), spec(method=StoppedInPrediction), ranks=ranks)
    assert record.status == "interrupted"
    assert (record.reason or "").startswith(reason)


def test_a_method_may_decline_and_missing_inputs_decline_for_it(store: Store) -> None:
    small = run(store, tiny(n_train=5), spec())
    assert (small.status, small.reason) == ("skipped", "too small for it")
    dataset = tiny()
    blind = dataclasses.replace(dataset, train=dataclasses.replace(dataset.train, features=None))
    record = run(store, blind, spec())
    assert record.status == "skipped"
    assert "needs features" in record.reason


class Telling(Frequent):
    """Reports the P@1 of its own predictions, or fails to."""

    told = 0

    def report(self, inputs: Any, score: Any, folder: Path, ctx: Any) -> None:
        type(self).told += 1
        if self.params.trouble == "report":
            raise ValueError("nothing to tell")
        (folder / "report.md").write_text(str(score(self.predict(inputs, 5, ctx)).fractions()["P@1"]))
        (folder / "title").write_text(ctx.run_name)


def test_a_method_reports_once_a_fit_in_scores_of_the_harness(store: Store) -> None:
    first = run(store, tiny(), spec(method=Telling))
    path = store.folder / first.notes["report"]
    assert float(path.read_text()) == first.metric("P@1")
    assert "report" in first.costs.phases
    data = first.dataset
    assert (
        path.parent / "title"
    ).read_text() == f"{first.method.label} on {data.name} ({data.view}), seed {first.seed}"
    again = run(store, tiny(), spec(method=Telling, width=2))
    assert again.notes["report"] == first.notes["report"]
    assert Telling.told == 1


def test_a_report_is_of_rows_at_equal_distances(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(store, tiny(), spec(method=Telling))
    monkeypatch.setattr(job, "REPORT_ROWS", 7)
    dataset = tiny()
    filtered = dataclasses.replace(dataset, test_filter=np.argwhere(dataset.test.labels.toarray())[::2])
    store = Store(store.folder / "filtered")  # equal fits share a report
    record = run(store, filtered, spec(method=Telling))
    rows = np.linspace(0, dataset.test.labels.shape[0] - 1, 7).astype(int)
    predicted = store.predictions(record).without(filtered.test_filter, 1).ids[rows, 0]
    hits = dataset.test.labels[rows].toarray()[np.arange(7), predicted]
    told = float((store.folder / record.notes["report"]).read_text())
    assert told == hits.mean() != whole.metric("P@1")


def test_a_report_that_fails_costs_nothing_but_itself(store: Store) -> None:
    record = run(store, tiny(), spec("report", method=Telling))
    assert record.status == "ok"
    assert record.notes["report"].startswith("ValueError: nothing to tell")


def test_filter_pairs_leave_before_the_cut(store: Store) -> None:
    dataset = tiny()
    counts = np.asarray(dataset.train.labels.sum(axis=0)).ravel()
    first, second = np.argsort(-counts, kind="stable")[:2]
    pairs = np.array([[row, first] for row in range(80)], np.int64)
    record = run(store, dataclasses.replace(dataset, test_filter=pairs), spec())
    truth = np.asarray(dataset.test.labels.todense()) > 0
    assert record.metric("P@1") == pytest.approx(truth[:, second].mean())


class Nosy(Frequent):
    """Asks for validation rows and keeps what it was shown."""

    info = MethodInfo("nosy", "for tests", "other", "1", parameters=Params, wants_validation=True)
    seen: tuple[Any, Any] = (None, None)

    def fit(self, train: Any, ctx: Any) -> None:
        type(self).seen = (train, ctx.validation)
        super().fit(train, ctx)


def test_validation_is_carved_from_train_where_there_is_no_official_one(store: Store) -> None:
    dataset = tiny()
    record = run(store, dataset, spec(method=Nosy))
    train, validation = Nosy.seen
    assert (train.n_rows, validation.n_rows) == (285, 15)
    both = sp.vstack([train.labels, validation.labels]).sum()
    assert both == dataset.train.labels.sum()
    assert record.selection.split == "carved"
    assert (record.selection.rows, record.selection.rows_fitted) == (15, 285)
    official = dataclasses.replace(dataset, validation=dataset.test, content_hash="test:official")
    assert run(store, official, spec(method=Nosy)).selection.split == "official"
    assert Nosy.seen[0].n_rows == 300


def test_two_processes_share_one_results_folder(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path / "r")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    found = [json.loads(worker.communicate(timeout=120)[0]) for worker in workers]
    assert {r["status"] for r in found} == {"ok"}
    assert len({r["run_id"] for r in found}) == 1, "the second waited for the first and took its record"
    assert len(Store(tmp_path / "r").records()) == 1


def test_a_results_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    from xmcbench.errors import DataError

    with pytest.raises(DataError, match="can't write"):
        run(Store(tmp_path / "file" / "results"), tiny(), spec())


if __name__ == "__main__":  # one of the two processes above
    print(json.dumps(run(Store(Path(sys.argv[1])), tiny(), spec("slow")).raw))
