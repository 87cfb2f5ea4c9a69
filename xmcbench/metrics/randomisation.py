"""Paired randomisation test of two methods on the same test rows.

Under the null hypothesis, swapping the two methods on any group of near-duplicate test rows (all its rows together)
changes nothing. A swap flips the sign of the group's difference. The denominators depend only on the data, so the sum
of the signed differences is the test statistic for every metric (Fisher 1935; Smucker, Allan & Carterette, CIKM 2007,
recommend this test for ranked lists).

Signs are drawn for two halves of the groups, and each draw of one half is combined with each of the other: `RESAMPLES`
draws give their square of sums. The swaps that were observed, none, are one more draw of either half. Under the null
hypothesis the observed draw of a half is like any other one, so the observed sum has each place among all sums with the
same probability, and its p, the share of sums that are as far from 0, is valid: P(p ≤ α) ≤ α. (Of single draws, this is
the rule (1 + further resamples) / (1 + resamples): Phipson & Smyth 2010.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import UsageError
from xmcbench.metrics.partition import everywhere
from xmcbench.metrics.uncertainty import Pair, checked_groups, paired

RESAMPLES = 10_000  # gives p = 0.05 to ± 3 %, and p = 0.00025 to ± 15 %, for which sums of single draws need 200,000
ROUNDING = 2.0**-24  # relative error of the per-row numbers, which are stored as float32
TIED = 1e-6  # two sums are tied if they differ by less than this share of Σ|d|: rounding of the stored rows
PIECE = 1024  # resamples per thread and call: with fewer, building the tables would take a noticeable share


@dataclass(frozen=True)
class Test:
    """Outcome of a paired test of methods a and b.

    Attributes
    ----------
    difference : metric of a minus metric of b, as a fraction; None where the metric is 0/0.
    p : two-sided; None where the metric is 0/0.
    won, lost : number of rows where a's numerator is larger, smaller.
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

    p is never 0. If Hoeffding's inequality (1963) bounds the exact p below 1 / (1 + resamples), p is that bound: it is
    never too small, and it stays small after a correction for many pairs.

    Parameters
    ----------
    rows_a, rows_b : (n,) numerators under the metric's name, denominators under name + "/den" for a ratio metric:
        `Evaluation.rows` of the two, or the arrays stored with their records.
    name : canonical metric name.
    groups : (n,) int, the smallest row number of each row's near-duplicate group; None: every row is its own group.
    seed : the same seed gives the same p, on any number of threads.

    Returns
    -------
    None if one side has no per-row numbers of the metric: it is a metric over labels, or was not computed.

    Raises UsageError: the sides differ in number of rows or in denominators, or `groups` is of other rows.
    """
    if (both := paired(rows_a, rows_b, name)) is None:
        return None
    a, b = (np.asarray(side[0], np.float64) for side in both)
    divisor = _divisor(name, *both)
    counts = int((a > b).sum()), int((a < b).sum())
    if divisor == 0:
        return Test(None, None, *counts)
    sums_a, sums_b = (side if groups is None else group_sums(side, groups) for side in (a, b))
    return Test(float((a - b).sum() / divisor), p_of(sums_a, sums_b, resamples, seed), *counts)


def group_sums(numerators: NDArray[Any], groups: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) sums of (n,) numerators over each near-duplicate group, at the group's number; elsewhere 0.

    Raises UsageError: groups of other rows.
    """
    n = len(numerators)
    return np.bincount(checked_groups(groups, n), numerators, n).astype(np.float64)


def holm(p: Sequence[float]) -> list[float]:
    """p-values adjusted for multiple tests, in the given order; rejecting at α has family-wise error α (Holm 1979).

    The smallest of m p-values is multiplied by m, the next by m − 1, and so on, up to 1; the adjusted values keep the
    order of the p-values.
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, p[i] * (len(p) - rank)))
        adjusted[i] = largest
    return adjusted


def bound(d: NDArray[np.float64]) -> float:
    """Upper bound of the exact p of Σd under random signs: 2 exp(−(Σd)² / 2 Σd²) (Hoeffding 1963, theorem 2)."""
    squares = float((d**2).sum())
    distance = max(0.0, abs(float(d.sum())) - TIED * float(np.abs(d).sum()))
    return min(1.0, 2 * math.exp(-(distance**2) / (2 * squares))) if squares else 1.0


def p_of(a: NDArray[np.float64], b: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 0) -> float:
    """The p of `paired_test` for (g,) sums of two methods' numerators, which are not negative, over the groups."""
    from xmcbench.metrics import kernels

    d = a - b
    d = d[np.abs(d) > ROUNDING * (a + b)]
    distance = abs(float(d.sum())) - TIED * float(np.abs(d).sum())
    if distance <= 0:
        return 1.0
    if (upper_bound := bound(d)) < 1 / (1 + resamples):
        return upper_bound
    states = np.random.SeedSequence(seed).generate_state(2 * resamples, np.uint64).reshape(2, resamples)
    sums = np.empty((2, resamples + 1))
    for half, of_half, drawn in zip((d[::2], d[1::2]), states, sums, strict=True):
        padded = np.zeros(-(-len(half) // 64) * 64)
        padded[: len(half)] = half
        work = partial(kernels.flip, d=padded, states=of_half, sums=drawn)
        everywhere(resamples, work, size=PIECE)
        drawn[resamples] = half.sum()  # as observed
    sums.sort(axis=1)
    first, second = sums
    far = np.searchsorted(second, -distance - first, "right").sum()  # sums up to −distance
    far += second.size * first.size - np.searchsorted(second, distance - first, "left").sum()
    return float(far / (first.size * second.size))


def _divisor(name: str, a: Pair, b: Pair) -> float:
    """Sum of the denominators, which must be the same on both sides."""
    (top, den_a), (_, den_b) = a, b
    if den_a is None and den_b is None:
        return float(len(top))
    if den_a is None or den_b is None or den_a.shape != den_b.shape or not np.allclose(den_a, den_b, rtol=1e-5, atol=0):
        raise UsageError(
            f"{name}: the two sides have different denominators", "Compare predictions scored on the same test rows."
        )
    return float(den_a.sum(dtype=np.float64))
