"""Propensities of Jain et al. 2016 and the metrics weighted with them.

Three definitions of PSP and four of PSnDCG are in use; the plain names mean pyxclib's, which published tables use.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xmcbench.metrics.definition import Definition
from xmcbench.metrics.stats import discounts

_JAIN = "Jain, Prabhu and Varma, KDD 2016"
_XCR = "formula printed by the Extreme Classification Repository"


def inverse_propensity(train_counts: NDArray[np.int64], n_train: int, a: float, b: float) -> NDArray[np.float64]:
    """1/p_l = 1 + C (N_l + B)^−A with C = (ln N − 1)(B + 1)^A, natural logarithm (Jain et al. 2016, section 4).

    Parameters
    ----------
    train_counts : (L,) N_l, rows of the official training set with label l.
    n_train : N, all rows of the official training set, at least 1.
    a, b : A and B: 0.5, 0.4 for Wikipedia; 0.6, 2.6 for Amazon; 0.55, 1.5 otherwise (Jain et al. 2016, section 5).

    Returns
    -------
    (L,) float64; below 1 if n_train is below 3, NaN or infinite for labels where the formula is not defined: where
    N_l + B is not above 0, or a power is beyond float64. See also `xmcbench.data.catalogue.propensity_fault`.
    """
    defined = np.where(train_counts + b > 0, train_counts + b, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):
        c = (np.log(n_train) - 1.0) * np.power(b + 1.0, a)
        return np.asarray(1.0 + c * np.power(defined, -a), np.float64)


PSP = Definition(
    "PSP",
    "propensity-scored precision over the best reachable on the test set",
    "sum over rows of (w hit_1 + … + w hit_k), over the same sum for the k true labels of largest w",
    _JAIN + "; as a ratio of sums: pyxclib 5d13086, napkinXC, AttentionXML",
    kind="ratio of sums",
    row=lambda s, k: s.weight[k],
    best=lambda s, k: s.best_weight[k],
    same=("like=pyxclib", "like=napkinxc", "like=attentionxml"),
    weighted=True,
)
PSNDCG = Definition(
    "PSnDCG",
    "propensity-scored nDCG over the best reachable on the test set",
    "sum over rows of (w hit_1 d_1 + … + w hit_k d_k) / I_k, over the same sum for the true labels in falling w",
    _JAIN + "; as a ratio of sums: pyxclib 5d13086, napkinXC",
    kind="ratio of sums",
    row=lambda s, k: s.weight_dcg[k] / s.ideal(k),
    best=lambda s, k: s.best_weight_dcg[k] / s.ideal(k),
    same=("like=pyxclib", "like=napkinxc"),
    weighted=True,
)
PSR = Definition(
    "PSR",
    "propensity-scored recall over the best reachable on the test set",
    "sum over rows of (w hit_1 + … + w hit_k) / |Y|, over the same sum for the k true labels of largest w",
    _JAIN + "; as a ratio of sums: pyxclib 5d13086, napkinXC",
    kind="ratio of sums",
    row=lambda s, k: s.weight[k] / s.divisor,
    best=lambda s, k: s.best_weight[k] / s.divisor,
    same=("like=pyxclib", "like=napkinxc"),
    weighted=True,
)


def _unbounded(of: Definition, variant: str, summary: str, formula: str, citation: str) -> Definition:
    """The mean of `of.row`, not divided by the best reachable."""
    mean = replace(of, variant=variant, summary=summary, formula=formula, citation=citation)
    return replace(mean, kind="mean of rows", same=(), high=None)


DEFINITIONS = (
    PSP,
    replace(
        _unbounded(
            PSP,
            "norm=none",
            "propensity-scored precision, not normalised: it can exceed 1",
            "mean over rows of (w hit_1 + … + w hit_k) / k",
            _JAIN + "; " + _XCR,
        ),
        row=lambda s, k: s.weight[k] / k,
        best=lambda s, k: s.best_weight[k] / k,
        same=("like=xcrepo",),
    ),
    PSNDCG,
    _unbounded(
        PSNDCG,
        "norm=none",
        "propensity-scored nDCG, not normalised: it can exceed 1",
        "mean over rows of (w hit_1 d_1 + … + w hit_k d_k) / I_k",
        "napkinXC 0.7.2, psndcg_at_k(normalize=False)",
    ),
    replace(
        _unbounded(
            PSNDCG,
            "like=xcrepo",
            "propensity-scored DCG over the discounts of all k ranks, for any number of true labels; can exceed 1",
            "mean over rows of (w hit_1 d_1 + … + w hit_k d_k) / (d_1 + … + d_k)",
            _XCR,
        ),
        row=lambda s, k: s.weight_dcg[k] / discounts(k).sum(),
        best=lambda s, k: s.best_weight_dcg[k] / discounts(k).sum(),
    ),
    replace(
        PSNDCG,
        variant="like=attentionxml",
        summary="ratio of summed propensity-scored DCGs, rows not normalised one by one",
        formula="sum over rows of (w hit_1 d_1 + … + w hit_k d_k), over the same sum for the true labels in falling w",
        citation="You et al., NeurIPS 2019: AttentionXML's evaluation code",
        row=lambda s, k: s.weight_dcg[k],
        best=lambda s, k: s.best_weight_dcg[k],
        same=(),
    ),
    PSR,
    _unbounded(
        PSR,
        "norm=none",
        "propensity-scored recall, not normalised: it can exceed 1",
        "mean over rows of (w hit_1 + … + w hit_k) / |Y|",
        "napkinXC 0.7.2, psrecall_at_k(normalize=False)",
    ),
)
