"""The home folder: where it is, and who may use, read and change a data set in it."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from xmcbench.data import home as module
from xmcbench.data.home import changing, home, reading, unused, using, version_lock
from xmcbench.data.places import mirror
from xmcbench.errors import DataError, UsageError
from xmcbench.locks import Busy


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(("variable", "function"), [("XMCBENCH_HOME", home), ("XMCBENCH_MIRROR", mirror)])
def test_the_home_of_nobody(variable: str, function: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "~nobody-of-this-name/folder")
    with pytest.raises(UsageError, match=f"{variable}=~nobody-of-this-name/folder: no home folder is known"):
        function()


def test_who_may_what() -> None:
    with using("a"), using("a"), using("b"), reading("a"), reading("b"):  # readers share
        with pytest.raises(Busy, match="a: in use by a process"), unused("a"):
            pass
        with pytest.raises(Busy, match="tokens and embeddings: in use by a process"), unused(None):
            pass
        with unused("c"):
            pass
        with pytest.raises(Busy, match="a: this process reads it"), changing("a", must=True):
            pass
    with unused("a"), unused(None), changing("a", must=True), reading("a"):  # a process does not wait for itself
        pass


def test_a_writer_gets_its_turn_among_many_readers() -> None:
    end = threading.Event()

    def read() -> None:
        while not end.is_set():
            with reading("a"):
                time.sleep(0.05)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(10)]
    for reader in readers:
        reader.start()
        time.sleep(0.005)  # so that one always reads
    got_turn = threading.Event()

    def write() -> None:
        with changing("a", must=True):
            got_turn.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert got_turn.wait(timeout=5)
    end.set()
    for thread in (*readers, writer):
        thread.join(timeout=10)


def test_a_home_folder_that_may_only_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks that are there are shared; where there are none, reading goes on after a warning."""
    real = os.open

    def read_only(path: object, flags: int, *mode: int, **options: int) -> int:
        if flags & (os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return real(path, flags, *mode, **options)

    with using("a"), reading("a"):
        pass
    monkeypatch.setattr(os, "open", read_only)
    module._warn.cache_clear()
    with reading("a"), using("a"):
        monkeypatch.setattr(os, "open", real)
        with pytest.raises(Busy), unused("a"):
            pass
        monkeypatch.setattr(os, "open", read_only)
    with pytest.warns(UserWarning, match="locks: can't write, so other processes don't see"), using("b"):
        pass
    with pytest.raises(DataError, match="can't write"), changing("b", must=True):
        pass
    assert not version_lock("b").exists()


@pytest.mark.parametrize("name", ["new", "with space", "new\nline", "\udcff\udcfe", "a/b/c", "x" * 255])
def test_any_name_that_a_folder_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / name))
    assert home() == tmp_path / name
    assert not home().exists()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XMCBENCH_HOME", name)
    assert home() == tmp_path / name


def test_an_empty_variable_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert home().name == "xmcbench"


def test_names_that_no_folder_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, said in (
        ("loop", "symbolic links"),
        ("x" * 256, "File name too long"),
        ("/".join(["x" * 250] * 17), "File name too long"),
    ):
        monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / name))
        with pytest.raises(UsageError, match=said) as caught:
            home()
        assert "XMCBENCH_HOME=" in caught.value.message
        assert "Set XMCBENCH_HOME to a folder" in caught.value.hint


def test_a_user_without_a_home_folder_is_told_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XMCBENCH_HOME", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(UsageError, match="no home folder is known for this user"):
        home()


def test_a_removed_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("XMCBENCH_HOME", "relative")
    with pytest.raises(UsageError, match="the current folder was removed"):
        home()
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "absolute"))
    assert home() == tmp_path / "absolute"
    monkeypatch.chdir(tmp_path)
