"""Values no ELIAS can be trained with."""

from __future__ import annotations

import math
from dataclasses import replace

from xmcbench.encoders import params as encoders
from xmcbench.errors import UsageError
from xmcbench_elias.params import EliasParams

ABOVE_ZERO = (
    "width",
    "alpha",
    "beta_share",
    "leaf",
    "train_beam",
    "beam",
    "shortlist_leaves",
    "row_leaves",
    "stage1_epochs",
    "stage2_epochs",
    "batch",
    "rate",
    "table_rate",
    "adjacency_rate",
    "encoder_rate",
    "members",
    "effort",
)
NOT_BELOW_ZERO = (
    "extra",
    "shortlist_weight",
    "stage2_rate",
    "decay",
    "average",
    "recluster",
    "dual_epochs",
    "finish_epochs",
)


def check(params: EliasParams) -> None:
    """Refuse them; None stands for a value that is chosen later.

    Raises
    ------
    UsageError : which value, and what is valid.
    """
    for name in (*ABOVE_ZERO, *NOT_BELOW_ZERO):
        check_number(name, getattr(params, name))
    if params.dropout is not None and not 0 <= params.dropout < 1:
        raise UsageError(f"elias: dropout is {params.dropout}, must be from 0 to below 1")
    encoders.check("elias", replace(params, width=params.width or 1))


def check_number(name: str, value: float | None) -> None:
    """Refuse a value of one of `ABOVE_ZERO` and `NOT_BELOW_ZERO` that is not finite or too small.

    Raises
    ------
    UsageError : the value, and what is valid.
    """
    if value is None:
        return
    if not math.isfinite(value):
        raise UsageError(f"elias: {name} is {value}, must be a finite number")
    if name in ABOVE_ZERO and value <= 0:
        raise UsageError(f"elias: {name} is {value}, must be above zero")
    if value < 0:
        raise UsageError(f"elias: {name} is {value}, must not be below zero")
