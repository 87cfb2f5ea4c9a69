"""Writes the folder of a submission from a results folder: the records that the leaderboards can take, and the text."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xmcbench.contributions.changed_rows import Change, changed_rows
from xmcbench.contributions.checking import Checker, Report, check_submission
from xmcbench.contributions.folder import TEXT, check_leaderboards
from xmcbench.contributions.text import text_of
from xmcbench.errors import DataError, UsageError
from xmcbench.files import atomic, replaced_folder
from xmcbench.records import merging
from xmcbench.records.row_values import some
from xmcbench.records.store import Store, standing


@dataclass(frozen=True)
class Submitted:
    """What was written. `notes`: as of `changed_rows`.

    `left_out`: a line per reason for which runs are not in the folder, with their ids.

    `damaged`: messages of records that can't be read, or whose files are missing or changed.
    """

    report: Report
    changes: list[Change]
    notes: Sequence[str]
    left_out: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def submit(results: Path, to: Path, leaderboards: Path, *, predictions: bool = False) -> Submitted:
    """Write the submission of a results folder, as a whole or not at all.

    Parameters
    ----------
    to : a folder that doesn't exist, or is empty. leaderboards : as for `check_submission`.
    predictions : also copy predictions and all per-row numbers, so that others can score again.

    Raises
    ------
    UsageError : `results` or `leaderboards` has no records, or `to` exists.
    DataError : no record can be sent, a check of the written files fails, or `to` can't be written.
    """
    if not (results / "records").is_dir():
        raise UsageError(f"{results}: not a results folder", "A results folder has its records in records/.")
    if os.path.lexists(to) and not (to.is_dir() and not any(to.iterdir())):
        raise UsageError(f"{to} exists and is not empty", "Give --to a new folder, or remove this one.")
    check_leaderboards(leaderboards)
    store = Store(results)
    paths, left_out, damaged = _chosen(store, Store(leaderboards))
    with replaced_folder(to) as folder:
        outcomes = merging.merge(store, Store(folder), slim=not predictions, only=paths)
        damaged += [outcome.why for outcome in outcomes if outcome.what == merging.REFUSED]
        if not any(Store(folder).paths()):
            reasons = "\n  ".join([*damaged, *left_out]) or "there are no runs"
            raise DataError(f"{results}: no run can be sent", reasons)
        report = check_submission(folder, leaderboards, offline=True)
        report = replace(report, folder=to)
        changes, notes = changed_rows(report.new, folder, leaderboards)
        text = text_of(report, changes, notes)
        if not report.accepted:
            raise DataError(f"{results}: the checks of the copied records fail", text)
        with atomic(folder / TEXT) as file:
            file.write(text.encode())
    return Submitted(report, changes, notes, left_out, damaged)


def _chosen(store: Store, boards: Store) -> tuple[list[Path], list[str], list[str]]:
    """(record files to send, a line per reason for which runs are left out, messages of damaged records)."""
    damaged: list[str] = []
    records = store.records(damaged)
    checker = Checker(store, boards, offline=True)
    stands = {record.run_id for record in standing(records)}
    paths: list[Path] = []
    left_out: dict[str, list[str]] = {}
    for record in records:
        if record.run_id not in stands:
            why = "superseded by another run" if record.status == "ok" else f"status {record.status}"
        elif record.run_id in checker.by_id:
            why = "on the leaderboards already"
        else:
            why = "; ".join(check.why for check in checker.of_record(record) if check.failed)
        if why:
            left_out.setdefault(why, []).append(record.run_id)
        else:
            paths.append(store.folder / "records" / f"{record.run_id}.json")
    return paths, [f"{why}: {some(ids)}" for why, ids in left_out.items()], damaged
