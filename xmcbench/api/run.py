"""`xmcbench.run`: train and score methods from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.api.runs import Runs
from xmcbench.errors import Stopped, UsageError, XmcError, explain
from xmcbench.escaping import one_line
from xmcbench.running.plan import (
    DEFAULT_DATASET,
    Failure,
    Watcher,
    check_options,
    dataset_names,
    load_all,
    read_suite,
)

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.context import Reporter

LARGEST_SEED = 2**63 - 1  # that a record holds


class RunsFailed(XmcError):
    """At least one run failed; `runs` has all that have a record, those that ended ok among them."""

    def __init__(self, message: str, hint: str, runs: Runs) -> None:
        super().__init__(message, hint)
        self.runs = runs


class _Bars(Watcher):
    """One line on standard error that is updated, in a notebook below the cell; in a pipe, a line per phase."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def loading(self, name: str) -> AbstractContextManager[Reporter]:
        from xmcbench.running.progress import loading

        return loading(self.console, name)

    def running(self, name: str, position: str) -> AbstractContextManager[Reporter]:
        from xmcbench.running.progress import reporter

        return reporter(self.console, name, position)


def run(
    methods: str | Sequence[str] = (),
    *,
    suite: str | Path | None = None,
    dataset: str | Sequence[str] = DEFAULT_DATASET,
    view: str | None = None,
    parameters: Mapping[str, object] | None = None,
    seeds: Sequence[int] = (0,),
    k: int = 100,
    metrics: Sequence[str] = (),
    tune: bool = False,
    results: str | Path = "results",
    device: str = "auto",
    threads: int = 0,
    time_limit: float | None = None,
    memory: str | None = None,
    again: bool = False,
    keep_models: bool = False,
    offline: bool = False,
    on: str | None = None,
    address: str | None = None,
    progress: bool = True,
) -> Runs:
    """Train and score methods on data sets, as `xmcbench run` does; finished runs are not repeated.

    Parameters
    ----------
    methods : names, optionally with parameters: "elias", ["tree", "elias[beam=10|20]"], "file.py:Class".
    suite : a TOML file that says what is run, in place of `methods` to `tune`; `docs/suites.md` describes it.
    dataset : names of data sets.
    view : a view of the data set; None is its default view.
    parameters : parameter → value for every method that has it; a list of values makes one run each.
    seeds : whole numbers from 0. k : labels predicted per row. metrics : names; none is the standard set.
    tune : select parameters that are not set on validation rows.
    results : folder of the records. device : auto, cpu or cuda. threads : 0 is all cores.
    time_limit : seconds per run. memory : most memory of a run, such as "16G"; None is what is free.
    again : repeat finished runs. keep_models : keep fitted models in the folder.
    offline : use no network for data.
    on : "ray" or "slurm": execute the runs on a cluster, see `docs/scale.md`; None: in this process.
    address : of a Ray cluster, "HOST:PORT"; None: that in RAY_ADDRESS, or Ray is started on this machine.
    progress : show what is done, on standard error.

    Returns
    -------
    Runs : one `Run` per method and data set, each with all its seeds. A skipped run has the status "skipped".

    Raises
    ------
    UsageError : unknown name or parameter, a value that can't be, or no cluster can be used.
    RunsFailed : after all runs are done, if one of them failed; its `runs` has the others.
    KeyboardInterrupt : after Ctrl-C, when the record of the stopped run is written, or all nodes of the cluster were
        told to stop; the same call resumes.

    Examples
    --------
    >>> import xmcbench as xb
    >>> data = "synthetic[labels=60,rows=100,test=20]"
    >>> run = xb.run("popularity", dataset=data, progress=False)
    >>> 0 < run.scores["P@1"] < 1
    True
    """
    from xmcbench.cluster.start import check_cluster, connected, execute_on
    from xmcbench.metrics import parse_all
    from xmcbench.records.store import Store
    from xmcbench.runs.job import Options
    from xmcbench.runs.memory import bytes_of
    from xmcbench.runs.suite import Suite, Table

    seeds = seeds.tolist() if hasattr(seeds, "tolist") else seeds  # an array of numpy
    _check_numbers(seeds, k, threads, time_limit)
    if not isinstance(results, str | os.PathLike):
        raise UsageError(f"results {results!r}: the path of a folder")
    on, address = (None if value is None else str(value) for value in (on, address))
    check_cluster(on, address)
    most = None if memory is None else bytes_of(str(memory), is_here=on is None)
    if suite is not None:
        check_options(["suite"], device, time_limit)
        defaults: dict[str, object] = {"dataset": DEFAULT_DATASET, "seeds": (0,), "k": 100}
        values: dict[str, object] = {
            "methods": methods,
            "dataset": dataset,
            "view": view,
            "parameters": parameters,
            "seeds": seeds,
            "k": k,
        }
        values |= {"metrics": metrics, "tune": tune}
        chosen = read_suite(Path(suite), [n for n, value in values.items() if value and value != defaults.get(n)])
    else:
        names = _listed("methods", methods)
        check_options(names, device, time_limit)
        scored = tuple(str(name) for name in parse_all(_listed("metrics", metrics)))
        settings = tuple(f"{name}={_spelled(value)}" for name, value in (parameters or {}).items())
        if not (wanted := _listed("dataset", dataset)):
            raise UsageError(f"dataset {dataset!r}: no data set given", "`xmcbench ls datasets` lists all.")
        datasets = tuple(dataset_names(wanted))
        table = Table(tuple(names), datasets, view, settings, tuple(seeds), tune=tune)
        chosen = Suite((table,), k, scored)
    plan = chosen.plan()
    store = Store(Path(results))
    options = Options(device, threads, time_limit, again, chosen.metrics, keep_models=keep_models, memory=most)
    console = _console(quiet=not progress)
    watcher = _Bars(console) if progress else Watcher()
    with connected(on, address, store.folder) as engine:
        data, failures = load_all(plan, offline, watcher)
        plan = [spec for spec in plan if spec.data in data]
        records, more = execute_on(engine, plan, data, store, options, watcher, console, offline=offline)
    if any(record.status == "interrupted" for record in records):
        raise KeyboardInterrupt(records[-1].reason)
    if stopped := next((failure.error for failure in more if isinstance(failure.error, Stopped)), None):
        raise KeyboardInterrupt(stopped.message)
    runs = Runs.of(records, store.folder)
    _raise_failures(runs, [*failures, *more])
    return runs


def _raise_failures(runs: Runs, failures: Sequence[Failure]) -> None:
    lines = [f"{failure.what}: {one_line(explain(failure.error)[1])}" for failure in failures]
    for record in runs.records:
        if record.status not in ("ok", "skipped"):
            what = f"{record.method.label} on {record.dataset.name}, seed {record.seed}"
            lines.append(f"{what}, {record.status}: {one_line(record.reason or '')}")
    if lines:
        raise RunsFailed("\n".join(lines), "The attribute `runs` of this error has all runs with a record.", runs)


def _console(*, quiet: bool) -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, quiet=quiet)


def _listed(what: str, names: object) -> list[str]:
    """The names of an argument that takes one or several; None is none."""
    listed = [names] if isinstance(names, str) else [] if names is None else names
    if not isinstance(listed, Sequence) or not all(isinstance(name, str) for name in listed):
        raise UsageError(f"{what} {names!r}: a name or a list of names")
    return list(listed)


def _spelled(value: object) -> str:
    from xmcbench.runs.spec import spell

    return ",".join(map(spell, value)) if isinstance(value, list | tuple) else spell(value)


def _check_numbers(seeds: Sequence[int], k: int, threads: int, time_limit: float | None) -> None:
    is_list = isinstance(seeds, Sequence) and not isinstance(seeds, str)
    if not is_list or not seeds or not all(_whole(seed, 0, LARGEST_SEED) for seed in seeds):
        raise UsageError(f"seeds {seeds!r}: a list of whole numbers from 0 to {LARGEST_SEED}", "Such as [0, 1, 2].")
    if not _whole(k, 1, 2**31 - 1):
        raise UsageError(f"k {k!r}: a whole number from 1 to {2**31 - 1}")
    if not _whole(threads, 0, 4096):
        raise UsageError(f"threads {threads!r}: a whole number from 0 to 4096", "0 is all cores.")
    if isinstance(time_limit, bool) or not isinstance(time_limit, int | float | None):
        raise UsageError(f"--time-limit {time_limit!r}: a number of seconds, or None for no limit")


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
