"""One-vs-rest: right by brute force, above the floor, the same after kills, saves and other thread counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from tests.methods.subject import Killer, data, precision, predict, same
from xmcbench.context import Reporter, RunContext
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError, TimeLimit, UsageError
from xmcbench.method import NoParams, TrainData
from xmcbench.methods import ovr as module
from xmcbench.methods.ovr import Ovr, OvrParams
from xmcbench.methods.popularity import Popularity
from xmcbench.testing.contract import contract_cases
from xmcbench.topk import TopK


def fit(train: TrainData, folder: Path, reporter: Reporter | None = None, **params: float) -> Ovr:
    method = Ovr(OvrParams(**params))  # type: ignore[arg-type]
    method.fit(train, RunContext(folder, reporter=reporter or Reporter()))
    return method


def test_margins_are_those_of_linear_svc(tmp_path: Path) -> None:
    """An independent solver, all labels, every margin, and the order by it."""
    from sklearn.preprocessing import normalize
    from sklearn.svm import LinearSVC

    rng = np.random.default_rng(0)
    features, labels = rng.random((80, 12)), rng.random((80, 5)) < [0.5, 0.3, 0.1, 0.05, 0.4]
    top = predict(fit(data(features, labels), tmp_path, tolerance=1e-5, threshold=0.0, max_iter=5000),
                  data(features, labels).inputs(), 5, tmp_path)  # fmt: skip
    unit = normalize(features)
    svc = [LinearSVC(C=1.0, tol=1e-8, max_iter=100_000).fit(unit, labels[:, p]) for p in range(5)]
    margins = np.stack([peer.decision_function(unit) for peer in svc], axis=1)
    np.testing.assert_allclose(top.scores, -np.sort(-margins, axis=1), atol=2e-3)
    np.testing.assert_allclose(np.take_along_axis(margins, top.ids, 1), top.scores, atol=2e-3)


def test_beats_the_floor(world: Dataset, tmp_path: Path) -> None:
    floor = Popularity(NoParams())
    floor.fit(world.train_data(), RunContext(tmp_path))
    low = precision(floor.predict(world.test_inputs(), 1, RunContext(tmp_path)), world.test.labels)
    high = precision(predict(fit(world.train_data(), tmp_path), world.test_inputs(), 1, tmp_path), world.test.labels)
    assert high > max(0.8, low + 0.3)


def test_saved_and_loaded(world: Dataset, tmp_path: Path) -> None:
    method = fit(world.train_data(), tmp_path)
    (tmp_path / "model").mkdir()
    method.save(tmp_path / "model")
    other = Ovr(OvrParams())
    other.load(tmp_path / "model")
    assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (method, other)))
    (tmp_path / "model" / "ovr.npz").write_bytes((tmp_path / "model" / "ovr.npz").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"ovr\.npz"):
        other.load(tmp_path / "model")


def test_a_killed_fit_goes_on_and_ends_the_same(
    world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = world.train_data().features
    assert features is not None
    monkeypatch.setattr(module, "BLOCK_WORK", 7 * features.nnz)
    counter = Killer(10**9)
    whole = fit(world.train_data(), tmp_path / "whole", reporter=counter)
    files = [path.name for path in (tmp_path / "whole" / "checkpoints").iterdir()]
    assert len(files) > 2
    for after in range(counter.reports):
        folder = tmp_path / f"killed-{after}"
        with pytest.raises(KeyboardInterrupt):
            fit(world.train_data(), folder, reporter=Killer(after))
        kept = list(folder.glob("checkpoints/*"))
        assert len(kept) < len(files)
        assert kept or after < counter.reports / 2
        resumed = fit(world.train_data(), folder)
        assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (whole, resumed)))


def test_checkpoints_are_used_not_only_written(world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit(world.train_data(), tmp_path)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("xmcbench.sparse.onevsrest.train_one_vs_rest", never)
    assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (first, fit(world.train_data(), tmp_path))))


def test_a_deadline_ends_fit_and_predict(world: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TimeLimit):
        Ovr(OvrParams()).fit(world.train_data(), RunContext(tmp_path, deadline=0.0))
    method = fit(world.train_data(), tmp_path)
    with pytest.raises(TimeLimit):
        method.predict(world.test_inputs(), 3, RunContext(tmp_path, deadline=0.0))


def test_threads_and_row_order_change_nothing(world: Dataset, tmp_path: Path) -> None:
    many = predict(fit(world.train_data(), tmp_path / "many"), world.test_inputs(), 6, tmp_path)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        method = fit(world.train_data(), tmp_path / "one")
        assert same(many, predict(method, world.test_inputs(), 6, tmp_path))
    finally:
        numba.set_num_threads(before)
    backwards = predict(method, world.test_inputs().rows(np.arange(200)[::-1]), 6, tmp_path)
    assert same(many, TopK(backwards.ids[::-1], backwards.scores[::-1]))


def test_scale_of_rows_does_not_matter(world: Dataset, tmp_path: Path) -> None:
    train = world.train_data()
    scaled = TrainData(sp.csr_matrix(train.features * np.float32(4)), None, None, train.n_labels, train.labels)
    methods = [fit(train, tmp_path / "a"), fit(scaled, tmp_path / "b")]
    assert same(*(predict(m, world.test_inputs(), 3, tmp_path) for m in methods))


def test_labels_without_rows_are_never_predicted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.random((50, 12)) < 0.3
    labels[:, [2, 7, 11]] = False
    train = data(rng.random((50, 9)), labels)
    top = predict(fit(train, tmp_path), train.inputs(), 30, tmp_path)
    assert top.k == 9
    assert set(top.ids.ravel().tolist()) == set(range(12)) - {2, 7, 11}


def test_empty_rows_and_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    features = rng.random((40, 7))
    features[[0, 5, 39]] = 0
    features[10:20] = features[10]
    train = data(features, rng.random((40, 10)) < 0.3)
    top = predict(fit(train, tmp_path), train.inputs(), 5, tmp_path)
    assert (top.ids >= 0).all()
    assert np.array_equal(top.ids[0], top.ids[5])
    assert (top.ids[10:20] == top.ids[10]).all()


def test_no_label_at_all_and_no_rows_to_predict(tmp_path: Path) -> None:
    train = data(np.ones((3, 4)), np.zeros((3, 5)))
    assert predict(fit(train, tmp_path / "none"), train.inputs(), 3, tmp_path).ids.shape == (3, 0)
    train = data(np.ones((3, 4)), np.ones((3, 5)))
    assert predict(fit(train, tmp_path / "all"), train.inputs().rows(slice(0, 0)), 3, tmp_path).ids.shape == (0, 3)


def test_wrong_parameters_and_wrong_rows(tmp_path: Path) -> None:
    for wrong in ({"cost": 0.0}, {"tolerance": -1.0}, {"max_iter": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Ovr(OvrParams(**wrong))  # type: ignore[arg-type]
    train = data(np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(UsageError, match="before fit"):
        Ovr(OvrParams()).predict(train.inputs(), 3, RunContext(tmp_path))
    method = fit(train, tmp_path)
    with pytest.raises(DataError, match="trained on 4"):
        predict(method, data(np.ones((1, 6)), np.ones((1, 5))).inputs(), 2, tmp_path)


@pytest.mark.contract
@pytest.mark.parametrize("case", contract_cases("ovr"), ids=lambda case: case.title)
def test_contract(case: Callable[[], str]) -> None:
    case()
