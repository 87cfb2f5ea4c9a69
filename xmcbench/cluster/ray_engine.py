"""Tasks on a Ray cluster; results come back through its object store.

Ray moves Python objects as pickles between the nodes of one cluster, so connect to clusters of people you trust only.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    OutOfDiskError,
    OutOfMemoryError,
    OwnerDiedError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, NodeLabelSchedulingStrategy, NotIn

from xmcbench.cluster import parcels
from xmcbench.cluster.engine import Ended, Event, Lost, NoNode, Note, Report
from xmcbench.cluster.node import Outcome, State
from xmcbench.cluster.tasks import Resources, Task
from xmcbench.data.imported import is_imported
from xmcbench.errors import DataError, UsageError, counted
from xmcbench.escaping import one_line
from xmcbench.records.record import Record
from xmcbench.records.store import Store

WAIT = 1.0  # seconds of `events`
LOOK = 0.05  # seconds between two looks at the tasks
ANSWER = 60.0  # seconds within which the actor that keeps the states must answer
TRANSFER = 3600.0  # seconds within which the files of an import must arrive at a node, or results come back
CONNECT = 10.0  # seconds that a cluster has to answer at its address
GRACE = 15.0  # seconds that cancelled runs have to save what they need to resume, and nodes to remove what was fetched
NODE_ID = "ray.io/node-id"  # label of every node
VARIABLE = "RAY_ADDRESS"  # of the environment, which Ray's own tools read too
HERE = "local"  # Ray's word for a new cluster on this machine
LISTENER = "ray_listen_error_messages"  # name of the thread in which Ray prints what happens to its nodes
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


REASONS = (  # in place of Ray's words, which are a paragraph of possible causes
    (NodeDiedError, "the node died, or can't be reached"),
    (WorkerCrashedError, "its process was killed"),
    (OutOfMemoryError, "Ray ended it, since the memory of the node ran out"),
    (OutOfDiskError, "the disk of the node is full"),
    (OwnerDiedError, "the process that had its results died"),
    (ObjectLostError, "the node that had its results died"),
)


class _WithoutRay:
    """A stream without what Ray's thread prints there, such as ends of logs, which would come between lines of JSON."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write `text` unless it is Ray's."""
        return len(text) if threading.current_thread().name == LISTENER else int(self.stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _States:
    """An actor on the machine where the command was given: the newest state of each task, and the common clock."""

    def __init__(self) -> None:
        self.states: dict[int, bytes] = {}

    def put(self, number: int, state: bytes) -> float:
        self.states[number] = state
        return time.time()

    def take(self) -> dict[int, bytes]:
        states, self.states = self.states, {}
        return states


class _Cleaner:
    """An actor on a node that removes what was fetched. A task would start a process each time, beside the runs."""

    def forget(self, fit: str) -> None:
        parcels.forget(fit)


def _work(text: bytes, states: Any, imports: list[Any]) -> tuple[tuple[bytes, str], parcels.Files]:
    """Execute a task on this node: returns (its outcome, the node's id) and its files.

    `imports` has the reference of the files of an imported data set, which are fetched only where it is missing.
    """
    if threading.current_thread() is threading.main_thread():  # Ray cancels by SIGINT, which jobs of a script ignore
        signal.signal(signal.SIGINT, signal.default_int_handler)
    task = msgspec.json.decode(text, type=Task)
    context = ray.get_runtime_context()
    node_id = context.get_node_id()

    def publish(state: State) -> float:
        return float(_fetched(states.put.remote(task.number, msgspec.json.encode(state)), ANSWER))

    fetch = (lambda: _fetched(imports[0], TRANSFER)) if imports else None
    outcome, files = parcels.perform_apart(task, name_of(node_id), uuid.uuid4().hex, publish, fetch)
    return (msgspec.json.encode(outcome), node_id), files


def _fetched(reference: Any, seconds: float) -> Any:
    """The object of a reference; raises TimeoutError.

    Not by `ray.get`: while a task waits there, Ray gives its cores to another task, and in the driver it makes a
    KeyboardInterrupt of every signal.
    """
    try:
        return reference.future().result(seconds)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"nothing arrived within {seconds:.0f} s") from error


def name_of(node_id: str) -> str:
    """The name of a node: what `ray start --node-name` gave it, else that of its host."""
    return next((_name(node) for node in ray.nodes() if node["NodeID"] == node_id), node_id[:8])


def _name(node: dict[str, Any]) -> str:
    name, host = node.get("NodeName") or "", node.get("NodeManagerHostname") or node["NodeID"][:8]
    return str(host if name in ("", node.get("NodeManagerAddress")) else name)


class RayEngine:
    """See `xmcbench.cluster.engine.Engine`."""

    shares_folder = False

    def __init__(self, address: str | None) -> None:
        """Connect to the cluster at `address`, HOST:PORT or "auto"; None: at RAY_ADDRESS, or start Ray on this machine.

        Raises UsageError: no cluster answers there, or it has other versions of Ray or Python.
        """
        _connect(address)
        self.quiet = ExitStack()
        self.quiet.enter_context(redirect_stdout(_WithoutRay(sys.stdout)))
        alive = self.alive = self._alive()
        self.cores = int(min((node["Resources"]["CPU"] for node in alive.values() if _cores(node)), default=1))
        self.gpus = any(node["Resources"].get("GPU", 0) >= 1 for node in alive.values())
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.states = ray.remote(_States).options(num_cpus=0, scheduling_strategy=here).remote()
        self.pending: dict[Any, int] = {}  # reference of an outcome → number of its task
        self.files: dict[int, tuple[Any, str, str]] = {}  # number → (reference, fit, node) of what can be fetched
        self.tasks: dict[int, tuple[Task, Any]] = {}
        self.imports: dict[str, Any] = {}
        self.cleaners: dict[str, Any] = {}  # by the id of their node
        self.cleaning: list[Any] = []  # references of what they do

    def submit(self, tasks: Sequence[Task], avoid: Collection[str]) -> None:
        avoided = [node_id for node_id, node in self._alive().items() if _name(node) in avoid]
        for task in tasks:
            self._check(task.resources, avoided)
        for task in tasks:
            options: dict[str, Any] = {
                "num_cpus": task.resources.threads,
                "num_gpus": task.resources.gpus,
                "memory": task.resources.memory,
                "num_returns": 2,
                "max_retries": 0,  # the driver repeats it, and shows that it does
            }
            if avoided:
                options["scheduling_strategy"] = NodeLabelSchedulingStrategy({NODE_ID: NotIn(*avoided)})
            work = ray.remote(_work).options(**options)
            outcome, files = work.remote(msgspec.json.encode(task), self.states, self._import(task.dataset))
            self.pending[outcome] = task.number
            self.tasks[task.number] = task, files

    def _import(self, name: str) -> list[Any]:
        """The reference of the files of an imported data set, which are put into the object store once."""
        if not is_imported(name):
            return []
        if name not in self.imports:
            self.imports[name] = ray.put(parcels.pack_import(name))
        return [self.imports[name]]

    def _check(self, need: Resources, avoided: Collection[str]) -> None:
        able = [node for node_id, node in self._alive().items() if node_id not in avoided]
        wanted = {"CPU": need.threads, "GPU": need.gpus, "memory": need.memory}
        if not any(all(node["Resources"].get(kind, 0) >= n for kind, n in wanted.items()) for node in able):
            most = max(able, key=_cores, default=None)
            has = (
                "there is no other node"
                if most is None
                else f"the largest, {_name(most)}, has {_described(most['Resources'])}"
            )
            memory = max((node["Resources"].get("memory", 0) for node in able), default=need.memory)
            short = int(memory) if need.memory > memory else 0
            hint = "Add a node with more memory." if short else "Add a node, or ask for less: --threads."
            raise NoNode(f"a run requests {_described(wanted)}; {has}", hint, short)

    def events(self) -> list[Event]:
        events: list[Event] = []
        ready = self._ready()
        with suppress(RayError, TimeoutError):
            states = _fetched(self.states.take.remote(), ANSWER)
            events += [Report(n, msgspec.json.decode(state, type=State)) for n, state in states.items()]
        for reference in ready:
            events.append(self._ended(reference, self.pending.pop(reference)))
        now, before = self._alive(), self.alive
        events += [Note(f"node {_name(before[one])} left the cluster") for one in before.keys() - now.keys()]
        events += [Note(f"node {_name(now[one])} joined the cluster") for one in now.keys() - before.keys()]
        self.alive = now
        return events

    def _ready(self) -> list[Any]:
        """The tasks that have ended, as soon as there is one, or none after `WAIT` seconds.

        It sleeps in Python, where a signal raises what it should: Ray makes a KeyboardInterrupt of all of them.
        """
        end = time.monotonic() + WAIT
        while True:
            ready: list[Any] = ray.wait(list(self.pending), timeout=0)[0] if self.pending else []
            if ready or time.monotonic() >= end:
                return ready
            time.sleep(LOOK)

    def _ended(self, reference: Any, number: int) -> Event:
        task, files = self.tasks.pop(number)
        try:
            text, node_id = _fetched(reference, TRANSFER)
        except (RayError, TimeoutError) as error:
            return Lost(number, _reason(error))
        self.files[number] = files, task.fit_hash, node_id
        return Ended(number, msgspec.json.decode(text, type=Outcome))

    def results(self, number: int, outcome: Outcome, store: Store) -> list[tuple[Record, Path | None]]:
        reference, fit, node_id = self.files.pop(number)
        try:
            files = _fetched(reference, TRANSFER)
        except (RayError, TimeoutError) as error:
            fault = f"the results of node {outcome.node} can't be fetched: {_reason(error)}"
            raise DataError(fault, "Run the same command again.") from error
        received = parcels.receive(files, outcome, store)
        if node_id not in self.cleaners:
            there = NodeAffinitySchedulingStrategy(node_id, soft=False)
            self.cleaners[node_id] = ray.remote(_Cleaner).options(num_cpus=0, scheduling_strategy=there).remote()
        self.cleaning.append(self.cleaners[node_id].forget.remote(fit))
        return received

    def cancel(self) -> None:
        for reference in self.pending:
            ray.cancel(reference, force=False)
        ray.wait(list(self.pending), num_returns=len(self.pending), timeout=GRACE) if self.pending else None

    def close(self) -> None:
        if self.cleaning:
            ray.wait(self.cleaning, num_returns=len(self.cleaning), timeout=GRACE)
        ray.shutdown()
        self.quiet.close()

    @staticmethod
    def _alive() -> dict[str, dict[str, Any]]:
        return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def _reason(error: Exception) -> str:
    if isinstance(error, RayTaskError) and error.cause is not None:
        error = error.cause  # without the remote traceback
    return next((text for kind, text in REASONS if isinstance(error, kind)), one_line(error)[:300])


def _cores(node: dict[str, Any]) -> float:
    return float(node["Resources"].get("CPU", 0))


def _described(resources: Mapping[str, float]) -> str:
    memory = resources.get("memory", 0) / 2**30
    gpu = " and a GPU" if resources.get("GPU") else ""
    return f"{counted(int(resources.get('CPU', 0)), 'core')} and {memory:.1f} GiB{gpu}"


def _check_address(address: str, given: str) -> None:
    """Raise UsageError at once if nothing answers there; Ray would try for minutes. `given`: how it was given."""
    host, _, port = address.rpartition(":")
    hint = "`ray start --head` starts a cluster, and prints its address; docs/scale.md says how to add nodes."
    if address == "auto":
        return
    if not host or "/" in host or not port.isdecimal():
        raise UsageError(f"{given} {address!r} is not HOST:PORT", hint)
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"{given} {address}: no cluster can be used there ({error})", hint) from error


def _connect(address: str | None) -> None:
    if ray.is_initialized():
        hint = "Call ray.shutdown() first; with --on ray, xmcbench connects and disconnects by itself."
        raise UsageError("--on ray: this process is connected to Ray already", hint)
    given = "--address"
    if address is None and (variable := os.environ.get(VARIABLE)) and variable != HERE:
        given, address = VARIABLE, variable
    if address is not None:
        _check_address(address, given)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers that it is used
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # the driver says which task was lost
    os.environ.setdefault("RAY_worker_niceness", "0")  # by default, runs would give way to all other programs
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        ray.init(
            address or HERE,  # without one, Ray would join any cluster that it finds on this machine
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        where = f"{given} {address}: no cluster can be used there" if address else "Ray can't be started"
        hint = "All machines need the same Ray and its token (RAY_AUTH_MODE=token); docs/scale.md says how to start it."
        raise UsageError(f"{where}: {one_line(error)[:300]}", hint) from error
    finally:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers, nor does Ray in another
            for number, handler in handlers.items():  # those of this program, which save what is done
                signal.signal(number, handler)
