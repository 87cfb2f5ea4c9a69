"""Training one stage: epochs, selection on validation rows, checkpoints to resume from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from xmcbench.errors import Diverged
from xmcbench.tables.optim import Optimisers, warm_then_linear
from xmcbench_elias.network.batches import epoch_batches, make_batch
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.source import PreparedRows
from xmcbench_elias.search.predict import predict, validation_score
from xmcbench_elias.training.optim import optimisers
from xmcbench_elias.training.step import train_step

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench_elias.params import Settled, Sizes

SHOW_EVERY = 16  # steps between updates of the reported mean loss
RISING = 0.002  # minimum gain of the last epoch in validation nDCG@5 for a stage to be extended: ours
LONGEST = 1.5  # maximum length of an extended stage, relative to its planned epochs
AGAIN = 0.5  # peak learning rates of an extension, relative to the stage's
CHECKPOINT_EVERY = 60.0  # minimum seconds between checkpoints; writing one takes 1 to 2

Weights = dict[str, NDArray[Any]]


@dataclass
class StageHistory:
    """State of a stage, part of its checkpoints. `history` has one entry per epoch; extensions raise `planned`."""

    name: str
    epoch: int
    planned: int
    best_epoch: int
    best_score: float
    history: list[dict[str, Any]]


@dataclass
class Stage:
    """One stage of training.

    Attributes
    ----------
    factor, new : factors on the learning rates of parameters from an earlier stage, and of reinitialised parameters.
    validation : rows on which the best epoch is chosen; None: the last epoch is used.
    average : number of last epochs whose weights are averaged, except the adjacency (stochastic weight averaging,
        Izmailov et al., UAI 2018).
    """

    name: str
    epochs: int
    factor: float
    model: EliasModel
    train: PreparedRows
    validation: PreparedRows | None
    params: Settled
    size: Sizes
    ctx: RunContext
    average: int = 0
    new: float = 1.0

    def run(self) -> StageHistory:
        """Train in place; afterwards the model has the weights of the best epoch on the validation rows.

        After the planned epochs the stage is extended, by half as many epochs at a time, while the last epoch raises
        the validation score by `RISING`. Without validation rows the last epoch's weights are used. A killed run
        resumes from the last checkpoint with the same result, since each epoch has its own seeds.

        Raises
        ------
        Diverged : the loss is not finite.
        """
        optimiser = optimisers(self.model, self.params, self.factor, self.new)
        state, best, mean = self._resume(optimiser)
        last_checkpoint = time.monotonic()
        while state.epoch < state.planned:
            state.history.append(self._one_epoch(state, optimiser))
            state.epoch += 1
            weights = self._weights()
            n_averaged = state.epoch - (self.epochs - self.average)
            if n_averaged > 0:
                mean = running_mean(mean, weights, n_averaged)
                self._put(weights | mean)
            score = self._validation_score()
            state.history[-1]["validation nDCG@5"] = score
            if score is None or score > state.best_score:
                state.best_epoch, state.best_score, best = state.epoch, score or 0.0, self._weights()
            if mean:
                self._put(weights)
            if state.epoch == state.planned and self._rises(state):
                state.planned += self.more
            if state.epoch < state.planned and time.monotonic() - last_checkpoint > CHECKPOINT_EVERY:
                arrays = {"now": weights, "mean": mean, "optimiser": optimiser.state()}
                self._save(state, arrays if state.best_epoch == state.epoch and not mean else arrays | {"best": best})
                last_checkpoint = time.monotonic()
        self._put(best)
        self._save(state, {"best": best})
        return state

    @property
    def more(self) -> int:
        """Epochs per extension."""
        return -(-self.epochs // 2)

    def _rises(self, state: StageHistory) -> bool:
        """Whether the last epoch raised the score enough for an extension, and `LONGEST` allows one.

        Stages with averaged weights are not extended, since the average is over the planned last epochs.
        """
        scores = [epoch["validation nDCG@5"] for epoch in state.history[-2:]]
        if len(scores) < 2 or None in scores or self.average:
            return False
        gained = state.best_epoch == state.epoch and scores[1] - scores[0] >= RISING
        return gained and state.planned + self.more <= LONGEST * self.epochs

    def _rate(self, step: int, steps: int) -> float:
        """Factor on the peak learning rates at `step` (from 0), with `steps` per epoch."""
        planned, more = self.epochs * steps, self.more * steps
        if step < planned:
            return warm_then_linear(step, planned)
        return AGAIN * warm_then_linear((step - planned) % more, more)

    def _one_epoch(self, state: StageHistory, optimiser: Optimisers) -> dict[str, Any]:
        """Train on every row once; returns the epoch's entry for the history."""
        ctx, params, size, train, epoch = self.ctx, self.params, self.size, self.train, state.epoch
        generator = torch.Generator(ctx.device).manual_seed(ctx.seed(f"{self.name}/epoch {epoch}"))
        rng = ctx.rng(f"{self.name}/order {epoch}")
        owners = self.model.owners()
        steps = -(-len(train.rows) // params.batch)
        mean_loss, total, clamped = 0.0, torch.zeros((), device=ctx.device), torch.zeros((), device=ctx.device)
        for step, which in enumerate(epoch_batches(self.model.encoder, train.rows, params.batch, rng)):
            batch = make_batch(train.rows, train.data.labels, which, ctx.device)
            try:
                loss = train_step(self.model, batch, owners, params, size, generator)
            except FloatingPointError as error:
                hint = "Lower the learning rates; check the features for values that are not finite."
                raise Diverged(f"{self.name}, epoch {epoch + 1}, step {step + 1}: {error}", hint) from error
            loss.total.backward()  # type: ignore[no-untyped-call]
            optimiser.step(self._rate(epoch * steps + step, steps))
            total += loss.total.detach()
            clamped += loss.clamped
            if step % SHOW_EVERY == 0 or step == steps - 1:
                mean_loss = float(total) / (step + 1)
            ctx.progress(
                epoch + (step + 1) / steps, state.planned, f"epoch {epoch + 1}/{state.planned} loss {mean_loss:.5f}"
            )
        optimiser.settle()
        return {
            "stage": self.name,
            "epoch": epoch + 1,
            "loss": mean_loss,
            "clusters at the clamp": float(clamped) / max(steps, 1),
            "adjacency at the clamp": self.model.clamped_share(),
        }

    def _validation_score(self) -> float | None:
        if self.validation is None or len(self.validation.rows) == 0:
            return None
        top = predict(self.model, self.validation.rows, 5, self.size.beam, self.size.shortlist, self.ctx)
        score = validation_score(top, self.validation.data.labels)
        self.ctx.score("nDCG@5", score)
        return score

    def _weights(self) -> Weights:
        return {name: value.detach().cpu().numpy().copy() for name, value in self.model.state_dict().items()}

    def _put(self, weights: Weights) -> None:
        self.model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})

    def _save(self, state: StageHistory, parts: dict[str, Weights]) -> None:
        arrays = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
        self.ctx.checkpoints.save(self.name, arrays, vars(state))

    def _resume(self, optimiser: Optimisers) -> tuple[StageHistory, Weights, Weights]:
        """State, best weights and mean weights of the last checkpoint; restores model and optimisers from it."""
        checkpoint = self.ctx.checkpoints.load(self.name)
        if checkpoint is None:
            return StageHistory(self.name, 0, self.epochs, 0, -1.0, []), self._weights(), {}
        parts: dict[str, Weights] = {}
        for key, value in checkpoint[0].items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        if "now" in parts:
            self._put(parts["now"])
            optimiser.restore(parts["optimiser"])
        return StageHistory(**checkpoint[1]), parts.get("best") or parts["now"], parts.get("mean", {})


def running_mean(mean: Weights, weights: Weights, count: int) -> Weights:
    """Mean of `count` weights, `weights` being the last; the adjacency and the index are left out."""
    floats = {name: value for name, value in weights.items() if name != "adjacency" and value.dtype.kind == "f"}
    return {name: mean[name] + (value - mean[name]) / count if mean else value for name, value in floats.items()}
