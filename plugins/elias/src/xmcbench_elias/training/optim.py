"""Learning rates and weight decay of the parts of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmcbench.tables.optim import Optimisers

if TYPE_CHECKING:
    from xmcbench_elias.network.model import EliasModel
    from xmcbench_elias.params import Settled


def optimisers(model: EliasModel, params: Settled, factor: float, new: float = 1.0) -> Optimisers:
    """Row-wise AdamW for the encoder's tables and the label table, torch's for all other parameters.

    `factor` scales the learning rates of parameters from an earlier stage: encoder and cluster classifier; `new` those
    of label classifier and adjacency, which are reinitialised in each stage. Biases and the scales of layer norms have
    no weight decay.
    """
    tables = [(table, factor * params.table_rate) for table in model.encoder.tables()]
    tables.append((model.label_weight, new * params.table_rate))
    in_other_groups = {id(table) for table, _ in tables} | {id(model.adjacency)}
    others = {name: p for name, p in model.named_parameters() if id(p) not in in_other_groups and p.requires_grad}
    encoder_rate = params.rate if params.encoder_rate is None else params.encoder_rate
    groups: list[dict[str, Any]] = []
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
