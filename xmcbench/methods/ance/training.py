"""Training of a dual encoder: steps, refreshes of hard negatives, and checkpoints from which a killed run resumes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.encoders.encoder import Rows, shuffled
from xmcbench.errors import Diverged
from xmcbench.methods.ance.dual import DualEncoder
from xmcbench.methods.ance.losses import loss_of
from xmcbench.methods.ance.mining import Mined
from xmcbench.methods.ance.steps import Step, make_step, neighbouring
from xmcbench.tables.optim import Optimisers, warm_then_linear

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.methods.ance.params import Settled

CHECKPOINT_EVERY = 60.0  # seconds between checkpoints
NAME = "dual encoder"


@dataclass
class EpochState:
    """Progress of the current epoch: steps done, sums of losses and labels, total seconds, and seconds of refreshes."""

    steps: int = 0
    loss: float = 0.0
    labels: int = 0
    seconds: float = 0.0
    refreshing: float = 0.0


@dataclass
class Training:
    """A training job; `run` trains `model` in place and resumes from the last checkpoint.

    `seen` (L,) marks the labels with training rows: only these are mined, since others could only be pushed away.
    `history` has one entry per epoch. Random numbers are seeded per step, so a resumed run gives the same result as an
    uninterrupted one. `saved` is the time of the last checkpoint.
    """

    model: DualEncoder
    rows: Rows
    labels: sp.csr_matrix
    params: Settled
    seen: NDArray[np.bool_]
    ctx: RunContext
    mined: Mined = field(default_factory=Mined)
    history: list[dict[str, Any]] = field(default_factory=list)
    epoch_state: EpochState = field(default_factory=EpochState)
    saved: float = field(default_factory=time.monotonic)

    def run(self) -> None:
        """Train all epochs.

        Raises
        ------
        Diverged : the loss is not finite.
        """
        optimiser = optimisers(self.model, self.params)
        self._resume(optimiser)
        while len(self.history) < self.params.epochs:
            self._train_epoch(len(self.history), optimiser)
        self._save(optimiser)

    def _train_epoch(self, epoch: int, optimiser: Optimisers) -> None:
        """Train on every row once, skipping steps that are already done; append the epoch to the history."""
        params, ctx, steps, state = self.params, self.ctx, self.steps, self.epoch_state
        start, refreshed_before = time.perf_counter() - state.seconds, self.mined.cost["seconds"] - state.refreshing
        mean_loss = state.loss / max(state.steps, 1)
        for number, documents in enumerate(self._batches(epoch)):
            if number < state.steps:
                continue
            if params.negatives == "ance" and self._due(epoch, number):
                self._refresh()
            purpose = f"{NAME}/epoch {epoch}/step {number}"
            step = make_step(documents, self.labels, params.positives, self.mined.labels, params.hard, ctx.rng(purpose))
            if len(step.rows):
                generator = torch.Generator(ctx.device).manual_seed(ctx.seed(purpose))
                loss = step_loss(self.model, self.rows, step, params, ctx.device, generator)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step(warm_then_linear(epoch * steps + number, params.epochs * steps))
                state.loss += float(loss.detach())
            state.steps, state.labels = number + 1, state.labels + len(step.labels)
            state.seconds, state.refreshing = time.perf_counter() - start, self.mined.cost["seconds"] - refreshed_before
            mean_loss = state.loss / state.steps
            if not np.isfinite(mean_loss):
                raise Diverged(f"{NAME}, epoch {epoch + 1}, step {number + 1}: the loss is {mean_loss}", HINT)
            note = f"epoch {epoch + 1}/{params.epochs} loss {mean_loss:.4f}"
            ctx.progress(epoch + state.steps / steps, params.epochs, note)
            if time.monotonic() - self.saved > CHECKPOINT_EVERY:
                self._save(optimiser)
        optimiser.settle()
        self.history.append(
            {"epoch": epoch + 1, "loss": mean_loss, "labels a step": round(state.labels / max(steps, 1))}
        )
        self.history[-1] |= {"seconds": round(state.seconds, 2), "of them refreshing": round(state.refreshing, 2)}
        self.epoch_state = EpochState()

    def _batches(self, epoch: int) -> Iterator[NDArray[np.int64]]:
        """The documents of each step of an epoch; a resumed run gets the same ones."""
        params, rng = self.params, self.ctx.rng(f"{NAME}/batches {epoch}")
        if params.negatives != "cluster" or epoch < params.warm_up:
            return shuffled(self.rows.lengths, params.batch, rng)
        if self.mined.clusters is None or (self.epoch_state.steps == 0 and self._due(epoch, 0)):
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

    @property
    def steps(self) -> int:
        """Number of steps per epoch."""
        return -(-len(self.rows) // self.params.batch)

    def cost(self) -> dict[str, Any]:
        """The cost of all refreshes, for the record."""
        cost, seconds = self.mined.cost, sum(entry["seconds"] for entry in self.history)
        share = cost["seconds"] / seconds if seconds else 0.0
        return {name: round(value, 2) for name, value in cost.items()} | {"share of training": round(share, 3)}

    def _save(self, optimiser: Optimisers) -> None:
        weights = {name: value.detach().cpu().numpy() for name, value in self.model.state_dict().items()}
        parts = {"weight": weights, "optimiser": optimiser.state(), "mined": self.mined.arrays()}
        arrays = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
        meta = {"history": self.history, "cost": self.mined.cost, "now": vars(self.epoch_state)}
        self.ctx.checkpoints.save(NAME, arrays, meta)
        self.saved = time.monotonic()

    def _resume(self, optimiser: Optimisers) -> None:
        checkpoint = self.ctx.checkpoints.load(NAME)
        if checkpoint is None:
            return
        parts: dict[str, dict[str, NDArray[Any]]] = {"weight": {}, "optimiser": {}, "mined": {}}
        for key, value in checkpoint[0].items():
            part, _, name = key.partition("/")
            parts[part][name] = value
        self.model.load_state_dict({name: torch.from_numpy(value) for name, value in parts["weight"].items()})
        optimiser.restore(parts["optimiser"])
        self.mined = Mined(**parts["mined"], cost=checkpoint[1]["cost"])
        self.history, self.epoch_state = checkpoint[1]["history"], EpochState(**checkpoint[1]["now"])


HINT = "Lower the learning rates or raise the temperature; look for features that are not finite."


def step_loss(
    model: DualEncoder, rows: Rows, step: Step, params: Settled, device: str, generator: torch.Generator
) -> torch.Tensor:
    """The loss of one step, with gradients."""
    documents = model.documents(rows.batch(step.documents, device), params.dropout, generator)
    labels = model.label_embeddings(step.labels, device, params.dropout, generator)
    scale = 1.0 if params.loss == "triplet" else 1.0 / params.temperature
    places = torch.from_numpy(step.rows).to(device), torch.from_numpy(step.columns).to(device)
    return loss_of(documents @ labels.T * scale, *places, params.loss, params.margin, params.hardest)


def optimisers(model: DualEncoder, params: Settled) -> Optimisers:
    """Row-wise AdamW for tables, torch's AdamW for other parameters; no decay on biases and norms."""
    tables = [(table, params.table_rate) for table in model.tables()]
    table_ids = {id(table) for table, _ in tables}
    rest = [p for p in model.parameters() if id(p) not in table_ids and p.requires_grad and p.numel()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim > 1], "lr": params.rate, "weight_decay": params.decay},
        {"params": [p for p in rest if p.ndim < 2], "lr": params.rate, "weight_decay": 0.0},
    ]
    return Optimisers(tables, groups, params.decay)
