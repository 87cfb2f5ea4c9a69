"""A model of labels with short names shows names and texts wherever its labels are shown."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import xmcbench as xb
from xmcbench.cli.app import app
from xmcbench.data.importing import Plan, import_files
from xmcbench.data.user_files import SplitFiles
from xmcbench.models.model import Model

CODES = {"R05": "Cough", "S83": "Dislocation of <knee>", "A09": ""}
WORDS = {"R05": "dry cough", "S83": "knee pain", "A09": "stomach ache"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("names")
    rows = [(f"patient {i} has {WORDS[code]}", code) for i in range(20) for code in CODES]
    (folder / "x.txt").write_text("".join(f"{text}\n" for text, _ in rows))
    (folder / "y.txt").write_text("".join(f"{code}\n" for _, code in rows))
    (folder / "codes.txt").write_text("".join(f"{code}\t{text}\n" for code, text in CODES.items()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        files = SplitFiles(folder / "x.txt", folder / "y.txt")
        import_files("notes", Plan(files, label_texts=folder / "codes.txt"))
        xb.run(["ovr", "knn"], dataset="notes", results=folder / "r", keep_models=True, progress=False)
        yield folder


def model_of(world: Path) -> Model:
    return xb.results(world / "r")["ovr"].model()


def test_the_model_keeps_both_and_python_gets_both(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(world / "empty"))
    found = model_of(world).predict(["my knee", "an ache", "I cough"], k=1)
    assert [(row[0].name, row[0].text) for row in found] == [
        ("S83", "Dislocation of <knee>"),
        ("A09", None),
        ("R05", "Cough"),
    ]
    assert "S83 · Dislocation of &lt;knee&gt;" in found._repr_html_()


def shown(world: Path, command: str, *words: str) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(world / "home"))
        result = CliRunner().invoke(app, [command, "ovr", "--dataset", "notes", "--results", str(world / "r"), *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_predicted_lines_have_texts_where_names_are_others(world: Path) -> None:
    words = ("--text", "my knee", "--text", "an ache", "--top", "1")
    lines = [json.loads(line)["labels"][0] for line in shown(world, "predict", *words).splitlines()]
    assert [(one["name"], one.get("text", "–")) for one in lines] == [("S83", "Dislocation of <knee>"), ("A09", "–")]
    table = list(csv.DictReader(shown(world, "predict", *words, "--format", "csv").splitlines()))
    assert [(one["name"], one["text"]) for one in table] == [("S83", "Dislocation of <knee>"), ("A09", "")]
    assert list(table[0]) == ["id", "rank", "label", "name", "score", "text"]


def test_mistakes_and_explanations_name_labels_alike(world: Path) -> None:
    assert "S83 · Dislocation of <knee> · score" in shown(world, "explain", "--text", "my knee", "--top", "1")
    explained = json.loads(shown(world, "explain", "--text", "my knee", "--top", "1", "--json"))
    assert (explained["name"], explained["text"]) == ("S83", "Dislocation of <knee>")
    assert "S83 · Dislocation of <knee>" in shown(world, "errors")
    labels = [json.loads(line) for line in shown(world, "errors", "--labels", "--json").splitlines()]
    assert {one["name"]: one["text"] for one in labels} == {code: text or None for code, text in CODES.items()}
    document = json.loads(shown(world, "errors", "--rows", "1", "--json"))
    assert {one["name"]: one["text"] or "" for one in document["predicted"]} == CODES


def test_differences_of_runs_name_labels_alike(world: Path) -> None:
    from xmcbench.comparison.differences import differences
    from xmcbench.data import load
    from xmcbench.topk import TopK

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(world / "home"))
        data = load("notes")
    truth = data.test.labels.indices.reshape(-1, 1)
    right, wrong = (TopK((truth + shift) % 3, truth * 0 + 1.0) for shift in (0, 1))
    texts = {one.text for one in differences(wrong, right, data, 5, k=1).labels}
    assert texts == {"R05 · Cough", "S83 · Dislocation of <knee>", "A09"}


def test_the_server_answers_with_names_and_texts(world: Path) -> None:
    pytest.importorskip("httpx")
    testclient = pytest.importorskip("fastapi.testclient")
    from xmcbench.serve.app import create_app

    with testclient.TestClient(create_app(model_of(world))) as client:
        answer = client.post("/predict", json={"texts": ["my knee", "an ache"], "k": 1}).json()
        labels = [row["labels"][0] for row in answer["rows"]]
        assert (labels[0]["name"], labels[0]["text"]) == ("S83", "Dislocation of <knee>")
        assert "text" not in labels[1]
        assert "S83 · Dislocation of &lt;knee&gt;" in client.post("/", data={"text": "my knee", "k": "1"}).text
