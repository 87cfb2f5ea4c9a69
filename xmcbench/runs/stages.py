"""The stages of a run after the fit, and their results: predictions and scores. Tuning uses the same stages.

Only the last stage sees test labels: a method gets `TrainData` and `Inputs`, which don't hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xmcbench.context import Reporter, RunContext
from xmcbench.errors import DataError
from xmcbench.method import Inputs, Method
from xmcbench.runs.measure import query_latency
from xmcbench.topk import TopK, checked

if TYPE_CHECKING:
    from xmcbench.data.spec import Dataset
    from xmcbench.metrics import Evaluation, Truth

LATENCY_SECONDS = 10.0  # time limit for single queries, after the batch


@dataclass(frozen=True)
class Predicted:
    """Predictions before filter pairs are removed, and the seconds of prediction."""

    topk: TopK
    seconds: float


@dataclass(frozen=True)
class Scored:
    """Metrics of predictions; `rows` holds per-row values and the near-duplicate groups of rows."""

    evaluation: Evaluation
    rows: dict[str, NDArray[Any]]


def warm_up(method: Method, ctx: RunContext) -> float | None:
    """Call the method's `warm_up` and return its seconds, or None if the method has none."""
    method_warm_up: Callable[[RunContext], None] | None = getattr(method, "warm_up", None)
    if method_warm_up is None:
        return None
    with ctx.phase("warm-up"):
        start = ctx.clock()
        method_warm_up(ctx)
        return ctx.clock() - start


def predict(method: Method, inputs: Inputs, k: int, pairs: NDArray[np.int64], ctx: RunContext) -> Predicted:
    """Predict k labels per row plus the length of the longest filter row, at most L."""
    depth = prediction_depth(k, pairs, inputs.n_labels)
    with ctx.phase("predict"):
        start = ctx.clock()
        topk = method.predict(inputs, depth, ctx)
        seconds = ctx.clock() - start
    return Predicted(_own_copy(checked(topk, inputs.n_rows, inputs.n_labels)), seconds)


def _own_copy(topk: TopK) -> TopK:
    """A copy of predictions, since the method may use its arrays again for the next rows."""
    return TopK(topk.ids.copy(), topk.scores.copy(), None if topk.given is None else np.array(topk.given))


def latency(
    method: Method, inputs: Inputs, k: int, pairs: NDArray[np.int64], ctx: RunContext
) -> dict[str, float | None]:
    """Latency of single queries as returned by `query_latency`; progress, phases and notes are discarded."""
    depth = prediction_depth(k, pairs, inputs.n_labels)
    silent_ctx = replace(ctx, reporter=Reporter(), phases={}, notes={}, selection={})

    def query(row: int) -> object:
        return method.predict(inputs.rows(slice(row, row + 1)), depth, silent_ctx)

    with ctx.phase("single queries"):
        return query_latency(query, inputs.n_rows, LATENCY_SECONDS, ctx.clock)


def prediction_depth(k: int, pairs: NDArray[np.int64], n_labels: int) -> int:
    """The `k` passed to `predict`, so that k labels remain after filter pairs are removed."""
    longest_filter = int(np.bincount(pairs[:, 0]).max()) if len(pairs) else 0
    return min(k + longest_filter, n_labels)


def check_metrics(dataset: Dataset, names: Sequence[str]) -> None:
    """Raise UsageError or DataError if a metric is undefined on the data set; by default, the default metrics."""
    from xmcbench.metrics import Truth, parse_all
    from xmcbench.metrics.evaluation import check_needs, default_metrics

    truth = Truth.of(dataset)
    check_needs(parse_all(names or default_metrics(truth)), truth)


def score(topk: TopK, dataset: Dataset, truth: Truth, names: Sequence[str], k: int, samples: int) -> Scored:
    """Metrics of predictions for the test rows, without filter pairs, with `samples` bootstrap resamples.

    Raises DataError: the values violate an identity between metrics.
    """
    from xmcbench.metrics import evaluate, invariants
    from xmcbench.metrics.uncertainty import NEAR

    near = dataset.near_groups
    evaluation = evaluate(topk.without(dataset.test_filter, k), truth, names, samples=samples, groups=near)
    if faults := invariants.faults(evaluation.values):
        raise DataError(
            "this run: " + "; ".join(faults), "A record that violates an identity between metrics is never written."
        )
    return Scored(evaluation, {**evaluation.rows, NEAR: near})
