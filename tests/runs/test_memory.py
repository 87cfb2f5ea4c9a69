"""What a machine has of memory, and the watch that ends a run which holds more than it may."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from xmcbench.errors import MemoryLimit, UsageError, explain
from xmcbench.runs import memory
from xmcbench.runs.memory import Watch, available, bytes_of, capacity, held

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


def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, files: dict[str, str]) -> None:
    """A control group of this process: the line of /proc/self/cgroup, and the files below the mount."""
    own = tmp_path / "cgroup"
    own.write_text(f"4:cpu:/elsewhere\n{line}\n")
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(memory, "OWN_GROUPS", own)
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "mount")


def test_the_limit_of_a_container_counts_as_the_machines_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2: the group has no limit, the one around it has 2 GiB; 300 MiB are in use besides cached files."""
    stat = f"anon 1\nactive_file {300 << 20}\ninactive_file {400 << 20}\n"
    files = {"a/b/memory.max": "max\n", "a/b/memory.current": "5\n"}
    files |= {"a/memory.max": f"{2 * GIB}\n", "a/memory.current": f"{1000 << 20}\n", "a/memory.stat": stat}
    group(tmp_path, monkeypatch, "0::/a/b", files)
    assert capacity() == 2 * GIB
    assert abs(available() - held() - (2 * GIB - (300 << 20))) < 50 << 20, "what this process holds is its own"


def test_limits_of_the_first_version_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = f"inactive_file 0\nactive_file 0\ntotal_inactive_file {200 << 20}\ntotal_active_file 0\n"
    name = "memory/process/memory."
    files = {f"{name}limit_in_bytes": f"{GIB}", f"{name}usage_in_bytes": f"{500 << 20}", f"{name}stat": stat}
    group(tmp_path, monkeypatch, "4:memory:/process", files)
    assert capacity() == GIB
    assert abs(available() - held() - (GIB - (300 << 20))) < 50 << 20


def test_without_control_groups_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "none")
    assert capacity() == psutil.virtual_memory().total


def waiting(seconds: float) -> None:
    """Python code that runs for some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)


def test_a_run_that_holds_more_than_its_limit_is_stopped_with_the_reason() -> None:
    limit = held() + (200 << 20)

    def run() -> None:
        with Watch(limit):
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
    with Watch(held() + (150 << 20)):
        mapped: Any = np.load(tmp_path / "large.npy", mmap_mode="r")
        assert mapped.sum() == 300 << 17
        waiting(0.5)


def test_no_error_comes_after_the_block() -> None:
    """The limit is passed all the time, and the block ends before, while and after the watch finds out."""
    for milliseconds in range(90, 112, 2):
        watch = Watch(1)
        try:
            with watch:
                time.sleep(milliseconds / 1000)
        except MemoryLimit:
            pass
        watch.stop()
        waiting(0.02)
    assert threading.active_count() < 20


def test_children_count(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    code = "x = bytearray(300 << 20); print(1, flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(MemoryLimit), Watch(held() + (200 << 20)):
            waiting(20)
        child.communicate(b"\n")
