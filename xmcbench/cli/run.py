"""`xmcbench run`: train and score methods on data sets, with one record per run."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from xmcbench import processes
from xmcbench.amounts import size
from xmcbench.cli import completion
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
from xmcbench.errors import UsageError, counted, explain
from xmcbench.escaping import one_line, safe
from xmcbench.running.plan import (
    DEFAULT_DATASET,
    Failure,
    Watcher,
    check_options,
    dataset_names,
    estimate,
    load_all,
    need_of,
    read_suite,
)

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.cluster.engine import Engine
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.runs.job import Options
    from xmcbench.runs.spec import DataKey, RunSpec

MOST_THREADS = 4096
EPILOG = """
Examples:

  xmcbench run elias tree popularity

  xmcbench run elias --dataset eurlex-4.3k --seeds 0,1,2

  xmcbench run 'elias[beam=10|20|40]' --set epochs=5 --json

  xmcbench run ovr 'ovr[tune]' tree --dataset eurlex-4.3k

  xmcbench run --method my_method.py:MyMethod

  xmcbench run elias tree --dataset mine --memory 16G --dry-run

  xmcbench run elias tree --seeds 0,1,2 --save-suite study.toml

  xmcbench run --suite study.toml

  xmcbench run --suite study.toml --on ray --address head:6379
"""
Methods = Annotated[
    list[str] | None,
    typer.Argument(autocompletion=completion.methods, help="Names, optionally with parameters as in 'elias[beam=20]'."),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option(autocompletion=completion.datasets, help=f"May be repeated. Default: {DEFAULT_DATASET}."),
]
Settings = Annotated[list[str] | None, typer.Option("--set", help="parameter=value[,value…]; several make a grid.")]

IN_SUITE = ("methods", "method", "dataset", "view", "settings", "seeds", "k", "metrics", "curve", "tune", "save_suite")


def run(
    context: typer.Context,
    methods: Methods = None,
    method: Annotated[list[str] | None, typer.Option(help="A class in a file: path/to/file.py:Class.")] = None,
    dataset: Datasets = None,
    view: DatasetView = None,
    settings: Settings = None,
    seeds: Annotated[str, typer.Option(help="Comma-separated seeds.")] = "0",
    k: Annotated[int, typer.Option(min=1, max=LARGEST_ID, help="Number of labels predicted per row.")] = 100,
    metrics: Metrics = None,
    suite: Annotated[Path | None, typer.Option(help="Run what a TOML file says, see docs/suites.md.")] = None,
    save_suite: Annotated[Path | None, typer.Option(help="Also write what is run to a TOML file.")] = None,
    results: Results = RESULTS,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="0: all cores.")] = 0,
    time_limit: Annotated[float | None, typer.Option(help="Time limit per run in seconds.")] = None,
    memory: Annotated[
        str | None, typer.Option(help="Memory limit per run, such as 16G. Default: what is free.")
    ] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Also run other values of query parameters.")] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Select parameters that aren't set, on validation rows.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Repeat finished runs from the start.")] = False,
    offline: Offline = False,
    keep_models: Annotated[bool, typer.Option("--keep-models", help="Keep fitted models in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, with time and memory, and stop.")] = False,
    on: Annotated[str | None, typer.Option("--on", help="ray or slurm: on a cluster, see docs/scale.md.")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster, HOST:PORT. Default: RAY_ADDRESS, or here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON record per line, and nothing else.")] = False,
) -> None:
    """Train and score methods on data sets. Each run writes a JSON record to the results folder.

    --tune tries the values shown by `xmcbench info METHOD`, never on test rows; 'ovr[tune]' does so for one method.
    """
    from xmcbench.cluster.start import check_cluster, connected, execute_on
    from xmcbench.metrics import parse_all
    from xmcbench.metrics.names import split
    from xmcbench.records.store import Store
    from xmcbench.runs.agreement import compared, facts_of, refuse_undivided
    from xmcbench.runs.job import Options
    from xmcbench.runs.memory import bytes_of
    from xmcbench.runs.plan import with_baseline
    from xmcbench.runs.suite import Suite, Table, write

    most = None if memory is None else bytes_of(memory, is_here=on is None)
    out = sys.stdout if as_json else None
    if as_json:  # what methods print, against the rules, is no record
        context.with_resource(redirect_stdout(sys.stderr))
    check_cluster(on, address)
    ranks = processes.start(device)
    if ranks is not None and on is not None:
        raise UsageError("--on is given to one of several processes", "Start the command without torchrun.")
    if ranks is not None:
        context.call_on_close(ranks.close)
    with compared(ranks) as facts:
        if suite is not None:
            chosen = read_suite(suite, _given(context))
            check_options(["suite"], device, time_limit)
        else:
            names = [*(methods or []), *(method or [])]
            check_options(names, device, time_limit)
            scored = tuple(str(name) for name in parse_all(split(metrics))) if metrics else ()
            datasets, numbers = tuple(dataset_names(dataset or [DEFAULT_DATASET])), tuple(_whole_numbers(seeds))
            set_ = tuple(settings or ())
            table = Table(tuple(with_baseline(names)), datasets, view, set_, numbers, tune=tune, curve=curve)
            chosen = Suite((table,), k, scored)
        plan = chosen.plan()
        refuse_undivided(plan, ranks)
        if save_suite is not None and processes.rank() == 0:
            write(chosen, save_suite)
        forbid_network(offline)
        console, store = make_console(stderr=as_json), Store(results)
        options = Options(
            device, threads, time_limit, again, chosen.metrics, keep_models=keep_models, memory=most, ranks=ranks
        )
        watcher = _Terminal(console, out)
        engine = context.with_resource(connected(on, address, results))
        try:
            data, failures = load_all(plan, offline, watcher)
            plan = [spec for spec in plan if spec.data in data]
            _announce(plan, data, store, options, console, engine)
        except KeyboardInterrupt as stop:  # later, execution makes a record of it
            console.print(explain(stop)[1])
            raise typer.Exit(1) from stop
        facts |= facts_of(plan, data, device)
    if dry_run:
        raise typer.Exit(1 if failures else 0)
    records, more = execute_on(engine, plan, data, store, options, watcher, console, offline=offline)
    failures += more
    _print_end(console, store, records, failures)
    if failures or any(record.status not in ("ok", "skipped") for record in records):
        raise typer.Exit(1)


def _given(context: typer.Context) -> list[str]:
    """What the user typed of that which a suite says."""
    given = (p for p in context.command.params if p.name in IN_SUITE and context.params[p.name or ""])
    typed = (p for p in given if str(context.get_parameter_source(p.name or "")) == "ParameterSource.COMMANDLINE")
    return [p.opts[0] if p.opts[0].startswith("-") else "methods" for p in typed]


def _print_end(console: Console, store: Store, records: list[Record], failures: list[Failure]) -> None:
    """Print the table of results, what has no record, and where records and reports are."""
    from xmcbench.cli.show import print_results

    console.print()
    print_results(console, records)
    for failure in failures:
        console.print(_failure(failure))
    console.print(safe(f"records: {store.folder / 'records'}"), soft_wrap=True)
    for path in dict.fromkeys(record.notes.get("report", "") for record in records):
        if path.endswith(".md"):
            console.print(safe(f"report: {store.folder / path}"), soft_wrap=True)


class _Terminal(Watcher):
    """Shows progress, one line per finished run, and failures. `out`: where to print records as JSON."""

    def __init__(self, console: Console, out: IO[str] | None) -> None:
        self.console, self.out = console, out

    def loading(self, name: str) -> AbstractContextManager[Reporter]:
        from xmcbench.running.progress import loading

        return loading(self.console, name)

    def running(self, name: str, position: str) -> AbstractContextManager[Reporter]:
        from xmcbench.running.progress import reporter

        return reporter(self.console, name, position)

    def finished(self, record: Record, reused: bool) -> None:
        from xmcbench.cli.show import line

        if record.status != "interrupted":  # the results, which follow at once, have its line with the reason
            self.console.print(line(record, reused))
        if self.out is not None:
            print(json.dumps(record.raw, allow_nan=False, sort_keys=True), file=self.out, flush=True)

    def kept(self, model: Path) -> None:
        self.console.print(safe(f"model: {model}"), soft_wrap=True)

    def failed(self, failure: Failure) -> None:
        self.console.print(_failure(failure))


def _failure(failure: Failure) -> str:
    """A line for what has no record, like that of a run that failed."""
    return f"[red]error[/] · {safe(failure.what)}: {safe(one_line(explain(failure.error)[1]))}"


def _whole_numbers(text: str) -> list[int]:
    """Parse seeds: "0,1,2" becomes [0, 1, 2]; a repeated seed counts once."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    valid = (part.isdecimal() and len(part) < 20 and int(part) <= LARGEST_SEED for part in parts)
    if not parts or not all(valid):
        problem = f"--seeds {text!r}: seeds are whole numbers from 0 to {LARGEST_SEED}"
        raise UsageError(problem, "Separate them by commas: --seeds 0,1,2.")
    return list(dict.fromkeys(map(int, parts)))


def _announce(
    plan: list[RunSpec],
    data: dict[DataKey, Dataset],
    store: Store,
    options: Options,
    console: Console,
    engine: Engine | None,
) -> None:
    """Print the runs of the plan, which of them are done, and estimates of the others' time and memory."""
    from xmcbench.cli.show import announced
    from xmcbench.cluster.tasks import device_of
    from xmcbench.memory import available, capacity
    from xmcbench.records.store import standing
    from xmcbench.runs.footprint import free_disk
    from xmcbench.runs.machine import pick_device

    records = store.records()
    done = set() if options.again else {record.spec_hash for record in standing(records)}
    too_large: list[str] = []
    disk = 0  # bytes that a run may write
    estimates: list[float | None] = []  # of the runs that are not done
    rows: list[tuple[object, ...]] = [("method", "data set", "seed", "time", "memory")]
    for spec in plan:
        dataset = data[spec.data]
        remaining, memory = "done", ""
        if engine is None:
            device = pick_device(options.device, spec.info.devices)
        else:
            device = device_of(spec, options.device, gpus=engine.gpus)
        if spec.spec_hash(dataset.content_hash, device) not in done:
            estimates.append(seconds := estimate(spec, dataset, records))
            remaining = "" if seconds is None else duration(seconds)
            need, refusal = need_of(spec, dataset, options, store)
            memory = "" if need is None else size(need.memory)
            disk = disk if need is None else max(disk, need.disk)
            if refusal is not None and engine is None:
                too_large.append(f"will be skipped: {spec.label} on {dataset.name}, seed {spec.seed}: it {refusal}")
        rows.append((spec.label, f"{dataset.name} ({dataset.view})", spec.seed, remaining, memory))
    shown = [i for i in range(len(rows[0])) if any(row[i] != "" for row in rows[1:])]  # what is unknown is not shown
    rows = [tuple(row[i] for i in shown) for row in rows]
    parts = [counted(len(plan), "run")]
    if n_done := len(plan) - len(estimates):
        parts.append(f"{n_done} already done")
    if known := [seconds for seconds in estimates if seconds is not None]:
        parts.append(f"about {duration(sum(known))}")
        if unknown := len(estimates) - len(known):
            parts[-1] += f" and {counted(unknown, 'run')} without an estimate"
    console.print("[bold]Plan[/]")
    print_table(rows, right=("seed", "time", "memory"), console=console)
    console.print(safe(f"{', '.join(parts)}; records go to {store.folder}"))
    given = "" if options.memory is None else f", the limit is {size(options.memory)} (--memory)"
    if engine is None:  # nodes have other memory and disks
        console.print(f"memory: {size(available())} of {size(capacity())} are free{given}")
        if disk:
            free = size(free_disk(store.folder))
            console.print(f"disk: {free} are free for the results, a run writes up to {size(disk)}")
    elif options.memory is not None:
        console.print(f"memory: each run requests {size(options.memory)} of its node (--memory)")
    for dataset in data.values():
        same_name = [r.dataset for r in records if (r.dataset.name, r.dataset.view) == (dataset.name, dataset.view)]
        if earlier := sum(part.content_hash != dataset.content_hash for part in same_name):
            count = f"{counted(earlier, 'record')} on {dataset.name} ({dataset.view})"
            console.print(safe(f"{count} with other content: they stay apart"))
    for line in [*too_large, *announced(plan)]:
        console.print(safe(line))
