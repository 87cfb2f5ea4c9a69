"""What killed processes leave in a results folder, and its removal by the next command that writes there.

Unfinished files are locked while a process writes them (`xmcbench.locks`). Files of a run without a record are left if
a process was killed before it wrote the record, and work folders of finished runs if it was killed before it removed
them. Two locks tell them from those of a running process: `adding` and `running`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from xmcbench import files
from xmcbench.errors import WriteError
from xmcbench.files import TEMPORARY
from xmcbench.locks import Busy, NoLocks, locked
from xmcbench.runs import work_folder

KINDS = ("predictions", "rows", "board")
FOLDERS = ("records", *KINDS, "reports", "models")
ADDING, RUNNING = ".adding.lock", "work/.running.lock"
REFERENCES = "board/datasets.json"  # see `references`; they name shared files too
RUN_FILE = re.compile(r"\d{8}T\d{6}-.+-[0-9a-f]{8}\.npz")  # other files are not ours to remove
SHARED_FILE = re.compile(r"data-[0-9a-f]{16}\.npz")


@contextmanager
def adding(folder: Path) -> Iterator[None]:
    """Write files of a record and the record: meanwhile no process takes the files for abandoned.

    Raises WriteError: the folder can't be written.
    """
    try:
        with locked(folder / ADDING, shared=True):
            yield
    finally:
        _remove_lock(folder / ADDING)


@contextmanager
def running(folder: Path, needed: Collection[Path]) -> Iterator[None]:
    """Remove what killed processes left, except for work folders that are `needed`; then execute runs.

    Other processes keep all work folders meanwhile, since runs that follow may share their fits.
    """
    sweep(folder)
    lock = folder / RUNNING
    if lock.parent.is_dir():
        with suppress(Busy, NoLocks, WriteError), locked(lock, wait=False, must=True):
            for work in finished(folder):
                if work not in needed:
                    work_folder.remove(work)
    with ExitStack() as stack:
        with suppress(WriteError):  # if there is nothing to execute, nothing is written
            stack.callback(_remove_lock, lock)
            stack.enter_context(locked(lock, shared=True))
        yield


def remove_finished(folder: Path, works: Collection[Path]) -> None:
    """Remove `works` and all other work folders of ended runs, unless another process executes runs.

    These may share their fits; the last process to end then removes them.
    """
    lock = folder / RUNNING
    if not lock.parent.is_dir():
        return
    with suppress(Busy, WriteError), locked(lock, wait=False):
        for work in {*works, *finished(folder)}:
            work_folder.remove(work)
        lock.unlink(missing_ok=True)


def _remove_lock(lock: Path) -> None:
    with suppress(Busy, NoLocks, WriteError, OSError), locked(lock, wait=False, must=True):
        lock.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove unfinished files of killed processes, and files without a record unless a process adds one."""
    for part in _folders(folder):
        files.sweep(part)
    if not orphans(folder):
        return
    with suppress(Busy, NoLocks, WriteError), locked(folder / ADDING, wait=False, must=True):
        for path in orphans(folder):
            with suppress(OSError):
                path.unlink()
        (folder / ADDING).unlink(missing_ok=True)


def abandoned(folder: Path) -> list[Path]:
    """What the next command would remove if no other process used the folder; nothing is changed."""
    unfinished = [path for part in _folders(folder) for path in files.abandoned(part)]
    return [*unfinished, *orphans(folder), *finished(folder)]


def orphans(folder: Path) -> list[Path]:
    """Predictions, rows and board files of runs without a record that no other record and no reference names either."""
    records = [name for name in _names(folder / "records") if name.endswith(".json")]
    recorded = {name.removesuffix(".json") for name in records}
    candidates = [
        f"{kind}/{name}"
        for kind in KINDS
        for name in _names(folder / kind)
        if RUN_FILE.fullmatch(name) and name.removesuffix(".npz") not in recorded
    ]
    if not candidates:  # the usual case takes some milliseconds per thousand records
        return []
    # a killed process writes a shared file after one of the run's own, and such a file is removed before them
    shared = [name for name in _names(folder / "board") if SHARED_FILE.fullmatch(name)]
    unnamed = {name.encode() for name in (*shared, *candidates)}
    try:
        for path in [*(folder / "records" / name for name in records), folder / REFERENCES]:
            text = path.read_bytes() if path.is_file() else b""
            unnamed = {one for one in unnamed if one not in text}
    except OSError:
        return []
    paths = {name: folder / "board" / name for name in shared} | {name: folder / name for name in candidates}
    return [path for name, path in paths.items() if name.encode() in unnamed]


def finished(folder: Path) -> list[Path]:
    """Work folders of runs whose record was written, empty ones of skipped runs, and of which only a lock is left."""
    names = set(_names(folder / "work"))
    locks_alone = {name.removesuffix(".lock") for name in names if name.endswith(".lock") and name[0] != "."} - names
    done = [name for name in names if _is_done(folder, folder / "work" / name)]
    return [folder / "work" / name for name in sorted([*locks_alone, *done])]


def _is_done(folder: Path, work: Path) -> bool:
    with suppress(OSError):  # another process may remove it meanwhile
        if work.is_dir() and not any(work.iterdir()):
            return True
    run_id = work_folder.recorded(work)
    return bool(run_id) and (folder / "records" / f"{run_id}.json").is_file()


def _folders(folder: Path) -> list[Path]:
    in_work = {path.parent for path in (folder / "work").rglob(f"{TEMPORARY}*")}
    return [folder / name for name in FOLDERS] + sorted({folder / "work", *in_work})


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
