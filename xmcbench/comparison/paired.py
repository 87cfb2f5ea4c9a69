"""Paired comparison of two sides, A and B, on the same test rows; a side is a run, or runs of several seeds.

The verdict of a metric follows from one test: the paired randomisation test, adjusted for the number of metrics, and
the interval of the difference. Better or worse (B than A): the adjusted p is at most `ALPHA` and 0 is outside the
interval. Same: both sides are the same in every row. Inconclusive: any other result of the test. Unknown: no test was
made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xmcbench.comparison.compare import Scores, mismatch
from xmcbench.errors import UsageError
from xmcbench.metrics.uncertainty import NEAR
from xmcbench.records.row_values import PerRow, values_given

if TYPE_CHECKING:
    from xmcbench.records.record import Metric, Record
    from xmcbench.records.store import Store

BETTER, WORSE, INCONCLUSIVE, SAME, UNKNOWN = "better", "worse", "inconclusive", "same", "unknown"
ALPHA = 0.05  # largest adjusted p of a difference that is not chance; the intervals are of 95 %


@dataclass(frozen=True)
class Gap:
    """One metric of side B compared with side A; None where unknown.

    Attributes
    ----------
    expected, got : the metric of A and of B as fractions, means over the seeds used.
    difference : B − A. low, high : ends of its 95 % interval, low ≤ difference ≤ high.
    p : two-sided, of the paired randomisation test. p_adjusted : adjusted for all tested metrics (Holm).
    won, lost : number of test rows in which B is better, worse than A.
    verdict : see the module's docstring. why : why the verdict is unknown, or "".
    """

    metric: str
    expected: float | None
    got: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    won: int | None = None
    lost: int | None = None
    verdict: str = UNKNOWN
    why: str = ""


@dataclass(frozen=True)
class Paired:
    """Per-row numbers of both sides, and (n,) near-duplicate groups; None unless both sides have the same groups."""

    a: PerRow
    b: PerRow
    groups: Any

    @classmethod
    def of(cls, a: PerRow, b: PerRow) -> Paired:
        import numpy as np

        groups_a, groups_b = a.get(NEAR), b.get(NEAR)
        same = groups_a is not None and groups_b is not None and np.array_equal(groups_a, groups_b)
        return cls(a, b, groups_a if same else None)


def per_row(store: Store, record: Record) -> PerRow:
    """All stored per-row numbers of a run; for a slim copy, the numbers that leaderboards need.

    Raises
    ------
    NotKept : the record has no per-row numbers, or a file is missing.
    DataError : a file doesn't match its hash, or doesn't give the values on record.
    """
    slim = record.board is not None and not store.place(record, "rows").is_file()
    arrays = store.board(record) if slim else store.rows(record)
    values_given(record, arrays)
    return arrays


def mean_rows(runs: Sequence[PerRow]) -> PerRow:
    """(n,) means over the runs of a side, which share denominators and near-duplicate groups."""
    import numpy as np

    if len(runs) == 1:
        return dict(runs[0])
    names = [name for name in runs[0] if all(name in run for run in runs)]
    means: PerRow = {name: np.stack([run[name] for run in runs]).mean(axis=0, dtype=np.float64) for name in names}
    return means | ({NEAR: runs[0][NEAR]} if NEAR in names else {})


def over_the_same_rows(
    stores: tuple[Store, Store], runs_a: Sequence[Record], runs_b: Sequence[Record], samples: int
) -> tuple[list[Gap], bool, str]:
    """B − A per metric, whether near-duplicates were grouped, and why there are no intervals and no test, or "".

    Raises
    ------
    DataError : a file was changed, or does not reproduce the recorded values.
    """
    from xmcbench.records.store import NotKept

    if runs_a[0].dataset.content_hash != runs_b[0].dataset.content_hash:
        return compared(runs_a, runs_b, None, samples), False, ""
    try:
        sides = [mean_rows([per_row(s, run) for run in runs]) for s, runs in zip(stores, (runs_a, runs_b), strict=True)]
        paired = Paired.of(*sides)
        return compared(runs_a, runs_b, paired, samples), paired.groups is not None, ""
    except (NotKept, UsageError) as error:  # files are missing, or the record names the wrong data
        return compared(runs_a, runs_b, None, samples), False, f"no paired intervals and no test: {error}"


def compared(a: Sequence[Record], b: Sequence[Record], paired: Paired | None, samples: int) -> list[Gap]:
    """B − A for each metric that a side has, in the order of A, with verdicts.

    Parameters
    ----------
    a, b : the runs of the sides. paired : their per-row numbers; None if rows can't be paired.
    samples : bootstrap resamples.

    Raises UsageError: the sides differ in number of rows or in denominators: they are not on the same data.
    """
    from xmcbench.metrics import holm

    reason = mismatch(Scores.of(a[0]), Scores.of(b[0]))
    files = [[run.predictions and run.predictions.sha256 for run in side] for side in (a, b)]
    identical = not reason and files[0] == files[1] and None not in files[0]
    names = dict.fromkeys(metric.name for run in (a[0], b[0]) for metric in run.metrics)
    gaps = [_gap(name, a, b, None if reason else paired, samples, identical) for name in names]
    adjusted = iter(holm([gap.p for gap in gaps if gap.p is not None]))
    gaps = [gap if gap.p is None else replace(gap, p_adjusted=next(adjusted)) for gap in gaps]
    if reason:
        return [replace(gap, why=reason) for gap in gaps]
    return [gap if gap.why else replace(gap, verdict=_verdict(gap, identical)) for gap in gaps]


def _gap(
    name: str, a: Sequence[Record], b: Sequence[Record], paired: Paired | None, samples: int, identical: bool
) -> Gap:
    from xmcbench.metrics import difference, paired_test

    metrics = [[metric for run in side for metric in run.metrics if metric.name == name] for side in (a, b)]
    values = [_mean(of_side, len(side)) for of_side, side in zip(metrics, (a, b), strict=True)]
    expected, got = values
    if expected is None or got is None:
        without = " and ".join(side for side, value in zip("AB", values, strict=True) if value is None)
        return Gap(name, expected, got, why=f"no value in {without}")
    gap = Gap(name, expected, got, got - expected)
    if len({metric.version for of_side in metrics for metric in of_side}) > 1:
        return replace(gap, why="other metric definition")
    if paired is None:
        return gap if identical else replace(gap, why="no rows to pair")
    arguments = (paired.b, paired.a, name)
    interval = difference(*arguments, samples=samples, groups=paired.groups)
    test = paired_test(*arguments, groups=paired.groups)
    if interval is None or test is None or interval.low is None or interval.high is None:
        return gap if identical else replace(gap, why="no per-row numbers to test")
    # stored rows are float32: a gap that is equal in all resamples may be outside the interval by rounding
    low, high = min(interval.low, got - expected), max(interval.high, got - expected)
    return replace(gap, low=low, high=high, p=test.p, won=test.won, lost=test.lost)


def _mean(metrics: Sequence[Metric], n_runs: int) -> float | None:
    """The mean over the runs of a side; None unless all of them have a value."""
    values = [metric.value for metric in metrics if metric.value is not None]
    return sum(values) / n_runs if len(values) == n_runs > 0 else None


def _verdict(gap: Gap, identical: bool) -> str:
    if identical or gap.won == gap.lost == 0:
        return SAME
    if gap.p_adjusted is None or gap.low is None or gap.high is None or gap.p_adjusted > ALPHA:
        return INCONCLUSIVE
    return BETTER if gap.low > 0 else WORSE if gap.high < 0 else INCONCLUSIVE
