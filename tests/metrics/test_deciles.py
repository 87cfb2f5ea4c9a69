"""Deciles of labels by training frequency, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from xmcbench.metrics.deciles import Deciles, titles


def test_deciles_by_hand() -> None:
    # 20 occurrences, two a decile: label 2 has the first six, labels 0 and 3 of one frequency the next eight
    parts = Deciles(np.array([5, 1, 9, 5, 0, 3, 5]), np.array([3, 4, 6, 5, 0, 2, 0]))
    assert parts.sums(parts.occurrences) == pytest.approx(np.full(10, 2.0))
    ones = parts.sums(np.ones(7))
    assert ones == pytest.approx([1 / 3] * 3 + [2 / 8 * 2] * 4 + [1.0] + [1 / 2] * 2)
    assert ones.sum() == pytest.approx(5)  # the two labels that do not occur are in none
    assert parts.means(np.array([4, 0, 7, 2, 99, 1, 99])) == pytest.approx([7] * 3 + [3] * 4 + [1] + [0] * 2)
    assert parts.ranges() == [(9, 9)] * 3 + [(5, 5)] * 4 + [(3, 3)] + [(1, 1)] * 2
    halved = Deciles(np.array([2, 1]), np.array([1, 1]))  # five deciles each, and no border inside one
    assert halved.ranges() == [(2, 2)] * 5 + [(1, 1)] * 5
    assert Deciles(np.array([2, 1]), np.array([1, 2])).ranges()[3] == (1, 2)  # a third of ten ends inside the fourth


def test_titles() -> None:
    assert titles([(1_500, 9_000), (3, 3)]) == ["9,000 to 1,500", "3"]


def test_titles_do_not_overlap() -> None:
    shared = [(39, 77), (23, 39), (2, 3), (1, 2), (1, 1)]
    assert titles(shared) == ["77 to 40", "39 to 23", "3", "2", "1"]
    assert titles([(5, 9), (5, 5), (2, 5), (1, 1), (1, 1)]) == ["9 to 6", "5", "4 to 2", "1 (1 of 2)", "1 (2 of 2)"]
    assert titles([(6, 6), (5, 6), (5, 5)]) == ["6", "6 and 5", "5"]
