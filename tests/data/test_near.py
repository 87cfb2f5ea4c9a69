"""Near-duplicates against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csgraph

from xmcbench.data import near
from xmcbench.data.near import near_duplicates, near_groups
from xmcbench.data.spec import Split


def brute(test: sp.csr_matrix, train: sp.csr_matrix, threshold: float) -> np.ndarray:
    """All cosines, dense."""

    def unit(matrix: sp.csr_matrix) -> np.ndarray:
        dense = matrix.toarray().astype(np.float64)
        length = np.sqrt((dense**2).sum(axis=1, keepdims=True))
        return dense / np.where(length == 0, 1, length)

    return (unit(test) @ unit(train).T).max(axis=1, initial=-1) > threshold


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.6, 0.9]), st.booleans())
def test_equals_all_pairs(seed: int, threshold: float, signed: bool) -> None:
    rng = np.random.default_rng(seed)
    train = sp.random(60, 30, 0.2, "csr", np.float32, rng)
    test = sp.random(40, 30, 0.2, "csr", np.float32, rng)
    test = sp.vstack([test, train[:10]]).tocsr()
    test.data += rng.normal(0, 0.2, test.nnz).astype(np.float32)
    if signed:
        test.data *= rng.choice([-1, 1], test.nnz).astype(np.float32)
    np.testing.assert_array_equal(near_duplicates(test, train, threshold), brute(test, train, threshold))


def test_copies_and_zero_rows() -> None:
    train = sp.csr_matrix(np.array([[1, 2, 0, 0], [0, 0, 3, 1]], np.float32))
    test = sp.csr_matrix(np.array([[2, 4, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 3.1, 1]], np.float32))
    assert near_duplicates(test, train, 0.9).tolist() == [True, False, False, True]


def test_nothing_to_be_near_to() -> None:
    assert not near_duplicates(sp.csr_matrix(np.eye(3, dtype=np.float32)), sp.csr_matrix((0, 3)), 0.9).any()


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    train, test = (sp.random(n, 50, 0.2, "csr", np.float32, rng) for n in (30, 20))
    groups = near_groups(Split(test, None, test), 0.5)
    monkeypatch.setattr(near, "ROWS_AT_A_TIME", 7)
    np.testing.assert_array_equal(near_duplicates(test, train, 0.5), brute(test, train, 0.5))
    np.testing.assert_array_equal(near_groups(Split(test, None, test), 0.5), groups)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(threads: int) -> None:
    import numba

    rng = np.random.default_rng(0)
    train, test = (sp.random(n, 50, 0.2, "csr", np.float32, rng) for n in (300, 200))
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        np.testing.assert_array_equal(near_duplicates(test, train, 0.5), brute(test, train, 0.5))
    finally:
        numba.set_num_threads(before)


def components(features: sp.csr_matrix, threshold: float) -> np.ndarray:
    """The smallest row of each row's connected component, all pairs."""
    dense = features.toarray().astype(np.float64)
    length = np.sqrt((dense**2).sum(axis=1, keepdims=True))
    unit = dense / np.where(length == 0, 1, length)
    _, part = csgraph.connected_components(sp.csr_matrix(unit @ unit.T > threshold))
    return np.array([np.flatnonzero(part == own)[0] for own in part])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 0.6, 0.9]))
def test_groups_equal_the_components_of_all_pairs(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    some = sp.random(30, 25, 0.2, "csr", np.float32, rng)
    features = sp.vstack([some, some[:10], some[5:15]]).tocsr()
    features.data += rng.normal(0, 0.15, features.nnz).astype(np.float32)
    features = features[rng.permutation(50)].tocsr()
    features.sort_indices()
    found = near_groups(Split(features, None, sp.csr_matrix((50, 3), dtype=np.float32)), threshold)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, components(features, threshold))


def test_groups_of_texts_and_of_nothing() -> None:
    labels = sp.csr_matrix((4, 3), dtype=np.float32)
    assert near_groups(Split(None, ["a", "b", "a", "c"], labels)).tolist() == [0, 1, 0, 3]
    assert near_groups(Split(None, None, labels)).tolist() == [0, 1, 2, 3]
    zeros = sp.csr_matrix((4, 5), dtype=np.float32)
    assert near_groups(Split(zeros, None, labels)).tolist() == [0, 1, 2, 3]
