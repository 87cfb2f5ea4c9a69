"""Paired test of two methods on 150,000 rows with 10,000 resamples: xmcbench against plain numpy, and against scipy.

    python tests/benchmarks/paired_test.py [--json] [--rows N] [--repeats N] [--scipy-resamples N]

All get the same differences, one for each row and none of them 0, so nothing can be left out. numpy multiplies random
signs with the differences; scipy's permutation_test swaps the samples of pairs. They do fewer resamples, and their
seconds are scaled up to 10,000 (`numpy_seconds`, `scipy_seconds`). The p-values must agree as far as so few resamples
tell. `ratio` is numpy / ours in seconds.
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
from xmcbench.metrics.partition import threads
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

    result = permutation_test(
        (x, y),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=10,  # 150,000 rows × 10 × two sides in float64 is 24 MB
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def numpy_test(a: Column, b: Column, resamples: int) -> float:
    """The p-value as one writes it with numpy: random bytes unpacked to signs, times the differences."""
    rng, d = np.random.default_rng(0), a.astype(np.float64) - b
    sums = []
    for _ in range(0, resamples, 50):  # 50 × 150,000 signs in float64 are 60 MB
        bits = np.unpackbits(rng.integers(0, 256, (50, -(-len(d) // 8)), np.uint8), axis=1)[:, : len(d)]
        sums.append((bits * 2.0 - 1.0) @ d)
    return float((1 + (np.abs(np.concatenate(sums)) >= abs(d.sum()) * (1 - 1e-12)).sum()) / (1 + 50 * len(sums)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--numpy-resamples", type=int, default=1000)
    parser.add_argument("--scipy-resamples", type=int, default=100)
    options = parser.parse_args()
    a, b, denominators = data(options.rows)
    rows_a, rows_b = ({"PSP@5": x, "PSP@5/den": denominators} for x in (a, b))
    paired_test(rows_a, rows_b, "PSP@5", resamples=64)  # compiles
    taken = []
    for _ in range(options.repeats):
        start = time.perf_counter()
        mine = paired_test(rows_a, rows_b, "PSP@5")
        taken.append(time.perf_counter() - start)
    assert mine is not None
    assert mine.p is not None
    result = {"name": "paired_test", "rows": options.rows, "resamples": RESAMPLES, "threads": threads()}
    result |= {"ours_seconds": statistics.median(taken), "p": mine.p}
    for other, test, resamples in (
        ("numpy", numpy_test, options.numpy_resamples),
        ("scipy", scipy_test, options.scipy_resamples),
    ):
        start = time.perf_counter()
        p = test(a, b, resamples)
        measured = time.perf_counter() - start
        spread = 10 * math.sqrt(mine.p * (1 - mine.p) / resamples)  # scipy doubles a one-sided p, and its error
        assert abs(mine.p - p) < spread, f"p = {mine.p}, by {other} {p}"
        result |= {f"{other}_seconds": measured * RESAMPLES / resamples, f"{other}_measured_seconds": measured}
        result |= {f"{other}_resamples": resamples, f"{other}_p": p}
    result["ratio"] = result["numpy_seconds"] / result["ours_seconds"]
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.rows:,} rows, {RESAMPLES:,} resamples, {threads()} threads")
    print(f"xmcbench {result['ours_seconds']:.2f} s, p = {mine.p:.4f}")
    for other in ("numpy", "scipy"):
        print(
            f"{other} {result[f'{other}_seconds']:.0f} s ({result[f'{other}_measured_seconds']:.1f} s for "
            f"{result[f'{other}_resamples']:,}, scaled), p = {result[f'{other}_p']:.4f}"
        )
    print(f"ratio to numpy {result['ratio']:.0f}")


if __name__ == "__main__":
    main()
