"""The input of the tests: per-row numbers of an entry, averaged over seeds and checked against its records."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xmcbench.board.entries import Entry
from xmcbench.errors import DataError
from xmcbench.results.record_file import seal_of
from xmcbench.results.row_values import TESTED, values_given

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xmcbench.results.store import Store


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

    def check(self) -> list[str]:
        """One message for each faulty file of the runs; every build checks, even if all test results are cached."""
        faults = []
        for run in self.entry.all_runs:
            try:
                if run.board is not None:
                    values_given(run, self._store.board(run))
            except DataError as error:
                faults.append(str(error))
        return faults

    @property
    def data(self) -> str | None:
        """Hash of the arrays that all runs on one data set share: denominators and near-duplicate groups."""
        board = self.entry.newest.board
        return board.data_sha256 if board is not None and self.metrics else None

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """(n,) each, named as in `Store.board`: mean numerators over seeds, denominators, and near-duplicate groups
        (`NEAR`) if the records have them.

        Raises
        ------
        DataError : a file is missing or changed, or lacks a metric; `check` compares the values with the record.
        """
        import numpy as np

        by_run = [self._store.board(run) for run in self.entry.runs]
        for run, arrays in zip(self.entry.runs, by_run, strict=True):
            if missing := [name for name in self.metrics if name not in arrays]:
                raise DataError(f"{run.run_id}: no rows of {', '.join(missing)}", "Copy the record's files again.")
        means: dict[str, NDArray[Any]] = {
            name: np.stack([arrays[name] for arrays in by_run]).mean(axis=0, dtype=np.float64) for name in self.metrics
        }
        return {**by_run[0], **means}
