"""What one training step looks at: its documents, the labels they are told from, and which of these are true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass(frozen=True)
class Step:
    """Documents against labels; every label of the step that isn't true of a document is its negative.

    Attributes
    ----------
    documents : (n,) rows of the training data. labels : (m,) int64, ascending.
    rows, columns : places of all true pairs, within `documents` and `labels`.
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
    """A step of these documents.

    Parameters
    ----------
    labels : (N, L) CSR of all training rows.
    positives : most labels of a document that are drawn into the step; all that are in it anyway count as true.
    mined : (N, pool) int32 labels near each training row, true ones among them or not, −1 for none; or None.
    hard : how many of its `mined` a document brings along.
    """
    y = labels[documents]
    counts = np.diff(y.indptr)
    rows = np.repeat(np.arange(len(documents)), counts)
    chosen = [y.indices[_some(rows, y.indptr, positives, rng)]]
    if mined is not None and hard and mined.shape[1]:
        near = mined[documents]
        drawn = rng.integers(0, near.shape[1], (len(documents), hard))
        found = np.take_along_axis(near, drawn, axis=1).ravel()
        chosen.append(found[found >= 0])
    here = np.unique(np.concatenate(chosen)).astype(np.int64)
    if not len(here):
        return Step(documents, here, here, here)
    columns = np.minimum(np.searchsorted(here, y.indices), len(here) - 1)
    true = here[columns] == y.indices
    return Step(documents, here, rows[true], columns[true])


def _some(rows: NDArray[np.int64], starts: NDArray[np.int64], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of at most `most` entries of each CSR row, drawn without replacement."""
    if not len(rows) or np.diff(starts).max() <= most:
        return np.arange(len(rows))
    order = np.lexsort((rng.random(len(rows)), rows))
    return order[np.arange(len(rows)) - starts[rows] < most]


def neighbouring(clusters: NDArray[np.int32], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches of about `size` documents for one epoch, whole clusters of near ones together, clusters in random order.

    The labels of a document's neighbours are the hard negatives it would otherwise have to be shown one by one
    (Dahiya et al., NGAME, WSDM 2023, section 4). clusters : (N,) from 0.
    """
    order = rng.permutation(int(clusters.max()) + 1)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    documents = np.argsort(place[clusters], kind="stable")
    yield from (documents[start : start + size] for start in range(0, len(documents), size))
