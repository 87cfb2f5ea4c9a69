"""Training one stage: epochs, selection on validation rows, checkpoints a killed run goes on from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray

from xmcbench.errors import Diverged
from xmcbench.tables.optim import Optimisers, warm_then_linear
from xmcbench_elias.batches import epoch_batches, make_batch
from xmcbench_elias.model import EliasModel
from xmcbench_elias.optim import optimisers
from xmcbench_elias.predict import predict, validation_score
from xmcbench_elias.source import Ready
from xmcbench_elias.step import train_step

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench_elias.params import Settled, Sizes

SHOW_EVERY = 16  # steps between looks at the mean loss
RISING = 0.002  # nDCG@5 that the last epoch must have brought on validation rows for a stage to go on: ours
LONGEST = 1.5  # times its planned epochs a stage may take, so that a run stays within twice the time of version 3
AGAIN = 0.5  # learning rates of epochs beyond the plan start at so much of the peak, and come down to zero again
CHECKPOINT_EVERY = 60.0  # seconds of training a kill may cost, beside the epoch under way; a checkpoint takes 1 to 2


Weights = dict[str, NDArray[Any]]


@dataclass
class Progress:
    """Where a stage stands. `history` has one entry an epoch; `planned` epochs grow while validation rises."""

    name: str
    epoch: int
    planned: int
    best_epoch: int
    best_score: float
    history: list[dict[str, Any]]


@dataclass
class Stage:
    """What is trained, on what, for how long.

    `factor`, `new`: of the learning rates of what is not new in this stage, and of what is. `held`: validation rows on
    which the best epoch is chosen; None: the last one is kept. `average`: over so many epochs at the end, what counts
    is the mean of the weights after each, the adjacency's aside (stochastic weight averaging, Izmailov et al., UAI
    2018).
    """

    name: str
    epochs: int
    factor: float
    model: EliasModel
    train: Ready
    held: Ready | None
    params: Settled
    size: Sizes
    ctx: RunContext
    average: int = 0
    new: float = 1.0

    def run(self) -> Progress:
        """Train in place; afterwards the model holds the weights of the best epoch on the validation rows.

        After the planned epochs it goes on, half as many at a time, while the last one still raised the validation
        score by `RISING`. Without validation rows the last epoch's weights stay. A run killed at any moment goes on at
        the last checkpoint: each epoch has random numbers of its own, so it ends the same.

        Raises
        ------
        Diverged : the loss is not finite.
        """
        optimiser = optimisers(self.model, self.params, self.factor, self.new)
        where, best, mean = self._resume(optimiser)
        saved = time.monotonic()
        while where.epoch < where.planned:
            where.history.append(self._one_epoch(where, optimiser))
            where.epoch += 1
            now = self._weights()
            counted = where.epoch - (self.epochs - self.average)
            if counted > 0:
                mean = running_mean(mean, now, counted)
                self._put(now | mean)
            score = self._validation_score()
            where.history[-1]["validation nDCG@5"] = score
            if score is None or score > where.best_score:
                where.best_epoch, where.best_score, best = where.epoch, score or 0.0, self._weights()
            if mean:
                self._put(now)
            if where.epoch == where.planned and self._rises(where):
                where.planned += self.more
            if where.epoch < where.planned and time.monotonic() - saved > CHECKPOINT_EVERY:
                parts = {"now": now, "mean": mean, "optimiser": optimiser.state()}
                self._save(where, parts if where.best_epoch == where.epoch and not mean else parts | {"best": best})
                saved = time.monotonic()
        self._put(best)
        self._save(where, {"best": best})
        return where

    @property
    def more(self) -> int:
        """Epochs it goes on for at a time."""
        return -(-self.epochs // 2)

    def _rises(self, where: Progress) -> bool:
        """Whether the last epoch brought so much that more may bring more, and there is time for it.

        Averaged weights have their plan: they would average what comes after as well.
        """
        scores = [epoch["validation nDCG@5"] for epoch in where.history[-2:]]
        if len(scores) < 2 or None in scores or self.average:
            return False
        gained = where.best_epoch == where.epoch and scores[1] - scores[0] >= RISING
        return gained and where.planned + self.more <= LONGEST * self.epochs

    def _rate(self, step: int, steps: int) -> float:
        """Share of the peak learning rates at a step from 0, of so many an epoch."""
        planned, more = self.epochs * steps, self.more * steps
        if step < planned:
            return warm_then_linear(step, planned)
        return AGAIN * warm_then_linear((step - planned) % more, more)

    def _one_epoch(self, where: Progress, optimiser: Optimisers) -> dict[str, Any]:
        """Train on every row once; returns the epoch's entry in the history."""
        ctx, params, size, train, epoch = self.ctx, self.params, self.size, self.train, where.epoch
        generator = torch.Generator(ctx.device).manual_seed(ctx.seed(f"{self.name}/epoch {epoch}"))
        rng = ctx.rng(f"{self.name}/order {epoch}")
        owners = self.model.owners()
        steps = -(-len(train.rows) // params.batch)
        shown, total, clamped = 0.0, torch.zeros((), device=ctx.device), torch.zeros((), device=ctx.device)
        for step, which in enumerate(epoch_batches(self.model.encoder, train.rows, params.batch, rng)):
            batch = make_batch(train.rows, train.data.labels, which, ctx.device)
            try:
                loss = train_step(self.model, batch, owners, params, size, generator)
            except FloatingPointError as error:
                hint = "Lower the learning rates; look for features that are not finite."
                raise Diverged(f"{self.name}, epoch {epoch + 1}, step {step + 1}: {error}", hint) from error
            loss.total.backward()  # type: ignore[no-untyped-call]
            optimiser.step(self._rate(epoch * steps + step, steps))
            total += loss.total.detach()
            clamped += loss.clamped
            if step % SHOW_EVERY == 0 or step == steps - 1:
                shown = float(total) / (step + 1)
            ctx.progress(
                epoch + (step + 1) / steps, where.planned, f"epoch {epoch + 1}/{where.planned} loss {shown:.5f}"
            )
        optimiser.settle()
        return {
            "stage": self.name,
            "epoch": epoch + 1,
            "loss": shown,
            "clusters at the clamp": float(clamped) / max(steps, 1),
            "adjacency at the clamp": self.model.clamped_share(),
        }

    def _validation_score(self) -> float | None:
        if self.held is None or len(self.held.rows) == 0:
            return None
        top = predict(self.model, self.held.rows, 5, self.size.beam, self.size.shortlist, self.ctx)
        score = validation_score(top, self.held.data.labels)
        self.ctx.score("nDCG@5", score)
        return score

    def _weights(self) -> Weights:
        return {name: value.detach().cpu().numpy().copy() for name, value in self.model.state_dict().items()}

    def _put(self, weights: Weights) -> None:
        self.model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})

    def _save(self, where: Progress, parts: dict[str, Weights]) -> None:
        arrays = {f"{part}/{name}": value for part, named in parts.items() for name, value in named.items()}
        self.ctx.checkpoints.save(self.name, arrays, vars(where))

    def _resume(self, optimiser: Optimisers) -> tuple[Progress, Weights, Weights]:
        """Where the last checkpoint stands, the best weights so far and their mean; puts model and optimisers there."""
        kept = self.ctx.checkpoints.load(self.name)
        if kept is None:
            return Progress(self.name, 0, self.epochs, 0, -1.0, []), self._weights(), {}
        parts: dict[str, Weights] = {}
        for key, value in kept[0].items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = value
        if "now" in parts:
            self._put(parts["now"])
            optimiser.restore(parts["optimiser"])
        return Progress(**kept[1]), parts.get("best") or parts["now"], parts.get("mean", {})


def running_mean(mean: Weights, now: Weights, count: int) -> Weights:
    """Mean of `count` weights of which `now` is the last; the index, which is not averaged, is left out."""
    floats = {name: value for name, value in now.items() if name != "adjacency" and value.dtype.kind == "f"}
    return {name: mean[name] + (value - mean[name]) / count if mean else value for name, value in floats.items()}
