"""The input of the tests: per-row numbers of an entry, averaged over seeds; `accepting` has checked them."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xmcbench.board.entries import Entry
from xmcbench.records.record_file import seal_of
from xmcbench.records.row_values import TESTED

SAMPLES = 1000  # bootstrap resamples of an interval, as in a run

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from xmcbench.records.store import Store


class Evidence:
    """Per-row numbers of one entry, read on first use.

    Attributes
    ----------
    key : hash of the seals of the entry's runs, under which test results are cached.
    metrics : metrics of `TESTED` that all records of the entry have; empty if a record has no per-row numbers.
    """

    def __init__(self, entry: Entry, store: Store) -> None:
        self.entry, self._store = entry, store
        seals = [seal_of(run.raw) for run in entry.runs]
        self.key = hashlib.sha256(" ".join(seals).encode()).hexdigest()[:24]
        metrics_of_runs = [{m.name for m in run.metrics if m.value is not None} for run in entry.runs]
        have_rows = all(run.board is not None for run in entry.runs)
        self.metrics = [name for name in TESTED if have_rows and all(name in names for names in metrics_of_runs)]

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """(n,) each, named as in `Store.board`: mean numerators over seeds, denominators, and near-duplicate groups
        (`metrics.uncertainty.NEAR`) if the records have them.

        Raises DataError: a file was removed or changed since the records were accepted.
        """
        import numpy as np

        by_run = [self._store.board(run) for run in self.entry.runs]
        means: dict[str, NDArray[Any]] = {
            name: np.stack([arrays[name] for arrays in by_run]).mean(axis=0, dtype=np.float64) for name in self.metrics
        }
        return {**by_run[0], **means}

    @cached_property
    def sums(self) -> dict[str, NDArray[np.float64]]:
        """Metric → (g,) sums of the numerators over groups of near-duplicates, the input of the paired test."""
        from xmcbench.metrics.randomisation import group_sums
        from xmcbench.metrics.uncertainty import NEAR

        groups = self.arrays.get(NEAR)
        return {
            name: self.arrays[name] if groups is None else group_sums(self.arrays[name], groups)
            for name in self.metrics
        }

    @cached_property
    def resampled(self) -> dict[str, NDArray[np.float64]]:
        """Metric → (SAMPLES,) values for drawn documents; on the same data, all evidence has the same draws."""
        from xmcbench.metrics.uncertainty import DENOMINATOR, NEAR, resampled

        pairs = [(self.arrays[name], self.arrays.get(name + DENOMINATOR)) for name in self.metrics]
        if not pairs or not len(pairs[0][0]):
            return {}
        return dict(zip(self.metrics, resampled(pairs, SAMPLES, 0, self.arrays.get(NEAR)), strict=True))
