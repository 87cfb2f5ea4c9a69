"""The tree method: better than the floor, the same after kills, saves and other thread counts, calm about odd rows."""

from __future__ import annotations

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
from xmcbench.methods.popularity import Popularity
from xmcbench.methods.tree import Bonsai, Parabel, Tree, XrLinear
from xmcbench.methods.tree import growth as module
from xmcbench.methods.tree.params import PRESETS, TreeParams
from xmcbench.testing.contract import contract_cases
from xmcbench.topk import TopK

SMALL = TreeParams(max_leaf=5, arity=4)
KINDS = {  # each with every part of the code it can reach, small
    "xrlinear": SMALL,
    "matcher": TreeParams(max_leaf=5, arity=4, negatives="matcher"),
    "parabel": TreeParams(**{**PRESETS["parabel"], "max_leaf": 5}),
    "bonsai": TreeParams(**{**PRESETS["bonsai"], "max_leaf": 5, "arity": 4}),
}


def fit(train: TrainData, folder: Path, params: TreeParams = SMALL, reporter: Reporter | None = None) -> Tree:
    method = Tree(params)
    method.fit(train, RunContext(folder, reporter=reporter or Reporter()))
    return method


def test_beats_the_floor(world: Dataset, tmp_path: Path) -> None:
    floor = Popularity(NoParams())
    floor.fit(world.train_data(), RunContext(tmp_path))
    low = precision(floor.predict(world.test_inputs(), 1, RunContext(tmp_path)), world.test.labels)
    for name, params in KINDS.items():
        method = fit(world.train_data(), tmp_path / name, params)
        high = precision(predict(method, world.test_inputs(), 1, tmp_path), world.test.labels)
        assert high > max(0.8, low + 0.3), name


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded(kind: str, world: Dataset, tmp_path: Path) -> None:
    method = fit(world.train_data(), tmp_path, KINDS[kind])
    (tmp_path / "model").mkdir()
    method.save(tmp_path / "model")
    other = Tree(KINDS[kind])
    other.load(tmp_path / "model")
    for beam in (1, 10):
        one, two = (predict(m, world.test_inputs(), 6, tmp_path, beam=beam) for m in (method, other))
        assert same(one, two)
    (tmp_path / "model" / "tree.npz").write_bytes((tmp_path / "model" / "tree.npz").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"tree\.npz"):
        other.load(tmp_path / "model")


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_fit_goes_on_and_ends_the_same(
    kind: str, world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_WORK", 40_000)
    counter = Killer(10**9)
    whole = fit(world.train_data(), tmp_path / "whole", KINDS[kind], reporter=counter)
    files = [path.name for path in (tmp_path / "whole" / "checkpoints").iterdir()]
    assert len(files) > 4
    for after in range(0, counter.reports, max(1, counter.reports // 10)):
        folder = tmp_path / f"killed-{after}"
        with pytest.raises(KeyboardInterrupt):
            fit(world.train_data(), folder, KINDS[kind], reporter=Killer(after))
        kept = [path.name for path in (folder / "checkpoints").glob("*")]
        assert len(kept) < len(files)
        assert kept or after < counter.reports / 2
        resumed = fit(world.train_data(), folder, KINDS[kind])
        assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (whole, resumed)))


def test_checkpoints_are_used_not_only_written(world: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit(world.train_data(), tmp_path)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("xmcbench.sparse.linear.train_groups", never)
    monkeypatch.setattr("xmcbench.sparse.clustering.balanced_clusters", never)
    assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (first, fit(world.train_data(), tmp_path))))


def test_a_deadline_ends_fit_and_predict(world: Dataset, tmp_path: Path) -> None:
    with pytest.raises(TimeLimit):
        Tree(SMALL).fit(world.train_data(), RunContext(tmp_path, deadline=0.0))
    method = fit(world.train_data(), tmp_path)
    with pytest.raises(TimeLimit):
        method.predict(world.test_inputs(), 3, RunContext(tmp_path, deadline=0.0))


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_row_order_change_nothing(kind: str, world: Dataset, tmp_path: Path) -> None:
    many = predict(fit(world.train_data(), tmp_path / "many", KINDS[kind]), world.test_inputs(), 6, tmp_path)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        method = fit(world.train_data(), tmp_path / "one", KINDS[kind])
        assert same(many, predict(method, world.test_inputs(), 6, tmp_path))
    finally:
        numba.set_num_threads(before)
    backwards = predict(method, world.test_inputs().rows(np.arange(200)[::-1]), 6, tmp_path)
    assert same(many, TopK(backwards.ids[::-1], backwards.scores[::-1]))


def test_beam_comes_from_the_query(world: Dataset, tmp_path: Path) -> None:
    method = fit(world.train_data(), tmp_path)
    narrow = predict(method, world.test_inputs(), 40, tmp_path, beam=1)
    wide = predict(method, world.test_inputs(), 40, tmp_path, beam=50)
    assert ((narrow.ids >= 0).sum(axis=1) <= 5).all()
    reached = (wide.ids >= 0).sum(axis=1)
    assert (reached == len(method.trees[0].labels)).all()
    assert same(
        predict(method, world.test_inputs(), 5, tmp_path), predict(method, world.test_inputs(), 5, tmp_path, beam=10)
    )


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
    top = predict(fit(train, tmp_path, TreeParams(max_leaf=2, arity=2)), train.inputs(), 30, tmp_path, beam=50)
    assert top.k == 9
    assert set(top.ids.ravel().tolist()) == set(range(12)) - {2, 7, 11}


def test_empty_rows_and_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    features = rng.random((40, 7))
    features[[0, 5, 39]] = 0
    features[10:20] = features[10]
    train = data(features, rng.random((40, 10)) < 0.3)
    top = predict(fit(train, tmp_path, TreeParams(max_leaf=2)), train.inputs(), 5, tmp_path)
    assert (top.ids >= 0).all()
    assert np.isfinite(top.scores).all()
    assert np.array_equal(top.ids[0], top.ids[5])
    assert (top.ids[10:20] == top.ids[10]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_features_never_seen_in_training_say_nothing(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    features = rng.random((60, 70)) * (rng.random((60, 70)) < 0.3)
    features[:, [5, 69]] = 0
    method = fit(data(features, rng.random((60, 30)) < 0.1), tmp_path, KINDS[kind])
    rows = np.zeros((4, 70))
    rows[1, 5] = rows[2, 69] = 3  # as if empty
    rows[3, [1, 5]] = 1, 1
    top = predict(method, data(rows, np.zeros((4, 30))).inputs(), 5, tmp_path)
    assert np.isfinite(top.scores).all()
    assert np.array_equal(top.ids[1], top.ids[0])
    assert np.array_equal(top.ids[2], top.ids[0])


@pytest.mark.parametrize("n_labels", [1, 2, 3])
@pytest.mark.parametrize("max_leaf", [1, 100])
def test_a_handful_of_labels(n_labels: int, max_leaf: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    labels = np.eye(n_labels)[np.arange(20) % n_labels]
    train = data(rng.random((20, 4)) + 3 * np.eye(4)[np.arange(20) % n_labels], labels)
    top = predict(fit(train, tmp_path, TreeParams(max_leaf=max_leaf)), train.inputs(), 10, tmp_path)
    assert top.k == n_labels
    assert top.ids[:, 0].tolist() == (np.arange(20) % n_labels).tolist()


def test_no_label_at_all_and_no_rows_to_predict(tmp_path: Path) -> None:
    train = data(np.ones((3, 4)), np.zeros((3, 5)))
    assert predict(fit(train, tmp_path / "none"), train.inputs(), 3, tmp_path).ids.shape == (3, 0)
    train = data(np.ones((3, 4)), np.ones((3, 5)))
    assert predict(fit(train, tmp_path / "all"), train.inputs().rows(slice(0, 0)), 3, tmp_path).ids.shape == (0, 3)


def test_wrong_parameters_and_wrong_rows(tmp_path: Path) -> None:
    for wrong in (
        {"arity": 3},
        {"arity": 1},
        {"max_leaf": 0},
        {"cost": 0.0},
        {"beam": -1},
        {"trees": 0},
        {"depth": 3},
        {"power": 4},
        {"threshold": -0.1},
    ):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Tree(TreeParams(**wrong))  # type: ignore[arg-type]
    train = data(np.ones((3, 4)), np.ones((3, 5)))
    with pytest.raises(UsageError, match="before fit"):
        Tree(SMALL).predict(train.inputs(), 3, RunContext(tmp_path))
    method = fit(train, tmp_path)
    with pytest.raises(DataError, match="trained on 4"):
        predict(method, data(np.ones((1, 6)), np.ones((1, 5))).inputs(), 2, tmp_path)


def test_presets_under_names_of_their_own(world: Dataset, tmp_path: Path) -> None:
    for method in (Parabel, Bonsai, XrLinear):
        name, params = method.info.name, method.info.parameters()
        assert {key: getattr(params, key) for key in PRESETS[name]} == PRESETS[name]
        one, other = method(params), Tree(TreeParams(**PRESETS[name]))
        for number, each in enumerate((one, other)):
            each.fit(world.train_data(), RunContext(tmp_path / f"{name}{number}"))
        assert same(*(predict(m, world.test_inputs(), 6, tmp_path) for m in (one, other)))


def test_a_forest_is_the_mean_of_its_trees(world: Dataset, tmp_path: Path) -> None:
    method = fit(world.train_data(), tmp_path, KINDS["parabel"])
    assert len(method.trees) == 3
    assert len({tree.labels.tobytes() for tree in method.trees}) > 1
    rows, n_labels = world.test_inputs(), world.train_data().n_labels
    together = predict(method, rows, n_labels, tmp_path, beam=4)
    total = np.zeros((rows.n_rows, n_labels))
    for tree in method.trees:
        alone = Tree(KINDS["parabel"])
        alone.trees, alone.n_features, alone.n_labels = [tree], method.n_features, n_labels
        top = predict(alone, rows, n_labels, tmp_path, beam=4)
        for row in range(rows.n_rows):
            there = top.ids[row] >= 0
            total[row, top.ids[row, there]] += top.scores[row, there]
    for row in range(rows.n_rows):
        there = together.ids[row] >= 0
        np.testing.assert_allclose(together.scores[row, there], total[row, together.ids[row, there]] / 3, rtol=1e-5)
        assert there.sum() == np.count_nonzero(total[row])


def test_matched_rows_are_those_of_the_beam(world: Dataset, tmp_path: Path) -> None:
    """Matcher-aware negatives change the classifiers of leaves and leave the root's as they are."""
    teacher, matcher = (fit(world.train_data(), tmp_path / kind, KINDS[kind]) for kind in ("xrlinear", "matcher"))
    one, other = teacher.trees[0].chunks, matcher.trees[0].chunks
    top = int(one.child_ptr[1])
    assert np.array_equal(one.bias[:top], other.bias[:top])
    assert not np.array_equal(one.bias[top:], other.bias[top:])


@pytest.mark.contract
@pytest.mark.parametrize("name", ["tree", "parabel", "bonsai", "xrlinear"])
def test_contract(name: str) -> None:
    for case in contract_cases(name):
        case()
