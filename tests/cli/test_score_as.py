"""`xmcbench score FILE --as NAME`: somebody's predictions become a record that stands beside any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.errors import RegressionError, UsageError
from xmcbench.files import sha256_of
from xmcbench.records.record import Costs, Environment
from xmcbench.records.store import Store

DATA = "synthetic[rows=300,test=60,labels=60]"


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Every row's first true label with score 2, then the labels from 0 up, twenty in all."""
    truth = load(DATA).test.labels
    ids = np.empty((60, 20), np.int64)
    for row in range(60):
        first = int(truth[row].indices.min())
        ids[row] = [first, *[label for label in range(60) if label != first][:19]]
    path = tmp_path / "theirs.npz"
    np.savez(path, ids=ids, scores=np.tile(np.r_[2.0, np.linspace(1, 0, 19)], (60, 1)).astype(np.float32))
    return path


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, [*words])


def score(path: Path, folder: Path, *words: str) -> Any:
    given = words or ("--as", "My method", "--selection", "validation")
    return invoke("score", str(path), "--dataset", DATA, "--results", str(folder), "--samples", "50", *given)


def test_a_file_becomes_a_record_of_family_external(predictions: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    result = score(predictions, store.folder)
    assert result.exit_code == 0, result.output
    (record,) = store.records()
    assert f"{record.run_id}.json" in result.stderr
    said = [getattr(record.method, key) for key in ("name", "label", "family", "origin")]
    assert said == ["My method", "My method", "external", "predictions file"]
    data = load(DATA)
    assert (record.dataset.name, record.dataset.content_hash) == (data.name, data.content_hash)
    assert record.notes["predictions_sha256"] == sha256_of(predictions)
    assert record.selection.split == "validation"
    assert record.selection.by == "claimed by the author"
    assert (record.seed, record.environment, record.supersedes) == (None, Environment(), None)
    assert record.costs == Costs()
    assert record.metric("P@1") == 1.0  # the first label of every row is true
    with np.load(predictions) as brought:
        kept = store.predictions(record)
        np.testing.assert_array_equal(kept.ids, brought["ids"])
        np.testing.assert_array_equal(kept.scores, brought["scores"])
    np.testing.assert_array_equal(store.rows(record)["P@1"], np.ones(60))


def test_the_same_file_again_has_its_record_already(predictions: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    for _ in range(3):
        assert score(predictions, store.folder).exit_code == 0
    assert len(store.records()) == 1


def test_the_same_file_scored_otherwise_supersedes_the_record(predictions: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    for split in ("validation", "none", "unknown"):
        words = ("--as", "My method", "--selection", split)
        assert score(predictions, store.folder, *words).exit_code == 0
    chain = [store.find("My method")]
    before = {r.run_id: r for r in store.records()}
    while (older := chain[-1].supersedes) is not None:
        chain.append(before[older])
    assert len(chain) == len(before) == 3  # one after the other, though all may be of one second
    assert len({r.spec_hash for r in chain}) == 1


def test_another_file_under_the_same_name_supersedes_nothing(predictions: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    assert score(predictions, store.folder).exit_code == 0
    with np.load(predictions) as brought:
        np.savez(tmp_path / "other.npz", ids=brought["ids"][:, :10], scores=brought["scores"][:, :10])
    assert score(tmp_path / "other.npz", store.folder).exit_code == 0
    assert [r.supersedes for r in store.records()] == [None, None]
    assert len({r.spec_hash for r in store.records()}) == 2


def test_json_stays_json(predictions: Path, tmp_path: Path) -> None:
    result = score(predictions, tmp_path / "out", "--as", "My method", "--json")
    assert json.loads(result.stdout)["P@1"] == 1.0
    (record,) = Store(tmp_path / "out").records()
    assert record.selection.split == "unknown"  # what nobody said
    assert next(m for m in record.metrics if m.name == "P@5").low is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--as", "../../etc"), "is no valid name"),
        (("--as", ""), "is no valid name"),
        (("--as", "a\x1b[31mb"), "is no valid name"),
        (("--as", "x" * 81), "is no valid name"),
        (("--as", "mine", "--selection", "dev"), "Valid: validation, test, none, unknown"),
        (("--as", "mine", "--engine", "pyxclib"), "the engine xmcbench"),
    ],
)
def test_what_is_refused_leaves_no_record(predictions: Path, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    result = score(predictions, tmp_path / "out", *words)
    assert isinstance(result.exception, UsageError)
    assert result.exception.exit_code == 2
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_bare_files_give_no_record(predictions: Path, tmp_path: Path) -> None:
    result = invoke("score", str(predictions), "--truth", str(predictions), "--as", "mine")
    assert result.exit_code != 0
    assert not (tmp_path / "results").exists()


def test_lists_and_comparisons_take_it(predictions: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert invoke("run", "popularity", "--dataset", DATA, "--results", out, "--threads", "1").exit_code == 0
    assert score(predictions, tmp_path / "out").exit_code == 0
    (row,) = [r for r in json.loads(invoke("ls", "runs", "--results", out, "--json").stdout) if r["seed"] is None]
    assert (row["method"], row["status"], row["P@1"]) == ("My method", "ok", 1.0)
    assert "My method" in invoke("ls", "runs", "--results", out).stdout
    result = invoke("compare", "popularity", "My method", "--results", out, "--json")
    assert result.exit_code == 0, result.output
    found = {m["metric"]: m for m in json.loads(result.stdout)["metrics"]}
    assert found["P@1"]["verdict"] == "better"
    assert found["P@1"]["low"] <= found["P@1"]["difference"] <= found["P@1"]["high"]
    assert "no seed" in invoke("compare", "My method", "popularity", "--results", out).stdout
    worse = invoke("compare", row["name"], "popularity", "--results", out, "--check")
    assert isinstance(worse.exception, RegressionError)
    assert "worse" in str(worse.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--as", "My/method"], "is no valid name"),
        (["--as", "Mine", "--selection", "train"], "Valid: "),
        (["--selection", "train"], "Valid: "),
        (["--selection", "test"], "--selection needs --as"),
        (["--as", "Mine", "--engine", "pyxclib"], "--as needs --dataset and the engine xmcbench"),
    ],
)
def test_options_of_a_record_are_checked_before_anything_is_read(tmp_path: Path, words: list[str], said: str) -> None:
    result = invoke("score", str(tmp_path / "missing.npz"), "--dataset", "nowhere", *words)
    assert isinstance(result.exception, UsageError), result.output
    assert said in str(result.exception)
