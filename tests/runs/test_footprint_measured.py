"""Estimates of memory against the peak that a process of its own measures; some minutes for each method."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xmcbench.peers import packages

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "memory.py"
METHODS = ("popularity", "knn", "ovr[max_iter=2]", "xrlinear", "parabel", "bonsai", "omikuji", "napkinxc", "pecos")
AMAZON = ("omikuji", "omikuji[n_trees=1]", "napkinxc", "pecos", "pecos[trees=3]", "ance[epochs=1,warm_up=0]")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "size"),
    [(method, size) for method in METHODS for size in ("small", "medium", "large")]
    + [(one, "amazon") for one in AMAZON],
)
def test_an_estimate_is_from_0_9_to_2_times_the_measured_peak(method: str, size: str) -> None:
    name = method.partition("[")[0]
    if name in packages.PEERS and packages.missing(name):
        pytest.skip(f"{name} is not installed")
    command = [sys.executable, str(BENCHMARK), method, "--sizes", size]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "MiB measured" in done.stdout
