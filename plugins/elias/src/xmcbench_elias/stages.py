"""The way from training rows to one model: cluster, stage 1, re-cluster, graph, stage 2."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench.method import TrainData
from xmcbench.sparse.clustering import balanced_clusters, label_centroids
from xmcbench_elias.encoder import BowEncoder
from xmcbench_elias.graph import clustering_rows, learned_rows, random_rows
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import EliasParams, Sizes, settled
from xmcbench_elias.recluster import learned_centroids
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
    """What is trained, and under which name: phases, checkpoints and seeds of one model carry its `tag`."""

    train: TrainData
    params: EliasParams  # settled
    size: Sizes
    ctx: RunContext
    tag: str = ""

    def name(self, stage: str) -> str:
        return f"{stage}{self.tag}"


def train_model(plan: Plan, rows: TrainData) -> Both:
    """Both stages, the second on `rows`. Whatever a killed run has finished comes from its checkpoints."""
    model, clusters, first = stage_1(plan)
    before = {name: value.cpu().numpy().copy() for name, value in model.state_dict().items()}
    second = stage_2(plan, model, clusters, rows)
    return Both(model, before, clusters, [first, second])


def held_out_model(plan: Plan, both: Both) -> Both:
    """The same with a stage 2 that has not seen the carved rows: what they can be used to choose by."""
    model = rebuild(both.first, plan.params).to(plan.ctx.device)
    second = stage_2(replace(plan, tag=f"{plan.tag}, held out"), model, both.clusters, plan.train)
    return Both(model, both.first, both.clusters, [second])


def stage_2(plan: Plan, model: EliasModel, clusters: NDArray[np.int32], rows: TrainData) -> Progress:
    """Take a model of stage 1 through stage 2, in place; `clusters` (L,) are its index, `rows` it learns from."""
    ctx, params, size = plan.ctx, plan.params, plan.size
    if params.index in ("graph", "random"):
        with ctx.phase(plan.name("graph")):
            found = learned_rows if params.index == "graph" else random_rows
            entries, counts = _kept(plan, "graph", lambda: found(model, rows, clusters, ctx, params, size))
        start_stage_2(model, entries, counts, ctx.seed(plan.name("stage 2")))
    else:
        model.fresh_labels(torch.Generator().manual_seed(ctx.seed(plan.name("stage 2"))))
        size = replace(size, shortlist=plan.train.n_labels)
    with ctx.phase(plan.name("stage 2")):
        name, select = plan.name("stage 2"), rows is plan.train
        stage = Stage(
            name, params.stage2_epochs, params.stage2_rate, model, rows, params, size, ctx, select, params.average
        )
        return stage.run()


def stage_1(plan: Plan) -> tuple[EliasModel, NDArray[np.int32], Progress]:
    """A model trained with the clustering as its index, the clusters (L,), and how it went.

    With `recluster`, labels are clustered again by what the encoder has learned so far, and stage 1 starts anew.
    """
    ctx, train = plan.ctx, plan.train
    with ctx.phase(plan.name("cluster")):
        clusters = _kept_clusters(plan, "clusters", lambda: label_centroids(train.features, train.labels))
    if plan.params.recluster:
        model = _fresh(plan, clusters)
        with ctx.phase(plan.name("stage 1, first clusters")):
            _train_stage_1(plan, "stage 1, first clusters", plan.params.recluster, model)
        with ctx.phase(plan.name("re-cluster")):
            clusters = _kept_clusters(plan, "clusters again", lambda: learned_centroids(model, train, ctx))
    model = _fresh(plan, clusters)
    with ctx.phase(plan.name("stage 1")):
        progress = _train_stage_1(plan, "stage 1", plan.params.stage1_epochs, model)
    return model, clusters, progress


def _train_stage_1(plan: Plan, stage: str, epochs: int, model: EliasModel) -> Progress:
    # Every path counts: a true label whose cluster scores low yet would be cut, and with it what it could teach.
    every = replace(plan.size, shortlist=plan.train.n_labels)
    return Stage(plan.name(stage), epochs, 1.0, model, plan.train, plan.params, every, plan.ctx).run()


def with_carved_rows(train: TrainData, ctx: RunContext) -> TrainData:
    """The training rows with those the harness carved from them; official development rows stay out.

    A label may have no other row than a carved one. What they cost is the selection of stage 2's epoch: it is the
    last of a fixed number, whose learning rate has come down to zero. The blend is chosen on a `held_out_model`.
    """
    held = ctx.validation
    if held is None or not ctx.validation_is_carved:
        return train
    features, labels = sp.vstack([train.features, held.features]), sp.vstack([train.labels, held.labels])
    return TrainData(sp.csr_matrix(features), None, None, train.n_labels, sp.csr_matrix(labels))


def _fresh(plan: Plan, clusters: NDArray[np.int32]) -> EliasModel:
    assert plan.train.features is not None
    n_features, n_labels = int(plan.train.features.shape[1]), plan.train.n_labels
    entries = clustering_rows(clusters, plan.size.clusters)
    return build(n_features, n_labels, entries, plan.params, plan.ctx.seed(plan.name("weights"))).to(plan.ctx.device)


def build(n_features: int, n_labels: int, entries: NDArray[np.int64], params: EliasParams, seed: int) -> EliasModel:
    """A model with fresh weights, on the CPU, so that they do not depend on the device."""
    generator = torch.Generator().manual_seed(seed)
    encoder = BowEncoder(n_features, params.width, generator)
    return EliasModel(encoder, torch.from_numpy(entries), n_labels, params.alpha, params.beta_share, generator)


def start_stage_2(model: EliasModel, entries: NDArray[np.int64], counts: NDArray[np.float32], seed: int) -> None:
    """Put the graph in place of the clustering; encoder and cluster classifier stay, all else starts anew.

    The adjacency's logits start at log(count + 1), and the label classifier is fresh as in the paper: the best of
    the four combinations with random logits and with stage 1's label classifier (see README).
    """
    device = model.entries.device
    model.fresh_labels(torch.Generator().manual_seed(seed))
    model.entries = torch.from_numpy(entries).to(device)
    model.adjacency = torch.nn.Parameter(torch.from_numpy(np.log1p(counts)).to(device))


def rebuild(weights: Weights, params: EliasParams) -> EliasModel:
    """The model whose `state_dict` these weights are."""
    n_features, n_labels = len(weights["encoder.embed"]), len(weights["label_weight"])
    model = build(n_features, n_labels, weights["entries"], settled(params, n_labels), 0)
    if "adjacency" in weights:
        model.adjacency = torch.nn.Parameter(torch.from_numpy(weights["adjacency"]))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


def _kept_clusters(plan: Plan, name: str, centroids: Any) -> NDArray[np.int32]:
    """(L,) int32, from the label centroids that `centroids()` gives."""
    ctx, size = plan.ctx, plan.size
    if size.clusters == 1:
        return np.zeros(plan.train.n_labels, np.int32)
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
