"""A record: one JSON file per run, with everything needed to check, repeat or refute it.

A record is never edited: a correction is a new record that names the old one under `supersedes`. Unknown values are
null. Reading, sealing and writing are in `record_file`.

Schema 2 (2026-11) added `seal`, `board` and `costs.others_cpu`; records of schema 1 still load.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from xmcbench.runs.selection import Count, Int, Number, Selection

SCHEMA = 2
SEALED = 2  # the first schema with a seal

_Status = Literal["ok", "timeout", "out_of_memory", "diverged", "error", "skipped", "interrupted"]


class MethodPart(Struct, frozen=True, kw_only=True):
    """The method. `label` is the argument of `xmcbench run`; `origin` is the distribution that has the method."""

    name: str
    label: str
    version: str
    family: str
    parameters: dict[str, object]
    deterministic: bool
    origin: str | None = None


class DatasetPart(Struct, frozen=True, kw_only=True):
    """The data set in one view: identity, counts, and (A, B) of the propensities."""

    name: str
    view: str
    content_hash: str
    n_train: Count
    n_test: Count
    n_labels: Count
    n_validation: Count | None = None
    n_features: Count | None = None
    filter_pairs: Count | None = None
    revision: str | None = None
    propensity: tuple[Number, ...] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class Metric(Struct, frozen=True, kw_only=True):
    """One metric, see `xmcbench.metrics.evaluation.Value`: fractions, None where undefined or not computed."""

    name: str
    value: Number | None
    version: Int
    best: Number | None = None
    low: Number | None = None
    high: Number | None = None
    rows: Count | None = None
    rows_without_labels: Count | None = None


class Costs(Struct, frozen=True, kw_only=True):
    """Seconds, milliseconds and bytes of one run; `others_cpu` is the share of the machine used by other processes.

    `compile_seconds` is the time of compiling numba kernels, which happens once per machine and version. All other
    times are without it if `compile_excluded`; in records until 2026-11-27, they include it.
    """

    tune_seconds: Number | None = None
    fit_seconds: Number | None = None
    warm_up_seconds: Number | None = None
    predict_seconds: Number | None = None
    query_p50_ms: Number | None = None
    query_p99_ms: Number | None = None
    queries_per_second: Number | None = None
    queries_timed: Number | None = None
    peak_rss_bytes: Number | None = None
    peak_gpu_bytes: Number | None = None
    model_bytes: Number | None = None
    attempts: Number | None = None
    others_cpu: Number | None = None
    compile_seconds: Number | None = None
    compile_excluded: bool = False
    phases: dict[str, Number] = field(default_factory=dict)


class Intervals(Struct, frozen=True, kw_only=True):
    """How the intervals of the metrics were computed: bootstrap resamples, level, and sampling unit.

    `over` is "test rows" where resamples drew single rows (records until 2026-11-26T06:00), which gives narrower
    intervals than drawing near-duplicates together does.
    """

    samples: Count | None = None
    level: Number | None = None
    over: str | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """Limits set by the user."""

    time_seconds: Number | None = None
    memory_bytes: Number | None = None  # missing in records until 2026-11-28


class MachineClass(Struct, frozen=True, kw_only=True):
    """Scores are compared only within a kind of device, costs only within a description of the machine."""

    scores: str | None = None
    costs: str | None = None


class Threads(Struct, frozen=True, kw_only=True):
    """Threads given to the run, environment variables that set numbers of threads, and thread pools of libraries."""

    given: Int | None = None
    variables: dict[str, object] = field(default_factory=dict)
    pools: list[Any] = field(default_factory=list)


class Environment(Struct, frozen=True, kw_only=True):
    """Machine, system and libraries, as `xmcbench.runs.provenance.environment` reports them.

    `node` is the name of the machine in a cluster, null for a run that was executed where the command was given.
    """

    node: str | None = None
    device: str | None = None
    machine_class: MachineClass = MachineClass()
    threads: Threads = Threads()
    hardware: dict[str, object] = field(default_factory=dict)
    os: str | None = None
    libc: str | None = None
    python: str | None = None
    libraries: dict[str, object] = field(default_factory=dict)


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


class Record(Struct, frozen=True, kw_only=True):
    """A record. `raw` is the whole JSON object, including fields that this program doesn't know.

    `command` has no absolute paths. In the sealed JSON of records until 2026-11-27, it has folders of the machine that
    made them.

    Use `record_file.new`, `changed` or `of` to make one: they keep `raw` and the fields consistent.
    """

    schema: Int
    run_id: str
    spec_hash: str
    status: _Status
    reason: str | None
    method: MethodPart
    dataset: DatasetPart
    k: Count
    seed: Int | None
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
    def best_reachable(self) -> dict[str, float]:
        """For a synthetic data set: metric → largest expected score of any method."""
        return {
            name: v for name, v in self.dataset.extra.get("best_reachable", {}).items() if isinstance(v, int | float)
        }

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

    best_reachable: dict[str, object] = field(default_factory=dict)


class KnownDataset(Struct, frozen=True, kw_only=True):
    """The part of a record that has the data set's `extra`."""

    extra: KnownExtra = KnownExtra()


class Known(Struct, frozen=True, kw_only=True):
    """The fields that this program reads from the free-form parts of a record."""

    notes: KnownNotes
    dataset: KnownDataset
