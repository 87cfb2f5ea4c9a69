"""The rows of the leaderboards that new records add or change: the tables are made without and with the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench.board.accepting import accept
from xmcbench.board.build import TESTS
from xmcbench.board.model import BUSY
from xmcbench.board.pairs import Cache
from xmcbench.board.tables import board_of
from xmcbench.records import references
from xmcbench.records.store import Kind, Store

if TYPE_CHECKING:
    from xmcbench.board.model import Board, Row
    from xmcbench.records.record import Record

ADDED, CHANGED, REPEATED, REMOVED = "new", "changed", "repeated", "removed"
Name = tuple[str, str, str]  # data set, view, label


@dataclass(frozen=True)
class Change:
    """A row of one table: as it is now, and as it will be; None where there is no such row."""

    dataset: str
    view: str
    before: Row | None
    after: Row | None

    @property
    def what(self) -> str:
        """ADDED, REMOVED, CHANGED in values or flags, or REPEATED: further runs of which only costs differ."""
        if self.before is None or self.after is None:
            return ADDED if self.before is None else REMOVED
        return REPEATED if _claims(self.before) == _claims(self.after) else CHANGED

    @property
    def row(self) -> Row:
        """The row as it will be, or as it was."""
        found = self.after or self.before
        assert found is not None
        return found


class _Joined(Store):
    """The leaderboards, with files of a submission for records that they don't have yet; nothing is copied."""

    def __init__(self, leaderboards: Path, submission: Path) -> None:
        super().__init__(leaderboards)
        self.submission = Store(submission)

    def _inside(self, record: Record, kind: Kind, name: str) -> Path:
        path = super()._inside(record, kind, name)
        return path if path.is_file() else self.submission._inside(record, kind, name)


def changed_rows(new: Sequence[Record], submission: Path, leaderboards: Path) -> tuple[list[Change], Sequence[str]]:
    """The rows that `new` adds, changes or removes, by table and label; and notes: which boards are new, and what the
    board says of records left out.

    Only the tables of the new records are made.

    Parameters
    ----------
    new : records of `submission` that were checked (`checking`).

    Raises
    ------
    DataError : the cached tests or the references of the leaderboards are damaged.
    """
    store = _Joined(leaderboards, submission)
    keys = {(record.dataset.name, record.dataset.view) for record in new}
    there = [record for record in store.records() if (record.dataset.name, record.dataset.view) in keys]
    cache = Cache.read(leaderboards / TESTS)
    before = _board(there, store, cache)
    after = _board([*there, *new], store, cache)
    rows_before, rows_after = _rows(before), _rows(after)
    changes = [
        Change(name[0], name[1], rows_before.get(name), rows_after.get(name))
        for name in sorted({*rows_before, *rows_after})
        if _facts(rows_before.get(name)) != _facts(rows_after.get(name))
    ]
    known = {(record.dataset.name, record.dataset.view) for record in there}
    notes = [f"no leaderboard has {name} ({view}) yet: a new board" for name, view in sorted(keys - known)]
    notes += [note for note in (after.notes if after else ()) if before is None or note not in before.notes]
    return changes, notes


def _board(records: Sequence[Record], store: Store, cache: Cache) -> Board | None:
    if not records:
        return None
    accepted = accept(records, store, references.read(store.folder))
    return board_of(accepted, store, cache)


def _rows(board: Board | None) -> Mapping[Name, Row]:
    tables = board.tables if board else ()
    return {(table.dataset, table.view, row.label): row for table in tables for row in table.rows}


def _claims(row: Row) -> object:
    """What a row says of its method. A busy machine says something of costs alone, and no two runs take equal time."""
    return row.version, row.values, [flag for flag in row.flags if flag != BUSY]


def _facts(row: Row | None) -> object:
    """What makes a row another one; ranks change with every new row, and are not among it."""
    return None if row is None else (_claims(row), row.costs, [run.run_id for run in row.runs])
