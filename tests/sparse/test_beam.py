"""Beam search against brute force over the whole tree."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.sparse import beam
from xmcbench.sparse.beam import SearchTree, descend, search
from xmcbench.sparse.chunked import Chunks
from xmcbench.sparse.csr import Csr
from xmcbench.sparse.labeltree import LabelTree


def random_tree(n_labels: int, clusters: list[int], d: int = 70, seed: int = 0) -> tuple[SearchTree, np.ndarray]:
    """`clusters`: how many there are on each level. Of the features, some have a weight everywhere, some in places.

    One node in four has no bias weight.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(n_labels + 5)[:n_labels].astype(np.int32)
    tree = LabelTree.build(labels, [rng.integers(0, count, n_labels) for count in clusters])
    weights = rng.normal(size=(1 + sum(tree.sizes()), d + 1)) * 0.4
    weights *= rng.random(weights.shape) < rng.choice([0.02, 0.1, 0.5, 1.0], d + 1)
    weights[:, d] = rng.normal(size=len(weights)) * (rng.random(len(weights)) < 0.75)
    weights[0] = 0
    weights = weights.astype(np.float32)
    return SearchTree(Chunks.of(tree.child_ptr(), sp.csr_matrix(weights)), tree.labels, tree.depth), weights


def plain_search(tree: SearchTree, weights: np.ndarray, x: np.ndarray, beam: int, power: int) -> dict[int, float]:
    """The twin: one row, from the description."""
    links = tree.chunks.child_ptr
    nodes = [(0.0, 0)]
    for level in range(tree.depth):
        below = []
        for score, node in nodes:
            children = range(links[node], links[node + 1])
            for child in children:
                short = max(0.0, 1 - float(weights[child] @ np.append(x, 1))) if len(children) > 1 else 0.0
                below.append((score - short**power, child))
        nodes = sorted(below, key=lambda pair: (-pair[0], pair[1]))
        nodes = nodes[:beam] if level < tree.depth - 1 else nodes
    return {int(tree.labels[node - tree.inner]): float(np.exp(score)) for score, node in nodes}


def find(trees: list[SearchTree], x: sp.csr_matrix, k: int, beam: int, power: int = 3) -> tuple[np.ndarray, np.ndarray]:
    return search(trees, Csr.of(x), k, beam=beam, power=power)


def some_rows(n: int, seed: int = 1) -> sp.csr_matrix:
    return sp.random(n, 70, 0.3, "csr", random_state=seed, dtype=np.float32)


@pytest.mark.parametrize("clusters", [[], [2], [2, 9], [3, 4, 5, 40]])
@pytest.mark.parametrize("beam", [1, 3, 1000])
@pytest.mark.parametrize("power", [2, 3])
def test_equals_brute_force(clusters: list[int], beam: int, power: int) -> None:
    forest = [random_tree(60, clusters, seed=seed) for seed in range(3)]
    x = some_rows(25)
    ids, scores = find([tree for tree, _ in forest], x, 7, beam, power)
    for row, dense in enumerate(x.toarray()):
        mean: dict[int, float] = {}
        for tree, weights in forest:
            for label, score in plain_search(tree, weights, dense, beam, power).items():
                mean[label] = mean.get(label, 0.0) + score / 3
        expected = sorted(mean.items(), key=lambda pair: (-pair[1], pair[0]))[:7]
        got = [(int(i), float(s)) for i, s in zip(ids[row], scores[row], strict=True) if i >= 0]
        assert len(got) == len(expected)
        np.testing.assert_allclose([s for _, s in got], [s for _, s in expected], rtol=1e-4, atol=1e-12)
        for label, score in got:  # not which of two that differ in the last bit
            assert mean[label] == pytest.approx(score, rel=1e-4, abs=1e-12)


def test_a_full_beam_scores_every_label() -> None:
    tree, _ = random_tree(60, [2, 4, 8])
    ids, scores = find([tree], some_rows(5), 100, 1000)
    assert ids.shape == (5, 100)
    assert np.array_equal(np.sort(ids[:, :60], axis=1), np.tile(np.sort(tree.labels), (5, 1)))
    assert (ids[:, 60:] == -1).all()
    assert (scores[:, 60:] == -np.inf).all()
    assert ((scores[:, :60] > 0) & (scores[:, :60] <= 1)).all()


@pytest.mark.parametrize("n", [5, 40])
def test_memory_and_results_do_not_depend_on_the_numbers_of_labels(n: int) -> None:
    forest = [random_tree(60, [4, 16], seed=seed)[0] for seed in range(3)]
    ids, scores = find(forest, some_rows(n), 30, 3)
    far = [tree._replace(labels=tree.labels * 30_000_000) for tree in forest]
    far_ids, far_scores = find(far, some_rows(n), 30, 3)
    assert np.array_equal(far_ids, np.where(ids < 0, -1, ids * 30_000_000))
    assert np.array_equal(far_scores, scores)


@pytest.mark.parametrize("entries", [1, 50, 500])
def test_labels_ranked_in_parts_are_those_ranked_at_once(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    forest = [random_tree(60, [3, 9], seed=seed)[0] for seed in range(2)]
    expected = find(forest, some_rows(40), 7, 3)
    sizes: list[int] = []
    rank = beam._rank

    def counted(trees: Any, ends: Any, ids: np.ndarray, scores: np.ndarray) -> None:
        sizes.append(sum(len(end.nodes) for end in ends))
        rank(trees, ends, ids, scores)

    monkeypatch.setattr(beam, "ENTRIES", entries)
    monkeypatch.setattr(beam, "_rank", counted)
    for one, other in zip(expected, find(forest, some_rows(40), 7, 3), strict=True):
        assert np.array_equal(one, other)
    assert max(sizes) <= max(entries, 120), "or a single row"
    assert len(sizes) > 1


def test_equal_scores_come_in_order_of_label() -> None:
    tree = LabelTree.build(np.array([9, 4, 6, 2], np.int32), [np.array([0, 1, 0, 1])])
    silent = sp.csr_matrix((7, 4), dtype=np.float32)
    found = SearchTree(Chunks.of(tree.child_ptr(), silent), tree.labels, tree.depth)
    ids, scores = find([found, found], sp.csr_matrix((2, 3), dtype=np.float32), 4, 5)
    assert ids.tolist() == [[2, 4, 6, 9]] * 2
    np.testing.assert_allclose(scores, np.exp(-2.0), rtol=1e-6)


def test_an_only_child_has_its_parents_score() -> None:
    tree = LabelTree.build(np.array([5, 8], np.int32), [np.array([0, 1])])  # two clusters of one label each
    weights = np.zeros((5, 3), np.float32)
    weights[1:, -1] = [2, -1, -9, -9]  # the labels' own say nothing
    found = SearchTree(Chunks.of(tree.child_ptr(), sp.csr_matrix(weights)), tree.labels, tree.depth)
    ids, scores = find([found], sp.csr_matrix((1, 2), dtype=np.float32), 2, 5, power=2)
    assert ids.tolist() == [[5, 8]]
    np.testing.assert_allclose(scores, [[1.0, np.exp(-4.0)]], rtol=1e-6)


def test_rows_do_not_touch_each_other_and_threads_change_nothing() -> None:
    forest = [random_tree(60, [4, 16], seed=seed)[0] for seed in range(2)]
    x = some_rows(40, 2)
    ids, scores = find(forest, x, 5, 2)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = find(forest, x, 5, 2)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(ids, one[0])
    assert np.array_equal(scores, one[1])
    for rows in ([0], [17], [39], [3, 4, 5]):  # a few rows go another way
        alone = find(forest, x[rows], 5, 2)
        assert np.array_equal(alone[0], ids[rows])
        assert np.array_equal(alone[1], scores[rows])


@pytest.mark.parametrize("n", [5, 40])
def test_descend_keeps_the_best_nodes_of_a_level(n: int) -> None:
    tree, weights = random_tree(60, [4, 16])
    x = some_rows(n, 2)
    beam = descend(tree.chunks, Csr.of(x), 1, 3, 3)
    z = np.hstack([x.toarray(), np.ones((n, 1))]) @ weights[1:5].T
    for row in range(n):
        nodes = beam.nodes[beam.ptr[row] : beam.ptr[row + 1]]
        assert len(nodes) == 3
        assert np.minimum(z[row], 1)[nodes - 1].min() >= np.sort(np.minimum(z[row], 1))[1] - 1e-5


def test_no_rows_no_labels_no_k() -> None:
    tree, _ = random_tree(6, [2])
    empty = LabelTree.build(np.empty(0, np.int32), [])
    x = sp.csr_matrix((3, 70), dtype=np.float32)
    chunks = Chunks.of(empty.child_ptr(), sp.csr_matrix((1, 71), dtype=np.float32))
    nothing = SearchTree(chunks, empty.labels, empty.depth)
    assert find([tree], x[:0], 4, 3)[0].shape == (0, 4)
    assert find([tree], x, 0, 3)[0].shape == (3, 0)
    assert find([nothing], x, 2, 3)[0].tolist() == [[-1, -1]] * 3
