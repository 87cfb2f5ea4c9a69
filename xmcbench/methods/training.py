"""The training loop of all methods that torch trains: steps of an epoch, divergence check, progress, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from xmcbench.context import RunContext
from xmcbench.encoders.weights import Arrays, flat, grouped
from xmcbench.errors import Diverged
from xmcbench.tables.optim import Optimisers

CHECKPOINT_EVERY = 60.0  # minimum seconds between checkpoints; writing one takes 1 to 2

Batch = NDArray[np.int64]  # row numbers


@dataclass
class EpochState:
    """Progress within an epoch: steps done, sum of their losses, and seconds."""

    steps: int = 0
    loss: float = 0.0
    seconds: float = 0.0

    @property
    def mean_loss(self) -> float:
        return self.loss / max(self.steps, 1)


@dataclass
class Loop:
    """Trains with one optimiser, epoch by epoch; a killed run resumes from the last checkpoint.

    Attributes
    ----------
    name : of the checkpoint, and of the training in errors. hint : what to do if the loss is not finite.
    steps : steps per epoch. rate : step, counted over all epochs, → factor on the learning rates.
    state : progress of the current epoch. A method that saves checkpoints in the middle of an epoch restores it, and
        must seed its random numbers per step.
    saved : `time.monotonic()` of the last checkpoint.
    """

    name: str
    steps: int
    optimiser: Optimisers
    rate: Callable[[int], float]
    ctx: RunContext
    hint: str
    state: EpochState = field(default_factory=EpochState)
    saved: float = field(default_factory=time.monotonic)

    def epoch(
        self,
        number: int,
        epochs: int,
        batches: Iterable[Batch],
        loss_of: Callable[[int, Batch], Tensor | None],
        after_step: Callable[[], None] = lambda: None,
    ) -> EpochState:
        """Train epoch `number` of `epochs` on its batches, except those already done; returns the state at its end.

        `loss_of(step, batch)` returns the loss, or None to skip the step; `after_step` is called after each step.
        Diverged if the loss is not finite, or `loss_of` raises FloatingPointError.
        """
        state = self.state
        start = self.ctx.clock() - state.seconds
        for step, batch in islice(enumerate(batches), state.steps, None):
            try:
                loss = loss_of(step, batch)
                state.loss += 0.0 if loss is None else float(loss.detach())
                if not math.isfinite(state.loss):
                    raise FloatingPointError(f"the loss is {state.loss}")
            except FloatingPointError as error:
                raise Diverged(f"{self.name}, epoch {number + 1}, step {step + 1}: {error}", self.hint) from error
            if loss is not None:
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimiser.step(self.rate(number * self.steps + step))
            state.steps, state.seconds = step + 1, self.ctx.clock() - start
            note = f"epoch {number + 1}/{epochs}, loss {state.mean_loss:.4f}"
            self.ctx.progress(number + state.steps / self.steps, epochs, note)
            after_step()
        self.optimiser.settle()
        self.state = EpochState()
        return state

    def due(self) -> bool:
        """Whether the last checkpoint is old enough for another one."""
        return time.monotonic() - self.saved > CHECKPOINT_EVERY

    def save(self, groups: Mapping[str, Arrays], meta: Mapping[str, object]) -> None:
        """Write the checkpoint: groups of arrays, and JSON-serialisable `meta`."""
        self.ctx.checkpoints.save(self.name, flat(groups), meta)
        self.saved = time.monotonic()

    def load(self) -> tuple[dict[str, Arrays], dict[str, Any]] | None:
        """The groups and `meta` of the last checkpoint, or None; a group without arrays is missing."""
        checkpoint = self.ctx.checkpoints.load(self.name)
        return None if checkpoint is None else (grouped(checkpoint[0]), checkpoint[1])
