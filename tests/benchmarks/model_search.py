"""Queries on a kept model: time to the first answer, milliseconds per query, and the memory of processes that share it.

    python tests/benchmarks/model_search.py MODEL [MODEL …] [--processes 1 2] [--queries 300] [--k 100] [--json]

MODEL is a folder that `xmcbench run … --keep-models` wrote (RESULTS/models/RUN_ID). Each of some processes, which start
together, loads it and answers single test rows of its data set with one thread, one after the other. The first answer
is counted from the start of the process, Python's and the libraries' included: `cold` with no page of the model in the
system's cache, then warm. Percentiles are of the queries after the first ten, in all processes. Memory is that of all
processes after the last query: `own` is what no other process shares and the system can't take back (private dirty
pages), `model` the mapped files that are in memory, counted once.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

FIRST = 10  # queries before those that count
MIB = 1 << 20


def answer(model_folder: str, rows_file: str, k: int, started: float) -> dict[str, Any]:
    """One process: all queries, and its memory."""
    from xmcbench import load_model
    from xmcbench.runs.machine import thread_limits

    features, taken, first = sp.csr_matrix(sp.load_npz(rows_file)), [], 0.0
    with thread_limits(1):
        model = load_model(model_folder)
        for row in range(features.shape[0]):
            start = time.perf_counter()
            model.predict(features=features[row], k=k)
            taken.append(1000 * (time.perf_counter() - start))
            first = first or time.time() - started
        print("answered", flush=True)
        sys.stdin.readline()  # all answers are given
        return {"first": first, "ms": taken, **memory()}


def memory() -> dict[str, int]:
    """Bytes of this process: private dirty pages, its share of pages of files, and all that is resident."""
    sizes = {}
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        sizes[name] = int(value.split()[0]) << 10
    return {"own": sizes["Private_Dirty"], "files": sizes["Pss_File"], "resident": sizes["Rss"]}


def forget(folder: Path) -> None:
    """Drop the pages of a folder's files from the system's cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)  # pages that are not written yet would stay
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def together(folder: Path, rows: Path, k: int, processes: int) -> dict[str, float]:
    """Figures of some processes that start at once."""
    command = [sys.executable, __file__, str(folder), "--rows-file", str(rows), "--k", str(k)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [*command, "--started", str(time.time())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        for _ in range(processes)
    ]
    for process in running:
        assert process.stdout is not None
        process.stdout.readline()
    for process in running:
        assert process.stdin is not None
        process.stdin.write("measure\n")
        process.stdin.flush()
    outputs = [process.stdout.readline() for process in running if process.stdout is not None]
    for process in running:  # they share pages as long as all of them are there
        process.communicate()
    if any(process.returncode for process in running):
        raise SystemExit(f"{folder}: a process failed")
    found = [json.loads(output) for output in outputs]
    taken = np.concatenate([one["ms"][FIRST:] for one in found])
    return {
        "first_s": max(one["first"] for one in found),
        "p50_ms": float(np.percentile(taken, 50)),
        "p99_ms": float(np.percentile(taken, 99)),
        "own_mib": max(one["own"] for one in found) / MIB,
        "model_mib": sum(one["files"] for one in found) / MIB,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows-file", help=argparse.SUPPRESS)
    parser.add_argument("--started", type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rows_file:
        print(json.dumps(answer(str(options.models[0]), options.rows_file, options.k, options.started)), flush=True)
        sys.stdin.read()  # until the others are measured
        return
    from xmcbench.data import load
    from xmcbench.models.card import read_card

    results: dict[str, dict[str, dict[str, float]]] = {}
    for folder in options.models:
        card = read_card(folder)
        features = load(card.dataset.name, card.dataset.view).test_inputs().features
        assert features is not None
        with tempfile.TemporaryDirectory() as temporary:
            rows = Path(temporary) / "rows.npz"
            sp.save_npz(rows, features[: FIRST + options.queries])
            together(folder, rows, options.k, 1)  # compiles the kernels, if they are not
            forget(folder)
            found = {"1, cold": together(folder, rows, options.k, 1)}
            found |= {str(count): together(folder, rows, options.k, count) for count in options.processes}
        results[f"{card.method.name} on {card.dataset.name}"] = found
    print(json.dumps(results) if options.json else table(results))


def table(results: dict[str, dict[str, dict[str, float]]]) -> str:
    head = "| model | processes | first answer, s | p50, ms | p99, ms | own, MiB | model, MiB |"
    lines = [head, "|" + " --- |" * 7]
    for name, found in results.items():
        for processes, one in found.items():
            cells = f"{one['first_s']:.2f} | {one['p50_ms']:.2f} | {one['p99_ms']:.2f} | {one['own_mib']:,.0f}"
            lines.append(f"| {name} | {processes} | {cells} | {one['model_mib']:,.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
