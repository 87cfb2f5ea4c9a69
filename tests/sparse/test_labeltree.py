"""A tree worked by hand: six labels in four clusters, binary, one cluster empty."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp

from xmcbench.sparse.labeltree import LabelTree

LABELS = np.array([0, 1, 3, 4, 5, 7], np.int32)  # 2 and 6 have no training row
CLUSTERS = np.array([3, 0, 2, 0, 3, 3], np.int32)  # of 4, cluster 1 empty


def test_levels_and_links_by_hand() -> None:
    tree = LabelTree.build(LABELS, [CLUSTERS >> 1, CLUSTERS])
    assert tree.labels.tolist() == [1, 4, 3, 0, 5, 7]
    assert [level.tolist() for level in tree.levels] == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 1, 1],
        [0, 0, 1, 2, 2, 2],
        [0, 1, 2, 3, 4, 5],
    ]
    assert tree.sizes() == [2, 3, 6]
    # root → 1, 2; node 1 → 3; node 2 → 4, 5; node 3 → 6, 7; node 4 → 8; node 5 → 9, 10, 11
    assert tree.child_ptr().tolist() == [1, 3, 4, 6, 8, 9, 12]


def test_problems_by_hand() -> None:
    labels = np.zeros((5, 8), np.float32)
    labels[0, [1, 4]] = 1  # both under node 1
    labels[1, [3, 7]] = 1  # node 2, clusters 2 and 3
    labels[2, [1, 0]] = 1
    labels[4, 5] = 1  # row 3 has no label
    tree = LabelTree.build(LABELS, [CLUSTERS >> 1, CLUSTERS])
    below = tree.rows_below(sp.csr_matrix(labels))
    top, middle, leaves = (tree.problems(below, level) for level in range(3))

    def rows(values: np.ndarray, ptr: np.ndarray) -> list[list[int]]:
        return [values[a:b].tolist() for a, b in pairwise(ptr)]

    assert rows(top.rows, top.row_ptr) == [[0, 1, 2, 4]]
    assert rows(top.positives, top.positive_ptr) == [[0, 2], [1, 2, 4]]
    assert top.group.tolist() == [0, 0]
    assert rows(middle.rows, middle.row_ptr) == [[], [1, 2, 4]]  # node 3 is an only child, as is label 3
    assert rows(middle.positives, middle.positive_ptr) == [[], [1], [1, 2, 4]]
    assert middle.group.tolist() == [0, 1, 1]
    assert rows(leaves.rows, leaves.row_ptr) == [[0, 2], [], [1, 2, 4]]
    assert rows(leaves.positives, leaves.positive_ptr) == [[0, 2], [0], [], [2], [4], [1]]
    assert leaves.group.tolist() == [0, 0, 1, 2, 2, 2]


def test_matched_rows_join_those_below() -> None:
    labels = np.zeros((5, 8), np.float32)
    labels[[0, 1, 2, 4], [1, 3, 0, 5]] = 1
    tree = LabelTree.build(LABELS, [CLUSTERS >> 1, CLUSTERS])
    matched = sp.csr_matrix(np.array([[1, 1], [0, 1], [0, 1], [1, 0], [0, 1]], bool))
    middle = tree.problems(tree.rows_below(sp.csr_matrix(labels)), 1, matched)
    assert middle.rows[middle.row_ptr[1] : middle.row_ptr[2]].tolist() == [0, 1, 2, 4]
    assert middle.positives.tolist() == [1, 2, 4]


def test_clusters_of_any_numbers_and_sizes() -> None:
    """Unbalanced: 9 | 3 with 3 split into 5 and 2; equal numbers below different parents are different nodes."""
    labels = np.arange(6, dtype=np.int32)
    tree = LabelTree.build(labels, [np.array([9, 3, 3, 9, 3, 3]), np.array([5, 5, 2, 5, 2, 5])])
    assert tree.labels.tolist() == [2, 4, 1, 5, 0, 3]
    assert [level.tolist() for level in tree.levels[1:3]] == [[0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 2, 2]]
    assert tree.child_ptr().tolist() == [1, 3, 5, 6, 8, 10, 12]


def test_no_clusters_and_no_labels() -> None:
    flat = LabelTree.build(np.array([3, 1], np.int32), [])
    assert flat.labels.tolist() == [1, 3]
    assert flat.child_ptr().tolist() == [1, 3]
    empty = LabelTree.build(np.empty(0, np.int32), [np.empty(0, np.int64)])
    assert empty.sizes() == [0, 0]
    assert empty.child_ptr().tolist() == [1]
