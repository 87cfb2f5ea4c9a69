"""Rows of tables from the records of a results folder: means, intervals, costs, per-row numbers, reports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xmcbench.board.costs import costs_of
from xmcbench.board.entries import Entry, age, entries_of
from xmcbench.board.model import Costs, Value
from xmcbench.board.rows import value_of
from xmcbench.comparison.paired import Paired, per_row
from xmcbench.errors import DataError
from xmcbench.metrics import difference
from xmcbench.metrics.uncertainty import DENOMINATOR, NEAR, intervals
from xmcbench.records.record import Record
from xmcbench.records.row_values import PerRow
from xmcbench.records.store import NotKept, Store
from xmcbench_elias.results.plan import Board, resolved
from xmcbench_elias.results.report_file import Report

METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10", "R@20", "R@100")
KEPT = {*METRICS, *(name + DENOMINATOR for name in METRICS), NEAR}  # per-row numbers that tables are made from
SAMPLES = 1000  # bootstrap resamples, as for a run's intervals
NOT_RUN, NOT_KEPT = "not run", "not kept"


@dataclass(frozen=True)
class Measured:
    """One method on one board.

    Attributes
    ----------
    title : name in tables. text : argument of `xmcbench run`.
    runs : the newest run of each seed, sorted by seed; may be empty.
    values : metric → mean over seeds with its interval, as fractions, for the `METRICS` that all runs have.
    costs : medians on the machine that ran it last, or None. rows : seed → per-row numbers, of runs that have them.
    missing : requested seeds without a run.
    remarks : sentences below the table: failed runs, records not shown.
    """

    title: str
    text: str
    board: Board
    runs: tuple[Record, ...] = ()
    values: Mapping[str, Value] = field(default_factory=dict)
    costs: Costs | None = None
    rows: Mapping[int | None, PerRow] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def is_elias(self) -> bool:
        return bool(self.runs) and self.runs[0].method.name == "elias"

    @property
    def version(self) -> str | None:
        """The method's version in its records; None without a run."""
        return str(self.runs[0].method.version) if self.runs else None

    @property
    def content(self) -> str | None:
        """Hash of the data of its runs; None without a run."""
        return str(self.runs[0].dataset.content_hash) if self.runs else None


@dataclass(frozen=True)
class Gap:
    """b − a in one metric over `seeds` runs of each, with the ends of its interval, or the reason why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    seeds: int = 0
    why: str = ""


class Results:
    """A results folder of `xmcbench run`, or the slim copy of one.

    Attributes
    ----------
    records : all readable records. left_out : one sentence per unreadable or damaged file.
    used : run id → record, for all runs of rows so far.
    """

    def __init__(self, folder: Path) -> None:
        """Read all records; DataError if there is none in the folder."""
        self.store = Store(folder)
        self.left_out: list[str] = []
        self.records = self.store.records(self.left_out)
        self.used: dict[str, Record] = {}
        self._rows: dict[tuple[str, Board], Measured] = {}
        if not self.records and not self.left_out:
            raise DataError(f"{folder}: no records", "Give the folder that `xmcbench run` wrote to, or a slim copy.")

    def measured(self, title: str, text: str, board: Board, seeds: Sequence[int]) -> Measured:
        """The row of a method on a board; it may have no runs."""
        label, wanted = resolved(text, board, tuple(seeds))
        if (label, board) not in self._rows:
            self._rows[label, board] = self._measured(label, text, board)
        row = self._rows[label, board]
        missing = tuple(seed for seed in wanted if seed not in {run.seed for run in row.runs})
        return replace(row, title=title, text=text, missing=missing)

    def reports(self, row: Measured) -> dict[int | None, Report]:
        """Seed → report, for runs with a report in the folder; slim copies have none."""
        reports = {}
        for run in row.runs:
            name = str(run.notes.get("report", ""))
            path = (self.store.folder / name).with_suffix(".json")
            if not re.fullmatch(r"reports/[0-9a-f]+/report\.md", name) or not path.is_file():
                continue
            try:
                reports[run.seed] = Report.read(path)
            except DataError as error:
                self.leave_out(error.message)
        return reports

    def _measured(self, label: str, text: str, board: Board) -> Measured:
        records = [r for r in self.records if (r.dataset.name, r.dataset.view) == board and r.method.label == label]
        entries, rows = self._readable(records)
        remarks = _failed(records, label)
        if not entries:
            return Measured(label, text, board, remarks=remarks)
        entry = max(entries, key=lambda e: age(e.newest))
        if len(entries) > 1:
            why = "with other data, another kind of device, another k or other defaults"
            remarks += (f"{label}: {len(entries) - 1} older entries {why} are not shown",)
        self.used |= {run.run_id: run for run in entry.runs}
        per_seed = {run.seed: rows[run.run_id] for run in entry.runs if rows[run.run_id]}
        ends = _intervals(list(per_seed.values())) if len(per_seed) == len(entry.runs) > 1 else {}
        values = {name: value_of(entry.runs, name, ends.get(name)) for name in METRICS}
        values = {name: value for name, value in values.items() if value.value is not None}
        costs = next(iter(costs_of(entry.all_runs)), None)
        return Measured(label, text, board, entry.runs, values, costs, per_seed, remarks=remarks)

    def _readable(self, records: Sequence[Record]) -> tuple[list[Entry], dict[str, PerRow]]:
        """Entries of the records without damaged per-row numbers, and the numbers by run id; empty if not kept."""
        rows: dict[str, PerRow] = {}
        readable = list(records)
        while True:
            entries = entries_of(readable)
            unread = [run for entry in entries for run in entry.runs if run.run_id not in rows]
            if not unread:
                return entries, rows
            for run in unread:
                try:
                    arrays = per_row(self.store, run)
                    rows[run.run_id] = {name: array for name, array in arrays.items() if name in KEPT}
                except NotKept:
                    rows[run.run_id] = {}
                except DataError as error:
                    self.leave_out(str(error))
                    readable.remove(run)

    def leave_out(self, sentence: str) -> None:
        """Add a sentence to `left_out` once."""
        if sentence not in self.left_out:
            self.left_out.append(sentence)


def gap(a: Measured, b: Measured, metric: str) -> Gap:
    """b − a over the seeds of both, with the same test rows of both in each resample."""
    seeds = [seed for seed in a.rows if seed in b.rows]
    if not a.runs or not b.runs:
        return Gap(why=NOT_RUN)
    if a.content != b.content:
        return Gap(why="other data")
    if a.version != b.version and a.runs[0].method.name == b.runs[0].method.name:
        return Gap(why="other version")
    if not (a.rows and b.rows):
        return Gap(why=NOT_KEPT)
    if not seeds:
        return Gap(why="no seed of both")
    paired = Paired.of(*(_mean([side.rows[seed] for seed in seeds]) for side in (a, b)))
    result = difference(paired.b, paired.a, metric, SAMPLES, groups=paired.groups)
    if result is None or result.value is None:
        return Gap(why=NOT_KEPT)
    return Gap(result.value, result.low, result.high, len(seeds))


def _mean(rows: Sequence[PerRow]) -> PerRow:
    """Average the numerators over runs; denominators and near-duplicate groups are equal for all runs."""
    shared = {name: rows[0][name] for name in rows[0] if name == NEAR or name.endswith(DENOMINATOR)}
    names = [name for name in METRICS if all(name in one for one in rows)]
    means = {name: np.asarray(np.mean([one[name] for one in rows], axis=0, dtype=np.float64)) for name in names}
    return {**shared, **means}


def _intervals(rows: Sequence[PerRow]) -> dict[str, tuple[float | None, float | None]]:
    """Metric → interval of its mean over these runs."""
    mean = _mean(rows)
    names = [name for name in METRICS if name in mean]
    pairs = [(mean[name], mean.get(name + DENOMINATOR)) for name in names]
    return dict(zip(names, intervals(pairs, SAMPLES, 0, groups=mean.get(NEAR)), strict=True))


def _failed(records: Sequence[Record], label: str) -> tuple[str, ...]:
    """Remarks on seeds whose newest run failed."""
    newest = {r.seed: r for r in sorted(records, key=age)}.values()
    failed = {f"{label}: {r.status}" + (f" ({r.reason})" if r.reason else "") for r in newest if r.status != "ok"}
    return tuple(sorted(failed))
