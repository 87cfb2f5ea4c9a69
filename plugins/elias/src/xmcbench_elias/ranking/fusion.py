"""The final ranking: a weighted fusion of the scores of network, linear classifiers and dual encoder.

Each part returns its best labels; their union are the candidates of a row. The first ranks are sorted by a linear score
with these inputs:

    per part, its score of the label; if the part did not return the label, its lowest score of that row, and a flag
    −log(1 + n), n the label's training rows: classifiers of rare labels give small margins

The weights are learned on validation rows: first by a softmax over a row's candidates, which is convex, then by steps
that raise nDCG@5 itself. That score ranks labels from a single part too low, so beyond the first ranks labels are
sorted by summed reciprocal ranks (Cormack et al., SIGIR 2009), which needs no weights.

On request the first ranks are sorted as in the paper instead, by T + p · q: p is the network's score, q the linear
ranker's score as a probability, and T the share of true labels among candidates with similar (p, q, p · q, n), by a
small decision tree that is fitted on validation rows (Gupta et al., NeurIPS 2022, appendix). A label that only one of
the two parts returns has score 0 in the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.sparse.topk import best_of
from xmcbench.topk import PAD, TopK
from xmcbench_elias.search.predict import validation_score

Array = NDArray[np.float64]
HEAD = 10  # ranks sorted by the learned score; they determine nDCG@5, P@5 and PSP@5
RANK = 60  # added to a rank before taking its reciprocal: Cormack et al.
NAMED = 200  # labels per part and row: R@100 needs a hundred, and parts may disagree
FLOOR = 1e-6  # added to a probability before its logarithm: scores at the end of a shortlist are noise
# Weights if there are no validation rows, and the prior if there are few: typical weights learned on other data.
USUAL = {"model": 0.2, "trees": 0.3, "all": 2.0, "dual": 3.0}
USUAL_COUNT, USUAL_MISSING = 0.05, 1.0
PULL = 20.0  # strength of the prior, in true labels
STEPS = (0.5, 0.75, 1.33, 2.0)  # factors tried on a weight to raise nDCG@5
ROUNDS = 2  # passes over all weights
HALF_A_ROW = 0.5  # minimum gain of a step in nDCG@5 summed over rows, so that chance gains of a few rows do not count
PROBABILITIES = ("model", "trees")  # parts with scores in [0, 1], whose logarithms are used
DEPTH = 5  # maximum depth of the tree: Gupta et al.'s appendix
Columns = NDArray[np.float32]  # (m, 4): p, q, p · q, rows of the label in train


@dataclass(frozen=True)
class Candidates:
    """All labels that the parts return for n rows, and each part's score of them.

    Attributes
    ----------
    parts : P names. ids : (n, m) int32, ascending, then padding.
    scores : (n, m, P) float32: scores of the parts, logarithms of probabilities; NaN if the part did not return it.
    """

    parts: tuple[str, ...]
    ids: NDArray[np.int32]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, tops: dict[str, TopK]) -> Candidates:
        """Build from each part's labels, in any order, no label twice in a row."""
        n = len(next(iter(tops.values())).ids)
        ids = np.concatenate([top.ids for top in tops.values()], axis=1)
        scores = np.concatenate([_comparable(name, top) for name, top in tops.items()], axis=1)
        part = np.concatenate([np.full(top.ids.shape[1], at) for at, top in enumerate(tops.values())])
        keys = np.where(ids == PAD, np.iinfo(np.int32).max, ids)
        order = np.argsort(keys, axis=1, kind="stable")
        keys = np.take_along_axis(keys, order, 1)
        new = np.ones(keys.shape, bool)
        new[:, 1:] = keys[:, 1:] != keys[:, :-1]
        valid = keys != np.iinfo(np.int32).max
        position = np.cumsum(new & valid, axis=1) - 1
        width = int(position.max(initial=0)) + 1
        all_ids = np.full((n, width), PAD, np.int32)
        all_scores = np.full((n, width, len(tops)), np.nan, np.float32)
        rows = np.broadcast_to(np.arange(n)[:, None], keys.shape)[valid]
        all_ids[rows, position[valid]] = keys[valid]
        all_scores[rows, position[valid], part[order][valid]] = np.take_along_axis(scores, order, 1)[valid]
        return cls(tuple(tops), all_ids, all_scores)

    @staticmethod
    def names(parts: tuple[str, ...]) -> list[str]:
        """Names of the columns, for records."""
        return [*parts, "count", *(f"not named by {part}" for part in parts)]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """(n, m) False at padding."""
        return np.asarray(self.ids != PAD)

    def columns(self, label_counts: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m, 2 P + 1): P scores, gaps filled; −log(1 + n); P flags, −1 if a part did not return the label."""
        missing = np.isnan(self.scores)
        lowest = np.min(np.where(missing, np.inf, self.scores), axis=1, initial=np.inf, keepdims=True)
        lowest = np.where(np.isfinite(lowest), lowest, 0).astype(np.float32)
        count = -np.log1p(label_counts)[np.maximum(self.ids, 0)][:, :, None]
        return np.concatenate([np.where(missing, lowest, self.scores), count, -missing.astype(np.float32)], axis=2)

    def reciprocal(self) -> NDArray[np.float32]:
        """(n, m): Σ of 1 / (60 + rank) over the parts that return a label."""
        total = np.zeros(self.ids.shape, np.float32)
        for part in range(len(self.parts)):
            score = np.where(np.isnan(self.scores[:, :, part]), -np.inf, self.scores[:, :, part])
            order = np.argsort(-score, axis=1, kind="stable")  # ties: lower id first, since ids ascend
            rank = np.empty_like(order)
            np.put_along_axis(rank, order, np.arange(order.shape[1])[None, :], 1)
            total += np.where(score > -np.inf, np.float32(1) / (RANK + 1 + rank), np.float32(0)).astype(np.float32)
        return total


@dataclass(frozen=True)
class Fusion:
    """Weights of the columns of `Candidates` with the same parts in the same order."""

    parts: tuple[str, ...]
    weights: Array

    @classmethod
    def usual(cls, parts: tuple[str, ...]) -> Fusion:
        """Default weights, if there are no validation rows."""
        return cls(parts, np.array([*(USUAL[part] for part in parts), USUAL_COUNT, *(USUAL_MISSING for _ in parts)]))

    @classmethod
    def learn(cls, candidates: Candidates, label_counts: NDArray[np.float32], labels: sp.csr_matrix) -> Fusion:
        """Learn from validation rows: candidates, (L,) training rows of each label, true labels (n, L)."""
        usual, true = cls.usual(candidates.parts), given_truth(candidates.ids, labels)
        if not true.any():
            return usual
        columns = candidates.columns(label_counts)
        scale = np.maximum(columns[candidates.valid].std(axis=0, dtype=np.float64), 1e-6)
        weights = _softmax_weights(columns / scale.astype(np.float32), candidates.valid, true, usual.weights * scale)
        return cls(candidates.parts, _raise_ndcg(weights / scale, columns, candidates, labels))

    def __call__(self, candidates: Candidates, label_counts: NDArray[np.float32], k: int) -> TopK:
        """The k best candidates of each row.

        Scores are comparable only within a row: the first ranks have the learned score, every later rank has a score
        lower by one.
        """
        return self.ranked(candidates, self.score(candidates.columns(label_counts)), k)

    def score(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m) from columns (n, m, C); the fixed order of sums makes it independent of threads and batches."""
        total = np.zeros(columns.shape[:2])
        for at, weight in enumerate(self.weights):
            total += weight * columns[:, :, at]
        return total.astype(np.float32)

    @staticmethod
    def ranked(candidates: Candidates, score: NDArray[np.float32], k: int) -> TopK:
        """Sort the first ranks by a score (n, m), the others by reciprocal ranks."""
        k = min(k, candidates.ids.shape[1])
        head = best_of(candidates.ids, score, min(k, HEAD))
        if k <= HEAD:
            return head
        in_head = (candidates.ids[:, :, None] == head.ids[:, None, :]).any(axis=2)
        rest = best_of(np.where(in_head, PAD, candidates.ids), candidates.reciprocal(), k - HEAD)
        # Scores by rank, since the differences of reciprocal ranks would vanish by rounding next to the first scores.
        rest_scores = head.scores[:, -1:] - np.arange(1, k - HEAD + 1)
        rest_scores = np.where(rest.ids == PAD, -np.inf, rest_scores).astype(np.float32)
        return TopK(np.concatenate([head.ids, rest.ids], axis=1), np.concatenate([head.scores, rest_scores], axis=1))


def given_truth(ids: NDArray[np.int32], labels: sp.csr_matrix) -> NDArray[np.bool_]:
    """(n, m) True for candidates that are true labels; `labels` (n, L)."""
    wide = labels.shape[1] + 1
    true = np.repeat(np.arange(len(ids)), np.diff(labels.indptr)) * wide + labels.indices
    return np.asarray(np.isin(np.arange(len(ids))[:, None] * wide + ids, true) & (ids != PAD))


def _comparable(name: str, top: TopK) -> NDArray[np.float32]:
    scores = np.where(top.ids == PAD, 0, top.scores)
    return np.log(scores + FLOOR).astype(np.float32) if name in PROBABILITIES else scores.astype(np.float32)


def _softmax_weights(
    columns: NDArray[np.float32], valid: NDArray[np.bool_], true: NDArray[np.bool_], usual: Array
) -> Array:
    """Weights of scaled columns by maximum likelihood of each true label against the candidates that are not true.

    The decoupled softmax (Gupta et al., DEXML, ICLR 2024): other true labels are not among the competitors. Weights of
    parts and flags are not negative, since being returned by a part is no evidence against a label; `usual` is the
    prior.
    """
    from scipy.optimize import minimize

    rows = np.flatnonzero(true.any(axis=1))
    x, wrong, true = columns[rows].astype(np.float64), valid[rows] & ~true[rows], true[rows]
    true_places, n_true = np.nonzero(true), int(true.sum())
    parts = columns.shape[2] // 2

    def loss(weights: Array) -> tuple[float, Array]:
        s = np.einsum("nmc,c->nm", x, weights)
        shift = np.where(valid[rows], s, -np.inf).max(axis=1, keepdims=True)
        e = np.exp(np.minimum(s - shift, 0))
        rivals = (e * wrong).sum(axis=1)
        mean = np.einsum("nm,nmc->nc", e * wrong, x) / np.maximum(rivals, 1e-300)[:, None]
        true_exp = e[true_places]
        p = true_exp / np.maximum(true_exp + rivals[true_places[0]], 1e-300)
        value = -np.log(np.maximum(p, 1e-300)).sum() / n_true
        slope = ((1 - p)[:, None] * (mean[true_places[0]] - x[true_places])).sum(axis=0) / n_true
        gap = weights - usual
        return value + PULL / n_true * float(gap @ gap), slope + 2 * PULL / n_true * gap

    bounds: list[Any] = [(0, None)] * columns.shape[2]
    bounds[parts] = (None, None)
    optimum: Array = minimize(loss, usual, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100}).x
    return optimum


def _raise_ndcg(weights: Array, columns: NDArray[np.float32], candidates: Candidates, labels: sp.csr_matrix) -> Array:
    """Improve weights by coordinate steps while nDCG@5 on these rows rises."""
    weights = weights.copy()
    parts = np.stack([columns[:, :, at] for at in range(columns.shape[2])])  # one contiguous array per column
    total = np.einsum("cnm,c->nm", parts, weights)

    def ndcg(score: Array) -> float:
        return validation_score(best_of(candidates.ids, score.astype(np.float32), 5), labels)

    best, min_gain = ndcg(total), HALF_A_ROW / len(total)
    for _ in range(ROUNDS):
        for at in range(len(weights)):
            for factor in STEPS:
                change = (factor - 1) * weights[at]
                if change and (value := ndcg(total + change * parts[at])) > best + min_gain:
                    best, total = value, total + change * parts[at]
                    weights[at] += change
    return weights


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
