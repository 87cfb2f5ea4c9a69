"""Balanced clusters: sizes, order, determinism, one step against plain numpy, and rows that hold nothing."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse import clustering
from xmcbench.sparse.clustering import MAX_ITER, TOLERANCE, cluster_count, split_in_two
from xmcbench.sparse.csr import Csr, unit_rows


def rows(n: int, d: int = 30, density: float = 0.3, seed: int = 0) -> sp.csr_matrix:
    return sp.random(n, d, density, "csr", random_state=seed, dtype=np.float32)


def balanced_clusters(x: sp.csr_matrix | np.ndarray, **options: Any) -> np.ndarray:
    return clustering.balanced_clusters(Csr.of(unit_rows(x)), x.shape[1], **options)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 200), st.integers(0, 6), st.integers(0, 5))
def test_sizes_differ_by_at_most_one_at_every_level(n: int, depth: int, seed: int) -> None:
    clusters = balanced_clusters(rows(n, seed=seed), n_clusters=2**depth, seed=seed)
    assert clusters.dtype == np.int32
    assert clusters.shape == (n,)
    for level in range(depth + 1):
        sizes = np.bincount(clusters >> (depth - level), minlength=2**level)
        assert len(sizes) == 2**level
        for left, right in sizes.reshape(-1, 2) if level else []:
            assert 0 <= left - right <= 1


def test_count_is_the_smallest_power_of_two_that_keeps_leaves_small() -> None:
    assert [cluster_count(n, 100) for n in (0, 1, 100, 101, 200, 201, 131_073, 670_091)] == [
        1,
        1,
        1,
        2,
        2,
        4,
        2048,
        8192,
    ]
    with pytest.raises(ValueError, match="at least 1"):
        cluster_count(5, 0)


@pytest.mark.parametrize("seed", range(5))
def test_two_planted_groups_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kind = rng.permutation(np.repeat([0, 1], 20))
    noisy = rng.random((40, 8)).astype(np.float32)
    noisy[np.arange(40), kind] += 3
    clusters = balanced_clusters(sp.csr_matrix(noisy), n_clusters=2, seed=seed)
    assert np.array_equal(clusters, kind) or np.array_equal(clusters, 1 - kind)


def test_ids_are_in_tree_order() -> None:
    """A deeper tree splits the leaves of a shallower one: parents are c >> 1."""
    many = rows(150, 60)
    for depth in range(5):
        shallow, deep = (balanced_clusters(many, n_clusters=2**d, seed=2) for d in (depth, depth + 1))
        assert np.array_equal(deep >> 1, shallow)


def test_dense_rows_give_the_same_clusters_as_sparse_ones() -> None:
    sparse = rows(70)
    assert np.array_equal(balanced_clusters(sparse, n_clusters=8), balanced_clusters(sparse.toarray(), n_clusters=8))


def test_same_seed_same_clusters_whatever_the_threads() -> None:
    many = rows(500, 200, 0.05)
    before = numba.get_num_threads()
    try:
        results = []
        for threads in {1, before}:
            numba.set_num_threads(threads)
            results.append(balanced_clusters(many, max_leaf=10, seed=7))
        results.append(balanced_clusters(many, max_leaf=10, seed=7))
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(results[0], other) for other in results[1:])
    assert not np.array_equal(results[0], balanced_clusters(many, max_leaf=10, seed=8))


def plain_split(x: np.ndarray, start: tuple[float, float], max_iter: int, tolerance: float) -> list[np.ndarray]:
    """The twin: dense numpy, written from the description."""
    m = len(x)
    one, other = int(start[0] * m), int(start[1] * (m - 1))
    other += other >= one
    centres, order, before = [x[one], x[other]], np.arange(m), -np.inf
    for _ in range(max_iter):
        difference = x[order] @ (centres[1] - centres[0])
        order = order[np.argsort(difference, kind="stable")]
        halves = [np.sort(order[: (m + 1) // 2]), np.sort(order[(m + 1) // 2 :])]
        order = np.concatenate(halves)
        sums = [x[h].sum(0) for h in halves]
        norms = [np.linalg.norm(s) for s in sums]
        centres = [s / (n or 1) for s, n in zip(sums, norms, strict=True)]
        if sum(norms) / m - before < tolerance:
            break
        before = sum(norms) / m
    return halves


@pytest.mark.parametrize("n", [2, 3, 17, 60])
@pytest.mark.parametrize("max_iter", [1, 2, 20])
def test_one_split_equals_its_plain_twin(n: int, max_iter: int) -> None:
    x = unit_rows(rows(n, seed=n))
    members, start = np.arange(n, dtype=np.int32), np.array([0.3, 0.8])
    scratch = np.zeros((30, 2), np.float32)
    split_in_two(Csr.of(x), members, start, scratch, max_iter, 1e-4)
    first, second = plain_split(x.toarray().astype(np.float64), (0.3, 0.8), max_iter, 1e-4)
    assert np.array_equal(members, np.concatenate([first, second]))
    assert not scratch.any()


@pytest.mark.parametrize("count", [1, 2, 8, 64])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_labels_than_clusters(n: int, count: int) -> None:
    clusters = balanced_clusters(rows(n), n_clusters=count)
    assert clusters.min() >= 0
    assert clusters.max() < count
    assert np.bincount(clusters).max() == -(-n // count)


def test_empty_rows_duplicates_and_no_features_at_all() -> None:
    half_empty = sp.vstack([rows(10), sp.csr_matrix((23, 30), dtype=np.float32)]).tocsr()
    assert np.bincount(balanced_clusters(half_empty, n_clusters=8), minlength=8).min() >= 4
    same = sp.csr_matrix(np.ones((9, 4), np.float32))
    assert np.bincount(balanced_clusters(same, n_clusters=4)).tolist() == [3, 2, 2, 2]
    nothing = sp.csr_matrix((6, 3), dtype=np.float32)
    assert np.bincount(balanced_clusters(nothing, n_clusters=2)).tolist() == [3, 3]


def test_wrong_requests_are_refused() -> None:
    for wrong in ({}, {"n_clusters": 4, "max_leaf": 3}, {"n_clusters": 3}, {"n_clusters": 0}):
        with pytest.raises(ValueError, match="n_clusters"):
            balanced_clusters(rows(9), **wrong)


def test_progress_counts_every_split() -> None:
    said: list[tuple[int, int]] = []
    balanced_clusters(rows(100), n_clusters=32, progress=lambda done, total: said.append((done, total)))
    assert [done for done, _ in said] == sorted(done for done, _ in said)
    assert said[-1] == (31, 31)


def test_an_error_in_progress_comes_through() -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        balanced_clusters(rows(100), n_clusters=32, progress=stop)


def level_by_level(x: sp.csr_matrix, depth: int, seed: int) -> np.ndarray:
    """The twin of the whole: each node of each level is split where its rows are."""
    nodes = [np.arange(x.shape[0], dtype=np.int32)]
    scratch = np.zeros((x.shape[1], 2), np.float32)
    for level in range(depth):
        starts = np.random.default_rng((seed, level)).random((len(nodes), 2))
        for node, start in zip(nodes, starts, strict=True):
            split_in_two(Csr.of(x), node, start, scratch, MAX_ITER, TOLERANCE)
        nodes = [half for node in nodes for half in np.split(node, [(len(node) + 1) // 2])]
    clusters = np.empty(x.shape[0], np.int32)
    for cluster, node in enumerate(nodes):
        clusters[node] = cluster
    return clusters


@pytest.mark.parametrize("seed", range(3))
def test_all_splits_equal_their_plain_twin(seed: int) -> None:
    x = sp.vstack([rows(401, 80, 0.25, seed), sp.csr_matrix((9, 80), dtype=np.float32)]).tocsr()
    assert np.array_equal(balanced_clusters(x, n_clusters=64, seed=seed), level_by_level(unit_rows(x), 6, seed))
