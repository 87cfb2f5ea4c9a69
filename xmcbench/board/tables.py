"""Records → the table model: a pure function of the records, the published values and what earlier builds remember."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xmcbench.board import pairs
from xmcbench.board.entries import Entry, age, entries_of, failures_of, tables_of
from xmcbench.board.evidence import Evidence
from xmcbench.board.flags import flags_of, is_ranked
from xmcbench.board.model import METRICS, Board, Row, Table
from xmcbench.board.published import Published, beside, published_alone
from xmcbench.board.rows import row_of, value_of
from xmcbench.errors import DataError
from xmcbench.results import record as records
from xmcbench.results.board_files import TESTED

if TYPE_CHECKING:
    from xmcbench.results.store import Store

Record = Mapping[str, Any]


def board_of(
    everything: Sequence[Record], store: Store, memory: pairs.Memory, printed: Sequence[Published] = ()
) -> Board:
    """All tables of a set of records, and one for each data set of which there are published values alone.

    Parameters
    ----------
    store : where the per-row numbers of the records lie.
    memory : remembers tests; it is added to.
    printed : published values.

    Raises
    ------
    DataError : per-row numbers are gone, changed, or don't fit their record; all that is wrong is named.
    """
    versions = _newest_versions(everything)
    tables = [
        _table(name, view, members, store, memory, versions, printed)
        for (name, view), members in tables_of(everything).items()
    ]
    there = {table.dataset for table in tables}
    tables += [published_alone(name, printed) for name in sorted({p.dataset for p in printed} - there)]
    seals = sorted(records.seal_of(record) for record in everything)
    return Board(tables, len(everything), hashlib.sha256(" ".join(seals).encode()).hexdigest())


def _table(
    name: str,
    view: str,
    members: Sequence[Record],
    store: Store,
    memory: pairs.Memory,
    versions: Mapping[str, int],
    printed: Sequence[Published],
) -> Table:
    """One table; without rows where no run ended ok."""
    entries = entries_of(members)
    content = _content(entries) if entries else ""
    alike = [e.newest for e in entries if e.content == content] or list(members)
    reference = max(alike, key=age)
    shown = _shown(entries)
    slices = _slices(entries)
    names = [*shown, *(metric for part in slices.values() for metric in part)]
    evidence = [Evidence(entry, store) for entry in entries]
    if faults := [fault for own in evidence for fault in own.check()]:
        raise DataError("\n".join(faults), "No board is built with them there.")
    tested = [metric for metric in TESTED if metric in shown]
    flags = flags_of(evidence, content, versions, names)
    places: list[dict[str, tuple[int, int]]] = [{} for _ in entries]
    for metric in tested:
        able = [i for i, e in enumerate(evidence) if metric in e.metrics and is_ranked(flags[i])]
        values = [_value(entries[i], metric) for i in able]
        found = pairs.stand([evidence[i] for i in able], metric, values, memory)
        for i, rank, count in zip(able, found.ranks, found.separated, strict=True):
            places[i][metric] = rank, count
    rows = []
    for entry, own, place, why in zip(entries, evidence, places, flags, strict=True):
        ends = pairs.intervals(own, memory) if own.metrics else {}
        ranks = {m: place[m][0] if m in place else None for m in tested}
        separated = {m: place[m][1] for m in tested if m in place}
        more = [] if own.metrics else ["no per-row numbers"]
        rows.append(row_of(entry, names, ends, ranks, separated, [*why, *more]))
    rows.sort(key=lambda row: _order(row, tested[0] if tested else next(iter(shown), None)))
    return Table(
        key=f"{name}/{view}",
        dataset=name,
        view=view,
        title=_title(name),
        facts=_facts(reference),
        metrics=shown,
        tested=tested,
        slices=slices,
        ceilings={m: _ceiling(sorted(alike, key=age, reverse=True), m) for m in names},
        rows=rows,
        published=beside(name, view, rows, printed),
        failures=failures_of(members, entries),
    )


def _shown(entries: Sequence[Entry]) -> list[str]:
    """The columns: of `METRICS` those that have a value; where there is none, the first that any run has."""
    have = [m["name"] for e in entries for m in e.newest["metrics"] if m["value"] is not None and ":" not in m["name"]]
    return [m for m in METRICS if m in have] or list(dict.fromkeys(have))[: len(METRICS)]


def _content(entries: Sequence[Entry]) -> str:
    """The content of the data set's newest revision; of two, the one with more rows, then the newer run."""
    rows = Counter(e.content for e in entries)

    def newer(entry: Entry) -> tuple[int, str, int, tuple[float, str]]:
        revision = str(entry.newest["dataset"].get("revision"))
        number = int(revision) if revision.isdecimal() and len(revision) < 9 else -1
        return number, revision, rows[entry.content], age(entry.newest)

    return max(entries, key=newer).content


def _slices(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Part of labels or rows → its metrics, in the order records have them."""
    found: dict[str, list[str]] = defaultdict(list)
    for metric in dict.fromkeys(m["name"] for e in entries for m in e.newest["metrics"] if ":" in m["name"]):
        found[metric.partition(":")[2]].append(metric)
    return dict(found)


def _newest_versions(everything: Sequence[Record]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for record in everything:
        for entry in record["metrics"]:
            newest[entry["name"]] = max(newest.get(entry["name"], 0), int(entry["version"]))
    return newest


def _value(entry: Entry, metric: str) -> float:
    found = value_of(entry.runs, metric, None).value
    return 0.0 if found is None else found


def _order(row: Row, metric: str | None) -> tuple[float, float, str]:
    if metric is None:
        return 0.0, 0.0, row.label
    rank, value = row.ranks.get(metric), row.values[metric].value
    return float("inf") if rank is None else rank, -(value or 0.0), row.label


def _ceiling(newest_first: Sequence[Record], metric: str) -> float | None:
    found = (m.get("best") for record in newest_first for m in record["metrics"] if m["name"] == metric)
    return next((best for best in found if best is not None), None)


def _facts(record: Record) -> dict[str, Any]:
    names = ("revision", "content_hash", "n_train", "n_test", "n_features", "n_labels", "propensity")
    return {name: record["dataset"].get(name) for name in names}


def _title(name: str) -> str:
    """The catalogue's title; the name where it has none."""
    from xmcbench.data.catalogue import entry
    from xmcbench.errors import UsageError

    try:
        return entry(name).title
    except UsageError:  # imported data, a synthetic with options
        return name
