"""Load the data sets of a plan and execute its runs, for `xmcbench.run` and for the command `run`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path
from traceback import clear_frames
from typing import TYPE_CHECKING, NamedTuple

from xmcbench.errors import UsageError, WriteError, XmcError, counted, explain

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.method import Footprint
    from xmcbench.processes import Ranks
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.runs.job import Options
    from xmcbench.runs.spec import DataKey, RunSpec
    from xmcbench.runs.suite import Suite

LONGEST = 1e9  # seconds of a time limit
DEFAULT_DATASET = "icd10cm"  # part of a pip dependency, so it works offline


class Failure(NamedTuple):
    """What has no record, and why."""

    what: str
    error: Exception


def _silent() -> AbstractContextManager[Reporter]:
    from xmcbench.context import Reporter  # loads numpy

    return nullcontext(Reporter())


class Watcher:
    """Is told what happens; this base class shows nothing."""

    def loading(self, name: str) -> AbstractContextManager[Reporter]:
        """The data set `name` is fetched and parsed."""
        return _silent()

    def running(self, name: str, position: str) -> AbstractContextManager[Reporter]:
        """A run is executed: its method and data set, and which one of the plan it is, "run 2 of 5"; "" if of one."""
        return _silent()

    def finished(self, record: Record, reused: bool) -> None:
        """A run has its record; `reused`: it had one before."""

    def kept(self, model: Path) -> None:
        """The model of a run is kept in the folder `model`."""

    def failed(self, failure: Failure) -> None:
        """A data set can't be loaded, or a run has no record."""


def dataset_names(texts: Sequence[str]) -> list[str]:
    """The full names of data sets, each once: "eurlex-4.3K" and "EURLEX-4.3k" are one; UsageError if one is unknown."""
    from xmcbench.data.inventory import data_set

    names = []
    for text in texts:
        if "," in re.sub(r"\[[^]]*\]", "", text):  # commas in brackets separate parameters of synthetic
            raise UsageError(f"--dataset {text!r} is not one data set", "Repeat the option: --dataset a --dataset b.")
        found = data_set(text)
        names.append(found if isinstance(found, str) else found.name)
    return list(dict.fromkeys(names))


def read_suite(path: Path, given: Sequence[str]) -> Suite:
    """The suite in a file, with the full names of its data sets and metrics.

    Raises
    ------
    UsageError : an unknown name, or a choice is `given` in another way too: the suite is what is run.
    DataError : the file is not a suite.
    """
    import msgspec

    from xmcbench.metrics import parse_all
    from xmcbench.runs.suite import read

    if given:
        hint = "A suite says all that is run; change the file, or run without it."
        raise UsageError(f"{', '.join(given)} can't be given next to a suite", hint)
    suite = read(path)
    tables = [msgspec.structs.replace(table, datasets=tuple(dataset_names(table.datasets))) for table in suite.run]
    metrics = tuple(str(name) for name in parse_all(suite.metrics))
    return msgspec.structs.replace(suite, run=tuple(tables), metrics=metrics)


def check_options(names: Sequence[str], device: str, time_limit: float | None) -> None:
    """Raise UsageError if there is no method, or a device or time limit that can't be."""
    if not names:
        raise UsageError("no method given", "Try `xmcbench run elias`; `xmcbench ls methods` lists all methods.")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device!r} is no kind of device", "Valid: auto, cpu, cuda.")
    if time_limit is not None and not 0 < time_limit <= LONGEST:
        hint = "Leave the option out for no limit."
        raise UsageError(f"--time-limit {time_limit:g}: must be above 0 seconds and at most {LONGEST:.0e}", hint)


def load_all(plan: Sequence[RunSpec], offline: bool, watcher: Watcher) -> tuple[dict[DataKey, Dataset], list[Failure]]:
    """Fetch and parse all data sets of the plan before the first run starts.

    Returns those that could be loaded, and the failures of the others: runs on these have no record, since a record
    identifies its data by their content.

    Raises
    ------
    UsageError : such as an unknown view.
    XmcError : no data set could be loaded; it is the last error.
    """
    from xmcbench.data import load
    from xmcbench.data.home import sweep_home

    sweep_home()
    datasets: dict[DataKey, Dataset] = {}
    errors: dict[DataKey, Exception] = {}
    for key in dict.fromkeys(spec.data for spec in plan):
        name, view = key
        try:
            with watcher.loading(name) as progress:
                datasets[key] = load(name, view, offline=offline, progress=progress)
        except UsageError:
            raise
        except Exception as error:
            errors[key] = error
    failures = []
    for key, fault in errors.items():
        name, view = key
        if not datasets and key == plan[-1].data:
            raise fault if isinstance(fault, XmcError) else XmcError(f"data set {name}: {explain(fault)[1]}") from fault
        runs = counted(sum(spec.data == key for spec in plan), "run")
        failures.append(Failure(f"data set {name} can't be loaded, {runs} left out", fault))
        watcher.failed(failures[-1])
    return datasets, failures


def estimate(spec: RunSpec, dataset: Dataset, records: Sequence[Record]) -> float | None:
    """Seconds of the newest similar run among the records, else `MethodInfo.seconds`, or None if unknown.

    Every fit of tuning is assumed to take as long as such a run.
    """
    from xmcbench.runs.selection import fits

    fit_count = 1 + len(fits(spec))
    for record in reversed(records):
        similar = record.method.name == spec.info.name and record.dataset.content_hash == dataset.content_hash
        if similar and record.status == "ok":
            costs = record.costs
            once = sum(cost or 0.0 for cost in (costs.fit_seconds, costs.warm_up_seconds, costs.predict_seconds))
            compiling = 0.0 if costs.compile_excluded else costs.compile_seconds or 0.0
            return float(fit_count * max(0.0, once - compiling))
    author_seconds = spec.info.seconds.get(dataset.name)
    return None if author_seconds is None else fit_count * author_seconds


def need_of(spec: RunSpec, dataset: Dataset, options: Options, store: Store) -> tuple[Footprint | None, str | None]:
    """What the run will take of memory and disk, None if unknown; and why either is too small for it, or None."""
    from xmcbench import processes
    from xmcbench.method import Machine
    from xmcbench.runs.footprint import of_run, too_large
    from xmcbench.runs.machine import available_cores, pick_device

    device = pick_device(options.device, spec.info.devices)
    machine = Machine(options.threads or available_cores(), device, processes.count())
    facts = dataset.facts()
    try:
        need = of_run(spec, facts, machine)
        refusal = too_large(spec, facts, machine, options.memory, store.folder.absolute())
    except Exception:  # the run fails for the same reason, and its record tells it
        return None, None
    return need, refusal


def execute_plan(
    plan: Sequence[RunSpec],
    data: dict[DataKey, Dataset],
    store: Store,
    options: Options,
    watcher: Watcher,
) -> tuple[list[Record], list[Failure]]:
    """Execute the plan in order, until the user stops it: the last record then has the status "interrupted".

    Models of runs that ended ok are kept if `options` ask for it. Work folders are removed unless the user stopped.

    Of several processes, rank 0 does this, and the others follow it in the fits of methods that can be divided; if such
    a fit fails, the plan ends.

    Returns the records, and failures of runs that have none, or no model.

    Raises WriteError: the results folder can't be written.
    """
    if options.ranks is not None and options.ranks.rank:
        follow_plan(plan, data, store, options, options.ranks)
        return [], []
    from xmcbench.records.execution import execute
    from xmcbench.records.leftovers import remove_finished, running

    records: list[Record] = []
    failures: list[Failure] = []
    works: list[Path] = []  # of runs that ended ok; those of others are needed to resume

    with running(store.folder, _work_folders(plan, data, store, options)):
        for number, spec in enumerate(plan, 1):
            position = f"run {number} of {len(plan)}" if len(plan) > 1 else ""
            try:
                with watcher.running(f"{spec.label} on {spec.dataset}", position) as progress:
                    is_complete = partial(_is_complete, spec, data[spec.data], store, options)
                    record, reused = execute(spec, data[spec.data], store, options, progress, is_complete)
            except WriteError:  # nothing could be recorded
                raise
            except Exception as error:  # such as lost predictions of a finished run, which were to be scored again
                failures.append(Failure(f"{spec.label} on {spec.dataset}, no record", error))
                watcher.failed(failures[-1])
                continue
            records.append(record)
            watcher.finished(record, reused)
            if record.status == "interrupted":
                return records, failures  # the reason of the record says how to resume
            if options.ranks is not None and spec.info.processes and record.status not in ("ok", "skipped"):
                if left := len(plan) - number:  # the other processes stand somewhere in the fit
                    hint = "Run these alone, or all of them without torchrun."
                    fault = XmcError(f"the processes are no longer in step after {spec.label} failed", hint)
                    failures.append(Failure(f"{counted(left, 'run')} left out", fault))
                    watcher.failed(failures[-1])
                return records, failures
            if record.status == "ok":
                device = record.environment.device or "cpu"
                works.append(store.work(spec.fit_hash(data[spec.data].content_hash, device)))
                if options.keep_models:
                    failures += _keep(spec, record, data[spec.data], store, watcher)
    remove_finished(store.folder, works)
    return records, failures


def follow_plan(
    plan: Sequence[RunSpec], data: dict[DataKey, Dataset], store: Store, options: Options, ranks: Ranks
) -> None:
    """Take part in each fit that rank 0 begins, until it ends. An error of this process is told to the others."""
    from xmcbench.errors import ProcessLost
    from xmcbench.records.execution import follow
    from xmcbench.runs.machine import pick_device

    by_hash = {}
    for spec in plan:
        device = pick_device(options.device, spec.info.devices)
        by_hash[spec.spec_hash(data[spec.data].content_hash, device)] = spec
    try:
        while True:
            spec = by_hash[ranks.told()]
            follow(spec, data[spec.data], store, options)
    except ProcessLost:  # usually rank 0 has ended; if another process is lost, rank 0 says so
        if ranks.silent == 0:  # nobody else ends: torchrun does, once this process has failed
            raise
    except BaseException as error:
        clear_frames(error.__traceback__)  # variables of torch's functions would hold the connections to the others
        ranks.ended(explain(error)[1])
        raise


def _work_folders(plan: Sequence[RunSpec], data: dict[DataKey, Dataset], store: Store, options: Options) -> list[Path]:
    from xmcbench.runs.machine import pick_device

    devices = [pick_device(options.device, spec.info.devices) for spec in plan]
    return [store.work(s.fit_hash(data[s.data].content_hash, d)) for s, d in zip(plan, devices, strict=True)]


def _is_complete(spec: RunSpec, dataset: Dataset, store: Store, options: Options, record: Record, locked: bool) -> bool:
    """Whether the model of a finished run is not asked for, or kept, also if only now, from another's work folder."""
    from xmcbench.models.folder import has_model, keep

    if not options.keep_models or has_model(record, store):
        return True
    with suppress(XmcError):  # usually the work folder is gone
        if locked:
            keep(spec, record, dataset, store, is_locked=True)
            return True
    return False


def _keep(spec: RunSpec, record: Record, dataset: Dataset, store: Store, watcher: Watcher) -> list[Failure]:
    """Keep the model of a run; the failure if it can't be kept."""
    from xmcbench.models.folder import keep

    try:
        watcher.kept(keep(spec, record, dataset, store))
    except XmcError as error:
        failure = Failure(f"{spec.label} on {spec.dataset}, no model", error)
        watcher.failed(failure)
        return [failure]
    return []
