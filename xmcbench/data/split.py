"""Carved validation rows for data sets without an official validation split, used by methods and for tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.method import TrainData

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset

CARVE_SEED = 0  # one carve per data set, equal for all methods and seeds, so that validation scores are comparable
HELD_OUT_SHARE, MAX_HELD_OUT = 0.05, 5_000  # of the training rows; the ELIAS authors hold out 4,000 to 5,000 of 490,449


def carve(train: TrainData, seed: int) -> tuple[TrainData, TrainData]:
    """Split training rows into (rows to fit on, carved validation rows), both in their original order.

    The second part is 5 % of the rows, at least one and at most 5,000, drawn without replacement. A single training row
    is used as both parts.
    """
    if train.n_rows < 2:
        return train, train
    is_held_out = held_out(train.n_rows, seed)
    return train.rows(np.flatnonzero(~is_held_out)), train.rows(np.flatnonzero(is_held_out))


def held_out(n: int, seed: int) -> NDArray[np.bool_]:
    """(n,) which of n rows `carve` puts into validation; a single row is."""
    if n < 2:
        return np.ones(n, np.bool_)
    is_held_out = np.zeros(n, np.bool_)
    size = min(MAX_HELD_OUT, max(1, round(HELD_OUT_SHARE * n)))
    is_held_out[np.random.default_rng(seed).choice(n, size, replace=False)] = True
    return is_held_out


@dataclass(frozen=True)
class TuningRows:
    """Rows to fit on and rows to score on while tuning, and the origin of the latter.

    Attributes
    ----------
    fit, score : the official training and development rows, or the two parts of `carve`.
    pairs : (m, 2) int64 (row of `score`, label) to exclude from evaluation.
    split : "official" or "carved".
    """

    fit: TrainData
    score: TrainData
    pairs: NDArray[np.int64]
    split: str

    @classmethod
    def of(cls, dataset: Dataset) -> TuningRows:
        """The tuning rows of a data set. Filter pairs of carved rows are renumbered to the rows of `score`."""
        train, official = dataset.train_data(), dataset.validation_data()
        if official is not None:
            return cls(train, official, np.empty((0, 2), np.int64), "official")
        fit, score = carve(train, CARVE_SEED)
        is_held_out, pairs = held_out(train.n_rows, CARVE_SEED), dataset.train_filter
        score_pairs = pairs[is_held_out[pairs[:, 0]]] if len(pairs) else np.empty((0, 2), np.int64)
        new_row = np.cumsum(is_held_out) - 1
        return cls(fit, score, np.column_stack([new_row[score_pairs[:, 0]], score_pairs[:, 1]]), "carved")
