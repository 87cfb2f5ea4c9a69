"""Build models: with new weights, for the start of stage 2, or from saved weights."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench.encoders.weights import Arrays
from xmcbench.processes import Ranks
from xmcbench_elias.network.model import EliasModel
from xmcbench_elias.network.sharded import Shard, ShardedModel
from xmcbench_elias.network.source import Source, copied
from xmcbench_elias.params import Settled
from xmcbench_elias.training.dual import Dual

LABELS = 1 << 15  # labels whose weights are computed at a time from the dual encoder: a copy of all would double memory


def build(
    source: Source,
    n_labels: int,
    entries: NDArray[np.int64],
    params: Settled,
    seed: int,
    dual: Dual | None = None,
    ranks: Ranks | None = None,
) -> EliasModel:
    """A model with new weights, or initialised from `dual`; on the CPU, so that weights do not depend on the device.

    Over several processes it has this one's labels, and `dual` is that of `own_dual`.
    """
    generator = torch.Generator().manual_seed(seed)
    encoder = source.new(generator) if dual is None else copied(dual.encoder).to("cpu")
    model: EliasModel
    if ranks is None:
        model = EliasModel(encoder, torch.from_numpy(entries), n_labels, params.alpha, params.beta_share, generator)
    else:
        shard = Shard(ranks, n_labels)
        model = ShardedModel(encoder, entries, shard, params.alpha, params.beta_share, generator)
    start_labels(model, seed, dual)
    return model


def start_labels(model: EliasModel, seed: int, dual: Dual | None) -> None:
    """Reinitialise the label classifier, from the dual encoder's labels if there is one."""
    model.fresh_labels(torch.Generator().manual_seed(seed))
    if dual is None:
        return
    for first in range(0, model.n_labels, LABELS):
        labels = slice(first, first + LABELS)
        known = dual.known[labels]
        weights = torch.from_numpy(dual.start(labels)[known]).to(model.label_weight.device)
        with torch.no_grad():
            model.label_weight[torch.from_numpy(first + np.flatnonzero(known)).to(weights.device)] = weights


def rebuild(weights: Arrays, params: Settled, source: Source) -> EliasModel:
    """The model with this `state_dict`, which shares the arrays' memory; they may be mapped from a file.

    KeyError, RuntimeError, TypeError or ValueError if the weights do not match the encoder.
    """
    tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
    weight, bias = tensors["label_weight"], tensors["label_bias"]
    model = build(source, 0, weights["entries"], params, 0)  # without labels: their random weights would be discarded
    if weight.shape != (len(bias), model.encoder.width) or {weight.dtype, bias.dtype} != {torch.float32}:
        raise ValueError(f"label weights have shape {tuple(weight.shape)} and type {weight.dtype}")
    model.n_labels = len(bias)
    model.label_weight, model.label_bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)
    if "adjacency" in tensors:
        model.adjacency = torch.nn.Parameter(tensors["adjacency"])
    model.load_state_dict(tensors, assign=True)
    return model
