"""Search among dense labels against faiss: seconds and memory of the exact search, recall and speed of the graph.

    python tests/benchmarks/dense_search.py [--json] [--labels L] [--width D] [--queries N] [--mining] [--repeats N]

Both exact sides search the same float32 vectors (100,000 labels of 384 dimensions, as many as 2,560 queries at once,
and one), with the same number of threads, and take turns; `ratio` is ours / faiss (`IndexFlatIP`) of median seconds,
below 1 where ours is faster. They must show the same labels but where scores differ by less than rounding. Memory is
the most that a separate process held beyond vectors, index and code. `--mining` adds 50,000 queries among 47,000
labels of 256 dimensions at k = 100, once, ours alone.

Labels are unit vectors around 1,000 centres, times norms of log-normal size (σ = 0.3); a query is a label's direction
and half as much noise. The graph's recall is its share of the exact best 10; its queries per second are for all at
once; `exact` is that of the exact search. All from one generator with seed 0.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of faiss that spin take the cores from ours

import faiss
import numba
import numpy as np
from numpy.typing import NDArray

from xmcbench.dense.ann import Hnsw, recall
from xmcbench.dense.exact import nearest
from xmcbench.runs.machine import thread_limits

Floats = NDArray[np.float32]
ROUNDING = 1e-5


def unit(rng: np.random.Generator, n: int, width: int) -> Floats:
    x = rng.standard_normal((n, width), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def drawn(n: int, n_labels: int, width: int) -> tuple[Floats, Floats]:
    """Queries and labels as the module says."""
    rng = np.random.default_rng(0)
    directions = unit(rng, 1000, width)[rng.integers(0, 1000, n_labels)] + unit(rng, n_labels, width)
    queries = directions[rng.integers(0, n_labels, n)] + np.float32(0.5) * unit(rng, n, width)
    return queries, directions * rng.lognormal(0, 0.3, (n_labels, 1)).astype(np.float32)


def seconds(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall seconds of each call, in turns so that a slow spell of the machine meets all of them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def flat(labels: Floats) -> Any:
    index = faiss.IndexFlatIP(labels.shape[1])
    index.add(labels)
    return index


def exact(queries: Floats, labels: Floats, repeats: int) -> list[dict[str, object]]:
    """One line for each n and k."""
    index, lines = flat(labels), []
    for n in (1, len(queries)):
        for k in (5, 10, 100):
            asked = queries[:n]
            top = nearest(asked, labels, k)
            scores, ids = index.search(asked, k)  # both are warm now
            np.testing.assert_allclose(top.scores, scores, rtol=ROUNDING, atol=ROUNDING)
            assert (top.ids == ids).mean() > 0.99, "the two show different labels"
            works = [
                lambda asked=asked, k=k: nearest(asked, labels, k),
                lambda asked=asked, k=k: index.search(asked, k),
            ]
            ours, other = seconds(works, repeats if n > 1 else 40 * repeats)
            lines.append({"n": n, "k": k, "ours_ms": 1e3 * ours, "faiss_ms": 1e3 * other, "ratio": ours / other})
    return lines


def graph(queries: Floats, labels: Floats, repeats: int) -> dict[str, object]:
    start = time.perf_counter()
    index = Hnsw(labels)
    built, exact_best = time.perf_counter() - start, nearest(queries, labels, 10)
    (whole,) = seconds([lambda: nearest(queries, labels, 10)], 1)
    lines = [{"ef": "exact", "recall": 1.0, "queries_per_second": len(queries) / whole}]
    for ef in (10, 50, 100, 200):
        top = index.search(queries, 10, ef)
        (taken,) = seconds([lambda ef=ef: index.search(queries, 10, ef)], repeats)
        lines.append({"ef": ef, "recall": recall(top, exact_best), "queries_per_second": len(queries) / taken})
    return {"build_seconds": built, "by_ef": lines}


def extra_memory(side: str, queries: Floats, labels: Floats) -> int:
    """Most bytes held beyond vectors, index and code while all queries are searched at k = 100; Linux only."""
    index = flat(labels) if side == "faiss" else None
    for asked in (queries[:1], queries):
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        if index is None:
            nearest(asked, labels, 100)
        else:
            index.search(asked, 100)
    return _status("VmHWM") - before


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--queries", type=int, default=2560)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--mining", action="store_true", help="add the long search of mining")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--memory-only", choices=("ours", "faiss"), help="print the bytes of one side and stop")
    return parser.parse_args()


def measure(options: argparse.Namespace, queries: Floats, labels: Floats) -> dict[str, Any]:
    result: dict[str, Any] = {"name": "dense_search", "labels": len(labels), "width": labels.shape[1]}
    result |= {"threads": options.threads, "faiss": faiss.__version__, "exact": exact(queries, labels, options.repeats)}
    result["ratio"] = max(float(line["ratio"]) for line in result["exact"])
    result["graph"] = graph(queries, labels, options.repeats)
    for side in ("ours", "faiss"):
        again = [sys.executable, *sys.argv, "--memory-only", side]
        result[f"{side}_bytes"] = int(subprocess.run(again, check=True, capture_output=True, text=True).stdout)
    if options.mining:
        queries, labels = drawn(50_000, 47_000, 256)
        (result["mining_seconds"],) = seconds([lambda: nearest(queries, labels, 100)], 1)
    return result


def show(result: dict[str, Any]) -> None:
    print("L {labels:,}, D {width}, {threads} threads, faiss {faiss}".format(**result))
    print(f"{'n':>6} {'k':>4} {'ours ms':>10} {'faiss ms':>10} {'ratio':>6}")
    for line in result["exact"]:
        print("{n:6} {k:4} {ours_ms:10.2f} {faiss_ms:10.2f} {ratio:6.2f}".format(**line))
    print(f"memory     {result['ours_bytes'] / 2**20:10.1f} {result['faiss_bytes'] / 2**20:10.1f} MiB beyond the input")
    print("graph: {build_seconds:.1f} s".format(**result["graph"]))
    print(f"{'ef':>6} {'recall@10':>10} {'queries/s':>10}")
    for line in result["graph"]["by_ef"]:
        print("{ef:>6} {recall:10.4f} {queries_per_second:10,.0f}".format(**line))
    if "mining_seconds" in result:
        print(f"mining {result['mining_seconds']:.1f} s")


def main() -> None:
    options = arguments()
    options.threads = min(options.threads, numba.config.NUMBA_NUM_THREADS)
    with thread_limits(options.threads):
        queries, labels = drawn(options.queries, options.labels, options.width)
        if options.memory_only:
            print(extra_memory(options.memory_only, queries, labels))
            return
        result = measure(options, queries, labels)
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


if __name__ == "__main__":
    main()
