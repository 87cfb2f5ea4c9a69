"""The limit of a run's memory, and the watch that ends a run which holds more."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmcbench.errors import MemoryLimit, UsageError, explain
from xmcbench.memory import held
from xmcbench.runs.memory import Watch, bytes_of

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "n_bytes"), [("1G", GIB), ("1.5GiB", 3 * GIB // 2), ("300m", 300 << 20), ("1 GB", GIB)]
)
def test_sizes_are_powers_of_1024(text: str, n_bytes: int) -> None:
    assert bytes_of(text) == n_bytes


@pytest.mark.parametrize("text", ["", "16", "G", "-1G", "0G", "1e9G", "nan", "16 Gbit", "1G2G"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is no size") as refused:
        bytes_of(text)
    assert "16G" in refused.value.hint


def test_a_limit_above_the_machines_memory_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--memory 900T: this machine has \d"):
        bytes_of("900T")


def waiting(seconds: float) -> None:
    """Python code that runs for some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def test_a_run_that_holds_more_than_its_limit_is_stopped_with_the_reason() -> None:
    limit = held() + (200 << 20)

    def run() -> None:
        with Watch(limit, limit):
            waiting(0.3)
            taken = np.ones(400 << 17)  # 400 MiB of float64
            waiting(20)
            del taken

    with pytest.raises(MemoryLimit) as stopped:
        run()
    status, reason = explain(stopped.value)
    assert status == "out_of_memory"
    assert "of memory, more than" in reason
    assert "(--memory)" in reason


def test_mapped_files_and_runs_below_the_limit_go_on(tmp_path: Path) -> None:
    np.save(tmp_path / "large.npy", np.ones(300 << 17))
    with Watch(held() + (150 << 20), 100 * GIB):
        mapped: Any = np.load(tmp_path / "large.npy", mmap_mode="r")
        assert mapped.sum() == 300 << 17
        waiting(0.5)


def test_no_error_comes_after_the_block() -> None:
    """The limit is passed all the time, and the block ends before, while and after the watch finds out."""
    for milliseconds in range(90, 112, 2):
        watch = Watch(1, 100 * GIB)
        try:
            with watch:
                time.sleep(milliseconds / 1000)
        except MemoryLimit:
            pass
        watch.stop()
        waiting(0.02)
    assert threading.active_count() < 20


def starting_a_child() -> None:
    """A run whose child process takes 300 MiB."""
    code = "x = bytearray(300 << 20); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as child:
        try:
            waiting(20)
        finally:
            child.kill()


def test_children_count() -> None:
    with pytest.raises(MemoryLimit), Watch(held() + (200 << 20), 100 * GIB):
        starting_a_child()


def test_what_earlier_runs_left_is_not_the_runs() -> None:
    """300 MiB are held before; a fresh process would hold nothing, and the run takes 100 of its 200 MiB."""
    left = np.ones(300 << 17)
    with Watch(200 << 20, 0):
        taken = np.ones(100 << 17)
        waiting(0.5)
    assert len(left) > len(taken)


def test_a_process_of_earlier_work_is_not_the_runs() -> None:
    """It takes 300 MiB while the run is watched, of which the run has 200."""
    words = [sys.executable, "-c", "input(); taken = b'1' * (300 << 20); print(1, flush=True); input()"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        with Watch(200 << 20, 0):
            child.stdin.write(b"\n")
            child.stdin.flush()
            child.stdout.readline()
            waiting(1.5)
        child.communicate(b"\n")
