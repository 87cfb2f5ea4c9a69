"""What the tests look at: the per-row numbers of an entry, averaged over its seeds and held against its records."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xmcbench.board.entries import Entry
from xmcbench.errors import DataError
from xmcbench.results import record as records
from xmcbench.results.board_files import NEAR, TESTED
from xmcbench.results.row_values import values_given

if TYPE_CHECKING:
    from xmcbench.results.store import Store


class Evidence:
    """Per-row numbers of one entry, read when first asked for.

    Attributes
    ----------
    key : hash of the seals of its runs; the same runs have the same evidence, so what was tested with it holds.
    metrics : those of `TESTED` on all its records; empty where a record keeps no per-row numbers.
    """

    def __init__(self, entry: Entry, store: Store) -> None:
        self.entry, self._store = entry, store
        seals = [records.seal_of(run) for run in entry.runs]
        self.key = hashlib.sha256(" ".join(seals).encode()).hexdigest()[:24]
        have = [{m["name"] for m in run["metrics"] if m["value"] is not None} for run in entry.runs]
        kept = all(run.get("board") is not None for run in entry.runs)
        self.metrics = [name for name in TESTED if kept and all(name in names for names in have)]

    def check(self) -> list[str]:
        """What is wrong with the files of its runs, a sentence each; every build asks, whatever it remembers."""
        faults = []
        for run in self.entry.all_runs:
            if run.get("board") is None:
                continue
            try:
                values_given(run, self._store.board(run))
            except DataError as error:
                faults.append(str(error))
        return faults

    @property
    def data(self) -> str | None:
        """Hash of what all runs on one data set share: denominators, and groups of near-duplicates."""
        return self.entry.newest["board"]["data_sha256"] if self.metrics else None

    @cached_property
    def arrays(self) -> dict[str, Any]:
        """As `Store.board` gives them: mean numerators over seeds, denominators and groups of near-duplicates.

        Raises
        ------
        DataError : a file is gone or changed, or lacks a metric. That they give the values on record is `check`'s.
        """
        import numpy as np

        kept = [self._store.board(run) for run in self.entry.runs]
        for run, arrays in zip(self.entry.runs, kept, strict=True):
            if missing := [name for name in self.metrics if name not in arrays]:
                raise DataError(f"{run['run_id']}: no rows of {', '.join(missing)}", "Get the record's files again.")
        means = {name: np.mean([arrays[name] for arrays in kept], axis=0, dtype=np.float64) for name in self.metrics}
        return {**kept[0], **means}

    @property
    def groups(self) -> Any:
        """(n,) int32 groups of near-duplicate rows; None where none are kept."""
        return self.arrays.get(NEAR)
