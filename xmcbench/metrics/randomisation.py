"""Paired randomisation test: would two methods that are alike differ so much, if chance had dealt out their results?

Under the null hypothesis each group of near-duplicate test rows could as well have come with the two methods swapped,
all its rows together. Swapping turns the sign of the group's difference; the denominators hang on the data alone, so
the sum of the signed differences is the statistic of every metric (Fisher 1935; Smucker, Allan & Carterette, CIKM 2007,
find this test right for ranked lists).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import UsageError
from xmcbench.metrics.partition import everywhere
from xmcbench.metrics.uncertainty import DENOMINATOR, checked_groups

RESAMPLES = 10_000  # a p of 0.05 is then known to ± 0.004, and 0.0001 is the least that can be shown
ROUNDING = 2.0**-24  # relative; rows are kept as float32
TIED = 1e-6  # of the sum of all differences: sums as near as this differ by the rounding of the kept rows
PIECE = 1024  # resamples a thread takes at once: fewer, and making tables would be felt


@dataclass(frozen=True)
class Test:
    """Outcome of a paired test of methods a and b.

    Attributes
    ----------
    difference : metric of a minus metric of b, as a fraction; None where the metric is 0/0.
    p : two-sided; None where the metric is 0/0.
    won, lost : rows where a's numerator is larger, smaller.
    """

    difference: float | None
    p: float | None
    won: int
    lost: int


def paired_test(
    rows_a: Mapping[str, NDArray[Any]],
    rows_b: Mapping[str, NDArray[Any]],
    name: str,
    groups: NDArray[Any] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Test | None:
    """Test one metric of two predictions for the same test rows.

    p is (1 + resamples at least as far from 0) / (1 + resamples), which is never 0 and never too small (Phipson &
    Smyth 2010). Where Hoeffding's inequality (1963) bounds the exact p below what so many resamples can show, p is that
    bound: too large as well, if anything, and still small after a correction for many pairs.

    Parameters
    ----------
    rows_a, rows_b : (n,) numerators under the metric's name, denominators under name + "/den" for a ratio metric:
        `Evaluation.rows` of the two, or what a record keeps of them.
    name : canonical metric name.
    groups : (n,) int, the smallest row number of each row's group of near-duplicates; None: every row is alone.
    seed : the same seed gives the same p, on any number of threads.

    Returns
    -------
    None where one side has no per-row numbers of that metric: it is one over labels, or was not asked for.

    Raises
    ------
    UsageError : numbers of rows, or denominators, differ; groups of other rows.
    """
    if name not in rows_a or name not in rows_b:
        return None
    a, b = (np.asarray(rows[name], np.float64) for rows in (rows_a, rows_b))
    if len(a) != len(b):
        raise UsageError(f"{name}: {len(a)} rows against {len(b)}", "Compare predictions for the same test rows.")
    divisor = _divisor(rows_a, rows_b, name, len(a))
    counts = int((a > b).sum()), int((a < b).sum())
    if divisor == 0:
        return Test(None, None, *counts)
    d, size = a - b, np.abs(a) + np.abs(b)
    if groups is not None:
        groups = checked_groups(groups, len(a))
        d, size = (np.bincount(groups, column).astype(np.float64) for column in (d, size))
    return Test(float((a - b).sum() / divisor), _p(d[np.abs(d) > ROUNDING * size], resamples, seed), *counts)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for their number, in the order given: those up to α show a family-wise error of α (Holm 1979).

    The smallest is multiplied by how many there are, the next by one less, and so on; none is smaller than the one
    before it, none above 1.
    """
    adjusted, least = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        least = max(least, min(1.0, p[i] * (len(p) - rank)))
        adjusted[i] = least
    return adjusted


def bound(d: NDArray[np.float64]) -> float:
    """At least the exact p of the sum of d under random signs: 2 exp(−(Σd)² / 2 Σd²) (Hoeffding 1963, theorem 2)."""
    squares = float((d**2).sum())
    far = max(0.0, abs(float(d.sum())) - TIED * float(np.abs(d).sum()))
    return min(1.0, 2 * math.exp(-(far**2) / (2 * squares))) if squares else 1.0


def _p(d: NDArray[np.float64], resamples: int, seed: int) -> float:
    """The p of (g,) group differences, none of them 0."""
    from xmcbench.metrics import kernels

    if len(d) == 0:
        return 1.0
    at_most = bound(d)
    if at_most < 1 / (1 + resamples):
        return at_most
    padded = np.zeros(-(-len(d) // 64) * 64)
    padded[: len(d)] = d
    states = np.random.SeedSequence(seed).generate_state(resamples, np.uint64)
    sums = np.empty(resamples)
    everywhere(resamples, lambda begin, end: kernels.flip(begin, end, padded, states, sums), size=PIECE)
    far = abs(float(d.sum())) - TIED * float(np.abs(d).sum())
    return (1 + int((np.abs(sums) >= far).sum())) / (1 + resamples)


def _divisor(rows_a: Mapping[str, NDArray[Any]], rows_b: Mapping[str, NDArray[Any]], name: str, n: int) -> float:
    """What the sum of numerators is divided by, which must be the same for both."""
    of_a, of_b = rows_a.get(name + DENOMINATOR), rows_b.get(name + DENOMINATOR)
    if of_a is None and of_b is None:
        return float(n)
    if of_a is None or of_b is None or of_a.shape != of_b.shape or not np.allclose(of_a, of_b, rtol=1e-5, atol=0):
        raise UsageError(
            f"{name}: the two sides have other denominators", "Compare predictions scored on the same test rows."
        )
    return float(of_a.sum(dtype=np.float64))
