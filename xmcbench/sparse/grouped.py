"""Binary problems of both kinds that a label tree has: few over many rows, and many over the same rows.

Where a node has many children and many rows, its children are a small one-vs-rest, and are trained as one: on
eurlex-4.3k in half to a third of the time, at the same objective. Elsewhere problems are solved one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from xmcbench.sparse.linear import Problems, train_linear
from xmcbench.sparse.onevsrest import train_one_vs_rest

if TYPE_CHECKING:
    import scipy.sparse as sp

MANY_PROBLEMS = 16  # measured on eurlex-4.3k and icd10cm: with 2 a group one-vs-rest takes longer, from 16 on less
MANY_ROWS = 4096  # with fewer, about as long


def train_groups(
    features: sp.csr_matrix,
    problems: Problems,
    *,
    seed: int = 0,
    progress: Callable[[float, float], None] | None = None,
    **how: Any,
) -> sp.csr_matrix:
    """Solve every problem; parameters and result are those of `xmcbench.sparse.linear.train_linear`.

    `how` : cost, tolerance, max_iter, bias, threshold. A problem ends at the same tolerance either way; where it is
    `max_iter` that ends it, a one-vs-rest has had up to five times the passes, see `train_one_vs_rest`.
    """
    import scipy.sparse as sp

    work = problems.work(features)
    many = np.bincount(problems.group, minlength=len(problems.row_ptr) - 1) >= MANY_PROBLEMS
    large = np.flatnonzero(many & (np.diff(problems.row_ptr) >= MANY_ROWS))
    if len(large) == 0:
        return train_linear(features, problems, seed=seed, progress=progress, **how)
    together = np.isin(problems.group, large)
    done = 0.0

    def said(before: float, share: float) -> Callable[[float, float], None] | None:
        return None if progress is None else lambda part, whole: progress(before + share * part / max(whole, 1), total)

    total = float(work.sum())
    found, places = [], []
    for group in large.tolist():
        first, last = np.searchsorted(problems.group, [group, group + 1]).tolist()
        rows = problems.rows[problems.row_ptr[group] : problems.row_ptr[group + 1]]
        share = float(work[first:last].sum())
        own = features if len(rows) == features.shape[0] else features[rows]
        labels = _columns(problems.part(first, last), rows)
        found.append(train_one_vs_rest(own, labels, seed=seed + first, progress=said(done, share), **how))
        places.append(np.arange(first, last))
        done += share
    rest = np.flatnonzero(~together)
    found.append(train_linear(features, problems.select(rest), seed=seed, progress=said(done, total - done), **how))
    places.append(rest)
    return sp.vstack(found, format="csr")[np.argsort(np.concatenate(places))]


def _columns(problems: Problems, rows: Any) -> sp.csc_matrix:
    """(rows, problems) CSC pattern of the positives of problems that share `rows`, ascending."""
    import scipy.sparse as sp

    first, last = problems.positive_ptr[[0, -1]]
    places = np.searchsorted(rows, problems.positives[first:last]).astype(np.int32)
    parts = (np.ones(len(places), np.bool_), places, problems.positive_ptr - first)
    return sp.csc_matrix(parts, shape=(len(rows), problems.n_problems))
