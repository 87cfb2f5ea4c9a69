"""What an import of new files under an old name changes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from xmcbench.data.changes import changes
from xmcbench.data.spec import Parsed, Split


def parsed(rows: list[tuple[str, set[str]]], names: list[str] | None, n_labels: int = 0, width: int = 0) -> Parsed:
    """The same rows for training and, as its first row alone, for test."""
    order = names or [str(i) for i in range(n_labels)]
    labels = sp.csr_matrix(np.array([[float(name in row) for name in order] for _, row in rows], np.float32))
    features = sp.csr_matrix(np.ones((len(rows), width), np.float32)) if width else None
    train = Split(features, [text for text, _ in rows], labels)
    return Parsed(train, Split(None if features is None else features[:1], [rows[0][0]], labels[:1]), None, names)


def test_labels_and_rows_added_removed_and_renumbered() -> None:
    old = parsed([("one", {"b"}), ("two", {"b", "c"}), ("two", {"c"})], ["b", "c", "d"])
    new = parsed([("one", {"b"}), ("two", {"c"}), ("three", {"a", "b"})], ["a", "b", "c"])
    assert changes(old, new) == [
        "1 label added: 'a'",
        "1 label removed: 'd'",
        "2 labels renumbered, such as 'b' from 0 to 1",
        "train rows 3 → 3: 1 added, 1 removed, 2 the same",
    ]


def test_labels_without_texts_are_compared_by_number() -> None:
    old, new = (parsed([("one", {"0"}), ("two", {str(n)})], None, 3) for n in (1, 2))
    assert changes(old, new) == [
        "labels 3 → 3, compared by their numbers, since labels have no texts",
        "train rows 2 → 2: 1 added, 1 removed, 1 the same",
    ]
    same = parsed([("one", {"a"})], ["a", "a"])
    other = parsed([("one", {"a"})], ["a"])
    assert changes(same, other)[0].endswith("compared by their numbers, since texts of labels repeat")


def test_splits_and_features() -> None:
    rows = [("one", {"a"}), ("two", {"a"})]
    old, new = parsed(rows, ["a"], width=2), parsed(rows, ["a"], width=3)
    with_validation = Parsed(new.train, new.test, new.test, new.label_texts)
    assert changes(old, with_validation) == ["validation split added, 1 row", "features 2 → 3"]
    assert changes(with_validation, old) == ["validation split removed, 1 row", "features 3 → 2"]
    assert changes(parsed(rows, ["a"]), old) == ["features none → 2"]


def test_only_the_order_differs() -> None:
    rows = [("x", {"a"}), ("y", {"a"})]
    old, new = parsed(rows, ["a"]), parsed(rows, ["a"])
    new = Parsed(parsed(rows[::-1], ["a"]).train, new.test, None, ["a"])
    assert changes(old, new) == ["the order of rows, values of features, texts of labels or filter pairs differ"]
