"""Differentiable exchanges between processes: what is added up in the forward pass, and what in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xmcbench.processes import Ranks


def summed_gradient(tensor: Tensor, ranks: Ranks) -> Tensor:
    """The same tensor, equal in all processes, of which each uses a part; its gradient is the sum of theirs."""
    out: Tensor = _SummedGradient.apply(tensor, ranks)  # type: ignore[no-untyped-call]
    return out


def summed(tensor: Tensor, ranks: Ranks) -> Tensor:
    """The sum over all processes; each continues with the gradient of its own term."""
    out: Tensor = _Summed.apply(tensor, ranks)  # type: ignore[no-untyped-call]
    return out


def all_rows(part: Tensor, rows: slice, n_rows: int, ranks: Ranks) -> Tensor:
    """(n, …) the rows of all processes, from each one's share; the gradient of a share is summed over processes."""
    out: Tensor = _AllRows.apply(part, rows, n_rows, ranks)  # type: ignore[no-untyped-call]
    return out


def log_sum_exp(part: Tensor, ranks: Ranks) -> Tensor:
    """(C, 1): log Σ exp over processes; the gradient of a part is that of all processes."""
    out: Tensor = _LogSumExp.apply(part, ranks)  # type: ignore[no-untyped-call]
    return out


class _SummedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.ranks.sum(gradient.contiguous().clone()), None


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        return ranks.sum(tensor.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None


class _AllRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, part: Tensor, rows: slice, n_rows: int, ranks: Ranks) -> Tensor:
        ctx.rows, ctx.ranks = rows, ranks
        out = part.new_zeros(n_rows, *part.shape[1:])
        out[rows] = part
        return ranks.sum(out)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return ctx.ranks.sum(gradient.contiguous().clone())[ctx.rows], None, None, None


class _LogSumExp(torch.autograd.Function):
    """log Σ exp over processes of (C, 1) logarithms."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, ranks: Ranks) -> Tensor:
        largest = ranks.largest(part.clone())
        total = largest + ranks.sum((part - largest).exp()).log()
        ctx.ranks = ranks
        ctx.save_for_backward((part - total).exp())
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (share,) = ctx.saved_tensors
        return ctx.ranks.sum(gradient.contiguous().clone()) * share, None
