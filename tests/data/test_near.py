"""Near-duplicates against all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.data.near import near_duplicates


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
