"""What a node does with a task: check that it makes the same runs, load the data, execute the runs.

A node that can't execute a task refuses it and says why; another node may then have it. A run that fails has a record,
as it would have on one machine.
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from xmcbench.amounts import duration, size
from xmcbench.cluster.tasks import Code, Task, code_of
from xmcbench.data import load
from xmcbench.errors import DISK_FULL, DataError, XmcError, explain
from xmcbench.escaping import plain_text
from xmcbench.memory import available
from xmcbench.method import Machine
from xmcbench.running.plan import Watcher, execute_plan
from xmcbench.running.progress import RunReporter
from xmcbench.running.progress_line import Line
from xmcbench.runs.footprint import free_disk, of_run

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.records.store import Store
    from xmcbench.runs.spec import RunSpec

CLOCKS = 3600.0  # seconds that clocks may differ by: records are ordered by the time at which their run started
PULSE = 1.0  # seconds between reports of progress


class State(msgspec.Struct, frozen=True):
    """What a node does at this moment: its name, which attempt at the task it is, and a line of progress."""

    node: str
    attempt: str
    line: Line


class Outcome(msgspec.Struct, frozen=True):
    """How a task ended on a node.

    Attributes
    ----------
    node : its name.
    run_ids : of the new records.
    failures : (what has no record or no model, why).
    refused : why the node can't execute the task; "" if it did.
    stopped : a signal ended it, and it can be resumed.
    """

    node: str
    run_ids: tuple[str, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    refused: str = ""
    stopped: bool = False


Publish = Callable[[State], float]  # returns the time of a clock that all nodes share, in seconds since the epoch


def perform(task: Task, store: Store, node: str, attempt: str, publish: Publish, *, is_shared: bool = True) -> Outcome:
    """Execute a task in the results folder `store`, and publish its progress each second.

    Parameters
    ----------
    node : name of this machine. attempt : differs between attempts at the task.
    publish : sends the state to where the command was given; its exceptions are ignored once the runs have begun.
    is_shared : all nodes use this results folder; else a run that does not fit this node's disk or free memory is
        refused, since another node may have more.
    """
    pulse = Pulse(node, attempt, publish, task)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as `xmcbench.cli.main` does, before OpenMP is loaded
    try:
        check_code(task.code, code_of(task.code.origins))
        check_clock(publish(pulse.state))
        with pulse.beating():
            dataset = _data(task, pulse)
            outcome, skipped = _executed(task, dataset, store, pulse)
            if not is_shared:
                _check_room(skipped, dataset, store, task)
            return outcome
    except (XmcError, OSError) as error:
        return Outcome(node, refused=reason_of(error))


def check_code(expected: Code, found: Code) -> None:
    """Raise XmcError if this node has other code than the machine where the command was given."""
    pairs = [("Python", expected.python, found.python), ("xmcbench", expected.xmcbench, found.xmcbench)]
    if expected.commit is not None and found.commit is not None:
        pairs.append(("commit", expected.commit[:12], found.commit[:12]))
    pairs += [(f"method {name}", origin, found.origins[name]) for name, origin in expected.origins.items()]
    if differing := [f"{what} is {there} here and {here} there" for what, here, there in pairs if here != there]:
        fault = f"its code differs from that where the command was given: {'; '.join(differing)}"
        raise XmcError(fault, "Install the same versions on all nodes.")


def check_clock(shared: float) -> None:
    """Raise XmcError if the clock of this node is far from the one that all nodes share."""
    if abs(ahead := time.time() - shared) > CLOCKS:
        fault = f"its clock is {duration(abs(ahead))} {'ahead' if ahead > 0 else 'behind'}"
        raise XmcError(fault, "Set the clock; records are ordered by time.")


def _data(task: Task, pulse: Pulse) -> Dataset:
    """The data set of a task, from this node's cache or made anew; XmcError if it has another content."""
    with pulse.loading(task.dataset) as progress:
        dataset = load(task.dataset, task.view, offline=task.offline, progress=progress)
    if dataset.content_hash != task.content_hash:
        fault = f"data set {task.dataset} has another content here: {_short(dataset.content_hash)} instead of "
        hint = f"`xmcbench data clean {task.dataset}` or `xmcbench data remove {task.dataset}` makes room for it."
        raise DataError(fault + _short(task.content_hash), hint)
    return dataset


def _short(content_hash: str) -> str:
    return content_hash.removeprefix("sha256:")[:12]


def _executed(task: Task, dataset: Dataset, store: Store, pulse: Pulse) -> tuple[Outcome, list[RunSpec]]:
    """How the task ended, and the runs that were skipped."""
    specs = task.specs()
    for spec, part in zip(specs, task.runs, strict=True):
        if spec.spec_hash(dataset.content_hash, task.options.device) != part.spec_hash:
            raise XmcError(f"{spec.label}: its code makes another run of it", "Install the same versions on all nodes.")
    words, sys.argv = sys.argv, shlex.split(task.command)  # records hold the command
    try:
        options = replace(task.options, node=pulse.state.node)
        records, failures = execute_plan(specs, {specs[0].data: dataset}, store, options, pulse)
    finally:
        sys.argv = words
    if full := next((r for r in records if r.status == "error" and DISK_FULL in (r.reason or "")), None):
        raise DataError(f"{full.method.label}: {full.reason}", "Free some space on this node.")
    outcome = Outcome(
        pulse.state.node,
        tuple(record.run_id for record in records),
        tuple((failure.what, reason_of(failure.error)) for failure in failures),
        stopped=any(record.status == "interrupted" for record in records),
    )
    skipped = {record.spec_hash for record in records if record.status == "skipped"}
    return outcome, [s for s, part in zip(specs, task.runs, strict=True) if part.spec_hash in skipped]


def _check_room(skipped: Sequence[RunSpec], dataset: Dataset, store: Store, task: Task) -> None:
    """Raise DataError if one of these runs was skipped for what this node lacks, and not for a given limit."""
    machine, options = Machine(task.options.threads, task.options.device), task.options
    for spec in skipped:
        need = of_run(spec, dataset.facts(), machine)
        if need is None:
            continue
        if need.disk > (free := free_disk(store.folder)):
            fault = (
                f"{spec.label} writes up to {size(need.disk)}, and {size(free)} are free on the disk of {store.folder}"
            )
            raise DataError(fault, "Free some space there, or start Ray on this node with XMCBENCH_HOME elsewhere.")
        if options.memory is None and need.memory > (free := available()):
            fault = f"{spec.label} needs about {size(need.memory)} of memory, and {size(free)} are available"
            raise DataError(fault, "End other programs on this node, or add a node with more memory.")


def reason_of(error: Exception) -> str:
    """An error with its hint, as text that can be sent."""
    return plain_text(error if isinstance(error, XmcError) else explain(error)[1])


class Pulse(Watcher):
    """Publishes the line of the run that is executed, from a thread of its own."""

    def __init__(self, node: str, attempt: str, publish: Publish, task: Task) -> None:
        self.node, self.attempt, self.publish, self.task = node, attempt, publish, task
        self.reporter = self._reporter(f"data set {task.dataset}")

    @property
    def state(self) -> State:
        """What the node does now."""
        return State(self.node, self.attempt, self.reporter.line())

    def loading(self, name: str) -> AbstractContextManager[Reporter]:
        self.reporter = self._reporter(f"data set {name}")
        return self.reporter

    def running(self, name: str, position: str) -> AbstractContextManager[Reporter]:
        self.reporter = self._reporter(f"{name}, seed {self.task.runs[0].seed}")
        return self.reporter

    def _reporter(self, name: str) -> RunReporter:
        reporter = RunReporter(Console(quiet=True), name, f"on {self.node}")
        reporter.phase("starting")
        return reporter

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Publish the state each second in the block. What can't be sent is left out: it must not fail a run."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(PULSE):
                with suppress(Exception):
                    self.publish(self.state)

        thread = threading.Thread(target=beat, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(5 * PULSE)
