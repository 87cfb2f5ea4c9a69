"""Embeddings of rows without gradients, some thousands at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import Encoder, Rows, embed
from xmcbench_elias.source import Some

if TYPE_CHECKING:
    from xmcbench.context import RunContext


@torch.no_grad()
def embedded(encoder: Encoder, rows: Rows, start: int, stop: int, ctx: RunContext) -> Tensor:
    """(m, D) float32 on the device: φ of the rows from `start` to before `stop`, as far as there are any.

    The bag of words takes them in one batch: products round by a batch's size, and how many rows one has is part of
    what predictions are. Others take them by length, since a batch as long as the longest text may not fit.
    """
    which = np.arange(start, min(stop, len(rows)))
    if isinstance(encoder, BowEncoder):
        phi: Tensor = encoder(rows.batch(which, ctx.device)).float()
        return phi

    def told(done: int, _: int) -> None:
        ctx.progress(start + done, len(rows))

    return torch.from_numpy(embed(encoder, Some(rows, which), ctx.device, told)).to(ctx.device)
