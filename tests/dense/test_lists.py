"""Inverted lists: every known label is in one of them, and a search compares those of the best lists exactly."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from xmcbench.dense.exact import nearest
from xmcbench.dense.lists import SCANNED, Lists, list_count

RNG = np.random.default_rng(0)
TOPICS = RNG.normal(size=(40, 16)).astype(np.float32)
VECTORS = (TOPICS[RNG.integers(0, 40, 2000)] + 0.3 * RNG.normal(size=(2000, 16))).astype(np.float32)
QUERIES = (TOPICS[RNG.integers(0, 40, 70)] + 0.3 * RNG.normal(size=(70, 16))).astype(np.float32)
KNOWN = np.arange(2000) % 7 != 0


@pytest.fixture(scope="module")
def lists() -> Lists:
    return Lists.of(VECTORS, KNOWN)


def test_every_known_label_is_in_one_list(lists: Lists) -> None:
    np.testing.assert_array_equal(np.sort(lists.ids), np.flatnonzero(KNOWN))
    np.testing.assert_array_equal(lists.vectors, VECTORS[lists.ids])
    assert (lists.starts[0], lists.starts[-1], len(lists.starts)) == (0, len(lists.ids), len(lists.means) + 1)
    which = int(np.diff(lists.starts).argmax())
    inside = slice(lists.starts[which], lists.starts[which + 1])
    np.testing.assert_allclose(lists.means[which], lists.vectors[inside].mean(axis=0), rtol=1e-5, atol=1e-6)


def test_the_search_of_all_lists_is_exact(lists: Lists) -> None:
    found = lists.search(QUERIES, 10, len(lists.ids))
    exact = nearest(QUERIES, np.where(KNOWN[:, None], VECTORS, 0).astype(np.float32), 10)
    np.testing.assert_array_equal(found.ids, exact.ids)
    np.testing.assert_allclose(found.scores, exact.scores, rtol=1e-5)
    found.check(70, 2000)


def test_the_search_of_some_lists_is_that_of_their_labels(lists: Lists) -> None:
    """The brute force twin: the lists of largest mean product, all their labels, sorted."""
    found = lists.search(QUERIES, 10, 2)
    probes = -(-2 * SCANNED * len(lists.means) // len(lists.ids))
    assert 0 < probes < len(lists.means) // 4
    for query, ids in zip(QUERIES, found.ids, strict=True):
        best = np.argsort(-(lists.means @ query), kind="stable")[:probes]
        candidates = np.concatenate([lists.ids[lists.starts[i] : lists.starts[i + 1]] for i in best])
        expected = candidates[np.argsort(-(VECTORS[candidates] @ query), kind="stable")][:10]
        np.testing.assert_array_equal(ids, expected)
    exact = nearest(QUERIES, VECTORS[lists.ids], 10)
    hits = [len(set(a) & set(lists.ids[b])) for a, b in zip(found.ids, exact.ids, strict=True)]
    assert np.mean(hits) > 8  # of ten, where labels have topics


def test_threads_batches_and_equal_vectors_change_nothing(lists: Lists) -> None:
    whole = lists.search(QUERIES, 10, 4)
    alone = [lists.search(QUERIES[i : i + 1], 10, 4) for i in range(len(QUERIES))]
    np.testing.assert_array_equal(whole.ids, np.concatenate([one.ids for one in alone]))
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    again, other = lists.search(QUERIES, 10, 4), Lists.of(VECTORS, KNOWN)
    numba.set_num_threads(threads)
    np.testing.assert_array_equal(again.scores, whole.scores)
    np.testing.assert_array_equal(other.ids, lists.ids)
    equal = Lists.of(np.ones((300, 4), np.float32), np.ones(300, np.bool_))
    np.testing.assert_array_equal(equal.search(np.ones((1, 4), np.float32), 5, 300).ids, [[0, 1, 2, 3, 4]])


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_labels_and_more_than_there_are(n: int) -> None:
    few = Lists.of(VECTORS[:n], np.ones(n, np.bool_))
    found = few.search(QUERIES[:3], 8, 100)
    assert [(row[:n] >= 0).all() and (row[n:] == -1).all() for row in found.ids] == [True] * 3


def test_the_number_of_lists_is_about_twice_the_root() -> None:
    assert [list_count(n) for n in (0, 1, 60, 200_000, 670_091, 2_812_281)] == [2, 2, 16, 1024, 2048, 4096]
