"""Checks, metrics, intervals and a record of 742,507 rows × top 100 × 2.8 M labels, the shape of Amazon-3M's test set.

    python tests/benchmarks/large_metrics.py [--json] [--rows N] [--samples N]

Predictions and truth are random: 36 true labels a row, half of them predicted. Each step has its seconds, wall and CPU,
and the most memory that the process held in it beyond what was there before the first step: the data set and the
predictions. Bounds: 60 seconds in all, and no more memory than the predictions take once more, so that both together
are twice their bytes. Exit code 1 beyond them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmcbench.data.spec import Dataset, Split
from xmcbench.memory import held
from xmcbench.metrics import Truth, evaluate
from xmcbench.metrics.evaluation import default_metrics
from xmcbench.records.external import record_external
from xmcbench.records.store import Store
from xmcbench.runs.measure import PeakMemory
from xmcbench.topk import TopK, checked

N_LABELS, K, PER_ROW, TRAIN = 2_812_281, 100, 36, 171_790
SECONDS, BYTES = 60.0, 2.0
BLOCK = 50_000


def predictions(n: int) -> TopK:
    """Scattered distinct labels in every row, with falling scores; made in blocks."""
    rng = np.random.default_rng(0)
    top = TopK.padding(n, K)
    for first in range(0, n, BLOCK):
        rows = slice(first, min(first + BLOCK, n))
        count = rows.stop - rows.start
        stride = rng.integers(1, N_LABELS // K, (count, 1))  # a row spans less than all labels, so it meets none twice
        top.ids[rows] = (rng.integers(0, N_LABELS, (count, 1)) + stride * np.arange(K)) % N_LABELS
        top.scores[rows] = np.sort(rng.random((count, K), np.float32), axis=1)[:, ::-1]
    return top


def truth_of(ids: np.ndarray[Any, Any] | None, n: int, seed: int) -> sp.csr_matrix:
    """(n, L) true labels by a Zipf law; half of them among the first ranks of `ids`, if given."""
    rng = np.random.default_rng(seed)
    parts = []
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        row = np.repeat(np.arange(count), rng.poisson(PER_ROW, count))
        label = np.minimum(rng.zipf(1.2, len(row)), N_LABELS) - 1
        if ids is not None:
            rank = np.minimum(rng.geometric(0.05, len(row)) - 1, K - 1)
            label = np.where(rng.random(len(row)) < 0.5, ids[first + row, rank], label)
        part = sp.csr_matrix((np.ones(len(row), np.float32), (row, label)), shape=(count, N_LABELS))
        part.sum_duplicates()
        part.data[:] = 1
        parts.append(part)
    return sp.csr_matrix(sp.vstack(parts, format="csr"))


def dataset_of(topk: TopK) -> Dataset:
    """A data set with these test labels and few near-duplicates."""
    n = topk.n_rows
    test, train = Split(None, None, truth_of(topk.ids, n, 1)), Split(None, None, truth_of(None, TRAIN, 2))
    names = {"name": "large", "view": "bow", "revision": "1", "content_hash": "sha256:0", "propensity": (0.6, 2.6)}
    data = Dataset(train=train, test=test, **names)  # type: ignore[arg-type]
    near = np.arange(n, dtype=np.int32)
    near[1::20] -= 1
    vars(data)["near_groups"] = near
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=742_507)
    parser.add_argument("--samples", type=int, default=1000)
    options = parser.parse_args()
    small = predictions(2_000)
    small_data = dataset_of(small)
    small_truth = Truth.of(small_data)
    evaluate(small, small_truth, default_metrics(small_truth), samples=16, groups=small_data.near_groups)  # compiles
    del small, small_data, small_truth
    topk = predictions(options.rows)
    data = dataset_of(topk)
    n_bytes, before = topk.ids.nbytes + topk.scores.nbytes, held()
    steps: list[dict[str, Any]] = []

    def step(name: str, work: Callable[[], Any]) -> Any:
        start, cpu = time.perf_counter(), time.process_time()
        with PeakMemory() as memory:
            result = work()
        beyond = (memory.rss_bytes or 0) - shared - before
        seconds = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        steps.append({"step": name, **seconds, "beyond": beyond / n_bytes})
        return result

    with PeakMemory() as now:
        pass
    shared = (now.rss_bytes or 0) - held()  # pages of libraries
    step("check", lambda: checked(topk, topk.n_rows, N_LABELS))
    truth = step("truth", lambda: Truth.of(data))
    names = default_metrics(truth)
    step("metrics", lambda: evaluate(topk, truth, names, samples=0))
    evaluation = step(
        "metrics and intervals", lambda: evaluate(topk, truth, names, samples=options.samples, groups=data.near_groups)
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        step("record", lambda: record_external(store, data, "mine", topk, evaluation, file_sha256="0" * 64))
        written = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    total = sum(one["seconds"] for one in steps if one["step"] != "metrics")
    most = 1 + max(one["beyond"] for one in steps)
    good = total <= SECONDS and most <= BYTES
    if options.json:
        print(json.dumps({"steps": steps, "seconds": total, "memory": most, "written": written}))
    else:
        for one in steps:
            numbers = f"{one['seconds']:7.1f} s {one['cpu']:7.1f} s CPU, memory {1 + one['beyond']:5.2f} ×"
            print(f"{one['step']:24}{numbers} the predictions")
        print(f"all: {total:.1f} s of at most {SECONDS:.0f}, {most:.2f} × of at most {BYTES:.0f} ×", end="")
        print(f" {n_bytes / 2**20:.0f} MiB of predictions; {written / 2**20:.0f} MiB written; {len(names)} metrics")
    raise SystemExit(not good)


if __name__ == "__main__":
    main()
