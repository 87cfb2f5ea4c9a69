from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmcbench import files
from xmcbench.errors import DataError
from xmcbench.files import atomic, lock_of, replaced_folder, sha256_of, temporary_folder, write_json, write_npz
from xmcbench.locks import locked


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_whole_at_the_end_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    with atomic(path) as file:
        file.write(b"hello")
        assert not path.exists()
    assert path.read_bytes() == b"hello"
    assert names(path.parent) == ["file"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_keeps_the_old_content_and_leaves_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic(path) as file:
            file.write(b"half of the new")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_said_and_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(DataError, match="the disk is full") as caught:
        write_json(path, {"a": 1})
    moved = "XMCBENCH_HOME moves the cache, an option such as --results the rest."
    assert caught.value.hint == f"Free some space, or choose another folder: {moved}"
    assert str(path) in caught.value.message
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def on_a_full_disk(**options: Any) -> tuple[int, str]:
        name = tmp_path / ".tmp-none"
        name.touch()
        return os.open("/dev/full", os.O_WRONLY), str(name)

    monkeypatch.setattr(files.tempfile, "mkstemp", on_a_full_disk)
    with pytest.raises(DataError, match="the disk is full"):
        write_npz(tmp_path / "x.npz", {"a": np.random.default_rng(0).random(100_000)})
    assert names(tmp_path) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions don't bind this user")
def test_a_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(DataError, match=r"can't write \(Permission denied\)"):
            write_json(tmp_path / "x.json", 1)
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_one_may_not_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(**options: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.tempfile, "mkstemp", refuse)
    with pytest.raises(DataError, match="can't write") as caught:
        write_json(tmp_path / "x.json", 1)
    assert os.strerror(code) in str(caught.value)
    assert str(tmp_path / "x.json") in str(caught.value)


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can't write"):
        write_json(tmp_path / "file" / "x.json", 1)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="can't write"):
        write_json(tmp_path / "folder", 1)
    assert names(tmp_path) == ["file", "folder"]


WRITER = """
import sys
from pathlib import Path
from xmcbench.files import atomic
step = 0
while True:
    step += 1
    with atomic(Path(sys.argv[1])) as file:
        for _ in range(200):
            file.write(f"{step:08}".encode() * 500)
    print(step, flush=True)
"""


def test_kill_9_at_any_moment_leaves_an_old_or_a_new_file_never_half(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for after in range(1, 7):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        for _ in range(after):
            child.stdout.readline()
        time.sleep(0.002 * after)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
        content = path.read_bytes()
        assert len(content) == 8 * 100_000
        assert content == content[:8] * 100_000
        assert all(name.startswith(files.TEMPORARY) for name in names(tmp_path) if name != "file")


def test_two_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    pair = [subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) for _ in range(2)]
    for child in pair:
        assert child.stdout is not None
        child.stdout.readline()
    for _ in range(20):
        content = path.read_bytes()
        assert content == content[:8] * 100_000
    for child in pair:
        child.kill()
        child.communicate()


def test_json_is_stable_readable_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1.5, "a": ["é", None, True]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert text == '{\n "a": [\n  "é",\n  null,\n  true\n ],\n "b": 1.5\n}\n'
    assert json.loads(text) == {"a": ["é", None, True], "b": 1.5}
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "y.json", {"a": bad})
    assert names(tmp_path) == ["x.json"]


def test_sha256(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "below" / "folder"
    with locked(lock_of(target)):
        for content in ("old", "new"):
            with replaced_folder(target) as work:
                (work / content).touch()
                assert content not in (names(target) if target.exists() else [])
        with pytest.raises(DataError, match="can't write"), replaced_folder(target) as work:
            (work / "half" / "nowhere").touch()
    assert names(target) == ["new"]
    assert names(target.parent) == [".folder.lock", "folder"]


def test_a_temporary_folder_removes_those_of_its_name_that_killed_processes_left(tmp_path: Path) -> None:
    for name in (".tmp-mine-12345678", ".tmp-mine-more-12345678", ".tmp-other"):
        (tmp_path / name).mkdir()
    with temporary_folder(tmp_path, "mine") as first, temporary_folder(tmp_path, "mine") as second:
        assert names(tmp_path) == sorted([first.name, second.name, ".tmp-mine-more-12345678", ".tmp-other"])
        first.rename(tmp_path / "done")
    assert names(tmp_path) == [".tmp-mine-more-12345678", ".tmp-other", "done"]
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: can't write"), temporary_folder(tmp_path / "file", "mine"):
        pass


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/\.lock: can't write"), locked(tmp_path / "file" / ".lock"):
        pass
