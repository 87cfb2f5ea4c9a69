"""Seconds to build a leaderboard from many records: when nothing was tested yet, and with the tests remembered.

    python tests/benchmarks/board.py [--json] [--records N] [--documents N]

Records are copies of one real run under other labels, seeds and data sets, with hits drawn anew: eight data sets,
three seeds a row. Each build is a separate process, as a user starts it. The limits are for 1,000 records on two cores
that are otherwise idle; `first_cpu_seconds` hardly depends on what else runs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.row_values import TESTED
from xmcbench.records.store import Store

FIRST_LIMIT, REMEMBERED_LIMIT = 40.0, 10.0
DATA_SETS, SEEDS = 8, 3
SYNTHETIC = "synthetic[labels=100,rows=500,test=100]"


def fill(folder: Path, like: Record, records: int, documents: int) -> None:
    """Records of rows that get better one by one, on data sets that differ in their documents alone."""
    store, rng = Store(folder), np.random.default_rng(0)
    rows = records // (DATA_SETS * SEEDS)
    for d in range(DATA_SETS):
        denominators = (1 + rng.pareto(2.0, documents)).astype(np.float32)
        hard = rng.random(documents)
        for i in range(records):
            if i % DATA_SETS != d:
                continue
            row, seed = divmod(i // DATA_SETS, SEEDS)
            skill = 0.3 + 0.6 * row / max(1, rows)
            add(store, like, d, row, seed, (skill > (hard + rng.normal(0, 0.1, documents))), denominators)


def add(store: Store, like: Record, d: int, row: int, seed: int, hits: Any, denominators: Any) -> None:
    numerators = {name: hits.astype(np.float32) for name in TESTED}
    numerators["PSP@5"] = hits * denominators
    values = {name: float(column.mean(dtype=np.float64)) for name, column in numerators.items()}
    values["PSP@5"] = float(numerators["PSP@5"].sum(dtype=np.float64) / denominators.sum(dtype=np.float64))
    metrics_kept = [m for m in like.metrics if m.name in values or ":" in m.name]
    drawn = {"best": 1.0, "low": 0.0, "high": 1.0}  # those of the copied run don't hold
    name = f"method-{row}"
    record = record_file.changed(
        like,
        run_id=f"{row:04}-{seed}-{d}",
        method=replace(like.method, name=name, label=name, deterministic=False),
        dataset=replace(like.dataset, name=f"data-{d}", content_hash=f"sha256:{d}", n_test=len(hits)),
        metrics=[replace(m, **drawn, value=values.get(m.name, m.value)) for m in metrics_kept],
        seed=seed,
        supersedes=None,
    )
    near = np.arange(len(hits), dtype=np.int32)
    store.add(record, None, {**numerators, "PSP@5/den": denominators, "near": near})


def build(folder: Path, *more: str) -> float:
    start = time.perf_counter()
    words = [sys.executable, "-m", "xmcbench", "board", "build", "--folder", str(folder), *more]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(records: int, documents: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        results, folder = Path(temporary) / "results", Path(temporary) / "leaderboards"
        run = [sys.executable, "-m", "xmcbench", "run", "popularity", "--dataset", SYNTHETIC]
        subprocess.run([*run, "--results", str(results)], check=True, stdout=subprocess.DEVNULL)
        (like,) = Store(results).records()
        fill(folder, like, records, documents)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        first = build(folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        again = sorted(build(folder) for _ in range(3))[1]
        page = folder / "index.html"
        return {
            "records": len(list((folder / "records").glob("*.json"))),
            "tables": DATA_SETS,
            "documents": documents,
            "first_seconds": round(first, 2),
            "first_limit": FIRST_LIMIT,
            "first_cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
            "remembered_seconds": round(again, 2),
            "remembered_limit": REMEMBERED_LIMIT,
            "page_bytes": page.stat().st_size if page.is_file() else None,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--records", type=int, default=1000)
    parser.add_argument("--documents", type=int, default=6000, help="test documents of each data set, as eurlex-4.3k's")
    asked = parser.parse_args()
    seconds = measure(asked.records, asked.documents)
    print(json.dumps(seconds) if asked.json else "\n".join(f"{key:20} {value}" for key, value in seconds.items()))


if __name__ == "__main__":
    main()
