"""A plan with its data, and an engine that is no cluster: its nodes are functions of the test."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import pytest

from xmcbench.cluster import parcels
from xmcbench.cluster.engine import Ended, Event, Lost, NoNode, Report
from xmcbench.cluster.node import Outcome
from xmcbench.cluster.tasks import Task
from xmcbench.data import load
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs.plan import make_plan
from xmcbench.runs.spec import RunSpec

SMALL = "synthetic[labels=60,rows=100,test=20]"
Node = Callable[[Task, str], Outcome | str]  # (task, name of the node) → outcome, or why the task is lost


def plan_of(*methods: str, **options: Any) -> list[RunSpec]:
    return make_plan(methods, [load(SMALL).name], baseline=False, **options)


def honest(task: Task, node: str) -> Outcome:
    """Stands for a node that executes its tasks; `Nodes` does so, since it needs the files too."""
    raise NotImplementedError


class Nodes:
    """An engine whose nodes take tasks in turn.

    Attributes
    ----------
    submitted : (number of the task, nodes to avoid) in order.
    """

    cores, gpus, shares_folder = 1, False, False

    def __init__(self, **nodes: Node) -> None:
        self.nodes, self.queue = nodes, deque[tuple[Task, set[str]]]()
        self.submitted: list[tuple[int, set[str]]] = []
        self.cancelled, self.turn = False, 0
        self.memory = 0  # bytes of the largest node; 0 is enough for all

    def submit(self, tasks: Sequence[Task], avoid: Collection[str]) -> None:
        if not set(self.nodes) - set(avoid):
            raise NoNode("no other node", "Add one.")
        if self.memory and tasks[0].memory > self.memory:
            raise NoNode("too much memory", "Add a larger node.", self.memory)
        for task in tasks:
            self.queue.append((task, set(avoid)))
            self.submitted.append((task.number, set(avoid)))

    def events(self) -> list[Event]:
        if not self.queue:
            return []
        task, avoid = self.queue.popleft()
        self.task = task
        names = [name for name in self.nodes if name not in avoid]
        node, self.turn = names[self.turn % len(names)], self.turn + 1
        states: list[Any] = []
        self.files: parcels.Files = []

        def publish(state: Any) -> float:
            states.append(state)
            return time.time()

        if self.nodes[node] is honest:
            ended, self.files = parcels.perform_apart(task, node, f"attempt {self.turn}", publish, None)
        else:
            ended = self.nodes[node](task, node)
        reports = [Report(task.number, states[0])] if states else []
        return [*reports, Lost(task.number, ended) if isinstance(ended, str) else Ended(task.number, ended)]

    def results(self, number: int, outcome: Outcome, store: Store) -> list[tuple[Record, Path | None]]:
        received = parcels.receive(self.files, outcome, store)
        parcels.forget(self.task.fit_hash)
        return received

    def cancel(self) -> None:
        self.cancelled = True

    def close(self) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")
