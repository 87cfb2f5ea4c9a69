"""Expected sizes of a method's arrays, for the footprint that it gives before it reads rows.

All constants are measured; `python tests/benchmarks/memory.py` compares the footprints with measured peaks.
"""

from __future__ import annotations

import math

from xmcbench.growing import IN_MEMORY
from xmcbench.method import Facts

TORCH = 400 << 20  # bytes of torch and of the kernels that training loads
# Chosen on the trees of the boards' data sets, 1.0 to 3.2 times their weights, and of amazon-670k's shape, 0.7 to 1.3.
CARRYING = 5.5  # weights of at least 0.1 per feature that carries a row, of a classifier of one positive row
POWER = 0.45  # their growth with the number of positive rows
# Below 0.1, the logarithm of the number of weights moves towards that of all features of the rows: by this share of the
# way for each factor of ten. Chosen on eleven data sets, at 0.01; docs/scale_measured.md has the memory that follows.
NEARER = 2 / 3
PER_WEIGHT = 11  # bytes of a weight in a label tree that is laid out for search, its place included
SUMS = 50 << 20  # bytes of the products of a block of labels' centroids
VOCABULARY = 70.0  # words and pieces of words in a text of n bytes: 70 √n, between 25 and 90 on five data sets


def labels_with_rows(data: Facts) -> int:
    """Number of labels that have a training row."""
    return data.seen or data.n_labels


def rows_per_label(data: Facts) -> float:
    """Mean number of training rows of a label that has one."""
    return data.pairs / max(labels_with_rows(data), 1)


def distinct_features(data: Facts, rows: float) -> float:
    """Expected number of distinct features of so many training rows.

    Heaps' law: m · rows^β with m features in one row; β follows from the d features that all rows have.
    """
    each = data.entries / max(data.n_train, 1)
    if each <= 0 or data.n_train < 2:
        return 0.0
    beta = max(0.0, math.log(max(data.n_features, 1) / each) / math.log(data.n_train))
    return min(float(data.n_features), each * math.pow(max(rows, 1.0), beta))


def centroid_entries(data: Facts) -> int:
    """Expected number of stored features of all labels' centroids."""
    return int(labels_with_rows(data) * distinct_features(data, rows_per_label(data)))


def centroid_bytes(data: Facts) -> tuple[int, int]:
    """Bytes of all labels' centroids in memory and in files; either is 0."""
    each_array = 4 * centroid_entries(data)
    return (2 * each_array, 0) if each_array <= IN_MEMORY else (0, 2 * each_array)


def clustering_bytes(data: Facts, copied: bool) -> int:
    """Bytes while labels are clustered, beside centroids that stay in memory: pairs, sums of a block, and more.

    Those in files are in memory until they are too large. copied : rows of a cluster are copied before it is split, a
    block at a time if they are large.
    """
    in_memory, in_files = centroid_bytes(data)
    return SUMS + 24 * data.pairs + (min(in_memory + in_files, 2 * IN_MEMORY) if copied or in_files else 0)


def linear_weights(data: Facts, positives: float, others: float, threshold: float) -> float:
    """Expected number of weights of a linear classifier that are at least `threshold`.

    Parameters
    ----------
    positives, others : number of positive rows, and of the negative rows that reach the margin.
    """
    by_rows = distinct_features(data, positives + others)
    if threshold <= 0:
        return by_rows
    carrying = data.spread or data.entries / max(data.n_train, 1)
    large = min(by_rows, CARRYING * carrying * math.pow(max(positives, 1.0), POWER))  # those of at least 0.1
    if threshold >= 0.1:
        return large * math.pow(0.1 / threshold, 0.8)
    share = min(1.0, NEARER * math.log10(0.1 / threshold))
    return math.pow(large, 1 - share) * math.pow(by_rows, share)


def vocabulary(data: Facts) -> int:
    """Expected number of features that a bag of words makes of the texts of rows and labels."""
    return int(VOCABULARY * math.sqrt(data.text_bytes))
