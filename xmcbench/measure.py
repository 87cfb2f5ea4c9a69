"""What a section of a run costs: peak memory, latency of single queries, bytes on disk."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


class PeakMemory:
    """The largest resident size of this process while the block runs, in bytes.

    On Linux the kernel keeps the high-water mark (VmHWM) and resets it on request. Where it doesn't, a thread looks
    every 20 ms, and a shorter peak can be missed. `gpu_bytes` is torch's own peak on the current CUDA device, or
    None where torch runs without one.
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
    """torch.cuda where torch is already imported and has used a device, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None


def query_latency(predict_one: Callable[[int], object], n_rows: int, limit_seconds: float = 5.0) -> dict[str, Any]:
    """Time `predict_one(row)` for rows 0, 1, 2, …, at most all of them and at most `limit_seconds`.

    Returns `query_p50_ms` and `query_p99_ms`, milliseconds of a single query (None where there are no rows), and
    `queries_timed`. The first call isn't counted: it warms caches.
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
    """Bytes of all files below a folder; links aren't followed."""
    total = 0
    for parent, _, names in os.walk(folder):
        total += sum(os.lstat(os.path.join(parent, name)).st_size for name in names)
    return total
