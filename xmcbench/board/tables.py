"""Makes the table model: a pure function of the records, the published values and the cached test results."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xmcbench.board import pairs
from xmcbench.board.accepting import Accepted
from xmcbench.board.entries import Entry, age, entries_of, failures_of, tables_of
from xmcbench.board.evidence import Evidence
from xmcbench.board.model import BY, METRICS, Board, Difference, Facts, Place, Row, Table
from xmcbench.board.published import Published, published_alone, published_rows
from xmcbench.board.rows import UNRANKED, flags_of, row_of, value_of
from xmcbench.data.catalogue import catalogue
from xmcbench.metrics.names import parse
from xmcbench.records.record import Record
from xmcbench.records.record_file import seal_of
from xmcbench.records.references import key_of
from xmcbench.records.row_values import TESTED

if TYPE_CHECKING:
    from xmcbench.records.store import Store


def board_of(
    accepted: Accepted, store: Store, cache: pairs.Cache, published: Sequence[Published] = (), notes: Sequence[str] = ()
) -> Board:
    """All tables of a set of records, and one for each data set that has only published values.

    Parameters
    ----------
    store : has the per-row numbers of the records. cache : cache of test results; new results are added to it.
    notes : further messages on records, in addition to `accepted.notes`.
    """
    versions = versions_of(accepted.records)
    tables = [
        _table(name, view, members, accepted, store, cache, versions, published)
        for (name, view), members in tables_of(accepted.records).items()
    ]
    with_records = {table.dataset for table in tables}
    tables += [published_alone(name, published) for name in sorted({p.dataset for p in published} - with_records)]
    seals = sorted(seal_of(record.raw) for record in accepted.records)
    digest = hashlib.sha256(" ".join(seals).encode()).hexdigest()
    return Board(tables, len(accepted.records), digest, [*notes, *accepted.notes])


def versions_of(records: Sequence[Record]) -> dict[str, int]:
    """The newest version of each metric's definition among the records, of those that this program knows."""
    versions: dict[str, int] = {}
    for metric in (metric for record in records for metric in record.metrics):
        if metric.version <= parse(metric.name).definition.version:
            versions[metric.name] = max(metric.version, versions.get(metric.name, metric.version))
    return versions


def _table(
    name: str,
    view: str,
    members: Sequence[Record],
    accepted: Accepted,
    store: Store,
    cache: pairs.Cache,
    versions: Mapping[str, int],
    published: Sequence[Published],
) -> Table:
    """One table; it has no rows if no run ended ok."""
    entries = entries_of(members, accepted.disputed)
    content = content_of(entries, accepted) if entries else members[0].dataset.content_hash
    reference = accepted.references[name, view, content]
    data = reference.dataset
    known = catalogue().get(name)  # not imported data, nor a synthetic data set with options
    counts = (data.n_train, data.n_test, data.n_features, data.n_labels)
    columns = _columns(entries)
    slices = _slices(entries)
    names = [*columns, *(metric for part in slices.values() for metric in part)]
    evidence = [Evidence(entry, store) for entry in entries]
    tested = [metric for metric in TESTED if metric in columns]
    flags = [flags_of(one, content, versions, names, accepted.disputed) for one in evidence]
    ranks: list[dict[str, Place | None]] = [dict.fromkeys(tested) for _ in entries]
    pairs_by_metric: dict[str, dict[tuple[int, int], Difference]] = {}
    for metric in tested:
        ranked = [i for i, e in enumerate(evidence) if metric in e.metrics and UNRANKED.isdisjoint(flags[i])]
        values = [value_of(entries[i].runs, metric, None).value or 0.0 for i in ranked]
        found = pairs.differences([evidence[i] for i in ranked], metric, values, cache)
        for i, place in zip(ranked, pairs.places(len(ranked), found), strict=True):
            ranks[i][metric] = place
        pairs_by_metric[metric] = {(ranked[i], ranked[j]): each for (i, j), each in found.items()}
    rows = []
    for entry, per_row, of_row, entry_flags in zip(entries, evidence, ranks, flags, strict=True):
        ends = pairs.intervals(per_row, cache) if per_row.metrics else {}
        rows.append(row_of(entry, names, ends, of_row, entry_flags))
    by = BY if BY in tested else next(iter(tested or columns), "")
    order = sorted(range(len(rows)), key=lambda i: _order(rows[i], by))
    rows = [rows[i] for i in order]
    return Table(
        dataset=name,
        view=view,
        title=known.title if known else name,
        facts=Facts(*counts, data.revision, data.content_hash, data.propensity),
        metrics=columns,
        tested=tested,
        slices=slices,
        ceilings={m: reference.best.get(m) for m in names},
        rows=rows,
        differences={metric: _sorted(found, order) for metric, found in pairs_by_metric.items()},
        published=published_rows(name, view, rows, published),
        failures=failures_of(members, entries),
    )


def _columns(entries: Sequence[Entry]) -> list[str]:
    """The metrics of `METRICS` that have a value; if there are none, the first metrics of the runs."""
    names = [m.name for e in entries for m in e.newest.metrics if m.value is not None and ":" not in m.name]
    return [m for m in METRICS if m in names] or list(dict.fromkeys(names))[: len(METRICS)]


def content_of(entries: Sequence[Entry], accepted: Accepted) -> str:
    """The content hash of the ranked rows: of the latest reference that was made from the data set; without one, of the
    catalogue's revision; of several, the one with most runs, then with the oldest run."""
    counts = Counter(run.dataset.content_hash for entry in entries for run in entry.all_runs)

    def preferred(entry: Entry) -> tuple[int, bool, int, float]:
        data = entry.newest.dataset
        known = catalogue().get(data.name)
        made = accepted.made.index(key_of(data)) if key_of(data) in accepted.made else -1
        oldest = min(age(run) for run in entry.all_runs)[0]
        return made, known is not None and known.revision == data.revision, counts[entry.content], -oldest

    return max(entries, key=preferred).content


def _slices(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Slice → its metrics, in the order of the records."""
    slices: dict[str, list[str]] = defaultdict(list)
    for metric in dict.fromkeys(m.name for e in entries for m in e.newest.metrics if ":" in m.name):
        slices[metric.partition(":")[2]].append(metric)
    return dict(slices)


def _order(row: Row, metric: str) -> tuple[bool, float, str]:
    value = row.values[metric].value if metric else None
    return all(place is None for place in row.ranks.values()), -(value or 0.0), row.label


def _sorted(found: Mapping[tuple[int, int], Difference], order: Sequence[int]) -> dict[tuple[int, int], Difference]:
    """The differences by positions in `order`."""
    at = {row: place for place, row in enumerate(order)}
    placed = {(at[i], at[j]): each for (i, j), each in found.items()}
    return {(i, j) if i < j else (j, i): each if i < j else each.turned for (i, j), each in placed.items()}
