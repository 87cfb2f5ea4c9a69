"""What a record carries to a leaderboard: per-row numbers of few metrics, small enough to commit by the thousand.

board/RUN_ID.npz       (n,) float32 numerators of `TESTED`, those of them that were scored
board/data-HASH.npz    what all runs on one data set share: their denominators, and groups of near-duplicate rows
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xmcbench.metrics.uncertainty import DENOMINATOR

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset

# the first label, the length of a screen, the rare ones, and the shortlist: what ranks are tested on
TESTED = ("P@1", "P@5", "nDCG@5", "PSP@5", "R@100")
NEAR = "near"  # name of the groups among the per-row arrays


def beside(dataset: Dataset) -> dict[str, Any]:
    """The per-row arrays that hang on the data alone."""
    return {NEAR: dataset.near_groups}


def split(rows: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(numerators, shared) of a run's per-row arrays, as the two files hold them."""
    own = {name: rows[name] for name in TESTED if name in rows}
    shared = {name + DENOMINATOR: rows[name + DENOMINATOR] for name in own if name + DENOMINATOR in rows}
    if NEAR in rows:
        shared[NEAR] = rows[NEAR]
    return own, shared


def hash_of(arrays: Mapping[str, Any]) -> str:
    """Hex sha256 of names, types, shapes and bytes: the same arrays have it in any file."""
    import numpy as np

    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
