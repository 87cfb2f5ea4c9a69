"""The validation rows the harness carves for methods that ask, where a data set has no official ones."""

from __future__ import annotations

import numpy as np

from xmcbench.method import TrainData

SHARE, MOST = 0.05, 5_000  # of the training rows; the ELIAS authors hold out 4,000 to 5,000 of 490,449


def carve(train: TrainData, seed: int) -> tuple[TrainData, TrainData]:
    """Split training rows into (rows to fit, rows to select on), both in their old order.

    The second part is 5 % of the rows, at least one and at most 5,000, drawn without replacement; a single
    training row is not split and serves as both.
    """
    n = train.n_rows
    if n < 2:
        return train, train
    held = np.zeros(n, bool)
    size = min(MOST, max(1, round(SHARE * n)))
    held[np.random.default_rng(seed).choice(n, size, replace=False)] = True
    return train.rows(np.flatnonzero(~held)), train.rows(np.flatnonzero(held))
