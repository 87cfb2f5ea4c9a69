"""Records → entries: which runs stand behind one row, and which of a row's runs count.

A row is a method with its parameters on one content of one data set, on one kind of device. Seeds are its runs; of two
runs with one seed the newest counts for scores, while both count for costs, for they may be of two machines.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xmcbench.comparison.compare import same_but_seed
from xmcbench.results.store import standing

Record = Mapping[str, Any]
K = 100  # predictions of a row that a run keeps unless told otherwise, as `xmcbench run`


@dataclass(frozen=True)
class Entry:
    """The runs of one row, all ended ok: `runs` one a seed, by seed; `all_runs` with those of other machines."""

    runs: tuple[Record, ...]
    all_runs: tuple[Record, ...]

    @property
    def newest(self) -> Record:
        return max(self.runs, key=age)

    @property
    def label(self) -> str:
        """The method's label; what makes it another row is named: a kind of device that is no CPU, an unusual k."""
        record = self.newest
        device = record["environment"].get("device")
        label: str = record["method"]["label"]
        label += "" if device in (None, "cpu") else f" on {device}"
        return label if record["k"] == K or is_external(record) else f"{label} (k={record['k']})"

    @property
    def content(self) -> str:
        """Content hash of its data."""
        return str(self.newest["dataset"]["content_hash"])


def tables_of(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """Records by (data set, view), those without either left out; keys in order."""
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        data = record["dataset"]
        found[str(data["name"]), str(data["view"])].append(record)
    return dict(sorted(found.items()))


def entries_of(records: Sequence[Record]) -> list[Entry]:
    """The rows that the records of one table make, in order of label and content.

    Only runs that ended ok and that no such run supersedes count. Of a method in two versions the newer one is the row;
    of a method's file in two states, and of predictions from outside under one name, the last.
    """
    last: dict[str, int] = defaultdict(lambda: -1)  # version; a new one may have other parameters under the same label
    by_place: dict[str, list[Record]] = defaultdict(list)
    for record in standing(records):
        by_place[_place(record)].append(record)
        key = _place(record, parameters=False)
        last[key] = max(last[key], _number(record["method"].get("version")))
    entries = []
    for place in by_place.values():
        newest = max(place, key=lambda r: (_number(r["method"].get("version")), age(r)))
        if _number(newest["method"].get("version")) < last[_place(newest, parameters=False)]:
            continue
        runs = sorted((r for r in place if _state(r) == _state(newest)), key=age)
        by_seed = {r["seed"]: r for r in runs}  # the newest of each
        first = sorted(by_seed.values(), key=lambda r: -1 if r["seed"] is None else r["seed"])
        entries.append(Entry(tuple(first), tuple(runs)))
    return sorted(entries, key=lambda e: (e.label, e.content, e.newest["run_id"]))


def failures_of(records: Sequence[Record], entries: Sequence[Entry]) -> list[str]:
    """A sentence for each method whose runs all failed or were skipped: a missing row has a reason."""
    there = {entry.newest["method"]["label"] for entry in entries}
    last = {r["method"]["label"]: r for r in sorted(records, key=age) if r["status"] != "ok"}
    said = [
        f"{label}: {record['status']}" + (f" ({record['reason']})" if record["reason"] else "")
        for label, record in sorted(last.items())
        if label not in there
    ]
    for entry in entries:
        if is_external(entry.newest):
            label = entry.newest["method"]["label"]
            brought = {r["method"]["version"] for r in records if is_external(r) and r["method"]["label"] == label}
            if len(brought) > 1:
                said.append(f"{label}: {len(brought) - 1} earlier predictions under this name aren't shown")
    return said


def is_external(record: Record) -> bool:
    """Whether its predictions were brought by somebody, and nobody saw them made."""
    return bool(record["method"].get("family") == "external")


def _place(record: Record, *, parameters: bool = True) -> str:
    """What all runs of a row share, its version aside, and where asked for its parameters too: the label names them."""
    name, _, fixed, *rest = same_but_seed(record)
    if parameters:
        rest = [fixed, *rest]
    method = record["method"]  # its family keeps predictions from outside apart from a method of their name,
    origin = _code(record).get("origin")  # and two distributions may have methods of one name
    return json.dumps([name, method["label"], method.get("family"), origin, record["k"], *rest], sort_keys=True)


def _state(record: Record) -> tuple[Any, ...]:
    """The state of a method's code that a row is of: its version, and of a method in a file, the file's hash."""
    return record["method"].get("version"), _code(record).get("sha256")


def _code(record: Record) -> Mapping[str, Any]:
    return record["code"].get("method") or {}


def age(record: Record) -> tuple[float, str]:
    """What orders runs by their start, those of one second by their id."""
    return datetime.fromisoformat(record["started_utc"]).timestamp(), str(record["run_id"])


def _number(version: object) -> int:
    """Versions are whole numbers; what is none, as of predictions from outside, has no order but its age."""
    text = str(version)
    return int(text) if text.isdecimal() and len(text) < 9 else -1
