"""The way from training rows to a model: cluster, stage 1, graph, stage 2."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench.method import TrainData
from xmcbench.sparse.clustering import balanced_clusters, label_centroids
from xmcbench_elias.batches import make_batch
from xmcbench_elias.encoder import BowEncoder
from xmcbench_elias.graph import clustering_rows, graph_rows
from xmcbench_elias.model import EliasModel, log_cluster_scores
from xmcbench_elias.params import EliasParams, Sizes, settled, sizes
from xmcbench_elias.step import teacher_forced
from xmcbench_elias.train import Progress, Stage

if TYPE_CHECKING:
    from xmcbench.context import RunContext

ROWS = 1024  # at a time, while the graph is counted


def fit(train: TrainData, ctx: RunContext, params: EliasParams) -> EliasModel:
    """A trained model on `ctx.device`."""
    assert train.features is not None
    params = settled(params, train.n_labels)
    size = sizes(params, train.n_labels)
    ctx.note("settings", {**asdict(params), **asdict(size)})
    with ctx.phase("cluster"):
        clusters = _clusters(train, ctx, size)
    n_features = int(train.features.shape[1])
    model = build(n_features, train.n_labels, clustering_rows(clusters, size.clusters), params, ctx.seed("weights"))
    model.to(ctx.device)
    with ctx.phase("stage 1"):
        # Every path counts: a true label whose cluster scores low yet would be cut, and with it what it could teach.
        every = replace(size, shortlist=train.n_labels)
        first = Stage("stage 1", params.stage1_epochs, 1.0, model, train, params, every, ctx).run()
    rows = with_carved_rows(train, ctx)
    with ctx.phase("graph"):
        entries, counts = _graph(model, rows, clusters, ctx, params, size)
    start_stage_2(model, entries, counts, ctx.seed("stage 2"))
    select = rows is train
    with ctx.phase("stage 2"):
        second = Stage("stage 2", params.stage2_epochs, params.stage2_rate, model, rows, params, size, ctx, select)
        _tell(first, second.run(), select, model, ctx)
    return model


def with_carved_rows(train: TrainData, ctx: RunContext) -> TrainData:
    """The training rows with those the harness carved from them for stage 1's selection; official ones stay out.

    A label may have no other row than a carved one. What they cost is the selection of stage 2's epoch: it is the
    last of a fixed number, whose learning rate has come down to zero.
    """
    held = ctx.validation
    if held is None or not ctx.validation_is_carved:
        return train
    features, labels = sp.vstack([train.features, held.features]), sp.vstack([train.labels, held.labels])
    return TrainData(sp.csr_matrix(features), None, None, train.n_labels, sp.csr_matrix(labels))


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


def rebuild(weights: dict[str, NDArray[Any]], params: EliasParams) -> EliasModel:
    """The model whose `state_dict` these weights are."""
    n_features, n_labels = len(weights["encoder.embed"]), len(weights["label_weight"])
    model = build(n_features, n_labels, weights["entries"], settled(params, n_labels), 0)
    if "adjacency" in weights:
        model.adjacency = torch.nn.Parameter(torch.from_numpy(weights["adjacency"]))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model


def _clusters(train: TrainData, ctx: RunContext, size: Sizes) -> NDArray[np.int32]:
    """(L,) int32, from label centroids."""
    kept = ctx.checkpoints.load("clusters")
    if kept is not None:
        return kept[0]["clusters"]
    clusters = balanced_clusters(
        label_centroids(train.features, train.labels),
        n_clusters=size.clusters,
        seed=ctx.seed("cluster"),
        progress=ctx.progress,
    )
    ctx.checkpoints.save("clusters", {"clusters": clusters})
    return clusters


def _graph(
    model: EliasModel, train: TrainData, clusters: NDArray[np.int32], ctx: RunContext, params: EliasParams, size: Sizes
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels of each cluster's row and their counts Yᵀ M, M the scores of what training rows search now."""
    kept = ctx.checkpoints.load("graph")
    if kept is not None:
        return kept[0]["entries"], kept[0]["counts"]
    assert train.features is not None
    generator = torch.Generator(ctx.device).manual_seed(ctx.seed("graph"))
    owners = model.owners()
    rows, found, scores = [], [], []
    for start in range(0, train.n_rows, ROWS):
        batch = make_batch(train.features, train.labels, slice(start, start + ROWS), ctx.device)
        with torch.no_grad():
            logits = model.cluster_logits(model.encoder(batch))
            beam = teacher_forced(logits, batch, owners, size.beam, params.extra, generator)
            scores.append(log_cluster_scores(logits, model.alpha).gather(1, beam).exp().cpu().numpy().ravel())
        found.append(beam.cpu().numpy().ravel())
        rows.append(np.repeat(np.arange(start, start + batch.n_rows), beam.shape[1]))
        ctx.progress(start + batch.n_rows, train.n_rows)
    places = np.concatenate(rows), np.concatenate(found)
    visits = sp.csr_matrix((np.concatenate(scores), places), shape=(train.n_rows, size.clusters))
    entries, counts = graph_rows(visits, train.labels, clusters, size.kappa)
    ctx.checkpoints.save("graph", {"entries": entries, "counts": counts})
    return entries, counts


def _tell(first: Progress, second: Progress, select: bool, model: EliasModel, ctx: RunContext) -> None:
    """Put selection and epochs on record."""
    ctx.note("epochs", first.history + second.history)
    ctx.note("paths per label", round(float(model.filled.sum()) / model.n_labels, 2))
    if ctx.validation is not None:
        ctx.selected(
            what=f"epoch {first.best_epoch} of stage 1, epoch {second.best_epoch} of stage 2",
            by="nDCG@5 on the validation rows" + ("" if select else ", stage 1 alone; stage 2 learns from them too"),
            tried=len(first.history) + (len(second.history) if select else 0),
        )
