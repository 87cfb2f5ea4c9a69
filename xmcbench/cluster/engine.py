"""What distributes tasks to machines: the part that Ray and Slurm have in common."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from xmcbench.cluster.node import Outcome, State
from xmcbench.cluster.tasks import Task
from xmcbench.errors import XmcError
from xmcbench.records.record import Record
from xmcbench.records.store import Store


class NoNode(XmcError):
    """No node of the cluster can have the task.

    Attributes
    ----------
    memory : bytes of memory that a run can have at most, if it requests more; else 0.
    """

    def __init__(self, message: str, hint: str = "", memory: int = 0) -> None:
        super().__init__(message, hint)
        self.memory = memory


class Report(NamedTuple):
    """The state of a task."""

    number: int
    state: State


class Ended(NamedTuple):
    """A node executed or refused a task."""

    number: int
    outcome: Outcome


class Lost(NamedTuple):
    """A task ended without an outcome: its node left, its process was killed. `node`: its name, "" if unknown."""

    number: int
    why: str
    node: str = ""


class Note(NamedTuple):
    """Something about the cluster that a user should know, such as a node that left."""

    text: str


Event = Report | Ended | Lost | Note


class Engine(Protocol):
    """Executes tasks on the nodes of a cluster.

    Attributes
    ----------
    cores : of the smallest node. gpus : whether a node has any.
    shares_folder : nodes write into the results folder themselves, and lock what they execute there.
    """

    cores: int
    gpus: bool
    shares_folder: bool

    def submit(self, tasks: Sequence[Task], avoid: Collection[str]) -> None:
        """Queue tasks for any node but those to `avoid`.

        Raises NoNode: none of the others can have one of them; none is queued.
        """

    def events(self) -> list[Event]:
        """What happened; waits up to a second for it."""

    def results(self, number: int, outcome: Outcome, store: Store) -> list[tuple[Record, Path | None]]:
        """Add the results of an ended task to the results folder; returns records and kept models.

        Raises DataError: they can't be fetched, or the folder can't be written.
        """

    def cancel(self) -> None:
        """Stop all tasks, after a moment to save what they need to resume."""

    def close(self) -> None:
        """Free what the engine holds on this machine."""
