"""Calibration by a small decision tree, fitted on validation rows, of how often a label with given scores is true.

The paper's final score is T + p · q, where T is the tree's share of true labels among candidates with similar
(p, q, p · q, n): p the network's score, q the linear ranker's score as a probability, n the label's training rows
(Gupta et al., NeurIPS 2022, appendix). A label that only one of the two parts returns has score 0 in the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench_elias.ranking.fusion import FLOOR, Candidates

DEPTH = 5  # maximum depth of the tree: Gupta et al.'s appendix
Columns = NDArray[np.float32]  # (m, 4): p, q, p · q, rows of the label in train


@dataclass(frozen=True)
class Calibration:
    """A fitted regression tree as arrays over its nodes, node 0 the root.

    Attributes
    ----------
    column, left, right : (nodes,) int64: a row goes left where its `column` is at most `border`; column −2 at leaves.
    border, value : (nodes,) float64: threshold of a split; share of true labels at a leaf.
    """

    column: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    border: NDArray[np.float64]
    value: NDArray[np.float64]

    @classmethod
    def fit(cls, columns: Columns, true: NDArray[np.bool_], seed: int) -> Calibration:
        """Fit on (m, 4) candidates of validation rows; `true` (m,) marks the true ones."""
        from sklearn.tree import DecisionTreeRegressor

        tree: Any = DecisionTreeRegressor(max_depth=DEPTH, random_state=seed).fit(columns, true).tree_
        parts = tree.feature, tree.children_left, tree.children_right, tree.threshold, tree.value[:, 0, 0]
        return cls(*(np.array(part) for part in parts))

    def __call__(self, columns: Columns) -> NDArray[np.float64]:
        """(m,) predicted share of true labels."""
        node = np.zeros(len(columns), np.int64)
        indices = np.arange(len(columns))
        for _ in range(DEPTH):
            column = self.column[node]
            inner = column >= 0
            low = columns[indices, np.maximum(column, 0)] <= self.border[node]
            node = np.where(inner, np.where(low, self.left[node], self.right[node]), node)
        return np.asarray(self.value[node])

    def score(self, candidates: Candidates, label_counts: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m) T + p · q of the candidates; −inf at padding."""
        columns = calibration_columns(candidates, label_counts)
        scores = np.full(candidates.ids.shape, -np.inf, np.float32)
        scores[candidates.valid] = self(columns) + columns[:, 2]
        return scores


def calibration_columns(candidates: Candidates, label_counts: NDArray[np.float32]) -> Columns:
    """(m, 4) columns of the candidates without padding."""
    scores_by_part = dict(zip(candidates.parts, np.moveaxis(candidates.scores, 2, 0), strict=True))
    missing = np.full(candidates.ids.shape, np.nan, np.float32)
    p = np.maximum(np.exp(scores_by_part.get("model", missing)) - FLOOR, 0)
    trees = np.maximum(np.exp(scores_by_part.get("trees", missing)) - FLOOR, 0)
    q = trees if "trees" in scores_by_part else 1 / (1 + np.exp(-scores_by_part.get("all", missing)))
    p, q = np.nan_to_num(p), np.nan_to_num(q)
    stacked = np.stack([p, q, p * q, label_counts[np.maximum(candidates.ids, 0)]], axis=2)
    return np.asarray(stacked[candidates.valid], np.float32)
