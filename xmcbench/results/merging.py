"""Records of other machines brought into one results folder, each only when all it names is there and unchanged.

Nothing is overwritten, and a record is written after the files it names, so that two merges may run at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xmcbench.errors import DataError
from xmcbench.files import WriteError, atomic, read_npz, sha256_of, sweep
from xmcbench.results import board_files as board
from xmcbench.results import record as records
from xmcbench.results.row_values import values_given
from xmcbench.results.store import NotKept, Store, in_its_file

ADDED, THERE, REFUSED = "added", "already there", "refused"
ALL, SLIM = ("predictions", "rows", "board"), ("board",)


@dataclass(frozen=True)
class Outcome:
    """What became of one record file: ADDED, THERE or REFUSED, and why."""

    path: Path
    what: str
    why: str = ""


def merge(source: Store, into: Store, *, slim: bool = False) -> Iterator[Outcome]:
    """Copy the records of `source`, with what they name, one by one; what is refused stops no other.

    What killed merges left unfinished is removed first. Records that didn't end ok come too: a leaderboard says which
    methods failed. Files that a record already there lacks are added. Reports stay behind.

    Parameters
    ----------
    slim : leave predictions and rows behind; what leaderboards need comes along.

    Raises
    ------
    WriteError : the folder can't be written.
    """
    for kind in ("records", *ALL):
        sweep(into.folder / kind)
    for path in source.paths():
        try:
            yield Outcome(path, _bring(path, source, into, SLIM if slim else ALL))
        except WriteError:
            raise
        except (DataError, OSError) as error:
            yield Outcome(path, REFUSED, str(error))


def _bring(path: Path, source: Store, into: Store, kinds: tuple[str, ...]) -> str:
    text = path.read_bytes()
    record = in_its_file(records.parse(text, str(path)), path)
    target = into.folder / "records" / path.name
    already = target.is_file()
    if already and target.read_bytes() != text:
        raise DataError(f"{path}: {target} is another record of that run id", "Neither is changed: one is forged.")
    for found, here in _missing(record, source, into, kinds):
        with open(found, "rb") as old, atomic(here) as new:
            shutil.copyfileobj(old, new)
    if already:
        return THERE
    with atomic(target) as file:
        file.write(text)
    return ADDED


def _missing(record: Mapping[str, Any], source: Store, into: Store, kinds: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """(from, to) of the files to copy, once all that the record names are looked at on both sides.

    Raises
    ------
    DataError : one is missing or changed, lies outside its folder, doesn't give the values on record, or its place is
        taken by another file.
    """
    copies = []
    for kind in (kind for kind in kinds if record.get(kind) is not None):
        if not source.place(record, kind).is_file():
            raise NotKept(f"{source.place(record, kind)}: missing", "A slim copy gives to slim ones alone: --slim.")
        found, here = source.kept(record, kind), into.place(record, kind)
        if kind == "rows":
            values_given(record, source.rows(record))
        if not here.is_file():
            copies.append((found, here))
        elif sha256_of(here) != record[kind]["sha256"]:
            raise DataError(f"{here}: there already, and not the file {record['run_id']} names")
    if record.get("board") is not None:
        values_given(record, source.board(record))
        found, here = (store.place(record, "board", "data") for store in (source, into))
        if not here.is_file():
            copies.append((found, here))
        elif board.hash_of(read_npz(here)) != record["board"]["data_sha256"]:
            raise DataError(f"{here}: there already, and not the file {record['run_id']} names")
    return copies
