"""Many binary linear classifiers over one CSR matrix, each on its own list of rows: see `xmcbench.sparse.dual`.

Problems are independent: each is solved by one thread with random numbers of its own, so neither threads nor the order
of problems show in the result. A group's rows are copied side by side first, without the features that none of them
has: they are gone over some ten times for each of its problems, and far apart in memory they took three times as long.
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

CHUNK_WEIGHTS = 2_000_000  # weights a kernel call has room for, 16 MB; most are pruned, and the rest packed
CHUNK_WORK = 100_000_000  # stored features a kernel call goes over in one pass: about a second on two cores


class Problems(NamedTuple):
    """P binary problems in G groups; the problems of a group share its list of rows.

    Attributes
    ----------
    group : (P,) int64, non-decreasing: whose rows a problem is trained on.
    row_ptr, rows : (G + 1,) int64 and int32: group g's rows are rows[row_ptr[g] : row_ptr[g + 1]], ascending.
    positive_ptr, positives : (P + 1,) int64 and int32: problem p's positive rows, ascending, all among its group's.
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
        """Problems first … last − 1 with their groups; add `first` to the seed to get the same weights."""
        return self._replace(group=self.group[first:last], positive_ptr=self.positive_ptr[first : last + 1])

    def select(self, which: NDArray[np.int64]) -> Problems:
        """Problems which[0], which[1], …, rising numbers, with all groups."""
        counts = np.diff(self.positive_ptr)
        chosen = np.zeros(self.n_problems, np.bool_)
        chosen[which] = True
        ptr = np.concatenate([[0], np.cumsum(counts[which])])
        first, last = self.positive_ptr[[0, -1]]
        positives = self.positives[first:last][np.repeat(chosen, counts)]
        return self._replace(group=self.group[which], positive_ptr=ptr, positives=positives)

    def work(self, features: sp.csr_matrix) -> NDArray[np.int64]:
        """(P,) int64: stored features that one pass over each problem's rows goes over."""
        running = np.concatenate([[0], np.cumsum(np.diff(features.indptr)[self.rows], dtype=np.int64)])
        return np.asarray((running[self.row_ptr[1:]] - running[self.row_ptr[:-1]])[self.group])

    @classmethod
    def of_columns(cls, rows: sp.csc_matrix, positives: sp.csc_matrix, group: NDArray[Any]) -> Problems:
        """From CSC patterns with sorted indices: column g of `rows` (n, G), column p of `positives` (n, P)."""
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
    tolerance : a problem ends when the projected gradients of a pass over all its rows lie this close together;
        0.1 in LIBLINEAR's solver 1.
    max_iter : most passes a problem; 20 in Parabel.
    bias : value of the constant feature.
    threshold : weights of smaller magnitude are dropped; the bias weight is kept.
    seed : of the order rows are visited in.
    progress : called as (work done, work in all), about once a second.

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
    parts_of_work = chunks(room, work, workers)
    most = max((int(room[first:last].sum()) for first, last in parts_of_work), default=0)
    columns, values = np.empty(most, np.int32), np.empty(most, np.float32)
    for first, last in parts_of_work:
        starts = np.concatenate([[0], np.cumsum(room[first:last])])
        counts = np.zeros(last - first, np.int64)
        _solve_chunk(
            *x, squares, *problems, first, cost, tolerance, max_iter, bias, threshold, seed,
            scratch, starts, columns, values, counts,
        )  # fmt: skip
        ends = starts[:-1] + counts
        packed.append((counts, *(_pieces(found, starts, ends) for found in (columns, values))))
        done += int(work[first:last].sum())
        if progress is not None:
            progress(done, int(work.sum()))
    kept = [np.concatenate(found) for found in zip(*packed, strict=True)] if packed else _nothing()
    indptr = np.concatenate([[0], np.cumsum(kept[0])])
    return sp.csr_matrix((kept[2], kept[1], indptr), shape=(problems.n_problems, width + 1))


def _pieces(array: NDArray[Any], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[Any]:
    """array[starts[i] : ends[i]] for all i, joined."""
    return np.concatenate([array[a:b] for a, b in zip(starts[:-1].tolist(), ends.tolist(), strict=True)])


def _nothing() -> list[NDArray[Any]]:
    return [np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.float32)]


def chunks(room: NDArray[np.int64], work: NDArray[np.int64], workers: int) -> list[tuple[int, int]]:
    """Ranges of problems for one kernel call each: bounded output and work, but one problem a worker at least."""
    found, first = [], 0
    weights = np.concatenate([[0], np.cumsum(room)])
    passes = np.concatenate([[0], np.cumsum(work)])
    while first < len(room):
        fits = np.searchsorted(weights, weights[first] + CHUNK_WEIGHTS, side="right") - 1
        quick = np.searchsorted(passes, passes[first] + CHUNK_WORK, side="right") - 1
        last = min(len(room), max(int(min(fits, quick)), first + workers))
        found.append((first, last))
        first = last
    return found


@njit(cache=True, nogil=True, parallel=True)
def _solve_chunk(
    indptr: Any, indices: Any, data: Any, squares: Any,
    group: Any, row_ptr: Any, rows: Any, positive_ptr: Any, positives: Any,
    first: int, cost: float, tolerance: float, max_iter: int, bias: float, threshold: float, seed: int,
    scratch: Any, starts: Any, columns: Any, values: Any, counts: Any,
) -> None:  # fmt: skip
    """Solve problems first … first + len(counts) − 1 and write each one's weights from starts[i] on."""
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
    """One worker's share of a chunk, every `workers`-th problem. `weights`: (d,) float32 zeros, before and after."""
    width = len(weights)
    last_group = -1
    near = (indptr, indices, data)
    active, places, lengths = np.empty(0, np.int32), np.empty(0, np.int32), squares
    for i in range(worker, len(counts), workers):
        p = first + i
        mine = rows[row_ptr[group[p]] : row_ptr[group[p] + 1]]
        if group[p] != last_group:
            active = columns_of(indptr, indices, mine, width)
            if 4 * len(mine) > len(
                squares
            ):  # a good part of all rows: they lie well as they are, and a copy would be large
                active = np.arange(width).astype(np.int32)
                near, places, lengths = (indptr, indices, data), mine, squares
            else:
                near = (indptr, indices, data)  # let go of the last group's copy before there is another
                near = gather_rows(indptr, indices, data, mine, active, width)
                places, lengths = np.arange(len(mine)).astype(np.int32), squares[mine]
            last_group = group[p]
        signs = _signs(mine, positives[positive_ptr[p] : positive_ptr[p + 1]])
        bias_weight, _ = solve(
            near[0], near[1], near[2], lengths, places, signs, np.zeros(len(mine)),
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
    """(m,) float64: 1 where a row is among the positives, else −1; both lists ascend."""
    signs = np.full(len(rows), -1.0)
    at = 0
    for i in range(len(rows)):
        while at < len(positives) and positives[at] < rows[i]:
            at += 1
        if at < len(positives) and positives[at] == rows[i]:
            signs[i] = 1.0
    return signs
