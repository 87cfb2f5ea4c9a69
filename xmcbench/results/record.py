"""A record: one JSON a run, with all that is needed to believe it, repeat it or refute it.

Never edited: a correction is a new record that names the old one under `supersedes`. Unknown is null. A seal, the hash
of all else in it, shows an edit by hand; it is no signature, and who wants to forge a record can.

Schema 2 (2026-11) added `seal`, `board` and `costs.others_cpu`; records of schema 1 still load.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xmcbench.errors import DataError, UsageError
from xmcbench.files import write_json
from xmcbench.results import form

SCHEMA = 2
SEALED = 2  # the first schema with a seal
STATUSES = ("ok", "timeout", "out_of_memory", "diverged", "error", "skipped", "interrupted")
ROUNDING = 1e-6  # an interval is of rows in float32: so far outside of it may a value lie that never varies

Record = dict[str, Any]


def metric(record: Mapping[str, Any], name: str) -> float | None:
    """The value of one metric as a fraction, or None where the record has none."""
    for entry in record["metrics"]:
        if entry["name"] == name:
            value: float | None = entry["value"]
            return value
    return None


def check(record: Mapping[str, Any], origin: str = "record") -> None:
    """Refuse a record that is not of the form, has an unknown status, or breaks an identity of its metrics.

    Raises
    ------
    DataError : naming everything that is wrong; of what is not of the form, that alone.
    """
    if problems := form.faults(record):
        raise DataError(f"{origin}: " + "; ".join(problems), "This is no xmcbench record, or it was damaged.")
    problems += _of_schema(record)
    if record["status"] not in STATUSES:
        problems.append(f"status {record['status']!r} is none of {', '.join(STATUSES)}")
    if record["status"] == "ok" and not record["metrics"]:
        problems.append("status is ok but there are no metrics")
    problems += _of_metrics(record["metrics"])
    problems += _of_tuning(record)
    if problems:
        raise DataError(f"{origin}: " + "; ".join(problems), "A record that breaks an identity is never written.")


def _of_schema(record: Mapping[str, Any]) -> list[str]:
    """A record can't go without its seal by calling itself an older one."""
    newer = [name for name in ("seal", "board") if record["schema"] < SEALED and record.get(name) is not None]
    return [f"schema {record['schema']} has no {name}" for name in newer]


def _of_metrics(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    from xmcbench.metrics import invariants, parse

    names = [entry["name"] for entry in entries]
    said = [f"metric {name!r} stands twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    try:
        said += [f"metric {n!r} is written {str(parse(n))!r}" for n in names if str(parse(n)) != n]
        values, best = ({entry["name"]: entry.get(key) for entry in entries} for key in ("value", "best"))
        said += invariants.broken(values, best)
    except UsageError as error:  # a metric of a newer version, or no metric at all
        said.append(error.message)
    for entry in entries:
        value, low, high = (entry.get(key) for key in ("value", "low", "high"))
        if value is not None and low is not None and high is not None:
            room = ROUNDING * max(1.0, abs(value))
            if not low - room <= value <= high + room or low > high:
                said.append(f"{entry['name']} = {value!r} is outside of its interval, {low!r} to {high!r}")
    return said


def _of_tuning(record: Mapping[str, Any]) -> list[str]:
    """What was chosen is one of what was tried, and has a score."""
    tuning = record["selection"].get("tuning")
    if tuning is None or record["status"] != "ok":
        return []
    chosen = {name: record["method"]["parameters"].get(name) for name in tuning["grid"]}
    scored = [trial["parameters"] for trial in tuning["trials"] if trial["score"] is not None]
    said = [] if chosen in scored else ["selection.tuning has no score of the parameters that were chosen"]
    return said if record["selection"].get("rows") is not None else [*said, "selection.rows is null though it tuned"]


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
