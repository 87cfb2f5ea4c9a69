"""Embeddings of rows without gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xmcbench.context import RunContext
from xmcbench.encoders.bow import BowEncoder
from xmcbench.encoders.encoder import Encoder, Rows, embed
from xmcbench_elias.network.source import RowSubset


@torch.no_grad()
def embedded(encoder: Encoder, rows: Rows, start: int, stop: int, ctx: RunContext) -> Tensor:
    """(m, D) float32 on the device: φ of rows start … stop − 1, or fewer at the end of `rows`.

    The bag of words embeds them as one batch, since rounding depends on the batch size and predictions have to be
    reproducible. Other encoders group them by length, since a batch padded to the longest text may not fit.
    """
    which = np.arange(start, min(stop, len(rows)))
    if isinstance(encoder, BowEncoder):
        phi: Tensor = encoder(rows.batch(which, ctx.device)).float()
        return phi

    def shifted_progress(done: int, _: int) -> None:
        ctx.progress(start + done, len(rows))

    return torch.from_numpy(embed(encoder, RowSubset(rows, which), ctx.device, shifted_progress)).to(ctx.device)
