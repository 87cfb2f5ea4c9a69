from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xmcbench import locks
from xmcbench.errors import DataError
from xmcbench.files import atomic, replaced_folder, sweep
from xmcbench.locks import Busy, NoLocks, locked

HOLDER = """
import sys, time
from pathlib import Path
from xmcbench.locks import locked
with locked(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    time.sleep(600)
"""
UNFINISHED = """
import sys, time
from pathlib import Path
from xmcbench.files import atomic, replaced_folder
folder = Path(sys.argv[1])
with atomic(folder / "file") as file, replaced_folder(folder / "folder") as work:
    (work / "new").touch()
    print("held", flush=True)
    time.sleep(600)
"""


def holder(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A process that has printed that it holds something."""
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize(("held", "wanted", "free"), [(True, True, True), (True, False, False), (False, True, False)])
def test_readers_share_a_lock_and_a_writer_has_it_alone(tmp_path: Path, held: bool, wanted: bool, free: bool) -> None:
    lock = tmp_path / ".lock"
    other = holder(HOLDER, lock, "shared" if held else "alone")
    try:
        if free:
            with locked(lock, shared=wanted, wait=False):
                pass
        else:
            with pytest.raises(Busy, match="another process uses it"), locked(lock, shared=wanted, wait=False):
                pass
    finally:
        kill(other)
    with locked(lock, shared=wanted, wait=False):  # the system released the lock of the killed process
        pass


def test_a_lock_is_waited_for_even_if_its_file_is_removed_meanwhile(tmp_path: Path) -> None:
    lock, events = tmp_path / ".lock", []

    def second() -> None:
        with locked(lock, waiting=lambda: events.append("waits")):
            events.append("second")

    thread = threading.Thread(target=second)
    with locked(lock):
        thread.start()
        while not events:
            time.sleep(0.01)
        lock.unlink()
        third = holder(HOLDER, lock, "alone")  # holds another file of the same name
    try:
        time.sleep(0.1)
        assert events == ["waits"]
    finally:
        kill(third)
        thread.join(timeout=60)
    assert events == ["waits", "second"]


def test_a_sweep_removes_only_what_no_process_holds(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").touch()
    other = holder(UNFINISHED, tmp_path)
    unfinished = sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp-"))
    assert len(unfinished) == 2
    assert sweep(tmp_path) == []
    kill(other)
    assert sorted(path.name for path in sweep(tmp_path)) == unfinished
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "old"]


def test_a_sweep_restores_a_folder_whose_replacement_was_killed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-a-b-abcdefgh-old").mkdir()
    (tmp_path / ".tmp-a-b-abcdefgh-old" / "old").touch()
    (tmp_path / ".tmp-a-b-abcdefgh").mkdir()
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a-b", "old"]


def without_locks(descriptor: int, kind: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", without_locks)
    locks._warn.cache_clear()
    with pytest.warns(UserWarning, match="no locks; let only one process use it"), locked(tmp_path / ".lock"):
        pass
    with pytest.raises(NoLocks, match="other processes might use it"), locked(tmp_path / ".lock", must=True):
        pass
    with atomic(tmp_path / "file") as file:
        file.write(b"whole")
    (tmp_path / ".tmp-of-somebody").touch()
    with replaced_folder(tmp_path / "folder"):
        pass
    assert sweep(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {".lock", ".tmp-of-somebody", "file", "folder"}


def test_another_error_of_a_lock_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int, kind: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", broken)
    with pytest.raises(DataError, match=r"\.lock: can't write"), locked(tmp_path / ".lock"):
        pass
