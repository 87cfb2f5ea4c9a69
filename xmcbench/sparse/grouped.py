"""Training of a label tree's binary problems, with the faster solver for each node.

The children of a node with many children and many rows are trained together as a one-vs-rest, which reaches the same
objective in half to a third of the time. All other problems are solved one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xmcbench.sparse.dual import SolverOptions, WorkProgress
from xmcbench.sparse.linear import DEFAULTS, Problems, train_linear
from xmcbench.sparse.onevsrest import train_one_vs_rest

if TYPE_CHECKING:
    import scipy.sparse as sp

MANY_PROBLEMS = 16  # per group, from which one-vs-rest is faster; with 2 it is slower
MANY_ROWS = 4096  # per group; with fewer rows both solvers take about as long


def train_groups(
    features: sp.csr_matrix,
    problems: Problems,
    options: SolverOptions = DEFAULTS,
    progress: WorkProgress | None = None,
) -> sp.csr_matrix:
    """Solve every problem; parameters and result are those of `xmcbench.sparse.linear.train_linear`.

    Both solvers end at the same tolerance; if `options.max_iter` ends a problem, the one-vs-rest solver has made up to
    five times as many passes, see `train_one_vs_rest`.
    """
    import scipy.sparse as sp

    work = problems.work(features)
    many = np.bincount(problems.group, minlength=len(problems.row_ptr) - 1) >= MANY_PROBLEMS
    large = np.flatnonzero(many & (np.diff(problems.row_ptr) >= MANY_ROWS))
    if len(large) == 0:
        return train_linear(features, problems, options, progress)
    done = 0.0

    def progress_of(before: float, share: float) -> WorkProgress | None:
        return None if progress is None else lambda part, whole: progress(before + share * part / max(whole, 1), total)

    total = float(work.sum())
    weights, positions = [], []
    for group in large.tolist():
        first, last = np.searchsorted(problems.group, [group, group + 1]).tolist()
        rows = problems.rows[problems.row_ptr[group] : problems.row_ptr[group + 1]]
        share = float(work[first:last].sum())
        node_features = features if len(rows) == features.shape[0] else features[rows]
        labels = _columns(problems.part(first, last), rows)
        group_options = options._replace(seed=options.seed + first)
        weights.append(train_one_vs_rest(node_features, labels, group_options, progress_of(done, share)))
        positions.append(np.arange(first, last))
        done += share
    rest = np.flatnonzero(~np.isin(problems.group, large))
    weights.append(train_linear(features, problems.select(rest), options, progress_of(done, total - done)))
    positions.append(rest)
    return sp.vstack(weights, format="csr")[np.argsort(np.concatenate(positions))]


def _columns(problems: Problems, rows: Any) -> sp.csc_matrix:
    """(rows, problems) CSC pattern of the positive rows of problems that share `rows`; both lists ascend."""
    import scipy.sparse as sp

    first, last = problems.positive_ptr[[0, -1]]
    positions = np.searchsorted(rows, problems.positives[first:last]).astype(np.int32)
    parts = (np.ones(len(positions), np.bool_), positions, problems.positive_ptr - first)
    return sp.csc_matrix(parts, shape=(len(rows), problems.n_problems))
