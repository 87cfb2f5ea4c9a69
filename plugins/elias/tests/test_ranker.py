"""The ranker learns from the right rows, its blend is chosen on validation rows, the calibration tree is sklearn's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from xmcbench_elias import ranker
from xmcbench_elias.calibration import DEPTH, Calibration
from xmcbench_elias.whole import average

from xmcbench.context import RunContext
from xmcbench.method import TrainData
from xmcbench.sparse.csr import unit_rows
from xmcbench.sparse.inverted import InvertedWeights
from xmcbench.sparse.topk import best_of
from xmcbench.testing.worlds import tiny
from xmcbench.topk import PAD, TopK

DATA = tiny()
TRAIN = DATA.train_data()


def test_negatives_are_the_rows_that_show_a_label_and_a_few_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranker, "EVERYWHERE", 0)
    positives = sp.csc_matrix(np.array([[1, 0], [0, 1], [0, 0], [0, 0]], np.float32))
    shown = ranker.shown(np.array([[0, 1], [1, PAD], [PAD, PAD], [0, PAD]], np.int32), 2)
    some = ranker.problems(positives, shown)
    rows = [some.rows[some.row_ptr[g] : some.row_ptr[g + 1]].tolist() for g in some.group]
    assert rows == [[0, 3], [0, 1]]
    assert some.positives.tolist() == [0, 1]
    monkeypatch.setattr(ranker, "EVERYWHERE", 2)  # the first and the last row
    some = ranker.problems(positives, shown)
    rows = [some.rows[some.row_ptr[g] : some.row_ptr[g + 1]].tolist() for g in some.group]
    assert rows == [[0, 3], [0, 1, 3]]


def test_weights_tell_true_from_false_and_labels_without_rows_say_no(tmp_path: Path) -> None:
    labels = sp.csr_matrix(TRAIN.labels.toarray() * (np.arange(40) != 7))
    train = TrainData(TRAIN.features, None, None, 40, labels)
    weights = ranker.train_ranker(train, None, RunContext(tmp_path), "r")
    ids = np.tile(np.arange(40, dtype=np.int32), (train.n_rows, 1))
    z = ranker.margins(InvertedWeights.of(weights), train.inputs(), ids)
    dense = unit_rows(train.features).toarray() @ weights[:, :-1].toarray().T + weights[:, -1].toarray().T
    assert z == pytest.approx(dense, abs=1e-5)
    true = labels.toarray() > 0
    assert z[true].mean() > 0 > z[~true].mean()
    assert z[:, 7] == pytest.approx(-1.0)


def test_only_the_named_labels_are_learned_again(tmp_path: Path) -> None:
    ctx = RunContext(tmp_path)
    first = ranker.train_ranker(TRAIN, None, ctx, "first")
    again = ranker.train_ranker(TRAIN.rows(slice(0, 200)), None, ctx, "again", (first, np.array([3, 5])))
    moved = np.flatnonzero(np.abs((first - again).toarray()).sum(axis=1))
    assert moved.tolist() == [3, 5]
    kept = ranker.train_ranker(TRAIN, None, RunContext(tmp_path), "again")
    assert (kept != again).nnz == 0  # from its checkpoint


def test_the_blend_leaves_out_what_is_noise() -> None:
    rng = np.random.default_rng(0)
    labels = sp.csr_matrix((rng.random((200, 30)) < 0.1).astype(np.float32))
    ids = np.tile(np.arange(30, dtype=np.int32), (200, 1))
    good = (labels.toarray() * 0.5 + 0.2 + 0.2 * rng.random((200, 30))).astype(np.float32)
    noise = rng.random((200, 30)).astype(np.float32)
    assert ranker.best_blend(TopK(ids, good), noise, np.ones(30), labels)[0].margin == 0
    blend, score = ranker.best_blend(TopK(ids, noise), 4 * good, np.ones(30), labels)
    assert (blend.margin, blend.model) == (1, 0)
    assert score == pytest.approx(1.0)


def test_the_blend_lifts_labels_of_few_rows_where_their_margins_are_small() -> None:
    rng = np.random.default_rng(0)
    labels = sp.csr_matrix((rng.random((200, 30)) < 0.1).astype(np.float32))
    ids = np.tile(np.arange(30, dtype=np.int32), (200, 1))
    seen = np.where(np.arange(30) % 2, 1.0, 1000.0)
    margins = (0.5 * labels.toarray() + 0.1 * np.log1p(seen)).astype(np.float32)
    blend, score = ranker.best_blend(TopK(ids, np.ones((200, 30), np.float32)), margins, seen, labels)
    assert blend.count > 0
    assert score == pytest.approx(1.0)


def test_the_blend_by_hand_and_padding() -> None:
    top = TopK(np.array([[1, PAD]], np.int32), np.array([[0.25, -np.inf]], np.float32))
    z = np.array([[0.5, -np.inf]], np.float32)
    seen = np.array([0.0, np.e - 1])
    shown = ranker.blended(top, z, seen, ranker.Blend(1.0, 0.1, 0.2))
    assert shown[0] == pytest.approx([0.5 + 0.1 * np.log(0.25) - 0.2, -np.inf], abs=1e-5)
    assert ranker.blended(top, z, seen, ranker.Blend(0.0, 1.0, 0.0))[0, 0] == pytest.approx(np.log(0.25), abs=1e-5)


def test_the_stored_tree_says_what_sklearn_says() -> None:
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(0)
    columns = rng.random((500, 3)).astype(np.float32)
    true = columns[:, 0] * columns[:, 1] > 0.3
    tree = Calibration.fit(columns, true, 0)
    theirs = DecisionTreeRegressor(max_depth=DEPTH, random_state=0).fit(columns, true)
    fresh = rng.random((300, 3)).astype(np.float32)
    assert tree(fresh) == pytest.approx(theirs.predict(fresh))
    assert Calibration.fit(columns, np.ones(500, bool), 0)(fresh).tolist() == [1.0] * 300


def test_the_average_counts_a_missing_label_as_zero() -> None:
    one = TopK(np.array([[2, 5, PAD]], np.int32), np.array([[0.9, 0.3, -np.inf]], np.float32))
    two = TopK(np.array([[5, 1, 2]], np.int32), np.array([[0.6, 0.5, 0.1]], np.float32))
    three = TopK(np.array([[5, PAD, PAD]], np.int32), np.array([[0.3, -np.inf, -np.inf]], np.float32))
    mean = average([one, two, three])
    mean = best_of(mean.ids, mean.scores, 5)
    assert mean.ids[0].tolist() == [5, 2, 1, PAD, PAD]
    assert mean.scores[0, :3] == pytest.approx([0.4, 1.0 / 3, 0.5 / 3])
    assert average([one]) is one
