"""Labels sorted by training frequency, in ten parts of equally many label occurrences in some rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.topk import TopK

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset

PARTS = 10
Counts = NDArray[np.floating | np.integer]


class Deciles:
    """Part 1 has the most frequent labels.

    Labels of one frequency are not split arbitrarily, and a frequent label may have more than a tenth of all
    occurrences: labels of a frequency at the border of two parts belong to both, in proportion. Labels that do not
    occur belong to no part.

    Parameters
    ----------
    frequency : (L,) training rows of each label. occurrences : (L,) rows of each label among the rows whose
        occurrences define the parts, not all 0.
    """

    def __init__(self, frequency: Counts, occurrences: Counts) -> None:
        self.occurrences = occurrences
        # the position of each label's frequency among all frequencies, the largest first
        negative, self._position = np.unique(-frequency.astype(np.float64), return_inverse=True)
        by_frequency = np.bincount(self._position, occurrences).astype(np.float64)
        self._groups = np.flatnonzero(by_frequency)  # positions of frequencies whose labels occur
        self._frequencies = -negative[self._groups]
        self._ends = np.concatenate([[0.0], np.cumsum(by_frequency[self._groups])])  # occurrences up to each group
        self._borders = self._ends[-1] * np.arange(PARTS + 1) / PARTS

    def sums(self, values: Counts) -> NDArray[np.float64]:
        """(10,) sums of (L,) values over the labels of each part."""
        totals = np.bincount(self._position, np.where(self.occurrences > 0, values, 0))[self._groups]
        return np.diff(np.interp(self._borders, self._ends, np.concatenate([[0.0], np.cumsum(totals)])))

    def means(self, values: Counts) -> NDArray[np.float64]:
        """(10,) means of (L,) values over the labels of each part."""
        return self.sums(values) / self.sums(np.ones(len(values)))

    def ranges(self) -> list[tuple[int, int]]:
        """(fewest, most) training rows of a label in each part."""
        most = np.searchsorted(self._ends[1:], self._borders[:-1], side="right")
        fewest = np.searchsorted(self._ends[1:], self._borders[1:], side="left")
        pairs = zip(self._frequencies[fewest], self._frequencies[most], strict=True)
        return [(int(low), int(high)) for low, high in pairs]


def of_test(dataset: Dataset) -> Deciles:
    """Deciles of labels by training rows, with a tenth of the test rows' label occurrences each."""
    counts = [np.bincount(part.labels.indices, minlength=dataset.n_labels) for part in (dataset.train, dataset.test)]
    return Deciles(*counts)


def recall(top: TopK, dataset: Dataset, deciles: Deciles, k: int) -> NDArray[np.float64]:
    """(10,) share of each decile's label occurrences in test rows that are among the k best of their row."""
    ids, wide = top.ids[:, :k].astype(np.int64), dataset.n_labels
    true = dataset.test.labels.tocoo()
    predicted = (np.arange(len(ids))[:, None] * wide + ids)[ids >= 0]
    hit = np.isin(true.row.astype(np.int64) * wide + true.col, predicted)
    return deciles.sums(np.bincount(true.col[hit], minlength=wide)) / deciles.sums(deciles.occurrences)


def titles(ranges: Sequence[tuple[int, int]]) -> list[str]:
    """The training rows of each decile in words, without overlap; `ranges`: as of `Deciles.ranges`.

    A frequency at the border of two parts belongs to both. It is in the name of the part that has no other, else of the
    part of the less frequent labels. Several parts of one frequency are numbered.
    """
    names = []
    for at, (fewest, most) in enumerate(ranges):
        before, after = ranges[at - 1] if at else None, ranges[at + 1] if at + 1 < len(ranges) else None
        low, high = fewest, most
        if fewest < most and after is not None and after[1] == fewest:
            low += 1
        if fewest < most and before == (most, most):
            high -= 1
        alike = [i for i, one in enumerate(ranges) if one == (fewest, most)]
        if low > high:  # two frequencies that follow each other, and each has a part of its own
            names.append(f"{most:,} and {fewest:,}")
        elif fewest == most and len(alike) > 1:
            names.append(f"{most:,} ({alike.index(at) + 1} of {len(alike)})")
        else:
            names.append(f"{high:,}" if low == high else f"{high:,} to {low:,}")
    return names
