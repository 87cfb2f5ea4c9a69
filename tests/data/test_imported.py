"""What is stored of an import: it is whole or reported as damaged, and it can be removed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xmcbench import locks
from xmcbench.data import importing, load
from xmcbench.data.folders import read_folder
from xmcbench.data.home import home, imported, reading
from xmcbench.data.imported import Imported, content_fault, file_faults, find_imported, imported_names, remove_imported
from xmcbench.data.importing import Plan, import_files, read_plan
from xmcbench.data.inventory import imported_states
from xmcbench.data.spec import Parsed
from xmcbench.data.user_files import SplitFiles
from xmcbench.errors import DataError, UsageError
from xmcbench.locks import Busy, NoLocks


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))


def make(folder: Path, labels: tuple[str, ...] = ("a", "b"), *, replace: bool = False) -> Imported:
    path = folder / "t.jsonl"
    rows = [{"text": f"text {i}", "labels": [labels[i % len(labels)]]} for i in range(20)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return import_files("mine", Plan(SplitFiles(path), SplitFiles(path)), replace=replace)


def without_hashes(of: Imported) -> None:
    """meta.json as earlier versions wrote it."""
    meta = of.folder / "meta.json"
    raw = {k: v for k, v in json.loads(meta.read_text()).items() if k not in ("files", "seal", "changes")}
    meta.write_text(json.dumps(raw))


def faults(name: str = "mine") -> list[str]:
    """The files that `data verify` and `doctor` report, with the reason."""
    try:
        return [state.problem for state in imported_states(find_imported(name), verify=True) if not state.ok]
    except DataError as error:
        return [str(error)]


def test_a_flipped_byte_in_any_file_is_found(tmp_path: Path) -> None:
    folder = make(tmp_path).folder
    assert faults() == []
    names = sorted(path.name for path in folder.iterdir())
    assert {"meta.json", "X.trn.npz", "X.trn.jsonl", "Y.tst.npz", "output-items.jsonl"} <= set(names)
    for name in names:
        whole = (folder / name).read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 2):
            (folder / name).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert len(faults()) == 1, (name, place)
            assert name in faults()[0]
            with pytest.raises(DataError, match="damaged"):
                load("mine", offline=True)
        (folder / name).write_bytes(whole)
    assert load("mine", offline=True).revision == find_imported("mine").revision


def test_a_missing_and_a_foreign_file_are_found(tmp_path: Path) -> None:
    of = make(tmp_path)
    (of.folder / ".DS_Store").write_text("")
    assert faults() == []
    (of.folder / "Y.dev.npz").write_bytes(b"")  # would be read as a development split
    assert "Y.dev.npz: not part of the import" in faults()[0]
    with pytest.raises(DataError, match=r"Y\.dev\.npz: not part of the import"):
        load("mine", offline=True)
    (of.folder / "Y.dev.npz").unlink()
    (of.folder / "X.tst.jsonl").unlink()
    assert "X.tst.jsonl: missing" in faults()[0]
    (of.folder / "meta.json").unlink()
    assert "meta.json: damaged (No such file or directory)" in faults()[0]
    assert imported_names() == ["mine"]


def test_an_edited_value_in_meta_is_found(tmp_path: Path) -> None:
    meta = make(tmp_path).folder / "meta.json"
    raw = json.loads(meta.read_text())
    for key, value in (("propensity", [0.5, 0.4]), ("revision", "0" * 12), ("seal", ""), ("files", {})):
        meta.write_text(json.dumps({**raw, key: value}))
        with pytest.raises(DataError, match="changed after the import"):
            find_imported("mine")


def test_imports_of_earlier_versions_are_compared_with_their_revision(tmp_path: Path) -> None:
    of = make(tmp_path)
    without_hashes(of)
    old = find_imported("mine")
    assert (old.files, old.revision) == ({}, of.revision)
    assert load("mine", offline=True).revision == of.revision
    assert set(file_faults(old).values()) == {""}
    assert content_fault(old) == ""
    assert faults() == []
    lines = (of.folder / "output-items.jsonl").read_text()
    (of.folder / "output-items.jsonl").write_text(lines.replace('"b"', '"c"'))
    assert f"but {of.revision} was imported" in content_fault(old)
    assert faults()


def test_names_ignore_case(tmp_path: Path) -> None:
    make(tmp_path)
    assert find_imported("Mine").name == "mine"
    assert load("MINE", offline=True).name == "mine"


def test_an_import_says_what_it_changes(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert first.changes == ()
    again = make(tmp_path, replace=True)
    assert again.changes == (f"the same rows and labels as before, revision {first.revision}",)
    second = make(tmp_path, ("a", "c"), replace=True)
    assert second.changes[0].startswith(f"revision {first.revision} → {second.revision}; earlier runs, models")
    assert "1 label added: 'c'" in second.changes
    assert "train rows 20 → 20: 10 added, 10 removed, 10 the same" in second.changes
    assert find_imported("mine").changes == second.changes
    (second.folder / "Y.trn.npz").write_bytes(b"")
    third = make(tmp_path, replace=True)
    assert "can't be compared, since it is damaged" in third.changes[0]


def test_an_import_is_replaced_after_it_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = make(tmp_path)
    again = threading.Thread(target=make, args=(tmp_path, ("c", "d")), kwargs={"replace": True})

    def slow(folder: Path, **options: bool) -> Parsed:
        monkeypatch.setattr("xmcbench.data.imported.read_folder", read_folder)
        again.start()
        deadline = time.monotonic() + 60
        while not [path for path in imported().glob(".tmp-mine-*/meta.json")]:  # it is ready to replace the first
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.2)
        return read_folder(folder, **options)

    monkeypatch.setattr("xmcbench.data.imported.read_folder", slow)
    read = load("mine", offline=True)
    again.join(timeout=60)
    assert (read.revision, list(read.label_texts or ())) == (first.revision, ["a", "b"])
    assert find_imported("mine").revision != first.revision
    assert list(load("mine", offline=True).label_texts or ()) == ["c", "d"]


def test_an_import_whose_files_this_thread_reads_is_not_replaced(tmp_path: Path) -> None:
    make(tmp_path)
    with reading("mine"), reading("mine"), pytest.raises(Busy, match="this process reads it at this moment"):
        make(tmp_path, replace=True)
    make(tmp_path, replace=True)


@pytest.mark.parametrize("replace", [False, True])
def test_of_two_imports_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool) -> None:
    first = make(tmp_path) if replace else None

    def slow(plan: Plan) -> object:
        monkeypatch.setattr(importing, "read_plan", read_plan)
        make(tmp_path, ("c", "d"), replace=replace)
        return read_plan(plan)

    monkeypatch.setattr(importing, "read_plan", slow)
    with pytest.raises(DataError, match="mine was imported or removed by another process meanwhile"):
        make(tmp_path, replace=replace)
    assert load("mine", offline=True).label_texts is not None
    assert list(load("mine", offline=True).label_texts or ()) == ["c", "d"]
    assert first is None or first.revision != find_imported("mine").revision
    assert [path.name for path in imported().iterdir()] == ["mine"]


@pytest.mark.parametrize("step", range(1, 5))
def test_a_replacement_that_is_killed_leaves_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """The child is killed before its n-th rename or removal of a folder of the home."""
    first = make(tmp_path)
    child = os.fork()
    if child == 0:
        done = []

        def killed(*_: object) -> None:
            done.append(1)
            if len(done) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        for module, name in ((Path, "rename"), (shutil, "rmtree")):
            monkeypatch.setattr(module, name, before(killed, getattr(module, name)))
        make(tmp_path, ("c", "d"), replace=True)
        os._exit(0)
    os.waitpid(child, 0)
    assert imported_names() == ["mine"]
    texts = list(load("mine", offline=True).label_texts or ())
    assert texts == (["a", "b"] if step < 3 else ["c", "d"])
    assert (find_imported("mine").revision == first.revision) == (step < 3)
    make(tmp_path, replace=True)
    assert [path.name for path in imported().iterdir()] == ["mine"]
    assert faults() == []


def before(first: Callable[..., None], function: Callable[..., Any]) -> Callable[..., Any]:
    def both(*arguments: Any, **options: Any) -> Any:
        first()
        return function(*arguments, **options)

    return both


def test_an_import_that_is_edited_while_it_is_read_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path).folder

    def slow(folder: Path, **options: bool) -> Parsed:
        parsed = read_folder(folder, **options)
        (folder / "output-items.jsonl").write_bytes((folder / "output-items.jsonl").read_bytes() + b"\n")
        return parsed

    monkeypatch.setattr("xmcbench.data.imported.read_folder", slow)
    with pytest.raises(DataError, match=f"{folder}/output-items.jsonl: changed after the import"):
        load("mine", offline=True)
    assert not list((home() / "parsed").rglob("meta.json"))


def test_the_stored_form_of_an_import_is_not_a_folder_to_import(tmp_path: Path) -> None:
    folder = make(tmp_path).folder
    with pytest.raises(DataError, match=r"is the imported data set mine itself\n.*data export mine --to FOLDER"):
        Plan(SplitFiles()).of_folder(folder)


def test_remove_takes_the_import_and_its_parsed_views(tmp_path: Path) -> None:
    make(tmp_path)
    data = load("mine", offline=True)
    assert (home() / "parsed" / "mine").is_dir()
    with pytest.raises(Busy, match="mine: in use by a process"):
        remove_imported("mine")
    assert faults() == []
    del data
    remove_imported("mine")
    assert imported_names() == []
    assert not (home() / "parsed" / "mine").exists()
    assert not list(imported().iterdir())
    with pytest.raises(UsageError, match="unknown imported data set 'mine'"):
        remove_imported("mine")
    with pytest.raises(UsageError, match="unknown imported data set"):
        remove_imported("..")
    make(tmp_path)
    assert faults() == []


def test_without_locks_only_first_imports_and_reading_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_locks(descriptor: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    locks._warn.cache_clear()
    with pytest.warns(UserWarning, match="no locks; let only one process use it at a time"):
        first = make(tmp_path)
    assert load("mine", offline=True).revision == first.revision
    for refused in (lambda: make(tmp_path, ("a", "c"), replace=True), lambda: remove_imported("mine")):
        with pytest.raises(NoLocks, match="its file system has no locks, so other processes might use it"):
            refused()
    assert faults() == []


@pytest.mark.parametrize("step", [1, 2])
def test_a_removal_that_is_killed_leaves_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    make(tmp_path)
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(shutil, "rmtree", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        if step == 1:
            monkeypatch.setattr(Path, "rename", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        remove_imported("mine")
        os._exit(0)
    os.waitpid(child, 0)
    assert imported_names() == (["mine"] if step == 1 else [])
    make(tmp_path, replace=True)
    assert faults() == []
    assert [path.name for path in imported().iterdir()] == ["mine"]
