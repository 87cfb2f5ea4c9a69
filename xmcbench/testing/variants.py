"""Edge-case data sets for the contract battery: empty rows, labels without rows, very few labels or rows."""

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
    """The data set that most checks use. It is shared: methods get sealed copies."""
    return tiny()


@cache
def small(n_train: int = 60, n_labels: int = 12) -> Dataset:
    """A data set with few rows and labels, for fast fits."""
    return tiny(n_train, 20, n_labels, 30)


def without_features() -> Dataset:
    """Every fifth row has no feature and an empty text."""

    def emptied(rows: Split) -> Split:
        with_features = np.arange(rows.labels.shape[0]) % 5 != 0
        texts = [text if keep else "" for text, keep in zip(rows.texts or (), with_features, strict=True)]
        return Split(_masked(rows.features, with_features[:, None]), texts, rows.labels)

    data = small()
    return dataclasses.replace(data, train=emptied(data.train), test=emptied(data.test))


def without_labels() -> Dataset:
    """Every fifth training row has no label."""
    data = small()
    keep = np.arange(data.train.labels.shape[0]) % 5 != 0
    return _with_training_labels(data, _masked(data.train.labels, keep[:, None]))


def unseen_label() -> Dataset:
    """No training row has label 3."""
    data = small()
    keep = np.arange(data.n_labels) != 3
    return _with_training_labels(data, _masked(data.train.labels, keep[None, :]))


def single_label() -> Dataset:
    """The data set has a single label."""
    data = small(n_labels=4)
    train, test = (dataclasses.replace(rows, labels=rows.labels[:, :1].tocsr()) for rows in (data.train, data.test))
    return dataclasses.replace(data, train=train, test=test, label_texts=list(data.label_texts or ())[:1])


def holding(data: Dataset, kinds: set[str]) -> Dataset:
    """Keep only the named kinds ("features", "texts", "label_texts"); the others are None."""

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
