"""Memory that this machine has for a run, and a watch that ends a run which holds more than it may.

A container's limit (a control group of Linux, version 1 or 2) counts as the machine's memory. Pages of memory-mapped
files don't count as held: the system takes them back when it needs them.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from xmcbench.amounts import size
from xmcbench.errors import MemoryLimit, UsageError

GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
UNITS = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
USABLE = 0.95  # share of the memory that a run without --memory may hold: the system ends processes soon after
EVERY = 0.1  # seconds between two looks at this process
CHILDREN = 10  # looks at this process between two searches for its children, which read all processes


def bytes_of(text: str) -> int:
    """The bytes of a size such as "16G", "16GiB" or "500M"; units are powers of 1,024.

    Raises UsageError: the text is no size, or more than this machine has.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)\s*([MGT])(?:i?B)?", text.strip(), re.IGNORECASE)
    n_bytes = int(float(match[1]) * UNITS[match[2].upper()]) if match else 0
    if n_bytes <= 0:
        raise UsageError(f"--memory {text!r} is no size", "A number with M, G or T, such as 16G or 1.5G.")
    if n_bytes > (all_of_it := capacity()):
        hint = "Give at most that, or leave the option out: runs may then use what is free."
        raise UsageError(f"--memory {text}: this machine has {size(all_of_it)}", hint)
    return n_bytes


def capacity() -> int:
    """Bytes of memory of this machine, or of the container if that may use less."""
    import psutil

    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _limits())])


def available() -> int:
    """Bytes that this process can hold in all, with what it holds now: free memory and caches of files included."""
    import psutil

    free = [int(psutil.virtual_memory().available), *(limit - used for limit, used in _limits())]
    return max(0, min(free)) + held()


def held() -> int:
    """Bytes that this process holds, without pages of files."""
    import psutil

    return _held(psutil.Process())


def _held(process: object) -> int:
    info = process.memory_info()  # type: ignore[attr-defined]
    return int(info.rss) - int(getattr(info, "shared", 0))


def _limits() -> Iterator[tuple[int, int]]:
    """(limit, used) bytes of the control groups around this process that limit memory; cached files aren't used."""
    with suppress(OSError):
        for line in OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            root = GROUPS / "memory" if controllers else GROUPS
            names = (
                ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
            )
            own = root / path.lstrip("/")
            for folder in [own, *own.parents]:
                with suppress(OSError, ValueError):  # "max", or not there: no limit
                    limit, used = (int((folder / name).read_text()) for name in names)
                    yield limit, used - _cached(folder / "memory.stat")
                if folder == root:
                    break


def _cached(stat: Path) -> int:
    """Bytes of cached files in a control group."""
    numbers = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines())
    prefix = "total_" if "total_inactive_file" in numbers else ""
    return sum(int(numbers.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))


class Watch:
    """Raises MemoryLimit in the thread that entered the block as soon as the run holds more than `limit` bytes.

    The process and its children are looked at every `EVERY` seconds, and the error is raised between two steps of
    Python: a kernel that runs for long, or that takes memory faster, can exceed the limit first. The error is raised
    once, and never after the block: `stop`, which must also be called if the block's end was interrupted, withdraws
    one that has not been raised yet.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = int(USABLE * capacity()) if limit is None else limit
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

        process, children, looks = psutil.Process(), [], 0
        while not self._end.wait(EVERY):
            if looks % CHILDREN == 0:
                with suppress(psutil.Error):
                    children = process.children(recursive=True)
            looks += 1
            total = _held(process)
            for child in children:
                with suppress(psutil.Error):  # it has ended
                    total += _held(child)
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


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise `error` in a thread at its next step; None withdraws an error that was not raised yet."""
    value = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), value)
