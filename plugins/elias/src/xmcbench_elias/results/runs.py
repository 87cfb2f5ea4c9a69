"""Rows of tables from the records of a results folder: means, intervals, costs, per-row numbers, reports."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xmcbench.board.costs import costs_of
from xmcbench.board.entries import Entry, age, entries_of
from xmcbench.board.model import Costs, Value
from xmcbench.board.rows import value_of
from xmcbench.comparison.paired import Paired, per_row
from xmcbench.errors import DataError
from xmcbench.metrics import difference
from xmcbench.metrics.uncertainty import DENOMINATOR, NEAR, Difference, intervals
from xmcbench.results.record import Record
from xmcbench.results.row_values import PerRow
from xmcbench.results.store import NotKept, Store
from xmcbench_elias.results.plan import Board, resolved

METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10", "R@20", "R@100")
CUT = ("threshold", "share cut", "P@1", "R@10", "R@100")  # keys of a report, see `edges.edge_facts`
DECILE = ("fewest", "most", "labels", "clusters")
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
    def version(self) -> str | None:
        """The method's version in its records; None without a run."""
        return str(self.runs[0].method.version) if self.runs else None

    @property
    def content(self) -> str | None:
        """Hash of the data of its runs; None without a run."""
        return str(self.runs[0].dataset.content_hash) if self.runs else None


@dataclass(frozen=True)
class Gap:
    """b − a in one metric over `seeds` runs of each, or the reason why there is none."""

    difference: Difference | None
    seeds: int = 0
    why: str = ""


@dataclass(frozen=True)
class Report:
    """The parts of a run's `report.json` that the results use; parts that older reports lack are empty.

    Attributes
    ----------
    label_scores : as `edges.label_scores`. cut, stage1_kept, deciles : as `edges.edge_facts`.
    searches : clusters that stage 1 searches to score as many labels as stage 2. stage2 : metric → (stage 2 − stage 1,
        low, high), as fractions.
    """

    label_scores: Mapping[str, float]
    cut: Sequence[Mapping[str, float | None]]
    stage1_kept: float | None
    deciles: Sequence[Mapping[str, float]]
    searches: int | None
    stage2: Mapping[str, tuple[float, float, float]]

    @classmethod
    def read(cls, path: Path) -> Report:
        """Read `report.json`.

        Raises
        ------
        DataError : it is not a report.
        """
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            edges = report.get("edges") or {}
            pairs = [
                pair for pair in report.get("differences", ()) if (pair["from"], pair["to"]) == ("stage1", "model")
            ]
            gaps = {name: pair[name] for pair in pairs for name in METRICS if pair.get(name) is not None}
            return cls(
                {name: float(value) for name, value in (report.get("label scores") or {}).items()},
                [{name: _float(row[name]) for name in CUT} for row in edges.get("cut", ())],
                _float(edges.get("stage-1 edges kept")),
                [{name: float(row[name]) for name in DECILE} for row in edges.get("by decile", ())],
                None if report.get("stage1 searches") is None else int(report["stage1 searches"]),
                {name: (float(value), float(low), float(high)) for name, (value, low, high) in gaps.items()},
            )
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise DataError(f"{path}: no report of a run ({error})") from error


class Results:
    """A results folder of `xmcbench run`, or the slim copy of one.

    Attributes
    ----------
    records : all readable records. left_out : one sentence per unreadable or damaged file.
    used : run id → record, for all runs of rows so far.
    """

    def __init__(self, folder: Path) -> None:
        """Read all records.

        Raises
        ------
        DataError : there is no record in the folder.
        """
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
        return Measured(**{**vars(row), "title": title, "text": text, "missing": missing})

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
        board_records = [r for r in self.records if (r.dataset.name, r.dataset.view) == board]
        board_records = [r for r in board_records if r.method.label == label]
        entries, rows = self._readable(board_records)
        remarks = _failed(board_records, label)
        if not entries:
            return Measured(label, text, board, remarks=remarks)
        entry = max(entries, key=lambda e: age(e.newest))
        if len(entries) > 1:
            why = "with other data, another kind of device, another k or other defaults"
            remarks += (f"{label}: {len(entries) - 1} older entries {why} are not shown",)
        self.used |= {run.run_id: run for run in entry.runs}
        per_seed = {run.seed: rows[run.run_id] for run in entry.runs if rows[run.run_id]}
        ends = _ends(list(per_seed.values())) if len(per_seed) == len(entry.runs) > 1 else {}
        values = {name: value_of(entry.runs, name, ends.get(name)) for name in METRICS}
        values = {name: value for name, value in values.items() if value.value is not None}
        costs = costs_of(entry.all_runs)
        return Measured(label, text, board, entry.runs, values, costs[0] if costs else None, per_seed, (), remarks)

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
                    rows[run.run_id] = _kept_rows(self.store, run)
                except DataError as error:
                    self.leave_out(str(error))
                    readable.remove(run)

    def leave_out(self, sentence: str) -> None:
        """Add a sentence to `left_out` once."""
        if sentence not in self.left_out:
            self.left_out.append(sentence)


def gap(a: Measured, b: Measured, metric: str) -> Gap:
    """b − a over the seeds of both, with the same test rows of both in each resample."""
    if not a.runs or not b.runs:
        return Gap(None, why=NOT_RUN)
    if a.content != b.content:
        return Gap(None, why="other data")
    if a.version != b.version and a.runs[0].method.name == b.runs[0].method.name:
        return Gap(None, why="other version")
    if not (a.rows and b.rows):
        return Gap(None, why=NOT_KEPT)
    seeds = [seed for seed in a.rows if seed in b.rows]
    if not seeds:
        return Gap(None, why="no seed of both")
    paired = Paired.of(*(_mean([side.rows[seed] for seed in seeds]) for side in (a, b)))
    result = difference(paired.b, paired.a, metric, SAMPLES, groups=paired.groups)
    return Gap(None, why=NOT_KEPT) if result is None or result.value is None else Gap(result, len(seeds))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _kept_rows(store: Store, run: Record) -> PerRow:
    """Per-row numbers of `METRICS`, their denominators and groups; {} if the record has none or a file is missing.

    Raises
    ------
    DataError : a file is damaged, or does not belong to the record.
    """
    try:
        arrays = per_row(store, run)
    except NotKept:
        return {}
    names = {*METRICS, *(name + DENOMINATOR for name in METRICS), NEAR}
    return {name: array for name, array in arrays.items() if name in names}


def _mean(rows: Sequence[PerRow]) -> PerRow:
    """Average the numerators over runs; denominators and near-duplicate groups are equal for all runs."""
    shared = {name: rows[0][name] for name in rows[0] if name == NEAR or name.endswith(DENOMINATOR)}
    names = [name for name in METRICS if all(name in one for one in rows)]
    means = {name: np.asarray(np.mean([one[name] for one in rows], axis=0, dtype=np.float64)) for name in names}
    return {**shared, **means}


def _ends(rows: Sequence[PerRow]) -> dict[str, tuple[float | None, float | None]]:
    """Metric → interval of its mean over these runs."""
    mean = _mean(rows)
    names = [name for name in METRICS if name in mean]
    pairs = [(mean[name], mean.get(name + DENOMINATOR)) for name in names]
    return dict(zip(names, intervals(pairs, SAMPLES, 0, groups=mean.get(NEAR)), strict=True))


def _failed(records: Sequence[Record], label: str) -> tuple[str, ...]:
    """Remarks on seeds whose newest run failed."""
    last = {r.seed: r for r in sorted(records, key=age)}
    remarks = {
        f"{label}: {r.status}" + (f" ({r.reason})" if r.reason else "") for r in last.values() if r.status != "ok"
    }
    return tuple(sorted(remarks))
