"""One classifier per label over all rows: the problems of `linear`, solved by a growing active set of rows.

At the optimum of a squared hinge only rows within the margin affect a label, and 99 % or more of the rows are outside.
So a label starts with its positive rows and a small sample, and works in rounds: solve on its active rows, evaluate all
rows, add the worst of those within the margin. It is done when there are none. This is the active set of LIBLINEAR's
shrinking, grown instead of shrunk.

Evaluating all rows is the expensive part. It is done for 64 labels at once ("lanes"), with their weights interleaved,
so that a feature of a row is applied to all 64 in a few vector instructions. A finished lane takes the next label. A
label's weights depend only on the data and the seed, not on the other labels in work or on the number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit
from numpy.typing import NDArray

from xmcbench.sparse.csr import Csr, row_squares
from xmcbench.sparse.dual import Problem, SolverOptions, WorkProgress, solve
from xmcbench.sparse.shares import run_shares

if TYPE_CHECKING:
    import scipy.sparse as sp

DEFAULTS = SolverOptions(max_iter=100)
LANES = 64  # labels evaluated together: 4 cache lines per feature; three times as fast as 8
SAMPLE = 256  # rows every label starts with, for the many that never become active: they pull its bias to −1
GROWTH = 256  # maximum number of rows added per round, or the number of active rows if that is more (doubling)
PASSES = 5  # passes over a label's active rows between two evaluations of all rows
OUTSIDE = 0.1  # an inactive row may violate its margin by this share of the tolerance: many such rows add up


class Lanes(NamedTuple):
    """The labels in work, one per lane.

    Attributes
    ----------
    label : (64,) int64, −1 in an idle lane. rounds : (64,) int64, rounds so far. solved : (64,) bool, within tolerance?
    size, positives : (64,) int64: number of active rows, and of positive ones, which come first.
    rows, alpha : (64, n) int32 and float64: active rows and their dual variables. inside : (64, n) bool, is it active?
    weights, bias : (64, d) float32 and (64,) float64.
    violators, margins, counts : (64, n) int32, (64, n) float32, (workers, 64) int64: rows to add, their margins, and
        how many each worker found; every worker writes to its own section.
    """

    label: NDArray[np.int64]
    rounds: NDArray[np.int64]
    solved: NDArray[np.bool_]
    size: NDArray[np.int64]
    positives: NDArray[np.int64]
    rows: NDArray[np.int32]
    alpha: NDArray[np.float64]
    inside: NDArray[np.bool_]
    weights: NDArray[np.float32]
    bias: NDArray[np.float64]
    violators: NDArray[np.int32]
    margins: NDArray[np.float32]
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, n: int, width: int, workers: int) -> Lanes:
        """All lanes idle. The pages are allocated as rows are added; at most 64 · (21 n + 4 d) bytes."""
        by_row, by_feature = (LANES, n), (LANES, width)
        return cls(
            np.full(LANES, -1), np.zeros(LANES, np.int64), np.zeros(LANES, np.bool_), np.zeros(LANES, np.int64),
            np.zeros(LANES, np.int64), np.empty(by_row, np.int32), np.empty(by_row), np.zeros(by_row, np.bool_),
            np.zeros(by_feature, np.float32), np.zeros(LANES), np.empty(by_row, np.int32), np.empty(by_row, np.float32),
            np.zeros((workers, LANES), np.int64),
        )  # fmt: skip


def train_one_vs_rest(
    features: sp.csr_matrix,
    labels: sp.csc_matrix,
    options: SolverOptions = DEFAULTS,
    progress: WorkProgress | None = None,
) -> sp.csr_matrix:
    """Solve ½ ‖w‖² + C Σ_i max(0, 1 − y_i w·x_i)² over all rows, for every column of `labels`.

    A label ends when the projected gradients of its active rows differ by at most the tolerance and no other row
    violates its margin by more than a tenth of it, or after `options.max_iter` rounds of at most five passes each.

    Parameters
    ----------
    features : (n, d) CSR float32, scaled as the caller wants it.
    labels : (n, P) CSC pattern: the rows of each label.
    progress : called with (labels done, P) after each round.

    Returns
    -------
    (P, d + 1) CSR float32, sorted indices: weights of label p, the bias weight last in its row.
    """
    import scipy.sparse as sp

    x = Csr.of(features)
    n, width, total = features.shape[0], int(features.shape[1]), int(labels.shape[1])
    squares = row_squares(x.indptr, x.data) + options.bias * options.bias
    one_round = options._replace(max_iter=PASSES)
    pointers, positives = np.asarray(labels.indptr, np.int64), np.asarray(labels.indices, np.int32)
    sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int32)) if n else np.empty(0, np.int32)
    workers = get_num_threads()
    lanes = Lanes.empty(n, width, workers)
    interleaved = np.empty((width, LANES), np.float32)
    done: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}
    n_started = 0
    while len(done) < total:
        for lane in np.flatnonzero(lanes.label < 0)[: total - n_started].tolist():
            start(lanes, lane, n_started, positives[pointers[n_started] : pointers[n_started + 1]], sample)
            n_started += 1
        run_shares(_solve_lanes, workers, x, squares, lanes, one_round)
        interleaved[:] = lanes.weights.T
        base = np.where(lanes.label >= 0, options.bias * lanes.bias, -np.inf).astype(np.float32)
        lanes.counts[:] = 0
        limit = np.float32(OUTSIDE * options.tolerance - 1)
        run_shares(_find_violators, workers, x, lanes, interleaved, base, limit)
        finished = np.zeros(LANES, np.bool_)
        run_shares(_grow_lanes, workers, lanes, thresholds(lanes), options.max_iter, finished)
        for lane in np.flatnonzero(finished).tolist():
            label = int(lanes.label[lane])
            done[label] = pack(lanes, lane, options.threshold)
        if progress is not None:
            progress(len(done), total)
    columns, values = ([done[p][i] for p in range(total)] for i in (0, 1))
    indptr = np.cumsum([0, *map(len, columns)])
    arrays = (np.concatenate([np.empty(0, np.float32), *values]), np.concatenate([np.empty(0, np.int32), *columns]))
    return sp.csr_matrix((*arrays, indptr), shape=(total, width + 1))


def start(lanes: Lanes, lane: int, label: int, positives: NDArray[np.int32], sample: NDArray[np.int32]) -> None:
    """Assign a label to an idle lane: its positive rows first, then the other rows of the sample."""
    rows = np.concatenate([positives, np.setdiff1d(sample, positives, assume_unique=True)])
    lanes.label[lane], lanes.rounds[lane], lanes.bias[lane] = label, 0, 0.0
    lanes.positives[lane], lanes.size[lane] = len(positives), len(rows)
    lanes.rows[lane, : len(rows)], lanes.alpha[lane, : len(rows)] = rows, 0.0
    lanes.inside[lane, rows] = True


def pack(lanes: Lanes, lane: int, threshold: float) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Columns and values of a lane's weights of at least `threshold`, the bias weight last; the lane becomes idle."""
    weights = lanes.weights[lane]
    columns = np.flatnonzero((weights != 0) & (np.abs(weights) >= np.float64(threshold)))  # compared in float64
    values = np.append(weights[columns], np.float32(lanes.bias[lane]))
    weights[:], lanes.inside[lane], lanes.label[lane] = 0.0, False, -1
    return np.append(columns, len(weights)).astype(np.int32), values


@njit(cache=True, nogil=True)
def _solve_lanes(x: Any, squares: Any, lanes: Any, options: Any, worker: int, workers: int) -> None:
    for lane in range(worker, len(lanes.label), workers):
        if lanes.label[lane] >= 0:
            _solve_lane(x, squares, lanes, lane, options)


@njit(cache=True, nogil=True)
def _solve_lane(x: Any, squares: Any, lanes: Any, lane: int, options: Any) -> None:
    """Run a few more passes over a lane's active rows, starting from the last round's solution."""
    size = lanes.size[lane]
    signs = np.full(size, -1.0)
    signs[: lanes.positives[lane]] = 1.0
    seed = options.seed + lanes.label[lane] + 1000003 * lanes.rounds[lane]
    problem = Problem(x, squares, lanes.rows[lane, :size], signs)
    lanes.bias[lane], lanes.solved[lane] = solve(
        problem, lanes.alpha[lane, :size], lanes.weights[lane], lanes.bias[lane], options, seed
    )
    lanes.rounds[lane] += 1


@njit(cache=True, nogil=True)
def _find_violators(x: Any, lanes: Any, weights: Any, base: Any, limit: Any, worker: int, workers: int) -> None:
    """Find, for every lane, the inactive rows whose margin is above `limit`, among one worker's rows.

    Violators go into the worker's own section. Two features per step save loads of z.
    """
    n, counts = len(x.indptr) - 1, lanes.counts[worker]
    first, last = n * worker // workers, n * (worker + 1) // workers
    z = np.empty(LANES, np.float32)
    for row in range(first, last):
        for lane in range(LANES):
            z[lane] = base[lane]
        at, end = x.indptr[row], x.indptr[row + 1]
        while at + 2 <= end:
            first_feature, second_feature, u, v = x.indices[at], x.indices[at + 1], x.data[at], x.data[at + 1]
            for lane in range(LANES):
                z[lane] += u * weights[first_feature, lane] + v * weights[second_feature, lane]
            at += 2
        if at < end:
            first_feature, u = x.indices[at], x.data[at]
            for lane in range(LANES):
                z[lane] += u * weights[first_feature, lane]
        for lane in range(LANES):
            if z[lane] > limit and not lanes.inside[lane, row]:
                lanes.violators[lane, first + counts[lane]] = row
                lanes.margins[lane, first + counts[lane]] = z[lane]
                counts[lane] += 1


def thresholds(lanes: Lanes) -> NDArray[np.float32]:
    """(64,) float32: the smallest margin of a violator to add; −inf in lanes that have room for all violators.

    In numpy, whose partial sort numba would take seconds to compile.
    """
    workers, n = len(lanes.counts), lanes.rows.shape[1]
    least = np.full(LANES, -np.inf, np.float32)
    totals, capacity = lanes.counts.sum(axis=0), np.maximum(GROWTH, lanes.size)
    for lane in np.flatnonzero((lanes.label >= 0) & (totals > capacity)).tolist():
        sections = [(n * worker // workers, lanes.counts[worker, lane]) for worker in range(workers)]
        margins = np.concatenate([lanes.margins[lane, first : first + count] for first, count in sections])
        place = totals[lane] - capacity[lane]
        least[lane] = np.partition(margins, place)[place]
    return least


@njit(cache=True, nogil=True)
def _grow_lanes(lanes: Any, thresholds: Any, max_iter: int, finished: Any, worker: int, workers: int) -> None:
    for lane in range(worker, len(lanes.label), workers):
        if lanes.label[lane] >= 0:
            added = _grow(lanes, lane, thresholds[lane])
            finished[lane] = (added == 0 and lanes.solved[lane]) or lanes.rounds[lane] >= max_iter


@njit(cache=True, nogil=True)
def _grow(lanes: Any, lane: int, threshold: float) -> int:
    """Add a lane's violators with a margin of at least `threshold`; returns the number added."""
    workers, n = len(lanes.counts), lanes.rows.shape[1]
    size = lanes.size[lane]
    for worker in range(workers):
        first = n * worker // workers
        for at in range(first, first + lanes.counts[worker, lane]):
            if lanes.margins[lane, at] >= threshold:
                row = lanes.violators[lane, at]
                lanes.rows[lane, size] = row
                lanes.alpha[lane, size] = 0.0
                lanes.inside[lane, row] = True
                size += 1
    added = size - lanes.size[lane]
    lanes.size[lane] = size
    return int(added)
