"""Awkward data sets for the battery: rows with nothing in them, labels nobody has, almost no labels or rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from xmcbench.data.spec import Dataset, Split
from xmcbench.testing.worlds import tiny


@cache
def usual() -> Dataset:
    """The world most checks look at. Nothing writes into it: methods get sealed copies."""
    return tiny()


@cache
def small(n_train: int = 60, n_labels: int = 12) -> Dataset:
    """Few rows, few labels: a fit on it should take a blink."""
    return tiny(n_train, 20, n_labels, 30)


def without_features() -> Dataset:
    """Every fifth row has no feature and an empty text."""

    def emptied(rows: Split) -> Split:
        keep = np.arange(rows.labels.shape[0]) % 5 != 0
        texts = [text if kept else "" for text, kept in zip(rows.texts or (), keep, strict=True)]
        return Split(_masked(rows.features, keep[:, None]), texts, rows.labels)

    data = small()
    return dataclasses.replace(data, train=emptied(data.train), test=emptied(data.test))


def without_labels() -> Dataset:
    """Every fifth training row has no label."""
    data = small()
    keep = np.arange(data.train.labels.shape[0]) % 5 != 0
    return _with_training_labels(data, _masked(data.train.labels, keep[:, None]))


def unseen_label() -> Dataset:
    """Label 3 stands on no training row."""
    data = small()
    keep = np.arange(data.n_labels) != 3
    return _with_training_labels(data, _masked(data.train.labels, keep[None, :]))


def single_label() -> Dataset:
    """L is 1."""
    data = small(n_labels=4)
    train, test = (dataclasses.replace(rows, labels=rows.labels[:, :1].tocsr()) for rows in (data.train, data.test))
    return dataclasses.replace(data, train=train, test=test, label_texts=list(data.label_texts or ())[:1])


def holding(data: Dataset, kinds: set[str]) -> Dataset:
    """Only those of features, texts and label texts; all else is None."""

    def reduced(rows: Split) -> Split:
        features = rows.features if "features" in kinds else None
        return Split(features, rows.texts if "texts" in kinds else None, rows.labels)

    label_texts = data.label_texts if "label_texts" in kinds else None
    return dataclasses.replace(data, train=reduced(data.train), test=reduced(data.test), label_texts=label_texts)


VARIANTS: dict[str, Callable[[], Dataset]] = {
    "rows without any feature": without_features,
    "training rows without labels": without_labels,
    "a label never seen in training": unseen_label,
    "fewer labels than k": lambda: small(n_labels=4),
    "a single label": single_label,
    "one training row": lambda: small(n_train=1),
}


def _masked(matrix: Any, keep: Any) -> Any:
    masked = matrix.multiply(keep).tocsr().astype(np.float32)
    masked.eliminate_zeros()
    masked.sort_indices()
    return masked


def _with_training_labels(data: Dataset, labels: Any) -> Dataset:
    return dataclasses.replace(data, train=dataclasses.replace(data.train, labels=labels))
