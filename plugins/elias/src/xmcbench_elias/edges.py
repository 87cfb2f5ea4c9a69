"""What the learned adjacency holds, what search loses without its light edges, and how many labels a search scores.

Numbers for `report.json`, from the fitted model and test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from xmcbench.context import Reporter
from xmcbench.topk import PAD
from xmcbench_elias.deciles import Deciles
from xmcbench_elias.model import EMPTY, EliasModel
from xmcbench_elias.predict import SHARE, predict

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs
    from xmcbench.metrics import Evaluation
    from xmcbench.topk import TopK
    from xmcbench_elias.params import Sizes
    from xmcbench_elias.whole import Whole

THRESHOLDS = (0.1, 0.25, 0.5, 0.9)  # T9 of the paper
HEAVY = 0.25  # weight above which the paper counts a label as a member of a cluster
K = 100  # labels a row: R@100 needs them
METRICS = ("P@1", "R@10", "R@100")
SAMPLE = 2000  # test rows on which label scores are counted
CELLS = 1 << 22  # rows · shortlisted labels of them: some tens of megabytes


class Cut(EliasModel):
    """A model without the edges whose weight is below a threshold. All other weights are the model's, and shared."""

    def __init__(self, model: EliasModel, threshold: float) -> None:
        nn.Module.__init__(self)
        with torch.no_grad():
            values = model.log_entries()
            kept = model.filled & (values.exp() >= threshold)
        self.n_labels, self.alpha, self.share, self.adjacency = model.n_labels, model.alpha, model.share, None
        self.encoder = model.encoder
        self.cluster_weight, self.cluster_bias = model.cluster_weight, model.cluster_bias
        self.label_weight, self.label_bias = model.label_weight, model.label_bias
        self.register_buffer("entries", torch.where(kept, model.entries, model.n_labels))
        self._values = torch.where(kept, values, EMPTY)

    def log_entries(self) -> Tensor:
        """(C, width): log of the weights that are left, as they were; padding holds EMPTY."""
        return self._values


def edge_facts(
    whole: Whole, inputs: Inputs, score: Callable[[TopK], Evaluation], size: Sizes, ctx: RunContext
) -> dict[str, Any] | None:
    """The first model's edges: metrics with those below a threshold cut, and what became of the clustering.

    Returns
    -------
    None where the adjacency was not learned (`index` is tree or none). Else "cut", a list of dicts with the threshold,
    the share of edges below it, and fractions of `METRICS` over the test rows; "stage-1 edges kept", the share of
    labels whose weight in their stage-1 cluster is above `HEAVY`; "by decile", ten dicts (`Deciles` of the training
    rows): fewest and most training rows of a label, labels, and the mean number of clusters in which a label's weight
    is above `HEAVY`.
    """
    model = whole.models[0]
    if model.adjacency is None:
        return None
    weights, entries = _weights(model)
    quiet = _quiet(ctx)
    rows = model.to(ctx.device).encoder.rows(inputs)
    cut = []
    for threshold in (0.0, *THRESHOLDS):
        top = predict(Cut(model, threshold), rows, min(K, model.n_labels), _beam(ctx), size.shortlist, quiet)
        values = score(top).fractions()
        facts: dict[str, Any] = {"threshold": threshold, "share cut": float((weights < threshold).mean())}
        cut.append(facts | {name: values.get(name) for name in METRICS})
    heavy = weights > HEAVY
    first = whole.first.owners().cpu().numpy()[entries[0]] == entries[1]  # the edge of a label's stage-1 cluster
    parts = Deciles(whole.seen, whole.seen)
    clusters = np.bincount(entries[0][heavy], minlength=model.n_labels)
    table = zip(parts.ranges(), parts.sums(np.ones(model.n_labels)), parts.means(clusters), strict=True)
    return {
        "cut": cut,
        "stage-1 edges kept": float((first & heavy).sum() / model.n_labels),
        "by decile": [
            {"fewest": low, "most": high, "labels": float(labels), "clusters": float(mean)}
            for (low, high), labels, mean in table
        ],
    }


def label_scores(whole: Whole, inputs: Inputs, size: Sizes, ctx: RunContext) -> Mapping[str, float]:
    """Labels of a row whose network score is computed to find its 100 best, mean over at most 2,000 test rows.

    Returns
    -------
    "stage1" and "model" for these outputs, the latter of all members together; "shortlist" for outputs that need all
    of the shortlist scored.
    """
    n = inputs.n_rows
    some = max(1, min(n, SAMPLE, CELLS // size.shortlist))
    inputs = inputs.rows(np.unique(np.linspace(0, n - 1, some).astype(np.int64)))
    first = _scored(whole.first, inputs, size, ctx)
    models = [_scored(model, inputs, size, ctx) for model in whole.models]
    return {
        "stage1": first[0],
        "model": sum(scored for scored, _ in models),
        "shortlist": sum(shortlisted for _, shortlisted in models),
    }


def _scored(model: EliasModel, inputs: Inputs, size: Sizes, ctx: RunContext) -> tuple[float, float]:
    """Labels a row that one model scores for its 100 best, and those in its shortlist."""
    rows = model.to(ctx.device).encoder.rows(inputs)
    quiet, k = _quiet(ctx), min(K, model.n_labels)
    top = predict(model, rows, size.shortlist, _beam(ctx), size.shortlist, quiet)
    shortlisted = float((top.ids != PAD).sum() / max(len(top.ids), 1))
    predict(model, rows, k, _beam(ctx), size.shortlist, quiet)
    return shortlisted * float(quiet.notes.get(SHARE, {}).get(str(k), 1.0)), shortlisted


def _weights(model: EliasModel) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """(m,) float weights of all edges, and their (m,) labels and (m,) clusters."""
    with torch.no_grad():
        values, filled = model.log_entries().exp().cpu().numpy(), model.filled.cpu().numpy()
    return values[filled], (model.entries.cpu().numpy()[filled], np.nonzero(filled)[0])


def _beam(ctx: RunContext) -> int:
    return int(ctx.query["beam"])


def _quiet(ctx: RunContext) -> RunContext:
    """The same context without a progress line and with notes of its own."""
    return replace(ctx, reporter=Reporter(), notes={})
