"""Hierarchical k-means: planted clusters are found, sizes and depth keep their bounds, threads change nothing."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse import kmeans
from xmcbench.sparse.csr import Csr, unit_rows
from xmcbench.sparse.kmeans import MAX_ITER, TOLERANCE, split


def kmeans_clusters(x: sp.csr_matrix, **options: Any) -> list[np.ndarray]:
    return kmeans.kmeans_clusters(Csr.of(unit_rows(x)), x.shape[1], **options)


def planted(n: int, clusters: int, seed: int = 0) -> tuple[sp.csr_matrix, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, clusters, n)
    rows = rng.random((n, 6 * clusters)) * 0.05
    for row, cluster in enumerate(truth):
        rows[row, 6 * cluster : 6 * cluster + 6] += rng.random(6) + 0.5
    return sp.csr_matrix(rows.astype(np.float32)), truth


def test_planted_clusters_are_found() -> None:
    """With more centres than clusters none of which stays without one, a part is of one cluster alone."""
    x, truth = planted(400, 5)
    (level,) = kmeans_clusters(x, arity=25, max_leaf=399, depth=1, seed=3)
    for part in range(level.max() + 1):
        assert len(set(truth[level == part])) == 1


def twin(rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Spherical k-means from the description."""
    centres = rows[np.sort(rng.choice(len(rows), k, replace=False))]
    before = -np.inf
    for _ in range(MAX_ITER):
        cosines = rows @ centres.T
        nearest = cosines.argmax(axis=1)
        gain = cosines.max(axis=1).mean()
        if gain - before < TOLERANCE:
            break
        before = gain
        centres = np.stack([rows[nearest == c].sum(axis=0) for c in range(k)])
        norms = np.linalg.norm(centres, axis=1, keepdims=True)
        centres = centres / np.where(norms > 0, norms, 1)
    return nearest


@pytest.mark.parametrize("seed", range(4))
def test_a_split_equals_its_twin(seed: int) -> None:
    x = unit_rows(planted(200, 7, seed)[0])
    got = split(Csr.of(x), np.arange(200, dtype=np.int32), x.shape[1], 6, np.random.default_rng(seed))
    assert np.array_equal(got, twin(x.toarray().astype(np.float64), 6, np.random.default_rng(seed)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(2, 6), st.integers(1, 9), st.sampled_from([None, 1, 2]), st.integers(0, 3))
def test_levels_are_nested_and_small_enough(n: int, arity: int, max_leaf: int, depth: int | None, seed: int) -> None:
    x = planted(n, 3, seed)[0]
    levels = kmeans_clusters(x, arity=arity, max_leaf=max_leaf, depth=depth, seed=seed)
    above = np.zeros(n, np.int64)
    for level in levels:
        assert set(level) == set(range(level.max() + 1))
        for part in range(level.max() + 1):
            parents = set(above[level == part])
            assert len(parents) == 1
            parent = parents.pop()
            below = len(set(level[above == parent]))
            assert below <= arity if np.sum(above == parent) > max_leaf else below == 1
        above = level
    if depth is None:
        assert np.bincount(above).max() <= max_leaf
    else:
        assert len(levels) <= depth


def test_labels_that_are_all_alike_and_empty_ones_are_split_too() -> None:
    alike = sp.csr_matrix(np.tile([1.0, 2.0, 0.0], (50, 1)).astype(np.float32))
    for x in (alike, sp.csr_matrix((50, 3), dtype=np.float32)):
        (*_, last) = kmeans_clusters(x, arity=3, max_leaf=4)
        assert np.bincount(last).max() <= 4


def test_labels_that_are_all_unlike_make_no_deep_tree() -> None:
    """Without a feature in common nothing is near anything: they take turns."""
    levels = kmeans_clusters(sp.identity(600, dtype=np.float32, format="csr"), arity=4, max_leaf=10)
    assert len(levels) <= 6
    assert np.bincount(levels[-1]).max() <= 10


def test_a_part_of_nearly_all_is_cut() -> None:
    x = np.zeros((100, 4), np.float32)
    x[:97, 0] = 1
    x[97:, 1:] = np.eye(3)
    part = split(Csr.of(sp.csr_matrix(x)), np.arange(100, dtype=np.int32), 4, 4, np.random.default_rng(0))
    assert np.bincount(part).tolist() == [25, 25, 25, 25]


def test_seed_matters_and_threads_do_not() -> None:
    x = planted(300, 9)[0]
    said: list[float] = []
    many = kmeans_clusters(x, arity=5, max_leaf=10, seed=1, progress=lambda done, total: said.append(done / total))
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = kmeans_clusters(x, arity=5, max_leaf=10, seed=1)
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(many, one, strict=True))
    assert not np.array_equal(many[0], kmeans_clusters(x, arity=5, max_leaf=10, seed=2)[0])
    assert said == sorted(said)
    assert said[-1] == 1.0


def test_few_labels_stay_together_and_wrong_numbers_are_refused() -> None:
    x = planted(5, 2)[0]
    assert kmeans_clusters(x, arity=2, max_leaf=5) == []
    assert kmeans_clusters(x[:0], arity=2, max_leaf=5) == []
    for wrong in ({"arity": 1, "max_leaf": 5}, {"arity": 2, "max_leaf": 0}):
        with pytest.raises(ValueError, match="at least"):
            kmeans_clusters(x, **wrong)


@pytest.mark.parametrize("gathered", [1, 700, 3000])
def test_rows_of_large_clusters_are_copied_a_block_at_a_time(gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = planted(300, 9)[0]
    expected = kmeans_clusters(x, arity=5, max_leaf=10, seed=1)
    copied: list[int] = []
    gather_rows = kmeans.gather_rows

    def spy(rows: Csr, *others: Any) -> Any:
        got = gather_rows(rows, *others)
        copied.append(len(got.data))
        return got

    monkeypatch.setattr(kmeans, "GATHERED", gathered)
    monkeypatch.setattr(kmeans, "gather_rows", spy)
    got = kmeans_clusters(x, arity=5, max_leaf=10, seed=1)
    assert len(got) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))
    assert max(copied) <= max(gathered, 5 * np.diff(x.indptr).max())  # five rows that centres start from
