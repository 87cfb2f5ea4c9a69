"""`xmcbench.compare`: two methods on the same test rows, with intervals and a paired test.

The command `xmcbench compare` calls `compare_runs` too.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from xmcbench import notebook
from xmcbench.amounts import p_value, percent
from xmcbench.api.runs import Run
from xmcbench.errors import UsageError, no_frames

if TYPE_CHECKING:
    from xmcbench.comparison.headline import Costs
    from xmcbench.comparison.paired import Gap
    from xmcbench.records.record import Record
    from xmcbench.records.store import Store


class Side(NamedTuple):
    """The runs that a side may be compared by: the one that was meant, all that differ from it in the seed alone."""

    run: Record
    seeds: Sequence[Record]
    store: Store


class Comparison(Sequence["Gap"]):
    """B − A for each metric: a sequence of `Gap`; `comparison["P@1"]` is that of one metric.

    Attributes
    ----------
    a, b : labels of the two sides. runs : (A's, B's) records; means over these are compared.
    gaps : metric, values of both sides, difference, its 95 % interval, p, and verdict: "better" or "worse" (B than A),
        "inconclusive", "same" or "unknown".
    grouped : near-duplicate rows were resampled and swapped together.
    unpaired : why there are no intervals and no test, or "". notes : what a reader may not expect of the runs.

    Examples
    --------
    >>> import xmcbench as xb
    >>> runs = xb.run(["popularity", "knn"], dataset="synthetic[labels=60,rows=100,test=20]", progress=False)
    >>> comparison = xb.compare(runs["popularity"], runs["knn"], samples=100)
    >>> gap = comparison["P@5"]
    >>> gap.low <= gap.difference <= gap.high
    True
    """

    def __init__(
        self,
        runs: tuple[Sequence[Record], Sequence[Record]],
        gaps: Sequence[Gap],
        *,
        grouped: bool,
        unpaired: str,
        notes: Sequence[str],
    ) -> None:
        self.runs, self.gaps, self.grouped, self.unpaired, self.notes = runs, list(gaps), grouped, unpaired, list(notes)
        self.a, self.b = (side[0].method.label for side in runs)

    @property
    def seeds(self) -> tuple[list[int | None], list[int | None]]:
        """The seeds of the runs that are compared: those that both sides have."""
        return [run.seed for run in self.runs[0]], [run.seed for run in self.runs[1]]

    @property
    def headline(self) -> str:
        """One sentence: which side is better by nDCG@5, by how much, and what it costs."""
        from xmcbench.comparison.headline import headline

        return headline(*self.runs, self.gaps)

    @property
    def verdict(self) -> str:
        """The verdict of the headline."""
        from xmcbench.comparison.headline import main_gap
        from xmcbench.comparison.paired import UNKNOWN

        gap = main_gap(self.gaps)
        return UNKNOWN if gap is None else gap.verdict

    @property
    def costs(self) -> Costs:
        """Medians of fit time, time per row and model size of both sides."""
        from xmcbench.comparison.headline import costs_of

        return costs_of(*self.runs)

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
        lines = [f"<{self.headline}"]
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
                "" if gap.p_adjusted is None else p_value(gap.p_adjusted),
                gap.verdict,
            )
            for gap in self.gaps
        ]
        return notebook.table(titles, rows, f"{self.headline}. All values in percent.")


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
    >>> comparison["P@5"].verdict  # 20 rows are few, and p is adjusted for all metrics
    'inconclusive'
    """
    from xmcbench.comparison.sides import seeds_of
    from xmcbench.records.store import Store

    for side in (a, b):
        if not isinstance(side, Run):
            hint = "For example: runs = xmcbench.results(); xmcbench.compare(runs['tree'], runs['knn'])"
            raise UsageError(f"runs are compared, and a {type(side).__name__} is none", hint)
    sides = []
    for run in (a, b):
        ended_ok = run.ended_ok()
        sides.append(Side(ended_ok[-1], seeds_of(ended_ok[-1], ended_ok), Store(run.folder)))
    comparison = compare_runs(sides[0], sides[1], samples=samples)
    if comparison.unpaired:
        warnings.warn(comparison.unpaired, stacklevel=2)
    return comparison


def compare_runs(a: Side, b: Side, *, samples: int) -> Comparison:
    """Compare the runs of two sides over the seeds that both have; DataError as of `compare`."""
    from xmcbench.comparison.paired import over_the_same_rows
    from xmcbench.comparison.sides import notes, with_common_seeds

    used = with_common_seeds(a.seeds, b.seeds, a.run, b.run)
    gaps, grouped, unpaired = over_the_same_rows((a.store, b.store), *used, samples)
    return Comparison(used, gaps, grouped=grouped, unpaired=unpaired, notes=notes(*used, a.seeds, b.seeds))
