"""One classifier a label, each trained on all rows: the problems of `linear`, solved on the few rows that matter.

At the optimum of a squared hinge a row counts for a label only where it is within the margin, and nearly all rows are
far outside: on eurlex-4.3k and icd10cm 0.1 to 1 % of them are within. So a label starts with its positives and a small
sample of rows and goes round by round: solve on the rows it has, look at all rows, add the worst of those that are
within the margin; it is done when none is. The active set of LIBLINEAR's shrinking, approached from the small side.

Looking at all rows is the dear part. It is done for 64 labels at once ("lanes"), whose weights lie side by side, so
that a feature of a row meets all 64 in a few vector instructions. A lane that is done takes the next label. A label's
weights depend on its rows and seed alone: not on its neighbours, nor on threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import Parts, parts
from xmcbench.sparse.dual import row_squares, solve

if TYPE_CHECKING:
    import scipy.sparse as sp

LANES = 64  # labels looked at together: 4 cache lines a feature; 0.2 ns a label and feature, against 0.6 with 8
SAMPLE = 256  # rows every label starts with, for the many it will never hold: they pull its bias to −1
GROWTH = 256  # rows a round adds at most, or as many as there are: doubling
PASSES = 5  # passes over a label's rows between two looks at all rows
OUTSIDE = 0.1  # a row outside may miss its margin by this part of the tolerance: there are so many that it adds up


class Lanes(NamedTuple):
    """The labels at work, one a lane.

    Attributes
    ----------
    label : (64,) int64, −1 where idle. rounds : (64,) int64, rounds it had. solved : (64,) bool, within tolerance?
    size, positives : (64,) int64: rows it has; the first of them are its positive ones.
    rows, alpha : (64, n) int32 and float64: its rows and their dual variables. inside : (64, n) bool, is a row there?
    weights, bias : (64, d) float32 and (64,) float64.
    found, margins, counts : (64, n) int32, (64, n) float32, (workers, 64) int64: rows to add, in a piece a worker.
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
    found: NDArray[np.int32]
    margins: NDArray[np.float32]
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, n: int, width: int, workers: int) -> Lanes:
        """All idle. Memory is taken as rows come in; at most 64 · (21 n + 4 d) bytes."""
        whole, wide = (LANES, n), (LANES, width)
        return cls(
            np.full(LANES, -1), np.zeros(LANES, np.int64), np.zeros(LANES, np.bool_), np.zeros(LANES, np.int64),
            np.zeros(LANES, np.int64), np.empty(whole, np.int32), np.empty(whole), np.zeros(whole, np.bool_),
            np.zeros(wide, np.float32), np.zeros(LANES), np.empty(whole, np.int32), np.empty(whole, np.float32),
            np.zeros((workers, LANES), np.int64),
        )  # fmt: skip


def train_one_vs_rest(
    features: sp.csr_matrix,
    labels: sp.csc_matrix,
    *,
    cost: float = 1.0,
    tolerance: float = 0.1,
    max_iter: int = 100,
    bias: float = 1.0,
    threshold: float = 0.0,
    seed: int = 0,
    progress: Callable[[float, float], None] | None = None,
) -> sp.csr_matrix:
    """Solve ½ ‖w‖² + C Σ_i max(0, 1 − y_i w·x_i)² over all rows, for every column of `labels`.

    Parameters
    ----------
    features : (n, d) CSR float32, scaled as the caller wants it.
    labels : (n, P) CSC pattern: the rows of each label.
    cost : C; 1 in LIBLINEAR, DiSMEC and napkinXC.
    tolerance : a label ends when the projected gradients of its rows lie this close together and no other row misses
        its margin by more than a tenth of it; 0.1 in LIBLINEAR's solver 1 and napkinXC.
    max_iter : most rounds a label, of at most five passes over its rows each; 100 passes in napkinXC.
    bias, threshold, seed, progress : as in `xmcbench.sparse.linear.train_linear`; work is counted in labels.

    Returns
    -------
    (P, d + 1) CSR float32, sorted indices: weights of label p, the bias weight last in its row.
    """
    import scipy.sparse as sp

    x = parts(features)
    n, width, total = features.shape[0], int(features.shape[1]), int(labels.shape[1])
    squares = row_squares(x.indptr, x.data) + bias * bias
    pointers, positives = np.asarray(labels.indptr, np.int64), np.asarray(labels.indices, np.int32)
    sample = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int32)) if n else np.empty(0, np.int32)
    lanes = Lanes.empty(n, width, get_num_threads())
    side_by_side = np.empty((width, LANES), np.float32)
    done: dict[int, tuple[NDArray[Any], NDArray[Any]]] = {}
    begun = 0
    while len(done) < total:
        for lane in np.flatnonzero(lanes.label < 0)[: total - begun].tolist():
            start(lanes, lane, begun, positives[pointers[begun] : pointers[begun + 1]], sample)
            begun += 1
        _solve_lanes(x, squares, lanes, cost, tolerance, bias, seed)
        _look(x, lanes, side_by_side, bias, np.float32(OUTSIDE * tolerance - 1))
        finished = np.zeros(LANES, np.bool_)
        _grow_lanes(lanes, max_iter, finished)
        for lane in np.flatnonzero(finished).tolist():
            label = int(lanes.label[lane])
            done[label] = pack(lanes, lane, threshold)
        if progress is not None:
            progress(len(done), total)
    columns, values = ([done[p][i] for p in range(total)] for i in (0, 1))
    indptr = np.cumsum([0, *map(len, columns)])
    arrays = (np.concatenate([np.empty(0, np.float32), *values]), np.concatenate([np.empty(0, np.int32), *columns]))
    return sp.csr_matrix((*arrays, indptr), shape=(total, width + 1))


@njit(cache=True, nogil=True)
def start(lanes: Any, lane: int, label: int, positives: Any, sample: Any) -> None:
    """Give an idle lane a label: its positive rows first, then those of the sample that are none."""
    lanes.label[lane] = label
    lanes.rounds[lane] = 0
    lanes.positives[lane] = len(positives)
    size = 0
    for rows in (positives, sample):
        for row in rows:
            if not lanes.inside[lane, row]:
                lanes.inside[lane, row] = True
                lanes.rows[lane, size] = row
                lanes.alpha[lane, size] = 0.0
                size += 1
    lanes.size[lane] = size
    lanes.bias[lane] = 0.0


@njit(cache=True, nogil=True, parallel=True)
def _solve_lanes(x: Any, squares: Any, lanes: Any, cost: float, tolerance: float, bias: float, seed: int) -> None:
    workers = len(lanes.counts)
    for worker in prange(workers):
        for lane in range(worker, len(lanes.label), workers):
            if lanes.label[lane] >= 0:
                _solve_lane(x, squares, lanes, lane, cost, tolerance, bias, seed)


@njit(cache=True, nogil=True)
def _solve_lane(
    x: Any, squares: Any, lanes: Any, lane: int, cost: float, tolerance: float, bias: float, seed: int
) -> None:
    """A few more passes over the rows a lane has, from where the last round left off."""
    size = lanes.size[lane]
    signs = np.full(size, -1.0)
    signs[: lanes.positives[lane]] = 1.0
    numbers = seed + lanes.label[lane] + 1000003 * lanes.rounds[lane]
    lanes.bias[lane], lanes.solved[lane] = solve(
        x.indptr, x.indices, x.data, squares, lanes.rows[lane, :size], signs, lanes.alpha[lane, :size],
        cost, tolerance, PASSES, bias, numbers, lanes.weights[lane], lanes.bias[lane],
    )  # fmt: skip
    lanes.rounds[lane] += 1


def _look(x: Parts, lanes: Lanes, side_by_side: NDArray[np.float32], bias: float, limit: np.float32) -> None:
    """Find, for every lane, the rows outside it whose margin is above `limit`."""
    _transpose(lanes.weights, side_by_side)
    base = np.where(lanes.label >= 0, bias * lanes.bias, -np.inf).astype(np.float32)
    lanes.counts[:] = 0
    _look_at_rows(x, lanes, side_by_side, base, limit)


@njit(cache=True, nogil=True)
def _transpose(weights: Any, out: Any) -> None:
    for column in range(weights.shape[1]):
        for lane in range(weights.shape[0]):
            out[column, lane] = weights[lane, column]


@njit(cache=True, nogil=True, parallel=True)
def _look_at_rows(x: Any, lanes: Any, weights: Any, base: Any, limit: Any) -> None:
    workers = len(lanes.counts)
    n = len(x.indptr) - 1
    for worker in prange(workers):
        _look_at_piece(x, lanes, weights, base, limit, n * worker // workers, n * (worker + 1) // workers, worker)


@njit(cache=True, nogil=True)
def _look_at_piece(x: Any, lanes: Any, weights: Any, base: Any, limit: Any, first: int, last: int, worker: int) -> None:
    """Rows first … last − 1; what is found is written from place `first` on. Two features a step: fewer loads of z."""
    z = np.empty(LANES, np.float32)
    counts = lanes.counts[worker]
    for row in range(first, last):
        for lane in range(LANES):
            z[lane] = base[lane]
        at, end = x.indptr[row], x.indptr[row + 1]
        while at + 2 <= end:
            one, other, u, v = x.indices[at], x.indices[at + 1], x.data[at], x.data[at + 1]
            for lane in range(LANES):
                z[lane] += u * weights[one, lane] + v * weights[other, lane]
            at += 2
        if at < end:
            one, u = x.indices[at], x.data[at]
            for lane in range(LANES):
                z[lane] += u * weights[one, lane]
        for lane in range(LANES):
            if z[lane] > limit and not lanes.inside[lane, row]:
                lanes.found[lane, first + counts[lane]] = row
                lanes.margins[lane, first + counts[lane]] = z[lane]
                counts[lane] += 1


@njit(cache=True, nogil=True, parallel=True)
def _grow_lanes(lanes: Any, max_iter: int, finished: Any) -> None:
    workers = len(lanes.counts)
    for worker in prange(workers):
        for lane in range(worker, len(lanes.label), workers):
            if lanes.label[lane] >= 0:
                added = _grow(lanes, lane)
                finished[lane] = (added == 0 and lanes.solved[lane]) or lanes.rounds[lane] >= max_iter


@njit(cache=True, nogil=True)
def _grow(lanes: Any, lane: int) -> int:
    """Add the rows found for a lane, the worst of them where they are too many; how many were added."""
    workers, n = len(lanes.counts), lanes.rows.shape[1]
    total = lanes.counts[:, lane].sum()
    rows, margins = np.empty(total, np.int32), np.empty(total, np.float32)
    at = 0
    for worker in range(workers):
        first, count = n * worker // workers, lanes.counts[worker, lane]
        rows[at : at + count] = lanes.found[lane, first : first + count]
        margins[at : at + count] = lanes.margins[lane, first : first + count]
        at += count
    most = max(GROWTH, lanes.size[lane])
    cut = np.partition(margins, total - most)[total - most] if total > most else np.float32(-np.inf)
    size = lanes.size[lane]
    for i in range(total):
        if margins[i] >= cut:
            lanes.rows[lane, size] = rows[i]
            lanes.alpha[lane, size] = 0.0
            lanes.inside[lane, rows[i]] = True
            size += 1
    added = size - lanes.size[lane]
    lanes.size[lane] = size
    return int(added)


@njit(cache=True, nogil=True)
def pack(lanes: Any, lane: int, threshold: float) -> Any:
    """Columns and values of a lane's weights of at least `threshold`, the bias weight last; the lane is idle again."""
    weights = lanes.weights[lane]
    width = len(weights)
    count = 1
    for column in range(width):
        if weights[column] != 0.0 and abs(weights[column]) >= threshold:
            count += 1
    columns, values = np.empty(count, np.int32), np.empty(count, np.float32)
    at = 0
    for column in range(width):
        if weights[column] != 0.0 and abs(weights[column]) >= threshold:
            columns[at], values[at] = column, weights[column]
            at += 1
    columns[at], values[at] = width, lanes.bias[lane]
    weights[:] = 0.0
    lanes.inside[lane] = False
    lanes.label[lane] = -1
    return columns, values
