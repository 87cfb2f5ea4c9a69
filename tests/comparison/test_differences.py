"""Where two runs differ most, worked by hand and against a plain count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.comparison.differences import Document, Label, differences
from xmcbench.data.spec import Dataset, Split
from xmcbench.topk import TopK


def dataset(test: Any, train: Any, **changes: Any) -> Dataset:
    test, train = (sp.csr_matrix(np.array(labels, np.float32)) for labels in (test, train))
    none = np.zeros((0, 2), np.int64)
    made = Dataset(
        Split(None, None, train),
        Split(None, None, test),
        train_filter=none,
        test_filter=none,
        name="d",
        view="bow",
        revision="1",
        content_hash="sha256:0",
        propensity=(0.55, 1.5),
    )
    return replace(made, **changes)


def topk(*rows: list[int]) -> TopK:
    ids = np.array(rows)
    return TopK.from_arrays(ids, np.tile(-np.arange(ids.shape[1], dtype=np.float32), (len(ids), 1)))


def test_worked_by_hand() -> None:
    data = dataset([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]], [[1, 0, 0, 1], [1, 0, 0, 0]])
    texts = ["first\x1b\n row", "x" * 200, "third"]
    data = replace(data, label_texts=["l0", "l1", "l2", "l3"], test=replace(data.test, texts=texts))
    a = topk([0, 3], [3, 0], [2, 3])  # finds 0; 0; 2
    b = topk([0, 1], [3, 1], [3, 2])  # finds 0 and 1; nothing; 2
    found = differences(a, b, data, 5)
    assert found.k == 5
    assert found.labels == [Label(1, "l1", 0, 1, 0, 1), Label(0, "l0", 2, 2, 2, 1)]
    assert found.documents == [
        Document(0, None, "first\x1b row", 2, 1, 2),
        Document(1, None, "x" * 79 + "…", 2, 1, 0),
    ]
    at_one = differences(a, b, data, 5, k=1)
    assert at_one.labels == [Label(2, "l2", 0, 2, 1, 0)]
    assert [d.row for d in at_one.documents] == [2]


def test_few_of_each_way_and_the_smaller_of_equal_gains_first() -> None:
    data = dataset([[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 1, 0]], [[1, 1, 1, 1]])
    nothing, everything = topk([-1] * 4, [-1] * 4, [-1] * 4), topk([0, 1, 2, 3], [0, 3, -1, -1], [2, -1, -1, -1])
    found = differences(nothing, everything, data, 2)
    assert [d.label for d in found.labels] == [0, 2]  # of 2 each, as label 3; label 1 gains one alone
    assert [d.row for d in found.documents] == [0, 1]
    back = differences(everything, nothing, data, 2)
    assert [(d.label, d.a_hits, d.b_hits) for d in back.labels] == [(0, 2, 0), (2, 2, 0)]
    assert back.labels[0].text is None
    same = differences(everything, everything, data, 2)
    assert (same.labels, same.documents) == ([], [])


def test_equals_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((40, 12)) < 0.25
    data = dataset(truth, rng.random((30, 12)) < 0.3)
    sides = [topk(*np.argsort(rng.random((40, 12)), axis=1)[:, :8].tolist()) for _ in range(2)]
    found = differences(sides[0], sides[1], data, 40)
    hits = [np.array([[x in side.ids[i, :5] for x in range(12)] for i in range(40)]) & truth for side in sides]
    by_label = {x: (int(hits[0][:, x].sum()), int(hits[1][:, x].sum())) for x in range(12)}
    assert {d.label: (d.a_hits, d.b_hits) for d in found.labels} == {x: v for x, v in by_label.items() if v[0] != v[1]}
    by_row = {i: (int(hits[0][i].sum()), int(hits[1][i].sum())) for i in range(40)}
    assert {d.row: (d.a_hits, d.b_hits) for d in found.documents} == {i: v for i, v in by_row.items() if v[0] != v[1]}
    gains = [d.b_hits - d.a_hits for d in found.documents]
    ahead = sum(gain > 0 for gain in gains)
    assert gains[:ahead] == sorted(gains[:ahead], reverse=True)
    assert gains[ahead:] == sorted(gains[ahead:])
    assert [d.true_labels for d in found.documents] == [int(truth[d.row].sum()) for d in found.documents]


@pytest.mark.parametrize("k", [1, 5])
def test_padding_is_no_label(k: int) -> None:
    data = dataset([[0, 0, 1]], [[1, 1, 1]])  # −1 would be the last label
    assert differences(topk([-1, -1]), topk([-1, -1]), data, 5, k).labels == []
