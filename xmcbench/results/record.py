"""A record: one JSON a run, with all that is needed to believe it, repeat it or refute it.

Never edited: a correction is a new record that names the old one under `supersedes`. Unknown is null. A seal, the hash
of all else in it, shows an edit by hand; it is no signature, and who wants to forge a record can.

Schema 2 (2026-11) added `seal`, `board` and `costs.others_cpu`; records of schema 1 still load.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xmcbench.errors import DataError, UsageError
from xmcbench.files import write_json

SCHEMA = 2
SEALED = 2  # the first schema with a seal
STATUSES = ("ok", "timeout", "out_of_memory", "diverged", "error", "skipped", "interrupted")
FIELDS = (
    *("schema", "run_id", "spec_hash", "status", "reason", "method", "dataset", "k", "seed"),
    *("metrics", "intervals", "costs", "limits", "environment", "code", "command", "started_utc"),
    *("predictions", "rows", "selection", "notes", "supersedes"),
)

Record = dict[str, Any]


def metric(record: Mapping[str, Any], name: str) -> float | None:
    """The value of one metric as a fraction, or None where the record has none."""
    for entry in record["metrics"]:
        if entry["name"] == name:
            value: float | None = entry["value"]
            return value
    return None


def check(record: Mapping[str, Any], origin: str = "record") -> None:
    """Refuse a record that lacks a field, has an unknown status, or breaks an identity of its metrics.

    Raises
    ------
    DataError : naming everything that is wrong.
    """
    from xmcbench.metrics import invariants

    problems = [f"field {name!r} is missing" for name in FIELDS if name not in record]
    if problems:
        raise DataError(f"{origin}: " + "; ".join(problems), "This is no xmcbench record, or it was cut short.")
    objects = ("method", "dataset", "costs", "environment", "selection", "notes")
    problems = [f"{name} is no object" for name in objects if not isinstance(record[name], dict)]
    problems += [f"method has no {name}" for name in ("name", "label") if name not in (record["method"] or {})]
    if problems:
        raise DataError(f"{origin}: " + "; ".join(problems), "This is no xmcbench record, or it was damaged.")
    if record["status"] not in STATUSES:
        problems.append(f"status {record['status']!r} is none of {', '.join(STATUSES)}")
    if record["status"] == "ok" and not record["metrics"]:
        problems.append("status is ok but there are no metrics")
    try:
        names = [entry["name"] for entry in record["metrics"]]
        problems += [f"metric {name!r} stands twice" for name in dict.fromkeys(names) if names.count(name) > 1]
        problems += invariants.broken({entry["name"]: entry["value"] for entry in record["metrics"]})
    except (TypeError, KeyError) as error:
        problems.append(f"metrics are not a list of name and value ({error})")
    except UsageError as error:  # a metric of a newer version, or no metric at all
        problems.append(error.message)
    if problems:
        raise DataError(f"{origin}: " + "; ".join(problems), "A record that breaks an identity is never written.")


def seal_of(record: Mapping[str, Any]) -> str:
    """Hex sha256 of a record's canonical JSON, its own seal left out."""
    plain = json.loads(json.dumps({name: value for name, value in record.items() if name != "seal"}))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, record: Record) -> None:
    """Check a record, seal it (from schema 2 on) and write it, whole or not at all."""
    check(record)
    if record["schema"] >= SEALED:
        record["seal"] = seal_of(record)
    write_json(path, record)


def read(path: Path) -> Record:
    """Read and check one record.

    Raises
    ------
    DataError : the file can't be read; as `parse`.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: not a readable record ({error})") from error
    return parse(text, str(path))


def parse(text: bytes, origin: str) -> Record:
    """A record from its bytes, checked; `origin` names it in errors.

    Raises
    ------
    DataError : not JSON, a schema this program doesn't know, a seal that doesn't fit, or refused by `check`.
    """
    try:
        record = json.loads(text.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{origin}: not a readable record ({error})") from error
    if not isinstance(record, dict) or type(record.get("schema")) is not int or record["schema"] < 1:
        raise DataError(f"{origin}: no xmcbench record: it has no schema number")
    if record["schema"] > SCHEMA:
        raise DataError(
            f"{origin}: schema {record['schema']}, this program knows up to {SCHEMA}", "Install a newer xmcbench."
        )
    check(record, origin)
    if record["schema"] >= SEALED and record.get("seal") != seal_of(record):
        raise DataError(
            f"{origin}: changed after it was written: its seal doesn't fit",
            "Get the record again from where it came; a correction is a new run (--again), which supersedes this one.",
        )
    return record


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
