"""Memory and time of every stage of ELIAS by the number of labels.

    python tests/benchmarks/elias_scale.py --labels 16384 65536 [--rows 20000] [--set ranker=trees] [--json]

For each number of labels a process of its own loads `synthetic[labels=…,rows=…]` (40,000 features, 5.45 label slots
per row), fits with one epoch of each stage, no linear classifiers and no validation rows, and predicts for the test
rows. Kernels are compiled, and torch is imported, by a small fit before that.

Peak memory of a stage is its most resident memory beyond what the process held before the fit. CPU seconds are those
of all threads. With two or more numbers of labels, the last column is the exponent of a power law between the first
and the last number of labels; memory and time that do not depend on labels make it smaller.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of torch that spin would count as CPU seconds

from xmcbench_elias import Elias
from xmcbench_elias.params import EliasParams

from xmcbench.context import Reporter, RunContext
from xmcbench.data import load
from xmcbench.data.spec import Dataset
from xmcbench.runs.measure import PeakMemory

MIB = 1 << 20
FEATURES, PER_ROW, TEST = 40_000, 5.45, 2_000
ONE_EPOCH = {"dual_epochs": 1, "stage1_epochs": 1, "stage2_epochs": 1, "ranker": "none"}
Stage = dict[str, float]


class Stages(Reporter):
    """Peak memory, CPU seconds and seconds of each phase; `close` ends the last one."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.name = ""
        self.memory = PeakMemory()
        self.base = 0

    def phase(self, name: str) -> None:
        self.close()
        self.name = name
        self.cpu, self.start = time.process_time(), time.perf_counter()
        self.memory.__enter__()

    def close(self) -> None:
        if self.name:
            self.memory.__exit__()
            peak = (self.memory.rss_bytes or 0) - self.base
            seconds = time.perf_counter() - self.start
            self.stages[self.name] = {"peak": peak, "cpu": time.process_time() - self.cpu, "seconds": seconds}
        self.name = ""


def resident() -> int:
    with PeakMemory() as memory:
        pass
    return memory.rss_bytes or 0


def fit_and_predict(data: Dataset, params: EliasParams, stages: Stages) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ctx = RunContext(Path(folder), threads=os.cpu_count() or 1, reporter=stages)
        method = Elias(params)
        method.fit(data.train_data(), ctx)
        stages.phase("predict")
        method.predict(data.test_inputs(), 10, ctx)
        stages.close()


def measure(labels: int, rows: int, values: dict[str, Any]) -> dict[str, Stage]:
    """The stages of one fit, in this process."""
    params = EliasParams(**{**ONE_EPOCH, **values})
    fit_and_predict(load("synthetic[labels=400,rows=600,test=100,features=1000]"), params, Stages())
    name = f"synthetic[labels={labels},rows={rows},test={TEST},features={FEATURES},per_row={PER_ROW}]"
    data = load(name)
    data.train_data().features.sum(), data.train_data().labels.sum()  # mapped files are read before the fit
    stages = Stages()
    stages.base = resident()
    fit_and_predict(data, params, stages)
    return stages.stages


def exponent(first: float, last: float, growth: float) -> str:
    return f"{math.log(last / first) / math.log(growth):6.2f}" if first > 0 and last > 0 else "     –"


def show(results: dict[int, dict[str, Stage]]) -> None:
    counts = list(results)
    growth = counts[-1] / counts[0]
    columns = (("peak", "peak MiB", MIB), ("bytes", "bytes per label", 1), ("cpu", "CPU s", 1), ("seconds", "s", 1))
    for key, title, unit in columns:
        print(f"\n{title:20}" + "".join(f"{count:>12,}" for count in counts) + "  exponent")
        for stage in results[counts[0]]:
            cells = [results[count][stage]["peak" if key == "bytes" else key] / unit for count in counts]
            if key == "bytes":
                cells = [cell / count for cell, count in zip(cells, counts, strict=True)]
            line = f"{stage:20}" + "".join(f"{cell:12,.1f}" for cell in cells)
            print(line + ("  " + exponent(cells[0], cells[-1], growth) if growth > 1 and key != "bytes" else ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[16_384, 65_536])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of elias")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    values = {name: _value(text) for name, _, text in (part.partition("=") for part in arguments.set)}
    if len(arguments.labels) == 1 and arguments.json:
        print(json.dumps({arguments.labels[0]: measure(arguments.labels[0], arguments.rows, values)}))
        return
    results = {}
    for labels in arguments.labels:
        options = [f"--set={part}" for part in arguments.set]
        command = [sys.executable, __file__, f"--labels={labels}", f"--rows={arguments.rows}", "--json", *options]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        results[labels] = found[str(labels)]
    print(json.dumps(results)) if arguments.json else show(results)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
