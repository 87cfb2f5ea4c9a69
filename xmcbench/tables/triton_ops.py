"""Dot products with table rows and sums of table rows as Triton kernels, for GPUs; the same functions as `torch_ops`.

Table rows are loaded straight into registers, so no gathered array is stored, and the order of sums is fixed, so
results are reproducible to the last bit. With TRITON_INTERPRET=1 in the environment the kernels run without a GPU,
slowly, as in the tests. Kernels have many parameters, since Triton takes no tuples of arrays. They have no annotations
except `constexpr`: the compiler, unlike the interpreter, resolves annotations as globals of the kernel.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LABELS = 32  # labels of a row per program; chosen by register use, untuned
WIDTH = 128  # numbers of a table row per load
PLACES = 16  # table rows per partial sum


@triton.jit
def _dots(  # type: ignore[no-untyped-def]
    queries,
    table,
    bias,
    ids,
    out,
    n_rows,
    width,
    dim,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    inside = column < width
    label = tl.load(ids + row * width + column, mask=inside, other=n_rows)
    not_padding = label < n_rows
    total = tl.zeros((BLOCK_K,), tl.float32)
    for start in range(0, dim, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        query = tl.load(queries + row * dim + d, mask=d < dim, other=0.0)
        mask = not_padding[:, None] & (d < dim)[None, :]
        weight = tl.load(table + label[:, None] * dim + d[None, :], mask=mask, other=0.0)
        total += tl.sum(weight * query[None, :], axis=1)
    total += tl.load(bias + label, mask=not_padding, other=0.0)
    tl.store(out + row * width + column, total, mask=inside)


@triton.jit
def _weighted_rows(  # type: ignore[no-untyped-def]
    starts,
    order,
    owner,
    values,
    rows,
    out,
    n_rows,
    dim,
    ORDERED: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    segment = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    first = tl.load(starts + segment)
    last = tl.load(starts + segment + 1)
    total = tl.zeros((BLOCK_D,), tl.float32)
    for start in range(first, last, BLOCK_P):
        p = start + tl.arange(0, BLOCK_P)
        inside = p < last
        position = p
        if ORDERED:
            position = tl.load(order + p, mask=inside, other=0)
        value = tl.load(values + position, mask=inside, other=0.0)
        source = tl.load(owner + p, mask=inside, other=n_rows).to(tl.int64)
        mask = (source < n_rows)[:, None] & (d < dim)[None, :]
        row = tl.load(rows + source[:, None] * dim + d[None, :], mask=mask, other=0.0)
        total += tl.sum(row * value[:, None], axis=0)
    tl.store(out + segment * dim + d, total, mask=d < dim)


def dots(queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """See `torch_ops.dots`; all arrays float32, ids int64."""
    n, width = ids.shape
    out = queries.new_zeros(n, width)
    if out.numel():
        arguments = (x.contiguous() for x in (queries, table, bias, ids))
        grid = (n, triton.cdiv(width, LABELS))
        _dots[grid](*arguments, out, len(table), width, table.shape[1], BLOCK_K=LABELS, BLOCK_D=WIDTH)
    return out


def weighted_rows(starts: Tensor, order: Tensor | None, owner: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """See `torch_ops.weighted_rows`; values and rows float32."""
    m, dim = len(starts) - 1, rows.shape[1]
    out = torch.zeros(m, dim, dtype=rows.dtype, device=rows.device)
    if out.numel() and len(owner):
        arguments = (x.contiguous() for x in (starts, owner if order is None else order, owner, values, rows))
        grid = (m, triton.cdiv(dim, WIDTH))
        options = {"ORDERED": order is not None, "BLOCK_P": PLACES, "BLOCK_D": WIDTH}
        _weighted_rows[grid](*arguments, out, len(rows), dim, **options)
    return out
