"""Training of a dual encoder on hard negatives: labels or documents near each document under the current encoder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.dense.index import LabelIndex
from xmcbench.encoders.encoder import Rows, shuffled
from xmcbench.encoders.weights import Arrays, put_weights, weights_of
from xmcbench.methods.ance.dual import DualEncoder
from xmcbench.methods.ance.steps import loss_of, make_step, neighbouring
from xmcbench.methods.training import EpochState, Loop
from xmcbench.tables.optim import Optimisers, warm_then_linear

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.methods.ance.params import Settled

NAME = "dual encoder"
HINT = "Lower the learning rates or raise the temperature; look for features that are not finite."
CLUSTER_SIZE = 32  # documents per cluster: a sixteenth of a batch of 512, so that a batch stays mixed


@dataclass
class Mined:
    """The result of the last refresh, and the total cost of all refreshes.

    Attributes
    ----------
    labels : (N, pool) int32 nearest labels of each document, or None before the first refresh.
    clusters : (N,) int32 id of the cluster of near documents that each document is in, or None.
    times, seconds, embedding : number of refreshes, their seconds, and the seconds of these for embedding.
    """

    labels: NDArray[np.int32] | None = None
    clusters: NDArray[np.int32] | None = None
    times: int = 0
    seconds: float = 0.0
    embedding: float = 0.0

    def refresh(
        self, model: DualEncoder, rows: Rows, seen: NDArray[np.bool_], params: Settled, ctx: RunContext
    ) -> None:
        """Embed all documents, then cluster them or find the nearest labels among those marked in `seen` (L,)."""

        def check(done: int, total: int) -> None:
            ctx.check()

        start = time.perf_counter()
        documents = model.embed_documents(rows, ctx.device, check)
        if params.negatives == "cluster":
            self.embedding += time.perf_counter() - start
            self.clusters = clusters_of(documents, ctx.seed(f"clusters {self.times}"))
        else:
            labels = model.embed_labels(ctx.device, check)
            self.embedding += time.perf_counter() - start
            index = LabelIndex(labels, seen, params.search, ctx.device)
            self.labels = index.search(documents, params.pool, params.ef, ctx.device, check).ids
        self.times += 1
        self.seconds += time.perf_counter() - start


def clusters_of(documents: NDArray[np.float32], seed: int) -> NDArray[np.int32]:
    """(N,) balanced clusters of about `CLUSTER_SIZE` near documents; their number is a power of two."""
    from xmcbench.sparse.clustering import balanced_clusters

    return balanced_clusters(documents, max_leaf=CLUSTER_SIZE, seed=seed)


@dataclass
class Training:
    """A training job; `run` trains `model` in place and resumes from the last checkpoint.

    Attributes
    ----------
    seen : (L,) labels with training rows: only these are mined, since others could only be pushed away.
    history : one entry per epoch.
    labels_seen, refreshed : labels of the current epoch's steps, and seconds of refreshes before the epoch.
    """

    model: DualEncoder
    rows: Rows
    labels: sp.csr_matrix
    params: Settled
    seen: NDArray[np.bool_]
    ctx: RunContext
    mined: Mined = field(default_factory=Mined)
    history: list[Mapping[str, float]] = field(default_factory=list)
    labels_seen: int = 0
    refreshed: float = 0.0

    def __post_init__(self) -> None:
        self.steps = -(-len(self.rows) // self.params.batch)  # per epoch
        rate = partial(warm_then_linear, total=self.params.epochs * self.steps)
        self.loop = Loop(NAME, self.steps, optimisers(self.model, self.params), rate, self.ctx, HINT)

    def run(self) -> None:
        """Train all epochs; random numbers are seeded per step. Diverged if the loss is not finite."""
        self._resume()
        while (epoch := len(self.history)) < self.params.epochs:
            state = self.loop.epoch(
                epoch, self.params.epochs, self._batches(epoch), partial(self._loss, epoch), self._after_step
            )
            self.history.append(
                {
                    "epoch": epoch + 1,
                    "loss": state.mean_loss,
                    "labels a step": round(self.labels_seen / max(self.steps, 1)),
                    "seconds": round(state.seconds, 2),
                    "of them refreshing": round(self.mined.seconds - self.refreshed, 2),
                }
            )
            self.labels_seen, self.refreshed = 0, self.mined.seconds
        self._save()

    def _loss(self, epoch: int, number: int, documents: NDArray[np.int64]) -> torch.Tensor | None:
        """The loss of one step; None if no document has a label."""
        p, device, purpose = self.params, self.ctx.device, f"{NAME}/epoch {epoch}/step {number}"
        if p.negatives == "ance" and self._due(epoch, number):
            self._refresh()
        step = make_step(documents, self.labels, p.positives, self.mined.labels, p.hard, self.ctx.rng(purpose))
        self.labels_seen += len(step.labels)
        if not len(step.rows):
            return None
        generator = torch.Generator(device).manual_seed(self.ctx.seed(purpose))
        embedded = self.model.documents(self.rows.batch(step.documents, device), p.dropout, generator)
        labels = self.model.label_embeddings(step.labels, device, p.dropout, generator)
        z = embedded @ labels.T * (1.0 if p.loss == "triplet" else 1.0 / p.temperature)
        rows, columns = torch.from_numpy(step.rows).to(device), torch.from_numpy(step.columns).to(device)
        return loss_of(z, rows, columns, p.loss, p.margin, p.hardest)

    def _after_step(self) -> None:
        if self.loop.due():
            self._save()

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The documents of each step of an epoch; a resumed run gets the same ones."""
        params, rng = self.params, self.ctx.rng(f"{NAME}/batches {epoch}")
        if params.negatives != "cluster" or epoch < params.warm_up:
            return shuffled(self.rows.lengths, params.batch, rng)
        if self.mined.clusters is None or (self.loop.state.steps == 0 and self._due(epoch, 0)):
            self._refresh()
        assert self.mined.clusters is not None
        return neighbouring(self.mined.clusters, params.batch, rng)

    def _due(self, epoch: int, number: int) -> bool:
        """Whether to mine before this step: from epoch `warm_up` on, every `refresh` steps.

        Clusters determine the batches of a whole epoch, so they are only refreshed at its start.
        """
        steps = self.steps
        steps_since_warm_up, interval = (epoch - self.params.warm_up) * steps + number, self.params.refresh or 2 * steps
        if self.params.negatives == "cluster":
            return number == 0 and steps_since_warm_up % interval < steps
        return steps_since_warm_up >= 0 and steps_since_warm_up % interval == 0

    def _refresh(self) -> None:
        self.mined.refresh(self.model, self.rows, self.seen, self.params, self.ctx)

    def cost(self) -> dict[str, float]:
        """The cost of all refreshes, for the record."""
        mined, seconds = self.mined, sum(entry["seconds"] for entry in self.history)
        share = mined.seconds / seconds if seconds else 0.0
        cost = {"times": mined.times, "seconds": round(mined.seconds, 2), "embedding": round(mined.embedding, 2)}
        return cost | {"share of training": round(share, 3)}

    def _save(self) -> None:
        mined = vars(self.mined)
        arrays: Arrays = {name: mined[name] for name in ("labels", "clusters") if mined[name] is not None}
        groups = {"weight": weights_of(self.model), "optimiser": self.loop.optimiser.state(), "mined": arrays}
        meta = {name: value for name, value in mined.items() if name not in ("labels", "clusters")}
        self.loop.save(
            groups,
            {
                "history": self.history,
                "mined": meta,
                "epoch": asdict(self.loop.state),
                "labels_seen": self.labels_seen,
                "refreshed": self.refreshed,
            },
        )

    def _resume(self) -> None:
        checkpoint = self.loop.load()
        if checkpoint is None:
            return
        groups, meta = checkpoint
        put_weights(self.model, groups["weight"])
        self.loop.optimiser.restore(groups["optimiser"])
        mined = groups.get("mined", {})
        self.mined = Mined(mined.get("labels"), mined.get("clusters"), **meta["mined"])
        self.loop.state = EpochState(**meta["epoch"])
        self.history, self.labels_seen, self.refreshed = meta["history"], meta["labels_seen"], meta["refreshed"]


def optimisers(model: DualEncoder, params: Settled) -> Optimisers:
    """Row-wise AdamW for tables, torch's AdamW for other parameters; no decay on biases and norms."""
    tables = [(table, params.table_rate) for table in model.tables()]
    table_ids = {id(table) for table, _ in tables}
    rest = [p for p in model.parameters() if id(p) not in table_ids and p.requires_grad and p.numel()]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "lr": params.rate, "weight_decay": params.decay},
        {"params": [p for p in rest if p.ndim < 2], "lr": params.rate, "weight_decay": 0.0},
    ]
    return Optimisers(tables, groups, params.decay)
