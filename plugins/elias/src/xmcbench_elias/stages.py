"""The way from training rows to one model: cluster, stage 1, re-cluster, graph, stage 2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.method import TrainData
from xmcbench.sparse.clustering import balanced_clusters, label_centroids
from xmcbench_elias.building import build, put_graph, start_labels
from xmcbench_elias.dual import FINISH, Dual
from xmcbench_elias.graph import clustering_rows, learned_rows, random_rows
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import Settled, Sizes
from xmcbench_elias.recluster import learned_centroids
from xmcbench_elias.source import Joined, Ready, Source
from xmcbench_elias.train import Progress, Stage, Weights

if TYPE_CHECKING:
    from xmcbench.context import RunContext


@dataclass
class Both:
    """One model after both stages, the weights it had after stage 1, and how each stage went."""

    model: EliasModel
    first: Weights
    progress: list[Progress]


@dataclass
class Plan:
    """What is trained, and under which name: phases, checkpoints and seeds of one model carry its `tag`.

    `held` are the validation rows; `params` are settled; models start from `dual` where there is one.
    """

    train: Ready
    held: Ready | None
    params: Settled
    size: Sizes
    ctx: RunContext
    source: Source
    dual: Dual | None = None
    tag: str = ""

    def name(self, stage: str) -> str:
        return f"{stage}{self.tag}"


def train_model(plan: Plan) -> Both:
    """Both stages. Whatever a killed run has finished comes from its checkpoints."""
    model, clusters, first = stage_1(plan)
    before = {name: value.cpu().numpy().copy() for name, value in model.state_dict().items()}
    second = stage_2(plan, model, clusters)
    return Both(model, before, [first, second])


def stage_2(plan: Plan, model: EliasModel, clusters: NDArray[np.int32]) -> Progress:
    """Take a model of stage 1 through stage 2, in place; `clusters` (L,) are its index.

    Encoder and cluster classifier go on, all else starts anew: the label classifier as in the paper, the graph's
    logits at counts, the best of the four combinations with random logits and stage 1's label classifier (CHOICES.md).
    """
    ctx, params, size, name = plan.ctx, plan.params, plan.size, plan.name("stage 2")
    if params.index in ("graph", "random"):
        with ctx.phase(plan.name("graph")):
            found = learned_rows if params.index == "graph" else random_rows
            entries, counts = _kept(plan, "graph", lambda: found(model, plan.train, clusters, ctx, params, size))
        put_graph(model, entries, counts)
    else:
        size = replace(size, shortlist=model.n_labels)
    with ctx.phase(name):
        start_labels(model, ctx.seed(name), plan.dual)
        how = name, params.stage2_epochs, params.stage2_rate
        return Stage(*how, model, plan.train, plan.held, params, size, ctx, params.average).run()


def finish(plan: Plan, model: EliasModel, rows: Ready) -> Progress:
    """Some epochs more of stage 2 on all `rows`, in place: the carved ones have labels that no other row has.

    What is chosen on validation rows has been chosen by now. The graph stays; a label that only carved rows have is in
    its own cluster.
    """
    params, size = plan.params, plan.size
    if params.index in ("tree", "none"):
        size = replace(size, shortlist=model.n_labels)
    name = plan.name("stage 2, all rows")
    with plan.ctx.phase(name):
        how = name, params.finish_epochs, FINISH * params.stage2_rate
        return Stage(*how, model, rows, None, params, size, plan.ctx, 0, FINISH).run()


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
        seed = ctx.seed(plan.name("weights"))
        model = build(plan.source, n_labels, entries, params, seed, plan.dual).to(ctx.device)
        # Every path counts: a true label whose cluster scores low yet would be cut, and with it what it could teach.
        every = replace(plan.size, shortlist=n_labels)
        return model, Stage(name, epochs, 1.0, model, plan.train, plan.held, params, every, ctx).run()


def with_carved_rows(train: TrainData, ctx: RunContext) -> TrainData:
    """The training rows with those the harness carved from them; official development rows stay out.

    A label may have no other row than a carved one, so in the end every part learns from all of them.
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
