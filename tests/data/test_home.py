"""The home folder: what the environment may say of it, and what a message names."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmcbench.data.home import home
from xmcbench.errors import DataError


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
        with pytest.raises(DataError, match=said) as caught:
            home()
        assert "XMCBENCH_HOME is " in caught.value.message
        assert "Set XMCBENCH_HOME to a folder" in caught.value.hint


def test_a_user_without_a_home_folder_is_told_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", "~nobody-of-this-name/x")
    with pytest.raises(DataError, match=r"XMCBENCH_HOME is ~nobody-of-this-name/x: .* home folder is not known"):
        home()
    for variable in ("XMCBENCH_HOME", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: {}[uid])
    with pytest.raises(DataError, match="HOME is not set: this user's home folder is not known"):
        home()


def test_a_removed_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("XMCBENCH_HOME", "relative")
    with pytest.raises(DataError, match="the current folder was removed"):
        home()
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "absolute"))
    assert home() == tmp_path / "absolute"
    monkeypatch.chdir(tmp_path)
