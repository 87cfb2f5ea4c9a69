"""Where two runs differ most: the labels and the test rows in which one finds more than the other.

A hit is a true label among the first k predictions, filter pairs removed: what P@k counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.topk import TopK

K = 5  # of P@5: as far down as a reader of a result list usually looks
SHOWN = 80  # characters of a text


@dataclass(frozen=True)
class Label:
    """A label: training and test rows that have it, and in how many of those test rows each run finds it."""

    label: int
    text: str | None
    train_rows: int
    test_rows: int
    a_hits: int
    b_hits: int


@dataclass(frozen=True)
class Document:
    """A test row: the beginning of its text, how many labels it has, and how many of them each run finds."""

    row: int
    text: str | None
    true_labels: int
    a_hits: int
    b_hits: int


@dataclass(frozen=True)
class Differences:
    """Hits are within the first k. Both lists begin with B's largest gain, then come A's, largest first."""

    k: int
    labels: list[Label]
    documents: list[Document]


def differences(a: TopK, b: TopK, dataset: Dataset, each: int, k: int = K) -> Differences:
    """The labels and test rows in which b is ahead most, and those in which a is, `each` of both kinds and ways.

    Among equal gains come those with fewer true rows or labels first, where it is the larger part, then lower numbers.

    Parameters
    ----------
    a, b : predictions for the test rows as they were scored. each : at most so many.
    """
    truth = dataset.test.labels
    hits_a, hits_b = _hits(a, truth, k), _hits(b, truth, k)
    in_train, in_test, a_of, b_of = (
        np.bincount(matrix.indices, minlength=dataset.n_labels)
        for matrix in (dataset.train.labels, truth, hits_a, hits_b)
    )
    labels = [
        Label(i, _text(dataset.label_texts, i), int(in_train[i]), int(in_test[i]), int(a_of[i]), int(b_of[i]))
        for i in _furthest(b_of - a_of, in_test, each)
    ]
    per_row, a_in, b_in = (np.diff(matrix.indptr) for matrix in (truth, hits_a, hits_b))
    documents = [
        Document(i, _text(dataset.test.texts, i), int(per_row[i]), int(a_in[i]), int(b_in[i]))
        for i in _furthest(b_in - a_in, per_row, each)
    ]
    return Differences(k, labels, documents)


def _hits(topk: TopK, truth: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """(n, L) ones where a true label is among the first k."""
    ids = topk.ids[:, :k]
    there = ids >= 0
    indptr = np.concatenate(([0], np.cumsum(there.sum(axis=1))))
    predicted = sp.csr_matrix((np.ones(indptr[-1], np.float32), ids[there], indptr), shape=truth.shape)
    hits = sp.csr_matrix(predicted.multiply(truth))
    hits.eliminate_zeros()
    return hits


def _furthest(gain: NDArray[Any], size: NDArray[Any], each: int) -> list[int]:
    """Places of the largest gains above 0, then of the largest below, each side's largest first."""
    found: list[int] = []
    for signed in (gain, -gain):
        order = np.lexsort((size, -signed))[:each]
        found += [int(i) for i in order if signed[i] > 0]
    return found


def _text(texts: Any, i: int) -> str | None:
    """The beginning of a text in one line."""
    if texts is None:
        return None
    line = " ".join(str(texts[i])[: 10 * SHOWN].split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
