"""Statistics for `report.json`: the index, the learned adjacency and metrics without its light edges, labels scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from xmcbench.context import Reporter, RunContext
from xmcbench.method import Inputs
from xmcbench.methods.helpers import spread
from xmcbench.metrics import Evaluation
from xmcbench.metrics.deciles import Deciles
from xmcbench.topk import PAD, TopK
from xmcbench_elias.fitted import FittedModel
from xmcbench_elias.network.model import EMPTY, EliasModel
from xmcbench_elias.params import Sizes
from xmcbench_elias.results.report_file import Cut, Decile, Edges
from xmcbench_elias.search.predict import SHARE, predict

THRESHOLDS = (0.1, 0.25, 0.5, 0.9)  # table 9 of the paper
HEAVY = 0.25  # weight above which the paper counts a label as a member of a cluster
K = 100  # labels per row, for R@100
SAMPLE = 2000  # test rows on which label scores are counted
CELLS = 1 << 22  # maximum rows · shortlist: some tens of megabytes


class CutModel(EliasModel):
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
) -> Edges | None:
    """Statistics of the first model's edges; None if the adjacency was not learned (`index` is tree or none).

    The deciles are those of the training rows, and a label is a member of a cluster where its weight is above `HEAVY`.
    """
    model = fitted.models[0]
    if model.adjacency is None:
        return None
    with torch.no_grad():
        values, filled = model.log_entries().exp().cpu().numpy(), model.filled.cpu().numpy()
    weights, labels, clusters = values[filled], model.entries.cpu().numpy()[filled], np.nonzero(filled)[0]
    rows = model.to(ctx.device).encoder.rows(inputs, ctx.progress)
    cuts = []
    for threshold in (0.0, *THRESHOLDS):
        cut_model, quiet = CutModel(model, threshold), _quiet(ctx)
        top = predict(cut_model, rows, min(K, model.n_labels), _beam(ctx), size.shortlist, quiet)
        metrics = score(top).fractions()
        share_cut = float((weights < threshold).mean())
        cuts.append(Cut(threshold, share_cut, metrics.get("P@1"), metrics.get("R@10"), metrics.get("R@100")))
    heavy = weights > HEAVY
    in_stage_1_cluster = fitted.first.owners().cpu().numpy()[labels] == clusters
    deciles = Deciles(fitted.label_counts, fitted.label_counts)
    n_clusters = deciles.means(np.bincount(labels[heavy], minlength=model.n_labels))
    table = zip(deciles.ranges(), deciles.sums(np.ones(model.n_labels)), n_clusters, strict=True)
    return Edges(
        cuts,
        float((in_stage_1_cluster & heavy).sum() / model.n_labels),
        [Decile(low, high, float(count), float(mean)) for (low, high), count, mean in table],
    )


def index_facts(fitted: FittedModel) -> dict[str, float | list[float]]:
    """Statistics of the index: clusters per label, labels whose best cluster has changed, clamped entries."""
    model, first = fitted.models[0], fitted.first
    entries = model.entries.cpu().numpy()
    paths = np.bincount(entries[entries < model.n_labels], minlength=model.n_labels)
    owners, stage_1_owners = model.owners().cpu().numpy(), first.owners().cpu().numpy()
    return {
        "clusters": len(entries),
        "clusters a label, mean": float(paths.mean()),
        "clusters a label, quartiles": np.quantile(paths, [0.25, 0.5, 0.75]).tolist(),
        "labels in one cluster alone": float((paths == 1).mean()),
        "labels whose best cluster changed": float((owners != stage_1_owners).mean()),
        "adjacency entries at the clamp": model.clamped_share(),
    }


def label_scores(fitted: FittedModel, inputs: Inputs, size: Sizes, ctx: RunContext) -> Mapping[str, float]:
    """Mean number of labels per row that are scored to find the 100 best, over at most 2,000 test rows.

    "stage1" and "model" are of these outputs, the latter summed over all members; "shortlist" is of outputs that score
    the whole shortlist.
    """
    inputs = inputs.rows(spread(inputs.n_rows, max(1, min(SAMPLE, CELLS // size.shortlist))))
    stage_1 = _scored(fitted.first, inputs, size, ctx)[0]
    scored, shortlisted = zip(*(_scored(model, inputs, size, ctx) for model in fitted.models), strict=True)
    return {"stage1": stage_1, "model": sum(scored), "shortlist": sum(shortlisted)}


def _scored(model: EliasModel, inputs: Inputs, size: Sizes, ctx: RunContext) -> tuple[float, float]:
    """Mean number of labels per row that one model scores for the 100 best, and of labels in its shortlist."""
    rows = model.to(ctx.device).encoder.rows(inputs, ctx.progress)
    quiet, k = _quiet(ctx), min(K, model.n_labels)
    top = predict(model, rows, size.shortlist, _beam(ctx), size.shortlist, quiet)
    shortlisted = float((top.ids != PAD).sum() / max(len(top.ids), 1))
    predict(model, rows, k, _beam(ctx), size.shortlist, quiet)
    return shortlisted * float(quiet.notes.get(SHARE, {}).get(str(k), 1.0)), shortlisted


def _beam(ctx: RunContext) -> int:
    return int(ctx.query["beam"])


def _quiet(ctx: RunContext) -> RunContext:
    """The same context without progress output and with separate notes."""
    return replace(ctx, reporter=Reporter(), notes={})
