"""From records to what a figure shows: the rows of one board, made as the board makes them, with their runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xmcbench.amounts import percent
from xmcbench.board import cells, pairs
from xmcbench.board.accepting import accept
from xmcbench.board.build import TESTS
from xmcbench.board.entries import Entry, entries_of, failures_of, tables_of
from xmcbench.board.evidence import Evidence
from xmcbench.board.model import FLAGS, Row, Value
from xmcbench.board.rows import UNRANKED, flags_of, row_of
from xmcbench.board.tables import content_of, versions_of
from xmcbench.errors import UsageError, counted
from xmcbench.metrics.names import parse
from xmcbench.plots.sheet import short_names
from xmcbench.records import references
from xmcbench.records.record import DatasetPart, Record
from xmcbench.records.store import Store, is_record_file

NAMED = 8  # names in a note


@dataclass(frozen=True)
class Shown:
    """A row of a board: `name` is its label, shortened if it is long; `runs` has one run per seed."""

    name: str
    row: Row
    runs: tuple[Record, ...]


@dataclass
class Selection:
    """The rows of one data set in one view, by label.

    Attributes
    ----------
    store : has the files of the runs. data : facts of the data set. metrics : metrics that any run has.
    notes : sentences for readers: what is left out, and why. about : what the figure shows. Figures add to both.
    drawn : names of the rows that a figure shows, which sets them.
    """

    store: Store
    data: DatasetPart
    shown: list[Shown]
    metrics: list[str]
    notes: list[str] = field(default_factory=list)
    about: list[str] = field(default_factory=list)
    drawn: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"{self.data.name} ({self.data.view})"

    @property
    def facts(self) -> str:
        """Counts of the data set."""
        data = self.data
        rows = f"{counted(data.n_train, 'training row')}, {counted(data.n_test, 'test row')}"
        return f"{rows}, {counted(data.n_labels, 'label')}."

    @property
    def seeds(self) -> str:
        """What a value of a drawn row is over, for `about`."""
        several = any(one.row.seeds > 1 for one in self.shown if one.name in self.drawn)
        return "mean over seeds" if several else "one seed"

    def note(self, sentence: str, names: Sequence[str]) -> None:
        """Add a note about the rows of these names, if there are any."""
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            self.notes.append(f"{sentence}: {', '.join(names[:NAMED])}{more}.")

    def best_first(self, metric: str) -> list[Shown]:
        """The rows by the value of a metric, best first; rows without it are noted and left out."""
        self.note(f"No {metric}", [one.name for one in self.shown if one.row.values[metric].value is None])
        return sorted(
            (one for one in self.shown if one.row.values[metric].value is not None),
            key=lambda one: (-(one.row.values[metric].value or 0.0), one.name),
        )


def store_of(names: Sequence[str], results: Path) -> tuple[Store, list[str]]:
    """The results folder to read, and the names of runs in it; a folder or a record file takes the place of `results`.

    Raises UsageError: a folder next to other names; record files of several folders.
    """
    folders = [name for name in names if Path(name).is_dir()]
    if not folders:
        of_files = {Path(name).resolve().parents[1] for name in names if is_record_file(name)}
        if len(of_files) > 1:
            listed = ", ".join(map(str, sorted(of_files)))
            raise UsageError(f"record files of several folders: {listed}", "`xmcbench merge` joins folders.")
        return Store(of_files.pop() if of_files else results), list(names)
    if len(names) > 1:
        hint = "Give the folder alone, or names of runs and --results FOLDER; `xmcbench merge` joins folders."
        raise UsageError(f"{folders[0]} is a folder, next to {counted(len(names) - 1, 'other name')}", hint)
    if not (Path(folders[0]) / "records").is_dir():
        raise UsageError(f"not a results folder: {folders[0]}", "A results folder has its records in records/.")
    return Store(Path(folders[0])), []


def select(
    store: Store,
    records: Sequence[Record],
    names: Sequence[str] = (),
    dataset: str | None = None,
    view: str | None = None,
    metrics: Sequence[str] = (),
) -> Selection:
    """The rows of the named runs on one data set.

    Parameters
    ----------
    records : all records of `store`. names : as `Store.fitting`; none: all records.
    metrics : further metrics whose values rows have, besides those of the records.

    Raises
    ------
    UsageError : a name fits no run; no run ended ok; the runs are on several data sets or views.
    DataError : a file of the store is damaged.
    """
    if dataset is not None:
        from xmcbench.data.inventory import name_in_records

        dataset = name_in_records(dataset)
    named = {r.run_id: r for name in names for r in store.fitting(name, records, dataset)}
    chosen = [r for r in (named.values() if names else records) if dataset in (None, r.dataset.name)]
    chosen = [r for r in chosen if view in (None, r.dataset.view)]
    accepted = accept(chosen, store, references.read(store.folder))
    tables = tables_of(accepted.records)
    ok = {key: members for key, members in tables.items() if any(r.status == "ok" for r in members)}
    if not ok:
        where = "".join([f" on {dataset}" if dataset else "", f" in view {view}" if view else ""])
        reasons = [*accepted.notes, *(f"{r.run_id} has status {r.status}" for r in accepted.records)]
        raise UsageError(
            f"no run in {store.folder}{where} that ended ok" + (f": {reasons[0]}" if reasons else ""),
            "`xmcbench run METHOD` adds runs; --results names another folder.",
        )
    if len(ok) > 1:
        listed = ", ".join(f"{name} ({view})" for name, view in ok)
        raise UsageError(f"the runs are on several data sets or views: {listed}", "Give --dataset, or --view too.")
    (members,) = ok.values()
    entries = entries_of(members, accepted.disputed)
    content = content_of(entries, accepted)
    evidence = [Evidence(entry, store) for entry in entries]
    columns = list(dict.fromkeys(m.name for e in entries for run in e.runs for m in run.metrics))
    versions = versions_of(accepted.records)
    cache = pairs.Cache.read(store.folder / TESTS)
    data = next(entry.newest.dataset for entry in entries if entry.content == content)
    selection = Selection(store, data, [], columns, [*accepted.notes])
    values = list(dict.fromkeys([*columns, *(str(parse(name)) for name in metrics)]))
    found: list[tuple[Entry, Row]] = []
    for entry, per_row in zip(entries, evidence, strict=True):
        flags = flags_of(per_row, content, versions, columns, accepted.disputed)
        ends = pairs.intervals(per_row, cache) if per_row.metrics else {}
        row = row_of(entry, values, ends, {}, flags)
        for flag in (flag for flag in flags if flag in UNRANKED):
            selection.notes.append(f"Not shown: {row.label}: {FLAGS[flag].removesuffix(': not ranked')}.")
            break
        else:
            found.append((entry, row))
    if not found:
        raise UsageError("none of the runs can be shown", " ".join(selection.notes))
    short = short_names([row.label for _, row in found])
    selection.shown = [Shown(name, row, entry.runs) for name, (entry, row) in zip(short, found, strict=True)]
    selection.notes += [f"Not shown: {text}." for text in failures_of(members, entries)]
    return selection


def checked_metric(selection: Selection, metric: str | None, preferred: Sequence[str]) -> str:
    """The canonical name of a metric that a run has; None: the first of `preferred` that a run has, else any.

    Raises UsageError: no metric, or no run has it.
    """
    if metric is None:
        return next((name for name in preferred if name in selection.metrics), selection.metrics[0])
    name = str(parse(metric))
    if name not in selection.metrics:
        raise UsageError(f"no run has {name}", f"The runs have {', '.join(selection.metrics)}.")
    return name


def on_machine(selection: Selection, shown: Sequence[Shown]) -> tuple[cells.Machine | None, list[Shown]]:
    """The most frequent machine, and the rows with costs on it; a note names the others."""
    machine = next(iter(cells.machines(one.row for one in shown)), None)
    there = [one for one in shown if cells.on_machine(one.row, machine) is not None]
    names = {one.name for one in there}
    rest = [one for one in shown if one.name not in names]
    selection.note("No costs", [one.name for one in rest if not one.row.costs])
    for one in (one for one in rest if one.row.costs):
        newest = one.row.costs[0]
        where = cells.machine_name((newest.machine, newest.threads))
        selection.notes.append(f"Not shown, since costs of two machines can't be compared: {one.name}, on {where}.")
    return machine, there


def interval(value: Value) -> tuple[float, float] | None:
    """The ends of an interval in percent, if it has both."""
    return None if value.low is None or value.high is None else (100 * value.low, 100 * value.high)


def without_floor(selection: Selection, shown: Sequence[Shown], metric: str) -> list[Shown]:
    """The rows without baselines, which would stretch the axis; a note has their values. All rows if all are."""
    floor = [one for one in shown if one.row.floor]
    if len(floor) == len(shown):
        return list(shown)
    values = [f"{one.name} ({percent(one.row.values[metric].value)})" for one in floor]
    selection.note(f"The floor is not drawn, by {metric}", values)
    return [one for one in shown if not one.row.floor]
