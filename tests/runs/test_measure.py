from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xmcbench.runs import measure
from xmcbench.runs.measure import OtherWork, PeakMemory, folder_bytes, query_latency

MIB = 1 << 20


def test_peak_memory_sees_a_block_that_is_freed_again() -> None:
    with PeakMemory() as small:
        pass
    with PeakMemory() as large:
        block = np.ones(100 * MIB // 8)
        del block
    assert small.rss_bytes is not None
    assert large.rss_bytes is not None
    assert 90 * MIB < large.rss_bytes - small.rss_bytes < 150 * MIB
    assert large.gpu_bytes is None


def test_an_earlier_peak_does_not_count() -> None:
    block = np.ones(100 * MIB // 8)
    with PeakMemory() as before:
        pass
    del block
    with PeakMemory() as after:
        pass
    assert after.rss_bytes < before.rss_bytes - 80 * MIB  # type: ignore[operator]


def test_sampling_where_the_kernel_keeps_no_high_water(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_reset_high_water", lambda: False)
    with PeakMemory() as small:
        pass
    with PeakMemory() as large:
        block = np.ones(100 * MIB // 8)
        time.sleep(0.1)
        del block
    assert large.rss_bytes - small.rss_bytes > 90 * MIB  # type: ignore[operator]


def test_measuring_imports_no_torch() -> None:
    code = "import sys, xmcbench.runs.measure as m\nwith m.PeakMemory(): pass\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_latency_counts_milliseconds_of_each_query() -> None:
    asked: list[int] = []

    def predict(row: int) -> None:
        asked.append(row)
        time.sleep(0.02 if row == 3 else 0.002)

    found = query_latency(predict, 10)
    assert asked == [0, *range(10)]  # the first one warms up
    assert found["queries_timed"] == 10
    assert 1.9 < found["query_p50_ms"] < 10 < found["query_p99_ms"]


def test_latency_stops_at_its_limit_and_takes_no_rows() -> None:
    found = query_latency(lambda row: time.sleep(0.02), 1000, limit_seconds=0.1)
    assert 1 <= found["queries_timed"] <= 6
    assert query_latency(lambda row: None, 0) == {"query_p50_ms": None, "query_p99_ms": None, "queries_timed": 0}


def test_folder_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "b").write_bytes(b"123")
    assert folder_bytes(tmp_path) == 8
    assert folder_bytes(tmp_path / "deep" / "er") == 3


def test_own_work_and_that_of_children_is_nobody_elses() -> None:
    spin = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass"
    with OtherWork() as others:
        exec(spin, {})
        subprocess.run([sys.executable, "-c", spin], check=True)
    assert others.share is None or 0 <= others.share <= 1


def test_other_work_counts_what_is_left_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, busy, own = iter([100.0, 110.0]), iter([1000.0, 1009.0]), iter([5.0, 10.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(measure, "_busy_seconds", lambda: next(busy))
    monkeypatch.setattr(measure, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(measure.os, "cpu_count", lambda: 2)
    with OtherWork() as others:
        pass
    assert others.share == (9 - 5) / (10 * 2)  # 4 of 20 CPU seconds were taken by somebody else


def test_a_system_that_does_not_count_gives_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_busy_seconds", lambda: None)
    with OtherWork() as others:
        pass
    assert others.share is None


KERNEL = """
from numba import njit
from xmcbench.runs.measure import Compilation

@njit(cache=True)
def inner(x): return x * 2.0

@njit(cache=True)
def outer(n):
    total = 0.0
    for i in range(n): total += inner(i)
    return total

import time
start = time.perf_counter()
with Compilation() as spent: outer(10)
print(spent.seconds, time.perf_counter() - start)
with Compilation() as again: outer(10)
print(again.seconds, 1)
"""


def test_compiling_is_timed_and_what_the_cache_has_is_not(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)

    def run() -> list[list[float]]:
        done = subprocess.run([sys.executable, "kernel.py"], cwd=tmp_path, check=True, capture_output=True, text=True)
        return [[float(word) for word in line.split()] for line in done.stdout.splitlines()]

    (first, whole), (second, _) = run()
    assert 0 < first <= whole  # one function within the other isn't counted twice
    assert second == 0.0
    (cached, _), _ = run()
    assert cached == 0.0


CLOCK = """
import threading, time
from numba import njit
from xmcbench.runs.measure import Compilation, query_latency

@njit
def slow(x):
    total = 0.0
    for i in range(x.size): total += x.flat[i] ** 0.5
    return total

@njit
def slow_again(x): return slow(x) + 1.0

import numpy as np
told = []
compilation = Compilation(told.append)
with compilation:
    before, wall = compilation.clock(), time.perf_counter()
    kinds = np.float64, np.float32, np.int64
    found = query_latency(lambda row: slow(np.ones(9, kinds[row])), 3, 60.0, compilation.clock)
    assert found["query_p99_ms"] < 20, found  # each row compiles for another type
    workers = [threading.Thread(target=slow_again, args=(np.ones((2, 2), kind),)) for kind in (int, float)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    passed, wall = compilation.clock() - before, time.perf_counter() - wall
assert compilation.seconds > 0.1
assert abs(wall - passed - compilation.seconds) < 0.01, (wall, passed, compilation.seconds)
assert passed < 0.2 * wall, (passed, wall)
assert told[:2] == [True, False] and len(told) % 2 == 0, told
def fails(compiling): raise RuntimeError("the display is broken")
with Compilation(fails) as compilation: slow(np.ones(3, np.int8))
assert compilation.seconds > 0
import sys, numba.core
sys.modules["numba.core.event"] = None  # as in a numba that has no such events
del numba.core.event
with Compilation() as compilation: slow(np.ones(3, np.int16))
assert compilation.seconds == 0
"""


def test_the_clock_stands_still_while_any_thread_compiles_and_no_run_fails() -> None:
    done = subprocess.run([sys.executable, "-c", CLOCK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
