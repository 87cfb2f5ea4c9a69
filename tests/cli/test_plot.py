"""`xmcbench plot`: the file, what is said, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.board.conftest import NewRun, folder, new_run  # noqa: F401
from xmcbench.cli import app as cli
from xmcbench.errors import UsageError, XmcError


def call(*words: str) -> Result:
    return CliRunner().invoke(cli.app, ["plot", *words])


def test_a_figure_of_a_folder_and_of_named_runs(folder: Path, new_run: NewRun, tmp_path: Path) -> None:  # noqa: F811
    new_run("tree", np.arange(200) < 100)
    new_run("knn", np.arange(200) < 60)
    new_run("failed", status="error", reason="<b>it broke</b>")
    done = call(str(folder), "--to", str(tmp_path / "a.svg"))
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'a.svg'}: quality of 2 rows on toy (bow)" in done.stdout
    assert "note: Not shown: failed: error (<b>it broke</b>)." in done.stderr
    content = (tmp_path / "a.svg").read_text()
    assert "&lt;b&gt;it broke" in content
    assert "<b>" not in content
    one = call("tree", "--results", str(folder), "--metric", "p@1", "--to", str(tmp_path / "b.png"))
    assert "quality of 1 row on" in one.stdout, one.output


def test_only_rows_that_are_drawn_are_counted(folder: Path, new_run: NewRun, tmp_path: Path) -> None:  # noqa: F811
    new_run("net", np.ones(200), notes={"epochs": [{"loss": 0.5}, {"loss": 0.25}]})
    for name in ("tree", "knn"):
        new_run(name, np.ones(200))
    done = call(str(folder), "--kind", "learning", "--to", str(tmp_path / "a.svg"))
    assert "learning of 1 row on toy (bow)" in done.stdout, done.output
    assert "notes none: knn, tree." in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--to", "a.pdf"], "written as svg or png"),
        (["--to", "a.svg", "--kind", "qualty"], "Did you mean 'quality'"),
        (["--to", "a.svg", "--kind", "groups", "--metric", "P@1"], "show the same metrics always"),
        (["--to", "a.svg", "--metric", "P@x"], "not of the form"),
        (["nothing", "--to", "a.svg"], "unknown run"),
        (["--to", "a.svg", "--dataset", "other"], "no run in"),
        (["--to", "a.svg", "--view", "title"], "in view title"),
    ],
)
def test_what_is_refused_leaves_no_file(
    folder: Path,  # noqa: F811
    new_run: NewRun,  # noqa: F811
    tmp_path: Path,
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new_run("tree", np.arange(200) < 100)
    monkeypatch.chdir(tmp_path)
    done = call("--results", str(folder), *words)
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)
    assert not list(tmp_path.glob("a.*"))


def test_without_matplotlib_it_says_what_to_install(
    folder: Path,  # noqa: F811
    new_run: NewRun,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new_run("tree", np.arange(200) < 100)
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    done = call(str(folder), "--to", str(tmp_path / "a.svg"))
    assert isinstance(done.exception, XmcError)
    assert "pip install -e '.[plot]'" in str(done.exception)


def test_a_folder_that_can_not_be_written(folder: Path, new_run: NewRun, tmp_path: Path) -> None:  # noqa: F811
    new_run("tree", np.arange(200) < 100)
    (tmp_path / "file").write_text("")
    done = call(str(folder), "--to", str(tmp_path / "file" / "a.svg"))
    assert isinstance(done.exception, XmcError)
    assert done.exception.exit_code == 4
