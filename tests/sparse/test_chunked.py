"""Classifiers by node and feature: the margins they give are those of the weights they were made of."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse.chunked import Chunks, Row, add_margins
from xmcbench.sparse.csr import Csr


def random_weights(links: np.ndarray, d: int, density: float, seed: int) -> sp.csr_matrix:
    """A row a node with its bias weight last, which is zero for one in four; the root's is empty."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(links[-1], d + 1)).astype(np.float32)
    weights[:, :d] *= rng.random((links[-1], d)) < density
    weights[:, d] *= rng.random(links[-1]) < 0.75
    weights[0] = 0
    return sp.csr_matrix(weights)


def stored_otherwise(weights: sp.csr_matrix, how: str, seed: int) -> sp.csr_matrix:
    """The same weights: sorted; in any order; or in any order and halved, with every weight there twice."""
    rows = weights.tocoo()
    row, column, value = rows.row, rows.col, rows.data
    if how == "twice":
        row, column, value = np.tile(row, 2), np.tile(column, 2), np.tile(value / 2, 2)
    if how != "sorted":
        order = np.random.default_rng(seed).permutation(len(row))
        order = order[np.argsort(row[order], kind="stable")]
        column, value = column[order], value[order]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=weights.shape[0]))])
    return sp.csr_matrix((value, column, indptr), shape=weights.shape)


def margins(chunks: Chunks, node: int, row: sp.csr_matrix) -> np.ndarray:
    z = np.full(int(chunks.child_ptr[node + 1] - chunks.child_ptr[node]), np.nan, np.float32)
    _, columns, numbers = Csr.of(row)
    room = np.empty(len(columns), np.int64), np.empty(len(columns), np.float32)
    add_margins(chunks, node, Row(columns, numbers, *room), z)
    return z


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6),
    st.sampled_from([1, 3, 63, 64, 65, 200, 3000]),
    st.sampled_from([0.0, 0.001, 0.05, 0.3, 1.0]),
    st.integers(0, 5),
    st.sampled_from(["sorted", "in any order", "twice"]),
)
def test_margins_are_those_of_the_weights(children: list[int], d: int, density: float, seed: int, how: str) -> None:
    links = np.concatenate([[1], 1 + np.cumsum(children)])
    weights = random_weights(links, d, density, seed)
    chunks = Chunks.of(links, stored_otherwise(weights, how, seed))
    x = sp.random(4, d, 0.4, "csr", random_state=seed, dtype=np.float32)
    dense = np.hstack([x.toarray(), np.ones((4, 1))]) @ weights.toarray().T
    for node in range(len(children)):
        for row in range(4):
            expected = dense[row, links[node] : links[node + 1]]
            np.testing.assert_allclose(margins(chunks, node, x[row]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("density", [0.004, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("d", [65, 200, 3000])
def test_margins_are_summed_in_feature_order_to_the_last_bit(d: int, density: float) -> None:
    """Nodes with bitmaps and with lists of features; features in lines alone, in lists of children alone, and both."""
    links = np.concatenate([[1], 1 + np.cumsum([2, 9, 1, 30])])
    weights = random_weights(links, d, density, 3)
    chunks, dense = Chunks.of(links, weights), weights.toarray()
    for seed in range(3):
        row = sp.random(1, d, 0.4, "csr", random_state=seed, dtype=np.float32)
        for node in range(4):
            children = dense[links[node] : links[node + 1]]
            expected = children[:, d].copy()
            for feature, number in zip(row.indices, row.data, strict=True):
                expected += number * children[:, feature]
            assert np.array_equal(margins(chunks, node, row), expected)


def test_a_bias_that_is_not_stored_is_zero() -> None:
    """Three children of the root, features 0 and 1, bias in column 2: one has none, one is empty, one's comes first."""
    weights = sp.csr_matrix(([5, 7, 3, 2, 1], [0, 1, 2, 1, 0], [0, 0, 2, 2, 5]), (4, 3), dtype=np.float32)
    chunks = Chunks.of(np.array([1, 4]), weights)
    assert chunks.bias.tolist() == [0, 0, 0, 3]
    assert margins(chunks, 0, sp.csr_matrix([[1, 10]], dtype=np.float32)).tolist() == [75, 0, 24]


def test_rows_that_lack_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows, the tree has 4 nodes"):
        Chunks.of(np.array([1, 4]), sp.csr_matrix((3, 5), dtype=np.float32))


def test_a_quarter_of_the_children_makes_a_line() -> None:
    weights = np.zeros((9, 4), np.float32)
    weights[1:, 3] = 1  # bias
    weights[1, 0] = weights[[2, 5], 1] = 3  # one of eight children: a list; two of eight: a line
    chunks = Chunks.of(np.array([1, 9]), sp.csr_matrix(weights))
    assert chunks.bits.tolist() == [0b011]
    assert chunks.start.tolist() == [-2, 0]  # one weight from place 0 on; the line from place 0 on
    assert chunks.lines.tolist() == [0, 3, 0, 0, 3, 0, 0, 0]
    assert chunks.children.tolist() == [0]
    assert chunks.values.tolist() == [3]


def test_few_of_many_features_are_a_list() -> None:
    """Two nodes of two children: the first has 1 feature of 6,400, the second 300."""
    weights = np.zeros((5, 6401), np.float32)
    weights[1:, 6400] = 1
    weights[1, 77] = 2
    weights[3, :300] = 3
    chunks = Chunks.of(np.array([1, 3, 5]), sp.csr_matrix(weights))
    assert chunks.listed.tolist() == [77]
    assert len(chunks.bits) == 100
    row = sp.csr_matrix(([1.0, 1.0, 1.0], ([0] * 3, [76, 77, 6399])), (1, 6400), dtype=np.float32)
    assert margins(chunks, 0, row).tolist() == [3, 1]
    assert margins(chunks, 1, row).tolist() == [7, 1]


def test_nodes_beyond_the_last_child_do_not_matter() -> None:
    links = np.array([1, 4, 6])
    weights = random_weights(np.array([1, 9]), 20, 0.3, 0)
    whole = sp.vstack([weights[:6]]).tocsr()
    for one, other in zip(Chunks.of(links, weights), Chunks.of(links, whole), strict=True):
        assert np.array_equal(one, other)


def test_threads_change_nothing() -> None:
    links = np.concatenate([[1], 1 + np.cumsum([3, 5, 8, 2, 7])])
    weights = random_weights(links, 300, 0.2, 1)
    many = Chunks.of(links, weights)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = Chunks.of(links, weights)
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(many, one, strict=True))


@pytest.mark.parametrize("d", [0, 64])
def test_no_features_and_no_children(d: int) -> None:
    nothing = Chunks.of(np.array([1]), sp.csr_matrix((1, d + 1), dtype=np.float32))
    assert len(nothing.start) == 0
    bias = Chunks.of(np.array([1, 3]), sp.csr_matrix(np.eye(3, d + 1, d, dtype=np.float32) * 0 + _last(3, d)))
    assert margins(bias, 0, sp.csr_matrix((1, d), dtype=np.float32)).tolist() == [2, 3]


def _last(n: int, d: int) -> np.ndarray:
    weights = np.zeros((n, d + 1), np.float32)
    weights[1:, d] = np.arange(2, n + 1)
    return weights
