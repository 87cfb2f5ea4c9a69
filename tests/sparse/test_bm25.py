"""BM25's weights against the formula worked by hand, and what is a frequency."""

from __future__ import annotations

from math import log

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.sparse.bm25 import bm25_rows

COUNTS = np.array([[2, 0, 1, 0], [0, 0, 1, 0], [0, 3, 1, 1]])  # lengths 3, 1, 5; mean 3


def weights(values: np.ndarray, k1: float = 1.2, b: float = 0.75) -> np.ndarray:
    found = bm25_rows(sp.csr_matrix(values.astype(np.float32)), k1, b)
    assert found.dtype == np.float32
    return np.asarray(found.toarray())


def test_by_hand() -> None:
    once, always = log(1 + 2.5 / 1.5), log(1 + 0.5 / 3.5)  # idf of a feature of one row of three, and of all three
    expected = [
        [once * 2 * 2.2 / (2 + 1.2), 0, always * 2.2 / (1 + 1.2), 0],  # of mean length: K = k1
        [0, 0, always * 2.2 / (1 + 1.2 * (0.25 + 0.75 / 3)), 0],
        [0, once * 3 * 2.2 / (3 + 1.8), always * 2.2 / (1 + 1.8), once * 2.2 / (1 + 1.8)],  # K = 1.2 (¼ + ¾ · 5/3)
    ]
    np.testing.assert_allclose(weights(COUNTS), expected, rtol=1e-6)


def test_without_k1_only_presence_counts() -> None:
    np.testing.assert_allclose(weights(COUNTS, k1=0), weights(np.sign(COUNTS), k1=0), rtol=1e-6)


def test_scale_matters_for_counts_and_not_for_real_values() -> None:
    assert not np.allclose(weights(COUNTS), weights(2 * COUNTS))
    real = COUNTS * 0.3
    np.testing.assert_allclose(weights(real), weights(real * 17), rtol=1e-5)
    mean = COUNTS[COUNTS > 0].mean()
    np.testing.assert_allclose(weights(real), weights(COUNTS / mean), rtol=1e-5)


def test_values_not_above_zero_are_no_occurrence() -> None:
    spoiled = sp.csr_matrix(COUNTS.astype(np.float32) - (COUNTS == 0))
    before = spoiled.copy()
    np.testing.assert_array_equal(bm25_rows(spoiled, 1.2, 0.75).toarray(), weights(COUNTS))
    assert (before != spoiled).nnz == 0


@pytest.mark.parametrize("values", [np.zeros((3, 4)), np.zeros((0, 4)), -np.ones((2, 2))])
def test_nothing_to_weigh(values: np.ndarray) -> None:
    assert not weights(values).any()
