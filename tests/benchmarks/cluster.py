"""Throughput of equal runs on two Ray workers compared with one, on this machine.

    python tests/benchmarks/cluster.py [--json] [--runs 12] [--method xrlinear] [--dataset …]

Each worker is a node with one core, and each run has one thread. The machine needs at least two free cores: other
programs on it lower the ratio. Both workers have executed a run of each kind before the clock starts, so that their
imports and compiled kernels don't count. The time is from the first task until the last record is in the results
folder. The target is 1.8 times the throughput of one worker.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from pathlib import Path

from ray.cluster_utils import Cluster
from rich.console import Console

from xmcbench.cluster.driver import Driver
from xmcbench.cluster.ray_engine import RayEngine
from xmcbench.cluster.table import ProgressTable
from xmcbench.data import load
from xmcbench.records.store import Store
from xmcbench.running.plan import Watcher
from xmcbench.runs.job import Options
from xmcbench.runs.plan import make_plan

TARGET = 1.8
DATASET = "synthetic[labels=5000,rows=30000,test=2000,features=20000]"
NODE = {"num_cpus": 1, "memory": 5 << 30, "object_store_memory": 200 << 20, "include_dashboard": False}


def seconds(engine: RayEngine, method: str, dataset: str, seeds: range, folder: Path) -> float:
    """Seconds until all runs have their record."""
    plan = make_plan([method], [load(dataset).name], seeds=seeds, baseline=False)
    data = {spec.data: load(*spec.data) for spec in plan}
    table = ProgressTable(Console(file=io.StringIO()))
    driver = Driver(engine, Store(folder), Options(threads=1), Watcher(), table, offline=True)
    start = time.perf_counter()
    records, failures = driver.execute(plan, data)
    taken = time.perf_counter() - start
    if failures or len(records) != len(seeds) or any(record.status != "ok" for record in records):
        raise SystemExit(f"runs failed: {[str(f.error) for f in failures] or [r.reason for r in records]}")
    return taken


def measure(runs: int, method: str, dataset: str) -> dict[str, float]:
    """Runs per minute on one and on two workers, and their ratio."""
    cluster, per_minute = Cluster(), []
    for workers in (1, 2):
        cluster.add_node(**NODE)
        engine = RayEngine(cluster.address)
        with tempfile.TemporaryDirectory() as folder:
            seconds(engine, method, dataset, range(100, 100 + 2 * workers), Path(folder) / "warm")
            taken = seconds(engine, method, dataset, range(runs), Path(folder) / "timed")
        per_minute.append(60 * runs / taken)
        engine.close()
    cluster.shutdown()
    return {"one": per_minute[0], "two": per_minute[1], "ratio": per_minute[1] / per_minute[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--method", default="xrlinear")
    parser.add_argument("--dataset", default=DATASET)
    arguments = parser.parse_args()
    found = measure(arguments.runs, arguments.method, arguments.dataset)
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"one worker {found['one']:.2f} runs per minute, two workers {found['two']:.2f}")
    print(f"ratio {found['ratio']:.2f}, target {TARGET}")


if __name__ == "__main__":
    main()
