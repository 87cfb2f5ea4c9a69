"""Dots with table rows and sums of them as Triton kernels, for GPUs: each table row goes from memory to registers.

Nothing gathered is ever written down, and sums go in one order, so a run repeats to the bit. Twins of `torch_ops`.
With TRITON_INTERPRET=1 in the environment the kernels run without a GPU, slowly: the tests do so. Kernels have no
annotations but `constexpr`: the compiler, unlike the interpreter, looks each of them up as a global of the kernel.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

LABELS = 32  # labels of a row that one program scores; by register use, untuned
WIDTH = 128  # numbers of a table row that are read at a time
PLACES = 16  # table rows that are summed at a time


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
    known = label < n_rows
    total = tl.zeros((BLOCK_K,), tl.float32)
    for start in range(0, dim, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        query = tl.load(queries + row * dim + d, mask=d < dim, other=0.0)
        held = known[:, None] & (d < dim)[None, :]
        weight = tl.load(table + label[:, None] * dim + d[None, :], mask=held, other=0.0)
        total += tl.sum(weight * query[None, :], axis=1)
    total += tl.load(bias + label, mask=known, other=0.0)
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
    place = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    first = tl.load(starts + place)
    last = tl.load(starts + place + 1)
    total = tl.zeros((BLOCK_D,), tl.float32)
    for start in range(first, last, BLOCK_P):
        p = start + tl.arange(0, BLOCK_P)
        inside = p < last
        at = p
        if ORDERED:
            at = tl.load(order + p, mask=inside, other=0)
        value = tl.load(values + at, mask=inside, other=0.0)
        which = tl.load(owner + p, mask=inside, other=n_rows).to(tl.int64)
        held = (which < n_rows)[:, None] & (d < dim)[None, :]
        row = tl.load(rows + which[:, None] * dim + d[None, :], mask=held, other=0.0)
        total += tl.sum(row * value[:, None], axis=0)
    tl.store(out + place * dim + d, total, mask=d < dim)


def dots(queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """See `torch_ops.dots`; all float32, ids int64."""
    n, width = ids.shape
    out = queries.new_zeros(n, width)
    if out.numel():
        given = (x.contiguous() for x in (queries, table, bias, ids))
        grid = (n, triton.cdiv(width, LABELS))
        _dots[grid](*given, out, len(table), width, table.shape[1], BLOCK_K=LABELS, BLOCK_D=WIDTH)
    return out


def weighted_rows(starts: Tensor, order: Tensor | None, owner: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """See `torch_ops.weighted_rows`; values and rows float32."""
    m, dim = len(starts) - 1, rows.shape[1]
    out = torch.zeros(m, dim, dtype=rows.dtype, device=rows.device)
    if out.numel() and len(owner):
        given = (x.contiguous() for x in (starts, owner if order is None else order, owner, values, rows))
        grid = (m, triton.cdiv(dim, WIDTH))
        how = {"ORDERED": order is not None, "BLOCK_P": PLACES, "BLOCK_D": WIDTH}
        _weighted_rows[grid](*given, out, len(rows), dim, **how)
    return out
