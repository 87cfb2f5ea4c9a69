"""Bootstrap intervals over test rows: rows are drawn with replacement, the metric recomputed (Efron 1979, percentiles).

For a ratio metric, a draw takes the numerator and the denominator of a row together. Near-duplicate groups are drawn
whole, as many groups as there are (a cluster bootstrap: Davison & Hinkley 1997, section 3.8): rows of a group are not
independent, and intervals over single rows would be too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import UsageError, counted
from xmcbench.metrics.partition import everywhere

NEAR = "near"  # name of the near-duplicate groups among per-row arrays
DENOMINATOR = "/den"  # suffix of denominators: rows["PSP@5"] and rows["PSP@5/den"]
GROUP_SIZES = 0  # in place of a column's identity, which is never 0
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
    """(low, high) of each ratio; all ratios use the same resampled rows.

    Parameters
    ----------
    samples : resamples; 0 gives (None, None). seed : the same seed gives the same interval, on any number of threads.
    groups : (n,) int, the smallest row number of each row's near-duplicate group; None: every row is its own group.

    Raises UsageError: groups of other rows.
    """
    if samples <= 0 or not pairs or len(pairs[0][0]) == 0:
        return [(None, None)] * len(pairs)
    return ends(resampled(pairs, samples, seed, groups))


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
    rows_a, rows_b : `Evaluation.rows` of the two, or the arrays stored with their records.
    name : canonical metric name. samples, seed, groups : as in `intervals`.

    Returns
    -------
    None if one side has no per-row numbers of the metric: it is a metric over labels, or was not computed.

    Raises UsageError: the sides differ in number of rows, or `groups` is of other rows.
    """
    if (both := paired(rows_a, rows_b, name)) is None:
        return None
    a, b = both
    ratio_a, ratio_b = ratio(a), ratio(b)
    if ratio_a is None or ratio_b is None:
        return Difference(None, None, None)
    if samples <= 0:
        return Difference(ratio_a - ratio_b, None, None)
    values = resampled([a, b], samples, seed, groups)
    return Difference(ratio_a - ratio_b, *ends(values[:1] - values[1:])[0])


def paired(
    rows_a: Mapping[str, NDArray[Any]], rows_b: Mapping[str, NDArray[Any]], name: str
) -> tuple[Pair, Pair] | None:
    """The per-row numbers of one metric on both sides, or None if one side has none.

    Raises UsageError: the sides differ in number of rows.
    """
    if name not in rows_a or name not in rows_b:
        return None
    a, b = ((rows[name], rows.get(name + DENOMINATOR)) for rows in (rows_a, rows_b))
    if len(a[0]) != len(b[0]):
        raise UsageError(
            f"{name}: {counted(len(a[0]), 'row')} against {len(b[0])}", "Compare predictions for the same test rows."
        )
    return a, b


def checked_groups(groups: NDArray[Any], n: int) -> NDArray[np.int64]:
    """(n,) int64 group numbers, checked to be row numbers of n rows.

    Raises UsageError: `groups` has another length, or values that are no row numbers.
    """
    groups = np.asarray(groups)
    integral = np.issubdtype(groups.dtype, np.integer)
    if groups.shape != (n,) or not integral or (n and not 0 <= groups.min() <= groups.max() < n):
        raise UsageError(
            f"groups of near-duplicates don't fit {n} rows", "Give each row the number of the first row of its group."
        )
    return groups.astype(np.int64)


def resampled(
    pairs: Sequence[Pair], samples: int, seed: int, groups: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """(pairs, samples) ratios of the resampled rows; NaN for 0/0.

    Calls with the same seed and the same groups, or number of rows, draw the same rows, so that their ratios are
    paired: see `intervals` for the parameters. Raises UsageError: groups of other rows.
    """
    from xmcbench.metrics import kernels

    table, place = _table(pairs, groups)
    states = np.random.SeedSequence(seed).generate_state(samples, np.uint64)
    sums = np.empty((samples, table.shape[1]))
    everywhere(samples, lambda begin, end: kernels.resample(begin, end, table, states, sums), size=16)
    out = np.full((len(pairs), samples), np.nan)
    for row, (top, bottom) in zip(out, pairs, strict=True):
        key = GROUP_SIZES if bottom is None and groups is not None else None if bottom is None else id(bottom)
        divisor = np.full(samples, float(len(table))) if key is None else sums[:, place[key]]
        np.divide(sums[:, place[id(top)]], divisor, out=row, where=divisor != 0)
    return out


def _table(pairs: Sequence[Pair], groups: NDArray[Any] | None) -> tuple[NDArray[np.float32], dict[int, int]]:
    """(rows or groups, columns) float32 columns of all pairs, and the place of each by its identity.

    With groups, a line has the sums over a group, and the place `GROUP_SIZES` the sizes, by which plain means divide.
    """
    # by identity: columns that metrics share (a slice's rows) are summed once
    columns = {id(column): column for pair in pairs for column in pair if column is not None}
    place = {key: j for j, key in enumerate(columns)}
    if groups is None:
        table = np.empty((len(pairs[0][0]), len(columns)), np.float32)
        for j, column in enumerate(columns.values()):
            table[:, j] = column
        return table, place
    checked = checked_groups(groups, len(pairs[0][0]))
    group_ids = np.unique(checked)
    table = np.empty((len(group_ids), len(columns) + 1), np.float32)
    for j, column in enumerate(columns.values()):
        table[:, j] = np.bincount(checked, column)[group_ids]
    table[:, -1] = np.bincount(checked)[group_ids]
    return table, {**place, GROUP_SIZES: len(columns)}


def ends(values: NDArray[np.float64]) -> list[tuple[float | None, float | None]]:
    """The intervals that cover 95 % of the finite values of each row; (None, None) for a row without any.

    `values`: (m, samples), one row for each interval. The ends are numpy's quantiles, with one sort for all rows.
    """
    ordered = np.sort(values, axis=1)  # NaN last
    finite = np.isfinite(values).sum(axis=1)
    shares = (1 - COVERED) / 2, (1 + COVERED) / 2
    return [
        (_quantile(row[:count], shares[0]), _quantile(row[:count], shares[1]))
        for row, count in zip(ordered, finite.tolist(), strict=True)
    ]


def _quantile(ordered: NDArray[np.float64], share: float) -> float | None:
    """Between the two values next to the place `share` · (n − 1), in proportion; None of no values."""
    if len(ordered) == 0:
        return None
    at = share * (len(ordered) - 1)
    below, above = ordered[int(at)], ordered[min(int(at) + 1, len(ordered) - 1)]
    return float(below + (above - below) * (at - int(at)))
