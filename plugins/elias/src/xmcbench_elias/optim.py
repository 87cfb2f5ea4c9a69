"""Which part of the network learns at which rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xmcbench.tables.optim import Optimisers

if TYPE_CHECKING:
    from xmcbench_elias.model import EliasModel
    from xmcbench_elias.params import EliasParams


def optimisers(model: EliasModel, params: EliasParams, factor: float) -> Optimisers:
    """Row-wise AdamW for the feature and label tables, torch's for all else.

    `factor` scales the learning rates of what an earlier stage trained: encoder and cluster classifier. Label
    classifier and adjacency start anew in each stage.
    """
    tables = [(model.encoder.embed, factor * params.table_rate), (model.label_weight, params.table_rate)]
    taken = {id(table) for table, _ in tables} | {id(model.adjacency)}
    rest = [(name, p) for name, p in model.named_parameters() if id(p) not in taken]
    rate = factor * params.rate
    groups: list[dict[str, Any]] = [
        {"params": [p for name, p in rest if "bias" not in name], "lr": rate, "weight_decay": params.decay},
        {"params": [p for name, p in rest if "bias" in name], "lr": rate, "weight_decay": 0.0},
    ]
    if model.adjacency is not None:
        groups.append({"params": [model.adjacency], "lr": params.adjacency_rate, "weight_decay": params.decay})
    return Optimisers(tables, groups, params.decay)
