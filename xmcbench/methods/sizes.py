"""Expected sizes of a method's arrays, for the footprint that it gives before it reads rows.

All constants are measured; `python tests/benchmarks/memory.py` compares the footprints with measured peaks.
"""

from __future__ import annotations

import math

from xmcbench.method import Facts

TORCH = 400 << 20  # bytes of torch and of the kernels that training loads
NORM = 38.0  # weights of at least 0.1 per classifier of one positive row, which its norm limits
POWER = 0.65  # their growth with the number of positive rows
PER_WEIGHT = 11  # bytes of a weight in a label tree that is laid out for search, its place included
VOCABULARY = 70.0  # words and pieces of words in a text of n bytes: 70 √n, between 25 and 90 on five data sets


def rows_per_label(data: Facts) -> float:
    """Mean number of training rows of a label."""
    return data.pairs / max(data.n_labels, 1)


def distinct_features(data: Facts, rows: float) -> float:
    """Expected number of distinct features of so many training rows.

    Heaps' law: m · rows^β with m features in one row; β follows from the d features that all rows have.
    """
    each = data.entries / max(data.n_train, 1)
    if each <= 0 or data.n_train < 2:
        return 0.0
    beta = max(0.0, math.log(max(data.n_features, 1) / each) / math.log(data.n_train))
    return min(float(data.n_features), each * math.pow(max(rows, 1.0), beta))


def linear_weights(data: Facts, positives: float, others: float, threshold: float) -> float:
    """Expected number of weights of a linear classifier that are at least `threshold`.

    Parameters
    ----------
    positives, others : number of positive rows, and of the negative rows that reach the margin.
    """
    by_rows = distinct_features(data, positives + others)
    if threshold <= 0:
        return by_rows
    return min(by_rows, NORM * math.pow(max(positives, 1.0), POWER) * math.pow(0.1 / threshold, 0.8))


def vocabulary(data: Facts) -> int:
    """Expected number of features that a bag of words makes of the texts of rows and labels."""
    return int(VOCABULARY * math.sqrt(data.text_bytes))
