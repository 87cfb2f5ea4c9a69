"""What a machine and its containers have of memory."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from xmcbench.memory import available, capacity, free, held

GIB = 1 << 30


def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, files: dict[str, str]) -> None:
    """A control group of this process: the line of /proc/self/cgroup, and the files below the mount."""
    own = tmp_path / "cgroup"
    own.write_text(f"4:cpu:/elsewhere\n{line}\n")
    for name, text in files.items():
        path = tmp_path / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr("xmcbench.memory.OWN_GROUPS", own)
    monkeypatch.setattr("xmcbench.memory.GROUPS", tmp_path / "mount")


def test_the_limit_of_a_container_counts_as_the_machines_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2: the group has no limit, the one around it has 2 GiB; 300 MiB are in use besides cached files."""
    stat = f"anon 1\nactive_file {300 << 20}\ninactive_file {400 << 20}\n"
    files = {"a/b/memory.max": "max\n", "a/b/memory.current": "5\n"}
    files |= {"a/memory.max": f"{2 * GIB}\n", "a/memory.current": f"{1000 << 20}\n", "a/memory.stat": stat}
    group(tmp_path, monkeypatch, "0::/a/b", files)
    assert capacity() == 2 * GIB
    assert free() == 2 * GIB - (300 << 20)


def test_limits_of_the_first_version_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = f"inactive_file 0\nactive_file 0\ntotal_inactive_file {200 << 20}\ntotal_active_file 0\n"
    name = "memory/process/memory."
    files = {f"{name}limit_in_bytes": f"{GIB}", f"{name}usage_in_bytes": f"{500 << 20}", f"{name}stat": stat}
    group(tmp_path, monkeypatch, "4:memory:/process", files)
    assert capacity() == GIB
    assert free() == GIB - (300 << 20)


def test_without_control_groups_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xmcbench.memory.OWN_GROUPS", tmp_path / "none")
    assert capacity() == psutil.virtual_memory().total


def test_what_a_process_holds_is_available_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"memory.max": f"{GIB}\n", "memory.current": f"{GIB + 5}\n", "memory.stat": "anon 1\n"}
    group(tmp_path, monkeypatch, "0::/", files)
    assert free() == 0
    before = held()
    taken = bytearray(200 << 20)
    assert held() - before > 190 << 20
    assert abs(available() - held()) < 20 << 20
    del taken


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library returns memory by itself")
def test_a_phase_begins_without_what_earlier_work_left_free(tmp_path: Path) -> None:
    """Arrays of 4 MiB between small ones: once larger ones were freed, glibc keeps them in its heap."""
    code = """
import numpy as np
from pathlib import Path
from xmcbench.context import RunContext
from xmcbench.memory import held

first = np.ones(31 << 20, np.uint8)
del first
small, large = [], []
for _ in range(100):
    large.append(np.ones(4 << 20, np.uint8))
    small.append(np.ones(100_000, np.uint8))
del large
before = held()
with RunContext(Path()).phase("next"):
    print(before, held(), len(small))
"""
    output = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, check=True, text=True)
    before, after, _ = map(int, output.stdout.split())
    assert before - after > 300 << 20
