"""The table model: the content of the leaderboards, independent of their format.

Markdown, CSV, LaTeX and the page are made only from this model, so that they agree. It is JSON-serialisable
(`dataclasses.asdict`); values are fractions, seconds, milliseconds, bytes; unknown is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10", "R@100")  # columns, as usual in papers

# flag → explanation for readers; rows have the keys
FLAGS = {
    "single seed": "a random method with one run: no spread over seeds is known",
    "other metric version": "scored with another version of a metric's definition than the newest on this board",
    "other data lineage": "another content of the data set than the newest revision's on this board: not ranked",
    "external predictions": "predictions brought by their author: costs unknown, code not seen here",
    "selection split unknown": "nobody says on which rows its parameters and epochs were chosen",
    "selected on test": "its author says that parameters or epochs were chosen on the test rows: not ranked",
    "busy machine": "other processes, or compiling kernels, took over a tenth of the time: its costs are too high",
    "changed code": "a run came from a source tree with changes that no commit has",
    "other groups": "its near-duplicate documents are grouped otherwise than the newest record's: not ranked",
    "no per-row numbers": "a run keeps none (or they don't fit its scores): not ranked",
}


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
    ranks : tested metric → rank, 1 + number of rows with a better rank; rows that a test can't separate, or that are
        connected by a chain of such rows, share a rank. None: not ranked.
    separated : tested metric → number of rows that this row is significantly better than.
    flags : keys of FLAGS. command : the command that repeats the row, or "" (see `rows.command_of`).
    floor : whether the row is the baseline that every method should exceed.
    """

    label: str
    name: str
    family: str
    version: str
    origin: str
    parameters: Mapping[str, object]
    selection: str
    values: dict[str, Value]
    ranks: dict[str, int | None]
    separated: dict[str, int]
    costs: list[Costs]
    flags: list[str]
    command: str
    runs: list[Run]
    floor: bool = False

    @property
    def seeds(self) -> int:
        """The largest number of seeds behind a value."""
        return max((value.seeds for value in self.values.values()), default=0)


@dataclass(frozen=True)
class PublishedRow:
    """Published values of one method, listed separately from our rows.

    Attributes
    ----------
    verdict : "reproduced", "not reproduced", "other data", "wrong at its source", or "not run here".
    why : reason of the verdict, a sentence. ours : label of our row that the values are compared with, or None.
    values : metric → fraction, as published. gaps : metric → our value minus the published one.
    costs : in the units of the source, on unknown machines: "training 0.08 h, model 1.95 GB, CPU".
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
    key : "eurlex-4.3k/bow". metrics : the columns, in order. tested : the columns that have ranks.
    slices : part → metrics, such as "tail" → ["P@1:tail", "R@100:tail"].
    ceilings : metric → best value any ranking could reach.
    rows : by rank in tested[0], then by its value, best first; rows without a rank are last.
    failures : messages of `entries.failures_of`.
    """

    key: str
    dataset: str
    view: str
    title: str
    facts: Facts
    metrics: list[str]
    tested: list[str]
    slices: dict[str, list[str]]
    ceilings: dict[str, float | None]
    rows: list[Row]
    published: list[PublishedRow]
    failures: list[str]


@dataclass(frozen=True)
class Board:
    """All tables. `records` is the number of records they are made from, `digest` a hash of the records' seals."""

    tables: list[Table]
    records: int
    digest: str
