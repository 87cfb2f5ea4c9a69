"""Differentiable exchanges between processes: what is added up in the forward pass, and what in the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xmcbench.processes import Ranks

LEAST = -80.0  # logarithm of a share of 1.8e-35, which counts as 0 beside the largest of a cluster


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


def log_entries(logits: Tensor, filled: Tensor, log_beta: Tensor, ranks: Ranks, empty: float) -> Tensor:
    """(C, width) log a = min(0, log β + log softmax over the entries of all processes); `empty` where not `filled`.

    Parameters
    ----------
    logits : (C, width). filled : (C, width) bool. log_beta : (C, 1). All are of this process's entries.
    """
    out: Tensor = _LogEntries.apply(logits, filled, log_beta, ranks, empty)  # type: ignore[no-untyped-call]
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


class _LogEntries(torch.autograd.Function):
    """See `log_entries`. Few passes: the arrays are as large as the graph, and each step computes them."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, filled: Tensor, log_beta: Tensor, ranks: Ranks, empty: float) -> Tensor:
        out = torch.where(filled, logits, empty)
        own_largest = out.amax(dim=1, keepdim=True)
        # MKL takes several times as long for an exponential that underflows
        share = (out - own_largest).clamp_(min=LEAST).exp_().mul_(filled)
        # One exchange for both: a sum over another process's largest is brought to that of all.
        theirs = ranks.stacked(torch.cat([own_largest, share.sum(dim=1, keepdim=True)], dim=1))
        largest = theirs[:, :, :1].amax(dim=0)
        total = (theirs[:, :, 1:] * (theirs[:, :, :1] - largest).exp()).sum(dim=0)
        out += log_beta - largest - total.log()
        is_free = (out <= 0) & filled
        ctx.ranks = ranks
        ctx.save_for_backward(share.mul_((own_largest - largest).exp() / total), is_free)
        return torch.where(filled, out.clamp_(max=0), empty)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        share, is_free = ctx.saved_tensors
        own = gradient * is_free
        total = ctx.ranks.sum(own.sum(dim=1, keepdim=True))
        return own.addcmul_(share, total, value=-1), None, None, None, None
