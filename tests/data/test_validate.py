"""Every problem of a data set is found, all of them together; oddities that are allowed are counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data import validate as validation
from xmcbench.data.spec import Dataset, Split
from xmcbench.data.validate import counts, problems, validate
from xmcbench.errors import DataError
from xmcbench.testing.worlds import tiny

WORLD = tiny(30, 10, 8, 12)


def csr(rows: list[list[float]]) -> sp.csr_matrix:
    return sp.csr_matrix(np.array(rows, np.float32))


def changed(matrix: sp.csr_matrix, change: Callable[[sp.csr_matrix], Any]) -> sp.csr_matrix:
    copy = matrix.copy()
    change(copy)
    return copy


def with_train(**parts: Any) -> Dataset:
    return dataclasses.replace(WORLD, train=dataclasses.replace(WORLD.train, **parts))


def with_test(**parts: Any) -> Dataset:
    return dataclasses.replace(WORLD, test=dataclasses.replace(WORLD.test, **parts))


def put(array: str, at: int, value: float) -> Callable[[sp.csr_matrix], None]:
    def change(matrix: sp.csr_matrix) -> None:
        getattr(matrix, array)[at] = value

    return change


EMPTY = Split(sp.csr_matrix((0, 12), dtype=np.float32), [], sp.csr_matrix((0, 8), dtype=np.float32))
CASES = {
    "there are no training rows": dataclasses.replace(WORLD, train=EMPTY),
    "there are no test rows": dataclasses.replace(WORLD, test=EMPTY),
    "no training row has a label": with_train(labels=sp.csr_matrix((30, 8), dtype=np.float32)),
    "train has 8 labels, test 9": with_test(labels=sp.csr_matrix((10, 9), dtype=np.float32)),
    "train has 12 features, test 13": with_test(features=sp.csr_matrix((10, 13), dtype=np.float32)),
    "test: 9 rows of features, 10 of labels": with_test(features=WORLD.test.features[:9]),
    "test: 9 texts, 10 rows of labels": with_test(texts=WORLD.test.texts[:9]),
    "train and test: only one of them has features": with_test(features=None),
    "test has neither features nor texts": with_test(features=None, texts=None),
    "train features are csc float32": with_train(features=WORLD.train.features.tocsc()),
    "train features are csr float64": with_train(features=WORLD.train.features.astype(np.float64)),
    "train features: row 0 holds NaN": with_train(features=changed(WORLD.train.features, put("data", 1, np.nan))),
    "train labels: row 0 names id 8, valid are 0 to 7": with_train(
        labels=changed(WORLD.train.labels, put("indices", 0, 8))
    ),
    "test labels: row 0 names id -1": with_test(labels=changed(WORLD.test.labels, put("indices", 0, -1))),
    "train features: row 0 has unsorted or duplicate ids": with_train(
        features=changed(WORLD.train.features, put("indices", 1, WORLD.train.features.indices[0]))
    ),
    "train labels: the row pointers are damaged": with_train(
        labels=changed(WORLD.train.labels, put("indptr", 3, 10**6))
    ),
    "test labels hold values other than 1": with_test(labels=changed(WORLD.test.labels, put("data", 2, 0.5))),
    "7 label texts for 8 labels": dataclasses.replace(WORLD, label_texts=["x"] * 7),
    "test filter names a pair outside 10 rows": dataclasses.replace(WORLD, test_filter=np.array([[10, 0]])),
    "train filter names a pair outside": dataclasses.replace(WORLD, train_filter=np.array([[0, 8]])),
    "test filter is float64": dataclasses.replace(WORLD, test_filter=np.array([[0.0, 0.0]])),
    "label group 'deep' has 3 members, not 8": dataclasses.replace(WORLD, label_groups={"deep": np.ones(3, bool)}),
    "row group 'novel' has 3 members, not 10": dataclasses.replace(WORLD, row_groups={"novel": np.ones(3, bool)}),
}


def test_a_sound_world_has_no_problem() -> None:
    assert problems(WORLD) == []
    assert validate(WORLD, "tiny", {"n_train": 30, "n_labels": 8})["n_test"] == 10


@pytest.mark.parametrize("says", CASES)
def test_each_problem_is_found(says: str) -> None:
    with pytest.raises(DataError) as caught:
        validate(CASES[says], "mine")
    assert says in str(caught.value)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("entries", [1, 2, 3, 7])
def test_blocks_of_entries_change_no_problem(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [problems(data) for data in (WORLD, *CASES.values())]
    monkeypatch.setattr(validation, "ENTRIES_AT_A_TIME", entries)
    assert [problems(data) for data in (WORLD, *CASES.values())] == expected


def test_all_problems_are_reported_together() -> None:
    bad = dataclasses.replace(WORLD, label_texts=["x"], test_filter=np.array([[99, 0]]))
    with pytest.raises(DataError, match=r"mine has 2 problems:\n  - .*filter|mine has 2 problems:\n  - 1 label text "):
        validate(bad, "mine")


def test_counts_that_a_source_states_are_compared() -> None:
    with pytest.raises(DataError, match="n_train is 30, expected 31"):
        validate(WORLD, "tiny", {"n_train": 31})


def test_counts_by_hand() -> None:
    train = Split(csr([[1, 0], [0, 0], [1, 2]]), ["ab", "", "abcd"], csr([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]))
    test = Split(csr([[1, 0]]), ["x"], csr([[1, 0, 1, 0]]))
    world = dataclasses.replace(WORLD, train=train, test=test, label_texts=None)
    assert problems(world) == []
    found = counts(world)
    expected = {
        "n_train": 3,
        "n_test": 1,
        "n_features": 2,
        "n_labels": 4,
        "train_pairs": 3,
        "test_pairs": 2,
        "labels_seen_in_train": 2,
        "test_labels_unseen_in_train": 1,
        "test_pairs_unseen_in_train": 1,
        "train_rows_without_labels": 1,
        "train_rows_without_features": 1,
        "train_labels_per_row": 1.0,
        "train_rows_per_label": 0.75,
        "train_rows_per_seen_label": 1.5,
        "labels_with_one_train_row": 1,
        "train_features_per_row": 1.0,
        "train_characters_per_text": 2.0,
        "test_filter_pairs": 0,
    }
    assert {key: found[key] for key in expected} == expected
