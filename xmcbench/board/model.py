"""The table model: the content of the leaderboards, independent of their format.

Markdown, CSV, LaTeX and the page are made only from this model, so that they agree.
Values are fractions, seconds, milliseconds, bytes; unknown is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xmcbench.board.protocol import Protocol

BY = "nDCG@5"  # the metric that ranks first: of the usual ones, it counts most of what a ranking shows
LEVEL = 0.05  # family-wise error of the tests of one table and metric, as usual in the field
METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10", "R@100")  # columns, as usual in papers

# flag → explanation for readers; rows have the keys
BUSY = "busy machine"  # the only flag that concerns costs alone
FLAGS = {
    "single seed": "the method uses random numbers and ran once, so the spread over seeds is unknown",
    "other metric version": "scored by an older version of a metric's definition than others on this board: not ranked",
    "other data lineage": "the content of its data set is not that of the ranked rows: not ranked",
    "external predictions": "predictions computed by their author: costs are unknown, and the code was not seen here",
    "selection split unknown": "it is unknown on which rows parameters and epochs were chosen",
    "selected on test": "parameters or epochs were chosen on the test rows, according to its author: not ranked",
    BUSY: "other processes or compiling kernels took over a tenth of the machine or time: times are too high",
    "changed code": "a run used source code with uncommitted changes",
    "contradicts others": "counts, groups of near-duplicates or best values differ from most records: not ranked",
    "no per-row numbers": "a run has no per-row numbers, which the tests need: not ranked",
}


class Place(NamedTuple):
    """A rank: the best and the worst place that the tests leave to a row, from 1."""

    best: int
    worst: int

    @property
    def tied(self) -> int:
        """Number of rows that no test separates from this one."""
        return self.worst - self.best


class Difference(NamedTuple):
    """One metric of a row minus that of another, the ends of its 95 % interval, None if unknown, and p, adjusted."""

    value: float
    low: float | None
    high: float | None
    p: float

    @property
    def significant(self) -> bool:
        """Whether the test separates the two rows."""
        return self.p < LEVEL and self.value != 0

    @property
    def turned(self) -> Difference:
        """The second row minus the first one."""
        low, high = (None if end is None else -end for end in (self.high, self.low))
        return Difference(-self.value, low, high, self.p)


@dataclass(frozen=True)
class Value:
    """One metric of one row: mean over seeds, the ends of its 95 % interval over documents (near-duplicates drawn
    together), standard deviation over seeds (None below two), and the number of seeds."""

    value: float | None
    low: float | None = None
    high: float | None = None
    sd: float | None = None
    seeds: int = 1


@dataclass(frozen=True)
class Costs:
    """Medians over the runs of a row on one machine class; costs are compared only between rows with equal `machine`.

    `busy` is True if other processes or compilation took more than a tenth of the machine or the time.
    """

    machine: str
    threads: int | None
    busy: bool
    runs: int
    fit_seconds: float | None
    predict_ms_per_row: float | None
    query_p50_ms: float | None
    query_p99_ms: float | None
    peak_rss_bytes: float | None
    model_bytes: float | None


@dataclass(frozen=True)
class Run:
    """One record behind a row."""

    run_id: str
    seed: int | None
    started_utc: str
    commit: str | None
    machine: str | None
    predictions_sha256: str | None
    values: dict[str, float | None]  # metric → fraction
    others_cpu: float | None


@dataclass(frozen=True)
class Row:
    """A method with its parameters on one data set.

    Attributes
    ----------
    label : "elias[beam=10]", the method's name with the non-default parameters; not escaped.
    parameters : all of them. selection : how epochs and parameters were chosen, in a sentence.
    values : metric → Value, for every metric of the table and of `slices`.
    ranks : tested metric → rank; None: not ranked.
    flags : keys of FLAGS. command : the command that repeats the row, or "" (see `rows.command_of`).
    floor : whether the row is the baseline that every method should exceed.
    fit : equal for rows that differ in query parameters alone (`fits.key_of`).
    """

    label: str
    name: str
    family: str
    version: str
    origin: str
    parameters: Mapping[str, object]
    selection: str
    values: dict[str, Value]
    ranks: dict[str, Place | None]
    costs: list[Costs]
    flags: list[str]
    command: str
    runs: list[Run]
    floor: bool = False
    fit: str = ""

    @property
    def seeds(self) -> int:
        """The largest number of seeds behind a value."""
        return max((value.seeds for value in self.values.values()), default=0)


@dataclass(frozen=True)
class PublishedRow:
    """Published values of one method, listed separately from our rows.

    Attributes
    ----------
    verdict : "reproduced", "not reproduced", "other data", "other definition", "wrong at its source", or
        "not run here".
    why : reason of the verdict, a sentence. ours : label of our row that the values are compared with, or None.
    values : metric → fraction, as published. gaps : metric → our value minus the published one.
    costs : in the units of the source, on unknown machines: "training 0.08 h, model 1.95 GB, CPU".
    protocol : how the values were made, as far as is known.
    """

    method: str
    source: str
    data_version: str
    values: dict[str, float]
    verdict: str
    why: str
    ours: str | None = None
    gaps: dict[str, float] | None = None
    costs: str = ""
    protocol: Protocol = field(default_factory=Protocol)


@dataclass(frozen=True)
class Facts:
    """Counts and identity of a data set; `propensity` is (A, B) of Jain et al. 2016."""

    n_train: int | None = None
    n_test: int | None = None
    n_features: int | None = None
    n_labels: int | None = None
    revision: str | None = None
    content_hash: str | None = None
    propensity: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Table:
    """One data set in one view.

    Attributes
    ----------
    metrics : the columns, in order. tested : the columns that have ranks.
    slices : part → metrics, such as "tail" → ["P@1:tail", "R@100:tail"].
    ceilings : metric → best value any ranking could reach.
    rows : by their value of `by`, best first; rows without a rank are last.
    differences : tested metric → pair (i, j) of positions in `rows`, i < j, both ranked → row i minus row j.
    failures : messages of `entries.failures_of`.
    """

    dataset: str
    view: str
    title: str
    facts: Facts
    metrics: list[str]
    tested: list[str]
    slices: dict[str, list[str]]
    ceilings: dict[str, float | None]
    rows: list[Row]
    differences: dict[str, dict[tuple[int, int], Difference]]
    published: list[PublishedRow]
    failures: list[str]

    @property
    def by(self) -> str:
        """The metric that ranks first; "" if none does."""
        return BY if BY in self.tested else next(iter(self.tested), "")

    @property
    def published_metrics(self) -> list[str]:
        """The metrics of the published values: those of the table, then others by name."""
        named = {metric for row in self.published for metric in row.values}
        return [metric for metric in self.metrics if metric in named] + sorted(named - set(self.metrics))

    def difference(self, metric: str, i: int, j: int) -> Difference | None:
        """The row at position i minus that at j; None if the metric does not rank both."""
        found = self.differences.get(metric, {})
        if i < j:
            return found.get((i, j))
        turned = found.get((j, i))
        return None if turned is None else turned.turned


@dataclass(frozen=True)
class Board:
    """All tables. `records` is the number of records they are made from, `digest` a hash of the records' seals.

    `notes`: one message for each record that is left out or not ranked because of its content.
    """

    tables: list[Table]
    records: int
    digest: str
    notes: Sequence[str] = ()
