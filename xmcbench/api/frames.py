"""Tables for pandas, polars and parquet: of records, one row per run, or one per run and metric; see `Frame`.

Columns of "runs": run_id, status, reason, method, label, version, parameters (JSON), dataset, view, revision, seed, k,
device, started (UTC), fit_seconds, predict_seconds, query_p50_ms, model_bytes, peak_rss_bytes, then one per metric,
named as it is (P@1). Columns of "metrics": run_id, label, dataset, view, seed, metric, value, low, high, best.
Metrics are fractions. Unknown values are null. `xmcbench.api.mistakes` has the columns of errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from xmcbench.errors import no_frames, unknown

if TYPE_CHECKING:
    from xmcbench.records.record import Record

Per = Literal["runs", "metrics"]
Kind = Literal["text", "integer", "number", "flag", "time"]
COSTS = ("fit_seconds", "predict_seconds", "query_p50_ms", "model_bytes", "peak_rss_bytes")
PANDAS = {
    "text": "string",
    "integer": "Int64",
    "number": "float64",
    "flag": "boolean",
    "time": "datetime64[us, UTC]",
}


class Column(NamedTuple):
    """The values of one column, None where unknown."""

    kind: Kind
    values: list[Any]


Frame = Mapping[str, Column]  # columns of equal length, by name


def columns(records: Sequence[Record], per: Per) -> Frame:
    """The columns of the records by name; UsageError if `per` is neither "runs" nor "metrics"."""
    if per == "runs":
        return _of_runs(records)
    if per == "metrics":
        return _of_metrics(records)
    raise unknown("kind of frame", str(per), ("runs", "metrics"))


def _of_runs(records: Sequence[Record]) -> Frame:
    found: dict[str, Column] = {
        "run_id": Column("text", [r.run_id for r in records]),
        "status": Column("text", [r.status for r in records]),
        "reason": Column("text", [r.reason for r in records]),
        "method": Column("text", [r.method.name for r in records]),
        "label": Column("text", [r.method.label for r in records]),
        "version": Column("text", [r.method.version for r in records]),
        "parameters": Column("text", [json.dumps(r.method.parameters, sort_keys=True) for r in records]),
        "dataset": Column("text", [r.dataset.name for r in records]),
        "view": Column("text", [r.dataset.view for r in records]),
        "revision": Column("text", [r.dataset.revision for r in records]),
        "seed": Column("integer", [r.seed for r in records]),
        "k": Column("integer", [r.k for r in records]),
        "device": Column("text", [r.environment.device for r in records]),
        "started": Column("time", [_time(r.started_utc) for r in records]),
        **{name: Column("number", [_number(getattr(r.costs, name)) for r in records]) for name in COSTS},
    }
    for name in dict.fromkeys(metric.name for record in records for metric in record.metrics):
        found[name] = Column("number", [_number(record.metric(name)) for record in records])
    return found


def _of_metrics(records: Sequence[Record]) -> Frame:
    pairs = [(record, metric) for record in records for metric in record.metrics]
    return {
        "run_id": Column("text", [r.run_id for r, _ in pairs]),
        "label": Column("text", [r.method.label for r, _ in pairs]),
        "dataset": Column("text", [r.dataset.name for r, _ in pairs]),
        "view": Column("text", [r.dataset.view for r, _ in pairs]),
        "seed": Column("integer", [r.seed for r, _ in pairs]),
        "metric": Column("text", [m.name for _, m in pairs]),
        **{
            end: Column("number", [_number(getattr(m, end)) for _, m in pairs])
            for end in ("value", "low", "high", "best")
        },
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def to_pandas(frame: Frame) -> Any:
    """A pandas.DataFrame; UsageError if pandas is not installed."""
    try:
        import pandas as pd
    except ImportError as error:
        raise no_frames("pandas") from error
    return pd.DataFrame({name: pd.Series(c.values, dtype=PANDAS[c.kind]) for name, c in frame.items()})


def to_polars(frame: Frame) -> Any:
    """A polars.DataFrame; UsageError if polars is not installed."""
    try:
        import polars as pl
    except ImportError as error:
        raise no_frames("polars") from error
    kinds: dict[str, Any] = {
        "text": pl.String,
        "integer": pl.Int64,
        "number": pl.Float64,
        "flag": pl.Boolean,
        "time": pl.Datetime("us", "UTC"),
    }
    values = {name: c.values for name, c in frame.items()}
    return pl.DataFrame(values, schema={name: kinds[c.kind] for name, c in frame.items()})


def to_parquet(frame: Frame, path: Path) -> None:
    """Write a parquet file, whole or not at all.

    Raises
    ------
    UsageError : pyarrow is not installed.
    WriteError : the file can't be written.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise no_frames("pyarrow") from error
    from xmcbench.files import atomic

    kinds = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
        "time": pa.timestamp("us", "UTC"),
    }
    table = pa.table({name: pa.array(c.values, kinds[c.kind]) for name, c in frame.items()})
    with atomic(path) as file:
        pq.write_table(table, file)
