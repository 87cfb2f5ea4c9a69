"""Why a label has its score: what a method with the optional member `explain` returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reason:
    """One part of a sum.

    Attributes
    ----------
    kind : "feature" (of the row), "row" (of the training rows), "constant", or "other", which `note` names.
    id : the feature or the row, from 0; −1 for the other kinds.
    value : what it adds to the sum of its step.
    note : what a reader should know beside it, such as "similarity 0.81"; or "".
    """

    kind: Literal["feature", "row", "constant", "other"]
    id: int
    value: float
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One sum on the way to a label's score.

    Attributes
    ----------
    title : what is summed: "margin", "tree 1, level 2: margin of node 17".
    value : the sum of the values of `reasons`.
    reasons : the parts, largest magnitude first, constants last.
    result : what becomes of the sum: "the score", "factor 0.93".
    """

    title: str
    value: float
    reasons: tuple[Reason, ...]
    result: str


def unknown_label(title: str) -> Step:
    """The step for a label without a training row, which a classifier never gives."""
    return Step(title, 0.0, (), "no classifier: the label has no training row")


def step(title: str, reasons: list[Reason], result: str) -> Step:
    """A step from its parts, which may be in any order; those that add nothing are left out."""
    parts = sorted(
        (part for part in reasons if part.value), key=lambda part: (part.kind == "constant", -abs(part.value))
    )
    return Step(title, sum(part.value for part in reasons), tuple(parts), result)
