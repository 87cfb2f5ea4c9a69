"""Steps: which labels they hold, which pairs are true, and that batches of neighbours hold every row once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.methods.ance.steps import make_step, neighbouring

LABELS = sp.csr_matrix(
    np.array([[1, 1, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0]], np.float32)
)
RNG = np.random.default_rng


def pairs(rows: list[int], positives: int = 8, mined: np.ndarray | None = None, hard: int = 0) -> tuple[list, list]:
    step = make_step(np.array(rows), LABELS, positives, mined, hard, RNG(0))
    named = zip(step.documents[step.rows].tolist(), step.labels[step.columns].tolist(), strict=True)
    return step.labels.tolist(), sorted(named)


def test_labels_of_the_documents_and_all_true_pairs() -> None:
    assert pairs([1, 0]) == ([0, 1], [(0, 0), (0, 1), (1, 1)])
    assert pairs([3]) == ([], [])
    assert pairs([3, 1]) == ([1], [(1, 1)])


def test_most_positives_are_drawn_but_all_present_ones_count() -> None:
    labels, true = pairs([2, 0], positives=1)
    assert len(labels) == 2
    drawn = {label for document, label in true if document == 2}
    assert len(drawn) == 1
    assert drawn < {2, 3, 4}
    labels, true = pairs([0, 1], positives=1)  # document 1 brings label 1, which is true of document 0 as well
    assert (0, 1) in true


def test_mined_labels_come_in_and_true_ones_among_them_stay_true() -> None:
    mined = np.array([[5, 5], [0, 0], [5, 5], [-1, -1]], np.int32)
    assert pairs([1], mined=mined, hard=2) == ([0, 1], [(1, 1)])
    assert pairs([0, 1], mined=mined, hard=1) == ([0, 1, 5], [(0, 0), (0, 1), (1, 1)])
    assert pairs([3], mined=mined, hard=3) == ([], [])


@pytest.mark.parametrize("seed", range(3))
def test_drawn_positives_are_spread_evenly(seed: int) -> None:
    many = sp.csr_matrix(np.ones((1, 50), np.float32))
    seen = np.zeros(50)
    rng = RNG(seed)
    for _ in range(400):
        step = make_step(np.array([0]), many, 5, None, 0, rng)
        assert len(step.labels) == 5
        seen[step.labels] += 1
    assert seen.min() > 15  # 40 expected
    assert seen.max() < 75


def test_neighbours_stand_together() -> None:
    clusters = RNG(0).permutation(np.repeat(np.arange(25), 4)).astype(np.int32)
    batches = list(neighbouring(clusters, 10, RNG(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(100))
    assert [len(batch) for batch in batches] == [10] * 10
    assert all(len(np.unique(clusters[batch])) <= 4 for batch in batches)
    again = np.concatenate(list(neighbouring(clusters, 10, RNG(2))))
    assert not np.array_equal(again, np.concatenate(batches))
