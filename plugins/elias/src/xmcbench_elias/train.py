"""Training one stage: epochs, selection on validation rows, checkpoints a killed run goes on from."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.errors import Diverged
from xmcbench_elias.batches import make_batch
from xmcbench_elias.model import EliasModel
from xmcbench_elias.optim import Optimisers, warm_then_linear
from xmcbench_elias.predict import predict, validation_score
from xmcbench_elias.step import train_step

if TYPE_CHECKING:
    from xmcbench.context import RunContext
    from xmcbench.method import TrainData
    from xmcbench_elias.params import EliasParams, Sizes

CHECK_EVERY = 16  # steps between looks at the loss and at the clock
CHECKPOINT_EVERY = 30.0  # seconds of training a kill may cost at most, beside the epoch under way


@dataclass
class Progress:
    """Where a stage stands. `history` has one entry an epoch."""

    epoch: int
    best_epoch: int
    best_score: float
    history: list[dict[str, Any]]


def train_stage(
    name: str,
    model: EliasModel,
    train: TrainData,
    ctx: RunContext,
    params: EliasParams,
    size: Sizes,
    epochs: int,
    factor: float,
) -> Progress:
    """Train in place; afterwards the model holds the weights of the best epoch on the validation rows.

    Without validation rows the last epoch's stay. `factor`: of the learning rates of what is not new. A run killed
    at any moment goes on at the last checkpoint: each epoch has random numbers of its own, so it ends the same.

    Raises
    ------
    Diverged : the loss is not finite.
    """
    optimisers = Optimisers(model, params, factor)
    where, best = _resume(name, model, optimisers, ctx)
    saved = time.monotonic()
    for epoch in range(where.epoch, epochs):
        entry = _one_epoch(name, epoch, epochs, model, optimisers, train, ctx, params, size)
        where.epoch = epoch + 1
        score = _validation_score(model, ctx, size)
        if score is not None:
            ctx.score("nDCG@5", score)
        if score is None or score > where.best_score:
            where.best_epoch, where.best_score, best = epoch + 1, score or 0.0, _weights(model)
        where.history.append({**entry, "validation nDCG@5": score})
        if where.epoch < epochs and time.monotonic() - saved > CHECKPOINT_EVERY:
            _save(name, model, best, optimisers, where, ctx)
            saved = time.monotonic()
    model.load_state_dict({key: torch.from_numpy(value) for key, value in best.items()})
    if where.epoch:
        _save(name, None, best, None, where, ctx)
    return where


def _one_epoch(
    name: str,
    epoch: int,
    epochs: int,
    model: EliasModel,
    optimisers: Optimisers,
    train: TrainData,
    ctx: RunContext,
    params: EliasParams,
    size: Sizes,
) -> dict[str, Any]:
    n = train.n_rows
    assert train.features is not None
    generator = torch.Generator(ctx.device).manual_seed(ctx.seed(f"{name}/epoch {epoch}"))
    order = ctx.rng(f"{name}/order {epoch}").permutation(n)
    owners = model.owners()
    steps = -(-n // params.batch)
    shown, total, clamped = 0.0, torch.zeros((), device=ctx.device), torch.zeros((), device=ctx.device)
    for step in range(steps):
        rows = order[step * params.batch : (step + 1) * params.batch]
        batch = make_batch(train.features, train.labels, rows, ctx.device)
        loss = train_step(model, batch, owners, size.beam, params.extra, size.shortlist, params.dropout, generator)
        both = loss.classification + params.shortlist_weight / size.shortlist * loss.shortlist
        both.backward()  # type: ignore[no-untyped-call]
        optimisers.step(warm_then_linear(epoch * steps + step, epochs * steps))
        total += both.detach()
        clamped += loss.clamped
        if step % CHECK_EVERY == CHECK_EVERY - 1 or step == steps - 1:
            shown = float(total) / (step + 1)
            if not np.isfinite(shown):
                raise Diverged(f"{name}, epoch {epoch + 1}: the loss is {shown}", "Lower the learning rates.")
        ctx.progress(epoch + (step + 1) / steps, epochs, f"epoch {epoch + 1}/{epochs} loss {shown:.5f}")
    optimisers.settle()
    return {
        "stage": name,
        "epoch": epoch + 1,
        "loss": shown,
        "clusters at the clamp": float(clamped) / max(steps, 1),
        "adjacency at the clamp": model.clamped_share(),
    }


def _validation_score(model: EliasModel, ctx: RunContext, size: Sizes) -> float | None:
    rows = ctx.validation
    if rows is None or rows.n_rows == 0:
        return None
    top = predict(model, rows, 5, size.beam, size.shortlist, ctx)
    return validation_score(top, rows.labels)


def _weights(model: EliasModel) -> dict[str, NDArray[Any]]:
    return {name: value.detach().cpu().numpy().copy() for name, value in model.state_dict().items()}


def _save(
    name: str,
    model: EliasModel | None,
    best: dict[str, NDArray[Any]],
    optimisers: Optimisers | None,
    where: Progress,
    ctx: RunContext,
) -> None:
    arrays = {f"best/{key}": value for key, value in best.items()}
    if model is not None:
        arrays.update({f"now/{key}": value for key, value in _weights(model).items()})
    if optimisers is not None:
        arrays.update({f"optimiser/{key}": value for key, value in optimisers.state().items()})
    ctx.checkpoints.save(name, arrays, vars(where))


def _resume(
    name: str, model: EliasModel, optimisers: Optimisers, ctx: RunContext
) -> tuple[Progress, dict[str, NDArray[Any]]]:
    kept = ctx.checkpoints.load(name)
    if kept is None:
        return Progress(0, 0, -1.0, []), _weights(model)
    arrays, meta = kept
    parts: dict[str, dict[str, NDArray[Any]]] = {"best": {}, "now": {}, "optimiser": {}}
    for key, value in arrays.items():
        part, _, rest = key.partition("/")
        parts[part][rest] = value
    if parts["now"]:
        model.load_state_dict({key: torch.from_numpy(value) for key, value in parts["now"].items()})
        optimisers.restore(parts["optimiser"])
    return Progress(**meta), parts["best"]
