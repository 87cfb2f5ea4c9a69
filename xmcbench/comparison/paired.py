"""Two runs on the same test rows, metric by metric: the gap, its interval, a paired test, and rows won and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xmcbench.results.board_files import NEAR
from xmcbench.results.row_values import values_given

if TYPE_CHECKING:
    from xmcbench.comparison.compare import Verdict
    from xmcbench.results.store import Store

Rows = dict[str, Any]


@dataclass(frozen=True)
class Gap:
    """One metric of B against A; None where there is none.

    Attributes
    ----------
    difference : B − A as a fraction. low, high : ends of its 95 % interval, low ≤ difference ≤ high.
    p : two-sided, of the paired randomisation test, not adjusted for the number of metrics.
    won, lost : test rows in which B has more, or less, than A.
    """

    difference: float | None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    won: int | None = None
    lost: int | None = None


@dataclass(frozen=True)
class Paired:
    """Per-row numbers of both runs, and (n,) groups of near-duplicate rows; None where one of the two knows none, or
    knows others."""

    a: Rows
    b: Rows
    groups: Any

    @classmethod
    def of(cls, a: Rows, b: Rows) -> Paired:
        import numpy as np

        of_a, of_b = a.get(NEAR), b.get(NEAR)
        same = of_a is not None and of_b is not None and np.array_equal(of_a, of_b)
        return cls(a, b, of_a if same else None)


def per_row(store: Store, record: Mapping[str, Any]) -> Rows:
    """All per-row numbers a run kept; of a slim copy, those that leaderboards need.

    Raises
    ------
    NotKept : the record names none, or a file is gone.
    DataError : a file is another one, or doesn't give the values on record.
    """
    slim = record.get("board") is not None and not store.place(record, "rows").is_file()
    arrays = store.board(record) if slim else store.rows(record)
    values_given(record, arrays)
    return arrays


def gaps(paired: Paired | None, verdicts: Sequence[Verdict], samples: int) -> list[Gap]:
    """B − A of each verdict; the bare difference where rows can't be paired or the metric is no function of rows.

    Parameters
    ----------
    samples : bootstrap resamples.

    Raises
    ------
    UsageError : the two have other numbers of rows, or other denominators: they are not of the same data.
    """
    return [_gap(paired, verdict, samples) for verdict in verdicts]


def _gap(paired: Paired | None, verdict: Verdict, samples: int) -> Gap:
    from xmcbench.metrics import difference, paired_test

    if verdict.expected is None or verdict.got is None:
        return Gap(None)
    plain = verdict.got - verdict.expected
    if paired is None:
        return Gap(plain)
    sides = (paired.b, paired.a, verdict.metric)
    interval = difference(*sides, samples=samples, groups=paired.groups)
    test = paired_test(*sides, groups=paired.groups)
    if interval is None or test is None or interval.low is None or interval.high is None:
        return Gap(plain)
    # kept rows are float32: a gap that is the same in every resample may lie a rounding outside
    return Gap(plain, min(interval.low, plain), max(interval.high, plain), test.p, test.won, test.lost)
