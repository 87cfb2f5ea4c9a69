"""`xmcbench data import` and `export` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from xmcbench.cli.data_io import export, import_
from xmcbench.cli.info import info
from xmcbench.data import load
from xmcbench.errors import DataError, UsageError

APP = typer.Typer()
APP.command("import")(import_)
APP.command("export")(export)
APP.command("info")(info)


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))


def call(*words: object) -> Any:
    return CliRunner().invoke(APP, [str(word) for word in words], catch_exceptions=True)


def tickets(folder: Path) -> Path:
    path = folder / "tickets.jsonl"
    rows = [{"text": f"ticket {i} about {'billing' if i % 2 else 'login'}", "labels": [f"t{i % 2}"]} for i in range(50)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_import_then_load_then_export_then_import(tmp_path: Path) -> None:
    told = call("import", "--name", "tickets", "--texts", tickets(tmp_path), "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["views"] == ["bow", "text"]
    assert found["counts"]["n_labels"] == 2
    data = load("tickets", offline=True)
    assert data.name == "tickets"
    assert found["revision"] in data.content_hash
    assert load("tickets", "text", offline=True).train.features is None

    out = call("export", "tickets", "--to", tmp_path / "out", "--offline")
    assert out.exit_code == 0, out.output
    assert str(tmp_path / "out" / "Y.tst.npz") in out.output.replace("\n", "")
    again = call("import", "--name", "again", "--from", tmp_path / "out", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["revision"] == found["revision"]


def test_what_was_decided_is_said(tmp_path: Path) -> None:
    labels = tmp_path / "y.txt"
    labels.write_text("a,b,a\n\nb\n" * 10)
    texts = tmp_path / "t.txt"
    texts.write_text("".join(f"row {i}\n" for i in range(30)))
    label_texts = tmp_path / "names.txt"
    label_texts.write_text("a\tfirst\nb\t\nc\tnever used\n")
    told = call("import", "--name", "mine", "--texts", texts, "--labels", labels, "--label-texts", label_texts)
    assert told.exit_code == 0, told.output
    described = call("info", "mine")
    assert "texts of 3 labels, 1 of them empty" in described.output
    assert "n_labels" in described.output
    for sentence in (
        "texts of 3 labels, 1 of them empty",
        "labels split at commas, for example 'a', 'b'",
        "10 rows name a label twice; it counts once",
        "training rows without a label",
        "5 of 30 rows (17%; asked for: 20%) set aside for test",
        "Next: xmcbench run",
    ):
        assert sentence in told.output


def test_warnings_of_readers_are_notes(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("2 2 2\n1,1 0:1\n0 1:1\n")
    told = call("import", "--name", "mine", "--features", path, "--test-features", path)
    assert told.exit_code == 0, told.output
    assert "note: " in told.output
    assert "1 rows name a label twice, first in line 2" in told.output


@pytest.mark.parametrize(
    ("words", "says", "kind"),
    [
        (["--propensity", "1"], "is not A,B", UsageError),
        (["--propensity", "nan,1"], "A must be at least 0, B above −1", UsageError),
        (["--propensity", "0.5,-1"], "A must be at least 0, B above −1", UsageError),
        (["--one-based", "rows"], "One of features, labels, both", UsageError),
        (["--from", "."], "--from can't be combined with single files", UsageError),
        (["--label-texts", "nowhere.txt"], "No such file", DataError),
    ],
)
def test_wrong_options(tmp_path: Path, words: list[str], says: str, kind: type[Exception]) -> None:
    told = call("import", "--name", "mine", "--texts", tickets(tmp_path), *words)
    assert isinstance(told.exception, kind)
    assert says in str(told.exception)


def test_a_seed_below_0_is_refused(tmp_path: Path) -> None:
    told = call("import", "--name", "x", "--texts", tickets(tmp_path), "--seed", "-1")
    assert told.exit_code == 2
    assert "'--seed'" in told.output


def test_export_refuses_an_unknown_format_before_it_loads(tmp_path: Path) -> None:
    told = call("export", "amazon-3m", "--to", tmp_path, "--format", "svm")
    assert "unknown format 'svm'" in str(told.exception)
