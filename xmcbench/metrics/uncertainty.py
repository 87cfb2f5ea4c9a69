"""Bootstrap intervals over test rows: rows are drawn with replacement, the metric recomputed (Efron 1979, percentiles).

A ratio metric draws the rows of its numerator and its denominator together, since PSP is no mean of rows. Where groups
of near-duplicate rows are given, whole groups are drawn, as many as there are (a cluster bootstrap: Davison & Hinkley
1997, section 3.8): their outcomes are not independent, and intervals over single rows would be too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import UsageError
from xmcbench.metrics.partition import everywhere

DENOMINATOR = "/den"  # rows["PSP@5/den"] stands beside rows["PSP@5"]
COVERED = 0.95  # share of the bootstrap distribution between low and high

Pair = tuple[NDArray[Any], NDArray[Any] | None]  # numerators and denominators of n rows; None: every row counts once


@dataclass(frozen=True)
class Difference:
    """Metric of a minus metric of b, as a fraction, with the ends of its 95 % interval; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


def ratio(pair: Pair) -> float | None:
    """Sum of numerators over sum of denominators; None for 0/0."""
    top, bottom = pair
    divisor = float(len(top)) if bottom is None else float(bottom.sum(dtype=np.float64))
    return float(top.sum(dtype=np.float64)) / divisor if divisor else None


def intervals(
    pairs: Sequence[Pair], samples: int, seed: int, groups: NDArray[Any] | None = None
) -> list[tuple[float | None, float | None]]:
    """(low, high) of each ratio; all of them see the same resampled rows.

    Parameters
    ----------
    samples : resamples; 0 gives (None, None). seed : the same seed gives the same interval, on any number of threads.
    groups : (n,) int, the smallest row number of each row's group, or None: every row is alone.

    Raises
    ------
    UsageError : groups of other rows.
    """
    if samples <= 0 or not pairs or len(pairs[0][0]) == 0:
        return [(None, None)] * len(pairs)
    return [_ends(values) for values in _resampled(_together(pairs, groups), samples, seed)]


def difference(
    rows_a: Mapping[str, NDArray[Any]],
    rows_b: Mapping[str, NDArray[Any]],
    name: str,
    samples: int = 1000,
    seed: int = 0,
    groups: NDArray[Any] | None = None,
) -> Difference | None:
    """Paired bootstrap of one metric between two predictions for the same test rows.

    Parameters
    ----------
    rows_a, rows_b : `Evaluation.rows` of the two, or what a record keeps of them.
    name : canonical metric name. samples, seed, groups : as in `intervals`.

    Returns
    -------
    None where one side has no per-row numbers of that metric: it is one over labels, or was not asked for.

    Raises
    ------
    UsageError : the numbers of rows differ, or groups are of other rows.
    """
    if name not in rows_a or name not in rows_b:
        return None
    a, b = _pair(rows_a, name), _pair(rows_b, name)
    if len(a[0]) != len(b[0]):
        raise UsageError(f"{name}: {len(a[0])} rows against {len(b[0])}", "Compare predictions for the same test rows.")
    of_a, of_b = ratio(a), ratio(b)
    if of_a is None or of_b is None:
        return Difference(None, None, None)
    if samples <= 0:
        return Difference(of_a - of_b, None, None)
    values = _resampled(_together([a, b], groups), samples, seed)
    return Difference(of_a - of_b, *_ends(values[0] - values[1]))


def checked_groups(groups: NDArray[Any], n: int) -> NDArray[np.int64]:
    """(n,) group numbers, if they are row numbers of n rows.

    Raises
    ------
    UsageError : they are of another number of rows, or no row numbers.
    """
    groups = np.asarray(groups)
    whole = np.issubdtype(groups.dtype, np.integer)
    if groups.shape != (n,) or not whole or (n and not 0 <= groups.min() <= groups.max() < n):
        raise UsageError(f"groups of near-duplicates don't fit {n} rows", "Each row names the first row of its group.")
    return groups.astype(np.int64)


def _together(pairs: Sequence[Pair], groups: NDArray[Any] | None) -> Sequence[Pair]:
    """Sums over the groups in place of rows; a plain mean gets the groups' sizes as denominators."""
    if groups is None:
        return pairs
    groups = checked_groups(groups, len(pairs[0][0]))
    here = np.unique(groups)
    size = np.bincount(groups)[here].astype(np.float32)
    summed: dict[int, NDArray[Any]] = {}  # a column that many metrics share stays one

    def sums(column: NDArray[Any]) -> NDArray[Any]:
        if id(column) not in summed:
            summed[id(column)] = np.bincount(groups, column)[here].astype(np.float32)
        return summed[id(column)]

    return [(sums(top), size if bottom is None else sums(bottom)) for top, bottom in pairs]


def _pair(rows: Mapping[str, NDArray[Any]], name: str) -> Pair:
    return rows[name], rows.get(name + DENOMINATOR)


def _resampled(pairs: Sequence[Pair], samples: int, seed: int) -> NDArray[np.float64]:
    """(pairs, samples) the ratios of resampled rows; NaN for 0/0."""
    from xmcbench.metrics import kernels

    place: dict[int, int] = {}  # columns many metrics share (a slice's rows) are summed once
    columns: list[NDArray[Any]] = []
    for column in (column for pair in pairs for column in pair if column is not None):
        if id(column) not in place:
            place[id(column)] = len(columns)
            columns.append(column)
    table = np.empty((len(columns[0]), len(columns)), np.float32)
    for j, column in enumerate(columns):
        table[:, j] = column
    states = np.random.SeedSequence(seed).generate_state(samples, np.uint64)
    sums = np.empty((samples, len(columns)))
    everywhere(samples, lambda begin, end: kernels.resample(begin, end, table, states, sums), size=16)
    out = np.full((len(pairs), samples), np.nan)
    for row, (top, bottom) in zip(out, pairs, strict=True):
        divisor = np.full(samples, float(len(top))) if bottom is None else sums[:, place[id(bottom)]]
        np.divide(sums[:, place[id(top)]], divisor, out=row, where=divisor != 0)
    return out


def _ends(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None, None
    low, high = np.quantile(values, [(1 - COVERED) / 2, (1 + COVERED) / 2])
    return float(low), float(high)
