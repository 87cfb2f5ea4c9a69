"""A small decision tree that says how often a label with such scores is true, fitted on validation rows.

The final score is 0.3 of the tree's and 0.7 of the ranker's, as in the authors' code. In the paper it is T + p · q,
q = σ(z) of the ranker's margin z, and T looks at p, q, p · q and the label's training rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTH, SHARE = 5, 0.3  # of the tree, and its share of the final score: Gupta et al.'s code
Columns = NDArray[np.float32]  # (m, 3): ranker's margin, model's score, rows of the label in train


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
        """From (m, 3) candidates of validation rows and whether each is true."""
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
