"""The final ranking: what network, linear classifiers and dual encoder say of a label, weighed against each other.

Each part names labels of its own; the candidates of a row are all of them. The first ranks go by one linear score of

    a part's score of the label; where it did not name it, its lowest score of that row, and that it did not
    −log(1 + n), n the label's training rows: classifiers of rare labels give small margins

whose weights are learned on validation rows: a softmax over a row's candidates first, which is convex, then steps that
raise nDCG@5 itself. Beyond the first ranks that score forgets what one part alone has found; there labels go by summed
reciprocal ranks (Cormack et al., SIGIR 2009), which needs no weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.sparse.topk import best_of
from xmcbench.topk import PAD, TopK
from xmcbench_elias.predict import validation_score

if TYPE_CHECKING:
    import scipy.sparse as sp

Array = NDArray[np.float64]
HEAD = 10  # ranks that go by the learned score; nDCG@5, P@5 and PSP@5 are decided there
RANK = 60  # what is added to a rank before its reciprocal is taken: Cormack et al.
NAMED = 200  # labels a part names for a row: R@100 wants a hundred, and twice as many let parts disagree
FLOOR = 1e-6  # added to a probability before its logarithm: scores of the far end of a shortlist are noise
# Weights without validation rows, and what few of them are pulled to: the middle of what was learned on other data.
USUAL = {"model": 0.2, "trees": 0.3, "all": 2.0, "dual": 3.0}
USUAL_COUNT, USUAL_MISSING = 0.05, 1.0
PULL = 20.0  # true labels that count as much as the usual weights do
STEPS = (0.5, 0.75, 1.33, 2.0)  # factors tried on a weight when nDCG@5 is raised
ROUNDS = 2  # times every weight is tried
HALF_A_ROW = 0.5  # nDCG@5 that a step must raise, in rows of all that there are: what a few rows gain by chance is less
PROBABILITIES = ("model", "trees")  # parts whose scores are in [0, 1]; their logarithms are used


@dataclass(frozen=True)
class Candidates:
    """All labels that the parts name for n rows, and what each says of them.

    Attributes
    ----------
    parts : names, in one order. ids : (n, m) int32, ascending, then padding.
    said : (n, m, P) float32: scores of the parts, logarithms of those that are probabilities; NaN where not named.
    """

    parts: tuple[str, ...]
    ids: NDArray[np.int32]
    said: NDArray[np.float32]

    @classmethod
    def of(cls, tops: dict[str, TopK]) -> Candidates:
        """From each part's labels, in any order, no label twice in a row."""
        n = len(next(iter(tops.values())).ids)
        ids = np.concatenate([top.ids for top in tops.values()], axis=1)
        scores = np.concatenate([_comparable(name, top) for name, top in tops.items()], axis=1)
        part = np.concatenate([np.full(top.ids.shape[1], at) for at, top in enumerate(tops.values())])
        keys = np.where(ids == PAD, np.iinfo(np.int32).max, ids)
        order = np.argsort(keys, axis=1, kind="stable")
        keys = np.take_along_axis(keys, order, 1)
        new = np.ones(keys.shape, bool)
        new[:, 1:] = keys[:, 1:] != keys[:, :-1]
        real = keys != np.iinfo(np.int32).max
        place = np.cumsum(new & real, axis=1) - 1
        width = int(place.max(initial=0)) + 1
        found = np.full((n, width), PAD, np.int32)
        said = np.full((n, width, len(tops)), np.nan, np.float32)
        rows = np.broadcast_to(np.arange(n)[:, None], keys.shape)[real]
        found[rows, place[real]] = keys[real]
        said[rows, place[real], part[order][real]] = np.take_along_axis(scores, order, 1)[real]
        return cls(tuple(tops), found, said)

    @staticmethod
    def names(parts: tuple[str, ...]) -> list[str]:
        """What the columns are, for records."""
        return [*parts, "count", *(f"not named by {part}" for part in parts)]

    @property
    def real(self) -> NDArray[np.bool_]:
        """(n, m) what is no padding."""
        return np.asarray(self.ids != PAD)

    def columns(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m, 2 P + 1): P scores, gaps filled; −log(1 + n); P times −1 where a part did not name the label."""
        missing = np.isnan(self.said)
        lowest = np.min(np.where(missing, np.inf, self.said), axis=1, initial=np.inf, keepdims=True)
        lowest = np.where(np.isfinite(lowest), lowest, 0).astype(np.float32)
        count = -np.log1p(seen)[np.maximum(self.ids, 0)][:, :, None]
        return np.concatenate([np.where(missing, lowest, self.said), count, -missing.astype(np.float32)], axis=2)

    def reciprocal(self) -> NDArray[np.float32]:
        """(n, m): Σ over the parts that name a label of 1 / (60 + its rank there)."""
        total = np.zeros(self.ids.shape, np.float32)
        for part in range(len(self.parts)):
            score = np.where(np.isnan(self.said[:, :, part]), -np.inf, self.said[:, :, part])
            order = np.argsort(-score, axis=1, kind="stable")  # equal scores: lower id first, since ids ascend
            rank = np.empty_like(order)
            np.put_along_axis(rank, order, np.arange(order.shape[1])[None, :], 1)
            total += np.where(score > -np.inf, np.float32(1) / (RANK + 1 + rank), np.float32(0)).astype(np.float32)
        return total


@dataclass(frozen=True)
class Fusion:
    """Weights of the columns of `Candidates`, for the same parts in the same order."""

    parts: tuple[str, ...]
    weights: Array

    @classmethod
    def usual(cls, parts: tuple[str, ...]) -> Fusion:
        """Where there is nothing to learn from."""
        return cls(parts, np.array([*(USUAL[part] for part in parts), USUAL_COUNT, *(USUAL_MISSING for _ in parts)]))

    @classmethod
    def learn(cls, given: Candidates, seen: NDArray[np.float32], labels: sp.csr_matrix) -> Fusion:
        """From validation rows: their candidates, rows of each label in train (L,), true labels (n, L)."""
        usual, true = cls.usual(given.parts), given_truth(given.ids, labels)
        if not true.any():
            return usual
        columns = given.columns(seen)
        scale = np.maximum(columns[given.real].std(axis=0, dtype=np.float64), 1e-6)
        weights = _softmax_weights(columns / scale.astype(np.float32), given.real, true, usual.weights * scale)
        return cls(given.parts, _raised(weights / scale, columns, given, labels))

    def __call__(self, given: Candidates, seen: NDArray[np.float32], k: int) -> TopK:
        """The k best candidates of each row.

        Scores fall from rank to rank and are comparable within a row alone: the first ranks' are the learned score's,
        the others' lie below the last of them, by one a rank.
        """
        return self.ranked(given, self.score(given.columns(seen)), k)

    def score(self, columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, m) of columns (n, m, C); summed in one order, so that threads and batches don't show."""
        total = np.zeros(columns.shape[:2])
        for at, weight in enumerate(self.weights):
            total += weight * columns[:, :, at]
        return total.astype(np.float32)

    @staticmethod
    def ranked(given: Candidates, score: NDArray[np.float32], k: int) -> TopK:
        """First ranks by a score (n, m), the others by reciprocal ranks."""
        k = min(k, given.ids.shape[1])
        head = best_of(given.ids, score, min(k, HEAD))
        if k <= HEAD:
            return head
        first = (given.ids[:, :, None] == head.ids[:, None, :]).any(axis=2)
        rest = best_of(np.where(first, PAD, given.ids), given.reciprocal(), k - HEAD)
        # By rank, since sums of reciprocals are too near to each other to be told apart beside the first ranks' scores.
        below = head.scores[:, -1:] - np.arange(1, k - HEAD + 1)
        below = np.where(rest.ids == PAD, -np.inf, below).astype(np.float32)
        return TopK(np.concatenate([head.ids, rest.ids], axis=1), np.concatenate([head.scores, below], axis=1))


def given_truth(ids: NDArray[np.int32], labels: sp.csr_matrix) -> NDArray[np.bool_]:
    """(n, m) whether each candidate is true; `labels` (n, L)."""
    wide = labels.shape[1] + 1
    true = np.repeat(np.arange(len(ids)), np.diff(labels.indptr)) * wide + labels.indices
    return np.asarray(np.isin(np.arange(len(ids))[:, None] * wide + ids, true) & (ids != PAD))


def _comparable(name: str, top: TopK) -> NDArray[np.float32]:
    scores = np.where(top.ids == PAD, 0, top.scores)
    return np.log(scores + FLOOR).astype(np.float32) if name in PROBABILITIES else scores.astype(np.float32)


def _softmax_weights(
    columns: NDArray[np.float32], real: NDArray[np.bool_], true: NDArray[np.bool_], usual: Array
) -> Array:
    """Weights of scaled columns that make true labels likely, each against the candidates that aren't true.

    The decoupled softmax (Gupta et al., DEXML, ICLR 2024): other true labels are no rivals. Parts and gaps have no
    negative weight, since no part's word counts against a label; `usual` is what weights are pulled to.
    """
    from scipy.optimize import minimize

    rows = np.flatnonzero(true.any(axis=1))
    x, wrong, true = columns[rows].astype(np.float64), real[rows] & ~true[rows], true[rows]
    at, n_true = np.nonzero(true), int(true.sum())
    parts = columns.shape[2] // 2

    def loss(weights: Array) -> tuple[float, Array]:
        s = np.einsum("nmc,c->nm", x, weights)
        shift = np.where(real[rows], s, -np.inf).max(axis=1, keepdims=True)
        e = np.exp(np.minimum(s - shift, 0))
        rivals = (e * wrong).sum(axis=1)
        mean = np.einsum("nm,nmc->nc", e * wrong, x) / np.maximum(rivals, 1e-300)[:, None]
        own = e[at]
        p = own / np.maximum(own + rivals[at[0]], 1e-300)
        value = -np.log(np.maximum(p, 1e-300)).sum() / n_true
        slope = ((1 - p)[:, None] * (mean[at[0]] - x[at])).sum(axis=0) / n_true
        gap = weights - usual
        return value + PULL / n_true * float(gap @ gap), slope + 2 * PULL / n_true * gap

    bounds: list[Any] = [(0, None)] * columns.shape[2]
    bounds[parts] = (None, None)
    found: Array = minimize(loss, usual, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 100}).x
    return found


def _raised(weights: Array, columns: NDArray[np.float32], given: Candidates, labels: sp.csr_matrix) -> Array:
    """Weights whose nDCG@5 on these rows is no longer raised by changing one of them."""
    weights = weights.copy()
    parts = np.stack([columns[:, :, at] for at in range(columns.shape[2])])  # side by side
    total = np.einsum("cnm,c->nm", parts, weights)

    def ndcg(score: Array) -> float:
        return validation_score(best_of(given.ids, score.astype(np.float32), 5), labels)

    best, least = ndcg(total), HALF_A_ROW / len(total)
    for _ in range(ROUNDS):
        for at in range(len(weights)):
            for factor in STEPS:
                change = (factor - 1) * weights[at]
                if change and (value := ndcg(total + change * parts[at])) > best + least:
                    best, total = value, total + change * parts[at]
                    weights[at] += change
    return weights
