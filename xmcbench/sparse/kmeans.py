"""Labels into nested clusters of any size: hierarchical spherical k-means on sparse label centroids, as in Bonsai.

Source: Khandagale, Xiao and Babbar, "Bonsai" (Machine Learning 2020): wide splits without balance make shallow trees
whose nodes follow the labels' own crowding. Splits start from random labels and stop as Parabel's do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads, njit, prange
from numpy.typing import NDArray

from xmcbench.sparse.csr import Parts, parts, unit_rows

if TYPE_CHECKING:
    import scipy.sparse as sp

MAX_ITER = 20  # steps a split, as for balanced clusters
TOLERANCE = 1e-4  # a split ends when the mean cosine to the centre gains less: Parabel, omikuji's cluster.eps


def kmeans_clusters(
    features: sp.csr_matrix,
    *,
    arity: int,
    max_leaf: int,
    depth: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[NDArray[np.int64]]:
    """Split until no cluster has more than `max_leaf` labels, or `depth` times.

    Parameters
    ----------
    features : (L, d) CSR, one row a label; rows are L2-normalised inside. Empty rows are placed too.
    arity : k, most parts of a split, at least 2; memory of one split is 4 · d · k bytes.
    depth : most levels of clusters; None: as many as it takes.
    seed : of the labels that splits start from. The result depends on it and on the rows, not on threads.
    progress : called as (labels in clusters that are split no more, L), after each split.

    Returns
    -------
    One (L,) int64 array a level, coarse to fine: the labels' clusters, counted from 0. A cluster that is small enough
    stays whole on the levels below. No level where there is nothing to split.

    Raises
    ------
    ValueError : `arity` is below 2, or `max_leaf` below 1.
    """
    if arity < 2 or max_leaf < 1:
        raise ValueError(f"arity is {arity}, must be at least 2; max_leaf is {max_leaf}, must be at least 1")
    unit = unit_rows(features)
    n_labels = unit.shape[0]
    rows, width = parts(unit), int(unit.shape[1])
    levels: list[NDArray[np.int64]] = []
    clusters, done = np.zeros(n_labels, np.int64), 0
    while depth is None or len(levels) < depth:
        counts = np.bincount(clusters, minlength=1)
        large = np.flatnonzero(counts > max_leaf)
        if len(large) == 0:
            break
        members = np.split(np.argsort(clusters, kind="stable").astype(np.int32), np.cumsum(counts)[:-1])
        keys = clusters * arity
        for cluster in large.tolist():
            rng = np.random.default_rng((seed, len(levels), cluster))
            part = split(rows, members[cluster], width, min(arity, len(members[cluster])), rng)
            keys[members[cluster]] += part
            if progress is not None:
                sizes = np.bincount(part)
                done += int(sizes[sizes <= max_leaf].sum())
                progress(done, n_labels)
        below = np.unique(keys, return_inverse=True)[1].astype(np.int64)
        if below.max() == clusters.max():  # labels that can't be told apart
            break
        levels.append(below)
        clusters = below
    return levels


def split(rows: Parts, members: NDArray[np.int32], width: int, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(m,) int64: which of k parts each of `members` is in, by spherical k-means from k random members.

    Where all end in one part although there are more than `k`, they are cut into parts of their order: rows that are
    all alike must not make a tree of endless depth.
    """
    nearest = np.zeros(len(members), np.int64)
    cosines = np.zeros(len(members), np.float32)
    centres = np.zeros((width, k), np.float32)
    _sum_members(*rows, np.sort(rng.choice(members, k, replace=False)), np.arange(k), centres, get_num_threads())
    before = -np.inf
    for _ in range(MAX_ITER):
        _assign(*rows, members, centres, nearest, cosines, get_num_threads())
        gain = float(cosines.mean(dtype=np.float64))
        if gain - before < TOLERANCE:
            break
        before = gain
        centres[:] = 0.0
        _sum_members(*rows, members, nearest, centres, get_num_threads())
        norms = np.sqrt(np.einsum("dk,dk->k", centres, centres, dtype=np.float64))
        centres /= np.where(norms > 0, norms, 1).astype(np.float32)
    if len(np.unique(nearest)) == 1:
        nearest = np.arange(len(members)) * k // len(members)
    return nearest


@njit(cache=True, nogil=True, parallel=True)
def _assign(
    indptr: Any, indices: Any, data: Any, members: Any, centres: Any, nearest: Any, cosines: Any, workers: int
) -> None:
    """The centre of largest cosine for each member, the first of equal ones."""
    for worker in prange(workers):
        z = np.empty(centres.shape[1], np.float32)
        for i in range(worker, len(members), workers):
            z[:] = 0.0
            for at in range(indptr[members[i]], indptr[members[i] + 1]):
                _add_line(data[at], centres[indices[at]], z)
            nearest[i] = np.argmax(z)
            cosines[i] = z[nearest[i]]


@njit(cache=True, nogil=True)
def _add_line(number: Any, line: Any, z: Any) -> None:
    """A function of its own: what is this simple becomes vector instructions."""
    for i in range(len(z)):
        z[i] += number * line[i]


@njit(cache=True, nogil=True, parallel=True)
def _sum_members(
    indptr: Any, indices: Any, data: Any, members: Any, part: Any, centres: Any, workers: int
) -> None:  # fmt: skip
    """Add members to the centre of their part; a worker has the parts of its number modulo `workers`."""
    for worker in prange(workers):
        for i in range(len(members)):
            if part[i] % workers == worker:
                for at in range(indptr[members[i]], indptr[members[i] + 1]):
                    centres[indices[at], part[i]] += data[at]
