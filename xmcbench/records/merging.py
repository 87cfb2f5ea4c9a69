"""Copies records of other machines into one results folder, each only if all its files exist and are unchanged.

Nothing is overwritten, and a record is written after its files, so that two merges may run at the same time.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xmcbench.data.cache import damage
from xmcbench.errors import DataError, WriteError
from xmcbench.files import atomic, sha256_of
from xmcbench.inputs import open_file
from xmcbench.npz_files import read_npz
from xmcbench.records import leftovers, record_file, references
from xmcbench.records.record import Record
from xmcbench.records.references import Key, Reference, key_of
from xmcbench.records.row_values import hash_of, values_given
from xmcbench.records.store import Kind, NotKept, Store, in_its_file

ADDED, THERE, REFUSED = "added", "already there", "refused"
ALL: tuple[Kind, ...] = ("predictions", "rows", "board")
SLIM: tuple[Kind, ...] = ("board",)
MOVE = "Move it away, or merge into another folder."  # hint


@dataclass(frozen=True)
class Outcome:
    """Outcome for one record file: ADDED, THERE or REFUSED, and the reason."""

    path: Path
    what: str
    why: str = ""


def merge(
    source: Store, into: Store, *, slim: bool = False, only: Iterable[Path] | None = None, check_data: bool = True
) -> Iterator[Outcome]:
    """Copy the records of `source` with their files, one by one; a refused record does not stop the others.

    What killed processes left is removed first. Records of failed runs are copied too, since a leaderboard
    lists failures. If a record already exists, its missing files are added. Reports are not copied.

    A new record is refused while the parsed data set of its content hash on this machine is damaged, because the run
    may have been made on it; every file of it is hashed, once. Data sets that are not here are not checked.

    `slim`: copy only the files that leaderboards need, neither predictions nor rows. `only`: the record files of
    `source` to copy, default all. `check_data`: False where the runs were just made on another machine, so that
    the parsed data sets of this one say nothing about them.

    A record that contradicts a reference of `into` (`references`) is refused.

    Raises DataError: the folder can't be written, or the file of its references is damaged.
    """
    leftovers.sweep(into.folder)
    damage_once: Callable[[str, str, str], str] = cache(damage) if check_data else lambda *_: ""
    made = {one.key: one for one in references.read(into.folder)}
    for path in source.paths() if only is None else only:
        try:
            with leftovers.adding(into.folder):
                outcome = _merge_record(path, source, into, SLIM if slim else ALL, damage_once, made)
            yield Outcome(path, outcome)
        except WriteError:
            raise
        except (DataError, OSError) as error:
            yield Outcome(path, REFUSED, str(error))


def _merge_record(
    path: Path,
    source: Store,
    into: Store,
    kinds: tuple[Kind, ...],
    damage_of: Callable[[str, str, str], str],
    made: Mapping[Key, Reference],
) -> str:
    text = record_file.content(path)
    record = in_its_file(record_file.parse(text, str(path)), path)
    if record.status == "ok" and (reference := made.get(key_of(record.dataset))):
        arrays = {} if record.board is None else source.board(record)
        references.check(record, arrays, reference, references.arrays_of(reference, into) if arrays else {})
    target = into.folder / "records" / path.name
    already = target.is_file()
    if already and record_file.content(target) != text:
        raise DataError(
            f"{path}: {target} has the same run id but other content",
            "One of the two was changed after it was written. Neither was touched.",
        )
    facts = record.dataset
    if not already and (found := damage_of(facts.name, facts.view, facts.content_hash)):
        raise DataError(f"{path}: its data set is damaged on this machine: {found}", _repair(path, record))
    for source_path, target_path in _missing(record, source, into, kinds):
        with open_file(source_path) as original, atomic(target_path) as copy:
            shutil.copyfileobj(original, copy)
    if already:
        return THERE
    with atomic(target) as file:
        file.write(text)
    return ADDED


def _repair(path: Path, record: Record) -> str:
    name, file = shlex.quote(record.dataset.name), shlex.quote(str(path))
    return f"`xmcbench data verify {name}` parses it again. Then `xmcbench verify {file} --rerun`, and merge again."


def _missing(record: Record, source: Store, into: Store, kinds: tuple[Kind, ...]) -> list[tuple[Path, Path]]:
    """(source, target) paths of the files to copy, after all files of the record were checked on both sides.

    Raises
    ------
    DataError : a file is missing or changed, is outside its folder, doesn't give the values on record, or its target
        is another file.
    """
    copies = []
    for kind in (kind for kind in kinds if getattr(record, kind) is not None):
        if not source.place(record, kind).is_file():
            raise NotKept(
                f"{source.place(record, kind)}: missing", "A slim copy can only be merged into another one: --slim."
            )
        source_path, target_path = source.kept(record, kind), into.place(record, kind)
        if kind == "rows":
            values_given(record, source.rows(record))
        if not target_path.is_file():
            copies.append((source_path, target_path))
        elif sha256_of(target_path) != sha256_of(source_path):
            raise DataError(f"{target_path}: already exists, and is not the file of {record.run_id}", MOVE)
    if record.board is not None:
        values_given(record, source.board(record))
        source_path, target_path = source.shared_place(record), into.shared_place(record)
        if not target_path.is_file():
            copies.append((source_path, target_path))
        elif hash_of(read_npz(target_path)) != record.board.data_sha256:
            raise DataError(f"{target_path}: already exists, and is not the file of {record.run_id}", MOVE)
    return copies
