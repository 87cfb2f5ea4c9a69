"""Paired test of two methods on 150,000 rows with 10,000 resamples: xmcbench against scipy's permutation_test.

    python tests/benchmarks/paired_test.py [--json] [--rows N] [--repeats N] [--scipy-resamples N]

Both sides get the same differences, one for each row and none of them 0, so nothing can be left out. scipy takes
minutes for 10,000 resamples: it does fewer, and its seconds are scaled up (`other_seconds`; `other_measured_seconds` is
what was measured). The p-values must agree as far as so few resamples tell. `ratio` is other / ours in seconds.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from xmcbench.metrics import paired_test
from xmcbench.metrics.pieces import threads
from xmcbench.metrics.randomisation import RESAMPLES

Column = NDArray[np.float32]


def data(n: int) -> tuple[Column, Column, Column]:
    """Numerators of two methods and denominators, as PSP has them; a true difference of about one standard error."""
    rng = np.random.default_rng(0)
    denominators = (1 + rng.pareto(2.0, n)).astype(np.float32)
    a, b = (denominators * rng.random((2, n))).astype(np.float32)
    scale = float(np.sqrt(((a - b).astype(np.float64) ** 2).sum()))
    a += np.float32((scale - float((a - b).sum(dtype=np.float64))) / n)
    return a, b, denominators


def scipy_test(a: Column, b: Column, resamples: int) -> float:
    """scipy's p-value: samples are swapped within pairs."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def statistic(x: NDArray[np.float64], y: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        return np.asarray((x - y).sum(axis=axis))

    found = permutation_test(
        (x, y),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=10,  # 150,000 rows × 10 × two sides in float64 is 24 MB
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scipy-resamples", type=int, default=200)
    options = parser.parse_args()
    a, b, denominators = data(options.rows)
    rows_a, rows_b = ({"PSP@5": x, "PSP@5/den": denominators} for x in (a, b))
    paired_test(rows_a, rows_b, "PSP@5", resamples=64)  # compiles
    taken = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        mine = paired_test(rows_a, rows_b, "PSP@5")
        taken.append(time.perf_counter() - start)
    start = time.perf_counter()
    theirs = scipy_test(a, b, options.scipy_resamples)
    measured = time.perf_counter() - start
    assert mine is not None
    assert mine.p is not None
    spread = 5 * math.sqrt(mine.p * (1 - mine.p) / options.scipy_resamples) + 2 / options.scipy_resamples
    assert abs(mine.p - theirs) < spread, f"the two sides say p = {mine.p} and {theirs}"
    ours, other = statistics.median(taken), measured * RESAMPLES / options.scipy_resamples
    result = {
        "name": "paired_test",
        "rows": options.rows,
        "resamples": RESAMPLES,
        "threads": threads(),
        "ours_seconds": ours,
        "other_seconds": other,
        "other_measured_seconds": measured,
        "other_resamples": options.scipy_resamples,
        "ratio": other / ours,
        "p": mine.p,
        "other_p": theirs,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.rows:,} rows, {RESAMPLES:,} resamples, {threads()} threads")
    print(
        f"xmcbench {ours:.2f} s, scipy {other:.0f} s ({measured:.1f} s for {options.scipy_resamples}, scaled), "
        f"ratio {other / ours:.0f}"
    )
    print(f"p = {mine.p:.4f}, scipy {theirs:.4f}")


if __name__ == "__main__":
    main()
