"""Two differentiable operations with row-sparse gradients: sum of table rows, and dots with table rows.

Both read a table (features × D, labels × D) at a few rows, and only these rows have a gradient. It is kept as the
factors it is the product of: a table under `RowAdamW` takes them as they are, so that not even its touched rows are
ever written down; any other gets a sparse tensor. On the CPU numba does the work; elsewhere torch does, in chunks, so
that no (n, K, D) gather ever exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xmcbench_elias import kernels

CHUNK = 1 << 25  # numbers a gathered chunk may hold: 128 MiB in float32
# All products are faster where K ≥ L / 5. Measured: the two are equally fast at K / L = 0.26 (L = 4,271, D = 512,
# n = 256), 0.2 (L = 1,000) and 0.1 (L = 20,000, D = 256, n = 512).
DENSE = 5
SUMS = 8  # parts of the table whose shares of the queries' gradient are summed apart; fixed, so that threads don't show


@dataclass(frozen=True)
class Groups:
    """Places of a sparse batch in the order of the table rows they name.

    Attributes
    ----------
    rows : (u,) int64, the table rows named, ascending. starts : (u + 1,) int64, each row's first place below.
    order : (m,) int64, positions in the batch's indices. owner : (m,) int32 or int64, batch row of each.
    """

    rows: Tensor
    starts: Tensor
    order: Tensor
    owner: Tensor


@dataclass(frozen=True)
class Factors:
    """A gradient for a few rows of a table: row rows[j] gets Σ values[order] · dense[owner] over its group."""

    groups: Groups
    values: Tensor
    dense: Tensor

    @classmethod
    def of_rows(cls, rows: Tensor, values: Tensor) -> Factors:
        """From a gradient (u, D) of rows (u,), each named once."""
        places = torch.arange(len(rows) + 1, device=rows.device)
        return cls(Groups(rows, places, places[:-1], places[:-1]), values.new_ones(len(rows)), values)

    def sums(self) -> Tensor:
        """(u,): Σ values[order] of each row's group."""
        groups, values = self.groups, self.values
        out = values.new_zeros(len(groups.rows))
        if on_cpu(values):
            kernels.sums(*_arrays(groups.starts, groups.order, values, out))
            return out
        return out.index_add_(0, _owners(groups.starts, len(groups.order)), values[groups.order])

    def multiplied(self) -> Tensor:
        """(u, D): one gradient for each of `groups.rows`."""
        groups, values, dense = self.groups, self.values, self.dense
        if on_cpu(dense):
            out = dense.new_empty(len(groups.rows), dense.shape[1])
            kernels.table_gradient(*_arrays(groups.starts, groups.order, groups.owner, values, dense, out))
            return out
        out = dense.new_zeros(len(groups.rows), dense.shape[1])
        place = _owners(groups.starts, len(groups.order))
        for part in _parts(len(place), dense.shape[1]):
            out.index_add_(0, place[part], dense[groups.owner[part]] * values[groups.order[part], None])
        return out


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
        return rows_times_table(table, indptr, indices, values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        indptr, indices, values = ctx.saved_tensors
        factors = Factors(group(indptr, indices, ctx.n_rows), values, gradient.contiguous())
        return hand_over(factors, ctx.n_rows, ctx.taker), None, None, None


class _GatherDot(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
        n, width = ids.shape
        indptr = torch.arange(n + 1, device=ids.device) * width
        ctx.groups, ctx.taker = group(indptr, ids.reshape(-1), table.shape[0]), taker(table)
        ctx.save_for_backward(queries, table)
        return dots(ctx.groups, queries, table, bias, ids)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        queries, table = ctx.saved_tensors
        factors = Factors(ctx.groups, gradient.contiguous().view(-1), queries.detach())
        for_bias = factors.values.new_zeros(table.shape[0])
        for_bias[ctx.groups.rows] = factors.sums()
        return query_gradient(factors, table), hand_over(factors, len(table), ctx.taker), for_bias, None


class _AllDots(torch.autograd.Function):
    """`gather_dot` by way of every product: two matrices are multiplied faster than so many of their rows."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(queries, table, ids)
        ctx.taker = taker(table)
        found = torch.addmm(bias, queries, table.T).gather(1, ids.clamp(max=len(table) - 1))
        return torch.where(ids < len(table), found, 0.0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        queries, table, ids = ctx.saved_tensors
        size = len(table)
        spread = gradient.new_zeros(len(ids), size + 1).scatter_add_(1, ids.clamp(max=size), gradient)[:, :size]
        factors = Factors.of_rows(torch.arange(size, device=ids.device), spread.T @ queries)
        return spread @ table, hand_over(factors, size, ctx.taker), spread.sum(0), None


def taker(table: Tensor) -> list[Factors] | None:
    """Where the optimiser of this table wants its gradients; None: nowhere, autograd is to have them."""
    found: list[Factors] | None = getattr(table, "factors", None)
    return found


def hand_over(factors: Factors, n_rows: int, to: list[Factors] | None) -> Tensor | None:
    """The gradient as autograd gets it: nothing where the table's optimiser takes it, else sparse (n_rows, D)."""
    if to is not None:
        to.append(factors)
        return None
    return sparse(factors, n_rows)


def sparse(factors: Factors, n_rows: int) -> Tensor:
    """(n_rows, D) sparse and coalesced."""
    rows, values = factors.groups.rows[None], factors.multiplied()
    shape = (n_rows, values.shape[1])
    return torch.sparse_coo_tensor(rows, values, shape, is_coalesced=True, check_invariants=False)


def group(indptr: Tensor, indices: Tensor, n_rows: int) -> Groups:
    """Turn a sparse batch round; indices past the table are left out."""
    if on_cpu(indices):
        found: Any = kernels.group(*_arrays(indptr, indices), n_rows)
        return Groups(*map(torch.from_numpy, found))
    inside = torch.nonzero(indices < n_rows)[:, 0]
    ids, order = indices[inside].sort(stable=True)
    rows, counts = torch.unique_consecutive(ids, return_counts=True)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    order = inside[order]
    return Groups(rows, starts, order, _owners(indptr, len(indices))[order])


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


def dots(groups: Groups, queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """The forward of `gather_dot`; `groups` of the (n, K) ids."""
    out = queries.new_zeros(ids.shape)
    if on_cpu(queries):
        given = groups.rows, groups.starts, groups.order, groups.owner, queries, table, bias
        kernels.dots(*_arrays(*given, out.view(-1)))
        return out
    named = torch.repeat_interleave(groups.rows, groups.starts.diff())
    for part in _parts(len(named), table.shape[1]):
        found = (queries[groups.owner[part]] * table[named[part]]).sum(1) + bias[named[part]]
        out.view(-1)[groups.order[part]] = found
    return out


def query_gradient(factors: Factors, table: Tensor) -> Tensor:
    """(n, D): row i is Σ values · table row over the places that batch row i owns."""
    groups, values = factors.groups, factors.values
    out = torch.zeros_like(factors.dense)
    if on_cpu(table):
        scratch = table.new_zeros(SUMS, *out.shape)
        given = groups.rows, groups.starts, groups.order, groups.owner, values, table, scratch, out
        kernels.query_gradient(*_arrays(*given))
        return out
    named = torch.repeat_interleave(groups.rows, groups.starts.diff())
    for part in _parts(len(named), table.shape[1]):
        out.index_add_(0, groups.owner[part], table[named[part]] * values[groups.order[part], None])
    return out


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
