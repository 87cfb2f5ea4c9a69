"""A label tree from nested clusters: nodes level by level, and the binary problems of each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

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
    def build(cls, labels: NDArray[np.int32], clusters: Sequence[NDArray[Any]]) -> LabelTree:
        """From labels and their clusters on each level below the root, coarse to fine, as (m,) integer arrays.

        Clusters may have any numbers, and those of a level any sizes: labels are in one node where they are in one
        cluster on this level and all above. The labels of a last cluster are its children.
        """
        order = np.lexsort((labels, *reversed(clusters)))
        levels = [np.zeros(len(labels), np.int64)]
        for numbers in clusters:
            border = (np.diff(numbers[order]) != 0) | (np.diff(levels[-1]) != 0)
            levels.append(np.concatenate([[0], np.cumsum(border)])[: len(labels)].astype(np.int64))
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
        """Children of every inner node by global number (root 0), see `xmcbench.sparse.chunked.Chunks`."""
        counts = [np.bincount(parents_of(above, below)) for above, below in pairwise(self.levels)]
        return np.concatenate([[1], 1 + np.cumsum(np.concatenate(counts))]).astype(np.int64)

    def rows_below(self, labels: sp.csr_matrix) -> list[sp.csc_matrix]:
        """For each level from the root on, an (n, nodes) CSC pattern: rows that have a label below a node.

        `labels` : (n, L) CSR. Rows without any label of the tree are below no node.
        """
        mine = labels[:, self.labels]
        sizes = [min(len(self.labels), 1), *self.sizes()]
        return [_below(mine, nodes, size) for nodes, size in zip(self.levels, sizes, strict=True)]

    def problems(self, below: list[sp.csc_matrix], level: int, matched: sp.csr_matrix | None = None) -> Problems:
        """The binary problems of the children of a level's nodes, the root's at level 0.

        A child asks: has the row a label below me? It learns from the rows that have one below its parent, and from
        those of `matched`, an (n, nodes) pattern, that reach the parent anyway. An only child has nothing to learn,
        and gets no rows. `below` : what `rows_below` gives.
        """
        group = parents_of(self.levels[level], self.levels[level + 1])
        rows = below[level] if matched is None else (below[level] + matched.tocsc()).tocsc()
        rows.sort_indices()
        several = np.bincount(group, minlength=rows.shape[1]) > 1
        return Problems.of_columns(_only(rows, several), _only(below[level + 1], several[group]), group)


def parents_of(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.int64]:
    """The parent of each node of a level, from the nodes above and below of every label."""
    return np.asarray(above[np.unique(below, return_index=True)[1]])


def _below(labels: sp.csr_matrix, nodes: NDArray[np.int64], size: int) -> sp.csc_matrix:
    """(n, size) CSC pattern with sorted indices: rows that have a label below a node."""
    import scipy.sparse as sp

    entries = (np.ones(labels.nnz, np.bool_), nodes[labels.indices], labels.indptr)
    below = sp.csr_matrix(entries, shape=(labels.shape[0], size), copy=True)
    below.sum_duplicates()
    return below.tocsc()


def _only(columns: sp.csc_matrix, which: NDArray[np.bool_]) -> sp.csc_matrix:
    """`columns` with those that are not in `which` empty."""
    import scipy.sparse as sp

    counts = np.diff(columns.indptr)
    kept = columns.indices[np.repeat(which, counts)]
    indptr = np.concatenate([[0], np.cumsum(counts * which)])
    return sp.csc_matrix((np.ones(len(kept), np.bool_), kept, indptr), shape=columns.shape)
