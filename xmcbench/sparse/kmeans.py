"""Nested clusters of labels of any size: hierarchical spherical k-means on sparse label centroids, as in Bonsai.

Source: Khandagale, Xiao and Babbar, "Bonsai" (Machine Learning 2020): wide unbalanced splits make shallow
trees whose nodes follow the distribution of the labels. Splits start from random labels and stop as Parabel's do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.method import Progress
from xmcbench.sparse.clustering import MAX_ITER, TOLERANCE
from xmcbench.sparse.csr import Csr, add_line, blocks_of, columns_of, gather_rows, row_of

GATHERED = 1 << 25  # stored numbers of rows that are copied at a time: 256 MiB


def kmeans_clusters(
    rows: Csr,
    width: int,
    *,
    arity: int,
    max_leaf: int,
    depth: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[NDArray[np.int64]]:
    """Split until no cluster has more than `max_leaf` labels, or `depth` times.

    Parameters
    ----------
    rows : L rows of L2 norm one, one per label; their arrays may be mapped files. Empty rows get a cluster too.
    width : number of columns of `rows`.
    arity : k ≥ 2, maximum number of parts per split; one split takes 4 · k bytes per feature that its labels have.
    depth : maximum number of cluster levels; None: no limit.
    seed : selects the labels that splits start from. The result does not depend on the number of threads.
    progress : called with (labels in clusters of final size, L) after each split.

    Returns
    -------
    One (L,) int64 array per level, coarse to fine: each label's cluster, counted from 0. A cluster that is small enough
    is not split on finer levels. The list is empty if there is nothing to split.

    Raises
    ------
    ValueError : `arity` is below 2, or `max_leaf` below 1.
    """
    if arity < 2 or max_leaf < 1:
        raise ValueError(f"arity is {arity}, must be at least 2; max_leaf is {max_leaf}, must be at least 1")
    n_labels = len(rows.indptr) - 1
    levels: list[NDArray[np.int64]] = []
    clusters, done = np.zeros(n_labels, np.int64), 0
    while depth is None or len(levels) < depth:
        counts = np.bincount(clusters, minlength=1)
        large = np.flatnonzero(counts > max_leaf)
        if len(large) == 0:
            break
        members = np.split(np.argsort(clusters, kind="stable").astype(np.int32), np.cumsum(counts)[:-1])
        cluster_keys = clusters * arity
        for cluster in large.tolist():
            rng = np.random.default_rng((seed, len(levels), cluster))
            parts_of_members = split(rows, members[cluster], width, min(arity, len(members[cluster])), rng)
            cluster_keys[members[cluster]] += parts_of_members
            if progress is not None:
                sizes = np.bincount(parts_of_members)
                done += int(sizes[sizes <= max_leaf].sum())
                progress(done, n_labels)
        clusters = np.unique(cluster_keys, return_inverse=True)[1].astype(np.int64)
        levels.append(clusters)
    return levels


def split(rows: Csr, members: NDArray[np.int32], width: int, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(m,) int64: the part, of k, of each of `members`, by spherical k-means from k random members.

    Members that share no feature with any centre are assigned round-robin. If one part still has more than nine tenths
    of the members, they are cut into equal parts in the order of their parts: otherwise a tree of labels that are all
    alike, or all unlike, would hardly end.
    """
    workers, m = get_num_threads(), len(members)
    active = columns_of(rows, members, width)
    blocks = blocks_of(np.diff(rows.indptr)[members], GATHERED)
    # Only their features: smaller centres. Members that are large together are copied again in each pass.
    kept = gather_rows(rows, members, active, width) if len(blocks) == 1 else None

    def parts() -> Iterator[tuple[slice, Csr]]:
        for first, last in blocks:
            yield slice(first, last), kept or gather_rows(rows, members[first:last], active, width)

    nearest, cosines = np.zeros(m, np.int64), np.zeros(m, np.float32)
    centres = np.zeros((len(active), k), np.float32)
    first_rows = gather_rows(rows, members[np.sort(rng.choice(m, k, replace=False))], active, width)
    _sum_members(first_rows, np.arange(k), centres, workers)
    last_gain = -np.inf
    for _ in range(MAX_ITER):
        for block, member_rows in parts():
            _assign(member_rows, centres, nearest[block], cosines[block], workers)
        unmatched = np.flatnonzero(cosines <= 0)
        nearest[unmatched] = np.arange(len(unmatched)) % k
        gain = float(cosines.mean(dtype=np.float64))
        if gain - last_gain < TOLERANCE:
            break
        last_gain = gain
        centres[:] = 0.0
        for block, member_rows in parts():
            _sum_members(member_rows, nearest[block], centres, workers)
        norms = np.sqrt(np.einsum("dk,dk->k", centres, centres, dtype=np.float64))
        centres /= np.where(norms > 0, norms, 1).astype(np.float32)
    if np.bincount(nearest).max() > 0.9 * m:
        nearest[np.argsort(nearest, kind="stable")] = np.arange(m) * k // m
    return nearest


@njit(cache=True, nogil=True, parallel=True)
def _assign(rows: Any, centres: Any, nearest: Any, cosines: Any, workers: int) -> None:
    """Find the centre of largest cosine for each row; of equal ones, the first."""
    for worker in prange(workers):
        _assign_share(rows, centres, nearest, cosines, worker, workers)


@njit(cache=True, nogil=True)
def _assign_share(rows: Any, centres: Any, nearest: Any, cosines: Any, worker: int, workers: int) -> None:
    k = centres.shape[1]
    z, flat = np.empty(k, np.float32), centres.reshape(-1)
    for row in range(worker, len(nearest), workers):
        z[:] = 0.0
        columns, numbers = row_of(rows, row)
        for at in range(len(columns)):
            add_line(numbers[at], flat, np.uint64(columns[at]) * np.uint64(k), z)
        nearest[row] = np.argmax(z)
        cosines[row] = z[nearest[row]]


@njit(cache=True, nogil=True, parallel=True)
def _sum_members(rows: Any, part: Any, centres: Any, workers: int) -> None:
    """Add each row to the centre of its part; worker w handles the parts p with p mod `workers` = w."""
    for worker in prange(workers):
        for i in range(len(part)):
            if part[i] % workers == worker:
                columns, numbers = row_of(rows, i)
                for at in range(len(columns)):
                    centres[columns[at], part[i]] += numbers[at]
