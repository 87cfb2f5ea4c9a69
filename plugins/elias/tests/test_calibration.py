"""The calibration tree says what sklearn's does, and T + p · q is that of the paper."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor
from xmcbench_elias.ranking.fusion import DEPTH, Calibration, Candidates, Fusion, calibration_columns

from xmcbench.topk import PAD, TopK

SEEN = np.array([4, 0, 7, 1, 3], np.float32)
INF = np.inf


def shown(ids: list[list[int]], scores: list[list[float]]) -> TopK:
    return TopK(np.array(ids, np.int32), np.array(scores, np.float32))


def candidates(**parts: TopK) -> Candidates:
    return Candidates.of(parts)


MODEL = shown([[0, 2], [3, PAD], [PAD, PAD]], [[0.5, 0.25], [1.0, -INF], [-INF, -INF]])
TREES = shown([[2, 4], [1, PAD], [PAD, PAD]], [[0.5, 0.125], [0.75, -INF], [-INF, -INF]])


def stump(column: int, border: float, low: float, high: float) -> Calibration:
    """A tree of one question."""
    nodes = np.array([column, -2, -2]), np.array([1, -1, -1]), np.array([2, -1, -1])
    return Calibration(*nodes, np.array([border, -2.0, -2.0]), np.array([0.5, low, high]))


def planted(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    columns = rng.random((n, 4)).astype(np.float32)
    return columns, columns[:, 0] * columns[:, 1] + 0.1 * columns[:, 3] > 0.3 * rng.random(n)


def test_the_stored_tree_says_what_sklearn_says() -> None:
    columns, true = planted(500, 0)
    tree = Calibration.fit(columns, true, 0)
    theirs = DecisionTreeRegressor(max_depth=DEPTH, random_state=0).fit(columns, true)
    fresh, _ = planted(300, 1)
    on_borders = np.tile(tree.border[tree.column >= 0].astype(np.float32)[:, None], 4)
    for some in (fresh, columns, on_borders):
        np.testing.assert_array_equal(tree(some), theirs.predict(some))
    assert len(np.unique(tree(fresh))) > 8
    assert len(tree(fresh[:0])) == 0
    assert Calibration.fit(columns, np.ones(500, bool), 0)(fresh).tolist() == [1.0] * 300


def test_columns_by_hand_with_labels_that_one_part_alone_names() -> None:
    """(p, q, p · q, n) in the order of rows, then labels."""
    columns = calibration_columns(candidates(model=MODEL, trees=TREES), SEEN)
    assert columns.dtype == np.float32
    row_1 = [[0.5, 0, 0, 4], [0.25, 0.5, 0.125, 7], [0, 0.125, 0, 3]]
    np.testing.assert_allclose(columns, [*row_1, [0, 0.75, 0, 0], [1, 0, 0, 1]], rtol=1e-5, atol=1e-6)


def test_q_is_that_of_the_trees_else_of_margins_else_nothing() -> None:
    margins, dual = shown([[2, 4]], [[-1.0, 3.0]]), shown([[0, 4]], [[0.9, 0.8]])
    model = shown([[0, 2]], [[0.5, 0.25]])
    q = [0, 1 / (1 + math.e), 1 / (1 + math.exp(-3))]
    columns = calibration_columns(candidates(model=model, all=margins, dual=dual), SEEN)
    np.testing.assert_allclose(columns, np.transpose([[0.5, 0.25, 0], q, [0, q[1] / 4, 0], [4, 7, 3]]), atol=1e-6)
    both = calibration_columns(candidates(model=model, trees=shown([[2, PAD]], [[0.5, -INF]]), all=margins), SEEN)
    np.testing.assert_allclose(both[:, 1], [0, 0.5, 0], atol=1e-6)
    neither = calibration_columns(candidates(model=model, dual=dual), SEEN)
    np.testing.assert_allclose(neither[:, 1:3], 0)


def test_the_score_is_the_share_and_the_product() -> None:
    given = candidates(model=MODEL, trees=TREES)
    score = stump(3, 3.5, 0.125, 0.75).score(given, SEEN)  # labels of more than three rows are true three times of four
    assert score.dtype == np.float32
    assert given.ids.tolist() == [[0, 2, 4], [1, 3, PAD], [PAD, PAD, PAD]]
    expected = [[0.75, 0.75 + 0.125, 0.125], [0.125, 0.125, -INF], [-INF] * 3]
    np.testing.assert_allclose(score, expected, rtol=1e-5)
    top = Fusion.ranked(given, score, 3)
    top.check(3, 5)
    assert top.ids.tolist() == [[2, 0, 4], [1, 3, PAD], [PAD, PAD, PAD]]


def test_what_is_likely_comes_first_after_fitting() -> None:
    """The network is right of labels 0 to 4, the trees of the rest; only labels with many rows are ever true."""
    rng = np.random.default_rng(2)
    ids, seen = np.tile(np.arange(10, dtype=np.int32), (300, 1)), np.where(np.arange(10) % 2, 100, 1).astype(np.float32)
    true = (rng.random((300, 10)) < 0.4) & (seen > 50)
    noise = rng.random((2, 300, 10)) * 0.3
    p = np.where(np.arange(10) < 5, 0.6 * true, 0) + noise[0]
    q = np.where(np.arange(10) < 5, 0, 0.6 * true) + noise[1]
    given = candidates(model=TopK(ids, p.astype(np.float32)), trees=TopK(ids, q.astype(np.float32)))
    tree = Calibration.fit(calibration_columns(given, seen), true[given.valid.reshape(300, 10)], 0)
    top = Fusion.ranked(given, tree.score(given, seen), 1)
    some = true.any(axis=1)
    assert true[some, top.ids[some, 0]].mean() > 0.99
