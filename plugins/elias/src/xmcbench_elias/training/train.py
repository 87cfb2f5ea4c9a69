"""Training one stage: epochs, selection on validation rows, checkpoints to resume from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import torch

from xmcbench.context import Reporter, RunContext
from xmcbench.encoders.weights import Arrays, put_weights, weights_of
from xmcbench.methods.training import Batch, Loop
from xmcbench.tables.optim import Optimisers, warm_then_linear
from xmcbench_elias.network.batches import epoch_batches, make_batch
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.sharded import ShardedModel
from xmcbench_elias.network.source import PreparedRows
from xmcbench_elias.params import Settled, Sizes
from xmcbench_elias.search.predict import predict, validation_score
from xmcbench_elias.training.sharded_step import sharded_step
from xmcbench_elias.training.step import train_step

RISING = 0.002  # minimum gain of the last epoch in validation nDCG@5 for a stage to be extended: ours
LONGEST = 1.5  # maximum length of an extended stage, relative to its planned epochs
AGAIN = 0.5  # peak learning rates of an extension, relative to the stage's
HINT = "Lower the learning rates; check the features for values that are not finite."
SCORE = "validation nDCG@5"


@dataclass
class StageHistory:
    """State of a stage, part of its checkpoints. `history` has one entry per epoch; extensions raise `planned`."""

    name: str
    planned: int
    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    history: list[dict[str, str | float | None]] = field(default_factory=list)


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
        resumes from the last checkpoint with the same result, since each epoch has its own seeds. Diverged if the loss
        is not finite.

        Memory besides model and optimiser: one copy of the weights, if there are validation rows and another epoch
        follows the best one; two more for averages. `best` is empty while the model itself has the best weights.
        """
        if self.ctx.ranks is not None:
            self.ctx.ranks.told()  # others wait here while rank 0 works alone
        steps = -(-len(self.train.rows) // self.params.batch)
        optimiser = optimisers(self.model, self.params, self.factor, self.new)
        loop = Loop(self.name, steps, optimiser, lambda step: self._rate(step, steps), self.ctx, HINT)
        state, best, mean = self._resume(loop)
        if state.epoch == state.planned:
            put_weights(self.model, best)
            return state
        while state.epoch < state.planned:
            self._train_epoch(loop, state)
            state.epoch += 1
            weights = weights_of(self.model)
            n_averaged = state.epoch - (self.epochs - self.average)
            if n_averaged > 0:
                weights = self._copy()
                mean = running_mean(mean, weights, n_averaged)
                put_weights(self.model, weights | mean)
            score = self._validation_score()
            state.history[-1][SCORE] = score
            if score is None or score > state.best_score:
                state.best_epoch, state.best_score = state.epoch, score or 0.0
                best = self._copy() if mean else {}
            if mean:
                put_weights(self.model, weights)
            if state.epoch == state.planned and self._rises(state):
                state.planned += self.more
            if state.epoch == state.planned:
                break
            if not best and score is not None:
                best = self._copy()  # the next epoch changes the model's weights, and may be worse
            if loop.due():
                groups = {"now": weights, "mean": mean, "optimiser": optimiser.state()}
                if state.best_epoch != state.epoch or mean:
                    groups["best"] = best
                loop.save(groups, asdict(state))
        if best:
            put_weights(self.model, best)
        loop.save({"best": weights_of(self.model)}, asdict(state))
        return state

    @property
    def more(self) -> int:
        """Epochs per extension."""
        return -(-self.epochs // 2)

    def _rises(self, state: StageHistory) -> bool:
        """Whether the last epoch raised the score enough for an extension, and `LONGEST` allows one.

        Stages with averaged weights are not extended, since the average is over the planned last epochs.
        """
        scores = [score for epoch in state.history[-2:] if isinstance(score := epoch[SCORE], float)]
        if len(scores) < 2 or self.average:
            return False
        gained = state.best_epoch == state.epoch and scores[1] - scores[0] >= RISING
        return gained and state.planned + self.more <= LONGEST * self.epochs

    def _rate(self, step: int, steps: int) -> float:
        """Factor on the peak learning rates at `step` (from 0), with `steps` per epoch."""
        planned, more = self.epochs * steps, self.more * steps
        if step < planned:
            return warm_then_linear(step, planned)
        return AGAIN * warm_then_linear((step - planned) % more, more)

    def _train_epoch(self, loop: Loop, state: StageHistory) -> None:
        """Train on every row once; append the epoch to the history."""
        ctx, train, epoch = self.ctx, self.train, state.epoch
        generator = torch.Generator(ctx.device).manual_seed(ctx.seed(f"{self.name}/epoch {epoch}"))
        batches = epoch_batches(
            self.model.encoder, train.rows, self.params.batch, ctx.rng(f"{self.name}/order {epoch}")
        )
        owners, clamped = self.model.owners(), torch.zeros((), device=ctx.device)

        def loss(_: int, which: Batch) -> torch.Tensor:
            batch = make_batch(train.rows, train.data.labels, which, ctx.device)
            arguments = batch, owners, self.params, self.size, generator
            if isinstance(self.model, ShardedModel):
                losses = sharded_step(self.model, *arguments)
            else:
                losses = train_step(self.model, *arguments)
            clamped.add_(losses.clamped)
            return losses.total

        mean_loss = loop.epoch(epoch, state.planned, batches, loss).mean_loss
        if isinstance(self.model, ShardedModel):
            self.model.settle_replicas()
        state.history.append(
            {
                "stage": self.name,
                "epoch": epoch + 1,
                "loss": mean_loss,
                "clusters at the clamp": float(clamped) / max(loop.steps, 1),
                "adjacency at the clamp": self.model.clamped_share(),
            }
        )

    def _validation_score(self) -> float | None:
        if self.validation is None or len(self.validation.rows) == 0:
            return None
        silent = replace(self.ctx, reporter=Reporter())  # its rows are no progress of the stage
        top = predict(self.model, self.validation.rows, 5, self.size.beam, self.size.shortlist, silent)
        score = validation_score(top, self.validation.data.labels)
        if self.ctx.ranks is not None:  # decisions must not depend on a last bit
            score = float(self.ctx.ranks.told(score))
        self.ctx.score("nDCG@5", score)
        return score

    def _copy(self) -> Arrays:
        return {name: value.copy() for name, value in weights_of(self.model).items()}

    def _resume(self, loop: Loop) -> tuple[StageHistory, Arrays, Arrays]:
        """State, best weights and mean weights of the last checkpoint; restores model and optimisers from it."""
        checkpoint = loop.load()
        if checkpoint is None:
            return StageHistory(self.name, self.epochs), {}, {}
        groups, state = checkpoint
        if "now" in groups:
            put_weights(self.model, groups["now"])
            loop.optimiser.restore(groups["optimiser"])
        return StageHistory(**state), groups.get("best") or groups["now"], groups.get("mean", {})


def running_mean(mean: Arrays, weights: Arrays, count: int) -> Arrays:
    """Mean of `count` weights, `weights` being the last; the adjacency and the index are left out."""
    floats = {name: value for name, value in weights.items() if name != "adjacency" and value.dtype.kind == "f"}
    return {name: mean[name] + (value - mean[name]) / count if mean else value for name, value in floats.items()}


def optimisers(model: EliasModel, params: Settled, factor: float, new: float = 1.0) -> Optimisers:
    """Row-wise AdamW for the encoder's tables and the label table, torch's for all other parameters.

    `factor` scales the learning rates of parameters from an earlier stage: encoder and cluster classifier; `new` those
    of label classifier and adjacency, which are reinitialised in each stage. Biases and the scales of layer norms have
    no weight decay.
    """
    divided = model.divided() if isinstance(model, ShardedModel) else {}
    n_rows = {id(model.get_parameter(name)): shard.n_labels for name, shard in divided.items()}  # of whole tables
    rates = [(table, factor * params.table_rate) for table in model.encoder.tables()]
    rates.append((model.label_weight, new * params.table_rate))
    tables = [(table, rate, n_rows.get(id(table), len(table))) for table, rate in rates]
    in_other_groups = {id(table) for table, *_ in tables} | {id(model.adjacency)}
    others = {name: p for name, p in model.named_parameters() if id(p) not in in_other_groups and p.requires_grad}
    encoder_rate = params.rate if params.encoder_rate is None else params.encoder_rate
    groups: list[dict[str, object]] = []
    for in_encoder, rate in ((True, encoder_rate), (False, params.rate)):
        for decays, decay in ((True, params.decay), (False, 0.0)):
            group = [
                p
                for name, p in others.items()
                if name.startswith("encoder.") == in_encoder and (p.ndim > 1 and "bias" not in name) == decays
            ]
            if group:
                groups.append({"params": group, "lr": factor * rate, "weight_decay": decay})
    if model.adjacency is not None:
        groups.append({"params": [model.adjacency], "lr": new * params.adjacency_rate, "weight_decay": params.decay})
    return Optimisers(tables, groups, params.decay)
