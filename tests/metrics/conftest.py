"""Small random worlds for the tests of metrics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.metrics import Truth
from xmcbench.topk import TopK

World = tuple[TopK, Truth]


def make_world(seed: int, n: int = 60, n_labels: int = 30, k: int = 8, empty: float = 0.2, short: float = 0.3) -> World:
    """Predictions and truth over a few labels, with rows that have no label and rows with fewer predictions."""
    rng = np.random.default_rng(seed)
    weight = 1 / np.arange(1, n_labels + 1)

    def labels(rows: int) -> sp.csr_matrix:
        dense = np.zeros((rows, n_labels), np.float32)
        for row in np.flatnonzero(rng.random(rows) >= empty):
            mine = rng.choice(n_labels, rng.integers(1, 7), replace=False, p=weight / weight.sum())
            dense[row, mine] = 1
        return sp.csr_matrix(dense)

    test, train = labels(n), labels(3 * n)
    ids = np.argsort(rng.random((n, n_labels)) - 0.6 * test.toarray(), axis=1)[:, :k].astype(np.int32)
    scores = np.sort(rng.random((n, k)).astype(np.float32), axis=1)[:, ::-1].copy()
    cut = np.where(rng.random(n) < short, rng.integers(0, k, n), k)
    ids[np.arange(k) >= cut[:, None]] = -1
    groups = {"depth1": np.arange(n_labels) % 2 == 0}
    rows = {"novel": rng.random(n) < 0.4}
    truth = Truth.build(test, train, (0.55, 1.5), label_groups=groups, row_groups=rows)
    return TopK.from_arrays(ids, scores), truth


@pytest.fixture
def world() -> Callable[..., World]:
    return make_world
