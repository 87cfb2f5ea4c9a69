"""`xmcbench board build` from records of real runs."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.errors import DataError, RegressionError
from xmcbench.records import record_file
from xmcbench.records.store import Store

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


def others(folder: Path, liar: str) -> list[str]:
    """The lines of the table of scores, without that of one method, and without ranks, which depend on all rows."""
    (table,) = (folder / "tables").glob("*.md")
    lines = [line for line in table.read_text().splitlines() if line.startswith("|")]
    return [line.partition(" | ")[2].partition(" | ")[2] for line in lines if f" {liar} " not in line]


def lie(folder: Path, **changes: Any) -> None:
    """A record beside that of `tree`, of a method called liar, with other per-row numbers or facts."""
    store = Store(folder)
    (run,) = (r for r in store.records() if r.method.name == "tree")
    rows = {**store.board(run), **changes.pop("rows", {})}
    method = replace(run.method, name="liar", label="liar")
    part = replace(run.dataset, **changes.pop("dataset", {}))
    changed = {"run_id": "20990101T000000-liar", "method": method, "dataset": part, "spec_hash": "liar", **changes}
    store.add(record_file.changed(run, **{"predictions": None, **changed}), None, rows)


LIES: dict[str, dict[str, Any]] = {
    "groups": {"rows": {"near": np.zeros(60, np.int32)}},
    "newest groups": {"rows": {"near": np.zeros(60, np.int32)}, "started_utc": "2026-11-28T00:00:00+00:00"},
    "oldest groups": {"rows": {"near": np.zeros(60, np.int32)}, "started_utc": "2020-01-01T00:00:00+00:00"},
    "denominators": {"rows": {"R@100/den": np.full(60, 2, np.float32)}},
    "labels": {"dataset": {"n_labels": 9}},
    "revision": {"dataset": {"revision": "99", "content_hash": "sha256:99"}},
}


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("which", LIES)
def test_a_merged_record_changes_no_row_of_others(
    runs: Path, tmp_path: Path, which: str, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, theirs = tmp_path / "boards", tmp_path / "theirs"
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    if here:
        load("synthetic[labels=40,rows=300,test=60]")
    for target in (folder, theirs):
        shutil.copytree(runs / "records", target / "records")
        shutil.copytree(runs / "board", target / "board")
    build = ["board", "build", "--folder", str(folder)]
    assert CliRunner().invoke(app, build).exit_code == 0
    assert (folder / "board" / "datasets.json").is_file() == here
    before = others(folder, "liar")
    with contextlib.suppress(DataError):  # some lies are not even written
        lie(theirs, **LIES[which])
        CliRunner().invoke(app, ["merge", str(theirs), "--into", str(folder), "--slim"])
    built = CliRunner().invoke(app, build)
    assert built.exit_code == 0, built.output
    assert others(folder, "liar") == before
    assert CliRunner().invoke(app, [*build, "--check"]).exit_code == 0


def test_a_record_that_is_refused_is_named_and_the_board_is_built(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "boards"
    shutil.copytree(runs / "records", folder / "records")
    shutil.copytree(runs / "board", folder / "board")
    load("synthetic[labels=40,rows=300,test=60]")
    lie(folder, rows={"near": np.zeros(60, np.int32)})
    for negative in (False, True):
        if negative:
            (folder / "records" / "20990101T000000-liar.json").unlink()
            lie(folder, rows={"near": np.full(60, -1, np.int32)})
        built = CliRunner().invoke(app, ["board", "build", "--folder", str(folder)])
        assert built.exit_code == 0
        assert "refused: 20990101T000000-liar: " in built.output
        assert "near" in built.output
        assert "refused: 20990101T000000-liar: " in (folder / "README.md").read_text()
        assert "liar" not in next((folder / "tables").glob("*.md")).read_text()
    record = next((folder / "records").glob("*-liar.json"))
    text = json.loads(record.read_text())
    text["started_utc"] = "2099-01-01T00:00:00+00:00"
    record.write_text(json.dumps({**text, "seal": record_file.seal_of(text)}))
    assert "in the future" in CliRunner().invoke(app, ["board", "build", "--folder", str(folder)]).output
