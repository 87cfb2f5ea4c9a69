"""Default metrics on 150,000 rows × top 100 × 131,073 labels: xmcbench against plain scipy and numpy.

    python tests/benchmarks/metrics.py [--json] [--rows N] [--repeats N]

Both sides get the same arrays and must agree to 1e-9. `ratio` is other / ours in seconds. `memory_ratio` is the most
memory `evaluate` held beyond what was there before, over the bytes of the predictions, in a separate process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from xmcbench.metrics import DEFAULT, Truth, evaluate
from xmcbench.topk import TopK

N_LABELS, K = 131_073, 100


def data(n: int) -> tuple[TopK, Truth]:
    """Scattered distinct predictions; Poisson many true labels a row, half of them predicted, mostly at early ranks."""
    rng = np.random.default_rng(0)
    stride = rng.integers(1, 43_690, (n, 1))
    stride += stride % 3 == 0  # 131,073 = 3 · 43,691: with such strides no row meets a label twice
    ids = ((rng.integers(0, N_LABELS, (n, 1)) + stride * np.arange(K)) % N_LABELS).astype(np.int32)
    scores = np.sort(rng.random((n, K), np.float32), axis=1)[:, ::-1]
    row = np.repeat(np.arange(n), rng.poisson(2.3, n))
    rank = np.minimum(rng.geometric(0.1, len(row)) - 1, K - 1)
    zipf = np.minimum(rng.zipf(1.2, len(row)), N_LABELS) - 1
    label = np.where(rng.random(len(row)) < 0.5, ids[row, rank], zipf)
    labels = sp.csr_matrix((np.ones(len(row), np.float32), (row, label)), shape=(n, N_LABELS))
    return TopK(ids, np.ascontiguousarray(scores)), Truth.build(labels, labels)


def straight(topk: TopK, truth: Truth) -> dict[str, float]:
    """The default metrics as one writes them with scipy: ranks as a CSR, times the truth, sums over what is left."""
    n, k = topk.ids.shape
    labels, weights = truth.labels, truth.inv_propensity
    ranks = np.tile(np.arange(1, k + 1, dtype=np.int32), n)
    predicted = sp.csr_matrix((ranks, topk.ids.flatten(), np.arange(0, n * k + 1, k)), shape=labels.shape)
    predicted.sort_indices()
    hits = predicted.multiply(labels).tocsr()
    rank, label = hits.data, hits.indices
    row = np.repeat(np.arange(n), np.diff(hits.indptr))
    total = np.diff(labels.indptr)
    filled = np.maximum(total, 1)
    discount = 1 / np.log2(np.arange(2, max(k, int(total.max())) + 2))
    true_row = np.repeat(np.arange(n), total)
    by_weight = np.lexsort((-weights[labels.indices], true_row))
    best = weights[labels.indices][by_weight]
    best_rank = np.arange(len(best)) - labels.indptr[true_row]
    out = {}
    for c in (1, 3, 5):
        top, best_top = rank <= c, best_rank < c
        ideal = np.cumsum(discount[:c])[np.minimum(filled, c) - 1]
        gain = discount[rank[top] - 1]
        out[f"P@{c}"] = top.sum() / (n * c)
        out[f"nDCG@{c}"] = (np.bincount(row[top], gain, n) / ideal).mean()
        out[f"PSP@{c}"] = weights[label[top]].sum() / best[best_top].sum()
        ours = np.bincount(row[top], weights[label[top]] * gain, n) / ideal
        most = np.bincount(true_row[best_top], best[best_top] * discount[best_rank[best_top]], n) / ideal
        out[f"PSnDCG@{c}"] = ours.sum() / most.sum()
    for c in (10, 100):
        out[f"R@{c}"] = (np.bincount(row[rank <= c], minlength=n) / filled).mean()
    out["RPrec"] = (np.bincount(row[rank <= total[row]], minlength=n) / filled).mean()
    labels_hit = np.bincount(label[rank <= 5], minlength=N_LABELS)
    true = np.bincount(labels.indices, minlength=N_LABELS)
    shown = np.bincount(topk.ids[:, :5].ravel(), minlength=N_LABELS)
    out["Coverage@5"] = (labels_hit > 0).sum() / (true > 0).sum()
    out["MacroF1@5"] = (2 * labels_hit / np.maximum(true + shown, 1))[true > 0].mean()
    return {name: float(out[name]) for name in DEFAULT}


def seconds(works: list[Callable[[], object]], repeats: int) -> list[float]:
    """Median wall seconds of each call, in turns so that a slow spell of the machine meets all of them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def extra_memory(n: int) -> float:
    """Most bytes `evaluate` held beyond those before it, over the bytes of the predictions; Linux only.

    A small evaluation before loads libraries and kernels; then the kernel's high-water mark is set back.
    """
    small, small_truth = data(2_000)
    evaluate(small, small_truth, samples=0)
    topk, truth = data(n)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    evaluate(topk, truth, samples=0)
    return (_status("VmHWM") - before) / (topk.ids.nbytes + topk.scores.nbytes)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument("--memory-only", action="store_true", help="print the memory ratio of this process and stop")
    options = parser.parse_args()
    if options.memory_only:
        print(extra_memory(options.rows))
        return
    topk, truth = data(options.rows)
    theirs, ours = straight(topk, truth), evaluate(topk, truth, samples=8).fractions()  # compiles all kernels
    worst = max(abs(theirs[name] - (ours[name] or 0.0)) for name in DEFAULT)
    assert worst < 1e-9, f"the two sides differ by {worst}"
    sides: list[Callable[[], object]] = [lambda: straight(topk, truth), lambda: evaluate(topk, truth, samples=0)]
    other, mine = seconds(sides, options.repeats)
    (both,) = seconds([lambda: evaluate(topk, truth, samples=1000)], 1)
    child = [sys.executable, __file__, "--memory-only", "--rows", str(options.rows)]
    memory = float(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    result = {
        "name": "metrics",
        "rows": options.rows,
        "ours_seconds": mine,
        "other_seconds": other,
        "ratio": other / mine,
        "memory_ratio": memory,
        "bootstrap_seconds": both - mine,
        "largest_difference": worst,
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.rows:,} rows × top {K} × {N_LABELS:,} labels, {len(DEFAULT)} metrics")
    print(f"xmcbench {mine:.3f} s, scipy and numpy {other:.3f} s, ratio {other / mine:.1f}")
    print(f"memory beyond the predictions: {memory:.2f} × the predictions")
    print(f"1,000 bootstrap resamples of all rows: {both - mine:.2f} s more")


if __name__ == "__main__":
    main()
