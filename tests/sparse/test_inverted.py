"""Search by an inverted index, of rows and of classifiers, against dense products and full sorts."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse.csr import Csr
from xmcbench.sparse.inverted import InvertedIndex, InvertedWeights, best_labels, nearest

Found = tuple[np.ndarray, np.ndarray]


def plain(rows: np.ndarray, queries: np.ndarray, count: int) -> Found:
    """The twin: every product, sorted."""
    products = queries.astype(np.float64) @ rows.astype(np.float64).T
    ids, best = np.full((len(queries), count), -1), np.full((len(queries), count), -np.inf)
    for query, line in enumerate(products):
        order = [row for row in np.lexsort((np.arange(len(line)), -line)) if line[row] > 0][:count]
        ids[query, : len(order)], best[query, : len(order)] = order, line[order]
    return ids, best


def search(rows: np.ndarray, queries: np.ndarray, count: int) -> Found:
    index = InvertedIndex.of(sp.csr_matrix(rows.astype(np.float32)))
    return nearest(index, Csr.of(sp.csr_matrix(queries.astype(np.float32))), count)


def drawn(n: int, d: int, density: float, seed: int) -> np.ndarray:
    """Small whole numbers, some below zero: products are exact, ties and duplicate rows plenty."""
    rng = np.random.default_rng(seed)
    return rng.integers(-1, 4, (n, d)) * (rng.random((n, d)) < density)


def same(one: Found, other: Found) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 60), st.integers(0, 6), st.integers(1, 12), st.integers(1, 70),
    st.sampled_from([0.02, 0.1, 0.4, 0.9]), st.integers(0, 10**6),
)  # fmt: skip
def test_equals_dense_products(m: int, n: int, d: int, count: int, density: float, seed: int) -> None:
    """Sparse and dense rows, common features and rare ones, more asked for than there are."""
    rows, queries = drawn(m, d, density, seed), drawn(n, d, 0.5, seed + 1)
    ids, products = search(rows, queries, count)
    assert ids.dtype == np.int32
    assert products.dtype == np.float32
    assert same((ids, products), plain(rows, queries, count))


def test_long_index_short_queries() -> None:
    """Each query touches few of many rows, after others that touched more: nothing of them is left."""
    rows = np.asarray(sp.random(3000, 400, 0.005, random_state=0).toarray() > 0, np.int64)
    queries = np.asarray(sp.random(60, 400, 0.01, random_state=1).toarray() > 0, np.int64)
    queries[::7] = 1
    assert same(search(rows, queries, 10), plain(rows, queries, 10))


def test_by_hand() -> None:
    rows = np.array([[1, 0, 2], [0, 3, 0], [0, 0, 0], [1, 0, 2], [-1, 0, 0]])
    ids, products = search(rows, np.array([[1, 0, 1], [0, 0, 0], [0, 2, 0], [-1, 0, 0]]), 3)
    assert ids.tolist() == [[0, 3, -1], [-1, -1, -1], [1, -1, -1], [4, -1, -1]]
    assert products.tolist() == [[3, 3, -np.inf], [-np.inf] * 3, [6, -np.inf, -np.inf], [1, -np.inf, -np.inf]]


def test_duplicates_of_real_numbers_tie() -> None:
    rng = np.random.default_rng(0)
    rows = np.tile(rng.random((9, 30)) * (rng.random((9, 30)) < 0.4), (5, 1))
    ids, products = search(rows, rng.random((4, 30)), 45)
    for row in range(4):
        assert all(np.array_equal(group, group[0] + 9 * np.arange(5)) for group in ids[row].reshape(9, 5))
    assert (np.diff(products, axis=1) <= 0).all()


def test_common_features_are_stored_once() -> None:
    rows = sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 0, 2, 0], [1, 0, 0, 0], [1, 1, 0, 0]], np.float32))
    index = InvertedIndex.of(rows)
    assert (index.size, index.width) == (4, 4)
    assert index.common.tolist() == [[1, 1, 1, 1]]
    assert index.place.tolist() == [0, -1, -1, -1]
    assert index.indptr.tolist() == [0, 0, 2, 3, 3]


def test_the_stored_rows_are_left_alone() -> None:
    """Whichever way they lie: what is common is taken out of a copy."""
    rows = sp.csr_matrix(np.array([[1, 1, 0, 0], [1, 0, 2, 0], [1, 0, 0, 0]], np.float32))
    for stored in (rows, rows.tocsc()):
        InvertedIndex.of(stored)
        assert stored.data.all()
        assert stored.nnz == 5


def test_threads_and_company_change_nothing() -> None:
    rng = np.random.default_rng(1)
    rows, queries = rng.random((50, 40)) * (rng.random((50, 40)) < 0.3), rng.random((33, 40))
    many = search(rows, queries, 20)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert same(many, search(rows, queries, 20))
    finally:
        numba.set_num_threads(before)
    assert same((many[0][7:8], many[1][7:8]), search(rows, queries[7:8], 20))


def test_unknown_features_are_named() -> None:
    with pytest.raises(ValueError, match="feature 3, the index has 3"):
        search(np.ones((2, 3)), np.ones((1, 4)), 1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(1, 20), st.integers(1, 15), st.data())
def test_all_labels_equal_a_full_sort(n: int, d: int, n_labels: int, data: st.DataObject) -> None:
    """Small whole numbers: sums are exact, and ties plenty."""
    k = data.draw(st.integers(0, n_labels))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    weights = sp.csr_matrix(rng.integers(-1, 2, (n_labels, d + 1)).astype(np.float32))
    features = sp.csr_matrix(rng.integers(0, 3, (n, d)).astype(np.float32))
    ids, margins = best_labels(InvertedWeights.of(weights, bias=2.0), Csr.of(features), k)
    full = features.toarray() @ weights.toarray()[:, :d].T + 2 * weights.toarray()[:, d]
    expected = np.argsort(-full, axis=1, kind="stable")[:, :k]
    assert np.array_equal(ids, expected)
    assert np.array_equal(margins, np.take_along_axis(full, expected, 1))


def test_threads_change_no_margin() -> None:
    weights = InvertedWeights.of(sp.random(50, 31, 0.5, "csr", random_state=0, dtype=np.float32))
    features = sp.random(33, 30, 0.5, "csr", random_state=1, dtype=np.float32)
    rows = Csr.of(features)
    many = best_labels(weights, rows, 9)
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert all(np.array_equal(a, b) for a, b in zip(many, best_labels(weights, rows, 9), strict=True))
    finally:
        numba.set_num_threads(before)
