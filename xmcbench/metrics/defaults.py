"""The metrics that are computed when the user names none."""

from __future__ import annotations

from xmcbench.metrics.names import DEFAULT
from xmcbench.metrics.truth import Truth

IN_SLICES = ("P@1", "R@100")  # the first label shown, and the recall of a shortlist


def default_metrics(truth: Truth) -> list[str]:
    """Names for `evaluate`: the default set, then `IN_SLICES` for every slice of labels or rows that `truth` has."""
    slices = [*truth.label_groups, *truth.row_groups]
    return [*DEFAULT, *(f"{name}:{part}" for part in slices for name in IN_SLICES)]
