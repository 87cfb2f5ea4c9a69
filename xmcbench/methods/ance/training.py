"""Training of a dual encoder on hard negatives: labels or documents near each document under the current encoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from xmcbench.context import RunContext
from xmcbench.dense.index import LabelIndex
from xmcbench.encoders.encoder import Rows, shuffled
from xmcbench.encoders.weights import Arrays, put_weights, weights_of
from xmcbench.methods.ance.dual import DualEncoder
from xmcbench.methods.ance.params import Settled
from xmcbench.methods.ance.steps import loss_of, make_step, neighbouring
from xmcbench.methods.training import EpochState, Loop
from xmcbench.sparse.clustering import balanced_clusters
from xmcbench.sparse.csr import Csr, unit_rows
from xmcbench.tables.optim import Optimisers, warm_then_linear

NAME = "dual encoder"
HINT = "Lower the learning rates or raise the temperature; look for features that are not finite."
CLUSTER_SIZE = 32  # documents per cluster: a sixteenth of a batch of 512, so that a batch stays mixed


@dataclass
class State:
    """Progress of a training, part of its checkpoints.

    Attributes
    ----------
    history : one entry per epoch. labels, refreshed : number of labels in the current epoch's steps, and seconds of
        refreshes before this epoch.
    times, seconds, embedding : number of refreshes, their seconds, and the seconds of these for embedding.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    labels: int = 0
    refreshed: float = 0.0
    times: int = 0
    seconds: float = 0.0
    embedding: float = 0.0


@dataclass
class Training:
    """A training job; `run` trains `model` in place and resumes from the last checkpoint.

    Attributes
    ----------
    seen : (L,) labels with training rows: only these are mined, since others could only be pushed away.
    pools : (N, pool) int32 nearest labels of each document at the last refresh, or None.
    clusters : (N,) int32 id of the cluster of near documents that each document was in at the last refresh, or None.
    """

    model: DualEncoder
    rows: Rows
    labels: sp.csr_matrix
    params: Settled
    seen: NDArray[np.bool_]
    ctx: RunContext
    state: State = field(default_factory=State)
    pools: NDArray[np.int32] | None = None
    clusters: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        self.steps = -(-len(self.rows) // self.params.batch)  # per epoch
        rate = partial(warm_then_linear, total=self.params.epochs * self.steps)
        self.loop = Loop(NAME, self.steps, optimisers(self.model, self.params), rate, self.ctx, HINT)

    def run(self) -> None:
        """Train all epochs; random numbers are seeded per step. Diverged if the loss is not finite."""
        self._resume()
        epochs = self.params.epochs
        while (epoch := len(self.state.history)) < epochs:
            done = self.loop.epoch(epoch, epochs, self._batches(epoch), partial(self._loss, epoch), self._save_if_due)
            state = self.state
            state.history.append(
                {
                    "epoch": epoch + 1,
                    "loss": done.mean_loss,
                    "labels a step": round(state.labels / max(self.steps, 1)),
                    "seconds": round(done.seconds, 2),
                    "of them refreshing": round(state.seconds - state.refreshed, 2),
                }
            )
            state.labels, state.refreshed = 0, state.seconds
        self._save()

    def _loss(self, epoch: int, number: int, documents: NDArray[np.int64]) -> torch.Tensor | None:
        """The loss of one step; None if no document has a label."""
        p, device, purpose = self.params, self.ctx.device, f"{NAME}/epoch {epoch}/step {number}"
        if p.negatives == "ance" and self._due(epoch, number):
            self._refresh()
        step = make_step(documents, self.labels, p.positives, self.pools, p.hard, self.ctx.rng(purpose))
        self.state.labels += len(step.labels)
        if not len(step.rows):
            return None
        generator = torch.Generator(device).manual_seed(self.ctx.seed(purpose))
        embedded = self.model.documents(self.rows.batch(step.documents, device), p.dropout, generator)
        labels = self.model.label_embeddings(step.labels, device, p.dropout, generator)
        z = embedded @ labels.T * (1.0 if p.loss == "triplet" else 1.0 / p.temperature)
        rows, columns = torch.from_numpy(step.rows).to(device), torch.from_numpy(step.columns).to(device)
        return loss_of(z, rows, columns, p.loss, p.margin, p.hardest)

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The documents of each step of an epoch; a resumed run gets the same ones."""
        params, rng = self.params, self.ctx.rng(f"{NAME}/batches {epoch}")
        if params.negatives != "cluster" or epoch < params.warm_up:
            return shuffled(self.rows.lengths, params.batch, rng)
        if self.clusters is None or (self.loop.state.steps == 0 and self._due(epoch, 0)):
            self._refresh()
        assert self.clusters is not None
        return neighbouring(self.clusters, params.batch, rng)

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
        """Embed all documents, then cluster them or find the nearest labels of each."""

        def check(done: int, total: int) -> None:
            self.ctx.check()

        start, state, params, device = self.ctx.clock(), self.state, self.params, self.ctx.device
        documents = self.model.embed_documents(self.rows, device, check)
        if params.negatives == "cluster":
            state.embedding += self.ctx.clock() - start
            seed = self.ctx.seed(f"clusters {state.times}")
            rows = Csr.of(unit_rows(documents))
            self.clusters = balanced_clusters(rows, documents.shape[1], max_leaf=CLUSTER_SIZE, seed=seed)
        else:
            labels = self.model.embed_labels(device, check)
            state.embedding += self.ctx.clock() - start
            index = LabelIndex.of(labels, self.seen, params.search, device)
            self.pools = index.search(documents, params.pool, params.ef, device, check).ids
        state.times += 1
        state.seconds += self.ctx.clock() - start

    def cost(self) -> dict[str, float]:
        """The cost of all refreshes, for the record."""
        state, seconds = self.state, sum(entry["seconds"] for entry in self.state.history)
        share = state.seconds / seconds if seconds else 0.0
        cost = {"times": state.times, "seconds": round(state.seconds, 2), "embedding": round(state.embedding, 2)}
        return cost | {"share of training": round(share, 3)}

    def _save(self) -> None:
        arrays = {"pools": self.pools, "clusters": self.clusters}
        mined: Arrays = {name: array for name, array in arrays.items() if array is not None}
        groups = {"weight": weights_of(self.model), "optimiser": self.loop.optimiser.state(), "mined": mined}
        self.loop.save(groups, {"state": asdict(self.state), "epoch": asdict(self.loop.state)})

    def _save_if_due(self) -> None:
        if self.loop.due():
            self._save()

    def _resume(self) -> None:
        if (checkpoint := self.loop.load()) is None:
            return
        groups, meta = checkpoint
        put_weights(self.model, groups["weight"])
        self.loop.optimiser.restore(groups["optimiser"])
        self.pools, self.clusters = (groups.get("mined", {}).get(name) for name in ("pools", "clusters"))
        self.state, self.loop.state = State(**meta["state"]), EpochState(**meta["epoch"])


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
