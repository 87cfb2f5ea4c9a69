"""A label tree from clusters in tree order: nodes level by level, and the binary problems of each level."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xmcbench.sparse.linear import Problems

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass(frozen=True)
class LabelTree:
    """Which node every label lies below, on every level.

    Attributes
    ----------
    labels : (m,) int32 label ids in leaf order: by cluster, then by id. Labels left out are never predicted.
    levels : one (m,) int64 array a level, from the root (zeros) to the labels themselves (0 … m − 1): the node, counted
        within its level, that each label of `labels` lies below. Nodes without labels don't exist.
    """

    labels: NDArray[np.int32]
    levels: tuple[NDArray[np.int64], ...]

    @classmethod
    def build(cls, labels: NDArray[np.int32], clusters: NDArray[np.int32], depth: int, arity_bits: int) -> LabelTree:
        """From labels and their clusters in tree order, 2^depth of them.

        Counted from the clusters up, a node has at most 2^arity_bits children; the root gets the rest. The labels of
        a cluster are its children.
        """
        order = np.lexsort((labels, clusters))
        shifts = range(0, depth, arity_bits)
        levels = [np.zeros(len(labels), np.int64)]
        levels += [_numbered(clusters[order] >> shift) for shift in reversed(shifts)]
        levels.append(np.arange(len(labels), dtype=np.int64))
        return cls(labels[order], tuple(levels))

    @property
    def depth(self) -> int:
        """Levels below the root."""
        return len(self.levels) - 1

    def sizes(self) -> list[int]:
        """Nodes on each level below the root."""
        return [int(nodes.max(initial=-1)) + 1 for nodes in self.levels[1:]]

    def child_ptr(self) -> NDArray[np.int64]:
        """Children of every inner node by global number (root 0), see `xmcbench.sparse.beam.SearchTree`."""
        counts = [np.bincount(parents_of(above, below)) for above, below in pairwise(self.levels)]
        return np.concatenate([[1], 1 + np.cumsum(np.concatenate(counts))]).astype(np.int64)

    def problems(self, labels: sp.csr_matrix) -> list[Problems]:
        """The binary problems of each level below the root.

        A node asks: has the row a label below me? It learns from the rows that have one below its parent; rows
        without any label of the tree take no part. `labels` : (n, L) CSR.
        """
        mine = labels[:, self.labels]
        sizes = [min(len(self.labels), 1), *self.sizes()]
        active = [_active(mine, nodes, size) for nodes, size in zip(self.levels, sizes, strict=True)]
        groups = [parents_of(above, below) for above, below in pairwise(self.levels)]
        return [Problems.of_columns(active[i], active[i + 1], groups[i]) for i in range(self.depth)]


def parents_of(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.int64]:
    """The parent of each node of a level, from the nodes above and below of every label."""
    return np.asarray(above[np.unique(below, return_index=True)[1]])


def _active(labels: sp.csr_matrix, nodes: NDArray[np.int64], size: int) -> sp.csc_matrix:
    """(n, size) CSC pattern with sorted indices: rows that have a label below a node."""
    import scipy.sparse as sp

    entries = (np.ones(labels.nnz, np.bool_), nodes[labels.indices], labels.indptr)
    below = sp.csr_matrix(entries, shape=(labels.shape[0], size), copy=True)
    below.sum_duplicates()
    return below.tocsc()


def _numbered(keys: NDArray[np.int32]) -> NDArray[np.int64]:
    """0, 1, 2, … for ascending keys, equal numbers for equal keys."""
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)
