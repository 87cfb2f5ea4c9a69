"""Two differentiable operations with row-sparse gradients: sum of table rows, and dots with table rows.

Both read a table (features × D, labels × D) at a few rows and give it a sparse gradient that names only these rows.
On the CPU numba does the work; elsewhere torch does, in chunks, so that no (n, K, D) gather ever exists.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xmcbench_elias import kernels

CHUNK = 1 << 25  # numbers a gathered chunk may hold: 128 MiB in float32


def bag(table: Tensor, indptr: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    """(n, D): row i is Σ values · table[indices] over row i of a CSR batch."""
    out: Tensor = _Bag.apply(table, indptr, indices, values)  # type: ignore[no-untyped-call]
    return out


def gather_dot(queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(n, K): queries[i] · table[ids[i, k]] + bias[ids[i, k]]; 0 where the id is past the table (padding)."""
    out: Tensor = _GatherDot.apply(queries, table, bias, ids)  # type: ignore[no-untyped-call]
    return out


class _Bag(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, indptr: Tensor, indices: Tensor, values: Tensor) -> Tensor:
        ctx.save_for_backward(indptr, indices, values)
        ctx.n_rows = table.shape[0]
        return rows_times_table(table, indptr, indices, values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        indptr, indices, values = ctx.saved_tensors
        return table_gradient(ctx.n_rows, indptr, indices, values, gradient.contiguous()), None, None, None


class _GatherDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(queries, table, ids)
        scores = dots(queries, table, ids)
        known = ids < table.shape[0]
        return scores + torch.where(known, bias[ids.clamp(max=table.shape[0] - 1)], 0.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        queries, table, ids = ctx.saved_tensors
        n, width = ids.shape
        indptr = torch.arange(0, n * width + 1, width, device=ids.device)
        indices, values = ids.reshape(-1), gradient.contiguous().reshape(-1)
        for_queries = rows_times_table(table, indptr, indices, values)
        for_table = table_gradient(table.shape[0], indptr, indices, values, queries)
        for_bias = values.new_zeros(table.shape[0] + 1)
        for_bias.index_add_(0, indices.clamp(max=table.shape[0]), values)
        return for_queries, for_table, for_bias[:-1], None


def rows_times_table(table: Tensor, indptr: Tensor, indices: Tensor, values: Tensor) -> Tensor:
    """The forward of `bag`."""
    out = table.new_empty(len(indptr) - 1, table.shape[1])
    if on_cpu(table):
        kernels.rows_times_table(*_arrays(indptr, indices, values, table, out))
        return out
    out.zero_()
    owner = _owners(indptr, len(indices))
    for part in _parts(len(indices), table.shape[1]):
        known = indices[part] < table.shape[0]
        found = table[indices[part].clamp(max=table.shape[0] - 1)]
        out.index_add_(0, owner[part], found * torch.where(known, values[part], 0.0)[:, None])
    return out


def table_gradient(n_rows: int, indptr: Tensor, indices: Tensor, values: Tensor, dense: Tensor) -> Tensor:
    """Sparse (n_rows, D), coalesced: row r is Σ values · dense[i] over the places of the batch that name r."""
    shape = (n_rows, dense.shape[1])
    if on_cpu(dense):
        rows, starts, order, owner = kernels.group(*_arrays(indptr, indices), n_rows)
        out = dense.new_empty(len(rows), dense.shape[1])
        kernels.table_gradient(starts, order, owner, *_arrays(values, dense, out))
        named = torch.from_numpy(rows)
    else:
        inside = indices < n_rows
        owner = _owners(indptr, len(indices))[inside]
        values = values[inside]
        named, place = torch.unique(indices[inside], return_inverse=True)
        out = dense.new_zeros(len(named), dense.shape[1])
        for part in _parts(len(place), dense.shape[1]):
            out.index_add_(0, place[part], dense[owner[part]] * values[part, None])
    return torch.sparse_coo_tensor(named[None], out, shape, is_coalesced=True, check_invariants=False)


def dots(queries: Tensor, table: Tensor, ids: Tensor) -> Tensor:
    """(n, K): queries[i] · table[ids[i, k]], 0 at padding."""
    n, width = ids.shape
    if on_cpu(queries):
        out = queries.new_empty(n, width)
        indptr = np.arange(0, n * width + 1, max(width, 1))[: n + 1]
        run: Any = kernels.dots
        run(indptr, *_arrays(ids.reshape(-1), queries, table, out.view(-1)))
        return out
    flat, owner = ids.reshape(-1), torch.arange(n, device=ids.device).repeat_interleave(width)
    scores = [
        (queries[owner[part]] * table[flat[part].clamp(max=table.shape[0] - 1)]).sum(1)
        for part in _parts(len(flat), table.shape[1])
    ]
    found = torch.cat(scores) if scores else queries.new_zeros(0)
    return torch.where(ids < table.shape[0], found.view(n, width), 0.0)


def on_cpu(tensor: Tensor) -> bool:
    """Do numba's kernels work on it?"""
    return tensor.device.type == "cpu"


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


def _owners(indptr: Tensor, size: int) -> Tensor:
    rows = torch.arange(len(indptr) - 1, device=indptr.device)
    return torch.repeat_interleave(rows, indptr.diff(), output_size=size)


def _parts(size: int, width: int) -> list[slice]:
    step = max(1, CHUNK // max(width, 1))
    return [slice(start, start + step) for start in range(0, size, step)]
