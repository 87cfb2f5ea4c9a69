"""Records of a results folder → rows of tables: means over seeds, intervals, costs, per-row numbers, reports."""

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
from xmcbench.comparison.paired import Paired, Rows, per_row
from xmcbench.errors import DataError
from xmcbench.metrics import difference
from xmcbench.metrics.uncertainty import DENOMINATOR, Difference, intervals
from xmcbench.results.board_files import NEAR
from xmcbench.results.store import NotKept, Store
from xmcbench_elias.results_plan import Board, resolved

METRICS = ("P@1", "P@3", "P@5", "nDCG@5", "PSP@1", "PSP@3", "PSP@5", "R@10", "R@20", "R@100")
CUT = ("threshold", "share cut", "P@1", "R@10", "R@100")  # of a report, as `edges.edge_facts`
DECILE = ("fewest", "most", "labels", "clusters")
SAMPLES = 1000  # bootstrap resamples, as many as a run's own intervals have
NOT_RUN, NOT_KEPT = "not run", "not kept"
Record = Mapping[str, Any]


@dataclass(frozen=True)
class Measured:
    """One method on one board.

    Attributes
    ----------
    title : what tables call it. text : what `xmcbench run` takes.
    runs : the newest run of each seed, by seed; empty where there is none.
    values : metric → mean over seeds with its interval, fractions; of `METRICS`, those that all runs have.
    costs : medians of the machine that ran it last, or None. rows : seed → per-row numbers, of runs that keep some.
    missing : seeds that were asked for and not run.
    remarks : sentences a reader of the table needs: runs that failed, records not shown.
    """

    title: str
    text: str
    board: Board
    runs: tuple[Record, ...] = ()
    values: Mapping[str, Value] = field(default_factory=dict)
    costs: Costs | None = None
    rows: Mapping[int | None, Rows] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def version(self) -> str | None:
        """The method's version in its records; None without a run."""
        return str(self.runs[0]["method"]["version"]) if self.runs else None

    @property
    def content(self) -> str | None:
        """Hash of the data it ran on; None without a run."""
        return str(self.runs[0]["dataset"]["content_hash"]) if self.runs else None


@dataclass(frozen=True)
class Gap:
    """b − a in one metric over `seeds` runs of each, or why there is none."""

    difference: Difference | None
    seeds: int = 0
    why: str = ""


@dataclass(frozen=True)
class Report:
    """What of a run's `report.json` the results show; empty where it was written before reports had it.

    Attributes
    ----------
    label_scores : as `edges.label_scores`. cut, stage1_kept, deciles : as `edges.edge_facts`.
    searches : clusters that stage 1 searches to score as many labels as stage 2. stage2 : metric → (difference of the
        two, low, high), fractions.
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
        DataError : it is no report.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            edges = told.get("edges") or {}
            pairs = [pair for pair in told.get("differences", ()) if (pair["from"], pair["to"]) == ("stage1", "model")]
            gaps = {name: pair[name] for pair in pairs for name in METRICS if pair.get(name) is not None}
            return cls(
                {name: float(value) for name, value in (told.get("label scores") or {}).items()},
                [{name: _float(row[name]) for name in CUT} for row in edges.get("cut", ())],
                _float(edges.get("stage-1 edges kept")),
                [{name: float(row[name]) for name in DECILE} for row in edges.get("by decile", ())],
                None if told.get("stage1 searches") is None else int(told["stage1 searches"]),
                {name: (float(value), float(low), float(high)) for name, (value, low, high) in gaps.items()},
            )
        except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise DataError(f"{path}: no report of a run ({error})") from error


class Results:
    """A results folder of `xmcbench run`, or the slim copy of one.

    Attributes
    ----------
    records : all that could be read. left_out : a sentence for each file that couldn't, or that is damaged.
    used : run id → record of every run behind a row so far.
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
        self._known: dict[tuple[str, Board], Measured] = {}
        if not self.records and not self.left_out:
            raise DataError(f"{folder}: no records", "Give the folder that `xmcbench run` wrote to, or a slim copy.")

    def measured(self, title: str, text: str, board: Board, seeds: Sequence[int]) -> Measured:
        """The row of a method on a board, whether it was run or not."""
        label, wanted = resolved(text, board, tuple(seeds))
        if (label, board) not in self._known:
            self._known[label, board] = self._measured(label, text, board)
        found = self._known[label, board]
        missing = tuple(seed for seed in wanted if seed not in {run["seed"] for run in found.runs})
        return Measured(**{**vars(found), "title": title, "text": text, "missing": missing})

    def reports(self, row: Measured) -> dict[int | None, Report]:
        """By seed, the report of each run that has one here; slim copies have none."""
        found = {}
        for run in row.runs:
            named = str(run["notes"].get("report", ""))
            path = (self.store.folder / named).with_suffix(".json")
            if not re.fullmatch(r"reports/[0-9a-f]+/report\.md", named) or not path.is_file():
                continue
            try:
                found[run["seed"]] = Report.read(path)
            except DataError as error:
                self.leave_out(error.message)
        return found

    def _measured(self, label: str, text: str, board: Board) -> Measured:
        here = [r for r in self.records if (r["dataset"]["name"], r["dataset"]["view"]) == board]
        here = [r for r in here if r["method"]["label"] == label]
        entries, rows = self._readable(here)
        remarks = _failed(here, label)
        if not entries:
            return Measured(label, text, board, remarks=remarks)
        entry = max(entries, key=lambda e: age(e.newest))
        if len(entries) > 1:
            why = "on another content of the data, another kind of device, or with another k or other defaults"
            remarks += (f"{label}: {len(entries) - 1} older entries {why} are not shown",)
        self.used |= {run["run_id"]: run for run in entry.runs}
        per_seed = {run["seed"]: rows[run["run_id"]] for run in entry.runs if rows[run["run_id"]]}
        ends = _ends(list(per_seed.values())) if len(per_seed) == len(entry.runs) > 1 else {}
        values = {name: value_of(entry.runs, name, ends.get(name)) for name in METRICS}
        values = {name: value for name, value in values.items() if value.value is not None}
        costs = costs_of(entry.all_runs)
        return Measured(label, text, board, entry.runs, values, costs[0] if costs else None, per_seed, (), remarks)

    def _readable(self, records: Sequence[Record]) -> tuple[list[Entry], dict[str, Rows]]:
        """Entries of the records whose per-row numbers are whole, and these by run id: none where none are kept."""
        rows: dict[str, Rows] = {}
        good = list(records)
        while True:
            entries = entries_of(good)
            unread = [run for entry in entries for run in entry.runs if run["run_id"] not in rows]
            if not unread:
                return entries, rows
            for run in unread:
                try:
                    rows[run["run_id"]] = _kept_rows(self.store, run)
                except DataError as error:
                    self.leave_out(str(error))
                    good.remove(run)

    def leave_out(self, sentence: str) -> None:
        """Remember why something is missing, once."""
        if sentence not in self.left_out:
            self.left_out.append(sentence)


def gap(a: Measured, b: Measured, metric: str) -> Gap:
    """b − a over the seeds that both were run with, the same test rows in each resample."""
    if not a.runs or not b.runs:
        return Gap(None, why=NOT_RUN)
    if a.content != b.content:
        return Gap(None, why="other data")
    if a.version != b.version and a.runs[0]["method"]["name"] == b.runs[0]["method"]["name"]:
        return Gap(None, why="other version")
    if not (a.rows and b.rows):
        return Gap(None, why=NOT_KEPT)
    seeds = [seed for seed in a.rows if seed in b.rows]
    if not seeds:
        return Gap(None, why="no seed of both")
    paired = Paired.of(*(_mean([side.rows[seed] for seed in seeds]) for side in (a, b)))
    found = difference(paired.b, paired.a, metric, SAMPLES, groups=paired.groups)
    return Gap(None, why=NOT_KEPT) if found is None or found.value is None else Gap(found, len(seeds))


def _float(value: Any) -> float | None:
    return None if value is None else float(value)


def _kept_rows(store: Store, run: Record) -> Rows:
    """Per-row numbers of `METRICS` with what they need; {} where the record keeps none, or a file is gone.

    Raises
    ------
    DataError : a file is damaged, or is not the record's.
    """
    try:
        arrays = per_row(store, run)
    except NotKept:
        return {}
    names = {*METRICS, *(name + DENOMINATOR for name in METRICS), NEAR}
    return {name: array for name, array in arrays.items() if name in names}


def _mean(rows: Sequence[Rows]) -> Rows:
    """Numerators averaged over runs; denominators and groups of near-duplicates are of the data, and one for all."""
    shared = {name: rows[0][name] for name in rows[0] if name == NEAR or name.endswith(DENOMINATOR)}
    names = [name for name in METRICS if all(name in one for one in rows)]
    return {**shared, **{name: np.mean([one[name] for one in rows], axis=0, dtype=np.float64) for name in names}}


def _ends(rows: Sequence[Rows]) -> dict[str, tuple[float | None, float | None]]:
    """Metric → ends of the interval of its mean over these runs."""
    mean = _mean(rows)
    names = [name for name in METRICS if name in mean]
    pairs = [(mean[name], mean.get(name + DENOMINATOR)) for name in names]
    return dict(zip(names, intervals(pairs, SAMPLES, 0, groups=mean.get(NEAR)), strict=True))


def _failed(records: Sequence[Record], label: str) -> tuple[str, ...]:
    """Why there is no newer run: the last of a seed didn't end ok."""
    last = {r["seed"]: r for r in sorted(records, key=age)}
    said = {
        f"{label}: {r['status']}" + (f" ({r['reason']})" if r["reason"] else "")
        for r in last.values()
        if r["status"] != "ok"
    }
    return tuple(sorted(said))
