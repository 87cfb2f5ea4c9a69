"""Training of one model: cluster, stage 1, re-cluster, graph, stage 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.encoders.weights import Arrays, grouped
from xmcbench.method import TrainData
from xmcbench.methods.helpers import checkpointed
from xmcbench.sparse.centroids import label_centroids
from xmcbench.sparse.clustering import balanced_clusters
from xmcbench.sparse.csr import Csr
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.sharded import ShardedModel, whole_weights
from xmcbench_elias.network.source import JoinedTexts, PreparedRows, Source
from xmcbench_elias.params import Settled, Sizes
from xmcbench_elias.training.building import build, rebuild, start_labels
from xmcbench_elias.training.dual import FINISH, Dual
from xmcbench_elias.training.graph import clustering_rows, learned_centroids, learned_rows, random_rows
from xmcbench_elias.training.train import Stage, StageHistory


@dataclass
class TrainedModel:
    """One model after both stages, its weights after stage 1, and each stage's history.

    `first` has all labels and is mapped from a file; of several processes, rank 0 alone has it.
    """

    model: EliasModel
    first: Arrays | None
    histories: list[StageHistory]


@dataclass
class Plan:
    """Everything needed to train one model; `tag` is part of the names of its phases, checkpoints and seeds.

    `params` are settled; the model is initialised from `dual` if there is one.
    """

    train: PreparedRows
    validation: PreparedRows | None
    params: Settled
    size: Sizes
    ctx: RunContext
    source: Source
    dual: Dual | None = None
    tag: str = ""

    def name(self, stage: str) -> str:
        return f"{stage}{self.tag}"


def train_model(plan: Plan) -> TrainedModel:
    """Train both stages; finished parts are loaded from checkpoints."""
    model, clusters, first_history = stage_1(plan)
    if isinstance(model, ShardedModel):
        first = whole_weights(model, plan.ctx.folder)
    else:
        checkpoint = plan.ctx.checkpoints.load(plan.name("stage 1"))
        assert checkpoint is not None  # `Stage.run` saved it
        first = grouped(checkpoint[0])["best"]
    second_history = stage_2(plan, model, first, clusters)
    return TrainedModel(model, first, [first_history, second_history])


def whole_model(plan: Plan, model: EliasModel) -> EliasModel | None:
    """The model of all labels; of several processes, a copy in rank 0 alone, mapped from a file."""
    if not isinstance(model, ShardedModel):
        return model
    weights = whole_weights(model, plan.ctx.folder)
    return None if weights is None else rebuild(weights, plan.params, plan.source).to(plan.ctx.device)


def stage_2(plan: Plan, model: EliasModel, first: Arrays | None, clusters: NDArray[np.int32]) -> StageHistory:
    """Train a model of stage 1 through stage 2, in place; `clusters` (L,) are its index, `first` its whole weights.

    Encoder and cluster classifier are trained further, all else is reinitialised: the label classifier as in the
    paper, the graph's logits from counts. Of the four combinations with random logits and stage 1's label classifier
    this is the best (CHOICES.md).
    """
    ctx, params, size, name = plan.ctx, plan.params, plan.size, plan.name("stage 2")

    def rows_of_graph() -> Arrays:
        if params.index == "graph":
            assert first is not None  # this process is the only one, or rank 0
            whole = rebuild(first, params, plan.source).to(ctx.device) if isinstance(model, ShardedModel) else model
            entries, counts = learned_rows(whole, plan.train, clusters, ctx, params, size)
        else:
            entries, counts = random_rows(clusters, ctx, size)
        return {"entries": entries, "counts": counts}

    if params.index in ("graph", "random"):
        with ctx.phase(plan.name("graph")):
            graph = made_once(ctx, plan.name("graph"), rows_of_graph)
        model.put_graph(graph["entries"], graph["counts"])
    else:
        size = replace(size, shortlist=plan.train.data.n_labels)
    with ctx.phase(name):
        start_labels(model, ctx.seed(name), plan.dual)
        schedule = name, params.stage2_epochs, params.stage2_rate
        return Stage(*schedule, model, plan.train, plan.validation, params, size, ctx, params.average).run()


def finish(plan: Plan, model: EliasModel, rows: PreparedRows) -> StageHistory:
    """Train stage 2 for more epochs on all `rows`, in place, since some labels occur only in carved rows.

    Everything that is selected on validation rows has been selected before. The graph does not change; a label that
    only carved rows have is in its own cluster.
    """
    params, size = plan.params, plan.size
    if params.index in ("tree", "none"):
        size = replace(size, shortlist=plan.train.data.n_labels)
    name = plan.name("stage 2, all rows")
    with plan.ctx.phase(name):
        schedule = name, params.finish_epochs, FINISH * params.stage2_rate
        return Stage(*schedule, model, rows, None, params, size, plan.ctx, 0, FINISH).run()


def stage_1(plan: Plan) -> tuple[EliasModel, NDArray[np.int32], StageHistory]:
    """A model trained with the clustering as its index, the clusters (L,), and the history of the stage.

    With `recluster`, labels are clustered again by the trained encoder, and stage 1 restarts.
    """
    ctx, train = plan.ctx, plan.train
    data = train.data
    assert data.features is not None
    width = int(data.features.shape[1])

    def centroids() -> Csr:
        return label_centroids(data.features, data.labels, ctx.folder, ctx.progress)

    with ctx.phase(plan.name("cluster")):
        clusters = _cached_clusters(plan, "clusters", centroids, width)
    if plan.params.recluster:
        model, _ = _train_stage_1(plan, "stage 1, first clusters", plan.params.recluster, clusters)
        width += model.encoder.width
        whole = whole_model(plan, model)

        def learned() -> Csr:
            assert whole is not None  # this process is the only one, or rank 0
            return learned_centroids(whole, train, ctx)

        with ctx.phase(plan.name("re-cluster")):
            clusters = _cached_clusters(plan, "clusters again", learned, width)
    model, history = _train_stage_1(plan, "stage 1", plan.params.stage1_epochs, clusters)
    return model, clusters, history


def _train_stage_1(plan: Plan, stage: str, epochs: int, clusters: NDArray[np.int32]) -> tuple[EliasModel, StageHistory]:
    ctx, params, n_labels, name = plan.ctx, plan.params, plan.train.data.n_labels, plan.name(stage)
    with ctx.phase(name):
        entries = clustering_rows(clusters, plan.size.clusters)
        seed = ctx.seed(plan.name("weights"))
        model = build(plan.source, n_labels, entries, params, seed, plan.dual, ctx.ranks).to(ctx.device)
        # The shortlist has all labels: a true label in a cluster of low score would otherwise be cut from the loss.
        all_labels = replace(plan.size, shortlist=n_labels)
        return model, Stage(name, epochs, 1.0, model, plan.train, plan.validation, params, all_labels, ctx).run()


def with_carved_rows(train: TrainData, ctx: RunContext) -> TrainData:
    """The training rows with the carved validation rows; official validation rows are left out.

    A label may have only carved rows, so in the end every part is trained on all of them.
    """
    validation = ctx.validation
    if validation is None or not ctx.validation_is_carved:
        return train
    features, labels = sp.vstack([train.features, validation.features]), sp.vstack([train.labels, validation.labels])
    texts = None if train.texts is None or validation.texts is None else JoinedTexts(train.texts, validation.texts)
    return TrainData(sp.csr_matrix(features), texts, train.label_texts, train.n_labels, sp.csr_matrix(labels))


def _cached_clusters(plan: Plan, name: str, centroids: Callable[[], Csr], width: int) -> NDArray[np.int32]:
    """(L,) int32 clusters from a checkpoint, or of the label centroids, (L, width), that `centroids()` returns."""
    ctx, size = plan.ctx, plan.size
    if size.clusters == 1:
        return np.zeros(plan.train.data.n_labels, np.int32)

    def clusters() -> Arrays:
        sizes = {"n_clusters": size.clusters, "seed": ctx.seed(plan.name("cluster"))}
        return {"clusters": balanced_clusters(centroids(), width, **sizes, progress=ctx.progress)}

    return made_once(ctx, plan.name(name), clusters)["clusters"]


def made_once(ctx: RunContext, name: str, make: Callable[[], Arrays]) -> Arrays:
    """Arrays from a checkpoint, or those of `make`; of several processes, rank 0 loads or makes them for all."""

    def load_or_make() -> Arrays:
        return checkpointed(ctx.checkpoints, name, make)

    return load_or_make() if ctx.ranks is None else ctx.ranks.arrays(load_or_make)
