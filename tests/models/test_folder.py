"""Models as folders: what they predict is what the run predicted, and nothing is loaded that was changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import xmcbench as xb
from xmcbench.cli.app import app
from xmcbench.data import load
from xmcbench.data.formats import write_npz_csr
from xmcbench.errors import DataError, UsageError
from xmcbench.models.card import CARD
from xmcbench.models.folder import load_model
from xmcbench.records.store import Store

FEATURES_ONLY = "synthetic[labels=60,rows=100,test=20]"
METHODS = ("popularity", "knn", "ovr", "tree", "parabel", "ance[epochs=1]")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Results with kept models of texts (data set "mine") and of features."""
    folder = tmp_path_factory.mktemp("predict")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        words = ["login", "billing", "phone", "line", "cable", "slow", "broken", "café", "日本語"]
        rows = [
            {
                "id": f"t{i:03}",
                "text": f"{words[i % 9]} {words[i % 7]} number {i}",
                "labels": [words[i % 9], words[i % 4]],
            }
            for i in range(90)
        ]
        (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        call("data", "import", "--name", "mine", "--texts", folder / "mine.jsonl")
        call("run", *METHODS, "--dataset", "mine", "--keep-models", "--results", folder / "results", "--device", "cpu")
        call("run", "tree", "--dataset", FEATURES_ONLY, "--keep-models", "--results", folder / "results")
        yield folder


@pytest.fixture(autouse=True)
def home_of_the_world(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(world / "home"))


def call(*words: object) -> Any:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def predict(world: Path, *words: object, dataset: str = "mine") -> Any:
    return call("predict", *words, "--dataset", dataset, "--results", world / "results")


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("label", METHODS)
def test_test_rows_get_what_their_run_predicted(world: Path, label: str) -> None:
    store, data = Store(world / "results"), load("mine")
    record = store.find(label, "mine")
    expected = store.predictions(record).cut(5)
    model = load_model(store.model(record.run_id), device="cpu")
    assert data.test.texts is not None
    texts = list(data.test.texts)
    sizes = (len(texts), 1, 7)
    for size in sizes:
        parts = [model.predict(texts[i : i + size], k=5).topk for i in range(0, len(texts), size)]
        np.testing.assert_array_equal(np.concatenate([part.ids for part in parts]), expected.ids)
        scores = np.concatenate([part.scores for part in parts])
        if label.startswith("ance"):  # matrix products of BLAS depend on the number of rows in the last bit
            np.testing.assert_allclose(scores, expected.scores, rtol=1e-6)
        else:
            np.testing.assert_array_equal(scores, expected.scores)


def test_features_of_a_data_set_without_texts(world: Path, tmp_path: Path) -> None:
    data = load(FEATURES_ONLY)
    write_npz_csr(tmp_path / "rows.npz", data.test.features)
    shown = predict(world, "tree", "--features", tmp_path / "rows.npz", dataset=FEATURES_ONLY)
    store = Store(world / "results")
    expected = store.predictions(store.find("tree", data.name)).cut(5)
    found = [[label["label"] for label in row["labels"]] for row in objects(shown.stdout)]
    assert found == [[i for i in row if i >= 0] for row in expected.ids.tolist()]
    if "texts" not in data.facts().available:
        with pytest.raises(UsageError, match="reads features"):
            predict(world, "tree", "--text", "login", dataset=FEATURES_ONLY)
    write_npz_csr(tmp_path / "narrow.npz", data.test.features[:, :3])
    with pytest.raises(DataError, match=r"rows of 3 features; the model was fitted on"):
        predict(world, "tree", "--features", tmp_path / "narrow.npz", dataset=FEATURES_ONLY)


def test_a_long_text_is_one_row(world: Path) -> None:
    store = Store(world / "results")
    model = load_model(store.model(store.find("tree", "mine").run_id))
    assert len(model.predict(["login " * 1_700_000])) == 1


def test_no_such_model(world: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        predict(world, tmp_path / "nothing", "--text", "a")
    with pytest.raises(DataError, match=r"no model, since it has no model\.json"):
        predict(world, tmp_path, "--text", "a")
    call("run", "knn", "--dataset", FEATURES_ONLY, "--results", world / "results")
    with pytest.raises(UsageError, match="was not kept"):
        predict(world, "knn", "--text", "a", dataset=FEATURES_ONLY)


@pytest.fixture
def exported(world: Path, tmp_path: Path) -> Path:
    call("model", "export", "tree", "--dataset", "mine", "--to", tmp_path / "m", "--results", world / "results")
    return tmp_path / "m"


def test_an_exported_model_needs_nothing_else(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "empty"))
    shown = call("predict", exported, "--text", "login broken", "--top", 1, "--results", tmp_path / "none")
    assert objects(shown.stdout)[0]["labels"][0]["name"] == "login"
    assert "tree, version" in call("model", "info", exported).stdout
    assert json.loads(call("model", "info", exported, "--json").stdout)["method"]["name"] == "tree"
    assert "xmcbench predict FOLDER" in (exported / "README.md").read_text()


FILES = ("method/tree.npz", "labels.json", "vectorizer/vectorizer.npz", "vectorizer/vectorizer.json", "README.md")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "longer", "link"])
def test_a_changed_file_is_refused(exported: Path, name: str, damage: str) -> None:
    path = exported / name
    content = path.read_bytes()
    path.unlink()
    if damage == "link":
        os.mkfifo(path)
    elif damage != "missing":
        changed = {"truncated": content[:-1], "changed": content[:-1] + b"\1", "longer": content + b"\0" * 10}
        path.write_bytes(changed[damage])
    with pytest.raises(
        DataError, match=f"the model is damaged .*{name}: {'missing' if damage == 'missing' else 'changed'}"
    ):
        load_model(exported)


def test_an_added_file_is_refused(exported: Path) -> None:
    (exported / "method" / "hook.py").write_text("raise SystemExit")
    with pytest.raises(DataError, match=r"method/hook\.py: not part of it"):
        load_model(exported)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('"format": 1', '"format": 2', "format 2, this version of xmcbench reads 1"),
        ('"name": "tree"', '"name": "knn"', "changed after the export"),
        ("{", "[", "model.json"),
        ('"run_id"', '"run"', "model.json"),
    ],
)
def test_a_changed_card_is_refused(exported: Path, old: str, new: str, error: str) -> None:
    path = exported / CARD
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=error):
        load_model(exported)


def test_another_version_of_the_method_is_refused(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from xmcbench.methods.tree import Tree

    monkeypatch.setattr(Tree, "info", dataclasses.replace(Tree.info, version="99"))
    with pytest.raises(DataError, match=r"a model of tree version .*; version 99 is installed"):
        load_model(exported)


def test_where_a_model_is_exported_to(world: Path, exported: Path, tmp_path: Path) -> None:
    def export(to: Path, *more: str) -> Any:
        return call("model", "export", "tree", "--dataset", "mine", "--to", to, "--results", world / "results", *more)

    with pytest.raises(UsageError, match="has a model already"):
        export(exported)
    shutil.rmtree(exported / "method")
    export(exported, "--replace")
    load_model(exported)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(UsageError, match="not empty, and no model"):
        export(tmp_path / "other", "--replace")


def test_a_finished_run_gets_a_model_when_it_is_asked_for(tmp_path: Path) -> None:
    run = ("run", "popularity", "--dataset", FEATURES_ONLY, "--results", tmp_path)
    call(*run)
    assert not (tmp_path / "models").exists()
    assert "model: " in call(*run, "--keep-models").output
    call(*run)  # a later run without it keeps the model
    (model,) = (tmp_path / "models").iterdir()
    load_model(model)
    before = len(list((tmp_path / "records").iterdir()))
    call(*run, "--keep-models")
    assert len(list((tmp_path / "records").iterdir())) == before


def test_a_model_of_another_run_is_refused(world: Path, tmp_path: Path) -> None:
    store = Store(world / "results")
    tree, knn = store.find("tree", "mine"), store.find("knn", "mine")
    copy = Store(tmp_path / "results")
    shutil.copytree(world / "results" / "records", copy.folder / "records")
    shutil.copytree(store.model(knn.run_id), copy.model(tree.run_id))
    with pytest.raises(DataError, match="the model of another run"):
        call("predict", "tree", "--dataset", "mine", "--text", "a", "--results", copy.folder)
    with pytest.raises(DataError, match="the model of another run"):
        next(run for run in xb.results(copy.folder) if (run.label, run.dataset) == ("tree", "mine")).model()


def test_the_model_of_a_class_in_a_file_is_not_kept(tmp_path: Path) -> None:
    skeleton = "from xmcbench.methods.popularity import Popularity\nimport dataclasses\n\n"
    skeleton += "class Mine(Popularity):\n    info = dataclasses.replace(Popularity.info, name='mine')\n"
    (tmp_path / "mine.py").write_text(skeleton)
    words = ["run", "--method", f"{tmp_path / 'mine.py'}:Mine", "--dataset", FEATURES_ONLY, "--keep-models"]
    result = CliRunner().invoke(app, [*words, "--results", str(tmp_path / "r")])
    assert result.exit_code == 1
    assert "the model of a class in a file can't be kept" in result.output


def test_each_value_of_a_query_parameter_keeps_its_model(tmp_path: Path) -> None:
    call("run", "tree[beam=2|5]", "--dataset", FEATURES_ONLY, "--keep-models", "--results", tmp_path, "--device", "cpu")
    store, data = Store(tmp_path), load(FEATURES_ONLY)
    for label in ("tree[beam=2]", "tree[beam=5]"):
        record = store.find(label)
        found = load_model(store.model(record.run_id)).predict(features=data.test.features, k=5).topk
        np.testing.assert_array_equal(found.ids, store.predictions(record).cut(5).ids)
    names = {path.name for path in (tmp_path / "models").iterdir()}
    assert len(names) == 3  # and popularity's
