"""Paired comparison of two runs on the same test rows: difference per metric, interval, test, rows won and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xmcbench.metrics.uncertainty import NEAR
from xmcbench.results.row_values import PerRow, values_given

if TYPE_CHECKING:
    from xmcbench.comparison.compare import Verdict
    from xmcbench.results.record import Record
    from xmcbench.results.store import Store


@dataclass(frozen=True)
class Gap:
    """One metric of run B compared with run A; None where unknown.

    Attributes
    ----------
    difference : B − A as a fraction. low, high : ends of its 95 % interval, low ≤ difference ≤ high.
    p : two-sided, of the paired randomisation test, not adjusted for the number of metrics.
    won, lost : number of test rows in which B is better, worse than A.
    """

    difference: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    won: int | None = None
    lost: int | None = None


@dataclass(frozen=True)
class Paired:
    """Per-row numbers of both runs, and (n,) near-duplicate groups; None unless both runs have the same groups."""

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


def gaps(paired: Paired | None, verdicts: Sequence[Verdict], samples: int) -> list[Gap]:
    """B − A for each verdict; only the difference if rows can't be paired or the metric is not computed from rows.

    `samples`: bootstrap resamples.

    Raises UsageError: the runs differ in number of rows or in denominators: they are not on the same data.
    """
    return [_gap(paired, verdict, samples) for verdict in verdicts]


def _gap(paired: Paired | None, verdict: Verdict, samples: int) -> Gap:
    from xmcbench.metrics import difference, paired_test

    if verdict.expected is None or verdict.got is None:
        return Gap(None)
    gap = verdict.got - verdict.expected
    if paired is None:
        return Gap(gap)
    arguments = (paired.b, paired.a, verdict.metric)
    interval = difference(*arguments, samples=samples, groups=paired.groups)
    test = paired_test(*arguments, groups=paired.groups)
    if interval is None or test is None or interval.low is None or interval.high is None:
        return Gap(gap)
    # stored rows are float32: a gap that is equal in all resamples may be outside the interval by rounding
    return Gap(gap, min(interval.low, gap), max(interval.high, gap), test.p, test.won, test.lost)
