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
    """The node above every label, on every level.

    Attributes
    ----------
    labels : (m,) int32 label ids in leaf order: by cluster, then by id. Missing labels are never predicted.
    levels : one (m,) int64 array per level, from the root (zeros) to the labels themselves (0 … m − 1): the ancestor
        of each label of `labels` on that level, counted within the level. Every node has at least one label.
    """

    labels: NDArray[np.int32]
    levels: tuple[NDArray[np.int64], ...]

    @classmethod
    def build(cls, labels: NDArray[np.int32], clusters: Sequence[NDArray[Any]]) -> LabelTree:
        """Build from labels and their clusters on each level below the root, coarse to fine, as (m,) integer arrays.

        Cluster numbers and sizes are arbitrary: labels share a node if they share a cluster on this level and on all
        levels above. The labels of a cluster of the last level are its children.
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
        """Number of levels below the root."""
        return len(self.levels) - 1

    def sizes(self) -> list[int]:
        """Number of nodes on each level below the root."""
        return [int(nodes.max(initial=-1)) + 1 for nodes in self.levels[1:]]

    def child_ptr(self) -> NDArray[np.int64]:
        """Children of every inner node, numbered over all levels (root 0), see `xmcbench.sparse.chunked.Chunks`."""
        counts = [np.bincount(parents_of(above, below)) for above, below in pairwise(self.levels)]
        return np.concatenate([[1], 1 + np.cumsum(np.concatenate(counts))]).astype(np.int64)

    def rows_below(self, labels: sp.csr_matrix) -> list[sp.csc_matrix]:
        """For each level from the root on, an (n, nodes) CSC pattern: the rows with a label below each node.

        `labels` : (n, L) CSR.
        """
        tree_labels = labels[:, self.labels]
        sizes = [min(len(self.labels), 1), *self.sizes()]
        return [_below(tree_labels, nodes, size) for nodes, size in zip(self.levels, sizes, strict=True)]

    def problems(self, below: list[sp.csc_matrix], level: int, matched: sp.csr_matrix | None = None) -> Problems:
        """The binary problems of the children of a level's nodes, the root being level 0.

        A child's positive rows have a label below it. It is trained on the rows with a label below its parent, and on
        the rows that reach the parent in search without one: `matched`, an (n, nodes) pattern. An only child gets no
        rows, since it needs no classifier. `below` : the result of `rows_below`.
        """
        group = parents_of(self.levels[level], self.levels[level + 1])
        rows = below[level] if matched is None else (below[level] + matched.tocsc()).tocsc()
        rows.sort_indices()
        several = np.bincount(group, minlength=rows.shape[1]) > 1
        return Problems.of_columns(_only(rows, several), _only(below[level + 1], several[group]), group)


def parents_of(above: NDArray[np.int64], below: NDArray[np.int64]) -> NDArray[np.int64]:
    """The parent of each node of a level; `above` and `below` are each label's nodes on two successive levels."""
    return np.asarray(above[np.unique(below, return_index=True)[1]])


def _below(labels: sp.csr_matrix, nodes: NDArray[np.int64], size: int) -> sp.csc_matrix:
    """(n, size) CSC pattern with sorted indices: the rows with a label below each node."""
    import scipy.sparse as sp

    entries = (np.ones(labels.nnz, np.bool_), nodes[labels.indices], labels.indptr)
    below = sp.csr_matrix(entries, shape=(labels.shape[0], size), copy=True)
    below.sum_duplicates()
    return below.tocsc()


def _only(columns: sp.csc_matrix, which: NDArray[np.bool_]) -> sp.csc_matrix:
    """`columns` with every column empty that is not in `which`."""
    import scipy.sparse as sp

    counts = np.diff(columns.indptr)
    indices = columns.indices[np.repeat(which, counts)]
    indptr = np.concatenate([[0], np.cumsum(counts * which)])
    return sp.csc_matrix((np.ones(len(indices), np.bool_), indices, indptr), shape=columns.shape)
