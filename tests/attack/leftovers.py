"""Lists what commands left behind in a home, a results folder or a leaderboards folder, and what a folder holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

UNFINISHED = (".tmp-*", "*.part", "*.part.json", "*.bad", "*.old", "*-old")
OF_RECORDS = ("predictions", "rows", "board")
VARYING = ("file-hashes.json", "recorded-hashes.json", "recorded-hashes.copy.json")  # hold times and dates


def leftovers(folder: Path) -> list[str]:
    """Unfinished files, files in a results folder that no record names, and work folders of finished runs."""
    found = [path for pattern in UNFINISHED for path in folder.rglob(pattern)]
    for records in folder.rglob("records"):
        found += _orphans(records.parent)
    for home in folder.rglob("parsed"):
        found += [path for path in home.glob("*/*") if path.is_dir() and not (path / "meta.json").is_file()]
    return sorted({str(path.relative_to(folder)) for path in found})


def _orphans(results: Path) -> list[Path]:
    named: set[str] = set()
    for record in records_of(results):
        named |= {record[kind]["file"] for kind in OF_RECORDS if record.get(kind)}
        named |= {f"board/{record['board']['data']}"} if record.get("board") else set()
        named |= {"/".join(str(record["notes"].get("report", "")).split("/")[:2])}
    files = [path for kind in OF_RECORDS for path in (results / kind).glob("*.npz")]
    files += (results / "reports").glob("*")
    work = [path for path in (results / "work").glob("*") if path.is_dir()]
    return [path for path in files if str(path.relative_to(results)) not in named] + work


def records_of(results: Path) -> list[dict[str, Any]]:
    """The records of a results folder as JSON objects; those of failed and interrupted runs too."""
    return [json.loads(path.read_bytes()) for path in sorted((results / "records").glob("*.json"))]


def state(folder: Path) -> dict[str, str]:
    """Name → hash for everything that must be the same however often a command was stopped before it ended.

    Of a results folder, one line per record: its experiment, status, values, and the hashes of its files. Locks and
    files that hold times are left out; of an import, what differs from the one before it is left out too.
    """
    result: dict[str, str] = {}
    results = {path.parent for path in folder.rglob("records") if (path.parent / "predictions").is_dir()}
    for one in results:
        for number, line in enumerate(sorted(_line(one, record) for record in records_of(one))):
            result[f"{one.relative_to(folder)}: record {number}"] = line
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_dir() or path.name.endswith(".lock") or path.name in VARYING or path.name.startswith("."):
            continue
        if any(path.is_relative_to(one) for one in results):
            continue
        if path.name == "meta.json":
            if "imported" in relative.parts:
                raw = json.loads(path.read_bytes())
                result[str(relative)] = str({k: v for k, v in raw.items() if k not in ("changes", "seal")})
        elif "parsed" not in relative.parts or path.suffix == ".npy":
            result[str(relative)] = _hash(path)
    return result


def _line(results: Path, record: dict[str, Any]) -> str:
    values = {metric["name"]: (metric["value"], metric["low"], metric["high"]) for metric in record["metrics"]}
    files = [_hash(results / record[kind]["file"]) for kind in OF_RECORDS if record.get(kind)]
    return f"{record['spec_hash']} {record['status']} {values} {files}"


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What differs between two states, one line each."""
    return [
        f"{name}: {'missing' if name not in found else 'additional' if name not in expected else 'differs'}"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def remove_failed(folder: Path) -> list[str]:
    """Remove the records of runs that failed or were stopped; returns their statuses."""
    removed = []
    for results in sorted({path.parent for path in folder.rglob("records")}):
        for record in records_of(results):
            if record["status"] in ("error", "interrupted"):
                (results / "records" / f"{record['run_id']}.json").unlink()
                removed.append(record["status"])
    return removed
