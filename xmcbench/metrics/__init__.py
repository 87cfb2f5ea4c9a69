"""Metrics of extreme classification over top-k predictions: stated definitions, intervals, best reachable values.

truth = Truth.of(dataset)
evaluate(topk, truth, ["P@1", "PSP@5", "P@5:tail"]).values
"""

from __future__ import annotations

from xmcbench.metrics.definition import Definition
from xmcbench.metrics.evaluation import Evaluation, Value, evaluate
from xmcbench.metrics.invariants import broken
from xmcbench.metrics.names import DEFAULT, Name, describe, parse, parse_all
from xmcbench.metrics.randomisation import holm, paired_test
from xmcbench.metrics.truth import Truth
from xmcbench.metrics.uncertainty import Difference, difference

__all__ = [
    "DEFAULT",
    "Definition",
    "Difference",
    "Evaluation",
    "Name",
    "Truth",
    "Value",
    "broken",
    "describe",
    "difference",
    "evaluate",
    "holm",
    "paired_test",
    "parse",
    "parse_all",
]
