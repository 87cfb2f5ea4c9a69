"""Records → the files of the leaderboards: made whole, written one by one, or held against those that are there.

FOLDER/records/, FOLDER/board/     what `xmcbench merge --into FOLDER --slim` brings; never written here
FOLDER/published/                  what others printed (`xmcbench.board.published`); may be missing
FOLDER/tests.json                  what tests gave: remembered by the records they looked at
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
from xmcbench.board.pairs import Memory
from xmcbench.board.tables import board_of
from xmcbench.errors import DataError
from xmcbench.files import atomic
from xmcbench.results.store import Store

NAME = 60  # characters of each part kept in a file's name
KINDS = (".md", ".csv", ".tex")  # of tables; a file of such a name in tables/ is taken for one
TESTS, PUBLISHED = "tests.json", "published"


def make(folder: Path, *, fresh: bool = False) -> dict[str, bytes]:
    """All files of the leaderboards in `folder`, by their path in it.

    Parameters
    ----------
    fresh : test anew, whatever earlier builds remember.

    Raises
    ------
    DataError : there are no records, or one of them, or what it names, is damaged: all of them are named.
    """
    store = Store(folder)
    broken: list[str] = []
    everything = store.records(broken)
    if broken:
        raise DataError(f"{folder}: {len(broken)} refused\n" + "\n".join(broken), "No board is built with them there.")
    if not everything:
        raise DataError(f"{folder}: no records in it", f"Bring some: xmcbench merge results --into {folder} --slim")
    memory = Memory() if fresh else Memory.read(folder / TESTS)
    printed = published.load(folder / PUBLISHED) if (folder / PUBLISHED).is_dir() else []
    board = board_of(everything, store, memory, printed)
    files = rendered(board)
    files[TESTS] = json.dumps(memory.kept(), sort_keys=True, separators=(",", ":")).replace('],"', '],\n"') + "\n"
    return {path: text.encode() for path, text in files.items()}


def rendered(board: Board) -> dict[str, str]:
    """Path → text of everything that is made from the table model."""
    names = [file_name(table.dataset, table.view) for table in board.tables]
    files = {"README.md": markdown.index(board, names), "index.html": page(board)}
    for table, name in zip(board.tables, names, strict=True):
        files[f"tables/{name}.md"] = markdown.table(table)
        if not table.rows:
            continue  # published values alone
        files[f"tables/{name}.csv"] = csv_table.table(table)
        files[f"tables/{name}.tex"] = latex.table(table)
    return files


def write(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Write what differs and remove tables that are of no data set any more; returns their paths."""
    changed = differing(folder, files)
    for path in changed:
        if path in files:
            with atomic(folder / path) as file:
                file.write(files[path])
        else:
            (folder / path).unlink()
    return changed


def differing(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Paths of files that are missing, differ, or lie in tables/ and should not."""
    wrong = [path for path, content in files.items() if _read(folder / path) != content]
    stale = [
        f"tables/{path.name}"
        for path in sorted((folder / "tables").glob("*"))
        if path.suffix in (".md", ".csv", ".tex")
    ]
    return sorted(wrong + [path for path in stale if path not in files])


def file_name(dataset: str, view: str) -> str:
    """A table's file name, without its suffix, for any system; no two tables share one."""
    plain = [re.sub(r"[^a-z0-9.=]+", "-", part.lower()).strip("-.")[:NAME] for part in (dataset, view)]
    name = "--".join(plain)
    if plain == [dataset, view]:  # nothing was changed in them, so that they can be told from it
        return name
    return f"{name}-{hashlib.sha256(json.dumps([dataset, view]).encode()).hexdigest()[:8]}"


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
