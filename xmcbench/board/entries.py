"""Groups records into entries: the runs behind each row of a board.

An entry is a method with its parameters on one content of one data set, on one kind of device, with one run per seed.
If several runs have the same seed and the same values, the newest counts for scores; all count for costs, since they
may be on different machines.

Anybody's record may be merged, so no record takes the place of another that it doesn't repeat: a run with other values,
of an unknown version, or of another file gets an entry of its own.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from xmcbench.board.model import METRICS
from xmcbench.comparison.compare import FAIL, IMPROVED, Verdict, compare, same_but_seed
from xmcbench.errors import XmcError
from xmcbench.records.record import Record
from xmcbench.records.row_values import TESTED
from xmcbench.records.store import standing

ERRORS = 3  # three standard errors: a difference that test rows explain
SHORT = 8  # characters of hashes and run ids in a label
K = 100  # the default number of predictions per row of `xmcbench run`


@dataclass(frozen=True)
class Entry:
    """The runs of one row, all with status ok: `runs` has one run per seed, by seed; `all_runs` has all of them.

    `suffix`: distinguishes the label from that of an older entry, or "".
    """

    runs: tuple[Record, ...]
    all_runs: tuple[Record, ...]
    suffix: str = ""

    @property
    def newest(self) -> Record:
        return max(self.runs, key=age)

    @property
    def label(self) -> str:
        """The method's label, with the kind of device if it is no CPU, k if it is not the default, and the suffix."""
        record = self.newest
        device = record.environment.device
        label = record.method.label
        label += "" if device in (None, "cpu") else f" on {device}"
        label += "" if record.k == K or record.is_external else f" (k={record.k})"
        return label + self.suffix

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


def entries_of(records: Sequence[Record], disputed: Collection[str] = ()) -> list[Entry]:
    """The entries of one table, sorted by label and content.

    Only runs that no repeat supersedes count (`_counting`). Of the versions of a method that is installed here, those
    before the installed one are left out once that has runs.

    `disputed`: ids of runs that contradict their data set; they share no entry with others.
    """
    by_key: dict[str, list[Record]] = defaultdict(list)
    versions: dict[str, set[str]] = defaultdict(set)  # of all parameters, since a label may get other ones
    for record in sorted(_counting(records), key=age):
        by_key[_row_key(record)].append(record)
        versions[_row_key(record, parameters=False)].add(record.method.version)
    entries = []
    for members in by_key.values():
        of_method = versions[_row_key(members[0], parameters=False)]
        current = _installed(members[0]) if len(of_method) > 1 else None
        if current in of_method:
            members = [r for r in members if number(r.method.version) >= number(current)]
        first: Record | None = None
        for runs in _alike(sorted(members, key=lambda r: (r.run_id in disputed, age(r))), disputed):
            first = first or runs[0]
            newest_of_seed = {r.seed: r for r in runs}
            shown = sorted(newest_of_seed.values(), key=lambda r: -1 if r.seed is None else r.seed)
            entries.append(Entry(tuple(shown), tuple(runs), _suffix(runs[0], first)))
    return sorted(entries, key=lambda e: (e.label, e.content, e.newest.run_id))


def _counting(records: Sequence[Record]) -> list[Record]:
    """The runs that ended ok, without those that another run supersedes with the same values.

    Different values of one version need a decision by a person, who removes one of the two records.
    """
    by_id = {r.run_id: r for r in records}
    return standing(
        [
            replace(r, supersedes=None) if (old := by_id.get(r.supersedes or "")) and not _agree(old, r) else r
            for r in records
        ]
    )


def _alike(runs: Sequence[Record], disputed: Collection[str]) -> list[list[Record]]:
    """Runs of one row key in groups that may share an entry: equal in `_state`, and repeats agree."""
    groups: list[list[Record]] = []
    for run in runs:
        state = _state(run), run.run_id in disputed
        for group in groups:
            repeats = [r for r in group if r.seed == run.seed]
            if (_state(group[0]), group[0].run_id in disputed) == state and all(_agree(r, run) for r in repeats):
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _agree(first: Record, again: Record) -> bool:
    """Whether a repeated run may have the place of the first: its values differ by no more than repeated runs do.

    Runs of a method that is not repeatable may differ by `ERRORS` standard errors of a mean over the test rows.
    """
    differ = [v for v in compare(first, again) if v.verdict in (FAIL, IMPROVED)]
    if first.method.deterministic:
        return not differ
    return all(_within_error(v, first.dataset.n_test) for v in differ if v.metric in TESTED)


def _within_error(verdict: Verdict, rows: int) -> bool:
    value, again = verdict.expected or 0.0, verdict.got or 0.0
    return abs(again - value) <= ERRORS * math.sqrt(max(0.0, value * (1 - value)) / max(rows, 1))


def _suffix(run: Record, first: Record) -> str:
    """What distinguishes the label of an entry from that of the first entry of the same row key."""
    if run.run_id == first.run_id:
        return ""
    (version, sha256), (first_version, first_sha256) = _code(run), _code(first)
    if version != first_version:
        return f" ({'file' if run.is_external else 'version'} {version})"
    return f" (file {sha256[:SHORT]})" if sha256 and sha256 != first_sha256 else f" (run {run.run_id[-SHORT:]})"


def _installed(record: Record) -> str | None:
    """The version of the record's method that is installed here; None if it is not installed, or can't be imported."""
    from xmcbench.runs import registry

    source = registry.sources().get(record.method.name)
    if source is None or source.origin.split()[0] != record.code.method.origin:
        return None
    try:
        return registry.get(source.name).info.version
    except XmcError:
        return None


def failures_of(records: Sequence[Record], entries: Sequence[Entry]) -> list[str]:
    """One message for each method without an entry, since all its runs failed or were skipped."""
    with_entry = {entry.newest.method.label for entry in entries}
    last = {r.method.label: r for r in sorted(records, key=age) if r.status != "ok"}
    return [
        f"{label}: {record.status}" + (f" ({record.reason})" if record.reason else "")
        for label, record in sorted(last.items())
        if label not in with_entry
    ]


def _row_key(record: Record, *, parameters: bool = True) -> str:
    """A key that is equal for all runs of a row, without the version and, on request, without the parameters."""
    name, _, fixed, *rest = same_but_seed(record)
    if parameters:
        rest = [fixed, *rest]
    method = record.method  # family: external predictions may have the name of a method
    origin = record.code.method.origin  # two distributions may have methods of the same name
    who = method.label, method.family, method.origin, origin, method.deterministic
    return json.dumps([name, *who, record.k, *rest], sort_keys=True)


def _code(record: Record) -> tuple[str, str | None]:
    """The state of a method's code: its version and, for a method in a file, the hash of the file."""
    return record.method.version, record.code.method.sha256


def _state(record: Record) -> tuple[object, ...]:
    """What runs of an entry share: the code, and what decides whether and by which metrics a row is ranked."""
    metrics = sorted((m.name, m.version) for m in record.metrics if m.name in METRICS and m.value is not None)
    return *_code(record), record.board is None, record.selection.split, metrics


def age(record: Record) -> tuple[float, str]:
    """Sort key: start of the run, then run id."""
    return datetime.fromisoformat(record.started_utc).timestamp(), record.run_id


def number(version: object) -> int:
    """A version or revision as a number; −1 if it is no whole number, as for external predictions."""
    text = str(version)
    return int(text) if text.isdecimal() and len(text) < 9 else -1
