"""Metrics that weight all labels equally: P, nDCG, R, RR, Success, R-Precision."""

from __future__ import annotations

import numpy as np

from xmcbench.metrics.definition import Definition
from xmcbench.metrics.stats import Column, Stats

_XCR = "Bhatia et al., The Extreme Classification Repository, 2016 (manikvarma.org/downloads/XC)"
_EVERYWHERE = ("like=pyxclib", "like=napkinxc", "like=attentionxml", "like=xcrepo")


def _success(s: Stats, k: int) -> Column:
    return ((s.first > 0) & (s.first <= k)).astype(np.float64)


DEFINITIONS = (
    Definition(
        "P",
        "precision: share of the first k ranks that are true; a missing prediction is a miss",
        "mean over rows of (hit_1 + … + hit_k) / k",
        _XCR,
        row=lambda s, k: s.hits[k] / k,
        best=lambda s, k: np.minimum(s.total, k) / k,
        same=_EVERYWHERE,
    ),
    Definition(
        "nDCG",
        "discounted cumulative gain over that of a perfect ranking of the row",
        "mean over rows of (hit_1 d_1 + … + hit_k d_k) / I_k",
        "Järvelin and Kekäläinen, ACM TOIS 20(4), 2002; ideal over min(k, |Y|) ranks as in " + _XCR,
        row=lambda s, k: s.dcg[k] / s.ideal(k),
        best=lambda s, k: s.has_labels,
        same=_EVERYWHERE,
    ),
    Definition(
        "R",
        "recall: share of the true labels found in the first k ranks",
        "mean over rows of (hit_1 + … + hit_k) / |Y|",
        "pyxclib 5d13086, xc_metrics.recall; with empty=skip its recall_at_k",
        row=lambda s, k: s.hits[k] / s.divisor,
        best=lambda s, k: np.minimum(s.total, k) / s.divisor,
        same=("like=pyxclib", "like=napkinxc"),
    ),
    Definition(
        "RR",
        "reciprocal rank of the first hit, 0 if there is none in the first k ranks (without @k: in the whole list)",
        "mean over rows of 1 / min{r ≤ k : hit_r = 1}",
        "Voorhees, The TREC-8 Question Answering Track Report, 1999",
        row=lambda s, k: _success(s, k) / np.maximum(s.first, 1),
        best=lambda s, k: s.has_labels,
        cut="optional",
    ),
    Definition(
        "Success",
        "share of rows with a hit in the first k ranks",
        "mean over rows of max(hit_1, …, hit_k)",
        "Craswell, Success at n, Encyclopedia of Database Systems, 2009",
        row=_success,
        best=lambda s, k: s.has_labels,
    ),
    Definition(
        "RPrec",
        "R-Precision: precision at as many ranks as the row has true labels; ranks past the predictions are misses",
        "mean over rows of (hit_1 + … + hit_|Y|) / |Y|",
        "Manning, Raghavan and Schütze, Introduction to Information Retrieval, 2008, section 8.4",
        row=lambda s, k: s.hits_at_total / s.divisor,
        best=lambda s, k: s.has_labels,
        cut="none",
    ),
)
