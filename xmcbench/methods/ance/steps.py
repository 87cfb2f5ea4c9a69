"""Training steps of a dual encoder: documents, the labels they are compared with, and the loss.

Every label that is not true for a document is a negative of it. The positives of a document share a weight of one, so
that all documents count the same, however many labels they have; documents without a positive in the step don't count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Loss = Literal["softmax", "decoupled", "triplet"]
FAR = -1e4  # replaces a similarity that must not count; finite, so that no gradient is NaN


@dataclass(frozen=True)
class Step:
    """Documents and labels of one step.

    Attributes
    ----------
    documents : (n,) row numbers of the training data. labels : (m,) int64, ascending.
    rows, columns : positions of all true pairs within `documents` and `labels`.
    """

    documents: NDArray[np.int64]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def make_step(
    documents: NDArray[np.int64],
    labels: sp.csr_matrix,
    positives: int,
    mined: NDArray[np.int32] | None,
    hard: int,
    rng: np.random.Generator,
) -> Step:
    """Make a step for `documents`.

    Parameters
    ----------
    labels : (N, L) CSR of all training rows.
    positives : maximum number of true labels drawn per document. Further true labels that are in the step because of
        other documents also count as true.
    mined : (N, pool) int32 labels near each training row, true or not, padded with −1; or None.
    hard : number of labels drawn from `mined` per document.
    """
    y = labels[documents]
    counts = np.diff(y.indptr)
    rows = np.repeat(np.arange(len(documents)), counts)
    candidates = [y.indices[_sample_positives(rows, y.indptr, positives, rng)]]
    if mined is not None and hard and mined.shape[1]:
        near = mined[documents]
        drawn = rng.integers(0, near.shape[1], (len(documents), hard))
        negatives = np.take_along_axis(near, drawn, axis=1).ravel()
        candidates.append(negatives[negatives >= 0])
    step_labels = np.unique(np.concatenate(candidates)).astype(np.int64)
    if not len(step_labels):
        return Step(documents, step_labels, step_labels, step_labels)
    columns = np.minimum(np.searchsorted(step_labels, y.indices), len(step_labels) - 1)
    true = step_labels[columns] == y.indices
    return Step(documents, step_labels, rows[true], columns[true])


def _sample_positives(
    rows: NDArray[np.int64], starts: NDArray[np.int64], limit: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Positions of at most `limit` entries per CSR row, drawn without replacement."""
    if not len(rows) or np.diff(starts).max() <= limit:
        return np.arange(len(rows))
    order = np.lexsort((rng.random(len(rows)), rows))
    return order[np.arange(len(rows)) - starts[rows] < limit]


def neighbouring(clusters: NDArray[np.int32], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches of `size` documents for one epoch; clusters of near documents stay together, in random order.

    The labels of a document's neighbours then serve as hard negatives without explicit mining (Dahiya et al., NGAME,
    WSDM 2023, section 4). clusters : (N,) cluster ids from 0.
    """
    order = rng.permutation(int(clusters.max()) + 1)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    documents = np.argsort(rank[clusters], kind="stable")
    yield from (documents[start : start + size] for start in range(0, len(documents), size))


def loss_of(z: Tensor, rows: Tensor, columns: Tensor, loss: Loss, margin: float, hardest: int) -> Tensor:
    """The scalar loss from z (n, m), similarities divided by the temperature (not for the triplet loss).

    rows, columns : entries of z at the true labels. margin, hardest : of the triplet loss.

    softmax : −log of a positive's share of exp z over the row of the document (InfoNCE; DPR, ANCE).
    decoupled : the same without the document's other positives in the denominator (Gupta et al., DEXML,
        ICLR 2024, section 4.2), so that labels of one document don't push each other away.
    triplet : max(0, margin − z⁺ + z⁻), mean over the document's `hardest` negatives of largest z (NGAME, WSDM 2023).
    """
    true = torch.zeros(z.shape, dtype=torch.bool, device=z.device)
    true[rows, columns] = True
    counts = true.sum(dim=1)
    positive = z[rows, columns]
    if loss == "softmax":
        losses = z.logsumexp(dim=1)[rows] - positive
    elif loss == "decoupled":
        losses = F.softplus(z.masked_fill(true, FAR).logsumexp(dim=1)[rows] - positive)
    else:
        negatives = z.masked_fill(true, FAR).topk(min(hardest, z.shape[1]), dim=1).values
        valid = (negatives > FAR).float()
        violations = F.relu(margin - positive[:, None] + negatives[rows]) * valid[rows]
        losses = violations.sum(dim=1) / valid.sum(dim=1).clamp(min=1)[rows]
    return (losses / counts[rows]).sum() / (counts > 0).sum().clamp(min=1)
