"""Beam search against brute force over the whole tree."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.sparse.beam import SearchTree, search
from xmcbench.sparse.csr import parts
from xmcbench.sparse.labeltree import LabelTree


def random_tree(
    n_labels: int, depth: int, arity_bits: int, d: int = 12, seed: int = 0
) -> tuple[SearchTree, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(n_labels + 5)[:n_labels].astype(np.int32)
    tree = LabelTree.build(labels, rng.integers(0, 2**depth, n_labels).astype(np.int32), depth, arity_bits)
    weights = (rng.normal(size=(1 + sum(tree.sizes()), d + 1)) * 0.4 * (rng.random((1, d + 1)) < 0.8)).astype(
        np.float32
    )
    weights[0] = 0
    return SearchTree(tree.child_ptr(), tree.labels, tree.depth, parts(sp.csr_matrix(weights))), weights


def plain_search(tree: SearchTree, weights: np.ndarray, x: np.ndarray, k: int, beam: int) -> list[tuple[int, float]]:
    """The twin: one row, from the description."""
    inner = len(tree.child_ptr) - 1
    nodes = [(0.0, 0)]
    for level in range(tree.depth):
        below = []
        for score, node in nodes:
            for child in range(tree.child_ptr[node], tree.child_ptr[node + 1]):
                below.append((score - max(0.0, 1 - float(weights[child] @ np.append(x, 1))) ** 3, child))
        nodes = sorted(below, key=lambda pair: (-pair[0], pair[1]))
        nodes = nodes[:beam] if level < tree.depth - 1 else nodes
    found = [(int(tree.labels[node - inner]), float(np.exp(score))) for score, node in nodes]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:k]


@pytest.mark.parametrize(("depth", "arity_bits"), [(0, 4), (1, 1), (3, 1), (4, 2), (5, 4)])
@pytest.mark.parametrize("beam", [1, 3, 1000])
def test_equals_brute_force(depth: int, arity_bits: int, beam: int) -> None:
    tree, weights = random_tree(60, depth, arity_bits, seed=depth)
    x = sp.random(25, 12, 0.5, "csr", random_state=1, dtype=np.float32)
    ids, scores = search(tree, x, 7, beam=beam)
    for row, dense in enumerate(x.toarray()):
        expected = plain_search(tree, weights, dense, 7, beam)
        got = [(int(i), float(s)) for i, s in zip(ids[row], scores[row], strict=True) if i >= 0]
        assert len(got) == len(expected)
        np.testing.assert_allclose([s for _, s in got], [s for _, s in expected], rtol=1e-4)
        for (ours, score), (theirs, _) in zip(got, expected, strict=True):
            assert ours == theirs or np.sum(np.isclose([s for _, s in expected], score, rtol=1e-4)) > 1


def test_a_full_beam_scores_every_label() -> None:
    tree, weights = random_tree(60, 3, 1)
    x = sp.random(5, 12, 0.5, "csr", random_state=1, dtype=np.float32)
    ids, scores = search(tree, x, 100, beam=1000)
    assert ids.shape == (5, 100)
    assert np.array_equal(np.sort(ids[:, :60], axis=1), np.tile(np.sort(tree.labels), (5, 1)))
    assert (ids[:, 60:] == -1).all()
    assert (scores[:, 60:] == -np.inf).all()
    assert ((scores[:, :60] >= 0) & (scores[:, :60] <= 1)).all()
    assert weights.any()


def test_equal_scores_come_in_order_of_label() -> None:
    labels = np.array([9, 4, 6, 2], np.int32)
    tree = LabelTree.build(labels, np.array([0, 1, 0, 1], np.int32), 1, 1)
    silent = parts(sp.csr_matrix((7, 4), dtype=np.float32))
    ids, scores = search(
        SearchTree(tree.child_ptr(), tree.labels, tree.depth, silent), sp.csr_matrix((2, 3)), 4, beam=5
    )
    assert ids.tolist() == [[2, 4, 6, 9]] * 2
    np.testing.assert_allclose(scores, np.exp(-2.0), rtol=1e-6)


def test_rows_do_not_touch_each_other_and_threads_change_nothing() -> None:
    tree, _ = random_tree(60, 4, 2)
    x = sp.random(40, 12, 0.4, "csr", random_state=2, dtype=np.float32)
    ids, scores = search(tree, x, 5, beam=2)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = search(tree, x, 5, beam=2)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(ids, one[0])
    assert np.array_equal(scores, one[1])
    for row in (0, 17, 39):
        alone = search(tree, x[row], 5, beam=2)
        assert np.array_equal(alone[0][0], ids[row])
        assert np.array_equal(alone[1][0], scores[row])


def test_no_rows_no_labels_no_k() -> None:
    tree, _ = random_tree(6, 1, 1)
    empty = LabelTree.build(np.empty(0, np.int32), np.empty(0, np.int32), 0, 4)
    x = sp.csr_matrix((3, 12), dtype=np.float32)
    nothing = SearchTree(empty.child_ptr(), empty.labels, empty.depth, parts(sp.csr_matrix((1, 13), dtype=np.float32)))
    assert search(tree, x[:0], 4, beam=3)[0].shape == (0, 4)
    assert search(tree, x, 0, beam=3)[0].shape == (3, 0)
    assert search(nothing, x, 2, beam=3)[0].tolist() == [[-1, -1]] * 3
