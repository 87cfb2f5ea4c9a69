"""Balanced clusters of labels: hierarchical spherical 2-means on sparse label centroids.

Every split halves a node (sizes differ by at most one), so the tree is full: with C = 2^D clusters, cluster c's
parent one level up is c >> 1, its ancestor at level l is c >> (D - l).

Sources: the split and its stopping rule are Parabel's (Prabhu et al., WWW 2018, section 4.1); label centroids are
PECOS's "PIFA" (Yu et al., JMLR 2022, section 3.1); the number of clusters is ELIAS's (Gupta et al., NeurIPS 2022).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.method import Progress
from xmcbench.sparse.csr import Csr, row_of

MAX_ITER = 20  # maximum number of steps per split, as in PECOS's `HierarchicalKMeans`
TOLERANCE = 1e-4  # a split ends when the mean cosine to the centre rises by less: Parabel, omikuji's cluster.eps


def cluster_count(n_labels: int, max_leaf: int) -> int:
    """C = 2^ceil(log2(L / max_leaf)): the fewest clusters, as a power of two, with at most `max_leaf` labels each."""
    if max_leaf < 1:
        raise ValueError(f"max_leaf is {max_leaf}, must be at least 1")
    return 1 << (max(1, -(-n_labels // max_leaf)) - 1).bit_length()


def balanced_clusters(
    rows: Csr,
    width: int,
    *,
    n_clusters: int | None = None,
    max_leaf: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> NDArray[np.int32]:
    """Cluster labels by a balanced tree of spherical 2-means splits.

    Parameters
    ----------
    rows : L rows of L2 norm one, one per label; their arrays may be mapped files. Empty rows get a cluster too.
    width : number of columns of `rows`.
    n_clusters : a power of two; or give `max_leaf`, the maximum number of labels per cluster (see `cluster_count`).
        Clusters are empty where there are fewer labels than clusters.
    seed : selects the two labels each split starts from. The result does not depend on the number of threads.
    progress : called with (splits done, splits in all).

    Returns
    -------
    (L,) int32 cluster ids in tree order: the parent of c is c >> 1; sizes differ by at most one.

    Raises
    ------
    ValueError : not exactly one of `n_clusters` and `max_leaf` is given, or the number is not a power of two.
    """
    if (n_clusters is None) == (max_leaf is None):
        raise ValueError("give exactly one of n_clusters and max_leaf")
    n_labels = len(rows.indptr) - 1
    count = cluster_count(n_labels, max_leaf) if max_leaf is not None else int(n_clusters or 0)
    if count < 1 or count & (count - 1):
        raise ValueError(f"n_clusters is {count}, must be a power of two")
    order = np.arange(n_labels, dtype=np.int32)
    bounds = np.array([0, n_labels], np.int64)
    buffers = np.zeros((get_num_threads(), width, 2), np.float32)
    for level in range(count.bit_length() - 1):
        n_nodes = len(bounds) - 1
        start = np.random.default_rng((seed, level)).random((n_nodes, 2))
        step = max(len(buffers), n_nodes // 16)  # nodes per call: Ctrl-C and the deadline are checked between calls
        for first in range(0, n_nodes, step):
            last = min(n_nodes, first + step)
            _split_nodes(rows, order, bounds, start, first, last, buffers)
            if progress is not None:
                progress(n_nodes - 1 + last, count - 1)
        bounds = _halve(bounds)
    clusters = np.empty(n_labels, np.int32)
    clusters[order] = np.repeat(np.arange(count, dtype=np.int32), np.diff(bounds))
    return clusters


def _halve(bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bounds of the children; the first child takes the extra label of an odd node."""
    children = np.empty(2 * len(bounds) - 1, np.int64)
    children[::2] = bounds
    children[1::2] = bounds[:-1] + (np.diff(bounds) + 1) // 2
    return children


@njit(cache=True, nogil=True, parallel=True)
def _split_nodes(rows: Any, order: Any, bounds: Any, start: Any, first: int, last: int, buffers: Any) -> None:
    """Nodes first … last − 1; one thread splits a node, so the result does not depend on the number of threads."""
    workers = buffers.shape[0]
    for worker in prange(workers):
        for node in range(first + worker, last, workers):
            members = order[bounds[node] : bounds[node + 1]]
            split_in_two(rows, members, start[node], buffers[worker], MAX_ITER, TOLERANCE)


@njit(cache=True, nogil=True)
def split_in_two(rows: Any, members: Any, start: Any, centres: Any, max_iter: int, tolerance: float) -> None:
    """Balanced spherical 2-means on rows `members` (m,) int32, reordered in place.

    Afterwards the first ⌈m/2⌉ members are one half, the others the second; ids ascend in each half. `start`: (2,)
    float64 in [0, 1), selects the two initial rows. `centres`: (d, 2) float32 scratch, zero before and after.
    """
    m = len(members)
    if m < 2:
        return
    half = (m + 1) // 2
    first_seed, second_seed = int(start[0] * m), int(start[1] * (m - 1))
    if second_seed >= first_seed:
        second_seed += 1
    _add(rows, members[first_seed], centres, 0)
    _add(rows, members[second_seed], centres, 1)
    norms = np.ones(2)
    scores = np.empty(m, np.float64)
    last_gain = -np.inf
    for _ in range(max_iter):
        for i in range(m):
            near, far = 0.0, 0.0
            columns, numbers = row_of(rows, members[i])
            for at in range(len(columns)):
                near += numbers[at] * centres[columns[at], 0]
                far += numbers[at] * centres[columns[at], 1]
            scores[i] = far / norms[1] - near / norms[0]
        members[:] = members[np.argsort(scores, kind="mergesort")]  # stable: ties keep their order
        members[:half].sort()
        members[half:].sort()
        _clear(rows, members, centres)
        gain = 0.0
        for side in range(2):
            square = 0.0
            for i in range(0 if side == 0 else half, half if side == 0 else m):
                square += _add(rows, members[i], centres, side)
            norms[side] = np.sqrt(square) if square > 0 else 1.0
            # The sum of the rows' cosines to their centre is the norm of their sum.
            gain += np.sqrt(max(square, 0.0)) / m
        if gain - last_gain < tolerance:
            break
        last_gain = gain
    _clear(rows, members, centres)


@njit(cache=True, nogil=True)
def _add(rows: Any, row: int, centres: Any, side: int) -> float:
    """Add a row to one centre and return the increase of the centre's squared norm."""
    increase = 0.0
    columns, numbers = row_of(rows, row)
    for at in range(len(columns)):
        old = np.float64(centres[columns[at], side])
        new = np.float32(old + numbers[at])
        centres[columns[at], side] = new
        increase += np.float64(new) * np.float64(new) - old * old
    return increase


@njit(cache=True, nogil=True)
def _clear(rows: Any, members: Any, centres: Any) -> None:
    """Zero both centres: all of them, or only the features of the rows if those are fewer."""
    size = 0
    for row in members:
        size += rows.indptr[row + 1] - rows.indptr[row]
    if size > centres.shape[0]:
        centres[:] = 0.0
        return
    for row in members:
        for at in range(rows.indptr[row], rows.indptr[row + 1]):
            centres[rows.indices[at], 0] = 0.0
            centres[rows.indices[at], 1] = 0.0
