"""Execute a plan on a cluster: distribute its tasks, show their progress, add their results to one results folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from xmcbench.cluster.engine import Ended, Engine, Event, Lost, NoNode, Report
from xmcbench.cluster.node import reason_of
from xmcbench.cluster.tasks import Group, Task, device_of, groups_of, task_of
from xmcbench.errors import DataError, Stopped, WriteError, XmcError, counted, explain
from xmcbench.escaping import one_line
from xmcbench.locks import Busy
from xmcbench.method import Machine
from xmcbench.models.folder import has_model
from xmcbench.records.execution import with_metrics
from xmcbench.records.leftovers import remove_finished, running
from xmcbench.records.store import standing
from xmcbench.running.plan import Failure, Watcher
from xmcbench.runs.footprint import advice
from xmcbench.runs.work_folder import reserved

if TYPE_CHECKING:
    from xmcbench.cluster.table import ProgressTable
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store
    from xmcbench.runs.job import Options
    from xmcbench.runs.spec import DataKey, RunSpec

QUEUED = 400  # tasks at once: each holds a lock, and a process may open 1,024 files; an array of Slurm has 1,000 jobs
ATTEMPTS = 4  # at a task whose node or process died each time


@dataclass
class _Active:
    """A task that is queued or executed. `refused`: node → why; `lost`: nodes that it was lost on, and how often."""

    task: Task
    refused: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)


class Driver:
    """Executes a plan on the nodes of an engine.

    A process that executes one of the runs, here or for another command, keeps all others from executing it: a lock in
    the results folder. Where the nodes write to the results folder themselves, they hold that lock.
    """

    def __init__(
        self, engine: Engine, store: Store, options: Options, watcher: Watcher, table: ProgressTable, *, offline: bool
    ) -> None:
        self.engine, self.store, self.watcher, self.table, self.offline = engine, store, watcher, table, offline
        self.options = replace(options, threads=options.threads or engine.cores)
        self.records: dict[str, Record] = {}  # by the hash of the run
        self.failures: list[Failure] = []
        self.active: dict[int, _Active] = {}
        self.locks: dict[int, ExitStack] = {}
        self.noted: set[str] = set()

    def execute(self, plan: Sequence[RunSpec], data: Mapping[DataKey, Dataset]) -> tuple[list[Record], list[Failure]]:
        """Execute the plan until the user stops it; returns the records in its order, and what has none.

        Raises
        ------
        UsageError : a class in a file, or a device that no node has.
        WriteError : the results folder can't be written.
        """
        self.data = data
        self.waiting = groups_of(plan, data, self.options.device, gpus=self.engine.gpus)
        self.table.total = len(plan)
        devices = [device_of(spec, self.options.device, gpus=self.engine.gpus) for spec in plan]
        order = [s.spec_hash(data[s.data].content_hash, device) for s, device in zip(plan, devices, strict=True)]
        works = [self.store.work(group.fit_hash) for group in self.waiting]
        try:
            with running(self.store.folder, works), self.table:
                while self.waiting or self.active:
                    self._start()
                    for event in self.engine.events():
                        self._handle(event)
        except KeyboardInterrupt as error:
            self.table.note("stopping: runs save what they need to resume")
            self.engine.cancel()
            left = sum(len(group.specs) for group in self.waiting) + sum(len(a.task.runs) for a in self.active.values())
            self.failures.append(Failure(f"{counted(left, 'run')} not finished", Stopped(explain(error)[1])))
        except BaseException:
            self.engine.cancel()
            raise
        else:
            remove_finished(self.store.folder, ())  # nodes that share the folder can't, while this process uses it
        finally:
            for lock in self.locks.values():
                lock.close()
        return [self.records[spec_hash] for spec_hash in order if spec_hash in self.records], self.failures

    def _start(self) -> None:
        """Queue groups that no other process executes, except for the runs that are done."""
        if len(self.active) > QUEUED // 2:
            return
        free: list[Group] = []
        self.table.waiting = 0
        for group in self.waiting:
            if len(self.active) + len(free) == QUEUED:
                break
            if self._locked(group):
                free.append(group)
            else:
                self.table.waiting += len(group.specs)
        if not free:
            return
        done = {record.spec_hash: record for record in standing(self.store.records())}  # read when it is locked
        new: list[Task] = []
        for group in free:
            self.waiting.remove(group)
            dataset = self.data[group.specs[0].data]
            left = tuple(spec for spec in group.specs if not self._reused(spec, group, dataset, done))
            if left:
                new.append(task_of(group._replace(specs=left), dataset, done, self.options, offline=self.offline))
                self.active[group.number] = _Active(new[-1])
                self.table.names[group.number] = _name(left)
            else:
                self._unlock(group.number)
        try:
            self.engine.submit(new, ())
        except NoNode:
            for task in new:
                self._submit(task.number)

    def _locked(self, group: Group) -> bool:
        stack = ExitStack()
        if not self.engine.shares_folder:
            try:
                stack.enter_context(reserved(self.store.work(group.fit_hash)))
            except Busy:
                return False
        self.locks[group.number] = stack
        return True

    def _unlock(self, number: int) -> None:
        self.locks.pop(number).close()

    def _reused(self, spec: RunSpec, group: Group, dataset: Dataset, done: Mapping[str, Record]) -> bool:
        """Whether the run has a record that is complete, or can't be completed."""
        spec_hash = spec.spec_hash(dataset.content_hash, group.device)
        old = None if self.options.again else done.get(spec_hash)
        if old is None or (self.options.keep_models and not has_model(old, self.store)):
            return False
        try:
            record, reused = with_metrics(old, dataset, self.store, self.options)
        except XmcError as error:
            self._fail([spec], error)
        else:
            self._finished(record, reused)
        return True

    def _submit(self, number: int) -> None:
        """Queue a task for a node that did not refuse it, if possible for one that it was not lost on."""
        active = self.active[number]
        try:
            try:
                self.engine.submit([active.task], {*active.refused, *active.lost})
            except NoNode:
                if not active.lost:
                    raise
                self.engine.submit([active.task], active.refused)
        except XmcError as error:
            fault = error
            if reasons := "; ".join(f"node {node}: {one_line(why)}" for node, why in active.refused.items()):
                fault = XmcError(f"no node can execute it: {reasons}")
            elif isinstance(error, NoNode) and error.memory:
                fault = XmcError(error.message, self._advice(active.task, error))
            self._give_up(number, fault)

    def _advice(self, task: Task, error: NoNode) -> str:
        """The hint of a task that requests more memory than a node has, with the parameter that helps."""
        if self.options.memory is not None:
            return f"Give at most that: --memory. {error.hint}"
        spec, machine = task.specs()[0], Machine(task.options.threads, task.options.device)
        helps = advice(spec, self.data[spec.data].facts(), machine, error.memory, None)
        return f"{error.hint} Or: {helps}."

    def _handle(self, event: Event) -> None:
        if isinstance(event, Report):
            self.table.report(event.number, event.state)
        elif isinstance(event, Ended):
            self._ended(event)
        elif isinstance(event, Lost):
            self._lost(*event)
        else:
            self.table.note(event.text)

    def _ended(self, event: Ended) -> None:
        number, outcome = event
        if outcome.stopped:
            self._lost(number, "its process was told to stop")
            return
        self.table.ended(number)
        if outcome.refused:
            text = f"node {outcome.node} can't execute a run: {one_line(outcome.refused)}"
            if text not in self.noted:
                self.noted.add(text)
                self.table.note(text)
            self.active[number].refused[outcome.node] = outcome.refused
            self._submit(number)
            return
        try:
            results = self.engine.results(number, outcome, self.store)
        except WriteError:  # nothing could be recorded
            raise
        except DataError as error:
            self._lost(number, reason_of(error))
            return
        for record, model in results:
            self._finished(record, False)
            if model is not None:
                self.watcher.kept(model)
        for what, why in outcome.failures:
            self._add_failure(Failure(f"{what} (node {outcome.node})", XmcError(why)))
        del self.active[number]
        self._unlock(number)

    def _lost(self, number: int, why: str, node: str = "") -> None:
        active, node = self.active[number], node or self.table.node(number) or "unknown node"
        self.table.ended(number)
        active.lost.append(node)
        fault = f"{self.table.names[number]}: lost on {node}: {one_line(why)}"
        if len(active.lost) < ATTEMPTS:
            self.table.note(f"{fault}; it is started again")
            self._submit(number)
        else:
            hint = "Its node or process died each time: too little memory, perhaps."
            self._give_up(number, XmcError(f"lost {ATTEMPTS} times, on {', '.join(active.lost)}; at last: {why}", hint))

    def _give_up(self, number: int, error: XmcError) -> None:
        active = self.active.pop(number)
        self._fail(active.task.specs(), error)
        self._unlock(number)

    def _finished(self, record: Record, reused: bool) -> None:
        self.records[record.spec_hash] = record
        self.table.done += 1
        self.watcher.finished(record, reused)

    def _fail(self, specs: Sequence[RunSpec], error: XmcError) -> None:
        for spec in specs:
            self._add_failure(Failure(f"{_name([spec])}, no record", error))

    def _add_failure(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.watcher.failed(failure)


def _name(specs: Sequence[RunSpec]) -> str:
    """Runs of one fit as users read them."""
    first = specs[0]
    seed = "" if first.info.deterministic else f", seed {first.seed}"
    return f"{' and '.join(spec.label for spec in specs)} on {first.dataset}{seed}"
