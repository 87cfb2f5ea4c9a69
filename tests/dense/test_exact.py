"""Exact search against a full sort, in blocks of any size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xmcbench.dense import exact, gpu
from xmcbench.dense.exact import nearest
from xmcbench.dense.gpu import nearest_by_torch
from xmcbench.errors import DataError, TimeLimit
from xmcbench.topk import PAD, TopK

Floats = NDArray[np.float32]
few = st.integers(0, 9)


def drawn(n: int, n_labels: int, width: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """Queries, labels and bias of small whole numbers: every sum is exact, ties and equal labels are plenty."""
    rng = np.random.default_rng(seed)
    queries, labels = (rng.integers(-2, 3, (rows, width)).astype(np.float32) for rows in (n, n_labels))
    bias = rng.integers(-2, 3, n_labels).astype(np.float32)
    bias[rng.random(n_labels) < 0.2] = -np.inf  # left out
    return queries, labels, bias


def full_sort(queries: Floats, labels: Floats, bias: Floats | None, k: int) -> TopK:
    scores = queries @ labels.T + (0 if bias is None else bias)
    pad = ((0, 0), (0, max(0, k - len(labels))))
    ids = np.where(scores == -np.inf, PAD, np.arange(len(labels)))
    return TopK.from_arrays(np.pad(ids, pad, constant_values=PAD), np.pad(scores, pad), k)


def same(one: TopK, other: TopK) -> None:
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.ids, other.ids)
    assert (one.ids.dtype, one.scores.dtype) == (np.int32, np.float32)


@contextmanager
def small_blocks() -> Iterator[None]:
    """Several blocks both ways, one of them short, and threads for a search of any size."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (exact, gpu):
            patch.setattr(module, "QUERIES", 3)
            patch.setattr(module, "LABELS", 4)
        patch.setattr(exact, "FEW", 2)
        patch.setattr(exact, "SMALL", 0)
        yield


def test_by_hand() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 0], [2, 2]], np.float32)
    found = nearest(np.array([[1, 0], [0, -1]], np.float32), labels, 3, bias=np.array([0, 0, 0.5, -1], np.float32))
    assert found.ids.tolist() == [[2, 0, 3], [2, 0, 1]]
    assert found.scores.tolist() == [[1.5, 1, 1], [0.5, 0, -1]]


@settings(max_examples=80, deadline=None)
@given(few, st.integers(0, 14), st.integers(0, 3), st.integers(0, 16), st.booleans(), st.integers(0, 10**6))
def test_is_a_full_sort(n: int, n_labels: int, width: int, k: int, biased: bool, seed: int) -> None:
    queries, labels, bias = drawn(n, n_labels, width, seed)
    given_bias = bias if biased else None
    with small_blocks():
        same(nearest(queries, labels, k, bias=given_bias), full_sort(queries, labels, given_bias, k))


@pytest.mark.parametrize("k", [1, 5, 100, 300])
def test_strips_and_remainders(k: int) -> None:
    """Rows longer than a strip and blocks of real size."""
    queries, labels, bias = drawn(exact.QUERIES + 3, exact.LABELS * 2 + 77, 8, k)
    same(nearest(queries, labels, k, bias=bias), full_sort(queries, labels, bias, k))


@pytest.mark.parametrize("n", [1, 5, 1030])
def test_threads_change_no_bit(n: int) -> None:
    rng = np.random.default_rng(0)
    queries, labels = (rng.standard_normal((rows, 24), np.float32) for rows in (n, 5000))
    labels[2500:] = labels[:2500]
    many, before = nearest(queries, labels, 20), numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        same(nearest(queries, labels, 20), many)
    finally:
        numba.set_num_threads(before)


def test_equal_labels_are_by_id() -> None:
    found = nearest(np.ones((9, 2), np.float32), np.ones((3000, 2), np.float32), 7)
    assert (found.ids == np.arange(7)).all()


@settings(max_examples=60, deadline=None)
@given(few, st.integers(0, 14), st.integers(0, 3), st.integers(0, 16), st.booleans(), st.integers(0, 10**6))
def test_torch_differs_only_among_ties_for_the_last_place(
    n: int, n_labels: int, width: int, k: int, biased: bool, seed: int
) -> None:
    queries, labels, bias = drawn(n, n_labels, width, seed)
    given_bias = bias if biased else None
    with small_blocks():
        found = nearest_by_torch(queries, labels, k, bias=given_bias, device="cpu")
    known = full_sort(queries, labels, given_bias, k)
    np.testing.assert_array_equal(found.scores, known.scores)
    before = known.scores > known.scores[:, -1:] if k else known.scores > 0
    np.testing.assert_array_equal(found.ids[before], known.ids[before])
    found.check(n, n_labels)


def test_tensors_are_searched_where_they_are() -> None:
    queries, labels, bias = drawn(6, 40, 3, 1)
    tensors = [torch.from_numpy(array) for array in (queries, labels, bias)]
    same(nearest(tensors[0], tensors[1], 4, bias=tensors[2]), nearest(queries, labels, 4, bias=bias))


@pytest.mark.parametrize("name", ["queries", "labels", "bias"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_what_is_no_number_is_refused(name: str, number: float) -> None:
    n, n_labels = 600, 2000
    arrays = {"queries": np.ones((n, 3), np.float32), "labels": np.ones((n_labels, 3), np.float32)}
    arrays["bias"] = np.zeros(n_labels, np.float32)
    arrays[name][(-1,) * arrays[name].ndim] = number
    row = n - 1 if name == "queries" else 0
    for search in (nearest, lambda *args, **named: nearest_by_torch(*args, **named, device="cpu")):
        with pytest.raises(DataError, match=f"query {row} " if search is not nearest else "query [0-9]+ has a score"):
            search(arrays["queries"], arrays["labels"], 2, bias=arrays["bias"])


@pytest.mark.parametrize(
    ("queries", "labels", "bias", "k", "said"),
    [
        (np.zeros((2, 3)), np.zeros((4, 3), np.float32), None, 1, "queries are float64"),
        (np.zeros((2, 3), np.float32), np.zeros((4, 2), np.float32), None, 1, r"\(2, 3\) and labels \(4, 2\)"),
        (np.zeros((2, 3), np.float32), np.zeros((4, 3), np.float32), np.zeros(3, np.float32), 1, "bias"),
        (np.zeros((2, 3), np.float32), np.zeros((4, 3), np.float32), None, -1, "k is -1"),
    ],
)
def test_wrong_input(queries: Floats, labels: Floats, bias: Floats | None, k: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        nearest(queries, labels, k, bias=bias)


def late(done: int, n: int) -> None:
    raise TimeLimit("late")


def test_progress_counts_up_and_may_stop_the_search() -> None:
    queries, labels, _ = drawn(11, 40, 3, 2)
    said: list[tuple[int, int]] = []
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        with small_blocks():
            nearest(queries, labels, 2, progress=lambda done, n: said.append((done, n)))
            with pytest.raises(TimeLimit):
                nearest(queries, labels, 2, progress=late)
    finally:
        numba.set_num_threads(before)
    assert said == [(3, 11), (6, 11), (9, 11), (11, 11)]


def test_memory_is_a_block_and_the_result() -> None:
    rng = np.random.default_rng(0)
    queries, labels = (rng.standard_normal((rows, 8), np.float32) for rows in (4000, 20_000))
    nearest(queries[:600], labels, 5)  # what is made once
    tracemalloc.start()
    nearest(queries, labels, 5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    threads, block = numba.get_num_threads(), exact.QUERIES * exact.LABELS * 4
    assert peak < 2 * threads * block, f"{peak / 2**20:.1f} MiB; all scores would be {4000 * 20_000 * 4 / 2**20:.0f}"
