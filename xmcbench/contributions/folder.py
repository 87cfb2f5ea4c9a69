"""What a submission's folder may hold, checked before anything in it is read.

FOLDER/records/, FOLDER/board/       as in a results folder (`xmcbench.records.store`)
FOLDER/predictions/, FOLDER/rows/    only where predictions are given
FOLDER/PULL_REQUEST.md               what the pull request says; nobody reads it again
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from xmcbench import limits
from xmcbench.errors import DataError, UsageError, counted
from xmcbench.records.row_values import some
from xmcbench.records.store import Kind, Store

if TYPE_CHECKING:
    from xmcbench.records.record import Record

TEXT = "PULL_REQUEST.md"
KINDS: tuple[Kind, ...] = ("predictions", "rows", "board")
SUFFIXES: dict[str, str] = {
    "records": ".json",
    "predictions": ".npz",
    "rows": ".npz",
    "board": ".npz",
}  # folder → suffix of its files


def check_folder(folder: Path) -> None:
    """Check kinds, names and sizes of all files, without opening one.

    Raises
    ------
    UsageError : no such folder, or it has no records.
    DataError : a link, a foreign file, a file that is too large, or too many of them; the message lists them.
    """
    if folder.is_symlink() or not (folder / "records").is_dir():
        raise UsageError(f"{folder}: no folder with records/", "`xmcbench submit RESULTS --to FOLDER` writes one.")
    faults: list[str] = []
    files = total = 0
    for path, status in _entries(folder):
        if fault := _fault(path.relative_to(folder), status):
            faults.append(fault)
        files, total = files + 1, total + status.st_size
        if files > limits.SUBMITTED_FILES:
            faults.append(f"more than {limits.SUBMITTED_FILES:,} files")
            break
    if total > limits.SUBMITTED:
        faults.append(f"{total:,} bytes, at most {limits.SUBMITTED:,} are read")
    if faults:
        hint = "A submission has what `xmcbench submit` writes, and nothing else."
        raise DataError(f"{folder}: {some(faults)}", hint)


def check_leaderboards(folder: Path) -> None:
    """UsageError unless the folder has records: a check against nothing would accept what the leaderboards refuse."""
    if not any(Store(folder).paths()):
        hint = "Give --leaderboards the folder leaderboards of a checkout of xmcbench."
        raise UsageError(f"{folder}: no leaderboards, which have at least one record in records/", hint)


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All entries but the folders that a submission has, and their status; links are not followed."""
    for path in sorted(folder.iterdir()):
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and path.name in SUFFIXES:
            yield from ((inside, inside.lstat()) for inside in sorted(path.iterdir()))
        else:
            yield path, status


def _fault(path: Path, status: os.stat_result) -> str:
    """Why a submission may have no such file, or ""."""
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "another folder"}
        return f"{path} is {kinds.get(stat.S_IFMT(status.st_mode), 'no regular file')}"
    expected = path.name == TEXT if len(path.parts) == 1 else path.suffix == SUFFIXES[path.parts[0]]
    if not expected or path.name.startswith("."):
        return f"{path} is no file of a submission"
    if status.st_size > limits.SUBMITTED_FILE:
        return f"{path} has {status.st_size:,} bytes, at most {limits.SUBMITTED_FILE:,} are read"
    return ""


def check_owners(store: Store, records: Iterable[Record]) -> None:
    """Check that each file besides the records is named by a record.

    Raises DataError: a file is nobody's, or a record names a path outside its folder; the message lists the files.
    """
    named: set[Path] = set()
    for record in records:
        named |= {store.place(record, kind) for kind in KINDS if getattr(record, kind) is not None}
        if record.board is not None:
            named.add(store.shared_place(record))
    here = {path for kind in KINDS for path in (store.folder / kind).glob("*")}
    if foreign := sorted(str(path.relative_to(store.folder)) for path in here - named):
        what = f"{counted(len(foreign), 'file')} of no record: {some(foreign)}"
        raise DataError(f"{store.folder}: {what}", "Remove these files, or add their records.")
