"""Small synthetic data sets for tests, with a planted structure that a method learns in seconds.

The edge cases of the contract battery: empty rows, labels without rows, very few labels or rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import scipy.sparse as sp

from xmcbench.data.spec import Dataset, Split

PAIRS = np.empty((0, 2), np.int64)


def tiny(n_train: int = 300, n_test: int = 80, n_labels: int = 40, n_features: int = 60, seed: int = 0) -> Dataset:
    """Each label has three features and a Zipf frequency; a row has the features of its labels plus noise."""
    rng = np.random.default_rng(seed)
    label_features = rng.integers(0, n_features, (n_labels, 3))
    weight = 1.0 / np.arange(1, n_labels + 1)

    def split(n: int) -> Split:
        labels = np.zeros((n, n_labels), np.float32)
        features = np.zeros((n, n_features), np.float32)
        for row in range(n):
            row_labels = rng.choice(n_labels, size=rng.integers(1, 4), replace=False, p=weight / weight.sum())
            labels[row, row_labels] = 1
            features[row, label_features[row_labels].ravel()] += 1
            features[row, rng.integers(0, n_features, 2)] += 0.3
        texts = [" ".join(f"w{i}" for i in np.flatnonzero(row)) for row in features]
        return Split(sp.csr_matrix(features), texts, sp.csr_matrix(labels))

    train, test = split(n_train), split(n_test)
    label_texts = [" ".join(f"w{i}" for i in sorted(set(row.tolist()))) for row in label_features]
    return Dataset(
        name="tiny",
        view="bow",
        revision="1",
        content_hash=f"test:{seed}",
        train=train,
        test=test,
        label_texts=label_texts,
        propensity=(0.55, 1.5),
        train_filter=PAIRS,
        test_filter=PAIRS,
    )


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
    return _masking_training_labels(data, keep[:, None])


def unseen_label() -> Dataset:
    """No training row has label 3."""
    data = small()
    keep = np.arange(data.n_labels) != 3
    return _masking_training_labels(data, keep[None, :])


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


def _masking_training_labels(data: Dataset, keep: Any) -> Dataset:
    labels = _masked(data.train.labels, keep)
    return dataclasses.replace(data, train=dataclasses.replace(data.train, labels=labels))
