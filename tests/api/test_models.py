"""Models, mistakes and comparisons from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from typer.testing import CliRunner

import xmcbench as xb
from xmcbench.api.runs import Run
from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.errors import DataError, UsageError
from xmcbench.serve.requests import PredictRequest, job_of

DATA = "synthetic[labels=60,rows=100,test=20]"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_from_texts_to_labels_of_new_texts(tmp_path: Path) -> None:
    rows = [
        {"id": f"t{i}{w}", "text": f"ticket {i} {w}", "labels": [w]} for i in range(20) for w in ("phone", "<mail>")
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = xb.import_data("tickets", tmp_path / "t.jsonl", test_share=0.3)
    assert imported.counts["n_labels"] == 2
    run = xb.run("tree", dataset="tickets", keep_models=True, progress=False)[0]
    model = run.model()
    predictions = model.predict(["a phone", "my mail"], k=1)
    assert [row[0].name for row in predictions] == ["phone", "<mail>"]
    assert "&lt;mail&gt;" in predictions._repr_html_()
    assert predictions.topk.ids.shape == (2, 1)
    frame = predictions.to_pandas(ids=["first", "second"])
    assert list(frame.columns) == ["id", "rank", "label", "name", "score"]
    assert frame[["id", "rank", "name"]].values.tolist() == [["first", 1, "phone"], ["second", 1, "<mail>"]]
    assert predictions.to_pandas()["id"].tolist() == [0, 1]
    with pytest.raises(UsageError, match="1 id for 2 rows"):
        predictions.to_pandas(ids=["first"])
    with pytest.raises(DataError, match=r"text 1 is a float, not a string\n.*fillna"):
        model.predict(["a phone", float("nan")])  # type: ignore[list-item]
    (explained,) = model.explain("a phone", k=1)
    assert explained.label == predictions[0][0]
    assert explained.steps[0].reasons[0].name == "phone"
    worst = next(iter(run.errors()))
    assert worst.id is not None
    assert worst.id.startswith("t")
    assert {label.name for label in run.label_errors()} == {"phone", "<mail>"}
    again = xb.load_model(f"results/models/{run.records[0].run_id}")
    assert again.predict(["a phone"], k=1)[0] == predictions[0]


def test_rows_with_texts_and_features_that_were_not_made_from_them(tmp_path: Path) -> None:
    """`ance` reads the texts, `tree` the features; `elias` may read both."""
    runs = xb.run(["ance[epochs=1,warm_up=0]", "tree"], dataset=DATA, keep_models=True, progress=False)
    dense, tree = (run.model() for run in runs[:2])
    data = load(DATA)
    texts, features = data.test_inputs().texts, data.test_inputs().features
    assert (dense.has_both, dense.reads_texts) == (True, False)
    expected = dense.predict(texts, features=features, k=3)
    assert np.array_equal(tree.predict(texts, features=features).topk.ids, tree.predict(features=features).topk.ids)
    with pytest.raises(UsageError, match="have texts, and features that were not made from them"):
        dense.predict(texts)
    with pytest.raises(DataError, match=r"the encoder reads texts\n.*--texts FILE beside --features FILE"):
        dense.predict(features=features)
    with pytest.raises(DataError, match="19 texts and 20 rows of features"):
        dense.predict(texts[1:], features=features)
    rows = [{int(i): float(v) for i, v in zip(row.indices, row.data, strict=True)} for row in features]
    job = job_of(dense, PredictRequest(texts=list(texts), features=rows, k=3))
    assert dense.predict(job.texts, features=job.features, k=3).topk.ids.tolist() == expected.topk.ids.tolist()
    with pytest.raises(UsageError, match="one of text, texts and features, or texts and features"):
        job_of(dense, PredictRequest(text="one", features=rows))
    sp.save_npz(tmp_path / "f.npz", features)
    (tmp_path / "t.txt").write_text("".join(f"{text}\n" for text in texts))
    command = ["predict", str(tmp_path / f"results/models/{runs[0].records[0].run_id}"), "--top", "3"]
    command += ["--texts", "t.txt", "--features", "f.npz", "--format", "jsonl"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = [[one["label"] for one in json.loads(line)["labels"]] for line in done.stdout.splitlines()]
    assert found == expected.topk.ids.tolist()
    (tmp_path / "t.txt").write_text("one\n")
    short = CliRunner().invoke(app, command)
    assert "t.txt: 1 text, and f.npz has 20 rows" in str(short.exception)


def test_runs_on_an_earlier_import_are_told_apart(tmp_path: Path) -> None:
    for words in (["phone", "mail"], ["phone", "line"]):
        rows = [{"text": f"ticket {i} {w}", "labels": [w]} for i in range(20) for w in words]
        (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        xb.import_data("tickets", tmp_path / "t.jsonl", replace=True)
        xb.run(["popularity", "knn"], dataset="tickets", progress=False)
    shown = list(map(repr, xb.results()))
    assert [sum(words in one for one in shown) for words in ("tickets (earlier revision ", "tickets, seeds")] == [2, 2]
    assert "earlier revision" in xb.results()._repr_html_()
    first, last = (i for i, run in enumerate(xb.results()) if run.label == "knn")
    listed = rf"label: {first}: knn on tickets.*, {last}: knn on tickets"  # runs of one second may be in any order
    with pytest.raises(UsageError, match=listed):
        xb.results()["knn"]


def test_a_data_set_is_shown_on_one_line() -> None:
    shown = repr(xb.dataset(DATA))
    assert shown.endswith("(bow): 100 training and 20 test rows, 60 labels>")
    assert shown.startswith("<synthetic[")


def test_a_model_that_was_not_kept() -> None:
    run = xb.run("popularity", dataset=DATA, progress=False)[0]
    with pytest.raises(UsageError, match=r"was not kept"):
        run.model()


def test_runs_are_compared_over_the_same_rows() -> None:
    runs = xb.run(["popularity", "knn"], dataset=DATA, progress=False)
    comparison = xb.compare(runs["popularity"], runs["knn"], samples=200)
    with pytest.raises(UsageError, match="runs are compared, and a str is none"):
        xb.compare("popularity", runs["knn"])  # type: ignore[arg-type]
    gap = comparison["P@5"]
    assert gap.difference == pytest.approx(runs["knn"].scores["P@5"] - runs["popularity"].scores["P@5"])
    assert gap.low is not None
    assert gap.high is not None
    assert gap.difference is not None
    assert gap.low <= gap.difference <= gap.high
    assert "knn" in comparison._repr_html_()
    assert list(comparison.to_pandas()["metric"]) == [one.metric for one in comparison]


def test_a_seed_counts_once_however_often_it_was_run() -> None:
    runs = xb.run(["popularity", "tree"], dataset=DATA, seeds=[0, 1], progress=False)
    repeated = Run([*runs["tree"].records[::-1], *runs["tree"].records], runs["tree"].folder)
    comparison = xb.compare(repeated, repeated, samples=100)
    assert comparison.seeds == ([0, 1], [0, 1])
    assert comparison.notes == ["A and B are the same runs"]
    assert {gap.verdict for gap in comparison} <= {"same", "unknown"}
    assert "are the same in every row: nDCG@5 " in repr(comparison)


def test_without_the_rows_of_a_run_only_differences_are_known(tmp_path: Path) -> None:
    runs = xb.run(["popularity", "knn"], dataset=DATA, progress=False)
    for kind in ("rows", "board"):  # either has them
        for path in (tmp_path / "results" / kind).iterdir():
            path.unlink()
    with pytest.warns(UserWarning, match="no paired intervals and no test"):
        gap = xb.compare(runs["popularity"], runs["knn"])["P@5"]
    assert (gap.difference is None, gap.low, gap.p) == (False, None, None)


def test_every_public_name_exists() -> None:
    for name in xb.__all__:
        assert getattr(xb, name) is not None
