"""Nearest neighbours: votes by hand, BM25 by hand, above the floor, the same after a save and with other threads."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from tests.methods.subject import data, precision, predict, same
from xmcbench.context import RunContext
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, TimeLimit, UsageError
from xmcbench.method import Inputs, NoParams, TrainData
from xmcbench.methods import knn as module
from xmcbench.methods.knn import Knn, KnnParams
from xmcbench.methods.popularity import Popularity
from xmcbench.testing.contract import contract_cases
from xmcbench.topk import TopK


def rows(features: object, n_labels: int) -> Inputs:
    return Inputs(sp.csr_matrix(np.array(features, np.float32)), None, None, n_labels)


def fit(train: TrainData, folder: Path, **params: object) -> Knn:
    method = Knn(KnnParams(**params))  # type: ignore[arg-type]
    method.fit(train, RunContext(folder))
    return method


LINE = data([[1, 0], [3, 4], [0, 2], [0, 0]], [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]])


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_votes_by_hand(power: float, tmp_path: Path) -> None:
    """Cosines of (3, 4) with the rows: 0.6, 1 and 0.8; the row without features is nobody's neighbour."""
    method = fit(LINE, tmp_path, power=power)
    top = predict(method, rows([[3, 4]], 4), 9, tmp_path)
    assert top.ids.tolist() == ([[3, 0, 1, 2]] if power == 0 else [[3, 1, 2, 0]])
    expected = {0: 0.6**power, 1: 1, 2: 0.8**power, 3: 1 + 0.6**power}
    np.testing.assert_allclose(top.scores[0], [expected[label] for label in top.ids[0].tolist()], rtol=1e-6)
    top = predict(method, rows([[3, 4]], 4), 9, tmp_path, neighbours=1)
    assert top.ids.tolist() == [[1, 3, -1, -1]]


def test_plain_twin_on_the_world(world: Dataset, tmp_path: Path) -> None:
    from sklearn.preprocessing import normalize

    train, test = world.train_data(), world.test_inputs()
    top = predict(fit(train, tmp_path), test, 6, tmp_path)
    cosines = (normalize(test.features) @ normalize(train.features).T).toarray().astype(np.float64)
    for row, line in enumerate(cosines):
        best = np.argsort(-line, kind="stable")[:20]
        scores = np.asarray((line[best, None] ** 3 * train.labels[best].toarray()).sum(axis=0) / line[best[0]] ** 2)
        there = top.ids[row] >= 0
        np.testing.assert_allclose(top.scores[row][there], scores[top.ids[row][there]], rtol=1e-4)
        np.testing.assert_allclose(top.scores[row][there], -np.sort(-scores)[: there.sum()], rtol=1e-4)


def test_bm25_by_hand(tmp_path: Path) -> None:
    """Three rows of counts, lengths 3, 1 and 5; the query has the first feature twice and the third once."""
    train = data([[2, 0, 1, 0], [0, 0, 1, 0], [0, 3, 1, 1]], np.eye(3))
    top = predict(fit(train, tmp_path, similarity="bm25", power=1.0), rows([[2, 0, 1, 0]], 3), 3, tmp_path)
    once, always = log(1 + 2.5 / 1.5), log(1 + 0.5 / 3.5)
    scores = np.array(
        [2 * once * 2 * 2.2 / (2 + 1.2) + always * 2.2 / (1 + 1.2), always * 2.2 / (1 + 0.6), always * 2.2 / (1 + 1.8)]
    )
    assert top.ids.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(top.scores[0], scores / np.sqrt(5), rtol=1e-6)  # the query was scaled to length one
    spoiled = predict(fit(train, tmp_path, similarity="bm25", power=1.0), rows([[2, -9, 1, 0]], 3), 3, tmp_path)
    assert spoiled.ids.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("similarity", ["cosine", "bm25"])
def test_beats_the_floor(world: Dataset, tmp_path: Path, similarity: str) -> None:
    floor = Popularity(NoParams())
    floor.fit(world.train_data(), RunContext(tmp_path))
    low = precision(floor.predict(world.test_inputs(), 1, RunContext(tmp_path)), world.test.labels)
    method = fit(world.train_data(), tmp_path, similarity=similarity)
    high = precision(predict(method, world.test_inputs(), 1, tmp_path), world.test.labels)
    assert high > max(0.8, low + 0.3)


@pytest.mark.parametrize("similarity", ["cosine", "bm25"])
def test_saved_and_loaded(world: Dataset, tmp_path: Path, similarity: str) -> None:
    method = fit(world.train_data(), tmp_path, similarity=similarity)
    (tmp_path / "model").mkdir()
    method.save(tmp_path / "model")
    other = Knn(method.params)
    other.load(tmp_path / "model")
    assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (method, other)))
    file = tmp_path / "model" / "knn.npz"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"knn\.npz"):
        other.load(tmp_path / "model")
    np.savez(file, rows_indptr=np.zeros(3))
    with pytest.raises(DataError, match=r"knn\.npz: not a knn model"):
        other.load(tmp_path / "model")


def test_threads_blocks_and_row_order_change_nothing(
    world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = fit(world.train_data(), tmp_path)
    many = predict(method, world.test_inputs(), 6, tmp_path)
    before = numba.get_num_threads()
    monkeypatch.setattr(module, "ROWS", 7)
    try:
        numba.set_num_threads(1)
        assert same(many, predict(method, world.test_inputs(), 6, tmp_path))
    finally:
        numba.set_num_threads(before)
    backwards = predict(method, world.test_inputs().rows(np.arange(200)[::-1]), 6, tmp_path)
    assert same(many, TopK(backwards.ids[::-1], backwards.scores[::-1]))


def test_training_data_is_left_alone(world: Dataset, tmp_path: Path) -> None:
    train = world.train_data()
    kept = [(matrix.data.copy(), matrix.indices.copy()) for matrix in (train.features, train.labels)]
    fit(train, tmp_path / "a"), fit(train, tmp_path / "b", similarity="bm25")
    for (values, columns), matrix in zip(kept, (train.features, train.labels), strict=True):
        assert np.array_equal(values, matrix.data)
        assert np.array_equal(columns, matrix.indices)


@pytest.mark.parametrize("similarity", ["cosine", "bm25"])
def test_rows_without_neighbours_get_nothing(similarity: str, tmp_path: Path) -> None:
    train = data([[1, 0, 0], [1, 2, 0], [0, 0, 0]], [[1, 0], [0, 1], [1, 1]])
    top = predict(fit(train, tmp_path, similarity=similarity), rows([[0, 0, 0], [0, 0, 5], [0, 1, 1]], 2), 2, tmp_path)
    assert top.ids.tolist() == [[-1, -1], [-1, -1], [1, -1]]


def test_single_label_no_label_and_no_rows(tmp_path: Path) -> None:
    one = data(np.ones((3, 4)), np.ones((3, 1)))
    assert predict(fit(one, tmp_path), one.inputs(), 5, tmp_path).ids.tolist() == [[0]] * 3
    none = data(np.ones((3, 4)), np.zeros((3, 5)))
    assert (predict(fit(none, tmp_path), none.inputs(), 3, tmp_path).ids == -1).all()
    assert predict(fit(one, tmp_path), one.inputs().rows(slice(0, 0)), 1, tmp_path).ids.shape == (0, 1)


def test_a_deadline_ends_fit_and_predict(tmp_path: Path) -> None:
    with pytest.raises(TimeLimit):
        Knn(KnnParams()).fit(LINE, RunContext(tmp_path, deadline=0.0))
    with pytest.raises(TimeLimit):
        fit(LINE, tmp_path).predict(LINE.inputs(), 3, RunContext(tmp_path, deadline=0.0))


def test_wrong_parameters_and_wrong_rows(tmp_path: Path) -> None:
    for wrong in ({"neighbours": 0}, {"power": -1.0}, {"k1": -0.1}, {"b": -0.1}, {"b": 1.1}):
        with pytest.raises(UsageError, match=f"{next(iter(wrong))} is"):
            Knn(KnnParams(**wrong))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="before fit"):
        Knn(KnnParams()).predict(LINE.inputs(), 3, RunContext(tmp_path))
    with pytest.raises(UsageError, match="before fit"):
        Knn(KnnParams()).save(tmp_path)
    with pytest.raises(DataError, match="trained on 2"):
        predict(fit(LINE, tmp_path), rows([[1, 2, 3]], 4), 2, tmp_path)


def test_votes_never_vanish_and_no_rows_have_none(tmp_path: Path) -> None:
    train = data(np.eye(6) + 0.3, np.eye(6))
    top = predict(fit(train, tmp_path, power=200.0), train.inputs(), 6, tmp_path, neighbours=6)
    assert (top.ids >= 0).all()
    nothing = data(np.empty((0, 6)), np.empty((0, 6)))
    assert (predict(fit(nothing, tmp_path), train.inputs(), 3, tmp_path).ids == -1).all()


@pytest.mark.contract
@pytest.mark.parametrize("case", contract_cases("knn"), ids=lambda case: case.title)
def test_contract(case: Callable[[], str]) -> None:
    case()
