"""Memory that this machine has and that this process holds.

A container's limit (a control group of Linux, version 1 or 2) counts as the machine's memory. Pages of memory-mapped
files don't count as held: the system takes them back when it needs them.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def capacity() -> int:
    """Bytes of memory of this machine, or of the container if that may use less."""
    import psutil

    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _limits())])


def free() -> int:
    """Bytes that processes can still take: free memory, and what caches of files take."""
    import psutil

    return max(0, min([int(psutil.virtual_memory().available), *(limit - used for limit, used in _limits())]))


def available() -> int:
    """Bytes that this process can hold in all: what is free, and what it holds now."""
    return free() + held()


def held() -> int:
    """Bytes that this process holds, without pages of files."""
    import psutil

    return held_by(psutil.Process())


def held_by(process: Any) -> int:
    """`held` for a `psutil.Process`, whose error it raises if that has ended."""
    info = process.memory_info()
    return int(info.rss) - int(getattr(info, "shared", 0))


def trim() -> None:
    """Return the free memory of this process's heap to the system; nothing where the C library is not glibc.

    glibc keeps what arrays of less than 32 MiB have left free between others: 4 GiB after the training of an ELIAS
    model with 670,091 labels. It takes milliseconds.
    """
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if give_back is not None:
        give_back(ctypes.c_size_t(0))


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
