"""`xmcbench run`: train and score methods on data sets, with one record per run."""

from __future__ import annotations

import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from xmcbench.cli.options import (
    LARGEST_ID,
    LARGEST_SEED,
    RESULTS,
    DatasetView,
    Metrics,
    Offline,
    Results,
    forbid_network,
)
from xmcbench.cli.terminal import duration, make_console, print_table
from xmcbench.errors import UsageError, WriteError, XmcError, counted, explain
from xmcbench.escaping import one_line, safe

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.data.spec import Dataset
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store
    from xmcbench.runs.job import Options
    from xmcbench.runs.spec import RunSpec

LONGEST = 1e9  # seconds of a time limit
MOST_THREADS = 4096
DEFAULT_DATASET = "icd10cm"  # part of a pip dependency, so it works offline
EPILOG = """
Examples:

  xmcbench run elias tree popularity

  xmcbench run elias --dataset eurlex-4.3k --seeds 0,1,2

  xmcbench run 'elias[beam=10|20|40]' --set epochs=5 --json

  xmcbench run ovr 'ovr[tune]' tree --dataset eurlex-4.3k

  xmcbench run --method my_method.py:MyMethod
"""
Methods = Annotated[list[str] | None, typer.Argument(help="Names, optionally with parameters as in 'elias[beam=20]'.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="parameter=value[,value…]; several make a grid.")]


def run(
    context: typer.Context,
    methods: Methods = None,
    method: Annotated[list[str] | None, typer.Option(help="A class in a file: path/to/file.py:Class.")] = None,
    dataset: Annotated[list[str] | None, typer.Option(help=f"May be repeated. Default: {DEFAULT_DATASET}.")] = None,
    view: DatasetView = None,
    settings: Settings = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds.")] = "0",
    k: Annotated[int, typer.Option(min=1, max=LARGEST_ID, help="Number of labels predicted per row.")] = 100,
    metrics: Metrics = None,
    results: Results = RESULTS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="0: all cores.")] = 0,
    time_limit: Annotated[float | None, typer.Option(help="Time limit per run in seconds.")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Also run other values of query parameters.")] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Select parameters that aren't set, on validation rows.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Repeat finished runs from the start.")] = False,
    offline: Offline = False,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep fitted models in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON record per line, and nothing else.")] = False,
) -> None:
    """Train and score methods on data sets. Each run writes a JSON record to the results folder.

    --tune tries the values shown by `xmcbench info METHOD`, never on test rows; 'ovr[tune]' does so for one method.
    """
    from xmcbench.metrics import parse_all
    from xmcbench.metrics.names import split
    from xmcbench.results.leftovers import running
    from xmcbench.results.store import Store
    from xmcbench.runs.job import Options
    from xmcbench.runs.plan import make_plan

    out = sys.stdout if as_json else None
    if as_json:  # what methods print, against the rules, is no record
        context.with_resource(redirect_stdout(sys.stderr))
    names = [*(methods or []), *(method or [])]
    _check_options(names, device, time_limit)
    scored = [str(name) for name in parse_all(split(metrics))] if metrics else []
    datasets, numbers = _dataset_names(dataset or [DEFAULT_DATASET]), _whole_numbers(seeds)
    plan = make_plan(names, datasets, view=view, settings=settings or [], seeds=numbers, k=k, curve=curve, tune=tune)
    forbid_network(offline)
    console, store = make_console(stderr=as_json), Store(results)
    options = Options(device, threads, time_limit, again, scored, keep_models=keep_models)
    try:
        data, failures = _load_all(plan, offline, console)
        plan = [spec for spec in plan if spec.dataset in data]
        _announce(plan, data, store, options, console)
    except KeyboardInterrupt as stop:  # later, execution makes a record of it
        console.print(explain(stop)[1])
        raise typer.Exit(1) from stop
    with running(store.folder, _work_folders(plan, data, store, options)):
        done = _execute_plan(plan, data, store, options, console, out, failures)
        records = [record for _, record in done]
        if all(record.status != "interrupted" for record in records):
            failures += _settle_models(done, data, store, keep_models, console)
    _print_end(console, store, records, failures)
    if failures or any(record.status not in ("ok", "skipped") for record in records):
        raise typer.Exit(1)


def _print_end(console: Console, store: Store, records: list[Record], failures: list[str]) -> None:
    """Print the table of results, what has no record, and where records and reports are."""
    from xmcbench.cli.show import print_results

    console.print()
    print_results(console, records)
    for text in failures:
        console.print(text)
    console.print(safe(f"records: {store.folder / 'records'}"), soft_wrap=True)
    for path in dict.fromkeys(record.notes.get("report", "") for record in records):
        if path.endswith(".md"):
            console.print(safe(f"report: {store.folder / path}"), soft_wrap=True)


def _dataset_names(texts: list[str]) -> list[str]:
    """The full names of data sets, each once: "eurlex-4.3K" and "EURLEX-4.3k" are one; UsageError if one is unknown."""
    from xmcbench.data.inventory import data_set

    names = []
    for text in texts:
        if "," in re.sub(r"\[[^]]*\]", "", text):  # commas in brackets separate parameters of synthetic
            raise UsageError(f"--dataset {text!r} is not one data set", "Repeat the option: --dataset a --dataset b.")
        found = data_set(text)
        names.append(found if isinstance(found, str) else found.name)
    return list(dict.fromkeys(names))


def _check_options(names: list[str], device: str, time_limit: float | None) -> None:
    if not names:
        raise UsageError("no method given", "Try `xmcbench run elias`; `xmcbench ls methods` lists all methods.")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device!r} is no kind of device", "Valid: auto, cpu, cuda.")
    if time_limit is not None and not 0 < time_limit <= LONGEST:
        hint = "Leave the option out for no limit."
        raise UsageError(f"--time-limit {time_limit:g}: must be above 0 seconds and at most {LONGEST:.0e}", hint)


def _whole_numbers(text: str) -> list[int]:
    """Parse seeds: "0,1,2" becomes [0, 1, 2]; a repeated seed counts once."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    valid = (part.isdecimal() and len(part) < 20 and int(part) <= LARGEST_SEED for part in parts)
    if not parts or not all(valid):
        problem = f"--seeds {text!r}: seeds are whole numbers from 0 to {LARGEST_SEED}"
        raise UsageError(problem, "Separate them by commas: --seeds 0,1,2.")
    return list(dict.fromkeys(map(int, parts)))


def _load_all(plan: list[RunSpec], offline: bool, console: Console) -> tuple[dict[str, Dataset], list[str]]:
    """Fetch and parse all data sets of the plan before the first run starts.

    Returns those that could be loaded, and a line of rich markup for each of the others: runs on these have no record,
    since a record identifies its data by their content. If none could be loaded, the last error is raised.
    """
    from xmcbench.cli.progress import loading
    from xmcbench.data import load
    from xmcbench.data.home import sweep_home

    sweep_home()
    datasets: dict[str, Dataset] = {}
    errors: dict[str, Exception] = {}
    for spec in plan:
        if spec.dataset not in datasets and spec.dataset not in errors:
            try:
                with loading(console, spec.dataset) as progress:
                    datasets[spec.dataset] = load(spec.dataset, spec.view, offline=offline, progress=progress)
            except UsageError:  # such as an unknown view
                raise
            except Exception as error:
                errors[spec.dataset] = error
    failures = []
    for name, fault in errors.items():
        if not datasets and name == spec.dataset:
            raise fault if isinstance(fault, XmcError) else XmcError(f"data set {name}: {explain(fault)[1]}") from fault
        runs = counted(sum(spec.dataset == name for spec in plan), "run")
        failures.append(_failure(f"data set {name} can't be loaded, {runs} left out", fault))
        console.print(failures[-1])
    return datasets, failures


def _failure(what: str, error: Exception) -> str:
    """A line for what has no record, like that of a run that failed."""
    return f"[red]error[/] · {safe(what)}: {safe(one_line(explain(error)[1]))}"


def _announce(plan: list[RunSpec], data: dict[str, Dataset], store: Store, options: Options, console: Console) -> None:
    """Print the runs of the plan, which of them are done, and an estimate of the others' time."""
    from xmcbench.cli.show import announced
    from xmcbench.results.store import standing
    from xmcbench.runs.machine import pick_device

    records = store.records()
    done = set() if options.again else {record.spec_hash for record in standing(records)}
    estimates: list[float | None] = []  # of the runs that are not done
    rows: list[tuple[object, ...]] = [("method", "data set", "seed", "estimate")]
    for spec in plan:
        dataset = data[spec.dataset]
        estimate = "done"
        if spec.spec_hash(dataset.content_hash, pick_device(options.device, spec.info.devices)) not in done:
            estimates.append(seconds := _estimate(spec, dataset, records))
            estimate = "" if seconds is None else duration(seconds)
        rows.append((spec.label, f"{dataset.name} ({dataset.view})", spec.seed, estimate))
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    parts = [counted(len(plan), "run")]
    if n_done := len(plan) - len(estimates):
        parts.append(f"{n_done} already done")
    if known := [seconds for seconds in estimates if seconds is not None]:
        parts.append(f"about {duration(sum(known))}")
        if unknown := len(estimates) - len(known):
            parts[-1] += f" and {counted(unknown, 'run')} without an estimate"
    console.print("[bold]Plan[/]")
    print_table(rows, right=("seed", "estimate"), console=console)
    console.print(safe(f"{', '.join(parts)}; records go to {store.folder}"))
    for dataset in data.values():
        same_name = [r.dataset for r in records if (r.dataset.name, r.dataset.view) == (dataset.name, dataset.view)]
        if earlier := sum(part.content_hash != dataset.content_hash for part in same_name):
            count = f"{counted(earlier, 'record')} on {dataset.name} ({dataset.view})"
            console.print(safe(f"{count} with other content: they stay apart"))
    for line in announced(plan):
        console.print(safe(line))


def _estimate(spec: RunSpec, dataset: Dataset, records: list[Record]) -> float | None:
    """Seconds of the newest similar run in this results folder, else `MethodInfo.seconds`, or None if unknown.

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


def _execute_plan(
    plan: list[RunSpec],
    data: dict[str, Dataset],
    store: Store,
    options: Options,
    console: Console,
    out: IO[str] | None,
    failures: list[str],
) -> list[tuple[RunSpec, Record]]:
    """Execute the plan in order, until the user stops it. A run without a record adds a line to `failures`.

    `out`: where to print records as JSON.
    """
    from xmcbench.cli.progress import reporter
    from xmcbench.cli.show import line
    from xmcbench.results.execution import execute

    done: list[tuple[RunSpec, Record]] = []
    for spec in plan:
        try:
            with reporter(console, f"{spec.label} on {spec.dataset}") as progress:
                record, reused = execute(spec, data[spec.dataset], store, options, progress)
        except WriteError:  # nothing could be recorded
            raise
        except Exception as error:  # such as lost predictions of a finished run, which were to be scored again
            failures.append(_failure(f"{spec.label} on {spec.dataset}, no record", error))
            console.print(failures[-1])
            continue
        done.append((spec, record))
        if record.status != "interrupted":  # the results, which follow at once, have its line with the reason
            console.print(line(record, reused))
        if out is not None:
            print(json.dumps(record.raw, allow_nan=False, sort_keys=True), file=out, flush=True)
        if record.status == "interrupted":
            break  # the reason of the record says how to resume
    return done


def _work_folders(plan: list[RunSpec], data: dict[str, Dataset], store: Store, options: Options) -> list[Path]:
    from xmcbench.runs.machine import pick_device

    devices = [pick_device(options.device, spec.info.devices) for spec in plan]
    return [store.work(s.fit_hash(data[s.dataset].content_hash, d)) for s, d in zip(plan, devices, strict=True)]


def _settle_models(
    done: list[tuple[RunSpec, Record]], data: dict[str, Dataset], store: Store, keep_models: bool, console: Console
) -> list[str]:
    """Keep the models of successful runs if asked to, and remove their work folders; those of others are needed to
    resume. Returns a line for each model that can't be kept."""
    from xmcbench.models.folder import keep
    from xmcbench.runs.work_folder import remove

    failures = []
    for spec, record in done:
        if record.status == "ok" and keep_models:
            try:
                path = keep(spec, record, data[spec.dataset], store)
                console.print(safe(f"model: {path}"), soft_wrap=True)
            except XmcError as error:
                failures.append(_failure(f"{spec.label} on {spec.dataset}, no model", error))
    for spec, record in done:
        if record.status == "ok":
            device = record.environment.device or "cpu"
            remove(store.work(spec.fit_hash(data[spec.dataset].content_hash, device)))
    return failures
