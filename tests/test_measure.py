from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from xmcbench import measure
from xmcbench.measure import PeakMemory, folder_bytes, query_latency

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
    code = "import sys, xmcbench.measure as m\nwith m.PeakMemory(): pass\nassert 'torch' not in sys.modules"
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
