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
from xmcbench.processes import Ranks
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
    slot : of several processes, each keeps its last two checkpoints, since one may be killed before it has saved the
        last; this is the one to be replaced next.
    """

    name: str
    steps: int
    optimiser: Optimisers
    rate: Callable[[int], float]
    ctx: RunContext
    hint: str
    state: EpochState = field(default_factory=EpochState)
    saved: float = field(default_factory=time.monotonic)
    slot: int = 0

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
        is_due = time.monotonic() - self.saved > CHECKPOINT_EVERY
        return is_due if self.ctx.ranks is None else bool(self.ctx.ranks.told(is_due))

    def save(self, groups: Mapping[str, Arrays], meta: Mapping[str, object]) -> None:
        """Write the checkpoint: groups of arrays, and JSON-serialisable `meta`.

        Every one of several processes writes its own, at the same time; `meta` then has the number of an "epoch".
        """
        self.ctx.checkpoints.save(self._file(), flat(groups), meta)
        self.slot = 1 - self.slot
        self.saved = time.monotonic()

    def load(self) -> tuple[dict[str, Arrays], dict[str, Any]] | None:
        """The groups and `meta` of the last checkpoint, or None; a group without arrays is missing."""
        load = self.ctx.checkpoints.load
        checkpoint = load(self.name) if self.ctx.ranks is None else self._common(self.ctx.ranks)
        return None if checkpoint is None else (grouped(checkpoint[0]), checkpoint[1])

    def _file(self) -> str:
        ranks = self.ctx.ranks
        return self.name if ranks is None else f"{self.name}, rank {ranks.rank} of {ranks.count}, {'ab'[self.slot]}"

    def _common(self, ranks: Ranks) -> tuple[Arrays, dict[str, Any]] | None:
        """This process's checkpoint of the last epoch of which every process has one."""
        by_epoch = {}
        for self.slot in (0, 1):
            checkpoint = self.ctx.checkpoints.load(self._file())
            if checkpoint is not None:
                by_epoch[int(checkpoint[1]["epoch"])] = self.slot, checkpoint
        common = set.intersection(*(set(epochs) for epochs in ranks.exchange(list(by_epoch))))
        if not common:
            self.slot = 0
            return None
        slot, checkpoint = by_epoch[max(common)]
        self.slot = 1 - slot
        return checkpoint
