"""What is scored when nobody says: the default set, and its first and last word in every slice the data has."""

from __future__ import annotations

from xmcbench.metrics.names import DEFAULT
from xmcbench.metrics.truth import Truth

IN_SLICES = ("P@1", "R@100")  # what a user sees first, and what a shortlist must hold


def default_metrics(truth: Truth) -> list[str]:
    """Names for `evaluate`: the default set, then `IN_SLICES` for head, torso, tail and each group the data names."""
    slices = [*truth.label_groups, *truth.row_groups]
    return [*DEFAULT, *(f"{name}:{part}" for part in slices for name in IN_SLICES)]
