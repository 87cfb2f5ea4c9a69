"""Statistics for `report.json`: weights of the learned adjacency, metrics without light edges, labels scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from xmcbench.context import Reporter
from xmcbench.topk import PAD
from xmcbench_elias.network.model import EMPTY, EliasModel
from xmcbench_elias.results.deciles import Deciles
from xmcbench_elias.search.predict import SHARE, predict

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import Inputs
    from xmcbench.metrics import Evaluation
    from xmcbench.topk import TopK
    from xmcbench_elias.fitted import FittedModel
    from xmcbench_elias.params import Sizes

THRESHOLDS = (0.1, 0.25, 0.5, 0.9)  # table 9 of the paper
HEAVY = 0.25  # weight above which the paper counts a label as a member of a cluster
K = 100  # labels per row, for R@100
METRICS = ("P@1", "R@10", "R@100")
SAMPLE = 2000  # test rows on which label scores are counted
CELLS = 1 << 22  # maximum rows · shortlist: some tens of megabytes


class Cut(EliasModel):
    """A model without the edges whose weight is below a threshold; it shares all other weights."""

    def __init__(self, model: EliasModel, threshold: float) -> None:
        nn.Module.__init__(self)
        with torch.no_grad():
            values = model.log_entries()
            remaining = model.filled & (values.exp() >= threshold)
        self.n_labels, self.alpha, self.share, self.adjacency = model.n_labels, model.alpha, model.share, None
        self.encoder = model.encoder
        self.cluster_weight, self.cluster_bias = model.cluster_weight, model.cluster_bias
        self.label_weight, self.label_bias = model.label_weight, model.label_bias
        self.register_buffer("entries", torch.where(remaining, model.entries, model.n_labels))
        self._values = torch.where(remaining, values, EMPTY)

    def log_entries(self) -> Tensor:
        """(C, width): log of the remaining weights, unchanged; EMPTY at padding."""
        return self._values


def edge_facts(
    fitted: FittedModel, inputs: Inputs, score: Callable[[TopK], Evaluation], size: Sizes, ctx: RunContext
) -> dict[str, Any] | None:
    """Statistics of the first model's edges.

    Returns
    -------
    None if the adjacency was not learned (`index` is tree or none). Else "cut", a list of dicts with a threshold, the
    share of edges below it, and `METRICS` on the test rows, as fractions, without these edges; "stage-1 edges kept",
    the share of labels whose weight in their stage-1 cluster is above `HEAVY`; "by decile", ten dicts (`Deciles` of the
    training rows): fewest and most training rows of a label, labels, and the mean number of clusters in which a label's
    weight is above `HEAVY`.
    """
    model = fitted.models[0]
    if model.adjacency is None:
        return None
    weights, entries = _weights(model)
    quiet = _quiet(ctx)
    rows = model.to(ctx.device).encoder.rows(inputs, ctx.progress)
    cut = []
    for threshold in (0.0, *THRESHOLDS):
        top = predict(Cut(model, threshold), rows, min(K, model.n_labels), _beam(ctx), size.shortlist, quiet)
        values = score(top).fractions()
        row: dict[str, Any] = {"threshold": threshold, "share cut": float((weights < threshold).mean())}
        cut.append(row | {name: values.get(name) for name in METRICS})
    heavy = weights > HEAVY
    # the edges between labels and their stage-1 clusters
    stage_1_edges = fitted.first.owners().cpu().numpy()[entries[0]] == entries[1]
    deciles = Deciles(fitted.label_counts, fitted.label_counts)
    clusters = np.bincount(entries[0][heavy], minlength=model.n_labels)
    table = zip(deciles.ranges(), deciles.sums(np.ones(model.n_labels)), deciles.means(clusters), strict=True)
    return {
        "cut": cut,
        "stage-1 edges kept": float((stage_1_edges & heavy).sum() / model.n_labels),
        "by decile": [
            {"fewest": low, "most": high, "labels": float(labels), "clusters": float(mean)}
            for (low, high), labels, mean in table
        ],
    }


def label_scores(fitted: FittedModel, inputs: Inputs, size: Sizes, ctx: RunContext) -> Mapping[str, float]:
    """Mean number of labels per row that are scored to find the 100 best, over at most 2,000 test rows.

    Returns
    -------
    "stage1" and "model" for these outputs, the latter summed over all members; "shortlist" for outputs that score the
    whole shortlist.
    """
    n = inputs.n_rows
    n_sampled = max(1, min(n, SAMPLE, CELLS // size.shortlist))
    inputs = inputs.rows(np.unique(np.linspace(0, n - 1, n_sampled).astype(np.int64)))
    first = _scored(fitted.first, inputs, size, ctx)
    models = [_scored(model, inputs, size, ctx) for model in fitted.models]
    return {
        "stage1": first[0],
        "model": sum(scored for scored, _ in models),
        "shortlist": sum(shortlisted for _, shortlisted in models),
    }


def _scored(model: EliasModel, inputs: Inputs, size: Sizes, ctx: RunContext) -> tuple[float, float]:
    """Mean number of labels per row that one model scores for the 100 best, and of labels in its shortlist."""
    rows = model.to(ctx.device).encoder.rows(inputs, ctx.progress)
    quiet, k = _quiet(ctx), min(K, model.n_labels)
    top = predict(model, rows, size.shortlist, _beam(ctx), size.shortlist, quiet)
    shortlisted = float((top.ids != PAD).sum() / max(len(top.ids), 1))
    predict(model, rows, k, _beam(ctx), size.shortlist, quiet)
    return shortlisted * float(quiet.notes.get(SHARE, {}).get(str(k), 1.0)), shortlisted


def _weights(model: EliasModel) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """(m,) weights of all edges, and their (m,) labels and (m,) clusters."""
    with torch.no_grad():
        values, filled = model.log_entries().exp().cpu().numpy(), model.filled.cpu().numpy()
    return values[filled], (model.entries.cpu().numpy()[filled], np.nonzero(filled)[0])


def _beam(ctx: RunContext) -> int:
    return int(ctx.query["beam"])


def _quiet(ctx: RunContext) -> RunContext:
    """The same context without progress output and with separate notes."""
    return replace(ctx, reporter=Reporter(), notes={})
