"""Label weights that start from what the labels are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from xmcbench.dense.dual import LabelSide, unit
from xmcbench.encoders.encoder import embed
from xmcbench_elias.model import LABEL_BIAS, EliasModel

if TYPE_CHECKING:
    from xmcbench.context import RunContext


def start_from_texts(model: EliasModel, labels: LabelSide | None, ctx: RunContext) -> None:
    """Put embeddings of the label texts in place of fresh label weights, in place; labels without text keep theirs.

    w = 3 / m · φ / |φ|, φ the embedding of the text and m the mean |φ| of all of them: with the bias of −3 a row that
    is embedded as the label's text is, and of that usual length, starts at p = σ(0) = 1/2, and one at right angles to
    it at σ(−3), as all do under fresh weights. How long an encoder makes its embeddings has no part in it.
    """
    if labels is None or labels.rows is None:
        return
    phi = embed(model.encoder, labels.rows, ctx.device, ctx.progress)
    lengths = np.linalg.norm(phi, axis=1)
    named = np.flatnonzero((labels.place >= 0) & (lengths[labels.place] > 0))
    if not len(named):
        return
    place = labels.place[named]
    weights = unit(phi[place]) * np.float32(-LABEL_BIAS / lengths[place].mean())
    device = model.label_weight.device
    with torch.no_grad():
        model.label_weight[torch.from_numpy(named).to(device)] = torch.from_numpy(weights).to(device)
