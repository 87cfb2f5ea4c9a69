"""Many binary linear classifiers over one CSR matrix, each on its own list of rows: see `xmcbench.sparse.dual`.

Problems are independent: one thread solves each with its own seed, so the result depends neither on the number of
threads nor on the order of problems. A group's rows are copied into contiguous memory first, with only the features
that they have, since each problem passes over them about ten times.

`train_groups` selects the faster solver for each group: many problems on many rows are trained together as a
one-vs-rest, which reaches the same objective in half to a third of the time; all others are solved one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.sparse.csr import Csr, columns_of, gather_rows, row_squares
from xmcbench.sparse.dual import Problem, SolverOptions, WorkProgress, solve
from xmcbench.sparse.onevsrest import train_one_vs_rest
from xmcbench.sparse.shares import run_shares

if TYPE_CHECKING:
    import scipy.sparse as sp

DEFAULTS = SolverOptions()
MANY_PROBLEMS = 16  # per group, from which one-vs-rest is faster; with 2 it is slower
MANY_ROWS = 4096  # per group; with fewer rows both solvers take about as long
CHUNK_WEIGHTS = 2_000_000  # maximum weights per kernel call before pruning, 16 MB
CHUNK_WORK = 100_000_000  # stored features per kernel call and pass: about a second on two cores


class Problems(NamedTuple):
    """P binary problems in G groups; the problems of a group share its list of rows.

    Attributes
    ----------
    group : (P,) int64, non-decreasing: the group of each problem.
    row_ptr, rows : (G + 1,) int64 and int32: group g's rows are rows[row_ptr[g] : row_ptr[g + 1]], ascending.
    positive_ptr, positives : (P + 1,) int64 and int32: problem p's positive rows, ascending, a subset of its group's.
    """

    group: NDArray[np.int64]
    row_ptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    positive_ptr: NDArray[np.int64]
    positives: NDArray[np.int32]

    @property
    def n_problems(self) -> int:
        return len(self.group)

    def part(self, first: int, last: int) -> Problems:
        """Problems first … last − 1; add `first` to the seed to get the same weights as in the whole."""
        return self._replace(group=self.group[first:last], positive_ptr=self.positive_ptr[first : last + 1])

    def select(self, which: NDArray[np.int64]) -> Problems:
        """Problems which[0], which[1], …, ascending, with all groups."""
        counts = np.diff(self.positive_ptr)
        chosen = np.zeros(self.n_problems, np.bool_)
        chosen[which] = True
        ptr = np.concatenate([[0], np.cumsum(counts[which])])
        first, last = self.positive_ptr[[0, -1]]
        positives = self.positives[first:last][np.repeat(chosen, counts)]
        return self._replace(group=self.group[which], positive_ptr=ptr, positives=positives)

    def work(self, features: sp.csr_matrix) -> NDArray[np.int64]:
        """(P,) int64: number of stored features in each problem's rows."""
        running = np.concatenate([[0], np.cumsum(np.diff(features.indptr)[self.rows], dtype=np.int64)])
        return np.asarray((running[self.row_ptr[1:]] - running[self.row_ptr[:-1]])[self.group])

    @classmethod
    def of_columns(cls, rows: sp.csc_matrix, positives: sp.csc_matrix, group: NDArray[Any]) -> Problems:
        """Build from CSC patterns with sorted indices: column g of `rows` (n, G), column p of `positives` (n, P)."""
        arrays = group, rows.indptr, rows.indices, positives.indptr, positives.indices
        types = np.int64, np.int64, np.int32, np.int64, np.int32
        return cls(*(np.ascontiguousarray(array, dtype) for array, dtype in zip(arrays, types, strict=True)))


class Packed(NamedTuple):
    """The weights of a chunk's problems: problem i's are `counts[i]` numbers from starts[i] on."""

    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float32]

    def joined(self, array: NDArray[Any]) -> NDArray[Any]:
        """`columns` or `values` of all problems, without what lies between them."""
        pairs = zip(self.starts.tolist(), self.counts.tolist(), strict=True)
        return np.concatenate([array[start : start + count] for start, count in pairs])


def train_linear(
    features: sp.csr_matrix, problems: Problems, options: SolverOptions = DEFAULTS, progress: WorkProgress | None = None
) -> sp.csr_matrix:
    """Solve every problem.

    Parameters
    ----------
    features : (n, d) CSR float32, scaled as the caller wants it.
    progress : called with (work done, work in all), about once a second.

    Returns
    -------
    (P, d + 1) CSR float32, sorted indices: weights of problem p, the bias weight last in its row.
    """
    import scipy.sparse as sp

    x = Csr.of(features)
    width = int(features.shape[1])
    squares = row_squares(x.indptr, x.data) + options.bias * options.bias
    work = problems.work(features)
    room = np.minimum(work, width) + 1
    workers = get_num_threads()
    scratch = np.zeros((workers, width), np.float32)
    ranges = chunks(room, work, workers)
    capacity = max((int(room[first:last].sum()) for first, last in ranges), default=0)
    columns, values = np.empty(capacity, np.int32), np.empty(capacity, np.float32)
    counts, all_columns, all_values = [np.zeros(1, np.int64)], [columns[:0]], [values[:0]]
    done = 0
    for first, last in ranges:
        ends = np.cumsum(room[first:last])
        packed = Packed(ends - room[first:last], np.zeros(last - first, np.int64), columns, values)
        run_shares(_solve_share, workers, x, squares, problems, first, options, scratch, packed)
        counts.append(packed.counts)
        all_columns.append(packed.joined(columns))
        all_values.append(packed.joined(values))
        done += int(work[first:last].sum())
        if progress is not None:
            progress(done, int(work.sum()))
    arrays = np.concatenate(all_values), np.concatenate(all_columns), np.cumsum(np.concatenate(counts))
    return sp.csr_matrix(arrays, shape=(problems.n_problems, width + 1))


def chunks(room: NDArray[np.int64], work: NDArray[np.int64], workers: int) -> list[tuple[int, int]]:
    """Ranges of problems, one per kernel call: bounded in output and work, with at least one problem per worker."""
    ranges, first = [], 0
    weights = np.concatenate([[0], np.cumsum(room)])
    passes = np.concatenate([[0], np.cumsum(work)])
    while first < len(room):
        weights_end = np.searchsorted(weights, weights[first] + CHUNK_WEIGHTS, side="right") - 1
        work_end = np.searchsorted(passes, passes[first] + CHUNK_WORK, side="right") - 1
        last = min(len(room), max(int(min(weights_end, work_end)), first + workers))
        ranges.append((first, last))
        first = last
    return ranges


@njit(cache=True, nogil=True)
def _solve_share(
    x: Any, squares: Any, problems: Any, first: int, options: Any, scratch: Any, packed: Any, worker: int, workers: int
) -> None:
    """Solve every `workers`-th of problems first … first + len(packed.counts) − 1.

    `scratch`: (workers, d) float32, zero before and after.
    """
    width, weights = scratch.shape[1], scratch[worker]
    last_group = -1
    active, row_numbers, group_squares = np.empty(0, np.int32), np.empty(0, np.int32), squares
    indptr, indices, data = x
    for i in range(worker, len(packed.counts), workers):
        p = first + i
        group = problems.group[p]
        rows = problems.rows[problems.row_ptr[group] : problems.row_ptr[group + 1]]
        if group != last_group:
            indptr, indices, data = x  # free the last group's copy before the next is made
            active = columns_of(x, rows, width)
            if 4 * len(rows) > len(squares):  # over a quarter of all rows: a copy would be large and save little
                active = np.arange(width).astype(np.int32)
                row_numbers, group_squares = rows, squares
            else:
                indptr, indices, data = gather_rows(x, rows, active, width)
                row_numbers, group_squares = np.arange(len(rows)).astype(np.int32), squares[rows]
            last_group = group
        signs = _signs(rows, problems.positives[problems.positive_ptr[p] : problems.positive_ptr[p + 1]])
        problem = Problem(Csr(indptr, indices, data), group_squares, row_numbers, signs)
        bias_weight, _ = solve(problem, np.zeros(len(rows)), weights, 0.0, options, options.seed + p)
        at = packed.starts[i]
        for column in range(len(active)):
            if weights[column] != 0.0 and abs(weights[column]) >= options.threshold:
                packed.columns[at] = active[column]
                packed.values[at] = weights[column]
                at += 1
            weights[column] = 0.0
        packed.columns[at] = width
        packed.values[at] = bias_weight
        packed.counts[i] = at + 1 - packed.starts[i]


@njit(cache=True, nogil=True)
def _signs(rows: Any, positives: Any) -> Any:
    """(m,) float64: 1 for positive rows, else −1; both lists ascend."""
    signs = np.full(len(rows), -1.0)
    at = 0
    for i in range(len(rows)):
        while at < len(positives) and positives[at] < rows[i]:
            at += 1
        if at < len(positives) and positives[at] == rows[i]:
            signs[i] = 1.0
    return signs


def train_groups(
    features: sp.csr_matrix,
    problems: Problems,
    options: SolverOptions = DEFAULTS,
    progress: WorkProgress | None = None,
) -> sp.csr_matrix:
    """`train_linear` by the faster solver for each group.

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
