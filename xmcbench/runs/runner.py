"""One run: load → fit → predict → score → record. The only place where method, data and metrics meet.

Test labels stay here: a method gets `TrainData` and `Inputs`, and neither holds them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import CARVE_SEED, TuningRows, carve
from xmcbench.errors import explain, where
from xmcbench.files import WriteError, write_json
from xmcbench.method import Machine, Method, TrainData
from xmcbench.results import board_files as board
from xmcbench.results import record as records
from xmcbench.results.blank import blank
from xmcbench.runs import work as work_folder
from xmcbench.runs.machine import available_cores, gpu_memory, pick_device, thread_limits
from xmcbench.runs.measure import folder_bytes
from xmcbench.runs.registry import identity
from xmcbench.runs.tuning import Tuning, joined, told
from xmcbench.topk import TopK, checked

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Truth
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store
    from xmcbench.runs.plan import RunSpec

OVER = "test rows, near-duplicates drawn together"  # what intervals on record are over
LATENCY_SECONDS = 10.0  # at most so long for single queries, after the batch


@dataclass(frozen=True)
class Options:
    """How to run, as far as it doesn't change what is computed (`device` does, and is part of a run's identity)."""

    device: str = "auto"
    threads: int = 0  # 0: all cores this process may use
    time_limit: float | None = None  # seconds, per run
    again: bool = False  # run even if a record of the same spec exists
    metrics: Sequence[str] = ()
    samples: int = 1000  # bootstrap resamples


def execute(spec: RunSpec, dataset: Dataset, store: Store, options: Options, reporter: Reporter) -> tuple[Record, bool]:
    """Do one run and add its record; returns (record, whether it was already there).

    Whatever goes wrong, Ctrl-C among it, becomes a record with a status and a reason.
    """
    device = pick_device(options.device, spec.info.devices)
    threads = options.threads or available_cores()
    spec_hash = spec.spec_hash(dataset.content_hash, device)
    old = None if options.again else store.done(spec_hash)
    if old is not None:
        return with_metrics(old, dataset, store, options)
    record = blank(spec, dataset, store, spec_hash)
    if spec.grid == ():
        record["notes"]["tuning"] = "nothing to tune: no parameter offers values, or all that do were set"
    work = store.work(spec.fit_hash(dataset.content_hash, device))
    with work_folder.locked(work, reporter):
        old = store.done(spec_hash)
        if old is not None and not options.again:  # another process has finished it while we waited
            return with_metrics(old, dataset, store, options)
        record["supersedes"] = old["run_id"] if old else None
        if options.again:
            shutil.rmtree(work, ignore_errors=True)
        reports = store.folder / "reports" / work.name
        job = _Job(spec, dataset, options, reporter, work, reports, device, threads, record)
        with thread_limits(threads):
            topk, rows = job.run()
        record = store.add(record, topk, rows)
        if job.useless:
            work_folder.clear(work, keep="tune" if job.tuned else None)
    return record, False


def with_metrics(record: Record, dataset: Dataset, store: Store, options: Options) -> tuple[Record, bool]:
    """A record that is done, with all metrics asked for: those it lacks are scored from its kept predictions."""
    from xmcbench.metrics import Truth

    have = {entry["name"] for entry in record["metrics"]}
    if set(options.metrics) <= have:
        return record, True
    more = {**record, "run_id": store.new_id(record["method"]["name"], dataset.name, datetime.now(UTC))}
    more.update(schema=records.SCHEMA, supersedes=record["run_id"], notes=dict(record["notes"]))
    names = [*have, *(name for name in options.metrics if name not in have)]
    rows = score(store.predictions(record), dataset, Truth.of(dataset), names, options, more)
    return store.add(more, None, rows), True


def score(
    topk: TopK, dataset: Dataset, truth: Truth, names: Sequence[str], options: Options, record: Record
) -> dict[str, Any]:
    """Put metrics, and what a user should know of them, into `record`; returns the per-row values.

    Raises
    ------
    DataError : the values break an identity.
    """
    from xmcbench.metrics import evaluate

    kept = topk.without(dataset.test_filter, record["k"])
    shared = board.beside(dataset)
    evaluation = evaluate(kept, truth, names, samples=options.samples, groups=shared[board.NEAR])
    record["metrics"] = [asdict(value) for value in evaluation.values]
    record["intervals"] = {"samples": options.samples, "level": 0.95, "over": OVER}
    record["notes"]["scoring"] = list(evaluation.notes)
    records.check({**record, "status": "ok"}, "this run")
    return {**evaluation.rows, **shared}


class _Job:
    """The part of a run that holds the work folder's lock.

    `useless` says afterwards that what lies in the work folder would only repeat a failure; where parameters were
    `tuned`, what that found is none of it.
    """

    def __init__(
        self,
        spec: RunSpec,
        dataset: Dataset,
        options: Options,
        reporter: Reporter,
        work: Path,
        reports: Path,
        device: str,
        threads: int,
        record: Record,
    ) -> None:
        self.spec, self.dataset, self.options = spec, dataset, options
        self.work, self.reports, self.record = work, reports, record
        self.predicted = self.useless = self.tuned = False
        deadline = None if options.time_limit is None else time.monotonic() + options.time_limit
        self.ctx = RunContext(
            folder=work / "method",
            root_seed=spec.seed,
            device=device,
            threads=threads,
            query={name: getattr(spec.fit_params, name) for name in spec.query},
            deadline=deadline,
        )
        self.journal = work_folder.Journal(work / "journal.json", reporter, self.ctx.phases, self.ctx.notes)
        self.ctx.reporter = self.journal

    def run(self) -> tuple[TopK | None, dict[str, Any] | None]:
        """Fill the record; returns predictions and per-row values where the run came so far."""
        from xmcbench.runs.measure import Compilation, OtherWork, PeakMemory
        from xmcbench.runs.provenance import code_state, environment

        record, costs = self.record, self.record["costs"]
        topk: TopK | None = None
        rows: dict[str, Any] | None = None
        with PeakMemory() as memory, OtherWork() as others, Compilation() as compilation:
            try:
                reason = cannot_run(self.spec, self.dataset, self.ctx)
                if reason is None:
                    if self.spec.grid:
                        self._tune()
                    method = self._fitted()
                    topk = self._predict(method)
                    self.predicted = True
                    rows = self._score(topk)
                    self._report(method)
                record.update(status="ok" if reason is None else "skipped", reason=reason)
            except (Exception, KeyboardInterrupt, SystemExit) as error:
                record.update(zip(("status", "reason"), explain(error), strict=True))
                if record["status"] == "error":
                    record["notes"]["traceback"] = where(error)
                ours = self.predicted or isinstance(error, WriteError)
                self.useless = record["status"] in ("error", "diverged") and not ours
        costs.update(peak_rss_bytes=memory.rss_bytes, peak_gpu_bytes=memory.gpu_bytes, phases=dict(self.ctx.phases))
        costs.update(others_cpu=others.share, compile_seconds=compilation.seconds)
        record["notes"].update(self.ctx.notes)
        record["environment"] = environment(self.ctx.threads, self.ctx.device)
        record["code"] = {**code_state(), "method": identity(self.spec.source)}
        record["limits"] = {"time_seconds": self.options.time_limit}
        if record["status"] != "ok":
            record["metrics"] = []
        return topk, rows

    def _tune(self) -> None:
        """Choose the parameters of the run's grid; from here on they are the run's."""
        record, costs = self.record, self.record["costs"]
        tuning = Tuning(self.spec, TuningRows.of(self.dataset), self.work / "tune", self.ctx)
        try:
            chosen = tuning.choose()
        finally:
            self.ctx.phases["tune"] = costs["tune_seconds"] = tuning.journal.seconds
            record["selection"].update(tuning.selection())
        self.tuned = True
        self.ctx.reporter.phase(f"tuned: {told(chosen)}")
        self.spec = self.spec.with_chosen(chosen)
        record["method"]["parameters"] = self.spec.parameters

    def _fitted(self) -> Method:
        """The fitted method: trained now, or loaded when an earlier run of the same fit saved it."""
        method = self.spec.method(self.spec.fit_params)
        done, model, costs = self.work / "fit.json", self.work / "model", self.record["costs"]
        if done.is_file():
            state = json.loads(done.read_text())
            self.ctx.phases.update(state["phases"])
            self.ctx.notes.update(state["notes"])
            method.load(model)
        else:
            train = self._train_rows()
            self.journal.start()
            try:
                method.fit(train, self.ctx)
            finally:
                self.journal.stop()
                costs["fit_seconds"], costs["attempts"] = self.journal.seconds, self.journal.attempts
            state = {
                "costs": {"fit_seconds": self.journal.seconds, "attempts": self.journal.attempts},
                "phases": dict(self.ctx.phases),
                "notes": dict(self.ctx.notes),
                "selection": joined(self.record["selection"], self.ctx.selection),
            }
            shutil.rmtree(model, ignore_errors=True)
            model.mkdir(parents=True)
            method.save(model)
            write_json(done, state)
        costs.update(state["costs"])
        costs["model_bytes"] = folder_bytes(model)
        self.record["selection"] = state["selection"]
        return method

    def _train_rows(self) -> TrainData:
        """The rows to fit on; for methods that ask, validation rows go into the context."""
        train, ctx = self.dataset.train_data(), self.ctx
        if self.spec.info.wants_validation:
            ctx.validation = self.dataset.validation_data()
            if ctx.validation is None:
                train, ctx.validation = carve(train, CARVE_SEED)
                ctx.validation_is_carved = True
        if ctx.validation is not None:
            self.record["selection"]["rows"] = ctx.validation.n_rows
        self.record["selection"]["rows_fitted"] = train.n_rows
        return train

    def _predict(self, method: Method) -> TopK:
        """Predictions for the test rows, k plus the longest filter row, with the time and latency they took."""
        import numpy as np

        from xmcbench.runs.measure import query_latency

        inputs, costs = self.dataset.test_inputs(), self.record["costs"]
        self.ctx.query = self.spec.query
        ctx = self.ctx
        pairs = self.dataset.test_filter
        k = min(self.spec.k + (int(np.bincount(pairs[:, 0]).max()) if len(pairs) else 0), self.dataset.n_labels)
        warm_up: Callable[[RunContext], None] | None = getattr(method, "warm_up", None)
        start = time.perf_counter()
        if warm_up is not None:
            with ctx.phase("warm-up"):
                warm_up(ctx)
            costs["warm_up_seconds"] = time.perf_counter() - start
        with ctx.phase("predict"):
            start = time.perf_counter()
            found = method.predict(inputs, k, ctx)
            costs["predict_seconds"] = time.perf_counter() - start
        topk = checked(found, inputs.n_rows, inputs.n_labels)
        costs["queries_per_second"] = inputs.n_rows / max(costs["predict_seconds"], 1e-9)
        quiet = replace(ctx, reporter=Reporter(), phases={}, notes={}, selection={})
        with ctx.phase("single queries"):
            latency = query_latency(
                lambda i: method.predict(inputs.rows(slice(i, i + 1)), k, quiet), inputs.n_rows, LATENCY_SECONDS
            )
        costs.update(latency)
        return topk

    def _score(self, topk: TopK) -> dict[str, Any]:
        """Metrics into the record; returns the per-row values."""
        from xmcbench.metrics import Truth
        from xmcbench.metrics.defaults import default_metrics

        with self.ctx.phase("score"):
            truth = Truth.of(self.dataset)
            names = self.options.metrics or default_metrics(truth)
            return score(topk, self.dataset, truth, names, self.options, self.record)

    def _report(self, method: Method) -> None:
        """Let the method tell of itself; a report that fails is a note on the record, not a failed run."""
        from xmcbench.metrics import Evaluation, Truth, evaluate

        tell = getattr(method, "report", None)
        if tell is None:
            return
        truth, k = Truth.of(self.dataset), self.record["k"]

        def scored(topk: TopK) -> Evaluation:
            return evaluate(topk.without(self.dataset.test_filter, k), truth, samples=0)

        if not (self.reports / "report.md").is_file():
            self.reports.mkdir(parents=True, exist_ok=True)
            try:
                with self.ctx.phase("report"):
                    tell(self.dataset.test_inputs(), scored, self.reports, self.ctx)
            except Exception as error:
                self.record["notes"]["report"] = f"{type(error).__name__}: {error}\n{where(error)}"
                return
        self.record["notes"]["report"] = f"reports/{self.reports.name}/report.md"


def cannot_run(spec: RunSpec, dataset: Dataset, ctx: RunContext) -> str | None:
    """Why this method is skipped on this data and machine, or None."""
    import psutil

    facts = dataset.facts()
    missing = [kind for kind in spec.info.needs if kind not in facts.available]
    if missing:
        return f"needs {' and '.join(missing)}, which {dataset.name} does not have in view {dataset.view}"
    if ctx.device not in spec.info.devices:
        return f"needs {' or '.join(spec.info.devices)}, and this run is on {ctx.device}"
    memory = psutil.virtual_memory().total
    return spec.method(spec.fit_params).skip(facts, Machine(ctx.threads, memory, ctx.device, gpu_memory(ctx.device)))
