"""A model with new weights, at the start of stage 2, or with weights that were kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from xmcbench_elias.labels import start_from_texts
from xmcbench_elias.model import EliasModel
from xmcbench_elias.params import EliasParams
from xmcbench_elias.source import Source
from xmcbench_elias.train import Weights

if TYPE_CHECKING:
    from xmcbench.context import RunContext


def build(source: Source, n_labels: int, entries: NDArray[np.int64], params: EliasParams, seed: int) -> EliasModel:
    """A model with new weights, on the CPU, so that they do not depend on the device."""
    generator = torch.Generator().manual_seed(seed)
    encoder = source.new(generator)
    return EliasModel(encoder, torch.from_numpy(entries), n_labels, params.alpha, params.beta_share, generator)


def start_labels(model: EliasModel, source: Source, seed: int, ctx: RunContext) -> None:
    """Start the label classifier anew, from texts where `source` has any."""
    model.fresh_labels(torch.Generator().manual_seed(seed))
    start_from_texts(model, source.labels, ctx)


def put_graph(model: EliasModel, entries: NDArray[np.int64], counts: NDArray[np.float32]) -> None:
    """Put the graph in place of the clustering; the adjacency's logits start at log(count + 1)."""
    device = model.entries.device
    model.entries = torch.from_numpy(entries).to(device)
    model.adjacency = torch.nn.Parameter(torch.from_numpy(np.log1p(counts)).to(device))


def rebuild(weights: Weights, params: EliasParams, source: Source) -> EliasModel:
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
