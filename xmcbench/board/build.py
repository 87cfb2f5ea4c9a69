"""Builds the files of the leaderboards from records, writes them, or compares them with the existing files.

FOLDER/records/, FOLDER/board/     from `xmcbench merge --into FOLDER --slim`; never written here
FOLDER/board/datasets.json         what records on a data set must agree with (`xmcbench.records.references`)
FOLDER/published/                  published values (`xmcbench.board.published`); may be missing
FOLDER/tests.json                  cached results of tests and intervals
FOLDER/README.md, FOLDER/tables/   Markdown, CSV and LaTeX
FOLDER/index.html                  the page
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xmcbench import escaping
from xmcbench.board import csv_table, latex, markdown, published
from xmcbench.board.accepting import accept
from xmcbench.board.html import page
from xmcbench.board.model import Board
from xmcbench.board.pairs import Cache
from xmcbench.board.tables import board_of
from xmcbench.errors import DataError
from xmcbench.escaping import one_line
from xmcbench.files import atomic
from xmcbench.npz_files import npz_of
from xmcbench.records import references
from xmcbench.records.leftovers import REFERENCES
from xmcbench.records.row_values import PerRow
from xmcbench.records.store import Store

NAME = 60  # maximum characters of each part of a file name
TESTS, PUBLISHED = "tests.json", "published"


@dataclass(frozen=True)
class Built:
    """All files of the leaderboards by their relative path; and what the board says of records that are left out."""

    files: dict[str, bytes]
    notes: Sequence[str]


def make(folder: Path, *, fresh: bool = False, look: bool = True) -> Built:
    """Build the leaderboards of `folder`, without the records that are damaged or contradict their data set.

    Parameters
    ----------
    fresh : run all tests again instead of using cached results, and make all references again.
    look : make references of data sets that have none from the data sets on this machine.

    Raises
    ------
    DataError : there are no records, or none is left; tests.json, the references or published values are damaged.
    """
    store = Store(folder)
    damaged: list[str] = []
    records = store.records(damaged)
    if not records and not damaged:
        raise DataError(
            f"{folder}: no records in it", f"Add records with `xmcbench merge results --into {folder} --slim`."
        )
    made = references.read(folder)
    arrays: dict[str, PerRow] = {}
    if look or fresh:
        made, arrays = references.renewed(made, records, fresh=fresh)
    accepted = accept(records, store, made, arrays)
    notes = [f"refused: {one_line(text).replace(f'{folder}/', '')}" for text in damaged]
    if not accepted.records:
        refused = "\n".join([f"{folder}: all records are refused", *notes, *accepted.notes])
        raise DataError(refused, "Repair or remove these records.")
    cache = Cache() if fresh else Cache.read(folder / TESTS)
    published_values = published.load(folder / PUBLISHED) if (folder / PUBLISHED).is_dir() else []
    board = board_of(accepted, store, cache, published_values, notes)
    files = {path: text.encode() for path, text in {**rendered(board), TESTS: cache.text()}.items()}
    if made:
        files[REFERENCES] = references.text_of(made)
    for name, shared in arrays.items():
        if not (folder / "board" / name).exists():
            files[f"board/{name}"] = npz_of(shared)
    return Built(files, board.notes)


def rendered(board: Board) -> dict[str, str]:
    """Path → text of all files that are made from the table model."""
    names = [file_name(table.dataset, table.view) for table in board.tables]
    files = {"README.md": markdown.index(board, names), "index.html": page(board)}
    for table, name in zip(board.tables, names, strict=True):
        files[f"tables/{name}.md"] = markdown.table(table)
        if table.rows:  # not only published values
            files[f"tables/{name}.csv"] = csv_table.table(table)
            files[f"tables/{name}.tex"] = latex.table(table)
        if table.published:
            files[f"tables/{name}{markdown.VALUES}.csv"] = csv_table.published(table)
    return files


def write(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Write changed files and remove tables that no longer have a data set; returns the paths of both."""
    changed = differing(folder, files)
    for path in changed:
        if path in files:
            with atomic(folder / path) as file:
                file.write(files[path])
        else:
            (folder / path).unlink()
    return changed


def differing(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Paths of files that are missing or differ, and of tables in tables/ that `files` does not have."""
    existing = {path for path in files if (folder / path).is_file()}
    changed = {path for path in existing if (folder / path).read_bytes() != files[path]}
    tables = {f"tables/{path.name}" for path in (folder / "tables").glob("*") if path.suffix in (".md", ".csv", ".tex")}
    return sorted(changed | (files.keys() - existing) | (tables - files.keys()))


def file_name(dataset: str, view: str) -> str:
    """A table's unique file name, without its suffix, valid on every system."""
    plain = [escaping.file_name(part, ".=")[:NAME] for part in (dataset, view)]
    name = "--".join(plain)
    if plain == [dataset, view]:  # unchanged, so the name is unique without a hash
        return name
    return f"{name}-{hashlib.sha256(json.dumps([dataset, view]).encode()).hexdigest()[:8]}"
