"""`xmcbench board build` from records of real runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.errors import DataError, RegressionError

DATA = ["--dataset", "synthetic[labels=40,rows=300,test=60]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    done = CliRunner().invoke(app, ["run", "tree", "knn", *DATA, "--results", str(folder), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    return folder


def test_build_then_check_then_a_change_is_found(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "boards"
    shutil.copytree(runs / "records", folder / "records")
    shutil.copytree(runs / "board", folder / "board")
    built = CliRunner().invoke(app, ["board", "build", "--folder", str(folder)])
    assert built.exit_code == 0, built.output
    (table,) = (folder / "tables").glob("*.md")
    text = table.read_text()
    assert "| tree |" in text
    assert "popularity (floor)" in text
    assert "xmcbench run knn --dataset 'synthetic[rows=300,test=60,labels=40]'" in text
    for more in ([], ["--fresh"]):
        checked = CliRunner().invoke(app, ["board", "build", "--check", *more, "--folder", str(folder)])
        assert checked.exit_code == 0, checked.output
    table.write_text(text.replace("tree", "bush"))
    wrong = CliRunner().invoke(app, ["board", "build", "--check", "--folder", str(folder)])
    assert isinstance(wrong.exception, RegressionError)
    assert table.name in str(wrong.exception)
    assert "bush" in table.read_text()  # a check writes nothing


def test_a_folder_without_records(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["board", "build", "--folder", str(tmp_path)])
    assert isinstance(result.exception, DataError)
    assert "xmcbench merge" in str(result.exception)
