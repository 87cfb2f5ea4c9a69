"""The best of a row against full sorts."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.sparse.topk import best_first, best_of
from xmcbench.topk import PAD, TopK


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 50)), max_size=40), st.integers(0, 45))
def test_best_first_sorts_by_score_then_id(pairs: list[tuple[int, int]], k: int) -> None:
    pairs = list({ident: (score, ident) for score, ident in pairs}.values())
    scores = np.array([score for score, _ in pairs], np.float64)
    ids = np.array([ident for _, ident in pairs], np.int64)
    best_ids, best_scores = np.empty(k, np.int64), np.empty(k, np.float64)
    n = best_first(ids, scores, best_ids, best_scores)
    got = list(zip(best_scores[:n].tolist(), best_ids[:n].tolist(), strict=True))
    assert got == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:k]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(1, 12), st.integers(1, 15), st.integers(0, 10**6))
def test_best_of_is_from_arrays(n: int, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((n, m + 3)), axis=1)[:, :m].astype(np.int32)
    ids[rng.random((n, m)) < 0.3] = PAD
    scores = rng.integers(-2, 3, (n, m)).astype(np.float32)  # ties are plenty
    scores[rng.random((n, m)) < 0.1] = -np.inf
    known, got = TopK.from_arrays(np.where(scores == -np.inf, PAD, ids), scores, k), best_of(ids, scores, k)
    assert np.array_equal(got.ids, known.ids)
    assert np.array_equal(got.scores, known.scores)


def test_threads_change_nothing() -> None:
    rng = np.random.default_rng(0)
    ids = np.argsort(rng.random((50, 40)), axis=1).astype(np.int32)
    scores = rng.integers(0, 5, (50, 40)).astype(np.float32)
    many, before = best_of(ids, scores, 7), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        assert np.array_equal(best_of(ids, scores, 7).ids, many.ids)
    finally:
        numba.set_num_threads(before)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        best_of(np.zeros((1, 1), np.int32), np.full((1, 1), np.nan, np.float32), 1)
