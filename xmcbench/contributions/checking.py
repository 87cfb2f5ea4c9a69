"""Checks the records of a submission as far as that is possible without running anything again.

A submission is text and numbers from anybody. Reading it executes nothing, and what is refused is named with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xmcbench.comparison import verifying
from xmcbench.comparison.verifying import FAILED, HOLDS, UNCHECKED, Check
from xmcbench.contributions.folder import check_folder, check_leaderboards, check_owners
from xmcbench.data.catalogue import catalogue
from xmcbench.errors import DataError
from xmcbench.records import references
from xmcbench.records.record import SEALED
from xmcbench.records.store import Kind, Store

if TYPE_CHECKING:
    from xmcbench.context import Reporter
    from xmcbench.data.spec import Dataset
    from xmcbench.records.record import Record
    from xmcbench.records.references import Key, Reference

NOT_GIVEN = "no predictions were given"
# of a record, what a copy under another run id changes
IDENTITY = ("run_id", "seal", "started_utc", "command", "supersedes", "predictions", "rows", "board")


@dataclass(frozen=True)
class Checked:
    """A record of a submission, or a record file that can't be read (`record` is None), with its checks."""

    name: str
    record: Record | None
    checks: list[Check]

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.failed]


@dataclass(frozen=True)
class Report:
    """The checks of a submission. `known`: names of the records that the leaderboards have already.

    `fault`: what is wrong with the folder; then no record was read, or a file is of no record.
    """

    folder: Path
    fault: str = ""
    records: list[Checked] = field(default_factory=list)
    known: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Checked]:
        return [checked for checked in self.records if checked.failed]

    @property
    def accepted(self) -> bool:
        return not self.fault and not self.failed

    @property
    def new(self) -> list[Record]:
        """The records that the leaderboards don't have, if all is accepted."""
        if not self.accepted:
            return []
        return [c.record for c in self.records if c.record is not None and c.record.run_id not in self.known]


def check_submission(
    folder: Path, leaderboards: Path, *, offline: bool = False, progress: Reporter | None = None
) -> Report:
    """Check a submission against the leaderboards that it is for.

    Parameters
    ----------
    leaderboards : folder with records/ and board/.
    offline : score predictions again only on data sets that are on this machine.

    Raises
    ------
    UsageError : `folder` or `leaderboards` is no folder with records. DataError : the references of the leaderboards
    are damaged.
    """
    check_leaderboards(leaderboards)
    try:
        check_folder(folder)
    except DataError as error:
        return Report(folder, str(error))
    store, boards = Store(folder), Store(leaderboards)
    checker = Checker(store, boards, offline=offline, progress=progress)
    report = Report(folder, "", [checker.checked(path) for path in store.paths()])
    records = [checked.record for checked in report.records if checked.record is not None]
    known = [record.run_id for record in records if record.run_id in checker.by_id]
    fault = "" if report.records else f"{folder}: no records"
    if not report.failed and not fault:  # files of records that can't be read would be nobody's
        try:
            check_owners(store, records)
        except DataError as error:
            fault = str(error)
    return Report(folder, fault, report.records, known)


class Checker:
    """Checks records one by one; data sets are loaded once.

    `by_id`: the records of the leaderboards.
    """

    def __init__(self, store: Store, boards: Store, *, offline: bool, progress: Reporter | None = None) -> None:
        self.store, self.boards, self.offline, self.progress = store, boards, offline, progress
        there = boards.records()
        self.by_id = {record.run_id: record for record in there}
        self.by_content = {_content(record): record.run_id for record in there}
        self.references: dict[Key, Reference] = {one.key: one for one in references.read(boards.folder)}
        self.data: dict[Key, tuple[Check, Dataset | None]] = {}

    def checked(self, path: Path) -> Checked:
        """The checks of one record file."""
        try:
            record = self.store.read(path)
        except DataError as error:
            return Checked(path.stem, None, [Check("record", FAILED, str(error))])
        checks = [*self.of_record(record)]
        if not any(check.failed for check in checks):
            checks += self._of_files(record)
        return Checked(path.stem, record, checks)

    def of_record(self, record: Record) -> Iterator[Check]:
        """The checks of what the record itself says."""
        if record.schema < SEALED:
            yield Check("record", FAILED, f"schema {record.schema} has no seal: run again, with this version")
            return
        if record.status == "ok" and record.board is None:
            yield Check("record", FAILED, "it has no per-row numbers, which the leaderboards' tests need: run again")
            return
        yield verifying.check_record(record)
        yield self._repeated(record)
        yield self._of_known_data(record)

    def _repeated(self, record: Record) -> Check:
        """Whether the record is new, or the one that the leaderboards have, rather than a copy or another content."""
        old = self.by_id.get(record.run_id)
        if old is not None:
            same = old.seal == record.seal
            return Check("new", HOLDS if same else FAILED, "there already" if same else "this run id has other content")
        first = self.by_content.setdefault(_content(record), record.run_id)
        if first != record.run_id:
            return Check("new", FAILED, f"a copy of run {first}: all but its id and time is the same")
        return Check("new", HOLDS, "no run with its id or content is there")

    def _of_known_data(self, record: Record) -> Check:
        """Whether the data set is one of the catalogue, with the content that the leaderboards compare on."""
        facts = record.dataset
        if facts.name.partition("[")[0] not in catalogue():
            return Check("data set", FAILED, f"{facts.name!r} is not in the catalogue: nobody else can run on it")
        contents = {key[2] for key in self.references if key[:2] == (facts.name, facts.view)}
        if contents and facts.content_hash not in contents:
            why = f"content {facts.content_hash[:23]} of revision {facts.revision} is not that of the leaderboards"
            return Check("data set", FAILED, f"{why}: run on the present revision")
        if record.status != "ok" or not contents:
            return Check(
                "data set", UNCHECKED, "the leaderboards have no reference of it" if not contents else "no scores"
            )
        return Check("data set", HOLDS, f"{facts.name} ({facts.view}), content as on the leaderboards")

    def _of_files(self, record: Record) -> list[Check]:
        """The checks of the record's files, of its agreement with the data set, and of its scores."""
        if record.status != "ok":
            return [Check("files", UNCHECKED, f"status {record.status}: it has no scores")]
        checks, contents = verifying.check_files(record, self.store)
        if "board" in contents:
            checks.append(self._agreement(record, contents["board"]))
        if any(check.failed for check in checks):
            return checks  # what a missing or changed file says of the values would only repeat it
        if "predictions" in contents:
            data_check, dataset = self._dataset(record)
            scores = verifying.check_scores(record, contents, dataset)
            checks.append(data_check)
        else:
            kinds = ("predictions", "rows")
            checks = [Check(one.what, UNCHECKED, NOT_GIVEN) if one.what in kinds else one for one in checks]
            scores = Check("scores", UNCHECKED, NOT_GIVEN)
        return [*checks, _of_values(record, contents, scores), scores]

    def _agreement(self, record: Record, arrays: Mapping[str, Any]) -> Check:
        reference = self.references.get(references.key_of(record.dataset))
        if reference is None:
            return Check("denominators", UNCHECKED, "the leaderboards have no reference of the data set")
        try:
            references.check(record, arrays, reference, references.arrays_of(reference, self.boards))
        except DataError as error:
            return Check("denominators", FAILED, str(error))
        return Check(
            "denominators", HOLDS, "counts, best values, denominators and near-duplicates as on the leaderboards"
        )

    def _dataset(self, record: Record) -> tuple[Check, Dataset | None]:
        key = references.key_of(record.dataset)
        if key not in self.data:
            self.data[key] = verifying.find_data(record, offline=self.offline, progress=self.progress)
        check, dataset = self.data[key]
        return Check("data", check.state, check.why), dataset


def _of_values(record: Record, contents: Mapping[Kind, Any], scores: Check) -> Check:
    """How many values the per-row numbers give: `contents` are those that `verifying.check_files` compared.

    Metrics over labels have no per-row numbers, and leaderboards keep those of few metrics. What is left rests on the
    seal alone, unless predictions were scored again.
    """
    names = {name for kind, arrays in contents.items() if kind != "predictions" for name in arrays}
    total = len(record.metrics)
    given = sum(metric.name in names for metric in record.metrics)
    rest = f"; {total - given} rest on the seal" if given < total and scores.state != HOLDS else ""
    return Check("values", HOLDS, f"{given} of {total} agree with the per-row numbers{rest}")


def _content(record: Record) -> str:
    """What two records share if one is a copy of the other under another id; measured times make it unique."""
    return json.dumps({name: value for name, value in record.raw.items() if name not in IDENTITY}, sort_keys=True)
