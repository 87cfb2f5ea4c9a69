"""A record: one JSON file per run, with everything needed to check, repeat or refute it.

A record is never edited: a correction is a new record that names the old one under `supersedes`. Unknown values are
null. Reading, sealing and writing are in `record_file`.

Schema 2 (2026-11) added `seal`, `board` and `costs.others_cpu`; records of schema 1 still load.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

SCHEMA = 2
SEALED = 2  # the first schema with a seal

# Limit of counts, times and scores, so that their sums and multiples stay finite.
_LARGEST = 2**63 - 1
_Int = Annotated[int, Meta(ge=-_LARGEST, le=_LARGEST)]
_Count = Annotated[int, Meta(ge=0, le=_LARGEST)]
_Number = _Int | Annotated[float, Meta(gt=-(2.0**63), lt=2.0**63)]
_Status = Literal["ok", "timeout", "out_of_memory", "diverged", "error", "skipped", "interrupted"]


class MethodPart(Struct, frozen=True, kw_only=True):
    """The method. `label` is the argument of `xmcbench run`; `origin` is the distribution that has the method."""

    name: str
    label: str
    version: str
    family: str
    parameters: dict[str, Any]
    deterministic: bool
    origin: str | None = None


class DatasetPart(Struct, frozen=True, kw_only=True):
    """The data set in one view: identity, counts, and (A, B) of the propensities."""

    name: str
    view: str
    content_hash: str
    n_train: _Count
    n_test: _Count
    n_labels: _Count
    n_validation: _Count | None = None
    n_features: _Count | None = None
    filter_pairs: _Count | None = None
    revision: str | None = None
    propensity: tuple[_Number, ...] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Metric(Struct, frozen=True, kw_only=True):
    """One metric, see `xmcbench.metrics.evaluation.Value`: fractions, None where undefined or not computed."""

    name: str
    value: _Number | None
    version: _Int
    best: _Number | None = None
    low: _Number | None = None
    high: _Number | None = None
    rows: _Count | None = None
    rows_without_labels: _Count | None = None


class Costs(Struct, frozen=True, kw_only=True):
    """Seconds, milliseconds and bytes of one run; `others_cpu` is the share of the machine used by other processes."""

    tune_seconds: _Number | None = None
    fit_seconds: _Number | None = None
    warm_up_seconds: _Number | None = None
    predict_seconds: _Number | None = None
    query_p50_ms: _Number | None = None
    query_p99_ms: _Number | None = None
    queries_per_second: _Number | None = None
    queries_timed: _Number | None = None
    peak_rss_bytes: _Number | None = None
    peak_gpu_bytes: _Number | None = None
    model_bytes: _Number | None = None
    attempts: _Number | None = None
    others_cpu: _Number | None = None
    compile_seconds: _Number | None = None
    phases: dict[str, _Number] = field(default_factory=dict)


class Intervals(Struct, frozen=True, kw_only=True):
    """How the intervals of the metrics were computed: bootstrap resamples, level, and sampling unit.

    `over` is "test rows" where resamples drew single rows (records until 2026-11-26T06:00), which gives narrower
    intervals than drawing near-duplicates together does.
    """

    samples: _Count | None = None
    level: _Number | None = None
    over: str | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """Limits set by the user."""

    time_seconds: _Number | None = None


class MachineClass(Struct, frozen=True, kw_only=True):
    """Scores are compared only within a kind of device, costs only within a description of the machine."""

    scores: str | None = None
    costs: str | None = None


class Threads(Struct, frozen=True, kw_only=True):
    """Threads given to the run, environment variables that set numbers of threads, and thread pools of libraries."""

    given: _Int | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    pools: list[Any] = field(default_factory=list)


class Environment(Struct, frozen=True, kw_only=True):
    """Machine, system and libraries, as `xmcbench.runs.provenance.environment` reports them."""

    device: str | None = None
    machine_class: MachineClass = MachineClass()
    threads: Threads = Threads()
    hardware: dict[str, Any] = field(default_factory=dict)
    os: str | None = None
    libc: str | None = None
    python: str | None = None
    libraries: dict[str, Any] = field(default_factory=dict)


class MethodCode(Struct, frozen=True, kw_only=True):
    """Source of the method's code: a class of a distribution, or a file with its hash."""

    target: str | None = None
    origin: str | None = None
    sha256: str | None = None


class Code(Struct, frozen=True, kw_only=True):
    """The state of the source tree that ran."""

    version: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    method: MethodCode = MethodCode()


class FileRef(Struct, frozen=True, kw_only=True):
    """A file of the record, and the hash of its bytes."""

    file: str
    sha256: str


class BoardRef(FileRef, frozen=True, kw_only=True):
    """Per-row numbers for leaderboards: the file of this run, and the file shared by all runs on the same data."""

    data: str
    data_sha256: str


class Trial(Struct, frozen=True, kw_only=True):
    """One combination of parameters that tuning tried; `reason` says why there is no score."""

    parameters: dict[str, Any]
    score: _Number | None
    reason: str | None
    status: str | None = None
    traceback: str | None = None


class TuningPart(Struct, frozen=True, kw_only=True):
    """The values tried for each parameter, and the outcome of each combination."""

    grid: dict[str, Any]
    trials: tuple[Trial, ...]
    rows_fitted: _Count | None = None
    rows_of_own_validation: _Count | None = None


class Selection(Struct, frozen=True, kw_only=True):
    """How epochs and parameters were chosen: split, rows, score, and number of configurations tried."""

    split: str | None = None
    rows: _Count | None = None
    rows_fitted: _Count | None = None
    what: str | None = None
    by: str | None = None
    tried: _Count | None = None
    tuning: TuningPart | None = None


class Record(Struct, frozen=True, kw_only=True):
    """A record. `raw` is the whole JSON object, including fields that this program doesn't know.

    `command` has no absolute paths. In the sealed JSON of records until 2026-11-27, it has folders of the machine that
    made them.

    Use `record_file.new`, `changed` or `of` to make one: they keep `raw` and the fields consistent.
    """

    schema: _Int
    run_id: str
    spec_hash: str
    status: _Status
    reason: str | None
    method: MethodPart
    dataset: DatasetPart
    k: _Count
    seed: _Int | None
    metrics: tuple[Metric, ...]
    costs: Costs
    intervals: Intervals
    limits: Limits
    environment: Environment
    code: Code
    command: str
    started_utc: str
    predictions: FileRef | None
    rows: FileRef | None
    board: BoardRef | None = None
    selection: Selection
    notes: dict[str, Any]
    supersedes: str | None
    seal: str | None = None
    raw: dict[str, Any] = field(default_factory=dict)

    def metric(self, name: str) -> float | None:
        """The value of one metric as a fraction, or None if the record has none."""
        return next((one.value for one in self.metrics if one.name == name), None)

    @property
    def is_external(self) -> bool:
        """Whether the predictions were computed outside this program."""
        return self.method.family == "external"

    @property
    def best_reachable(self) -> dict[str, Any]:
        """For a synthetic data set: metric → largest expected score of any method."""
        return dict(self.dataset.extra.get("best_reachable", {}))

    def noted(self, name: Literal["scoring", "remarks"]) -> list[str]:
        """Notes of the metrics or of the method for readers of the results."""
        return list(self.notes.get(name, ()))


class KnownNotes(Struct, frozen=True, kw_only=True):
    """The notes of a record that this program reads; a method may add others."""

    scoring: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    report: str = ""


class KnownExtra(Struct, frozen=True, kw_only=True):
    """The fields of a data set's `extra` that this program reads."""

    best_reachable: dict[str, Any] = field(default_factory=dict)


class KnownDataset(Struct, frozen=True, kw_only=True):
    """The part of a record that has the data set's `extra`."""

    extra: KnownExtra = KnownExtra()


class Known(Struct, frozen=True, kw_only=True):
    """The fields that this program reads from the free-form parts of a record."""

    notes: KnownNotes
    dataset: KnownDataset
