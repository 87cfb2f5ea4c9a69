"""Whether per-row numbers give the values on record: what catches a record or rows that were changed together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xmcbench.errors import DataError

ROUNDING = 1e-6  # kept rows are float32: so far may what they give be from the value on record
SHOWN = 5  # metrics a line names


class NotGiven(DataError):
    """Another value on record than the per-row numbers give: one of the two was changed."""


def values_given(record: Mapping[str, Any], arrays: Mapping[str, Any]) -> int:
    """How many values on record the per-row numbers give; a metric without rows is not looked at.

    Parameters
    ----------
    arrays : as `Store.rows` or `Store.board` give them: (n_test,) each.

    Raises
    ------
    DataError : they are of another number of rows, or no finite numbers.
    NotGiven : they give another value.
    """
    import numpy as np

    from xmcbench.metrics.uncertainty import DENOMINATOR, ratio

    run, n = record["run_id"], record["dataset"].get("n_test")
    for name, array in arrays.items():
        if array.shape != (n,) or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise DataError(f"{run}: {name}: not {n} finite numbers, one a test row")
    given, wrong = 0, []
    for entry in record["metrics"]:
        name, value = entry["name"], entry["value"]
        if name in arrays:
            found = ratio((arrays[name], arrays.get(name + DENOMINATOR)))
            given += 1
            if (found is None) != (value is None) or (found is not None and abs(found - value) > ROUNDING):
                wrong.append(f"{name} is {found} by its rows, on record {value}")
    if wrong:
        raise NotGiven(f"{run}: {some(wrong)}", "Record and rows are not of one run: get both again, or run again.")
    return given


def some(texts: list[str]) -> str:
    """The first of them, and how many more there are."""
    rest = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + rest
