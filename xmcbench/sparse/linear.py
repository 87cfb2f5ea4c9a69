"""Many binary linear classifiers over one CSR matrix, each on its own list of rows: see `xmcbench.sparse.dual`.

Problems are independent: one thread solves each with its own seed, so the result depends neither on the number of
threads nor on the order of problems. A group's rows are copied into contiguous memory first, with only the features
that they have, since each problem passes over them about ten times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import columns_of, gather_rows, parts
from xmcbench.sparse.dual import row_squares, solve

if TYPE_CHECKING:
    import scipy.sparse as sp

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
        return cls(
            np.ascontiguousarray(group, np.int64),
            np.ascontiguousarray(rows.indptr, np.int64),
            np.ascontiguousarray(rows.indices, np.int32),
            np.ascontiguousarray(positives.indptr, np.int64),
            np.ascontiguousarray(positives.indices, np.int32),
        )


def train_linear(
    features: sp.csr_matrix,
    problems: Problems,
    *,
    cost: float = 1.0,
    tolerance: float = 0.1,
    max_iter: int = 20,
    bias: float = 1.0,
    threshold: float = 0.0,
    seed: int = 0,
    progress: Callable[[float, float], None] | None = None,
) -> sp.csr_matrix:
    """Solve every problem.

    Parameters
    ----------
    features : (n, d) CSR float32, scaled as the caller wants it.
    cost : C; 1 in LIBLINEAR, Parabel and PECOS.
    tolerance : a problem ends when the projected gradients of a pass over all its rows differ by at most this;
        0.1 in LIBLINEAR's solver 1.
    max_iter : maximum number of passes per problem; 20 in Parabel.
    bias : value of the constant feature.
    threshold : weights of smaller magnitude are dropped; the bias weight is kept.
    seed : determines the order in which rows are visited.
    progress : called with (work done, work in all), about once a second.

    Returns
    -------
    (P, d + 1) CSR float32, sorted indices: weights of problem p, the bias weight last in its row.
    """
    import scipy.sparse as sp

    x = parts(features)
    width = int(features.shape[1])
    squares = row_squares(x.indptr, x.data) + bias * bias
    work = problems.work(features)
    room = np.minimum(work, width) + 1
    workers = get_num_threads()
    scratch = np.zeros((workers, width), np.float32)
    packed: list[tuple[NDArray[Any], ...]] = []
    done = 0
    ranges = chunks(room, work, workers)
    capacity = max((int(room[first:last].sum()) for first, last in ranges), default=0)
    columns, values = np.empty(capacity, np.int32), np.empty(capacity, np.float32)
    for first, last in ranges:
        starts = np.concatenate([[0], np.cumsum(room[first:last])])
        counts = np.zeros(last - first, np.int64)
        _solve_chunk(
            *x, squares, *problems, first, cost, tolerance, max_iter, bias, threshold, seed,
            scratch, starts, columns, values, counts,
        )  # fmt: skip
        ends = starts[:-1] + counts
        packed.append((counts, *(_pieces(array, starts, ends) for array in (columns, values))))
        done += int(work[first:last].sum())
        if progress is not None:
            progress(done, int(work.sum()))
    arrays = [np.concatenate(array) for array in zip(*packed, strict=True)] if packed else _nothing()
    indptr = np.concatenate([[0], np.cumsum(arrays[0])])
    return sp.csr_matrix((arrays[2], arrays[1], indptr), shape=(problems.n_problems, width + 1))


def _pieces(array: NDArray[Any], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[Any]:
    """array[starts[i] : ends[i]] for all i, joined."""
    return np.concatenate([array[a:b] for a, b in zip(starts[:-1].tolist(), ends.tolist(), strict=True)])


def _nothing() -> list[NDArray[Any]]:
    return [np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)]


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


@njit(cache=True, nogil=True, parallel=True)
def _solve_chunk(
    indptr: Any, indices: Any, data: Any, squares: Any,
    group: Any, row_ptr: Any, rows: Any, positive_ptr: Any, positives: Any,
    first: int, cost: float, tolerance: float, max_iter: int, bias: float, threshold: float, seed: int,
    scratch: Any, starts: Any, columns: Any, values: Any, counts: Any,
) -> None:  # fmt: skip
    """Solve problems first … first + len(counts) − 1 and write problem i's weights from starts[i] on."""
    workers = len(scratch)
    for worker in prange(workers):
        _solve_share(
            indptr, indices, data, squares, group, row_ptr, rows, positive_ptr, positives,
            first, cost, tolerance, max_iter, bias, threshold, seed,
            scratch[worker], worker, workers, starts, columns, values, counts,
        )  # fmt: skip


@njit(cache=True, nogil=True)
def _solve_share(
    indptr: Any, indices: Any, data: Any, squares: Any,
    group: Any, row_ptr: Any, rows: Any, positive_ptr: Any, positives: Any,
    first: int, cost: float, tolerance: float, max_iter: int, bias: float, threshold: float, seed: int,
    weights: Any, worker: int, workers: int, starts: Any, columns: Any, values: Any, counts: Any,
) -> None:  # fmt: skip
    """Solve every `workers`-th problem of a chunk. `weights`: (d,) float32 scratch, zero before and after."""
    width = len(weights)
    last_group = -1
    matrix = (indptr, indices, data)
    active, row_numbers, row_squares_of_group = np.empty(0, np.int32), np.empty(0, np.int32), squares
    for i in range(worker, len(counts), workers):
        p = first + i
        group_rows = rows[row_ptr[group[p]] : row_ptr[group[p] + 1]]
        if group[p] != last_group:
            active = columns_of(indptr, indices, group_rows, width)
            if 4 * len(group_rows) > len(squares):  # over a quarter of all rows: a copy would be large and save little
                active = np.arange(width).astype(np.int32)
                matrix, row_numbers, row_squares_of_group = (indptr, indices, data), group_rows, squares
            else:
                matrix = (indptr, indices, data)  # free the last group's copy before the next is made
                matrix = gather_rows(indptr, indices, data, group_rows, active, width)
                row_numbers, row_squares_of_group = np.arange(len(group_rows)).astype(np.int32), squares[group_rows]
            last_group = group[p]
        signs = _signs(group_rows, positives[positive_ptr[p] : positive_ptr[p + 1]])
        bias_weight, _ = solve(
            matrix[0], matrix[1], matrix[2], row_squares_of_group, row_numbers, signs, np.zeros(len(group_rows)),
            cost, tolerance, max_iter, bias, seed + p, weights, 0.0,
        )  # fmt: skip
        at = starts[i]
        for column in range(len(active)):
            if weights[column] != 0.0 and abs(weights[column]) >= threshold:
                columns[at] = active[column]
                values[at] = weights[column]
                at += 1
            weights[column] = 0.0
        columns[at] = width
        values[at] = bias_weight
        counts[i] = at + 1 - starts[i]


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
