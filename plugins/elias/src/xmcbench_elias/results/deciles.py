"""Labels sorted by training frequency, in ten parts of equally many label occurrences in some rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

PARTS = 10


@dataclass(frozen=True)
class Deciles:
    """Part 1 has the most frequent labels.

    Labels of one frequency are not split arbitrarily, and a frequent label may have more than a tenth of all
    occurrences: labels of a frequency at the border of two parts belong to both, in proportion. Labels that do not
    occur belong to no part.

    Attributes
    ----------
    frequency : (L,) training rows of each label. occurrences : (L,) rows of each label among the rows whose
        occurrences define the parts, not all 0.
    """

    frequency: NDArray[np.floating | np.integer]
    occurrences: NDArray[np.floating | np.integer]

    def sums(self, values: NDArray[np.floating | np.integer]) -> NDArray[np.float64]:
        """(10,) sums of (L,) values over the labels of each part."""
        totals = np.bincount(self._position, np.where(self.occurrences > 0, values, 0))[self._groups]
        cumulative = np.interp(self._borders, self._ends, np.concatenate([[0.0], np.cumsum(totals)]))
        return np.diff(cumulative)

    def means(self, values: NDArray[np.floating | np.integer]) -> NDArray[np.float64]:
        """(10,) means of (L,) values over the labels of each part."""
        return self.sums(values) / self.sums(np.ones(len(values)))

    def ranges(self) -> list[tuple[int, int]]:
        """(fewest, most) training rows of a label in each part."""
        frequencies = self._frequencies[self._groups]
        most = np.searchsorted(self._ends[1:], self._borders[:-1], side="right")
        fewest = np.searchsorted(self._ends[1:], self._borders[1:], side="left")
        return [(int(frequencies[low]), int(frequencies[high])) for low, high in zip(fewest, most, strict=True)]

    @cached_property
    def _frequencies(self) -> NDArray[np.float64]:
        return -np.unique(-self.frequency.astype(np.float64))

    @cached_property
    def _position(self) -> NDArray[np.intp]:
        """(L,) position of each label's frequency among all frequencies, the largest first."""
        return np.searchsorted(-self._frequencies, -self.frequency.astype(np.float64))

    @cached_property
    def _by_frequency(self) -> NDArray[np.float64]:
        return np.bincount(self._position, self.occurrences).astype(np.float64)

    @cached_property
    def _groups(self) -> NDArray[np.intp]:
        """Positions of frequencies whose labels occur."""
        return np.flatnonzero(self._by_frequency)

    @cached_property
    def _ends(self) -> NDArray[np.float64]:
        """Occurrences up to the end of each group, from 0."""
        return np.concatenate([[0.0], np.cumsum(self._by_frequency[self._groups])])

    @cached_property
    def _borders(self) -> NDArray[np.float64]:
        out: NDArray[np.float64] = self._ends[-1] * np.arange(PARTS + 1) / PARTS
        return out
