"""Weights of torch modules as numpy arrays, and groups of named arrays as one mapping, which npz files need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

Arrays = dict[str, NDArray[Any]]


def weights_of(module: nn.Module) -> Arrays:
    """The arrays of a module's `state_dict`; on a CPU they share the module's memory."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}


def put_weights(module: nn.Module, weights: Mapping[str, NDArray[Any]]) -> None:
    """Load the arrays of `weights_of`; RuntimeError or TypeError if they do not match the module."""
    module.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


def flat(groups: Mapping[str, Mapping[str, NDArray[Any]]]) -> Arrays:
    """One mapping with the keys "group/name"."""
    return {f"{group}/{name}": value for group, named in groups.items() for name, value in named.items()}


def grouped(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Arrays]:
    """The groups that `flat` merged; a group without arrays is missing."""
    groups: dict[str, Arrays] = {}
    for key, value in arrays.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = value
    return groups
