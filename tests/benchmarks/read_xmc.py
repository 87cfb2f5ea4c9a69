"""Our XMC text reader against scikit-learn's `load_svmlight_file`, on one synthetic file, medians of several readings.

    python tests/benchmarks/read_xmc.py [--json] [--rows 40000] [--repeats 3] [--threads 2]

The file has the form and size of EURLex-4K's training file, larger: rows × 200 features of 5,000, about five labels of
4,000 a row, values of six decimals. scikit-learn reads the same bytes without the header line, which it doesn't know.
Numba's compilation is left out: each reader runs once on a small file first. `ratio` is scikit-learn's seconds / ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def write_file(path: Path, rows: int, seed: int = 0) -> None:
    """`path` with a header, and `path` + ".svm" without one."""
    rng = np.random.default_rng(seed)
    with open(path, "w") as with_header, open(f"{path}.svm", "w") as without:
        with_header.write(f"{rows} 5000 4000\n")
        for _ in range(rows):
            labels = np.unique(rng.integers(0, 4000, rng.integers(3, 8))).astype(str)
            ids = np.unique(rng.integers(0, 5000, 200))
            pairs = " ".join(f"{i}:{v:.6f}" for i, v in zip(ids.tolist(), rng.random(len(ids)).tolist(), strict=True))
            line = f"{','.join(labels)} {pairs}\n"
            with_header.write(line)
            without.write(line)


def seconds(work: Callable[[], Any], repeats: int) -> float:
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true", help="print one JSON object")
    options.add_argument("--rows", type=int, default=40_000)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--threads", type=int, default=2, help="threads of the second measurement of ours")
    chosen = options.parse_args()

    from sklearn.datasets import load_svmlight_file

    from xmcbench.data.matrix_text import read_xmc

    def theirs(path: Path) -> Any:
        return load_svmlight_file(f"{path}.svm", n_features=5000, dtype=np.float32, multilabel=True, zero_based=True)

    with tempfile.TemporaryDirectory() as folder:
        small, path = Path(folder, "small.txt"), Path(folder, "large.txt")
        write_file(small, 50)
        write_file(path, chosen.rows)
        theirs(small)
        read_xmc(small)
        ours, other = read_xmc(path)[0], theirs(path)[0]
        assert abs(ours - other).max() < 1e-6, "the two readers disagree"
        megabytes = path.stat().st_size / 1e6
        sklearn_s = seconds(lambda: theirs(path), chosen.repeats)
        one_s = seconds(lambda: read_xmc(path, threads=1), chosen.repeats)
        more_s = seconds(lambda: read_xmc(path, threads=chosen.threads), chosen.repeats)
    result = {
        "rows": chosen.rows,
        "megabytes": round(megabytes, 1),
        "sklearn_seconds": sklearn_s,
        "ours_seconds": more_s,
        "ours_one_thread_seconds": one_s,
        "threads": chosen.threads,
        "ratio_one_thread": sklearn_s / one_s,
        "ratio": sklearn_s / more_s,
    }
    if chosen.json:
        print(json.dumps(result))
        return
    print(f"{chosen.rows} rows, {megabytes:.0f} MB, medians of {chosen.repeats} (compilation left out)")
    print(f"scikit-learn   {sklearn_s:8.3f} s")
    print(f"ours, 1 thread {one_s:8.3f} s   ratio {result['ratio_one_thread']:.1f}")
    print(f"ours, {chosen.threads} threads{more_s:8.3f} s   ratio {result['ratio']:.1f}")


if __name__ == "__main__":
    main()
