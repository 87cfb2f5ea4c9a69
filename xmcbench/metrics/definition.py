"""The definition of a metric: formula, range, citation, and the functions that compute it.

Notation of the formulas: Y the true labels of a row, hit_r = 1 if the label at rank r is true, w_l = 1/p_l the inverse
propensity of label l, d_r = 1/log2(r + 1), I_k = d_1 + … + d_min(k,|Y|). `Stats` has the numbers of each row.
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

EMPTY: dict[Kind, str] = {
    "mean of rows": "stays in the mean and counts 0",
    "ratio of sums": "adds 0 to both sums",
    "over labels": "does not count",
}


@dataclass(frozen=True)
class Definition:
    """One way to compute one metric.

    Attributes
    ----------
    metric, variant : "PSP" and "" or "norm=none"; together they name the definition.
    same : other variants with the same meaning, such as "like=pyxclib".
    kind : "mean of rows": mean of `row`; "ratio of sums": sum of `row` over sum of `best`; "over labels": `label`.
    cut : whether a cut-off @k is needed, optional or refused.
    weighted : whether the metric needs propensities, and therefore training labels.
    row : (n,) contribution of each row; for kind "ratio of sums" the numerator.
    best : (n,) best reachable value of `row`.
    label : the value, for kind "over labels".
    label_best : best reachable value of `label`, or an upper bound of it where `summary` says so.
    high : upper end of the range; None if it is unbounded. The lower end is 0.
    version : increased when numbers change; records of different versions are not compared.
    """

    metric: str
    summary: str
    formula: str
    citation: str
    variant: str = ""
    kind: Kind = "mean of rows"
    row: Rule | None = None
    best: Rule | None = None
    label: LabelRule | None = None
    label_best: LabelRule | None = None
    same: tuple[str, ...] = ()
    cut: Literal["needed", "optional", "none"] = "needed"
    weighted: bool = False
    high: float | None = 1.0
    version: int = 1

    @property
    def empty(self) -> str:
        """How a row without a true label counts."""
        return EMPTY[self.kind]
