"""Seconds per step and peak memory of each process, of ELIAS's network over 1, 2 and 4 processes of this machine.

    python -m tests.benchmarks.elias_processes --labels 131072 --rows 4096

Both stages are trained for one epoch each, without dual encoder and ranker. Cores are divided among the processes. The
share is that of the largest process of the peak of one; it includes Python and libraries, of which "base" is the peak
before the fit.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.together import together
from xmcbench.context import Reporter, RunContext
from xmcbench.processes import Ranks
from xmcbench.runs.machine import available_cores, thread_limits
from xmcbench.runs.measure import PeakMemory

PARAMS = {"dual_epochs": 0, "ranker": "none", "stage1_epochs": 1, "stage2_epochs": 1, "finish_epochs": 0}


class Steps(Reporter):
    """Seconds between the steps of each stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"stage 1": [], "stage 2": []}
        self.name, self.last = "", 0.0

    def phase(self, name: str) -> None:
        self.name, self.last = name, 0.0

    def progress(self, done: float, total: float, note: str) -> None:
        now = time.perf_counter()
        if self.last and self.name in self.seconds:
            self.seconds[self.name].append(now - self.last)
        self.last = now


def fitted(ranks: Ranks | None, file: str, labels: str, rows: str) -> None:
    """Fit, and write what was measured, as JSON."""
    from xmcbench_elias.method import Elias
    from xmcbench_elias.params import EliasParams

    from xmcbench.data import load

    rank, count = (0, 1) if ranks is None else (ranks.rank, ranks.count)
    dataset = load(f"synthetic[labels={labels},rows={rows},test=100,features=50000]")
    steps = Steps()
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as before:
        ctx = RunContext(Path(folder), ranks=ranks, reporter=steps)
    with PeakMemory() as memory, thread_limits(max(1, available_cores() // count)):
        ctx.folder.mkdir()
        Elias(EliasParams(**PARAMS)).fit(dataset.train_data(), ctx)
    measured: dict[str, Any] = {stage: median(seconds[2:]) for stage, seconds in steps.seconds.items()}
    Path(f"{file}.{rank}").write_text(json.dumps({**measured, "peak": memory.rss_bytes, "base": before.rss_bytes}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=int, default=131_072)
    parser.add_argument("--rows", type=int, default=4_096)
    parser.add_argument("--processes", default="1,2,4")
    given = parser.parse_args()
    print("processes  stage 1 s/step  stage 2 s/step  peak MiB of each  base MiB  share")
    first = 0
    for count in map(int, given.processes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "out")
            codes = together(count, fitted, file, given.labels, given.rows, seconds=3600)
            if any(codes):
                raise SystemExit(f"{count} processes ended with {codes}")
            found = [json.loads(Path(f"{file}.{rank}").read_text()) for rank in range(count)]
        peaks = [one["peak"] for one in found]
        first = first or peaks[0]
        speed = "  ".join(f"{found[0][stage]:14.3f}" for stage in ("stage 1", "stage 2"))
        each = ", ".join(f"{peak / 2**20:.0f}" for peak in peaks)
        print(f"{count:9}  {speed}  {each:>16}  {found[0]['base'] / 2**20:8.0f}  {max(peaks) / first:5.2f}", flush=True)


if __name__ == "__main__":
    main()
