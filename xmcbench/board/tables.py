"""Makes the table model: a pure function of the records, the published values and the cached test results."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xmcbench.board import pairs
from xmcbench.board.entries import Entry, age, entries_of, failures_of, number, tables_of
from xmcbench.board.evidence import Evidence
from xmcbench.board.model import METRICS, Board, Facts, Row, Table
from xmcbench.board.published import Published, published_alone, published_rows
from xmcbench.board.rows import UNRANKED, flags_of, row_of, value_of
from xmcbench.data.catalogue import catalogue
from xmcbench.errors import DataError
from xmcbench.results.record import Record
from xmcbench.results.record_file import seal_of
from xmcbench.results.row_values import TESTED

if TYPE_CHECKING:
    from xmcbench.results.store import Store


def board_of(records: Sequence[Record], store: Store, cache: pairs.Cache, published: Sequence[Published] = ()) -> Board:
    """All tables of a set of records, and one for each data set that has only published values.

    Parameters
    ----------
    store : has the per-row numbers of the records. cache : cache of test results; new results are added to it.

    Raises
    ------
    DataError : per-row numbers are missing, changed, or don't match their record; all faults are reported together.
    """
    versions = dict(sorted((m.name, m.version) for record in records for m in record.metrics))  # the newest is last
    tables = [
        _table(name, view, members, store, cache, versions, published)
        for (name, view), members in tables_of(records).items()
    ]
    with_records = {table.dataset for table in tables}
    tables += [published_alone(name, published) for name in sorted({p.dataset for p in published} - with_records)]
    seals = sorted(seal_of(record.raw) for record in records)
    return Board(tables, len(records), hashlib.sha256(" ".join(seals).encode()).hexdigest())


def _table(
    name: str,
    view: str,
    members: Sequence[Record],
    store: Store,
    cache: pairs.Cache,
    versions: Mapping[str, int],
    published: Sequence[Published],
) -> Table:
    """One table; it has no rows if no run ended ok."""
    entries = entries_of(members)
    content = _content(entries) if entries else ""
    same_content = [e.newest for e in entries if e.content == content] or list(members)
    data = max(same_content, key=age).dataset
    known = catalogue().get(name)  # not imported data, nor a synthetic data set with options
    counts = (data.n_train, data.n_test, data.n_features, data.n_labels)
    columns = _columns(entries)
    slices = _slices(entries)
    names = [*columns, *(metric for part in slices.values() for metric in part)]
    evidence = [Evidence(entry, store) for entry in entries]
    if faults := [fault for one in evidence for fault in one.check()]:
        raise DataError("\n".join(faults), "Repair or remove these records.")
    tested = [metric for metric in TESTED if metric in columns]
    flags = flags_of(evidence, content, versions, names)
    places: list[dict[str, tuple[int, int]]] = [{} for _ in entries]
    for metric in tested:
        ranked = [i for i, e in enumerate(evidence) if metric in e.metrics and UNRANKED.isdisjoint(flags[i])]
        values = [value_of(entries[i].runs, metric, None).value or 0.0 for i in ranked]
        ranking = pairs.rank_rows([evidence[i] for i in ranked], metric, values, cache)
        for i, rank_and_count in zip(ranked, ranking, strict=True):
            places[i][metric] = rank_and_count
    rows = []
    for entry, per_row, place, entry_flags in zip(entries, evidence, places, flags, strict=True):
        ends = pairs.intervals(per_row, cache) if per_row.metrics else {}
        ranks = {m: place[m][0] if m in place else None for m in tested}
        separated = {m: place[m][1] for m in tested if m in place}
        rows.append(row_of(entry, names, ends, ranks, separated, entry_flags))
    rows.sort(key=lambda row: _order(row, tested[0] if tested else next(iter(columns), "")))
    return Table(
        dataset=name,
        view=view,
        title=known.title if known else name,
        facts=Facts(*counts, data.revision, data.content_hash, data.propensity),
        metrics=columns,
        tested=tested,
        slices=slices,
        ceilings={m: _ceiling(sorted(same_content, key=age, reverse=True), m) for m in names},
        rows=rows,
        published=published_rows(name, view, rows, published),
        failures=failures_of(members, entries),
    )


def _columns(entries: Sequence[Entry]) -> list[str]:
    """The metrics of `METRICS` that have a value; if there are none, the first metrics of the runs."""
    names = [m.name for e in entries for m in e.newest.metrics if m.value is not None and ":" not in m.name]
    return [m for m in METRICS if m in names] or list(dict.fromkeys(names))[: len(METRICS)]


def _content(entries: Sequence[Entry]) -> str:
    """The content hash of the newest revision; of several, the one with most entries, then with the newest run.

    The revision of an import is a part of its content hash, which has no order: there, the newest run decides.
    """
    counts = Counter(e.content for e in entries)

    def newer(entry: Entry) -> tuple[int, str, int, tuple[float, str]]:
        revision = str(entry.newest.dataset.revision)
        if re.fullmatch("[0-9a-f]{12}", revision):
            return -1, "", 0, age(entry.newest)
        return number(revision), revision, counts[entry.content], age(entry.newest)

    return max(entries, key=newer).content


def _slices(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Slice → its metrics, in the order of the records."""
    slices: dict[str, list[str]] = defaultdict(list)
    for metric in dict.fromkeys(m.name for e in entries for m in e.newest.metrics if ":" in m.name):
        slices[metric.partition(":")[2]].append(metric)
    return dict(slices)


def _order(row: Row, metric: str) -> tuple[float, float, str]:
    value = row.values[metric].value if metric else None
    return row.ranks.get(metric) or math.inf, -(value or 0.0), row.label


def _ceiling(newest_first: Sequence[Record], metric: str) -> float | None:
    ceilings = (m.best for record in newest_first for m in record.metrics if m.name == metric)
    return next((ceiling for ceiling in ceilings if ceiling is not None), None)
