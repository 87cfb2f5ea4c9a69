"""Checks that per-row numbers give the values on record, which detects a record or rows from another run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmcbench.errors import DataError
from xmcbench.results.record import Record

ROUNDING = 1e-6  # largest allowed difference between recomputed and recorded value: stored rows are float32
SHOWN = 5  # number of metrics named in a message


class NotGiven(DataError):
    """The per-row numbers give another value than the record has: one of the two was changed."""


def values_given(record: Record, arrays: Mapping[str, Any]) -> int:
    """Check the values on record against the per-row numbers; returns how many values were checked.

    Metrics without per-row numbers are skipped.

    Parameters
    ----------
    arrays : (n_test,) each, from `Store.rows` or `Store.board`.

    Raises
    ------
    DataError : an array has another number of rows, or numbers that are not finite.
    NotGiven : an array gives another value than the record has.
    """
    import numpy as np

    from xmcbench.metrics.uncertainty import DENOMINATOR, ratio

    run, n = record.run_id, record.dataset.n_test
    for name, array in arrays.items():
        if array.shape != (n,) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(f"{run}: {name}: not {n} finite numbers, one per test row")
    checked, mismatches = 0, []
    for one in record.metrics:
        name, value = one.name, one.value
        if name in arrays:
            recomputed = ratio((arrays[name], arrays.get(name + DENOMINATOR)))
            checked += 1
            same = recomputed is None and value is None
            if recomputed is not None and value is not None:
                same = abs(recomputed - value) <= ROUNDING
            if not same:
                mismatches.append(f"{name} is {recomputed} by its rows, on record {value}")
    if mismatches:
        hint = "Record and rows are not of one run: copy both again, or run again."
        raise NotGiven(f"{run}: {some(mismatches)}", hint)
    return checked


def some(texts: list[str]) -> str:
    """The first `SHOWN` texts, and the number of the others."""
    rest = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + rest
