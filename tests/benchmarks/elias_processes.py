"""Seconds per step and memory of each process, of ELIAS's network over 1, 2 and 4 processes of this machine.

    python -m tests.benchmarks.elias_processes --labels 131072 262144

Both stages are trained for one epoch each, without dual encoder and ranker. Cores are divided among the processes. A
small run before compiles the kernels, in processes of its own, and the first steps of each stage are not timed: times
are medians of 20 steps or more. Last comes what dividing labels costs a step: the time of two processes with one thread
each, relative to that of one process with two threads.

"held" is the most memory of a process at any time, without pages of files, as `xmcbench.memory` counts it, looked at
every 20 ms; "resident" is the system's peak, with pages of libraries and mapped files. A share is that of the largest
process of what one process has. All include Python and libraries: "before" is what is held before the fit. Below,
what is held in each stage, by rank 0 and by the largest of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from tests.together import together
from xmcbench.context import Reporter, RunContext
from xmcbench.memory import held
from xmcbench.processes import Ranks
from xmcbench.runs.machine import available_cores, thread_limits
from xmcbench.runs.measure import PeakMemory

PARAMS = {"dual_epochs": 0, "ranker": "none", "stage1_epochs": 1, "stage2_epochs": 1, "finish_epochs": 0}
MIB = 1 << 20
WIDTHS = (("held", 8), ("resident", 12))
LOOK = 0.02  # seconds between two looks at the memory
STAGES = ("stage 1", "stage 2")
WARM_UP = 3  # steps at the beginning of each stage that are not timed
TIMED = 20  # minimum number of timed steps in each stage
SMALL = 20_000, 1_024  # labels and rows of the run that compiles the kernels, with the batches of larger ones


class Stages(Reporter):
    """Seconds between the steps of each stage, and the most bytes held in it."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self.held = {"before": held()}
        self.name, self.steps, self.last = "before", 0, 0.0
        self._end = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self._end.wait(LOOK):
            name = self.name
            self.held[name] = max(self.held.get(name, 0), held())

    def close(self) -> None:
        self._end.set()

    def phase(self, name: str) -> None:
        self.name, self.steps = name, 0

    def progress(self, done: float, total: float, note: str) -> None:
        now = time.perf_counter()
        self.steps += 1
        if self.steps > WARM_UP and self.name in self.seconds:
            self.seconds[self.name].append(now - self.last)
        self.last = now


def fitted(ranks: Ranks | None, file: str, threads: str, labels: str, rows: str) -> None:
    """Fit, and write what was measured, as JSON."""
    from xmcbench_elias.method import Elias
    from xmcbench_elias.params import EliasParams

    from xmcbench.data import load

    rank = 0 if ranks is None else ranks.rank
    train = load(f"synthetic[labels={labels},rows={rows},test=100,features=50000]").train_data()
    stages = Stages()
    with tempfile.TemporaryDirectory() as folder, PeakMemory() as memory, thread_limits(int(threads)):
        Elias(EliasParams(**PARAMS)).fit(train, RunContext(Path(folder), ranks=ranks, reporter=stages))
    stages.close()
    what = {"seconds": stages.seconds, "resident": memory.rss_bytes, "held": stages.held}
    Path(f"{file}.{rank}").write_text(json.dumps(what))


@cache
def measured(count: int, threads: int, labels: int, rows: int) -> list[dict[str, Any]]:
    """What each of `count` processes measured."""
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "out")
        codes = together(count, fitted, file, threads, labels, rows, seconds=3600)
        if any(codes):
            raise SystemExit(f"{count} processes ended with {codes}")
        return [json.loads(Path(f"{file}.{rank}").read_text()) for rank in range(count)]


def step_seconds(found: list[dict[str, Any]], stage: str) -> float:
    """Median seconds of a step; SystemExit if too few were timed."""
    seconds = found[0]["seconds"][stage]
    if len(seconds) < TIMED:
        raise SystemExit(f"{len(seconds)} steps of {stage} were timed, and {TIMED} are needed: give more --rows")
    return median(seconds)


def show(labels: int, rows: int, counts: list[int]) -> None:
    """Measure, and print the lines of one number of labels."""
    print(f"{labels:,} labels\nprocesses  stage 1 s/step  stage 2 s/step  held MiB  share  resident MiB  share")
    first: dict[str, float] = {}
    by_stage = {}
    for count in counts:
        found = measured(count, max(1, available_cores() // count), labels, rows)
        held_by = [max(one["held"].values()) for one in found]
        peaks = {"held": max(held_by) / MIB, "resident": max(one["resident"] for one in found) / MIB}
        first = first or peaks
        speed = "  ".join(f"{step_seconds(found, stage):14.3f}" for stage in STAGES)
        memory = "  ".join(f"{peaks[kind]:{width}.0f}  {peaks[kind] / first[kind]:5.2f}" for kind, width in WIDTHS)
        print(f"{count:9}  {speed}  {memory}", flush=True)
        by_stage[count] = found
    for count, found in by_stage.items():
        for name in found[0]["held"]:
            others = [one["held"].get(name, 0) / MIB for one in found[1:]]
            of_others = f", others at most {max(others):.0f}" if others else ""
            print(f"  {count} processes, {name}: rank 0 held {found[0]['held'][name] / MIB:.0f} MiB{of_others}")
    one, two = measured(1, 2, labels, rows), measured(2, 1, labels, rows)
    ratios = ", ".join(f"{stage} {step_seconds(two, stage) / step_seconds(one, stage):.2f}" for stage in STAGES)
    fewest = min(len(found[0]["seconds"][stage]) for found in (one, two) for stage in STAGES)
    print(f"Step of two processes with one thread each / of one with two threads, {fewest} steps or more: {ratios}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[131_072])
    parser.add_argument("--rows", type=int, default=12_288)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    given = parser.parse_args()
    for count in given.processes:
        measured(count, 1, *SMALL)
    for labels in given.labels:
        show(labels, given.rows, given.processes)


if __name__ == "__main__":
    main()
