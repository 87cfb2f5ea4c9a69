"""Dot products with table rows and sums of table rows in plain torch, for any device, gathered chunk by chunk."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 1 << 25  # numbers per gathered chunk: 128 MiB in float32


def dots(queries: Tensor, table: Tensor, bias: Tensor, ids: Tensor) -> Tensor:
    """(n, K): queries[i] · table[ids[i, k]] + bias[ids[i, k]]; 0 where the id is past the table."""
    out = queries.new_empty(ids.shape)
    for part in parts(len(ids), ids.shape[1] * table.shape[1]):
        safe = ids[part].clamp(max=len(table) - 1)
        out[part] = torch.bmm(table[safe], queries[part, :, None])[:, :, 0] + bias[safe]
    return torch.where(ids < len(table), out, 0.0)


def weighted_rows(starts: Tensor, order: Tensor | None, owner: Tensor, values: Tensor, rows: Tensor) -> Tensor:
    """(m, D): out[j] = Σ values[order[p]] · rows[owner[p]] over p in starts[j] … starts[j + 1].

    Parameters
    ----------
    starts : (m + 1,) ascending. order : (nnz,) positions in `values`; None: 0, 1, 2, …
    owner : (nnz,) rows of `rows`; ids past its end are padding.
    """
    out = rows.new_zeros(len(starts) - 1, rows.shape[1])
    segment = owners(starts, len(owner))
    values = values if order is None else values[order]
    for part in parts(len(owner), rows.shape[1]):
        inside = owner[part] < len(rows)
        weighted = rows[owner[part].clamp(max=len(rows) - 1)] * torch.where(inside, values[part], 0.0)[:, None]
        out.index_add_(0, segment[part], weighted)
    return out


def owners(indptr: Tensor, size: int) -> Tensor:
    """(size,) int64: the row of each stored number of a CSR matrix."""
    rows = torch.arange(len(indptr) - 1, device=indptr.device)
    return torch.repeat_interleave(rows, indptr.diff(), output_size=size)


def parts(size: int, width: int) -> list[slice]:
    """Slices of `size` rows of `width` numbers, each of at most `CHUNK` numbers."""
    step = max(1, CHUNK // max(width, 1))
    return [slice(start, start + step) for start in range(0, size, step)]
