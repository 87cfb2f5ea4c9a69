"""What tests of methods share: small training data, checked predictions, and a reporter that interrupts a fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmcbench.context import Reporter, RunContext
from xmcbench.method import Inputs, TrainData
from xmcbench.topk import TopK


def data(features: object, labels: object) -> TrainData:
    """Training rows from dense (n, d) features and (n, L) labels."""
    x, y = sp.csr_matrix(np.array(features, np.float32)), sp.csr_matrix(np.array(labels, np.float32))
    return TrainData(x, None, None, y.shape[1], y)


def predict(method: Any, rows: Inputs, k: int, folder: Path, **query: int) -> TopK:
    """Predictions that keep the contract."""
    top: TopK = method.predict(rows, k, RunContext(folder, query=query))
    top.check(rows.n_rows, rows.n_labels)
    return top


def same(one: TopK, other: TopK) -> bool:
    """Whether ids and scores are equal to the last bit."""
    return np.array_equal(one.ids, other.ids) and np.array_equal(one.scores, other.scores)


def precision(top: TopK, truth: sp.csr_matrix) -> float:
    """P@1 as a share."""
    return float(np.mean([truth[row, top.ids[row, 0]] for row in range(top.n_rows)]))


class Killer(Reporter):
    """Interrupts a fit at its report of progress number `after` + 1; `reports` counts them."""

    def __init__(self, after: int) -> None:
        self.after, self.reports = after, 0

    def progress(self, done: float, total: float, note: str) -> None:
        self.reports += 1
        if self.reports > self.after:
            raise KeyboardInterrupt
