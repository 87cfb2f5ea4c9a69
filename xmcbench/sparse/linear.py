"""Many binary linear classifiers over one CSR matrix, each on its own list of rows: see `xmcbench.sparse.dual`.

Problems are independent: one thread solves each with its own seed, so the result depends neither on the number of
threads nor on the order of problems. A group's rows are copied into contiguous memory first, with only the features
that they have, since each problem passes over them about ten times; of a small group with many problems, the inner
products of its rows are computed (`xmcbench.sparse.products`).

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
from xmcbench.sparse.products import pays, products_of, solve_by_products
from xmcbench.sparse.shares import run_shares

if TYPE_CHECKING:
    import scipy.sparse as sp

DEFAULTS = SolverOptions()
MANY_PROBLEMS = 16  # per group, from which one-vs-rest is faster; with 2 it is slower
MANY_ROWS = 4096  # per group; with fewer rows both solvers take about as long
CHUNK_WORK = 100_000_000  # stored features between two progress reports, per pass: about a second on two cores
SHARES = 4  # per thread: a thread that another program slows down does fewer of them
Packed = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]  # of each problem: count, columns, values
_NOTHING: Packed = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32))


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
        """Problems first … last − 1, whole groups; add `first` to the seed to get the same weights as in the whole."""
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
    total = int(work.sum())
    packed: list[Packed] = []
    for first, last in chunks(work, get_num_threads()):
        borders = first + share_borders(problems.group[first:last], work[first:last])
        shares: list[Packed] = [_NOTHING] * (len(borders) - 1)

        def train(share: int, _: int, borders: Any = borders, shares: list[Packed] = shares) -> None:
            shares[share] = _train_range(x, squares, problems, borders[share], borders[share + 1], options, width)

        run_shares(train, len(shares))
        packed += shares
        if progress is not None:
            progress(int(work[:last].sum()), total)
    counts, columns, values = (np.concatenate([part[i] for part in [_NOTHING, *packed]]) for i in range(3))
    arrays = values, columns, np.concatenate([[0], np.cumsum(counts)])
    return sp.csr_matrix(arrays, shape=(problems.n_problems, width + 1))


def chunks(work: NDArray[np.int64], workers: int) -> list[tuple[int, int]]:
    """Ranges of problems trained between two progress reports: bounded work, with at least one problem per worker."""
    ranges, first = [], 0
    passes = np.concatenate([[0], np.cumsum(work)])
    while first < len(work):
        end = int(np.searchsorted(passes, passes[first] + CHUNK_WORK, side="right")) - 1
        last = min(len(work), max(end, first + workers))
        ranges.append((first, last))
        first = last
    return ranges


def share_borders(group: NDArray[np.int64], work: NDArray[np.int64]) -> NDArray[np.int64]:
    """(shares + 1,) int64, ascending: share s gets problems borders[s] … borders[s + 1] − 1, in all similar work.

    Shares end where groups end if there are many groups: a group's rows are copied once for each share that has some
    of its problems.
    """
    shares = min(SHARES * get_num_threads(), len(group))
    done = np.cumsum(work)
    borders = np.searchsorted(done, done[-1] * np.arange(1, shares) // shares, side="right")
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    if len(starts) >= shares:
        borders = starts[np.searchsorted(starts, borders, side="right") - 1]
    return np.concatenate([[0], borders, [len(group)]]).astype(np.int64)


@njit(cache=True, nogil=True)
def _train_range(x: Any, squares: Any, problems: Any, first: int, last: int, options: Any, width: int) -> Any:
    """Solve problems first … last − 1; returns a `Packed`."""
    counts = np.zeros(last - first, np.int64)
    all_columns, all_values, used = np.empty(0, np.int32), np.empty(0, np.float32), 0
    weights = np.zeros(width, np.float32)
    last_group, products = -1, np.empty((0, 0), np.float32)
    active, row_numbers, group_squares = np.empty(0, np.int32), np.empty(0, np.int32), squares
    indptr, indices, data = x
    for p in range(first, last):
        group = problems.group[p]
        rows = problems.rows[problems.row_ptr[group] : problems.row_ptr[group + 1]]
        if group != last_group:
            indptr, indices, data = x  # free the last group's copy before the next is made
            products = np.empty((0, 0), np.float32)
            active = columns_of(x, rows, width)
            n_problems = np.searchsorted(problems.group, group + 1) - np.searchsorted(problems.group, group)
            if 4 * len(rows) > len(squares):  # over a quarter of all rows: a copy would be large and save little
                active = np.arange(width).astype(np.int32)
                row_numbers, group_squares = rows, squares
            else:
                indptr, indices, data = gather_rows(x, rows, active, width)
                row_numbers, group_squares = np.arange(len(rows)).astype(np.int32), squares[rows]
                if pays(len(rows), n_problems, len(indices)):
                    products = products_of(Csr(indptr, indices, data), len(active), options.bias)
            last_group = group
        signs = _signs(rows, problems.positives[problems.positive_ptr[p] : problems.positive_ptr[p + 1]])
        problem = Problem(Csr(indptr, indices, data), group_squares, row_numbers, signs)
        if len(products):
            bias_weight = solve_by_products(problem.x, products, signs, weights, options, options.seed + p)
        else:
            bias_weight, _ = solve(problem, np.zeros(len(rows)), weights, 0.0, options, options.seed + p)
        before = used
        if used + len(active) + 1 > len(all_columns):
            room = 2 * used + len(active) + 1
            all_columns, all_values = _longer(all_columns, used, room), _longer(all_values, used, room)
        for column in range(len(active)):
            if weights[column] != 0.0 and abs(weights[column]) >= options.threshold:
                all_columns[used] = active[column]
                all_values[used] = weights[column]
                used += 1
            weights[column] = 0.0
        all_columns[used] = width
        all_values[used] = bias_weight
        used += 1
        counts[p - first] = used - before
    return counts, all_columns[:used].copy(), all_values[:used].copy()


@njit(cache=True, nogil=True)
def _longer(array: Any, used: int, room: int) -> Any:
    """The first `used` elements of an array, with room for `room`."""
    longer = np.empty(room, array.dtype)
    longer[:used] = array[:used]
    return longer


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
