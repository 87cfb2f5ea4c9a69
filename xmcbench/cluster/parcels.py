"""Files that travel between machines without a shared folder: results of a task, and imported data sets.

A node executes a task in HOME/cluster/FIT_HASH, a results folder of its own, so that an attempt that was stopped
resumes there. The folder is removed once its records are in the results folder of the user.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from xmcbench.cluster.node import Outcome, Publish, perform, reason_of
from xmcbench.cluster.tasks import Task
from xmcbench.data.home import changing, home, imported
from xmcbench.data.imported import check_files, find_imported, is_imported
from xmcbench.errors import DataError, XmcError, cannot_write
from xmcbench.files import atomic, lock_of, remove_any, remove_folder, replaced_folder, temporary_folder
from xmcbench.locks import locked
from xmcbench.models.folder import export
from xmcbench.records.merging import ALL, REFUSED, merge
from xmcbench.records.record import Record
from xmcbench.records.store import Store

Files = list[tuple[str, NDArray[np.uint8]]]  # relative path, bytes; they are mapped, so that packing copies nothing


def scratch(fit_hash: str) -> Path:
    """The folder of a fit on a node."""
    return home() / "cluster" / fit_hash[:24]


def perform_apart(
    task: Task, node: str, attempt: str, publish: Publish, fetch: Callable[[], Files] | None
) -> tuple[Outcome, Files]:
    """Execute a task in its folder on this node; returns how it ended, and the records with their files.

    `fetch` gets the files of an imported data set, if the task is on one that this node may not have.
    Records that are there already, of an attempt whose results were never fetched, are not made again.
    Waits for another attempt at the same fit on this node.
    """
    try:
        folder = scratch(task.fit_hash)
        with locked(lock_of(folder)):
            for name, text in task.earlier.items():
                with atomic(folder / "records" / name) as file:
                    file.write(text.encode())
            if fetch is not None:
                install_import(task.dataset, fetch)
            store = Store(folder)
            outcome = perform(task, store, node, attempt, publish, is_shared=False)
            if outcome.refused:  # another node has the task, and this one may need the space
                remove_any(folder)
                return outcome, []
            return outcome, _results(store, outcome.run_ids)
    except (XmcError, OSError) as error:
        return Outcome(node, refused=reason_of(error)), []


def forget(fit_hash: str) -> None:
    """Remove the results of a fit from this node, except for what an unfinished run needs to resume."""
    folder = scratch(fit_hash)
    with locked(lock_of(folder)):
        for path in folder.glob("*"):
            if path.name != "work":
                remove_any(path)
        if not any((folder / "work").glob("*")):
            remove_any(folder)
        lock_of(folder).unlink(missing_ok=True)


def _results(store: Store, run_ids: Iterable[str]) -> Files:
    """The records of these runs with all their files: predictions, rows, board files, reports, models."""
    paths: dict[Path, None] = {}
    for run_id in run_ids:
        record = store.read(store.folder / "records" / f"{run_id}.json")
        paths[store.folder / "records" / f"{run_id}.json"] = None
        for kind in ALL:
            if getattr(record, kind) is not None:
                paths[store.place(record, kind)] = None
        if record.board is not None:
            paths[store.shared_place(record)] = None
        paths |= dict.fromkeys(_all_files(store.model(run_id)))
    paths |= dict.fromkeys(_all_files(store.folder / "reports"))
    return pack(store.folder, paths)


def _all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def pack(folder: Path, paths: Iterable[Path]) -> Files:
    """Files of a folder with their paths in it."""
    return [(path.relative_to(folder).as_posix(), _mapped(path)) for path in paths]


def _mapped(path: Path) -> NDArray[np.uint8]:
    if path.stat().st_size == 0:
        return np.zeros(0, np.uint8)
    return np.memmap(path, np.uint8, "r").view(np.ndarray)


def unpack(files: Files, folder: Path) -> None:
    """Write files into a new folder. DataError: a path leads out of it, or it can't be written."""
    for name, content in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name:
            raise DataError(f"{name!r}: a path that leads out of its folder", "No node of xmcbench sends such a path.")
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:  # `tofile` doesn't say that a disk is full
                file.write(content.data)
        except OSError as error:
            raise cannot_write(target, error) from error


def receive(files: Files, outcome: Outcome, store: Store) -> list[tuple[Record, Path | None]]:
    """Add the results of a task to the results folder, each record after its files; returns records and kept models.

    Raises DataError: a file is damaged, or the folder can't be written; the message names the node.
    """
    received = []
    try:
        with temporary_folder(store.folder / "work", "arriving") as folder:
            unpack(files, folder)
            arrived = Store(folder)
            for one in merge(arrived, store, only=list(arrived.paths()), check_data=False):
                if one.what == REFUSED:
                    raise DataError(one.why)
            _copy_reports(folder / "reports", store.folder / "reports")
            for run_id in outcome.run_ids:
                model = arrived.model(run_id)
                if model.is_dir():
                    export(model, store.model(run_id), replace=True)
                record = store.read(store.folder / "records" / f"{run_id}.json")
                received.append((record, store.model(run_id) if model.is_dir() else None))
    except DataError as error:
        raise type(error)(f"results of node {outcome.node}: {error.message}", error.hint) from error
    return received


def _copy_reports(source: Path, target: Path) -> None:
    for report in source.glob("*"):
        if not (target / report.name / "report.md").is_file():
            with replaced_folder(target / report.name) as folder:
                shutil.copytree(report, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)


def pack_import(name: str) -> Files:
    """The files of an imported data set."""
    folder = imported() / name
    return pack(folder, _all_files(folder))


def install_import(name: str, fetch: Callable[[], Files]) -> None:
    """Install an imported data set on this node unless one of its name is there; `fetch` gets its files.

    Raises DataError: the files are not those of the import.
    """
    if is_imported(name):
        return
    with changing(name, must=False):
        if is_imported(name):  # another task was faster
            return
        with replaced_folder(imported() / name) as folder:
            unpack(fetch(), folder)
        try:
            check_files(find_imported(name))
        except DataError:
            remove_folder(imported() / name)
            raise
