"""Per-row numbers of a run: those that leaderboards need, and the check that the numbers give the values on record.

rows/RUN_ID.npz         every per-row array of the run
board/RUN_ID.npz        (n,) float32 numerators of the metrics in `TESTED`: small enough to commit thousands of runs
board/data-HASH.npz     shared by all runs on one data set: denominators and near-duplicate groups
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.errors import DataError, UsageError
from xmcbench.metrics.definition import Definition
from xmcbench.metrics.names import parse
from xmcbench.metrics.uncertainty import DENOMINATOR, NEAR, ratio
from xmcbench.records.record import Record

TESTED = ("P@1", "P@5", "nDCG@5", "PSP@5", "R@100")  # the metrics that leaderboards rank by
ROUNDING = 1e-6  # largest allowed difference between recomputed and recorded value: stored rows are float32
SLACK = 1e-5  # largest relative excess of a numerator over its bound: both are float32
SHOWN = 5  # number of metrics named in a message

PerRow = dict[str, NDArray[Any]]  # name of a metric, with or without "/den", or NEAR → (n_test,)


def split_for_board(rows: Mapping[str, NDArray[Any]]) -> tuple[PerRow, PerRow]:
    """The arrays of the two board files, (numerators, shared arrays), from a run's per-row arrays."""
    numerators = {name: rows[name] for name in TESTED if name in rows}
    shared = [NEAR, *(name + DENOMINATOR for name in numerators)]
    return numerators, {name: rows[name] for name in shared if name in rows}


def hash_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Hex sha256 of names, types, shapes and bytes, which does not depend on the file that has the arrays."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class NotGiven(DataError):
    """The per-row numbers give another value than the record has: one of the two was changed."""


def values_given(record: Record, arrays: Mapping[str, Any]) -> int:
    """Check the values on record against the per-row numbers; returns how many values were checked.

    Metrics without per-row numbers are skipped.

    `arrays`: (n_test,) each, from `Store.rows` or `Store.board`.

    Raises
    ------
    DataError : an array has another number of rows, or numbers that no run gives: not finite, out of range, groups of
        near-duplicates that don't name the smallest row of each group.
    NotGiven : an array gives another value than the record has.
    """
    run, n = record.run_id, record.dataset.n_test
    for name, array in arrays.items():
        if array.shape != (n,) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(f"{run}: {name}: not {n} finite numbers, one per test row")
    for name in arrays:  # after all of them have a number per row, since they are compared with each other
        if fault := _impossible(name, arrays):
            raise DataError(f"{run}: {name}: {fault}", "No run gives such numbers: run again.")
    values = {one.name: one.value for one in record.metrics if one.name in arrays}
    mismatches = []
    for name, value in values.items():
        recomputed = ratio((arrays[name], arrays.get(name + DENOMINATOR)))
        same = recomputed is value  # both are undefined
        if recomputed is not None and value is not None:
            same = abs(recomputed - value) <= ROUNDING
        if not same:
            mismatches.append(f"{name} is {recomputed} by its rows, on record {value}")
    if mismatches:
        hint = "Record and rows are not of one run: copy both again, or run again."
        raise NotGiven(f"{run}: {some(mismatches)}", hint)
    return len(values)


def _impossible(name: str, arrays: Mapping[str, Any]) -> str:
    """Why no run gives the array of that name, or ""; arrays of unknown metrics are not judged."""
    array = arrays[name]
    if name == NEAR:
        return _no_groups(array)
    try:
        definition = parse(name.removesuffix(DENOMINATOR)).definition
    except UsageError:
        return ""
    if array.size and array.min() < 0:
        return "a negative number"
    if name.endswith(DENOMINATOR):
        counts_rows = definition.kind == "ratio of sums" or not np.any((array != 0) & (array != 1))
        return "" if counts_rows else "a denominator other than 0 and 1"
    return _above(definition, array, arrays.get(name + DENOMINATOR)) or _denominator_of(name, definition, arrays)


def _no_groups(near: NDArray[Any]) -> str:
    rows = np.arange(len(near))
    if near.dtype.kind not in "iu" or ((near < 0) | (near > rows)).any() or (near[near] != near).any():
        return "not the smallest row number of each row's near-duplicate group"
    return ""


def _above(definition: Definition, numerators: NDArray[Any], denominators: NDArray[Any] | None) -> str:
    if definition.high is None:
        return ""
    largest: Any = definition.high
    if definition.kind == "ratio of sums" and denominators is not None:
        largest = definition.high * denominators
    return "a number above the best that any ranking reaches" if (numerators > largest * (1 + SLACK)).any() else ""


def _denominator_of(name: str, definition: Definition, arrays: Mapping[str, Any]) -> str:
    """A tested metric has denominators if it is a ratio of sums, and none otherwise, since all rows count."""
    if name not in TESTED or (definition.kind == "ratio of sums") == (name + DENOMINATOR in arrays):
        return ""
    return f"{'has' if name + DENOMINATOR in arrays else 'has no'} denominators"


def some(texts: list[str]) -> str:
    """The first `SHOWN` texts, and the number of the others."""
    rest = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + rest
