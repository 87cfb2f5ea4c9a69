"""Costs of a part of a run: peak memory, latency of single queries, bytes on disk, and load by other processes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class PeakMemory:
    """Peak resident memory of this process during the block, in bytes.

    On Linux the kernel tracks the high-water mark (VmHWM) and resets it on request. Elsewhere a thread samples every
    20 ms and can miss a shorter peak. `gpu_bytes` is torch's peak on the current CUDA device, or None without one.
    """

    rss_bytes: int | None = None
    gpu_bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        self._cuda = _cuda()
        if self._cuda is not None:
            self._cuda.reset_peak_memory_stats()
        self._sampler = None if _reset_high_water() else _Sampler()
        return self

    def __exit__(self, *_: object) -> None:
        self.rss_bytes = _high_water() if self._sampler is None else self._sampler.stop()
        if self._cuda is None:
            self._cuda = _cuda()  # torch may have been imported inside
        if self._cuda is not None:
            self.gpu_bytes = int(self._cuda.max_memory_allocated())


class OtherWork:
    """CPU load by other processes during the block; times measured under load are unreliable.

    `share` is their CPU seconds divided by the available seconds of all cores, 0 to 1; None if the system reports none.
    """

    share: float | None = None

    def __enter__(self) -> OtherWork:
        self._start, self._busy, self._own = time.perf_counter(), _busy_seconds(), _own_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.perf_counter() - self._start
        busy = _busy_seconds()
        if busy is None or self._busy is None or wall <= 0:
            return
        others = busy - self._busy - (_own_seconds() - self._own)
        self.share = min(1.0, max(0.0, others / (wall * (os.cpu_count() or 1))))


class Compilation:
    """Seconds of numba compilation during the block; kernels loaded from numba's cache don't count.

    The first run of a method on a machine, or after an update, is slower by this time. 0.0 if nothing was compiled.
    """

    seconds = 0.0

    def __enter__(self) -> Compilation:
        from numba.core import event

        self._listener = event.RecordingListener()  # type: ignore[no-untyped-call]
        event.register("numba:compile", self._listener)  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *_: object) -> None:
        from numba.core import event

        event.unregister("numba:compile", self._listener)  # type: ignore[no-untyped-call]
        depth, start = 0, 0.0  # compilations nest, since a function compiles its callees: only the outermost counts
        for timestamp, compile_event in self._listener.buffer:
            if compile_event.is_start:
                start, depth = (timestamp if depth == 0 else start), depth + 1
            elif compile_event.is_end and depth:
                depth -= 1
                self.seconds += timestamp - start if depth == 0 else 0.0


def _busy_seconds() -> float | None:
    """CPU seconds of all processes since boot, including other guests of the machine."""
    import psutil

    times = psutil.cpu_times()._asdict()
    if not any(times.values()):
        return None
    idle = ("idle", "iowait", "guest", "guest_nice")  # Linux counts guests in user as well
    return float(sum(seconds for kind, seconds in times.items() if kind not in idle))


def _own_seconds() -> float:
    """CPU seconds of this process and its children, including children that ended."""
    import psutil

    times = psutil.Process().cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True):
        try:
            of_child = child.cpu_times()
        except psutil.Error:  # the child has just ended
            continue
        total += of_child.user + of_child.system
    return float(total)


class _Sampler(threading.Thread):
    def __init__(self) -> None:
        import psutil

        super().__init__(daemon=True)
        self._process = psutil.Process()
        self._peak = int(self._process.memory_info().rss)
        self._end = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._end.wait(0.02):
            self._peak = max(self._peak, int(self._process.memory_info().rss))

    def stop(self) -> int:
        self._end.set()
        self.join()
        return max(self._peak, int(self._process.memory_info().rss))


def _reset_high_water() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _high_water() is not None
    except OSError:
        return False


def _high_water() -> int | None:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _cuda() -> Any:
    """torch.cuda if torch is imported and has initialised CUDA, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def query_latency(
    predict_one: Callable[[int], object], n_rows: int, limit_seconds: float = 5.0
) -> dict[str, float | None]:
    """Time `predict_one(row)` for rows 0, 1, 2, …, for all rows or until `limit_seconds` have passed.

    Returns `query_p50_ms` and `query_p99_ms`, milliseconds of a single query (None if there are no rows), and
    `queries_timed`. The first call only warms caches and is not counted.
    """
    import numpy as np

    if n_rows < 1:
        return {"query_p50_ms": None, "query_p99_ms": None, "queries_timed": 0}
    predict_one(0)
    seconds: list[float] = []
    end = time.perf_counter() + limit_seconds
    for row in range(n_rows):
        start = time.perf_counter()
        predict_one(row)
        now = time.perf_counter()
        seconds.append(now - start)
        if now > end:
            break
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {"query_p50_ms": float(p50), "query_p99_ms": float(p99), "queries_timed": len(seconds)}


def folder_bytes(folder: Path) -> int:
    """Total size of all files below a folder, in bytes; links aren't followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
