"""Search by 8-bit codes finds what a float64 product of all labels finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.dense.coarse import Coarse
from xmcbench.dense.exact import SMALL
from xmcbench.dense.index import LabelIndex
from xmcbench.errors import DataError


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 300), st.integers(1, 70)),
    spread=st.sampled_from([0.0, 1.0, 4.0]),
    size=st.sampled_from([1e-20, 1e-3, 1.0, 1e6]),
)
def test_the_best_labels_are_found(seed: int, shape: tuple[int, int], spread: float, size: float) -> None:
    """Also among labels of very different lengths, zeros, and labels that differ by less than a code."""
    rng = np.random.default_rng(seed)
    lengths = np.exp(spread * rng.standard_normal(shape[0]))[:, None]
    labels = (size * lengths * (rng.standard_normal(shape) + 3 * rng.standard_normal(shape[1]))).astype(np.float32)
    labels[rng.random(shape[0]) < 0.1] = 0
    queries = np.vstack([rng.standard_normal((2, shape[1])), np.zeros(shape[1])]).astype(np.float32)
    k = int(rng.integers(1, shape[0] + 1))
    top = Coarse(labels).search(queries, k)
    for query, ids, scores in zip(queries, top.ids, top.scores, strict=True):
        exact = labels.astype(np.float64) @ query
        slack = 1e-5 * np.linalg.norm(labels.astype(np.float64), axis=1).max() * np.linalg.norm(query)
        assert len(set(ids.tolist())) == k
        np.testing.assert_allclose(scores, exact[ids], rtol=1e-5, atol=slack)
        np.testing.assert_allclose(scores, np.sort(exact)[::-1][:k], rtol=1e-5, atol=slack)


def test_equal_labels_come_by_their_ids() -> None:
    labels = np.tile(np.array([[1, 2], [3, 4]], np.float32), (50, 1))
    top = Coarse(labels).search(np.array([[1, 1]], np.float32), 53)
    assert top.ids[0].tolist() == [*range(1, 100, 2), 0, 2, 4]


def test_few_labels_are_multiplied_again() -> None:
    rng = np.random.default_rng(0)
    labels = rng.standard_normal((20_000, 64)).astype(np.float32)
    assert len(Coarse(labels)._candidates(labels[0], 100)) < 1000


def test_an_index_answers_few_queries_as_many() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((SMALL // 64 + 7, 64)).astype(np.float32)
    known = rng.random(len(vectors)) < 0.99
    known[: SMALL // 64] = True
    queries = rng.standard_normal((9, 64)).astype(np.float32)
    index = LabelIndex.of(vectors, known, "exact")
    together = index.search(queries, 50, 100)
    assert index._coarse is None
    alone = [index.search(queries[row : row + 1], 50, 100) for row in range(9)]
    assert index._coarse is not None
    np.testing.assert_array_equal(together.ids, np.concatenate([top.ids for top in alone]))
    np.testing.assert_allclose(together.scores, np.concatenate([top.scores for top in alone]), rtol=1e-5)
    with pytest.raises(DataError, match="query 0 has a score that is NaN"):
        index.search(np.full((1, 64), np.nan, np.float32), 50, 100)
    assert index.search(queries[:0], 50, 100).ids.shape == (0, 50)
    assert index.search(queries[:1], 0, 100).ids.shape == (1, 0)
