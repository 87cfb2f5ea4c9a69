"""Approximate search: near the exact one, and the same at any time."""

from __future__ import annotations

import sys

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from xmcbench.dense.ann import Hnsw, recall
from xmcbench.dense.exact import nearest
from xmcbench.errors import DataError, XmcError
from xmcbench.topk import PAD, TopK

Floats = NDArray[np.float32]


@pytest.fixture
def faiss() -> None:
    pytest.importorskip("faiss", reason="faiss isn't installed: pip install -e '.[ann]'")


def drawn(n_labels: int = 1500, width: int = 16) -> tuple[Floats, Floats]:
    """Queries, and labels of very unequal norms."""
    rng = np.random.default_rng(0)
    labels = rng.standard_normal((n_labels, width), np.float32)
    labels *= rng.lognormal(0, 0.8, (n_labels, 1)).astype(np.float32)
    return rng.standard_normal((60, width), np.float32), labels


@pytest.mark.usefixtures("faiss")
def test_finds_nearly_all() -> None:
    queries, labels = drawn()
    found, known = Hnsw(labels).search(queries, 10, ef=200), nearest(queries, labels, 10)
    found.check(len(queries), len(labels))
    assert recall(found, known) > 0.95
    true = np.take_along_axis(queries @ labels.T, found.ids.astype(int), axis=1)
    np.testing.assert_allclose(found.scores, true, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("faiss")
def test_threads_change_nothing() -> None:
    queries, labels = drawn()
    many, before = Hnsw(labels).search(queries, 10, ef=20), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        one = Hnsw(labels).search(queries, 10, ef=20)
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(one.ids, many.ids)
    assert np.array_equal(one.scores, many.scores)


@pytest.mark.usefixtures("faiss")
def test_faiss_keeps_its_threads() -> None:
    import faiss

    before = faiss.omp_get_max_threads()
    Hnsw(np.eye(3, dtype=np.float32)).search(np.eye(3, dtype=np.float32), 1)
    assert faiss.omp_get_max_threads() == before


@pytest.mark.usefixtures("faiss")
def test_few_labels() -> None:
    labels = np.array([[1, 0], [1, 0], [0, 3]], np.float32)
    index = Hnsw(labels)
    assert index.search(np.array([[1, 0]], np.float32), 5).ids.tolist() == [[0, 1, 2, PAD, PAD]]
    assert index.search(np.empty((0, 2), np.float32), 5).ids.shape == (0, 5)
    assert index.search(labels, 0).ids.shape == (3, 0)
    assert (Hnsw(labels[:0]).search(labels, 2).ids == PAD).all()


@pytest.mark.usefixtures("faiss")
def test_what_is_no_number_is_refused() -> None:
    queries, labels = drawn(30)
    index = Hnsw(labels)
    queries[7, 0] = labels[9, 1] = np.nan
    with pytest.raises(DataError, match="query 7"):
        index.search(queries, 3)
    with pytest.raises(DataError, match="label 9"):
        Hnsw(labels)


def test_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(XmcError, match=r"pip install -e '\.\[ann\]'"):
        Hnsw(np.zeros((3, 2), np.float32))


def test_recall_by_hand() -> None:
    zeros = np.zeros((2, 3), np.float32)
    exact = TopK(np.array([[1, 2, 3], [4, PAD, PAD]], np.int32), zeros)
    assert recall(TopK(np.array([[3, 9, 1], [PAD, PAD, PAD]], np.int32), zeros), exact) == 0.5
    assert recall(exact, exact) == 1
    assert np.isnan(recall(exact, TopK(np.full((2, 3), PAD, np.int32), zeros)))
    with pytest.raises(ValueError, match="rows"):
        recall(exact.cut(1), TopK(zeros[:1].astype(np.int32), zeros[:1]))
