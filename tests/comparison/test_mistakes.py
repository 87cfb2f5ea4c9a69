"""The mistakes of a run, worked by hand: popularity predicts a, then b, for every row of a small import."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.comparison.mistakes import Mistakes, data_of
from xmcbench.errors import DataError, UsageError
from xmcbench.metrics import Truth, evaluate
from xmcbench.records.store import Store

TRAIN = "id,text,labels\n1,one,a;b\n2,two,a;b\n3,three,a;c\n"
TEST = "id,text,labels\n007,seven,a\nx,\x1b[31mred ten,c\n=1+1,a formula,b;d\nlast,nothing,\n"
AT_2 = 1 / math.log2(3)  # discount of rank 2


def invoke(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the results of the run in `out`."""
    folder = tmp_path_factory.mktemp("mistakes")
    for name, text in (("train.csv", TRAIN), ("test.csv", TEST)):
        (folder / name).write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        import_again(folder)
        done = invoke("run", "popularity", "--dataset", "mine", "--threads", "1", "--results", str(folder / "out"))
        assert done.exit_code == 0, done.output
        yield folder


@pytest.fixture(autouse=True)
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(folder / "home"))


def import_again(folder: Path, *more: str) -> None:
    files = ["--texts", str(folder / "train.csv"), "--test-texts", str(folder / "test.csv")]
    done = invoke("data", "import", "--name", "mine", *files, *more)
    assert done.exit_code == 0, done.output


def mistakes(folder: Path, k: int = 2, by: str = "") -> Mistakes:
    store = Store(folder / "out")
    record = store.find("popularity")
    return Mistakes.of(record, store, data_of(record), k, by)


def errors(folder: Path, *words: str) -> Any:
    return invoke("errors", "popularity", "--results", str(folder / "out"), *words)


def test_documents_are_ordered_by_their_own_metric(folder: Path) -> None:
    found = mistakes(folder)
    assert found.order.tolist() == [1, 2, 0]  # row 3 has no label
    worst, second, best = found.documents(found.order)
    assert (worst.id, second.id, best.id) == ("x", "=1+1", "007")
    assert [worst.value, best.value] == [0, 1]
    assert second.value == pytest.approx(AT_2 / (1 + AT_2))
    assert [(p.name, p.is_true) for p in second.predicted] == [("a", False), ("b", True)]
    assert [(t.name, t.rank, t.trained) for t in second.true] == [("b", 2, True), ("d", 0, False)]
    assert found.never_trained == (2, 1)  # c and d are missed, no training row has d


def test_another_metric_orders_the_documents_with_ties_by_row(folder: Path) -> None:
    assert mistakes(folder, by="P@1").order.tolist() == [1, 2, 0]
    assert mistakes(folder, by="Success@2").order.tolist() == [1, 0, 2]
    assert mistakes(folder, by="R@1:tail").order.tolist() == [1, 2]  # of the rows with a label of the slice


def test_labels_are_ordered_by_missed_rows(folder: Path) -> None:
    c, d, a, b = mistakes(folder).labels()
    assert [label.name for label in (c, d, a, b)] == ["c", "d", "a", "b"]
    assert (a.support, a.predicted, a.hits, a.missed, a.trained) == (1, 4, 1, 0, 3)
    assert (a.precision, a.recall, a.f1) == (1 / 4, 1, 2 / 5)
    assert (c.precision, c.recall, c.f1, c.missed) == (0, 0, 0, 1)
    assert [(x.name, x.rows) for x in c.confusions] == [("a", 1), ("b", 1)]
    assert [(x.name, x.rows) for x in d.confusions] == [("a", 1)]  # b is true in that row
    assert (d.trained, a.confusions) == (0, [])


@pytest.mark.parametrize("k", [1, 2, 4])
def test_means_over_labels_are_the_macro_metrics(folder: Path, k: int) -> None:
    found, store = mistakes(folder, k), Store(folder / "out")
    names = [f"MacroP@{k}", f"MacroR@{k}", f"MacroF1@{k}"]
    expected = evaluate(store.predictions(store.find("popularity")), Truth.of(found.dataset), names, samples=0)
    labels = list(found.labels())
    for name, part in zip(names, ("precision", "recall", "f1"), strict=True):
        mean = sum(getattr(label, part) for label in labels) / len(labels)
        assert mean == pytest.approx(expected.fractions()[name], abs=1e-12)


def test_filter_pairs_are_no_predictions(folder: Path, tmp_path: Path) -> None:
    """Without its pair, row 1 gets b and c, and its true label c is not missed; row 0 can't get its only label a."""
    (tmp_path / "pairs.txt").write_text("1 0\n0 0\n3 1\n")
    files = ("--texts", str(folder / "train.csv"), "--test-texts", str(folder / "test.csv"))
    pairs = ("--test-filter", str(tmp_path / "pairs.txt"))
    for words in (
        ("data", "import", "--name", "filtered", *files, *pairs),
        ("run", "popularity", "--dataset", "filtered", "--metrics", "nDCG@2", "--results", str(tmp_path)),
    ):
        assert invoke(*words).exit_code == 0
    store = Store(tmp_path)
    record = store.find("popularity")
    found = Mistakes.of(record, store, data_of(record), 2)
    zero, one, two = found.documents([0, 1, 2])
    assert [[p.name for p in row.predicted] for row in (zero, one, two)] == [["b", "c"], ["b", "c"], ["a", "b"]]
    assert [row.value for row in (zero, one, two)] == pytest.approx([0, AT_2, AT_2 / (1 + AT_2)])
    assert found.order.tolist() == [0, 2, 1]
    assert float(found.values.mean()) == pytest.approx(record.metric("nDCG@2"), abs=1e-7)
    by_name = {label.name: label for label in found.labels()}
    assert [(x.name, x.rows) for x in by_name["a"].confusions] == [("b", 1), ("c", 1)]
    assert (by_name["c"].missed, by_name["c"].predicted, by_name["a"].predicted) == (0, 3, 2)


def test_predictions_from_outside_are_examined_like_a_run(folder: Path, tmp_path: Path) -> None:
    """c for each row, then a for the second; padding in the others."""
    np.savez(
        tmp_path / "theirs.npz",
        ids=[[2, -1], [2, 0], [2, -1], [2, -1]],
        scores=[[1, -np.inf], [1, 0.5]] + 2 * [[1, -np.inf]],
    )
    words = ("--dataset", "mine", "--as", "theirs", "--results", str(tmp_path), "--samples", "0")
    done = invoke("score", str(tmp_path / "theirs.npz"), *words)
    assert done.exit_code == 0, done.output
    store = Store(tmp_path)
    record = store.find("theirs")
    found = Mistakes.of(record, store, data_of(record), 2)
    assert found.order.tolist() == [0, 2, 1]
    worst, _, best = found.documents(found.order)
    assert [(p.name, p.score, p.is_true) for p in worst.predicted] == [("c", 1.0, False)]
    assert [(p.name, p.is_true) for p in best.predicted] == [("c", True), ("a", False)]
    a, b, d, c = found.labels()
    assert [one.name for one in (a, b, d, c)] == ["a", "b", "d", "c"]
    assert (c.predicted, c.hits, c.precision, a.predicted, a.hits) == (4, 1, 1 / 4, 1, 0)
    assert [(x.name, x.rows) for x in d.confusions] == [("c", 1)]
    assert "theirs on mine" in invoke("errors", "theirs", "--results", str(tmp_path), "--top", "2").output


def test_the_screen_states_the_order_and_shows_no_control_characters(folder: Path) -> None:
    shown = errors(folder, "--top", "2").output
    assert "lowest nDCG@2 (percent), ties by row; 1 document without a value left out" in shown
    assert "2 true labels are not in the first 2 ranks; 1 of them never in training" in shown
    assert shown.index("x (row 1)") < shown.index("=1+1 (row 2)") < shown.index("007 (row 0)")
    assert "d (never in training)" in shown
    assert "\x1b" not in shown
    assert "007 (row" not in errors(folder, "--rows", "2").output
    assert "most missed rows" in errors(folder, "--labels").output


def test_csv_has_all_rows_and_no_formula(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "documents.csv"
    assert errors(folder, "--top", "2", "--csv", str(path)).exit_code == 0
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert [row["id"] for row in rows] == ["x", "'=1+1", "007"]
    assert rows[1]["missed"] == "d (never in training)"
    assert errors(folder, "--labels", "--at", "2", "--csv", str(path)).exit_code == 0
    first = next(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert (first["name"], first["confusions"]) == ("c", "a (1) | b (1)")


def test_json_has_one_object_per_line(folder: Path) -> None:
    documents = [json.loads(line) for line in errors(folder, "--top", "2", "--json").stdout.splitlines()]
    assert [one["row"] for one in documents] == [1, 2, 0]
    assert documents[1]["true"][1] == {"label": 3, "name": "d", "rank": 0, "trained": False, "text": None}
    labels = [json.loads(line) for line in errors(folder, "--labels", "--at", "2", "--json").stdout.splitlines()]
    confusions = [{"label": label, "name": name, "rows": 1, "text": None} for label, name in enumerate("ab")]
    assert labels[0]["confusions"] == confusions


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--top", "5000"), "5000 ranks, but run"),
        (("--by", "P@5000"), "--by P@5000: 5000 ranks"),
        (("--by", "MacroF1@2"), "not of rows"),
        (("--labels", "--by", "P@1"), "--by orders documents"),
        (("--json", "--csv", "x.csv"), "two forms of output"),
        (("--csv", "."), "--csv . is a folder"),
        (("--csv", "/dev/null"), "is no regular file"),
    ],
)
def test_bad_options_are_refused(folder: Path, words: tuple[str, ...], message: str) -> None:
    error = errors(folder, *words).exception
    assert isinstance(error, UsageError)
    assert message in str(error)


def test_runs_that_cannot_be_examined_say_why(folder: Path, tmp_path: Path) -> None:
    missing = invoke("errors", "nosuch", "--results", str(folder / "out")).exception
    assert isinstance(missing, UsageError)
    store = Store(folder / "out")
    record = store.find("popularity")
    with pytest.raises(UsageError, match="ended with status timeout"):
        Mistakes.of(msgspec.structs.replace(record, status="timeout"), store, data_of(record))
    slim = tmp_path / "slim"
    merged = invoke("merge", str(folder / "out"), "--into", str(slim), "--slim")
    assert merged.exit_code == 0, merged.output
    error = invoke("errors", "popularity", "--results", str(slim)).exception
    assert isinstance(error, DataError)
    assert "has no predictions here" in str(error)


def test_a_replaced_and_a_missing_data_set_are_named_with_the_revision(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revision = Store(folder / "out").find("popularity").dataset.revision
    assert revision
    try:
        (folder / "test.csv").write_text(TEST + "more,more,a\n", "utf-8")
        import_again(folder, "--replace")
        replaced = errors(folder).exception
        assert isinstance(replaced, DataError)
        assert f"{revision} on record" in str(replaced)
        monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "empty"))
        removed = errors(folder).exception
        assert isinstance(removed, DataError)
        assert f"mine, revision {revision}, which is not here" in str(removed)
    finally:
        monkeypatch.setenv("XMCBENCH_HOME", str(folder / "home"))
        (folder / "test.csv").write_text(TEST, "utf-8")
        import_again(folder, "--replace")
