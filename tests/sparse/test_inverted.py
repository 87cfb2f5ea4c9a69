"""All labels by inverted weights against dense arithmetic and a full sort."""

from __future__ import annotations

import numba
import numpy as np
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse.inverted import InvertedWeights, best_labels


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(1, 20), st.integers(1, 15), st.data())
def test_equals_a_full_sort(n: int, d: int, n_labels: int, data: st.DataObject) -> None:
    """Small whole numbers: sums are exact, and ties plenty."""
    k = data.draw(st.integers(0, n_labels))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    weights = sp.csr_matrix(rng.integers(-1, 2, (n_labels, d + 1)).astype(np.float32))
    features = sp.csr_matrix(rng.integers(0, 3, (n, d)).astype(np.float32))
    ids, margins = best_labels(InvertedWeights.of(weights, bias=2.0), features, k)
    full = features.toarray() @ weights.toarray()[:, :d].T + 2 * weights.toarray()[:, d]
    expected = np.argsort(-full, axis=1, kind="stable")[:, :k]
    assert np.array_equal(ids, expected)
    assert np.array_equal(margins, np.take_along_axis(full, expected, 1))


def test_threads_change_nothing() -> None:
    weights = InvertedWeights.of(sp.random(50, 31, 0.5, "csr", random_state=0, dtype=np.float32))
    features = sp.random(33, 30, 0.5, "csr", random_state=1, dtype=np.float32)
    many = best_labels(weights, features, 9)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert all(np.array_equal(a, b) for a, b in zip(many, best_labels(weights, features, 9), strict=True))
    finally:
        numba.set_num_threads(before)
