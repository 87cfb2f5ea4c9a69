"""Errors of a run from Python, worked by hand: popularity predicts a, then b, for every row of a small import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import xmcbench as xb
from xmcbench.api.mistakes import SHOWN
from xmcbench.errors import UsageError

TRAIN = "id,text,labels\n1,one,a;b\n2,two,a;b\n3,three,a;c\n"
TEST = "id,text,labels\n007,seven,a\nx,<b>ten</b>,c\n=1+1,a formula,b;d\nlast,nothing,\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> xb.Runs:
    folder = tmp_path_factory.mktemp("mistakes")
    for name, text in (("train.csv", TRAIN), ("test.csv", TEST)):
        (folder / name).write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        xb.import_data("mine", folder / "train.csv", test_texts=folder / "test.csv")
        runs = xb.run("popularity", dataset="mine", results=folder / "r", keep_models=True, progress=False)
        runs.errors(2)  # needs the data set
        yield runs  # type: ignore[misc]


@pytest.fixture(autouse=True)
def home(runs: xb.Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(runs[0].folder.parent / "home"))


def test_documents_are_a_sequence_worst_first(runs: xb.Runs) -> None:
    errors = runs.errors(2)
    assert [one.id for one in errors] == ["x", "=1+1", "007"]
    assert (len(errors), errors[0].id, errors[-1].id) == (3, "x", "007")
    assert [one.id for one in errors[1:]] == ["=1+1", "007"]
    with pytest.raises(IndexError):
        _ = errors[3]
    assert repr(errors) == "<errors in 3 documents, worst first by nDCG@2>"


def test_frames_of_documents(runs: xb.Runs) -> None:
    pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    frame = runs[0].errors(2).to_pandas()
    assert frame["id"].tolist() == ["x", "=1+1", "007"]
    assert frame["text"].tolist() == ["<b>ten</b>", "a formula", "seven"]
    assert frame["labels"].tolist() == [1, 2, 1]
    assert frame["hits"].tolist() == [0, 1, 1]
    assert frame["value"].tolist() == [one.value for one in runs.errors(2)]
    tidy = runs.errors(2).to_polars(per="labels")
    assert tidy.schema["is_true"] == polars.Boolean
    rows = tidy.filter(polars.col("id") == "=1+1").select("rank", "name", "is_true", "trained").rows()
    assert rows == [(1, "a", False, True), (2, "b", True, True), (None, "d", True, False)]
    assert tidy["score"].is_null().to_list() == tidy["rank"].is_null().to_list()
    with pytest.raises(UsageError, match="kind of frame 'rows'"):
        runs.errors(2).to_pandas(per="rows")  # type: ignore[arg-type]


def test_frames_of_labels(runs: xb.Runs, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    parquet = pytest.importorskip("pyarrow.parquet")
    errors = runs.label_errors(2)
    frame = errors.to_pandas()
    assert frame["name"].tolist() == [one.name for one in errors] == ["c", "d", "a", "b"]
    assert frame["missed"].tolist() == [1, 1, 0, 0]
    assert frame["trained"].tolist() == [1, 0, 3, 2]
    assert frame["recall"].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert json.loads(frame["instead"][0]) == [["a", 1], ["b", 1]]
    errors.to_parquet(tmp_path / "labels.parquet")
    assert parquet.read_table(tmp_path / "labels.parquet").column("name").to_pylist() == ["c", "d", "a", "b"]
    runs.errors(2).to_parquet(tmp_path / "documents.parquet", per="labels")
    assert parquet.read_table(tmp_path / "documents.parquet").num_rows == 3 * 2 + 2  # two predicted each, two missed


def test_notebooks_show_escaped_tables(runs: xb.Runs) -> None:
    html = runs.errors(2)._repr_html_()
    assert "&lt;b&gt;ten&lt;/b&gt;" in html
    assert "<b>ten" not in html
    assert "✗ a | ✓ b" in html
    assert "a (1) | b (1)" in runs.label_errors(2)._repr_html_()
    assert f"the first {SHOWN}" not in html
    data, model = xb.dataset("mine"), runs.model()
    assert "<td>train</td><td>3</td><td>2.00</td>" in data._repr_html_()
    assert "mine, view bow" in data._repr_html_()
    assert repr(data) == "<mine (bow): 3 training and 4 test rows, 4 labels>"
    assert "<td>method</td><td>popularity, version" in model._repr_html_()
    assert "P@1" in model._repr_html_()
