"""The truth of predictions: what it copies, and slices over many rows."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from xmcbench.metrics import Truth, evaluate
from xmcbench.metrics.partition import ROWS
from xmcbench.topk import TopK


def test_canonical_labels_are_not_copied_and_others_are_cleaned() -> None:
    clean = sp.csr_matrix(np.array([[1, 0, 1], [0, 1, 0]], np.float32))
    assert np.shares_memory(Truth.build(clean, clean).indices, clean.indices)
    zeros = sp.csr_matrix((np.array([1.0, 0.0, 1.0]), np.array([2, 1, 0]), np.array([0, 2, 3])), shape=(2, 3))
    truth = Truth.build(zeros)
    assert truth.indices.tolist() == [2, 0]
    assert zeros.indices.tolist() == [2, 1, 0], "what is given is not changed"
    twice = sp.csr_matrix((np.ones(3), np.array([2, 2, 0]), np.array([0, 2, 3])), shape=(2, 3))
    assert Truth.build(twice).indices.tolist() == [2, 0]


def test_a_slice_of_labels_over_more_rows_than_a_piece_has() -> None:
    """Each row has label i mod 3, and every fifth row none; the slice has label 2, whose rows are all found."""
    n = 3 * ROWS + 1
    has = np.arange(n) % 5 > 0
    labels = sp.csr_matrix((np.ones(has.sum()), (np.flatnonzero(has), np.arange(n)[has] % 3)), shape=(n, 3))
    truth = Truth.build(labels, label_groups={"last": np.array([False, False, True])})
    topk = TopK.from_arrays((np.arange(n) % 3)[:, None], np.ones((n, 1)))
    (value,) = evaluate(topk, truth, ["P@1:last"], samples=0).values
    expected = int((has & (np.arange(n) % 3 == 2)).sum())
    assert (value.value, value.rows, value.rows_without_labels) == (1.0, expected, n - expected)
