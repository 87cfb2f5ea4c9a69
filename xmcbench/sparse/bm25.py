"""BM25 (Robertson and Zaragoza, 2009, "The Probabilistic Relevance Framework", section 3.5) as weights of stored rows.

With unmodified query frequencies (k3 = ∞ there), a row's BM25 score for a query is the inner product of the query with
these weights, so any search for inner products finds the best rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import scipy.sparse as sp


def bm25_rows(features: sp.csr_matrix, k1: float, b: float) -> sp.csr_matrix:
    """(n, d) CSR float32 weights ln(1 + (n − df + ½) / (df + ½)) · f (k1 + 1) / (f + k1 (1 − b + b · len / mean len)).

    f is the feature's frequency in the row, len the row's sum of frequencies, df the number of rows with the feature.
    The first factor is the idf of Robertson and Sparck Jones with 1 inside the logarithm, as in Lucene, so that it
    stays above zero for features of most rows.

    If all values are integers, they are frequencies. Other values, such as tf-idf, are divided by their mean, because
    k1 is the frequency of half saturation and has to be relative to a typical value. An idf that is already part of
    the values is not removed. Values of zero or less mean that the row does not have the feature.

    Parameters
    ----------
    features : (n, d) CSR. k1 : at least 0. b : 0 to 1.
    """
    import scipy.sparse as sp

    rows = sp.csr_matrix(features, dtype=np.float64, copy=True)
    rows.data = np.maximum(rows.data, 0)
    rows.eliminate_zeros()
    if rows.nnz == 0:
        return rows.astype(np.float32)
    if (rows.data != np.rint(rows.data)).any():
        rows.data /= rows.data.mean()
    n, d = rows.shape
    df = np.bincount(rows.indices, minlength=d)
    idf = np.log1p((n - df + 0.5) / (df + 0.5))
    length = np.asarray(rows.sum(axis=1)).ravel()
    damping = np.repeat(k1 * (1 - b + b * length / length.mean()), np.diff(rows.indptr))
    rows.data = idf[rows.indices] * rows.data * (k1 + 1) / (rows.data + damping)
    return rows.astype(np.float32)
