"""Builds the files of the leaderboards from records, writes them, or compares them with the existing files.

FOLDER/records/, FOLDER/board/     from `xmcbench merge --into FOLDER --slim`; never written here
FOLDER/published/                  published values (`xmcbench.board.published`); may be missing
FOLDER/tests.json                  cached results of tests and intervals
FOLDER/README.md, FOLDER/tables/   Markdown, CSV and LaTeX
FOLDER/index.html                  the page
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from xmcbench.board import csv_table, latex, markdown, published
from xmcbench.board.html import page
from xmcbench.board.model import Board
from xmcbench.board.pairs import Cache
from xmcbench.board.tables import board_of
from xmcbench.errors import DataError, counted
from xmcbench.files import atomic
from xmcbench.results.store import Store

NAME = 60  # maximum characters of each part of a file name
TESTS, PUBLISHED = "tests.json", "published"


def make(folder: Path, *, fresh: bool = False) -> dict[str, bytes]:
    """All files of the leaderboards in `folder`, by their relative path.

    Parameters
    ----------
    fresh : run all tests again instead of using cached results.

    Raises
    ------
    DataError : there are no records, or records or their files are damaged; the message lists all of them.
    """
    store = Store(folder)
    damaged: list[str] = []
    records = store.records(damaged)
    if damaged:
        refused = "\n".join([f"{folder}: {counted(len(damaged), 'record')} refused", *damaged])
        raise DataError(refused, "Repair or remove these records.")
    if not records:
        raise DataError(
            f"{folder}: no records in it", f"Add records with `xmcbench merge results --into {folder} --slim`."
        )
    cache = Cache() if fresh else Cache.read(folder / TESTS)
    published_values = published.load(folder / PUBLISHED) if (folder / PUBLISHED).is_dir() else []
    files = rendered(board_of(records, store, cache, published_values))
    files[TESTS] = cache.text()
    return {path: text.encode() for path, text in files.items()}


def rendered(board: Board) -> dict[str, str]:
    """Path → text of all files that are made from the table model."""
    names = [file_name(table.dataset, table.view) for table in board.tables]
    files = {"README.md": markdown.index(board, names), "index.html": page(board)}
    for table, name in zip(board.tables, names, strict=True):
        files[f"tables/{name}.md"] = markdown.table(table)
        if table.rows:  # not only published values
            files[f"tables/{name}.csv"] = csv_table.table(table)
            files[f"tables/{name}.tex"] = latex.table(table)
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
    plain = [re.sub(r"[^a-z0-9.=]+", "-", part.lower()).strip("-.")[:NAME] for part in (dataset, view)]
    name = "--".join(plain)
    if plain == [dataset, view]:  # unchanged, so the name is unique without a hash
        return name
    return f"{name}-{hashlib.sha256(json.dumps([dataset, view]).encode()).hexdigest()[:8]}"
