"""A small decision tree that says how often a label with such scores is true, fitted on validation rows.

The paper's final score is T + p · q, T the tree's share of true labels among candidates with such (p, q, p · q, n):
p the network's score, q that of the linear ranker as a probability, n the label's training rows (Gupta et al., NeurIPS
2022, appendix). A label that only one of the two names has 0 from the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench_elias.fusion import FLOOR, Candidates

DEPTH = 5  # of the tree: Gupta et al.'s appendix
Columns = NDArray[np.float32]  # (m, 4): p, q, p · q, rows of the label in train


@dataclass(frozen=True)
class Calibration:
    """A fitted regression tree as arrays over its nodes, node 0 the root.

    Attributes
    ----------
    column, left, right : (nodes,) int64: a row goes left where its `column` is at most `border`; column −2 at leaves.
    border, value : (nodes,) float64: share of true labels at a leaf.
    """

    column: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    border: NDArray[np.float64]
    value: NDArray[np.float64]

    @classmethod
    def fit(cls, columns: Columns, true: NDArray[np.bool_], seed: int) -> Calibration:
        """From (m, 4) candidates of validation rows and whether each is true."""
        from sklearn.tree import DecisionTreeRegressor

        tree: Any = DecisionTreeRegressor(max_depth=DEPTH, random_state=seed).fit(columns, true).tree_
        parts = tree.feature, tree.children_left, tree.children_right, tree.threshold, tree.value[:, 0, 0]
        return cls(*(np.array(part) for part in parts))

    def __call__(self, columns: Columns) -> NDArray[np.float64]:
        """(m,) share of true labels among candidates like these."""
        node = np.zeros(len(columns), np.int64)
        every = np.arange(len(columns))
        for _ in range(DEPTH):
            column = self.column[node]
            inner = column >= 0
            low = columns[every, np.maximum(column, 0)] <= self.border[node]
            node = np.where(inner, np.where(low, self.left[node], self.right[node]), node)
        return np.asarray(self.value[node])

    def score(self, given: Candidates, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m) T + p · q of candidates; −inf at padding."""
        columns = calibration_columns(given, seen)
        scores = np.full(given.ids.shape, -np.inf, np.float32)
        scores[given.real] = self(columns) + columns[:, 2]
        return scores


def calibration_columns(given: Candidates, seen: NDArray[np.float32]) -> Columns:
    """(m, 4) of the candidates that are no padding."""
    said = dict(zip(given.parts, np.moveaxis(given.said, 2, 0), strict=True))
    nothing = np.full(given.ids.shape, np.nan, np.float32)
    p = np.maximum(np.exp(said.get("model", nothing)) - FLOOR, 0)
    trees = np.maximum(np.exp(said.get("trees", nothing)) - FLOOR, 0)
    q = trees if "trees" in said else 1 / (1 + np.exp(-said.get("all", nothing)))
    p, q = np.nan_to_num(p), np.nan_to_num(q)
    stacked = np.stack([p, q, p * q, seen[np.maximum(given.ids, 0)]], axis=2)
    return np.asarray(stacked[given.real], np.float32)
