"""The way from training rows to one model: cluster, stage 1, re-cluster, graph, stage 2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.method import TrainData
from xmcbench.sparse.clustering import balanced_clusters, label_centroids
from xmcbench_elias.building import build, put_graph, rebuild, start_labels
from xmcbench_elias.graph import clustering_rows, learned_rows, random_rows
from xmcbench_elias.labels import start_from_texts
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import EliasParams, Sizes
from xmcbench_elias.recluster import learned_centroids
from xmcbench_elias.source import Joined, Ready, Source
from xmcbench_elias.train import Progress, Stage, Weights

if TYPE_CHECKING:
    from xmcbench.context import RunContext


@dataclass
class Both:
    """One model after both stages, weights and clusters (L,) it had after stage 1, and how each stage went."""

    model: EliasModel
    first: Weights
    clusters: NDArray[np.int32]
    progress: list[Progress]


@dataclass
class Plan:
    """What is trained, and under which name: phases, checkpoints and seeds of one model carry its `tag`.

    `held` are the validation rows; `params` are settled.
    """

    train: Ready
    held: Ready | None
    params: EliasParams
    size: Sizes
    ctx: RunContext
    source: Source
    tag: str = ""

    def name(self, stage: str) -> str:
        return f"{stage}{self.tag}"


def train_model(plan: Plan, rows: Ready) -> Both:
    """Both stages, the second on `rows`. Whatever a killed run has finished comes from its checkpoints."""
    model, clusters, first = stage_1(plan)
    before = {name: value.cpu().numpy().copy() for name, value in model.state_dict().items()}
    second = stage_2(plan, model, clusters, rows)
    return Both(model, before, clusters, [first, second])


def held_out_model(plan: Plan, both: Both) -> Both:
    """The same with a stage 2 that has not seen the carved rows: what they can be used to choose by."""
    model = rebuild(both.first, plan.params, plan.source).to(plan.ctx.device)
    second = stage_2(replace(plan, tag=f"{plan.tag}, held out"), model, both.clusters, plan.train)
    return Both(model, both.first, both.clusters, [second])


def stage_2(plan: Plan, model: EliasModel, clusters: NDArray[np.int32], rows: Ready) -> Progress:
    """Take a model of stage 1 through stage 2, in place; `clusters` (L,) are its index, `rows` it learns from.

    Encoder and cluster classifier go on, all else starts anew: the label classifier as in the paper, the graph's
    logits at counts, the best of the four combinations with random logits and stage 1's label classifier (see README).
    """
    ctx, params, size, name = plan.ctx, plan.params, plan.size, plan.name("stage 2")
    if params.index in ("graph", "random"):
        with ctx.phase(plan.name("graph")):
            found = learned_rows if params.index == "graph" else random_rows
            entries, counts = _kept(plan, "graph", lambda: found(model, rows, clusters, ctx, params, size))
        put_graph(model, entries, counts)
    else:
        size = replace(size, shortlist=model.n_labels)
    with ctx.phase(name):
        start_labels(model, plan.source, ctx.seed(name), ctx)
        held = plan.held if rows is plan.train else None  # what it learns from can't select
        how = name, params.stage2_epochs, params.stage2_rate
        return Stage(*how, model, rows, held, params, size, ctx, params.average).run()


def stage_1(plan: Plan) -> tuple[EliasModel, NDArray[np.int32], Progress]:
    """A model trained with the clustering as its index, the clusters (L,), and how it went.

    With `recluster`, labels are clustered again by what the encoder has learned so far, and stage 1 starts anew.
    """
    ctx, train = plan.ctx, plan.train
    with ctx.phase(plan.name("cluster")):
        clusters = _kept_clusters(plan, "clusters", lambda: label_centroids(train.data.features, train.data.labels))
    if plan.params.recluster:
        model, _ = _train_stage_1(plan, "stage 1, first clusters", plan.params.recluster, clusters)
        with ctx.phase(plan.name("re-cluster")):
            clusters = _kept_clusters(plan, "clusters again", lambda: learned_centroids(model, train, ctx))
    model, progress = _train_stage_1(plan, "stage 1", plan.params.stage1_epochs, clusters)
    return model, clusters, progress


def _train_stage_1(plan: Plan, stage: str, epochs: int, clusters: NDArray[np.int32]) -> tuple[EliasModel, Progress]:
    ctx, params, n_labels, name = plan.ctx, plan.params, plan.train.data.n_labels, plan.name(stage)
    with ctx.phase(name):
        entries = clustering_rows(clusters, plan.size.clusters)
        model = build(plan.source, n_labels, entries, params, ctx.seed(plan.name("weights"))).to(ctx.device)
        start_from_texts(model, plan.source.labels, ctx)
        # Every path counts: a true label whose cluster scores low yet would be cut, and with it what it could teach.
        every = replace(plan.size, shortlist=n_labels)
        return model, Stage(name, epochs, 1.0, model, plan.train, plan.held, params, every, ctx).run()


def with_carved_rows(train: TrainData, ctx: RunContext) -> TrainData:
    """The training rows with those the harness carved from them; official development rows stay out.

    A label may have no other row than a carved one. What they cost is the selection of stage 2's epoch: it is the
    last of a fixed number, whose learning rate has come down to zero. The blend is chosen on a `held_out_model`.
    """
    held = ctx.validation
    if held is None or not ctx.validation_is_carved:
        return train
    features, labels = sp.vstack([train.features, held.features]), sp.vstack([train.labels, held.labels])
    texts = None if train.texts is None or held.texts is None else Joined(train.texts, held.texts)
    return TrainData(sp.csr_matrix(features), texts, train.label_texts, train.n_labels, sp.csr_matrix(labels))


def _kept_clusters(plan: Plan, name: str, centroids: Any) -> NDArray[np.int32]:
    """(L,) int32, from the label centroids that `centroids()` gives."""
    ctx, size = plan.ctx, plan.size
    if size.clusters == 1:
        return np.zeros(plan.train.data.n_labels, np.int32)
    kept = ctx.checkpoints.load(plan.name(name))
    if kept is not None:
        return kept[0]["clusters"]
    seed = ctx.seed(plan.name("cluster"))
    clusters = balanced_clusters(centroids(), n_clusters=size.clusters, seed=seed, progress=ctx.progress)
    ctx.checkpoints.save(plan.name(name), {"clusters": clusters})
    return clusters


def _kept(plan: Plan, name: str, make: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Entries and counts of the graph, from a checkpoint where there is one."""
    kept = plan.ctx.checkpoints.load(plan.name(name))
    if kept is not None:
        return kept[0]["entries"], kept[0]["counts"]
    entries, counts = make()
    plan.ctx.checkpoints.save(plan.name(name), {"entries": entries, "counts": counts})
    return entries, counts
