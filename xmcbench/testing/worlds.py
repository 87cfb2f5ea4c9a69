"""Small synthetic data sets for tests, with a planted structure that a method learns in seconds."""

from __future__ import annotations

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
