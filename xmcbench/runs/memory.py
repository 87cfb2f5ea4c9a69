"""The limit of a run's memory, and the watch that ends a run which holds more."""

from __future__ import annotations

import ctypes
import re
import threading
from contextlib import suppress
from typing import Any

from xmcbench.amounts import size
from xmcbench.errors import MemoryLimit, UsageError
from xmcbench.memory import capacity, held, held_by

UNITS = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
USABLE = 0.95  # share of the memory that a run without --memory may hold: the system ends processes soon after
EVERY = 0.1  # seconds between two looks at this process
CHILDREN = 10  # looks at this process between two searches for its children, which read all processes


def bytes_of(text: str, *, is_here: bool = True) -> int:
    """The bytes of a size such as "16G", "16GiB" or "500M"; units are powers of 1,024.

    Raises UsageError: the text is no size, or more than this machine has, if runs are executed on it (`is_here`).
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([MGT])(?:i?B)?", text.strip(), re.IGNORECASE)
    n_bytes = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if n_bytes <= 0:
        raise UsageError(f"--memory {text!r} is no size", "A number with M, G or T, such as 16G or 1.5G.")
    if is_here and n_bytes > (all_of_it := capacity()):
        hint = "Give at most that, or leave the option out: runs may then use what is free."
        raise UsageError(f"--memory {text}: this machine has {size(all_of_it)}", hint)
    return n_bytes


class Watch:
    """Raises MemoryLimit in the thread that entered the block as soon as the run holds more than `limit` bytes.

    The process and its children are looked at every `EVERY` seconds, and the error is raised between two steps of
    Python: a kernel that runs for long, or that takes memory faster, can exceed the limit first. The error is raised
    once, and never after the block: `stop`, which must also be called if the block's end was interrupted, withdraws
    one that has not been raised yet.
    """

    def __init__(self, limit: int | None, fresh: int) -> None:
        """`limit`: of `--memory`, or None. `fresh`: what a new process would hold before the run starts; what this one
        holds beyond that is of earlier runs, and doesn't count towards a `limit`."""
        self.limit = int(USABLE * capacity()) if limit is None else limit
        self.earlier = 0 if limit is None else max(0, held() - fresh)
        self._others = [] if limit is None else _children()  # of earlier work, such as a server that is kept
        self.given = limit is not None
        self._end, self._lock = threading.Event(), threading.Lock()

    def __enter__(self) -> Watch:
        self._watched = threading.get_ident()
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the watch."""
        with self._lock:
            if not self._end.is_set():
                self._end.set()
                _raise_in(self._watched, None)

    def _watch(self) -> None:
        import psutil

        process, children, looks = psutil.Process(), list[Any](), 0
        while not self._end.wait(EVERY):
            if looks % CHILDREN == 0:
                children = [child for child in _children() if child not in self._others]
            looks += 1
            total = held_by(process) - self.earlier
            for child in children:
                with suppress(psutil.Error):  # it has ended
                    total += held_by(child)
            if total > self.limit:
                with self._lock:
                    if not self._end.is_set():
                        _raise_in(self._watched, self._error(total))
                return

    def _error(self, total: int) -> type[MemoryLimit]:
        bound = "--memory" if self.given else f"{USABLE:.0%} of this machine's memory"
        message = f"stopped while it held {size(total)} of memory, more than {size(self.limit)} ({bound})"

        class Exceeded(MemoryLimit):
            """Raised in another thread, which can only be given a class."""

            def __init__(self) -> None:
                super().__init__(message, "The run resumes from its checkpoints.")

        return Exceeded


def _children() -> list[Any]:
    """The processes that this one started, as `psutil.Process`, which compares them by number and start."""
    import psutil

    try:
        return psutil.Process().children(recursive=True)
    except psutil.Error:
        return []


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise `error` in a thread at its next step; None withdraws an error that was not raised yet."""
    value = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), value)
