"""A model with new weights, at the start of stage 2, or with weights that were kept."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench_elias.dual import Dual
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import Settled
from xmcbench_elias.source import Source, copied
from xmcbench_elias.train import Weights


def build(
    source: Source, n_labels: int, entries: NDArray[np.int64], params: Settled, seed: int, dual: Dual | None = None
) -> EliasModel:
    """A model with new weights, on the CPU, so that no device shows in them; or one that starts from `dual`."""
    generator = torch.Generator().manual_seed(seed)
    encoder = source.new(generator) if dual is None else copied(dual.encoder).to("cpu")
    model = EliasModel(encoder, torch.from_numpy(entries), n_labels, params.alpha, params.beta_share, generator)
    start_labels(model, seed, dual)
    return model


def start_labels(model: EliasModel, seed: int, dual: Dual | None) -> None:
    """Start the label classifier anew, from the dual encoder's labels where there is one."""
    model.fresh_labels(torch.Generator().manual_seed(seed))
    if dual is not None:
        known = torch.from_numpy(np.flatnonzero(dual.known)).to(model.label_weight.device)
        with torch.no_grad():
            model.label_weight[known] = torch.from_numpy(dual.start()[dual.known]).to(model.label_weight.device)


def put_graph(model: EliasModel, entries: NDArray[np.int64], counts: NDArray[np.float32]) -> None:
    """Put the graph in place of the clustering; the adjacency's logits start at log(count + 1)."""
    device = model.entries.device
    model.entries = torch.from_numpy(entries).to(device)
    model.adjacency = torch.nn.Parameter(torch.from_numpy(np.log1p(counts)).to(device))


def rebuild(weights: Weights, params: Settled, source: Source) -> EliasModel:
    """The model whose `state_dict` these weights are.

    Raises
    ------
    KeyError, RuntimeError, TypeError : they are no model's with that encoder.
    """
    model = build(source, len(weights["label_weight"]), weights["entries"], params, 0)
    if "adjacency" in weights:
        model.adjacency = torch.nn.Parameter(torch.from_numpy(weights["adjacency"]))
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return model
