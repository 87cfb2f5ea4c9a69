"""Connect to a cluster and execute a plan on it, for `xmcbench.run` and for the command `run`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.errors import UsageError, install_extra
from xmcbench.running.plan import Failure, Watcher, execute_plan

if TYPE_CHECKING:
    from rich.console import Console

    from xmcbench.cluster.engine import Engine
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.runs.job import Options
    from xmcbench.runs.spec import DataKey, RunSpec

EXTRAS = {"ray": "ray", "slurm": "submitit"}  # what `--on` names → the extra that it needs


def check_cluster(on: str | None, address: str | None) -> None:
    """Raise UsageError if there is no such kind of cluster, or if it has no address."""
    if on is not None and on not in EXTRAS:
        raise UsageError(f"--on {on!r} is no kind of cluster", f"Valid: {', '.join(EXTRAS)}.")
    if address is not None and on is None:
        raise UsageError("--address is given without --on", "Add --on ray.")
    if address is not None and on != "ray":
        raise UsageError("--address is the address of a Ray cluster", "Leave it out; Slurm has its own settings.")


@contextmanager
def connected(on: str | None, address: str | None, results: Path) -> Iterator[Engine | None]:
    """The engine that executes the tasks of a plan, None for this process; what it holds here is freed after the block.

    Parameters
    ----------
    on : "ray", "slurm", or None. address : of a Ray cluster; None: RAY_ADDRESS, or Ray on this machine.
    results : the results folder.

    Raises
    ------
    UsageError : as `check_cluster`; a package is not installed, or no cluster can be used.
    """
    check_cluster(on, address)
    if on is None:
        yield None
        return
    engine = _engine(on, address, results)
    try:
        yield engine
    finally:
        engine.close()


def _engine(on: str, address: str | None, results: Path) -> Engine:
    try:
        if on == "ray":
            from xmcbench.cluster.ray_engine import RayEngine

            return RayEngine(address)
        from xmcbench.cluster.slurm_engine import SlurmEngine

        return SlurmEngine(results)
    except ImportError as error:
        extra = EXTRAS[on]
        raise UsageError(f"{extra} is not installed", f"Install the extra `{extra}`: {install_extra(extra)}") from error


def execute_on(
    engine: Engine | None,
    plan: list[RunSpec],
    data: dict[DataKey, Dataset],
    store: Store,
    options: Options,
    watcher: Watcher,
    console: Console,
    *,
    offline: bool,
) -> tuple[list[Record], list[Failure]]:
    """Execute the plan, in this process if `engine` is None: see `execute_plan` and `Driver.execute`.

    Parameters
    ----------
    console : where the progress of a cluster is shown. offline : nodes use no network for data.
    """
    if engine is None:
        return execute_plan(plan, data, store, options, watcher)
    from xmcbench.cluster.driver import Driver
    from xmcbench.cluster.table import ProgressTable

    return Driver(engine, store, options, watcher, ProgressTable(console), offline=offline).execute(plan, data)
