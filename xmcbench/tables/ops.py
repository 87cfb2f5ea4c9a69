"""Two differentiable operations with row-sparse gradients: sums of table rows, and dot products with table rows.

Both read a few rows of a table (features × D, labels × D), and only these rows have a gradient. It is represented by
its factors: a table under `RowAdamW` gets the factors, so that the gradient is never stored; any other table gets a
sparse tensor. The factors go into a list that is attached to the parameter, since `Tensor.grad` takes tensors alone,
and a sparse tensor would store all products. Modules that own a table know nothing of its optimiser, so an object of
its own would have to pass through all of them.

The implementation is numba on the CPU, elsewhere Triton if it is installed (`triton_ops`), else torch in chunks
(`torch_ops`). No (n, K, D) array is ever built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xmcbench.tables import kernels, torch_ops
from xmcbench.tables.kernels import Groups

DENSE = 5  # from K ≥ L / 5 on, computing all products is faster; the two break even at K / L from 0.1 to 0.26
SUMS = 8  # partial sums of the queries' gradient; fixed, so that the result does not depend on the number of threads


@dataclass(frozen=True)
class Factors:
    """The gradient of a few rows of a table: that of row rows[j] is Σ values[order] · dense[owner] over its group."""

    groups: Groups[Tensor]
    values: Tensor
    dense: Tensor

    @classmethod
    def of_rows(cls, rows: Tensor, values: Tensor) -> Factors:
        """From a gradient (u, D) of distinct rows (u,)."""
        positions = torch.arange(len(rows) + 1, device=rows.device)
        return cls(Groups(rows, positions, positions[:-1], positions[:-1]), values.new_ones(len(rows)), values)

    def sums(self) -> Tensor:
        """(u,): Σ values[order] of each row's group."""
        groups, values = self.groups, self.values
        out = values.new_zeros(len(groups.rows))
        if on_cpu(values):
            kernels.sums(Groups(*_arrays(*groups)), *_arrays(values, out))
            return out
        return out.index_add_(0, torch_ops.owners(groups.starts, len(groups.order)), values[groups.order])

    def multiplied(self) -> Tensor:
        """(u, D): the gradient of each of `groups.rows`."""
        groups, values, dense = self.groups, self.values, self.dense
        if on_cpu(dense):
            out = dense.new_empty(len(groups.rows), dense.shape[1])
            kernels.table_gradient(Groups(*_arrays(*groups)), *_arrays(values, dense, out))
            return out
        gradient: Tensor = elsewhere(dense).weighted_rows(groups.starts, groups.order, groups.owner, values, dense)
        return gradient


def bag(table: Tensor, indptr: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    """(n, D): row i is Σ values · table[indices] over row i of a CSR batch."""
    out: Tensor = _Bag.apply(table, indptr, indices, values)  # type: ignore[no-untyped-call]
    return out


def gather_dot(queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(n, K): queries[i] · table[ids[i, k]] + bias[ids[i, k]]; 0 where the id is past the table (padding)."""
    form = _AllDots if ids.shape[1] * DENSE >= len(table) and on_cpu(table) else _GatherDot
    out: Tensor = form.apply(queries, table, bias, ids)  # type: ignore[no-untyped-call]
    return out


class _Bag(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, indptr: Tensor, indices: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(indptr, indices, values)
        ctx.n_rows, ctx.taker = table.shape[0], taker(table)
        if not on_cpu(table):
            out: Tensor = elsewhere(table).weighted_rows(indptr, None, indices, values, table)
            return out
        out = table.new_empty(len(indptr) - 1, table.shape[1])
        kernels.rows_times_table(*_arrays(indptr, indices, values, table, out))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        indptr, indices, values = ctx.saved_tensors
        factors = Factors(group(indptr, indices, ctx.n_rows), values, gradient.contiguous())
        return hand_over(factors, ctx.n_rows, ctx.taker), None, None, None


class _GatherDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
        ctx.taker = taker(table)
        ctx.save_for_backward(queries, table, ids)
        if not on_cpu(table):
            out: Tensor = elsewhere(table).dots(queries, table, bias, ids)
            return out
        ctx.groups = group_rows(ids, len(table))
        out = queries.new_zeros(ids.shape)
        kernels.dots(Groups(*_arrays(*ctx.groups)), *_arrays(queries, table, bias, out.view(-1)))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        queries, table, ids = ctx.saved_tensors
        groups = ctx.groups if on_cpu(table) else group_rows(ids, len(table))
        factors = Factors(groups, gradient.contiguous().view(-1), queries.detach())
        for_bias = factors.values.new_zeros(len(table))
        for_bias[groups.rows] = factors.sums()
        return query_gradient(factors, table, ids), hand_over(factors, len(table), ctx.taker), for_bias, None


class _AllDots(torch.autograd.Function):
    """`gather_dot` from all products: faster for large K, since it is one matrix product."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(queries, table, ids)
        ctx.taker = taker(table)
        products = torch.addmm(bias, queries, table.T).gather(1, ids.clamp(max=len(table) - 1))
        return torch.where(ids < len(table), products, 0.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        queries, table, ids = ctx.saved_tensors
        size = len(table)
        dense_gradient = gradient.new_zeros(len(ids), size + 1).scatter_add_(1, ids.clamp(max=size), gradient)[:, :size]
        factors = Factors.of_rows(torch.arange(size, device=ids.device), dense_gradient.T @ queries)
        return dense_gradient @ table, hand_over(factors, size, ctx.taker), dense_gradient.sum(0), None


def taker(table: Tensor) -> list[Factors] | None:
    """The list in which this table's optimiser collects gradients; None: autograd gets them."""
    collected: list[Factors] | None = getattr(table, "factors", None)
    return collected


def hand_over(factors: Factors, n_rows: int, collected: list[Factors] | None) -> Tensor | None:
    """Append the gradient to the optimiser's list and return None; without a list return it, sparse (n_rows, D)."""
    if collected is not None:
        collected.append(factors)
        return None
    rows, values = factors.groups.rows[None], factors.multiplied()
    shape = (n_rows, values.shape[1])
    return torch.sparse_coo_tensor(rows, values, shape, is_coalesced=True, check_invariants=False)


def group(indptr: Tensor, indices: Tensor, n_rows: int) -> Groups[Tensor]:
    """Group a sparse batch by table row; indices past the table are left out."""
    if on_cpu(indices):
        run: Any = kernels.group
        return Groups(*map(torch.from_numpy, run(*_arrays(indptr, indices), n_rows)))
    inside = torch.nonzero(indices < n_rows)[:, 0]
    ids, order = indices[inside].sort(stable=True)
    rows, counts = torch.unique_consecutive(ids, return_counts=True)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    order = inside[order]
    return Groups(rows, starts, order, torch_ops.owners(indptr, len(indices))[order])


def merged(parts: Sequence[Factors]) -> Factors:
    """Merge gradients of one table, for example those of documents and labels through one encoder."""
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([[len(part.values), len(part.dense)] for part in parts], axis=0)[:-1]
    offsets = [(0, 0), *map(tuple, ends.tolist())]
    groups = _merged_groups([part.groups for part in parts], offsets)
    return Factors(groups, torch.cat([part.values for part in parts]), torch.cat([part.dense for part in parts]))


def _merged_groups(parts: list[Groups[Tensor]], offsets: list[tuple[int, int]]) -> Groups[Tensor]:
    """Merge groups; `offsets` are the numbers of values and of batch rows in earlier parts."""
    pairs = list(zip(parts, offsets, strict=True))
    device = parts[0].rows.device
    if device.type == "cpu":  # numpy is faster: its stable sort merges runs that are already sorted
        table_rows = np.concatenate([np.repeat(part.rows.numpy(), np.diff(part.starts.numpy())) for part in parts])
        by_row = np.argsort(table_rows, kind="stable")
        order = np.concatenate([part.order.numpy() + values for part, (values, _) in pairs])[by_row]
        owner = np.concatenate([part.owner.numpy().astype(np.int64) + rows for part, (_, rows) in pairs])[by_row]
        sorted_rows = table_rows[by_row]
        starts = np.concatenate([np.flatnonzero(np.diff(sorted_rows, prepend=-1)), [len(sorted_rows)]])
        return Groups(*map(torch.from_numpy, (sorted_rows[starts[:-1]], starts, order, owner)))
    row_keys = torch.cat([part.rows.repeat_interleave(part.starts.diff()) for part in parts])
    sorted_keys, permutation = row_keys.sort(stable=True)
    unique, count = torch.unique_consecutive(sorted_keys, return_counts=True)
    return Groups(
        unique,
        torch.cat([count.new_zeros(1), count.cumsum(0)]),
        torch.cat([part.order + values for part, (values, _) in pairs])[permutation],
        torch.cat([part.owner.long() + rows for part, (_, rows) in pairs])[permutation],
    )


def group_rows(ids: Tensor, n_rows: int) -> Groups[Tensor]:
    """`group` of a full (n, K) batch."""
    indptr = torch.arange(len(ids) + 1, device=ids.device) * ids.shape[1]
    return group(indptr, ids.reshape(-1), n_rows)


def query_gradient(factors: Factors, table: Tensor, ids: Tensor) -> Tensor:
    """(n, D): row i is Σ values · table row over the K positions of batch row i."""
    if not on_cpu(table):
        indptr = torch.arange(len(ids) + 1, device=ids.device) * ids.shape[1]
        gradient: Tensor = elsewhere(table).weighted_rows(indptr, None, ids.reshape(-1), factors.values, table)
        return gradient
    out = torch.zeros_like(factors.dense)
    scratch = table.new_zeros(SUMS, *out.shape)
    kernels.query_gradient(Groups(*_arrays(*factors.groups)), *_arrays(factors.values, table, scratch, out))
    return out


def on_cpu(tensor: Tensor) -> bool:
    """Whether numba's kernels handle this tensor."""
    return tensor.device.type == "cpu"


def elsewhere(tensor: Tensor) -> Any:
    """The module with `dots` and `weighted_rows` for a tensor on this device: Triton's, or torch's."""
    if tensor.device.type != "cuda" or tensor.dtype != torch.float32:
        return torch_ops
    try:
        from xmcbench.tables import triton_ops
    except ImportError:  # torch for CUDA includes Triton only on Linux
        return torch_ops
    return triton_ops


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)
