"""What holds for every peer: above the floor, our label ids, saved and loaded, odd data, clear refusals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from tests.methods.subject import precision, same
from xmcbench.context import RunContext
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, TimeLimit, UsageError, XmcError
from xmcbench.files import write_npz
from xmcbench.method import Inputs, Machine, Method, NoParams, TrainData
from xmcbench.methods.popularity import Popularity
from xmcbench.peers import packages
from xmcbench.runs import registry
from xmcbench.testing.contract import contract_cases
from xmcbench.topk import TopK

Peer = type[Method]


def data(features: Any, labels: Any) -> TrainData:
    x, y = sp.csr_matrix(np.asarray(features, np.float32)), sp.csr_matrix(np.asarray(labels, np.float32))
    return TrainData(x, None, None, y.shape[1], y)


def fit(peer: Peer, train: TrainData, folder: Path, **params: Any) -> Method:
    method = peer(peer.info.parameters(**params))
    method.fit(train, RunContext(folder))
    return method


def predict(method: Method, rows: Inputs, k: int, folder: Path, **query: Any) -> TopK:
    top = method.predict(rows, k, RunContext(folder, query=query))
    top.check(rows.n_rows, rows.n_labels)
    assert np.isfinite(top.scores[top.ids >= 0]).all()
    return top


def test_beats_the_floor(peer: Peer, world: Dataset, tmp_path: Path) -> None:
    floor = Popularity(NoParams())
    floor.fit(world.train_data(), RunContext(tmp_path / "floor"))
    low = precision(floor.predict(world.test_inputs(), 1, RunContext(tmp_path)), world.test.labels)
    method = fit(peer, world.train_data(), tmp_path / "fit")
    assert precision(predict(method, world.test_inputs(), 1, tmp_path), world.test.labels) > low + 0.2


def test_saved_and_loaded(peer: Peer, world: Dataset, tmp_path: Path) -> None:
    method, folder = fit(peer, world.train_data(), tmp_path / "fit"), tmp_path / "model"
    folder.mkdir()
    method.save(folder)
    other = peer(peer.info.parameters())
    other.load(folder)
    assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (method, other)))
    write_npz(folder / "xmcbench.npz", {"n_features": np.array(3)})
    with pytest.raises(DataError, match=r"xmcbench\.npz: not a"):
        other.load(folder)
    (folder / "xmcbench.npz").unlink()
    with pytest.raises(DataError, match=r"xmcbench\.npz"):
        other.load(folder)


def test_every_preset_runs(peer: Peer, world: Dataset, tmp_path: Path) -> None:
    for name, values in peer.info.presets.items():
        method = fit(peer, world.train_data(), tmp_path / name, **values)
        assert precision(predict(method, world.test_inputs(), 1, tmp_path), world.test.labels) > 0.4, name


def test_label_ids_are_ours_and_labels_without_rows_are_never_predicted(peer: Peer, tmp_path: Path) -> None:
    labels = np.zeros((60, 12))
    labels[np.arange(60), np.arange(60) % 3 * 4 + 1] = 1  # 1, 5 and 9
    train = data(np.eye(3)[np.arange(60) % 3], labels)
    top = predict(fit(peer, train, tmp_path / "fit"), train.inputs(), 30, tmp_path)
    assert top.ids[:3, 0].tolist() == [1, 5, 9]
    assert set(top.ids.ravel().tolist()) <= {-1, 1, 5, 9}


def test_odd_rows(peer: Peer, tmp_path: Path) -> None:
    """Without features, without labels, with neither; alike; and features that no training row has."""
    rng = np.random.default_rng(1)
    features, labels = rng.random((40, 7)), rng.random((40, 10)) < 0.3
    features[[0, 5, 39]] = 0
    features[:, 6] = 0
    features[10:20] = features[10]
    labels[[0, 7, 8]] = False
    train = data(features, labels)
    method = fit(peer, train, tmp_path / "fit")
    top = predict(method, train.inputs(), 5, tmp_path)
    assert (top.ids >= 0).all()
    assert np.array_equal(top.ids[0], top.ids[5])
    assert (top.ids[10:20] == top.ids[10]).all()
    unseen = predict(method, data([[0] * 6 + [3.0], [0] * 7], labels[:2]).inputs(), 5, tmp_path)
    assert np.array_equal(unseen.ids[0], unseen.ids[1])


@pytest.mark.parametrize(
    "labels",
    [[[1]] * 4, [[1], [0], [1], [0]], [[1, 0], [0, 1], [1, 1], [1, 0]], [[0, 0, 0, 0, 1]] * 4, [[1, 1, 1]] * 4],
    ids=["a single label", "a single label, not everywhere", "two labels", "one of five", "all everywhere"],
)
def test_few_labels(peer: Peer, tmp_path: Path, labels: list[list[int]]) -> None:
    train = data(np.eye(4), labels)
    top = predict(fit(peer, train, tmp_path / "fit"), train.inputs(), 9, tmp_path)
    assert top.k == int(train.labels.sum(axis=0).astype(bool).sum())
    assert (top.ids >= 0).all()


def test_what_would_crash_a_peer_is_refused(peer: Peer, tmp_path: Path) -> None:
    for wrong in (data(np.eye(3), np.zeros((3, 4))), data(np.zeros((0, 3)), np.zeros((0, 4)))):
        with pytest.raises(DataError, match="no training row has a label"):
            fit(peer, wrong, tmp_path / "fit")
    with pytest.raises(DataError, match="no features"):
        fit(peer, data(np.zeros((3, 0)), np.eye(3)), tmp_path / "fit")


def test_wrong_order_and_wrong_rows(peer: Peer, tmp_path: Path) -> None:
    train = data(np.eye(4), np.eye(4))
    unfitted = peer(peer.info.parameters())
    with pytest.raises(UsageError, match="before fit"):
        unfitted.predict(train.inputs(), 3, RunContext(tmp_path))
    with pytest.raises(UsageError, match="before fit"):
        unfitted.save(tmp_path)
    method = fit(peer, train, tmp_path / "fit")
    with pytest.raises(DataError, match="trained on 4"):
        method.predict(data(np.ones((1, 6)), np.ones((1, 4))).inputs(), 2, RunContext(tmp_path))
    with pytest.raises(TimeLimit):
        peer(peer.info.parameters()).fit(train, RunContext(tmp_path / "late", deadline=0.0))


def test_it_says_how_to_get_it_when_it_is_not_there(
    peer: Peer, world: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "installed", lambda name: None)
    name = peer.info.name
    said = peer.skip(world.facts(), Machine(1, "cpu"))
    assert said is not None
    assert f"`xmcbench peers install {name}`" in said
    with pytest.raises(XmcError, match=f"peers install {name}"):
        fit(peer, world.train_data(), tmp_path / "fit")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("omikuji", {"n_trees": 0}),
        ("omikuji", {"cluster_k": 200}),
        ("omikuji", {"cluster_k": 1}),
        ("omikuji", {"beam": 0}),
        ("napkinxc", {"liblinear_c": 0.0}),
        ("napkinxc", {"arity": 1}),
        ("pecos", {"trees": 0}),
        ("pecos", {"max_leaf_size": 1}),
    ],
)
def test_wrong_parameters(name: str, wrong: dict[str, Any]) -> None:
    method = registry.get(name)
    with pytest.raises(UsageError, match=next(iter(wrong))):
        method(method.info.parameters(**wrong))


def test_omikuji_refuses_a_damaged_model(tmp_path: Path) -> None:
    if (reason := packages.missing("omikuji")) is not None:
        pytest.skip(reason)
    from xmcbench.peers.omikuji import Omikuji, OmikujiParams

    write_npz(tmp_path / "xmcbench.npz", {"n_features": np.array(3), "labels": np.arange(2, dtype=np.int32)})
    with pytest.raises(DataError, match="omikuji can't read"):
        Omikuji(OmikujiParams()).load(tmp_path)


def cases(name: str) -> list[Any]:
    return [pytest.param(name, case, id=f"{name}: {case.title}") for case in contract_cases(name)]


@pytest.mark.contract
@pytest.mark.parametrize(("name", "case"), [*cases("omikuji"), *cases("napkinxc"), *cases("pecos")])
def test_contract(name: str, case: Callable[[], str], request: pytest.FixtureRequest) -> None:
    if name == "pecos" and "XMCBENCH_TEST_HOME" not in os.environ:
        request.getfixturevalue("fake_pecos")
    if (reason := packages.missing(name)) is not None:
        pytest.skip(reason)
    case()
