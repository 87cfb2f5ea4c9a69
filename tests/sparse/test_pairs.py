"""Margins of chosen pairs by inverted weights, against dense arithmetic."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse.inverted import InvertedWeights, score_pairs


def plain(weights: sp.csr_matrix, features: sp.csr_matrix, ids: np.ndarray, bias: float) -> np.ndarray:
    """The twin: every margin, then the chosen ones."""
    x = np.hstack([features.toarray(), np.full((features.shape[0], 1), bias)])
    margins = x.astype(np.float64) @ weights.toarray().astype(np.float64).T
    found = np.take_along_axis(np.hstack([margins, np.full((len(x), 1), -np.inf)]), ids, axis=1)
    return np.asarray(found)


def drawn(n: int, d: int, n_labels: int, width: int, seed: int) -> tuple[sp.csr_matrix, sp.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = sp.random(n, d, 0.4, "csr", random_state=seed, dtype=np.float32)
    weights = sp.random(n_labels, d + 1, 0.6, "csr", random_state=seed + 1, dtype=np.float32)
    weights.data -= 0.5
    return weights, features, rng.integers(-1, n_labels, (n, width)).astype(np.int32)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(1, 30), st.integers(1, 12), st.integers(0, 6), st.floats(0, 3))
def test_equals_dense_arithmetic(n: int, d: int, n_labels: int, width: int, bias: float) -> None:
    weights, features, ids = drawn(n, d, n_labels, width, n + d)
    margins = score_pairs(InvertedWeights.of(weights, bias), features, ids)
    assert margins.dtype == np.float32
    assert margins.shape == (n, width)
    np.testing.assert_allclose(margins, plain(weights, features, ids, bias), rtol=1e-5, atol=1e-5)


def test_by_hand() -> None:
    weights = sp.csr_matrix(np.array([[1, 2, 0.5], [0, -1, 0]], np.float32))
    features = sp.csr_matrix(np.array([[1, 0], [3, 4]], np.float32))
    margins = score_pairs(InvertedWeights.of(weights), features, np.array([[1, 0], [0, -1]]))
    assert margins.tolist() == [[0.0, 1.5], [11.5, -np.inf]]


def test_threads_and_company_change_nothing() -> None:
    weights, features, ids = drawn(33, 40, 50, 20, 3)
    many = score_pairs(InvertedWeights.of(weights), features, ids)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert np.array_equal(many, score_pairs(InvertedWeights.of(weights), features, ids))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(many[7:8], score_pairs(InvertedWeights.of(weights), features[7], ids[7:8]))


def test_what_does_not_fit_is_named() -> None:
    weights, features, ids = drawn(3, 4, 5, 2, 0)
    with pytest.raises(ValueError, match="rows have 5 features, the weights 4"):
        score_pairs(InvertedWeights.of(weights), sp.csr_matrix((3, 5), dtype=np.float32), ids)
    with pytest.raises(ValueError, match=r"\(3, K\)"):
        score_pairs(InvertedWeights.of(weights), features, ids[:2])
    with pytest.raises(ValueError, match="label 5"):
        score_pairs(InvertedWeights.of(weights), features, ids + 5 - ids.max())
