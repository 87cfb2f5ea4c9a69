"""What a metric is: a small object that says how it counts, between what bounds, and who defined it so.

Notation of the formulas: Y the true labels of a row, hit_r = 1 if the label at rank r is true, w_l = 1/p_l the inverse
propensity of label l, d_r = 1/log2(r + 1), I_k = d_1 + … + d_min(k,|Y|). A row's numbers come from `Stats`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from xmcbench.metrics.labels import LabelStats
    from xmcbench.metrics.stats import Column, Stats

Kind = Literal["mean of rows", "ratio of sums", "over labels"]
Rule = Callable[["Stats", int], "Column"]
LabelRule = Callable[["LabelStats", int], float]

COUNTS_AS_ZERO = "stays in the mean and counts 0"
ADDS_NOTHING = "adds 0 to both sums"
NO_PART = "has no part in it"


@dataclass(frozen=True)
class Definition:
    """One way to compute one metric.

    Attributes
    ----------
    metric, variant : "PSP" and "" or "norm=none"; together they name the definition.
    same : other variants that mean exactly this, such as "like=pyxclib".
    kind : "mean of rows": mean of `row`; "ratio of sums": sum of `row` over sum of `best`; "over labels": `label`.
    cut : whether a cut-off @k is needed, optional or refused.
    weighted : propensities, and so training labels, are needed.
    row : (n,) each row's share; with kind "ratio of sums" the numerator.
    best : (n,) the most any ranking could get for `row`.
    label : the value, for kind "over labels".
    label_best : the most any ranking could get for `label`, or an upper bound of it where `summary` says so.
    high : upper end of the range; None where there is none. The lower end is 0.
    empty : what a row without a true label does.
    version : raised when numbers change; records of different versions are not compared.
    """

    metric: str
    variant: str
    summary: str
    formula: str
    citation: str
    kind: Kind
    empty: str
    row: Rule | None = None
    best: Rule | None = None
    label: LabelRule | None = None
    label_best: LabelRule | None = None
    same: tuple[str, ...] = ()
    cut: Literal["needed", "optional", "none"] = "needed"
    weighted: bool = False
    high: float | None = 1.0
    version: int = 1
