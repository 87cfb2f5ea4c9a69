"""Several processes that work on one run, as torchrun starts them: rank 0 speaks and writes, the others follow it.

Texts go through the store that torchrun provides, as JSON; tensors go through torch.distributed: gloo on a CPU, nccl on
a GPU. Every process writes a beat into the store, so that an error can name the process that no longer answers.
"""

from __future__ import annotations

import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from xmcbench.errors import ProcessLost, UsageError, XmcError
from xmcbench.escaping import plain_text

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

ARRIVE = 300.0  # seconds within which all processes must have started
ANSWER = 600.0  # seconds within which all processes must join an exchange of tensors
BEAT = 0.5  # seconds between the beats of a process
SILENT = 3.0  # seconds without a beat after which a process is named once an exchange failed
GONE = 60.0  # seconds without a beat after which a process that others wait for counts as lost
CLOSING = 10.0  # the same at the end: torchrun kills a process 30 seconds after it told it to stop
FIRST = 5.0  # seconds that rank 0 has to fail for the same reason as a process that has not met it
PAUSE = 0.02  # seconds between two looks into the store
RESTART = "Start all processes again with the same command: the run resumes from its checkpoints."
Arrays = dict[str, "NDArray[Any]"]
T = TypeVar("T")


def rank() -> int:
    """The rank of this process, from 0; 0 if it works alone."""
    return _number("RANK", 0) if count() > 1 else 0


def count() -> int:
    """The number of processes that were started together; 1 if this one works alone."""
    return max(1, _number("WORLD_SIZE", 1))


def on_this_node() -> int:
    """How many of them run on this machine."""
    return max(1, min(_number("LOCAL_WORLD_SIZE", count()), count()))


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    if text and not (text.isascii() and text.isdecimal()):
        problem = f"the environment variable {name} is {plain_text(text, 40)!r}, no whole number from 0"
        raise UsageError(problem, "torchrun sets it; unset it to run in one process.")
    return int(text) if text else default


def start(device: str) -> Ranks | None:
    """Meet the other processes; None if there are none. `device`: "auto", "cpu" or "cuda".

    Raises
    ------
    UsageError : the environment variables of torchrun contradict each other, or a GPU is missing.
    XmcError : a process did not start in time.
    """
    if count() == 1:
        return None
    if rank() >= count():
        hint = "torchrun sets both; unset them to run in one process."
        raise UsageError(f"RANK is {rank()}, with WORLD_SIZE={count()} it must be below {count()}", hint)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # torch reads it once; it warns of processes that ended
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore

    hint = f"Start them by `torchrun --nproc-per-node {count()} -m xmcbench run …`."
    if missing := [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]:
        raise UsageError(f"WORLD_SIZE is {count()}, without {' and '.join(missing)}", hint)
    began = time.monotonic()
    try:
        store = _met()
    except (ValueError, RuntimeError) as error:
        waited = f" within {ARRIVE:.0f} s" if time.monotonic() - began >= ARRIVE - 1 else ""
        problem = f"rank {rank()} did not meet the other processes{waited}"
        raise XmcError(f"{problem} ({plain_text(error, 200)})", hint) from error
    store = PrefixStore(f"xmcbench {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    ranks = Ranks(rank(), count(), store)
    ranks.nodes = [str(node) for node in ranks.exchange(socket.gethostname())]
    if rank():
        sys.stderr = sys.stdout  # nowhere: from now on, rank 0 is told
    backend = "gloo"
    if device != "cpu" and torch.cuda.is_available():
        local = _number("LOCAL_RANK", 0)
        if local >= torch.cuda.device_count():
            problem = f"rank {rank()} on {ranks.nodes[rank()]} is process {local + 1} of a node"
            gpus = f"that has {torch.cuda.device_count()} GPUs"
            raise UsageError(f"{problem} {gpus}", "Start one process per GPU, or give --device cpu.")
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    group, answer = PrefixStore("group", store), timedelta(seconds=ANSWER)
    ranks.joined(
        lambda: dist.init_process_group(backend, store=group, rank=ranks.rank, world_size=ranks.count, timeout=answer)
    )
    return ranks


def _met() -> Any:
    """The store of all processes, once they have met. A thread waits, since torch lets no signal through meanwhile.

    Raises ValueError or RuntimeError: wrong variables, or no meeting within `ARRIVE` seconds.
    """
    from torch.distributed.rendezvous import rendezvous

    found: list[Any] = []

    def meet() -> None:
        try:
            found.append(next(iter(rendezvous("env://", rank(), count(), timeout=timedelta(seconds=ARRIVE))))[0])
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=meet, name="meet", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(PAUSE)
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


class Ranks:
    """The processes of a run. All of them must call the same methods in the same order.

    Attributes
    ----------
    rank, count : this process, and how many there are, at least 2.
    nodes : host name of each.
    silent : the process that no longer answers and has not said that it ended, if an error named one.

    Every method raises ProcessLost if a process ended or no longer answers; the message names it.
    """

    def __init__(self, rank: int, count: int, store: Any) -> None:
        self.rank, self.count, self.nodes = rank, count, ["an unknown node"] * count
        self.silent: int | None = None
        self._store = store
        self._exchanges = 0
        self._joined = 0  # exchanges of tensors among all processes that this one has joined
        self._seen: dict[int, tuple[bytes, float]] = {}  # last beat of a process, and when it was new
        self._failed = False
        self._stopped = threading.Event()
        store.set(f"beat {rank}", "0 0")  # from now on, this process has started
        threading.Thread(target=self._beat, args=(store.clone(),), name="beat", daemon=True).start()

    def _beat(self, store: Any) -> None:
        number = 0
        with suppress(RuntimeError):  # the store ends with the other processes
            while not self._stopped.wait(BEAT):
                number += 1
                store.set(f"beat {self.rank}", f"{number} {self._joined}")

    # texts

    def exchange(self, value: object) -> list[Any]:
        """The values of all processes, by rank; each is JSON."""
        self._exchanges += 1
        key = f"value {self._exchanges}"
        self._set(f"{key} {self.rank}", json.dumps(value))
        return [json.loads(self._get(f"{key} {other}", other)) for other in range(self.count)]

    def told(self, value: object = None) -> Any:
        """The `value` of rank 0, JSON; the others wait for it, as long as rank 0 has a beat."""
        self._exchanges += 1
        key = f"value {self._exchanges}"
        if self.rank == 0:
            self._set(key, json.dumps(value))
            return value
        return json.loads(self._get(key, 0))

    def ended(self, reason: str) -> None:
        """Tell the others that this process ends, and why; "" is no failure.

        After a failure its connections are closed, since others may wait for its tensors.
        """
        import torch.distributed as dist

        self._failed |= bool(reason)
        with suppress(RuntimeError):
            self._store.compare_set(f"ended {self.rank}", "", reason)  # the first reason stays
        if reason and dist.is_initialized():
            with suppress(RuntimeError):
                dist.destroy_process_group()

    def close(self) -> None:
        """End the beat. Ranks above 0 wait until rank 0 has ended, since torchrun stops all once one has failed.

        After a failure they wait `CLOSING` seconds: the end of a process closes the connections that others wait for,
        even where its libraries hold them.

        If rank 0 no longer answers, the first of the others on each node says so, since rank 0 can't.
        """
        self.ended("")
        if self.rank and self.silent is None:
            with suppress(ProcessLost):
                self._get("ended 0", 0, CLOSING, most=CLOSING if self._failed else None)
        self._stopped.set()
        first = 1 if self.nodes[self.rank] == self.nodes[0] else 0
        if self.silent == 0 and _number("LOCAL_RANK", self.rank) == first:
            print(f"error: {self.name(0)} no longer answers\n  {RESTART}", file=sys.__stderr__)

    def _set(self, key: str, value: str) -> None:
        try:
            self._store.set(key, value)
        except RuntimeError as error:
            raise self._no_store() from error

    def _get(self, key: str, other: int, gone: float | None = None, most: float | None = None) -> bytes:
        """Wait for a value that process `other` sets, for `most` seconds (None: without a limit).

        The process is lost after `gone` seconds without a beat; None: `GONE`.
        """
        self._seen.pop(other, None)
        end = None if most is None else time.monotonic() + most
        try:
            while not self._store.check([key]):
                if self._store.check([f"ended {other}"]) and not self._store.check([key]):
                    raise ProcessLost(self._of_ended(other), RESTART)
                seconds, limit = self._seconds_since_beat(other), GONE if gone is None else gone
                if not self._seen[other][0]:
                    if seconds > ARRIVE:
                        raise ProcessLost(f"rank {other} did not start within {ARRIVE:.0f} s", RESTART)
                elif seconds > limit:
                    self.silent = other
                    raise ProcessLost(f"{self.name(other)} has not answered for {limit:.0f} s", RESTART)
                if end is not None and time.monotonic() > end:
                    raise ProcessLost(f"{self.name(other)} has not answered for {most:.0f} s", RESTART)
                time.sleep(PAUSE)
            value: bytes = self._store.get(key)
            return value
        except RuntimeError as error:
            raise self._no_store() from error

    def _seconds_since_beat(self, other: int) -> float:
        key, now = f"beat {other}", time.monotonic()
        beat = self._store.get(key) if self._store.check([key]) else b""
        if other not in self._seen or self._seen[other][0] != beat:
            self._seen[other] = beat, now
        return now - self._seen[other][1]

    def _no_store(self) -> ProcessLost:
        return ProcessLost(f"the store of the processes on {self.nodes[0]} no longer answers", RESTART)

    # errors

    def name(self, other: int) -> str:
        """A process in messages."""
        return f"rank {other} on {self.nodes[other]}"

    def _of_ended(self, other: int) -> str:
        reason = self._store.get(f"ended {other}").decode()
        return f"{self.name(other)} has ended" + (f": {plain_text(reason, 500)}" if reason else "")

    def missing(self) -> str:
        """The processes that ended or have no beat, in words; "" if there are none. Takes `SILENT` seconds."""
        others = [other for other in range(self.count) if other != self.rank]
        try:
            said = [self._of_ended(other) for other in others if self._store.check([f"ended {other}"])]
            if said:
                return "; ".join(said)
            for other in others:
                self._seconds_since_beat(other)
            until = time.monotonic() + SILENT
            while time.monotonic() < until:
                # torchrun stops all processes as soon as it sees that one has died
                with suppress(KeyboardInterrupt):
                    time.sleep(until - time.monotonic())
            silent = [self.name(other) for other in others if self._seconds_since_beat(other) > SILENT - BEAT]
        except RuntimeError:
            return self._no_store().message
        return f"{', '.join(silent)} no longer {'answers' if len(silent) == 1 else 'answer'}" if silent else ""

    def _late(self) -> str:
        """The processes that have a beat, but have joined fewer exchanges than this one; "" if there are none."""
        try:
            beats = {
                other: self._store.get(f"beat {other}").split() for other in range(self.count) if other != self.rank
            }
        except RuntimeError:
            return ""
        late = [self.name(other) for other, beat in beats.items() if int(beat[1]) < self._joined]
        return f"{', '.join(late)} did not join an exchange of the others" if late else ""

    def joined(self, operation: Callable[[], T]) -> T:
        """The result of an operation of torch.distributed in which all processes take part."""
        self._joined += 1
        return self._done(operation)

    def _done(self, operation: Callable[[], T]) -> T:
        try:
            return operation()
        except RuntimeError as error:
            fault = f"({plain_text(error, 200)})"
            missing = self.missing() or (f"{late} {fault}" if (late := self._late()) else "")
            raise ProcessLost(missing or f"an exchange between processes failed {fault}", RESTART) from error

    # tensors

    def sum(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all processes."""
        import torch.distributed as dist

        self.joined(lambda: dist.all_reduce(tensor))
        return tensor

    def largest(self, tensor: Tensor) -> Tensor:
        """Replace each number by its largest value of all processes."""
        import torch.distributed as dist

        self.joined(lambda: dist.all_reduce(tensor, op=dist.ReduceOp.MAX))
        return tensor

    def stacked(self, tensor: Tensor) -> Tensor:
        """(P, …): the tensors of all processes, which have one shape."""
        import torch.distributed as dist

        out = tensor.new_empty(self.count, *tensor.shape)
        self.joined(lambda: dist.all_gather(list(out.unbind(0)), tensor.contiguous()))
        return out

    def dealt(self, tensor: Tensor, shares: Sequence[slice]) -> Tensor:
        """(P, rows of this process's share, …): its rows of the tensors of all processes, which have one shape."""
        import torch.distributed as dist

        sizes = [share.stop - share.start for share in shares]
        out = tensor.new_empty(self.count, sizes[self.rank], *tensor.shape[1:])
        own = [sizes[self.rank]] * self.count
        self.joined(lambda: dist.all_to_all_single(out.flatten(0, 1), tensor.contiguous(), own, sizes))
        return out

    def spread(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by that of rank 0."""
        import torch.distributed as dist

        self.joined(lambda: dist.broadcast(tensor, 0))
        return tensor

    def send(self, tensor: Tensor) -> None:
        """Send a tensor to rank 0."""
        import torch.distributed as dist

        self._done(lambda: dist.send(tensor.contiguous(), 0))

    def received(self, tensor: Tensor, sender: int) -> Tensor:
        """Fill a tensor with the one that `sender` sends, of the same shape."""
        import torch.distributed as dist

        self._done(lambda: dist.recv(tensor, sender))
        return tensor

    def arrays(self, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
        """The arrays that rank 0 makes, while the others wait."""
        import numpy as np
        import torch

        arrays = dict(make()) if self.rank == 0 else {}
        about = self.told({name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()})
        for name, (dtype, shape) in about.items():
            array = arrays[name] = np.asarray(arrays[name], order="C") if self.rank == 0 else np.empty(shape, dtype)
            if array.size:
                self.spread(torch.from_numpy(array.reshape(-1).view(np.uint8)))
        return arrays


def silence() -> None:
    """Send what this process prints nowhere: only rank 0 speaks, and the others tell it their errors.

    Its errors before it meets them are kept for `tell`.
    """
    if rank():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # stays open as long as the process
        sys.stderr = io.StringIO()


def tell(code: int) -> None:
    """Print why this process fails before it has met the others, such as an option that its version does not know.

    Rank 0 often fails for the same reason, and alone says so: torchrun then stops this process in the meantime.
    """
    if code and isinstance(sys.stderr, io.StringIO):
        time.sleep(FIRST)
        print(f"rank {rank()} on {socket.gethostname()}: {sys.stderr.getvalue().strip()}", file=sys.__stderr__)
