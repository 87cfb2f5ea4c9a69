"""One run: load → fit → predict → score → record. The only place where method, data and metrics meet.

Test labels stay here: a method gets `TrainData` and `Inputs`, and neither holds them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench import work as work_folder
from xmcbench.context import Reporter, RunContext
from xmcbench.data.split import carve
from xmcbench.errors import Diverged, TimeLimit, XmcError
from xmcbench.files import write_json
from xmcbench.machine import available_cores, pick_device, thread_limits
from xmcbench.method import Machine, Method, TrainData
from xmcbench.registry import sources
from xmcbench.results import record as records
from xmcbench.results.blank import blank

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.plan import RunSpec
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store
    from xmcbench.topk import TopK

CARVE_SEED = 0  # one carve a data set, the same for every method and seed, so that validation scores compare
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
    old = store.done(spec_hash)
    if old is not None and not options.again:
        return old, True
    source = sources().get(spec.source)
    record = blank(spec, dataset, store, spec_hash, source.origin if source else spec.source)
    record["supersedes"] = old["run_id"] if old else None
    reason = _cannot_run(spec, dataset, threads, device)
    if reason is not None:
        record.update(status="skipped", reason=reason)
        return store.add(record), False
    work = store.work(spec.fit_hash(dataset.content_hash, device))
    with work_folder.locked(work, reporter):
        old = store.done(spec_hash)  # another process may have finished it while we waited
        if old is not None and not options.again:
            return old, True
        if options.again:
            shutil.rmtree(work, ignore_errors=True)
        job = _Job(spec, dataset, options, reporter, work, device, threads, record)
        with thread_limits(threads):
            topk, rows = job.run()
        record = store.add(record, topk, rows)
        if record["status"] == "diverged" or ("traceback" in record["notes"] and not job.predicted):
            shutil.rmtree(work, ignore_errors=True)  # the method failed: going on from its state would only repeat it
    return record, False


class _Job:
    """The part of a run that holds the work folder's lock."""

    def __init__(
        self,
        spec: RunSpec,
        dataset: Dataset,
        options: Options,
        reporter: Reporter,
        work: Path,
        device: str,
        threads: int,
        record: Record,
    ) -> None:
        self.spec, self.dataset, self.options = spec, dataset, options
        self.work, self.record = work, record
        self.predicted = False
        deadline = None if options.time_limit is None else time.monotonic() + options.time_limit
        self.journal = work_folder.Journal(work / "journal.json", reporter)
        self.ctx = RunContext(
            folder=work,
            root_seed=spec.seed,
            device=device,
            threads=threads,
            query=spec.query,
            deadline=deadline,
            reporter=self.journal,
        )

    def run(self) -> tuple[TopK | None, dict[str, Any] | None]:
        """Fill the record; returns predictions and per-row values where the run came so far."""
        from xmcbench.measure import PeakMemory
        from xmcbench.provenance import code_state, environment

        record, costs = self.record, self.record["costs"]
        topk: TopK | None = None
        rows: dict[str, Any] | None = None
        with PeakMemory() as memory:
            try:
                method = self._fitted()
                topk = self._predict(method)
                self.predicted = True
                rows = self._score(topk)
                record["status"] = "ok"
            except KeyboardInterrupt:
                record.update(status="interrupted", reason="stopped by the user; the next run goes on from here")
            except TimeLimit as error:
                record.update(status="timeout", reason=str(error))
            except (Diverged, FloatingPointError) as error:
                record.update(status="diverged", reason=str(error))
            except Exception as error:
                out_of_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
                reason = str(error) if isinstance(error, XmcError) else f"{type(error).__name__}: {error}"
                record.update(status="out_of_memory" if out_of_memory else "error", reason=reason)
                if not isinstance(error, XmcError):
                    record["notes"]["traceback"] = _where(error)
        costs.update(peak_rss_bytes=memory.rss_bytes, peak_gpu_bytes=memory.gpu_bytes, phases=dict(self.ctx.phases))
        record["notes"].update(self.ctx.notes)
        record["environment"] = environment(self.ctx.threads, self.ctx.device)
        record["code"] = code_state()
        if record["status"] != "ok":
            record["metrics"] = []
        return topk, rows

    def _fitted(self) -> Method:
        """The fitted method: trained now, or loaded when an earlier run of the same fit saved it."""
        method = self.spec.method(self.spec.params)
        done, model, costs = self.work / "fit.json", self.work / "model", self.record["costs"]
        if done.is_file():
            state = json.loads(done.read_text())
            self.ctx.phases.update(state["phases"])
            self.ctx.notes.update(state["notes"])
            method.load(model)
        else:
            train = self._train_rows()
            self.journal.start()
            method.fit(train, self.ctx)
            state = {**self.journal.stop(), "phases": dict(self.ctx.phases), "notes": dict(self.ctx.notes)}
            state["selection"] = self.ctx.selection
            shutil.rmtree(model, ignore_errors=True)
            model.mkdir(parents=True)
            method.save(model)
            write_json(done, state)
        costs["fit_seconds"], costs["attempts"] = state["seconds"], state["attempts"]
        costs["model_bytes"] = sum(p.stat().st_size for p in model.rglob("*") if p.is_file())
        self.record["selection"].update(state["selection"])
        return method

    def _train_rows(self) -> TrainData:
        """The rows to fit on; for methods that ask, validation rows go into the context."""
        train = self.dataset.train_data()
        if self.spec.info.wants_validation:
            self.ctx.validation = self.dataset.validation_data()
            if self.ctx.validation is None:
                train, self.ctx.validation = carve(train, CARVE_SEED)
        return train

    def _predict(self, method: Method) -> TopK:
        """Predictions for the test rows, k plus the longest filter row, with the time and latency they took."""
        import numpy as np

        from xmcbench.measure import query_latency

        inputs, ctx, costs = self.dataset.test_inputs(), self.ctx, self.record["costs"]
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
            topk = method.predict(inputs, k, ctx)
            costs["predict_seconds"] = time.perf_counter() - start
        topk.check(inputs.n_rows, inputs.n_labels)
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
        from xmcbench.metrics import Truth, evaluate
        from xmcbench.metrics.defaults import default_metrics

        with self.ctx.phase("score"):
            kept = topk.without(self.dataset.test_filter, self.spec.k)
            truth = Truth.of(self.dataset)
            names = self.options.metrics or default_metrics(truth)
            evaluation = evaluate(kept, truth, names, samples=self.options.samples)
        self.record["metrics"] = [asdict(value) for value in evaluation.values]
        records.check({**self.record, "status": "ok"}, "this run")
        return dict(evaluation.rows)


def _cannot_run(spec: RunSpec, dataset: Dataset, threads: int, device: str) -> str | None:
    import psutil

    facts = dataset.facts()
    missing = [kind for kind in spec.info.needs if kind not in facts.available]
    if missing:
        return f"needs {' and '.join(missing)}, which {dataset.name} does not have in view {dataset.view}"
    return spec.method.skip(facts, Machine(threads, psutil.virtual_memory().total, device))


def _where(error: BaseException) -> str:
    """The last frames of a traceback, file names without folders: enough for a bug report, no private paths."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return "\n".join(f"{Path(f.filename).name}:{f.lineno} in {f.name}: {f.line}" for f in frames)
