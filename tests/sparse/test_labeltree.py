"""A tree worked by hand: six labels in four clusters, binary, one cluster empty."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.sparse.labeltree import LabelTree

LABELS = np.array([0, 1, 3, 4, 5, 7], np.int32)  # 2 and 6 have no training row
CLUSTERS = np.array([3, 0, 2, 0, 3, 3], np.int32)  # of 4, cluster 1 empty


def test_levels_and_links_by_hand() -> None:
    tree = LabelTree.build(LABELS, CLUSTERS, 2, 1)
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
    tree = LabelTree.build(LABELS, CLUSTERS, 2, 1)
    top, middle, leaves = tree.problems(sp.csr_matrix(labels))

    def rows(values: np.ndarray, ptr: np.ndarray) -> list[list[int]]:
        return [values[a:b].tolist() for a, b in pairwise(ptr)]

    assert rows(top.rows, top.row_ptr) == [[0, 1, 2, 4]]
    assert rows(top.positives, top.positive_ptr) == [[0, 2], [1, 2, 4]]
    assert top.group.tolist() == [0, 0]
    assert rows(middle.rows, middle.row_ptr) == [[0, 2], [1, 2, 4]]
    assert rows(middle.positives, middle.positive_ptr) == [[0, 2], [1], [1, 2, 4]]
    assert middle.group.tolist() == [0, 1, 1]
    assert rows(leaves.rows, leaves.row_ptr) == [[0, 2], [1], [1, 2, 4]]
    assert rows(leaves.positives, leaves.positive_ptr) == [[0, 2], [0], [1], [2], [4], [1]]
    assert leaves.group.tolist() == [0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("depth", "bits", "sizes"), [(6, 4, [4, 64]), (5, 1, [2, 4, 8, 16, 32]), (4, 4, [16]), (0, 4, [])]
)
def test_the_root_gets_the_rest_of_the_bits(depth: int, bits: int, sizes: list[int]) -> None:
    clusters = np.arange(128, dtype=np.int32) % 2**depth
    tree = LabelTree.build(np.arange(128, dtype=np.int32), clusters, depth, bits)
    assert tree.sizes() == [*sizes, 128]
