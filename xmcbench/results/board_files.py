"""Per-row numbers of a run for leaderboards: a few metrics, small enough to commit thousands of runs.

board/RUN_ID.npz       (n,) float32 numerators of the metrics in `TESTED` that were computed
board/data-HASH.npz    shared by all runs on one data set: denominators and near-duplicate groups
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from xmcbench.metrics.uncertainty import DENOMINATOR, NEAR

TESTED = ("P@1", "P@5", "nDCG@5", "PSP@5", "R@100")  # the metrics that leaderboards rank by


def split(rows: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of the two files, (numerators, shared arrays), from a run's per-row arrays."""
    numerators = {name: rows[name] for name in TESTED if name in rows}
    shared = {name + DENOMINATOR: rows[name + DENOMINATOR] for name in numerators if name + DENOMINATOR in rows}
    if NEAR in rows:
        shared[NEAR] = rows[NEAR]
    return numerators, shared


def hash_of(arrays: Mapping[str, Any]) -> str:
    """Hex sha256 of names, types, shapes and bytes, which does not depend on the file that has the arrays."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
