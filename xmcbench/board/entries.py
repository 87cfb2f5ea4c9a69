"""Groups records into entries: the runs behind each row of a board.

An entry is a method with its parameters on one content of one data set, on one kind of device, with one run per seed.
If several runs have the same seed, the newest counts for scores; all count for costs, since they may be on different
machines.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from xmcbench.comparison.compare import same_but_seed
from xmcbench.errors import counted
from xmcbench.results.record import Record
from xmcbench.results.store import standing

K = 100  # the default number of predictions per row of `xmcbench run`


@dataclass(frozen=True)
class Entry:
    """The runs of one row, all with status ok: `runs` has one run per seed, by seed; `all_runs` has all of them."""

    runs: tuple[Record, ...]
    all_runs: tuple[Record, ...]

    @property
    def newest(self) -> Record:
        return max(self.runs, key=age)

    @property
    def label(self) -> str:
        """The method's label, with the kind of device if it is no CPU, and k if it is not the default."""
        record = self.newest
        device = record.environment.device
        label = record.method.label
        label += "" if device in (None, "cpu") else f" on {device}"
        return label if record.k == K or record.is_external else f"{label} (k={record.k})"

    @property
    def content(self) -> str:
        """Content hash of the data set."""
        return self.newest.dataset.content_hash


def tables_of(records: Sequence[Record]) -> dict[tuple[str, str], list[Record]]:
    """Records by (data set, view), sorted by key."""
    tables: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        tables[record.dataset.name, record.dataset.view].append(record)
    return dict(sorted(tables.items()))


def entries_of(records: Sequence[Record]) -> list[Entry]:
    """The entries of one table, sorted by label and content.

    Only standing runs count (`results.store.standing`). If a method has several versions, only the newest counts; if a
    method's file has several states, or several external predictions have the same name, only the last.
    """
    last: dict[str, int] = defaultdict(lambda: -1)  # newest version; it may have other parameters under the same label
    by_key: dict[str, list[Record]] = defaultdict(list)
    for record in standing(records):
        by_key[_row_key(record)].append(record)
        key = _row_key(record, parameters=False)
        last[key] = max(last[key], number(record.method.version))
    entries = []
    for members in by_key.values():
        newest = max(members, key=lambda r: (number(r.method.version), age(r)))
        if number(newest.method.version) < last[_row_key(newest, parameters=False)]:
            continue
        runs = sorted((r for r in members if _state(r) == _state(newest)), key=age)
        by_seed = {r.seed: r for r in runs}  # the newest run of each seed
        newest_runs = sorted(by_seed.values(), key=lambda r: -1 if r.seed is None else r.seed)
        entries.append(Entry(tuple(newest_runs), tuple(runs)))
    return sorted(entries, key=lambda e: (e.label, e.content, e.newest.run_id))


def failures_of(records: Sequence[Record], entries: Sequence[Entry]) -> list[str]:
    """One message for each method without an entry, since all its runs failed or were skipped, and one for each name
    that has earlier external predictions."""
    with_entry = {entry.newest.method.label for entry in entries}
    last = {r.method.label: r for r in sorted(records, key=age) if r.status != "ok"}
    messages = [
        f"{label}: {record.status}" + (f" ({record.reason})" if record.reason else "")
        for label, record in sorted(last.items())
        if label not in with_entry
    ]
    for entry in entries:
        if entry.newest.is_external:
            label = entry.newest.method.label
            versions = {r.method.version for r in records if r.is_external and r.method.label == label}
            if len(versions) > 1:
                earlier = counted(len(versions) - 1, "earlier file")
                messages.append(f"{label}: not shown: {earlier} of predictions under this name")
    return messages


def _row_key(record: Record, *, parameters: bool = True) -> str:
    """A key that is equal for all runs of a row, without the version and, on request, without the parameters."""
    name, _, fixed, *rest = same_but_seed(record)
    if parameters:
        rest = [fixed, *rest]
    method = record.method  # family: external predictions may have the name of a method
    origin = record.code.method.origin  # two distributions may have methods of the same name
    return json.dumps([name, method.label, method.family, origin, record.k, *rest], sort_keys=True)


def _state(record: Record) -> tuple[str, str | None]:
    """The state of a method's code: its version and, for a method in a file, the hash of the file."""
    return record.method.version, record.code.method.sha256


def age(record: Record) -> tuple[float, str]:
    """Sort key: start of the run, then run id."""
    return datetime.fromisoformat(record.started_utc).timestamp(), record.run_id


def number(version: object) -> int:
    """A version or revision as a number; −1 if it is no whole number, as for external predictions."""
    text = str(version)
    return int(text) if text.isdecimal() and len(text) < 9 else -1
