"""The linear ranker: one-vs-rest on the features, and how its margins re-order the network's shortlist.

Source: the ELIAS authors rank by a linear one-vs-rest with squared hinge loss whose negatives are the model's own
shortlist, and multiply exp(−max(0, 1 − z)³) into the model's score. That product is flat where z ≥ 1 and steep below 0.
Here the margin itself is taken, since one-vs-rest ranks by it:

    z + λ log p − γ log(1 + n),   n the label's training rows.

A classifier with few positive rows has small margins, hence the last term. λ and γ are chosen on validation rows, and
so is the model alone. README has what either form measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.sparse.csr import unit_rows
from xmcbench.sparse.inverted import InvertedWeights, score_pairs
from xmcbench.sparse.linear import Problems, train_linear
from xmcbench.sparse.onevsrest import train_one_vs_rest
from xmcbench.sparse.topk import best_of
from xmcbench.topk import PAD, TopK
from xmcbench_elias.predict import validation_score

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs, TrainData

WORK = 5e10  # labels · stored features up to which every row is a negative: two minutes on two cores
POOL = 100  # labels of a training row whose classifiers get it as a negative: the authors' number
RANKED = 2000  # most labels a row that are ranked: K in the paper; without an index the shortlist is all labels
EVERYWHERE = 64  # training rows, evenly spaced, that are negatives of every label beside: see README
THRESHOLD = 0.01  # weights of smaller magnitude are dropped; ours: PECOS's 0.1 costs a ranker that has the last word
FLOOR = 1e-6  # added to p before its logarithm: scores of the far end of a shortlist are noise


@dataclass(frozen=True)
class Blend:
    """z · `margin` + log p · `model` − log(1 + n) · `count`."""

    margin: float
    model: float
    count: float


# What validation chooses from: the model alone, or the margin with so much of the model and of the count.
BLENDS = (
    Blend(0.0, 1.0, 0.0),
    *(Blend(1.0, m, c) for m in (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) for c in (0.0, 0.02, 0.05, 0.1, 0.2)),
)
USUAL = Blend(1.0, 0.05, 0.02)  # where there are no validation rows


@dataclass(frozen=True)
class Ranker:
    """`weights` of L classifiers, and the blend that validation chose."""

    weights: InvertedWeights
    blend: Blend


def margins(weights: InvertedWeights, inputs: Inputs, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """(n, m) float32 margins z of labels `ids`; −inf at padding."""
    assert inputs.features is not None
    return score_pairs(weights, unit_rows(inputs.features), ids)


def blended(top: TopK, z: NDArray[np.float32], seen: NDArray[np.float32], blend: Blend) -> NDArray[np.float32]:
    """(n, m) float32 scores of the labels of `top`, whose own scores are p; −inf at padding. `seen`: (L,) n."""
    real = top.ids != PAD
    p = np.where(real, top.scores, 0.0)
    score = blend.margin * np.where(real, z, 0.0) + blend.model * np.log(p + FLOOR)
    score -= blend.count * np.log1p(seen)[np.where(real, top.ids, 0)]
    return np.where(real, score, -np.inf).astype(np.float32)


def best_blend(
    top: TopK, z: NDArray[np.float32], seen: NDArray[np.float32], labels: sp.csr_matrix
) -> tuple[Blend, float]:
    """(blend, nDCG@5) of the best of `BLENDS` on validation rows; the earlier one where two are equal."""
    scores = [validation_score(best_of(top.ids, blended(top, z, seen, blend), 5), labels) for blend in BLENDS]
    best = int(np.argmax(scores))
    return (BLENDS[best], scores[best]) if scores[best] > 0 else (USUAL, 0.0)  # 0: no row has a label it could rank


def kind(chosen: str | None, train: TrainData) -> str:
    """ "all", "shortlist" or "none": what the parameter says, else by the work of full one-vs-rest."""
    assert train.features is not None
    return chosen or ("all" if train.n_labels * float(train.features.nnz) <= WORK else "shortlist")


def train_ranker(
    train: TrainData,
    shortlists: NDArray[np.int32] | None,
    ctx: RunContext,
    name: str,
    known: tuple[sp.csr_matrix, NDArray[np.int64]] | None = None,
) -> sp.csr_matrix:
    """(L, d + 1) weights, from a checkpoint called `name` where there is one.

    Parameters
    ----------
    shortlists : (n, m) labels the model shows for each row: a label's negatives are the rows that show it. None: all.
    known : weights of other labels, and the labels to learn; None: all are learned.
    """
    assert train.features is not None
    shape = (train.n_labels, int(train.features.shape[1]) + 1)
    kept = ctx.checkpoints.load(name)
    if kept is not None:
        return sp.csr_matrix((kept[0]["data"], kept[0]["indices"], kept[0]["indptr"]), shape=shape)
    seen = np.bincount(train.labels.indices, minlength=shape[0]) > 0
    labels = np.flatnonzero(seen) if known is None else known[1]
    features, positives = unit_rows(train.features), sp.csc_matrix(train.labels[:, labels])
    positives.sort_indices()
    how: dict[str, Any] = {"threshold": THRESHOLD, "seed": ctx.seed(name), "progress": ctx.progress}
    if shortlists is None:
        learned = train_one_vs_rest(features, positives, **how)
    else:
        learned = train_linear(features, problems(positives, shown(shortlists, shape[0])[:, labels]), **how)
    weights = _spread(learned, labels, nothing(*shape) if known is None else known[0])
    ctx.checkpoints.save(name, {"data": weights.data, "indices": weights.indices, "indptr": weights.indptr})
    return weights


def problems(positives: sp.csc_matrix, shown: sp.csr_matrix) -> Problems:
    """One problem a label (a column): its rows against those whose shortlist shows it, and a few for every label.

    A label that is hardly ever shown has hardly any negatives; without the few it would say yes to every row.
    """
    n, size = positives.shape
    few = np.unique(np.linspace(0, n - 1, min(n, EVERYWHERE)).astype(np.int32))
    parts = np.ones(size * len(few), np.float32), np.tile(few, size), np.arange(size + 1) * len(few)
    everywhere = sp.csc_matrix(parts, (n, size))
    rows = sp.csc_matrix((positives != 0).astype(np.float32) + sp.csc_matrix(shown) + everywhere)
    rows.sort_indices()
    return Problems.of_columns(rows, positives, np.arange(size))


def shown(shortlists: NDArray[np.int32], n_labels: int) -> sp.csr_matrix:
    """(n, L) CSR of ones where a row's shortlist (n, m) has a label."""
    held = shortlists != PAD
    indptr = np.concatenate([[0], np.cumsum(held.sum(axis=1))])
    found = sp.csr_matrix((np.ones(int(indptr[-1]), np.float32), shortlists[held], indptr), shape=(len(held), n_labels))
    found.sort_indices()
    return found


def nothing(n_labels: int, width: int) -> sp.csr_matrix:
    """Weights of labels without training rows: a bias of −1, a sure no."""
    every = np.arange(n_labels + 1)
    return sp.csr_matrix((np.full(n_labels, -1.0, np.float32), np.full(n_labels, width - 1), every), (n_labels, width))


def _spread(learned: sp.csr_matrix, labels: NDArray[np.int64], others: sp.csr_matrix) -> sp.csr_matrix:
    """Row i of `learned` in place of row labels[i] of `others`."""
    place = np.arange(others.shape[0])
    place[labels] = others.shape[0] + np.arange(len(labels))
    return sp.csr_matrix(sp.vstack([others, learned], format="csr")[place])
