from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.cli.new import write_skeleton
from xmcbench.errors import DataError, UsageError


@pytest.fixture
def installed(site: Any, tmp_path: Path) -> Any:
    """The skeleton, written by the command and installed by pip like anybody's plugin."""
    assert CliRunner().invoke(app, ["new", "method", "my-idea2", "--to", str(tmp_path / "mine")]).exit_code == 0
    # With the build backend at hand nothing is fetched; else pip gets it into an environment of its own.
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    words = ["--quiet", "--no-deps", *isolation, "--target", str(site.folder), str(tmp_path / "mine")]
    subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True)
    return site


def test_the_skeleton_installs_and_runs_by_name(installed: Any, tmp_path: Path) -> None:
    listed = installed.xmcbench("ls", "methods").stdout
    assert ["my-idea2", "xmcbench-my-idea2", "0.1.0", "xmcbench_my_idea2:MyIdea2"] in map(
        str.split, listed.splitlines()
    )
    own = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "mine" / "tests")],
        env={**os.environ, "PYTHONPATH": str(installed.folder)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert own.returncode == 0, own.stdout
    run = installed.xmcbench("run", "my-idea2", "--dataset", "synthetic[labels=60,rows=400,test=80]", "--json")
    assert run.returncode == 0, run.stderr
    assert '"origin": "xmcbench-my-idea2' in run.stdout


def test_what_to_do_next_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["new", "method", "demo"])
    assert result.exit_code == 0
    for words in ('pip install -e "xmcbench-demo[test]"', "pytest xmcbench-demo", "xmcbench run demo"):
        assert words in result.output
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert written == [
        "xmcbench-demo/README.md",
        "xmcbench-demo/pyproject.toml",
        "xmcbench-demo/src/xmcbench_demo/__init__.py",
        "xmcbench-demo/tests/test_contract.py",
    ]


def test_nothing_of_the_templates_is_left_in_the_files(tmp_path: Path) -> None:
    write_skeleton("two-words", tmp_path / "out")
    for path in (p for p in (tmp_path / "out").rglob("*") if p.is_file()):
        assert "$" not in path.read_text(), path
    assert "class TwoWords:" in (tmp_path / "out" / "src" / "xmcbench_two_words" / "__init__.py").read_text()


@pytest.mark.parametrize(
    "name", ["", "Upper", "two words", "under_score", "-a", "a-", "a--b", "3d", "../up", "a/b", "none", "é"]
)
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be a method's name"):
        write_skeleton(name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_taken_names_and_existing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exists already, from xmcbench"):
        write_skeleton("popularity", tmp_path / "out")
    (tmp_path / "here").mkdir()
    with pytest.raises(UsageError, match="here exists already"):
        write_skeleton("demo", tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can't write"):
        write_skeleton("demo", tmp_path / "file" / "below")


def test_the_skeleton_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half would make the next try fail, since the folder exists."""
    real, written = Path.write_text, []

    def full(self: Path, text: str, encoding: str | None = None) -> int:
        written.append(self)
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        return real(self, text, encoding)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(DataError, match="the disk is full"):
            write_skeleton("demo", tmp_path / "demo")
    assert list(tmp_path.iterdir()) == []
    assert write_skeleton("demo", tmp_path / "demo").is_file()


def test_only_methods_can_be_written(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["new", "dataset", "x", "--to", str(tmp_path / "out")])
    assert isinstance(result.exception, UsageError)
