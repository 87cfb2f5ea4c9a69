"""One run: executes the stages in order and holds their results.

Any failure, including Ctrl-C, ends the run with a status and a reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from xmcbench.context import RunContext, recall
from xmcbench.data.split import CARVE_SEED, TuningRows, carve
from xmcbench.errors import ProcessLost, Terminated, WriteError, XmcError, counted, explain, where
from xmcbench.escaping import kind_of, plain_text
from xmcbench.files import remove_any, replaced_folder
from xmcbench.method import Machine, Method, TrainData
from xmcbench.processes import RESTART, Ranks
from xmcbench.runs import stages, work_folder
from xmcbench.runs.footprint import BASE, data_bytes, too_large
from xmcbench.runs.measure import Compilation, OtherWork, PeakMemory, folder_bytes
from xmcbench.runs.memory import Watch
from xmcbench.runs.selection import Selection, joined
from xmcbench.runs.stages import Predicted, Scored
from xmcbench.runs.tuning import Tuning, spell_values
from xmcbench.runs.undisturbed import running_threads, undisturbed

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Evaluation
    from xmcbench.runs.spec import RunSpec
    from xmcbench.topk import TopK

REPORT_ROWS = 40_000  # test rows of a report: intervals of half a point; 153,025 rows in 12 settings took 12 minutes


@dataclass(frozen=True)
class Options:
    """Options that are not part of a run's identity, except for `device`."""

    device: str = "auto"
    threads: int = 0  # 0: all cores available to this process
    time_limit: float | None = None  # seconds per run
    again: bool = False  # run even if a record of the same spec exists
    metrics: Sequence[str] = ()
    samples: int = 1000  # bootstrap resamples
    keep_models: bool = False  # fitted models are kept with the results
    memory: int | None = None  # bytes that a run may hold; None: what is available when it starts
    node: str | None = None  # name of the machine, where several share the runs of a plan
    ranks: Ranks | None = None  # the processes that execute the plan together


class _Fit(msgspec.Struct, kw_only=True):
    """What `fit.json` keeps of a finished fit, for runs that share it and for a run that is killed later.

    `files`: hashes of the model, see `work_folder.hashes`.
    """

    fit_seconds: float
    attempts: int
    phases: dict[str, float]
    notes: dict[str, object]
    selection: Selection
    files: dict[str, str]


class Job:
    """A run in its work folder, which the caller must have locked.

    Attributes
    ----------
    spec : the run; after tuning, with the selected parameters.
    status, reason : how the run ended; `traceback` is set if it ended with an error.
    predicted, scored : results of the stages; None for stages that were not reached.
    selection : how parameters and epochs were selected so far.
    costs : seconds, bytes and shares, by the field names of `records.record.Costs`.
    report : path of the method's report relative to the results folder, or the error that prevented it; "" if the
        method writes none.
    """

    def __init__(
        self, spec: RunSpec, dataset: Dataset, options: Options, device: str, threads: int, work: Path, reports: Path
    ) -> None:
        self.spec, self.dataset, self.options = spec, dataset, options
        self.device, self.threads, self.work, self.reports = device, threads, work, reports
        self.status, self.traceback = "error", ""
        self.reason: str | None = None
        self.predicted: Predicted | None = None
        self.scored: Scored | None = None
        self.costs: dict[str, float | None] = {}
        self.report = ""
        split = "none"
        if spec.info.wants_validation or spec.grid:
            split = "carved" if dataset.validation is None else "official"
        self.selection = Selection(split=split, rows=0, tried=1)
        self.tuned = False

    @property
    def discard_checkpoints(self) -> bool:
        """Whether the run failed for a reason that its checkpoints would reproduce; tuning results are kept."""
        return self.status in ("error", "diverged") and self.predicted is None and not self._disk_failed

    def run(self, reporter: Reporter) -> None:
        """Execute all stages and store their results in the attributes.

        Whatever the method does, even outside of Python's ordinary exceptions, becomes a status with a reason.
        """
        self._disk_failed = False
        limit = self.options.time_limit
        compilation = Compilation(reporter.compiling)
        self.ctx = self._context()
        self.ctx.clock = compilation.clock
        self.ctx.deadline = None if limit is None else time.monotonic() + limit
        context = (self.ctx.phases, self.ctx.notes, self.ctx.clock)
        self.journal = work_folder.Journal(self._state("journal.json"), reporter, *context)
        self.ctx.reporter = self.journal
        threads = running_threads()
        watch = Watch(self.options.memory, BASE + data_bytes(self.dataset.facts()))
        with PeakMemory() as memory, OtherWork() as others, compilation:
            try:
                with undisturbed(), watch:
                    self._run()
            except BaseException as error:
                self._fail(error)
            watch.stop()
        self.costs |= {"peak_rss_bytes": memory.rss_bytes, "peak_gpu_bytes": memory.gpu_bytes}
        self.costs |= {"others_cpu": others.share, "compile_seconds": compilation.seconds}
        if left := len(running_threads() - threads):
            self.ctx.remark(
                f"{self.spec.info.name} left {counted(left, 'thread')} running, which may slow later runs down"
            )

    def follow(self) -> None:
        """Fit the model with the other processes, in a rank above 0, which has no results. Raises what `fit` raises."""
        self.ctx = self._context()
        with PeakMemory() as memory, undisturbed():
            self.spec.method(self.spec.fit_params).fit(self._train_rows(), self.ctx)
        assert self.ctx.ranks is not None
        self.ctx.ranks.exchange(memory.rss_bytes)

    def _context(self) -> RunContext:
        return RunContext(
            folder=self.work / "method",
            root_seed=self.spec.seed,
            device=self.device,
            threads=self.threads,
            query={name: getattr(self.spec.fit_params, name) for name in self.spec.query},
            run_name=f"{self.spec.label} on {self.dataset.name} ({self.dataset.view}), seed {self.spec.seed}",
            identity=self.spec.identity(self.dataset.content_hash, self.device),
            ranks=self.options.ranks if self.spec.info.processes else None,
        )

    def _run(self) -> None:
        self.reason = cannot_run(self.spec, self.dataset, self.ctx, self.options.memory)
        if self.reason is None:
            work_folder.make_folder(self.ctx.folder, self.ctx.reject)
            try:
                self._stages()
            except Terminated as stop:  # torchrun stops all processes once one of them has died
                if self.options.ranks is not None and (lost := self.options.ranks.missing()):
                    raise ProcessLost(lost, RESTART) from stop
                raise
        self.status = "ok" if self.reason is None else "skipped"

    def _fail(self, error: BaseException) -> None:
        self.status, self.reason = explain(error)
        self.traceback = where(error) if self.status == "error" else ""
        self._disk_failed = issubclass(type(error), WriteError)

    def reduce(self, error: Exception) -> None:
        """Fail, and forget all results: a record can't hold one of them, as `error` says."""
        self._fail(error)
        self.predicted = self.scored = None
        self.costs, self.report, self.selection, self.tuned = {}, "", Selection(), False
        self.ctx.notes, self.ctx.phases = {}, {}

    def _stages(self) -> None:
        stages.check_metrics(self.dataset, self.options.metrics)
        if self.spec.grid:
            self._tune()
        method = self._fit()
        self.predicted = self._predict(method)
        self.scored = self._score(self.predicted.topk)
        self.report = self._report(method)

    def _tune(self) -> None:
        """Select the parameters of the run's grid and replace `spec`."""
        tuning = Tuning(self.spec, TuningRows.of(self.dataset), self.work / "tune", self.ctx)
        try:
            selected = tuning.choose()
        finally:
            self.ctx.phases["tune"] = self.costs["tune_seconds"] = tuning.journal.seconds
            self.selection = tuning.selection()
        self.tuned = True
        self.ctx.reporter.phase(f"tuned: {spell_values(selected)}")
        self.spec = self.spec.with_chosen(selected)
        self.ctx = replace(self.ctx, identity=self.spec.identity(self.dataset.content_hash, self.device))

    def _state(self, name: str) -> work_folder.StateFile:
        return work_folder.StateFile(self.work / name, self.ctx.identity, self.ctx.reject)

    def _saved_fit(self) -> _Fit | None:
        """The finished fit, or None if there is none, or if its model is not the one that was saved."""
        file, model = self._state("fit.json"), self.work / "model"
        fit = file.read(_Fit)
        if fit is None or not (fault := work_folder.changed(model, fit.files)):
            return fit
        self.ctx.reject(model if model.exists() else file.path, f"not the model that was saved ({fault})")
        file.path.unlink(missing_ok=True)
        return None

    def _fit(self) -> Method:
        """Fit the method, or load the model that an earlier run with the same fit saved."""
        method = self.spec.method(self.spec.fit_params)
        fit, model_folder = self._saved_fit(), self.work / "model"
        if fit is not None:
            self.ctx.phases.update(fit.phases)
            recall(self.ctx.notes, fit.notes)
            method.load(model_folder)
        else:
            train = self._train_rows()
            self.journal.start()
            try:
                if self.ctx.ranks is None:
                    method.fit(train, self.ctx)
                else:
                    self._fit_with_others(method, train, self.ctx.ranks)
            finally:
                self.journal.stop()
                self.costs |= {"fit_seconds": self.journal.seconds, "attempts": self.journal.attempts}
            remove_any(model_folder)
            model_folder.mkdir(parents=True)
            method.save(model_folder)
            fit = _Fit(
                fit_seconds=self.journal.seconds,
                attempts=self.journal.attempts,
                phases=self.ctx.phases,
                notes=self.ctx.notes,
                selection=joined(self.selection, self.ctx.selection),
                files=work_folder.hashes(model_folder),
            )
            self._state("fit.json").write(fit)
        self.costs |= {"fit_seconds": fit.fit_seconds, "attempts": fit.attempts}
        self.costs["model_bytes"] = folder_bytes(model_folder)
        self.selection = fit.selection
        return method

    def _fit_with_others(self, method: Method, train: TrainData, ranks: Ranks) -> None:
        """Fit in rank 0, while the others `follow`."""
        ranks.told(self.spec.spec_hash(self.dataset.content_hash, self.device))
        with PeakMemory() as memory:
            method.fit(train, self.ctx)
        peaks = ranks.exchange(memory.rss_bytes)
        self.ctx.note("processes", {"count": ranks.count, "nodes": ranks.nodes, "peak_rss_bytes": peaks})

    def _train_rows(self) -> TrainData:
        """Training rows; if the method wants validation rows, set them in the context."""
        train, ctx = self.dataset.train_data(), self.ctx
        if self.spec.info.wants_validation:
            ctx.validation = self.dataset.validation_data()
            if ctx.validation is None:
                train, ctx.validation = carve(train, CARVE_SEED)
                ctx.validation_is_carved = True
        rows = self.selection.rows if ctx.validation is None else ctx.validation.n_rows
        self.selection = msgspec.structs.replace(self.selection, rows=rows, rows_fitted=train.n_rows)
        return train

    def _predict(self, method: Method) -> Predicted:
        """Predict for the test rows, and measure time and latency."""
        inputs, pairs, k = self.dataset.test_inputs(), self.dataset.test_filter, self.spec.k
        self.ctx.query = self.spec.query
        self.costs["warm_up_seconds"] = stages.warm_up(method, self.ctx)
        predicted = stages.predict(method, inputs, k, pairs, self.ctx)
        rate = inputs.n_rows / max(predicted.seconds, 1e-9)
        self.costs |= {"predict_seconds": predicted.seconds, "queries_per_second": rate}
        self.costs |= stages.latency(method, inputs, k, pairs, self.ctx)
        return predicted

    def _score(self, topk: TopK) -> Scored:
        """Metrics and their per-row values."""
        from xmcbench.metrics import Truth
        from xmcbench.metrics.evaluation import default_metrics

        with self.ctx.phase("score"):
            truth = Truth.of(self.dataset)
            names = self.options.metrics or default_metrics(truth)
            return stages.score(topk, self.dataset, truth, names, self.spec.k, self.options.samples)

    def _report(self, method: Method) -> str:
        """Let the method write its report, on at most `REPORT_ROWS` test rows; an error becomes a note on the record,
        not a failed run."""
        import numpy as np

        from xmcbench.methods.helpers import spread
        from xmcbench.metrics import Truth, evaluate

        inputs = self.dataset.test_inputs()
        rows = spread(inputs.n_rows, REPORT_ROWS)
        truth, pairs = Truth.of(self.dataset).rows(rows), self.dataset.test_filter
        pairs = pairs[np.isin(pairs[:, 0], rows)]
        pairs[:, 0] = np.searchsorted(rows, pairs[:, 0])

        def scored(topk: TopK) -> Evaluation:
            return evaluate(topk.without(pairs, self.spec.k), truth, samples=0)

        try:
            report = getattr(method, "report", None)
            if report is None:
                return ""
            if not (self.reports / "report.md").is_file():
                work_folder.make_folder(self.reports.parent, self.ctx.reject)
                if os.path.lexists(self.reports) and not self.reports.is_dir():
                    self.ctx.reject(self.reports, "not a folder")
                with self.ctx.phase("report"), replaced_folder(self.reports) as folder:
                    report(inputs.rows(rows), scored, folder, self.ctx)
                    if not (folder / "report.md").is_file():
                        raise XmcError("the method's report has no file report.md")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return f"{explain(error)[1]}\n{where(error)}"
        return f"reports/{self.reports.name}/report.md"


def cannot_run(spec: RunSpec, dataset: Dataset, ctx: RunContext, memory: int | None) -> str | None:
    """Why this method is skipped on this data and machine, or None; raises what the method's own members raise.

    `memory`: bytes that it may hold; None for what is available.
    """
    n_processes = 1 if ctx.ranks is None else ctx.ranks.count
    facts, machine = dataset.facts(), Machine(ctx.threads, ctx.device, n_processes)
    missing = [kind for kind in spec.info.needs if kind not in facts.available]
    if missing:
        return f"needs {' and '.join(missing)}, which {dataset.name} does not have in view {dataset.view}"
    if ctx.device not in spec.info.devices:
        return f"needs {' or '.join(spec.info.devices)}, and this run is on {ctx.device}"
    reason: object = spec.method(spec.fit_params).skip(facts, machine)
    if reason is None:
        spec.depends_on()  # what it raises is no part of the run's identity, but ends the run
        return too_large(spec, facts, machine, memory, ctx.folder)
    if not isinstance(reason, str) or not reason.strip():
        raise XmcError(f"skip returned a {kind_of(reason)} or an empty text, not a sentence or None")
    return plain_text(reason)
