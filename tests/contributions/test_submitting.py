"""`xmcbench submit` and `xmcbench check submission` as they are typed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.contributions.conftest import Forge
from xmcbench.cli.app import app
from xmcbench.errors import DataError, RegressionError, UsageError
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Store


def call(*words: object) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def results(world: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(world / "results", tmp_path / "results"))


def knn_of(results: Path) -> Record:
    return next(record for record in Store(results).records() if record.method.name == "knn")


def add(results: Path, **changes: Any) -> Record:
    """A further record like that of knn."""
    record = knn_of(results)
    rows = Store(results).rows(record) if changes.get("status", "ok") == "ok" else None
    parts = {"predictions": None, "rows": None, "board": None, **changes}
    return Store(results).add(record_file.changed(record, **parts), None, rows)


def test_a_folder_is_written_and_the_check_accepts_it(results: Path, boards: Path, tmp_path: Path) -> None:
    to = tmp_path / "mine"
    done = call("submit", results, "--to", to, "--leaderboards", boards)
    assert done.exit_code == 0, done.output
    news = "1 record that is not there yet: 1 new row"
    assert f"{to}: {news}" in done.output
    assert "new: knn on synthetic[rows=300,test=60,labels=40] (bow)" in done.output
    assert {path.name for path in to.iterdir()} == {"records", "board", "PULL_REQUEST.md"}
    assert f"**Accepted**: {news}." in (to / "PULL_REQUEST.md").read_text()
    assert "xmcbench merge mine --into leaderboards" in (to / "PULL_REQUEST.md").read_text()
    text = tmp_path / "comment.md"
    checked = call("check", "submission", to, "--leaderboards", boards, "--offline", "--text", text)
    assert checked.exit_code == 0, checked.output
    assert f"ok     {news}" in checked.output
    total = len(knn_of(results).metrics)
    for line in (
        f"values: 5 of {total} agree with the per-row numbers; {total - 5} rest on the seal (1 record)",
        "predictions, rows, scores: not checked, no predictions were given (1 record)",
    ):
        assert f"\n{line}\n" in checked.output
        assert f"\n- {line}\n" in text.read_text()
    assert text.read_text() == (to / "PULL_REQUEST.md").read_text()
    plain = call("check", "submission", to, "--leaderboards", boards, "--offline", "--json")
    report = json.loads(plain.stdout)
    assert report["accepted"] is True
    assert [row["what"] for row in report["rows"]] == ["new"]


def test_what_the_text_tells_the_maintainer_to_do_works(results: Path, boards: Path, tmp_path: Path) -> None:
    to = tmp_path / "submission"
    assert call("submit", results, "--to", to, "--leaderboards", boards, "--predictions").exit_code == 0
    assert (to / "predictions").is_dir()
    assert call("merge", to, "--into", boards, "--slim").exit_code == 0
    assert call("board", "build", "--folder", boards).exit_code == 0
    (table,) = (boards / "tables").glob("*.md")
    assert "| knn |" in table.read_text()
    assert not (boards / "predictions").exists()
    nothing = call("submit", results, "--to", tmp_path / "second", "--leaderboards", boards)
    assert isinstance(nothing.exception, DataError)
    assert "no run can be sent" in str(nothing.exception)
    assert "on the leaderboards already: " in str(nothing.exception)
    assert not (tmp_path / "second").exists()


def test_what_is_left_out_is_named_with_its_reason(results: Path, boards: Path, tmp_path: Path) -> None:
    old = knn_of(results)
    mine = record_file.changed(old).dataset
    add(results, run_id="own", dataset={**_plain(mine), "name": "tickets"})
    add(results, run_id="slow", status="timeout", reason="after 60 s", metrics=[])
    add(results, run_id="newer", supersedes=old.run_id, costs={**old.raw["costs"], "fit_seconds": 1.5})
    done = call("submit", results, "--to", tmp_path / "mine", "--leaderboards", boards)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "left out: 'tickets' is not in the catalogue: nobody else can run on it: own" in said
    assert "left out: status timeout: slow" in said
    assert f"left out: superseded by another run: {old.run_id}" in said
    assert {path.stem for path in (tmp_path / "mine" / "records").glob("*")} >= {"newer"}


def _plain(dataset: Any) -> dict[str, Any]:
    import msgspec

    return dict(msgspec.to_builtins(dataset))


def test_a_damaged_record_is_refused_and_the_others_are_written(results: Path, boards: Path, tmp_path: Path) -> None:
    board = knn_of(results).board
    add(results, run_id="second", costs={**knn_of(results).raw["costs"], "fit_seconds": 1.5})
    (results / "records" / "broken.json").write_text("{")
    assert board is not None
    (results / board.file).write_bytes(b"no npz")
    done = call("submit", results, "--to", tmp_path / "mine", "--leaderboards", boards)
    assert isinstance(done.exception, DataError)
    assert "2 records refused" in str(done.exception)
    assert "broken.json" in done.output
    assert "not the file of the record" in done.output
    (path,) = (tmp_path / "mine" / "records").glob("*")
    assert path.name == "second.json"


def test_a_folder_with_anything_in_it_is_left_alone(results: Path, boards: Path, tmp_path: Path) -> None:
    to = tmp_path / "thesis"
    to.mkdir()
    (to / "chapter.tex").write_text("x")
    done = call("submit", results, "--to", to, "--leaderboards", boards)
    assert isinstance(done.exception, UsageError)
    assert "is not empty" in str(done.exception)
    assert [path.name for path in to.iterdir()] == ["chapter.tex"]
    assert isinstance(call("submit", tmp_path / "thesis", "--to", tmp_path / "new").exception, UsageError)


def test_refusals_have_exit_codes_and_a_text(
    full: Path, sent: Path, boards: Path, tmp_path: Path, forge: Forge
) -> None:
    text = tmp_path / "comment.md"

    def lower(raw: dict[str, Any]) -> None:
        metric = next(metric for metric in raw["metrics"] if metric["name"] == "P@5")
        metric["value"] = metric["low"] = metric["value"] - 0.01

    forge(full, lower)
    scores = call("check", "submission", full, "--leaderboards", boards, "--offline", "--text", text)
    assert isinstance(scores.exception, RegressionError)
    assert text.read_text().startswith("**Refused**: 1 of 1 record.")
    assert "P@5 is" in text.read_text()
    forge(sent, lower, seal=False)
    sealed = call("check", "submission", sent, "--leaderboards", boards, "--offline", "--json")
    assert isinstance(sealed.exception, DataError)
    assert json.loads(sealed.stdout)["accepted"] is False
    (sent / "run.sh").write_text("rm -r /")
    foreign = call("check", "submission", sent, "--leaderboards", boards, "--offline")
    assert isinstance(foreign.exception, DataError)
    assert "run.sh is no file of a submission" in str(foreign.exception)
