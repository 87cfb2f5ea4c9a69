"""Costs of a part of a run: peak memory, latency of single queries, bytes on disk, and load by other processes."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
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
    """Compilation of numba kernels by any thread during the block, and a clock that stands still meanwhile.

    The first run of a method on a machine, or after an update, compiles; `seconds` is the time of that, 0.0 if nothing
    was compiled. The clock also stands still while kernels are loaded from numba's cache, once per process.

    `changed` is called with True when a compilation begins and with False when it ends.
    """

    def __init__(self, changed: Callable[[bool], None] = lambda compiling: None) -> None:
        self.seconds = 0.0
        self._changed = changed
        self._compiles = False
        self._threads: Counter[int] = Counter()  # thread → how often it holds numba's lock, or waits for it
        self._stopped: tuple[float, float | None] = (0.0, None)  # seconds that the clock stood still, and since when

    def clock(self) -> float:
        """Seconds as of `time.perf_counter`, without those of compiling and loading kernels."""
        now = time.perf_counter()
        stopped, since = self._stopped  # read at once, since other threads change both
        return (now if since is None else since) - stopped

    def __enter__(self) -> Compilation:
        self._unregister = _listen({"numba:compiler_lock": self._lock, "numba:compile": self._compile})
        return self

    def __exit__(self, *_: object) -> None:
        self._unregister()

    def _lock(self, begins: bool) -> None:
        """Numba holds its lock, which nests, while it looks a kernel up in its cache, and compiles and stores it."""
        now, thread = time.perf_counter(), threading.get_ident()
        self._threads[thread] += 1 if begins else -1
        if self._threads[thread] <= 0:
            del self._threads[thread]
        stopped, since = self._stopped
        if begins and since is None:
            self._stopped = stopped, now
        elif since is not None and not self._threads:
            self._stopped = stopped + now - since, None
            if self._compiles:
                self.seconds += now - since
                self._compiles = False
                self._changed(False)

    def _compile(self, begins: bool) -> None:
        """A function compiles its callees, so that these events nest; the release of the lock ends all of them."""
        if begins and not self._compiles:
            self._compiles = True
            self._changed(True)


def _listen(notices: Mapping[str, Callable[[bool], None]]) -> Callable[[], None]:
    """Call each notice with True and False around each of numba's events of its kind; returns what ends that.

    Numba's events are not part of its stable interface: if they change, no run fails, and no compilation is noticed.
    """
    stop = ExitStack()
    with suppress(Exception):
        from numba.core import event

        class Listener(event.Listener):
            def __init__(self, notice: Callable[[bool], None]) -> None:
                self.notice = notice

            def on_start(self, _: object) -> None:
                with suppress(Exception):
                    self.notice(True)

            def on_end(self, _: object) -> None:
                with suppress(Exception):
                    self.notice(False)

        for kind, notice in notices.items():
            stop.enter_context(event.install_listener(kind, Listener(notice)))
    return stop.close


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
    predict_one: Callable[[int], object],
    n_rows: int,
    limit_seconds: float = 5.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float | None]:
    """Time `predict_one(row)` for rows 0, 1, 2, …, for all rows or until `limit_seconds` have passed.

    Returns `query_p50_ms` and `query_p99_ms`, milliseconds of a single query (None if there are no rows), and
    `queries_timed`. The first call only warms caches and is not counted. `clock` gives seconds, see `Compilation`.
    """
    import numpy as np

    if n_rows < 1:
        return {"query_p50_ms": None, "query_p99_ms": None, "queries_timed": 0}
    predict_one(0)
    seconds: list[float] = []
    end = clock() + limit_seconds
    for row in range(n_rows):
        start = clock()
        predict_one(row)
        now = clock()
        seconds.append(now - start)
        if now > end:
            break
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    return {"query_p50_ms": float(p50), "query_p99_ms": float(p99), "queries_timed": len(seconds)}


def folder_bytes(folder: Path) -> int:
    """Total size of all files below a folder, in bytes; links aren't followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
