"""The validation rows the harness carves where a data set has no official ones: for methods that ask and for tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.method import TrainData

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset

CARVE_SEED = 0  # one carve a data set, the same for every method and seed, so that validation scores compare
SHARE, MOST = 0.05, 5_000  # of the training rows; the ELIAS authors hold out 4,000 to 5,000 of 490,449


def carve(train: TrainData, seed: int) -> tuple[TrainData, TrainData]:
    """Split training rows into (rows to fit, rows to select on), both in their old order.

    The second part is 5 % of the rows, at least one and at most 5,000, drawn without replacement; a single
    training row is not split and serves as both.
    """
    held = held_out(train.n_rows, seed)
    if train.n_rows < 2:
        return train, train
    return train.rows(np.flatnonzero(~held)), train.rows(np.flatnonzero(held))


def held_out(n: int, seed: int) -> NDArray[np.bool_]:
    """(n,) which rows of n `carve` selects on; a single row is."""
    if n < 2:
        return np.ones(n, np.bool_)
    held = np.zeros(n, np.bool_)
    size = min(MOST, max(1, round(SHARE * n)))
    held[np.random.default_rng(seed).choice(n, size, replace=False)] = True
    return held


@dataclass(frozen=True)
class TuningRows:
    """Rows to fit on and rows to score on while tuning, and what to say of them.

    Attributes
    ----------
    fit, score : the official training and development rows, or both parts of the carve every method gets.
    pairs : (m, 2) int64 (row of `score`, label) that must not count.
    split : "official" or "carved".
    """

    fit: TrainData
    score: TrainData
    pairs: NDArray[np.int64]
    split: str

    @classmethod
    def of(cls, dataset: Dataset) -> TuningRows:
        """The rows of a data set; its filter pairs follow the carved rows."""
        train, official = dataset.train_data(), dataset.validation_data()
        if official is not None:
            return cls(train, official, np.empty((0, 2), np.int64), "official")
        fit, score = carve(train, CARVE_SEED)
        held, pairs = held_out(train.n_rows, CARVE_SEED), dataset.train_filter
        kept = pairs[held[pairs[:, 0]]] if len(pairs) else np.empty((0, 2), np.int64)
        new_row = np.cumsum(held) - 1
        return cls(fit, score, np.column_stack([new_row[kept[:, 0]], kept[:, 1]]), "carved")
