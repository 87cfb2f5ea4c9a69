"""`xmcbench.compare`: two methods on the same test rows, with intervals and a paired test."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from xmcbench import notebook
from xmcbench.amounts import percent
from xmcbench.api.runs import Run
from xmcbench.errors import UsageError, no_frames

if TYPE_CHECKING:
    from xmcbench.comparison.paired import Gap


class Comparison(Sequence["Gap"]):
    """B − A for each metric: a sequence of `Gap`; `comparison["P@1"]` is that of one metric.

    Attributes
    ----------
    a, b : labels of the two sides. seeds : (A's, B's) that were used; means over these are compared.
    gaps : metric, values of both sides, difference, its 95 % interval, p, and verdict.

    Examples
    --------
    >>> import xmcbench as xb
    >>> runs = xb.run(["popularity", "knn"], dataset="synthetic[labels=60,rows=100,test=20]", progress=False)
    >>> comparison = xb.compare(runs["popularity"], runs["knn"], samples=100)
    >>> gap = comparison["P@5"]
    >>> gap.low <= gap.difference <= gap.high
    True
    """

    def __init__(self, a: str, b: str, seeds: tuple[list[int | None], list[int | None]], gaps: Sequence[Gap]) -> None:
        self.a, self.b, self.seeds, self.gaps = a, b, seeds, list(gaps)

    def __len__(self) -> int:
        return len(self.gaps)

    def __getitem__(self, which: int | str) -> Gap:  # type: ignore[override]
        if isinstance(which, int):
            return self.gaps[which]
        return {gap.metric: gap for gap in self.gaps}[which]

    def __iter__(self) -> Iterator[Gap]:
        return iter(self.gaps)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame with one row per metric; UsageError if pandas is not installed."""
        try:
            import pandas
        except ImportError as error:
            raise no_frames("pandas") from error
        return pandas.DataFrame([asdict(gap) for gap in self.gaps])

    def __repr__(self) -> str:
        lines = [f"<{self.b} − {self.a}"]
        lines += [
            f"{gap.metric} {percent(gap.difference, sign=True)} [{percent(gap.low)}, {percent(gap.high)}] {gap.verdict}"
            for gap in self.gaps
        ]
        return "\n  ".join(lines) + ">"

    def _repr_html_(self) -> str:
        titles = ("metric", "A", "B", "B − A", "95 % interval", "p", "verdict")
        rows = [
            (
                gap.metric,
                percent(gap.expected),
                percent(gap.got),
                percent(gap.difference, sign=True),
                "" if gap.low is None else f"{percent(gap.low, sign=True)} to {percent(gap.high, sign=True)}",
                "" if gap.p_adjusted is None else f"{gap.p_adjusted:.4f}",
                gap.verdict,
            )
            for gap in self.gaps
        ]
        return notebook.table(titles, rows, f"A: {self.a} · B: {self.b} · percent")


def compare(a: Run, b: Run, *, samples: int = 1000) -> Comparison:
    """Compare two runs metric by metric, over the same test rows; means over the seeds that both have.

    Parameters
    ----------
    a, b : runs on the same data, such as `runs["tree"]`.
    samples : bootstrap resamples of the test rows.

    Raises
    ------
    UsageError : not two runs; a run has no record that ended ok. DataError : a file of a run was changed. Where one is
    missing, there are no intervals and no verdicts, with a warning.

    Examples
    --------
    >>> import xmcbench as xb
    >>> data = "synthetic[labels=60,rows=100,test=20]"
    >>> runs = xb.run(["popularity", "knn"], dataset=data, progress=False)
    >>> comparison = xb.compare(runs["popularity"], runs["knn"], samples=100)
    >>> comparison["P@5"].difference > 0
    True
    """
    from xmcbench.comparison.paired import over_the_same_rows, with_common_seeds
    from xmcbench.records.store import Store

    for side in (a, b):
        if not isinstance(side, Run):
            hint = "For example: runs = xmcbench.results(); xmcbench.compare(runs['tree'], runs['knn'])"
            raise UsageError(f"runs are compared, and a {type(side).__name__} is none", hint)
    sides = [run.ended_ok() for run in (a, b)]
    used = with_common_seeds(sides[0], sides[1], sides[0][-1], sides[1][-1])
    gaps, _, unpaired = over_the_same_rows((Store(a.folder), Store(b.folder)), *used, samples)
    if unpaired:
        warnings.warn(unpaired, stacklevel=2)
    return Comparison(a.label, b.label, ([r.seed for r in used[0]], [r.seed for r in used[1]]), gaps)
