"""Executes a run in a results folder and writes its record.

A finished run is not repeated, and a lock lets only one process work on a fit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from xmcbench import processes
from xmcbench.context import FailSafeReporter
from xmcbench.errors import WriteError
from xmcbench.records import record_file
from xmcbench.records.record import (
    SCHEMA,
    Code,
    Costs,
    DatasetPart,
    Environment,
    Intervals,
    Limits,
    MethodPart,
    Metric,
)
from xmcbench.runs import work_folder
from xmcbench.runs.job import Job, Options
from xmcbench.runs.machine import available_cores, pick_device, thread_limits
from xmcbench.runs.provenance import code_state, environment
from xmcbench.runs.registry import identity
from xmcbench.runs.stages import Scored, score

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Evaluation
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.runs.spec import RunSpec

OVER = "test rows, near-duplicates drawn together"  # the record's description of the bootstrap


def execute(
    spec: RunSpec,
    dataset: Dataset,
    store: Store,
    options: Options,
    reporter: Reporter,
    is_complete: Callable[[Record, bool], bool] = lambda record, locked: True,
) -> tuple[Record, bool]:
    """Execute one run and add its record; returns (record, whether it already existed).

    Every failure, including Ctrl-C, becomes a record with a status and a reason. A finished run that is not
    `is_complete`, such as one without the model that is asked for, is executed again. `is_complete(record, locked)` may
    complete it from the work folder, if `locked`: this process then holds the lock of that folder.

    Raises
    ------
    WriteError : the results folder can't be written, so that there can be no record.
    XmcError : --device cuda without a GPU; metrics of a finished run can't be added, since its predictions are lost.
    """
    reporter = FailSafeReporter(reporter)
    device = pick_device(options.device, spec.info.devices)
    spec_hash = spec.spec_hash(dataset.content_hash, device)
    old = None if options.again else store.done(spec_hash)
    if old is not None and is_complete(old, False):
        return with_metrics(old, dataset, store, options)
    work = store.work(spec.fit_hash(dataset.content_hash, device)).absolute()  # a method may change the current folder
    started = datetime.now(UTC)
    with work_folder.locked(work, reporter):
        old = store.done(spec_hash)
        if old is not None and not options.again and is_complete(old, True):
            # another process finished the run while this one waited, or was killed before it kept the model
            return with_metrics(old, dataset, store, options)
        if options.again:
            work_folder.discard(work)
        threads = _threads(options)
        job = Job(spec, dataset, options, device, threads, work, (store.folder / "reports" / work.name).absolute())
        # a method may replace or close the standard streams
        with thread_limits(threads), redirect_stdout(sys.stdout), redirect_stderr(sys.stderr):
            job.run(reporter)
            record = _added(job, store, spec_hash, started, old)
        if job.discard_checkpoints:
            with suppress(OSError):  # the method removed or protected them
                work_folder.clear(work, keep="tune" if job.tuned else None)
    return record, False


def follow(spec: RunSpec, dataset: Dataset, store: Store, options: Options) -> None:
    """Take part in a run that rank 0 executes; writes checkpoints alone. Raises what the fit raises."""
    device = pick_device(options.device, spec.info.devices)
    work = store.work(spec.fit_hash(dataset.content_hash, device)).absolute()
    threads = _threads(options)
    with thread_limits(threads):
        Job(spec, dataset, options, device, threads, work, work).follow()


def _threads(options: Options) -> int:
    """Threads of this process: all cores, divided among the processes of this node."""
    return options.threads or max(1, available_cores() // processes.on_this_node())


def _added(job: Job, store: Store, spec_hash: str, started: datetime, old: Record | None) -> Record:
    """Write the record of an ended run; one that says why, if a record can't hold the results.

    Raises WriteError: the results folder can't be written.
    """
    parts = store.new_id(job.spec.info.name, job.dataset.name, started), spec_hash, started, old
    topk = None if job.predicted is None else job.predicted.topk
    if job.status == "ok":
        work_folder.finish(job.work, parts[0])
    try:
        return store.add(record_of(job, *parts), topk, None if job.scored is None else job.scored.rows)
    except WriteError:
        raise
    except Exception as error:  # such as phases that the method wrote itself, or arrays that it changed
        job.reduce(error)
        return store.add(record_of(job, *parts))


def with_metrics(record: Record, dataset: Dataset, store: Store, options: Options) -> tuple[Record, bool]:
    """The record of a finished run with all requested metrics; its predictions are scored again if some are missing."""
    from xmcbench.metrics import Truth

    existing = [metric.name for metric in record.metrics]
    if set(options.metrics) <= set(existing):
        return record, True
    names = [*existing, *(name for name in options.metrics if name not in existing)]
    scored = score(store.predictions(record), dataset, Truth.of(dataset), names, record.k, options.samples)
    extended = record_file.changed(
        record,
        schema=SCHEMA,
        run_id=store.new_id(record.method.name, dataset.name, datetime.now(UTC)),
        supersedes=record.run_id,
        metrics=metrics_of(scored.evaluation),
        intervals=_intervals(options.samples),
        notes={**record.notes, "scoring": list(scored.evaluation.notes)},
    )
    return store.add(extended, None, scored.rows), True


def record_of(job: Job, run_id: str, spec_hash: str, started: datetime, old: Record | None) -> Record:
    """The record of a finished or failed run. `old` is the record that it supersedes."""
    spec, info = job.spec, job.spec.info
    ok = job.status == "ok" and job.scored is not None
    return record_file.new(
        started,
        run_id=run_id,
        spec_hash=spec_hash,
        status=job.status,
        reason=job.reason,
        method=MethodPart(
            name=info.name,
            label=spec.label,
            version=info.version,
            family=info.family,
            origin=identity(spec.source).get("origin", spec.source),
            # tuned parameters have no value until tuning has chosen one
            parameters={**spec.parameters, **{name: None for name, _ in (() if job.tuned else spec.grid or ())}},
            deterministic=info.deterministic,
        ),
        dataset=dataset_part(job.dataset),
        k=spec.k,
        seed=spec.seed,
        metrics=metrics_of(job.scored.evaluation) if ok and job.scored is not None else (),
        costs=Costs(**job.costs, compile_excluded=True, phases=dict(job.ctx.phases)),
        intervals=_intervals(job.options.samples) if job.scored is not None else Intervals(),
        limits=Limits(time_seconds=job.options.time_limit, memory_bytes=job.options.memory),
        environment=msgspec.convert({**environment(job.threads, job.device), "node": job.options.node}, Environment),
        code=msgspec.convert({**code_state(), "method": identity(spec.source)}, Code),
        selection=job.selection,
        notes=_notes(job, job.scored),
        supersedes=None if old is None else old.run_id,
    )


def _notes(job: Job, scored: Scored | None) -> dict[str, object]:
    notes = dict(job.ctx.checked_notes())
    if job.spec.grid == ():
        notes["tuning"] = "nothing to tune: no parameter has values to try, or all such parameters were set"
    if job.traceback:
        notes["traceback"] = job.traceback
    if scored is not None:
        notes["scoring"] = list(scored.evaluation.notes)
    if job.report:
        notes["report"] = job.report
    return notes


def metrics_of(evaluation: Evaluation) -> tuple[Metric, ...]:
    """The values of an evaluation in the form of a record."""
    return tuple(Metric(**asdict(value)) for value in evaluation.values)


def _intervals(samples: int) -> Intervals:
    return Intervals(samples=samples, level=0.95, over=OVER)


def dataset_part(dataset: Dataset) -> DatasetPart:
    """Identity and counts of a data set in the form of a record."""
    facts = dataset.facts()
    return DatasetPart(
        name=dataset.name,
        view=dataset.view,
        revision=dataset.revision,
        content_hash=dataset.content_hash,
        n_train=facts.n_train,
        n_validation=None if dataset.validation is None else int(dataset.validation.labels.shape[0]),
        n_test=facts.n_test,
        n_features=facts.n_features,
        n_labels=facts.n_labels,
        filter_pairs=len(dataset.test_filter),
        propensity=tuple(dataset.propensity),
        extra=dict(dataset.extra),
    )
