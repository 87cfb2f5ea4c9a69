"""Training a dual encoder: steps, refreshes of its hard negatives, checkpoints a killed run goes on from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.dense.dual import DualEncoder
from xmcbench.dense.losses import loss_of
from xmcbench.dense.mining import Mined
from xmcbench.dense.steps import Step, make_step, neighbouring
from xmcbench.encoders.encoder import Rows, shuffled
from xmcbench.errors import Diverged
from xmcbench.tables.optim import Optimisers, warm_then_linear

if TYPE_CHECKING:
    import scipy.sparse as sp

    from xmcbench.context import RunContext
    from xmcbench.methods.anceparams import Settled

SHOW_EVERY = 16  # steps between looks at the mean loss, which also notice that it is not finite
CHECKPOINT_EVERY = 60.0  # seconds of training a kill may cost, beside the epoch under way
NAME = "dual encoder"


@dataclass
class Training:
    """What is trained, on what; `run` does it in place and goes on from the last checkpoint.

    `seen` (L,) are the labels with training rows: only they are mined, since others could only be pushed away.
    `history` has one entry an epoch. Each epoch has random numbers of its own, so a run that was killed ends as one
    that was not.
    """

    model: DualEncoder
    rows: Rows
    labels: sp.csr_matrix
    params: Settled
    seen: NDArray[np.bool_]
    ctx: RunContext
    mined: Mined = field(default_factory=Mined)
    history: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> None:
        """All epochs.

        Raises
        ------
        Diverged : the loss is not finite.
        """
        optimiser = optimisers(self.model, self.params)
        self._resume(optimiser)
        saved = time.monotonic()
        while len(self.history) < self.params.epochs:
            self._one_epoch(len(self.history), optimiser)
            if time.monotonic() - saved > CHECKPOINT_EVERY or len(self.history) == self.params.epochs:
                self._save(optimiser)
                saved = time.monotonic()

    def _one_epoch(self, epoch: int, optimiser: Optimisers) -> None:
        params, ctx = self.params, self.ctx
        generator = torch.Generator(ctx.device).manual_seed(ctx.seed(f"{NAME}/epoch {epoch}"))
        rng = ctx.rng(f"{NAME}/steps {epoch}")
        start, spent = time.perf_counter(), self.mined.cost["seconds"]
        steps = self.steps
        total = torch.zeros((), device=ctx.device)
        shown, seen = 0.0, 0
        for number, documents in enumerate(self._batches(epoch, rng)):
            if params.negatives == "ance" and self._due(epoch, number):
                self._refresh()
            step = make_step(documents, self.labels, params.positives, self.mined.labels, params.hard, rng)
            seen += len(step.labels)
            if len(step.rows):
                loss = step_loss(self.model, self.rows, step, params, ctx.device, generator)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step(warm_then_linear(epoch * steps + number, params.epochs * steps))
                total += loss.detach()
            if number % SHOW_EVERY == 0 or number == steps - 1:
                shown = float(total) / (number + 1)
                if not np.isfinite(shown):
                    raise Diverged(f"{NAME}, epoch {epoch + 1}, step {number + 1}: the loss is {shown}", HINT)
            note = f"epoch {epoch + 1}/{params.epochs} loss {shown:.4f}"
            ctx.progress(epoch + (number + 1) / steps, params.epochs, note)
        optimiser.settle()
        self.history.append(
            {
                "epoch": epoch + 1,
                "loss": shown,
                "labels a step": round(seen / max(steps, 1)),
                "seconds": round(time.perf_counter() - start, 2),
                "of them refreshing": round(self.mined.cost["seconds"] - spent, 2),
            }
        )

    def _batches(self, epoch: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        params = self.params
        if params.negatives != "cluster" or epoch < params.warm_up:
            return shuffled(self.rows.lengths, params.batch, rng)
        if self.mined.clusters is None or self._due(epoch, 0):
            self._refresh()
        assert self.mined.clusters is not None
        return neighbouring(self.mined.clusters, params.batch, rng)

    def _due(self, epoch: int, number: int) -> bool:
        """Is it time to mine before this step? From epoch `warm_up` on, every `refresh` steps.

        Clusters make the batches of a whole epoch: they wait for its start.
        """
        steps = self.steps
        since, every = (epoch - self.params.warm_up) * steps + number, self.params.refresh or 2 * steps
        if self.params.negatives == "cluster":
            return number == 0 and since % every < steps
        return since >= 0 and since % every == 0

    def _refresh(self) -> None:
        self.mined.refresh(self.model, self.rows, self.seen, self.params, self.ctx)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-len(self.rows) // self.params.batch)

    def cost(self) -> dict[str, Any]:
        """What the refreshes took, for the record."""
        cost, seconds = self.mined.cost, sum(entry["seconds"] for entry in self.history)
        share = cost["seconds"] / seconds if seconds else 0.0
        return {name: round(value, 2) for name, value in cost.items()} | {"share of training": round(share, 3)}

    def _save(self, optimiser: Optimisers) -> None:
        weights = {name: value.detach().cpu().numpy() for name, value in self.model.state_dict().items()}
        parts = {"weight": weights, "optimiser": optimiser.state(), "mined": self.mined.arrays()}
        arrays = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
        self.ctx.checkpoints.save(NAME, arrays, {"history": self.history, "cost": self.mined.cost})

    def _resume(self, optimiser: Optimisers) -> None:
        kept = self.ctx.checkpoints.load(NAME)
        if kept is None:
            return
        parts: dict[str, dict[str, NDArray[Any]]] = {"weight": {}, "optimiser": {}, "mined": {}}
        for key, value in kept[0].items():
            part, _, name = key.partition("/")
            parts[part][name] = value
        self.model.load_state_dict({name: torch.from_numpy(value) for name, value in parts["weight"].items()})
        optimiser.restore(parts["optimiser"])
        self.mined = Mined(**parts["mined"], cost=kept[1]["cost"])
        self.history = kept[1]["history"]


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
    """Row-wise AdamW for tables, torch's for the rest; no decay on biases, norms, and vectors beside a text."""
    tables = [(table, params.table_rate) for table in model.tables()]
    taken = {id(table) for table, _ in tables}
    rest = [p for p in model.parameters() if id(p) not in taken and p.requires_grad and p.numel()]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim > 1], "lr": params.rate, "weight_decay": params.decay},
        {"params": [p for p in rest if p.ndim < 2], "lr": params.rate, "weight_decay": 0.0},
    ]
    return Optimisers(tables, groups, params.decay)
