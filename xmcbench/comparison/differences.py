"""The labels and test rows in which two runs differ most.

A hit is a true label among the first k predictions, filter pairs removed, as in P@k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.data.spec import Naming, title_of

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.topk import TopK

K = 5  # as in P@5: the number of results that a reader usually looks at
SHOWN = 80  # maximum characters of a text


@dataclass(frozen=True)
class Label:
    """A label: what readers see of it, number of training and test rows with it, and number of hits of each run.

    `text` is None where labels have neither names nor texts.
    """

    label: int
    text: str | None
    train_rows: int
    test_rows: int
    a_hits: int
    b_hits: int


@dataclass(frozen=True)
class Document:
    """A test row: its id (None where the data set has none), beginning of its text, true labels, hits of each run."""

    row: int
    id: str | None
    text: str | None
    true_labels: int
    a_hits: int
    b_hits: int


@dataclass(frozen=True)
class Differences:
    """Both lists begin with the largest gains of run B, then have those of run A, each in descending order."""

    k: int
    labels: list[Label]
    documents: list[Document]


def differences(a: TopK, b: TopK, dataset: Dataset, each: int, k: int = K) -> Differences:
    """The labels and test rows with the largest gains of b over a, and of a over b.

    Ties are broken by fewer test rows of the label (or labels of the row), where the gain is the larger share, then by
    lower number.

    Parameters
    ----------
    a, b : predictions for the test rows, as scored. each : maximum number of labels, and of rows, in each direction.
    """
    truth = dataset.test.labels
    hits_a, hits_b = _hits(a, truth, k), _hits(b, truth, k)
    in_train, in_test, label_hits_a, label_hits_b = (
        np.bincount(matrix.indices, minlength=dataset.n_labels)
        for matrix in (dataset.train.labels, truth, hits_a, hits_b)
    )
    labels = [
        Label(
            label=i,
            text=_shortened(_title(dataset.naming, i)),
            train_rows=int(in_train[i]),
            test_rows=int(in_test[i]),
            a_hits=int(label_hits_a[i]),
            b_hits=int(label_hits_b[i]),
        )
        for i in _largest_gains(label_hits_b - label_hits_a, in_test, each)
    ]
    texts = dataset.test.texts
    true_labels, row_hits_a, row_hits_b = (np.diff(matrix.indptr) for matrix in (truth, hits_a, hits_b))
    documents = [
        Document(
            row=i,
            id=None if dataset.test.ids is None else dataset.test.ids[i],
            text=_shortened(None if texts is None else texts[i]),
            true_labels=int(true_labels[i]),
            a_hits=int(row_hits_a[i]),
            b_hits=int(row_hits_b[i]),
        )
        for i in _largest_gains(row_hits_b - row_hits_a, true_labels, each)
    ]
    return Differences(k, labels, documents)


def _hits(topk: TopK, truth: sp.csr_matrix, k: int) -> sp.csr_matrix:
    """(n, L) ones where a true label is among the first k predictions."""
    ids = topk.ids[:, :k]
    is_prediction = ids >= 0
    indptr = np.concatenate(([0], np.cumsum(is_prediction.sum(axis=1))))
    predicted = sp.csr_matrix((np.ones(indptr[-1], np.float32), ids[is_prediction], indptr), shape=truth.shape)
    hits = sp.csr_matrix(predicted.multiply(truth))
    hits.eliminate_zeros()
    return hits


def _largest_gains(gain: NDArray[Any], size: NDArray[Any], each: int) -> list[int]:
    """Indices of the largest positive gains in descending order, then of the largest negative ones."""
    indices: list[int] = []
    for signed in (gain, -gain):
        order = np.lexsort((size, -signed))[:each]
        indices += [int(i) for i in order if signed[i] > 0]
    return indices


def _title(naming: Naming, label: int) -> str | None:
    if naming.names is None and naming.texts is None:
        return None
    return title_of(naming.name(label), naming.text(label))


def _shortened(text: str | None) -> str | None:
    """The beginning of a text on one line."""
    if text is None:
        return None
    line = " ".join(text[: 10 * SHOWN].split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"
