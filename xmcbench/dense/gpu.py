"""Exact search in torch, for a GPU: `torch.topk` of each block's product, merged with the best so far.

On a CPU `torch.topk` takes longer than the product that it looks through; there this is the twin that tests compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xmcbench.dense.blocks import Progress, not_finite
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUERIES, LABELS = 2048, 65_536  # of a block: its product is 512 MiB, little beside a GPU's memory


@torch.no_grad()
def nearest_by_torch(
    queries: NDArray[np.float32] | Tensor,
    labels: NDArray[np.float32] | Tensor,
    k: int,
    *,
    bias: NDArray[np.float32] | Tensor | None = None,
    device: str = "cuda",
    progress: Progress | None = None,
) -> TopK:
    """As `exact.nearest`, of checked input; labels are moved to the device whole, queries block by block.

    Products are of float32 unless the caller lets torch use TF32, which is off by default.

    Raises
    ------
    DataError : a score is NaN or +inf.
    """
    queries, labels = torch.as_tensor(queries), torch.as_tensor(labels).to(device)
    b = None if bias is None else torch.as_tensor(bias).to(device)
    found = []
    for first in range(0, len(queries), QUERIES):
        rows = queries[first : first + QUERIES].to(device)
        ids, scores = _block(rows, labels, b, k)
        bad = (scores.isnan() | (scores == torch.inf)).any(dim=1)
        if bad.any():
            raise not_finite(first + int(bad.int().argmax()))
        found.append((ids.int().cpu(), scores.cpu()))
        if progress is not None:
            progress(first + len(rows), len(queries))
    empty: tuple[Any, Any] = (torch.empty((0, k), dtype=torch.int32), torch.empty((0, k)))
    ids, scores = (torch.cat(parts) for parts in zip(empty, *found, strict=True))
    return TopK(ids.numpy(), scores.numpy())


def _block(queries: Tensor, labels: Tensor, bias: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """(n, k) ids and scores of one block of queries, in the one order."""
    ids = torch.full((len(queries), k), PAD, dtype=torch.int64, device=labels.device)
    scores = torch.full((len(queries), k), -torch.inf, device=labels.device)
    for first in range(0, len(labels), LABELS):
        part = labels[first : first + LABELS].T
        product = queries @ part if bias is None else torch.addmm(bias[first : first + LABELS], queries, part)
        best, at = product.topk(min(k, product.shape[1]), dim=1)
        scores, kept = torch.cat([scores, best], dim=1).topk(k, dim=1)
        ids = torch.cat([ids, at + first], dim=1).gather(1, kept)
    ids = ids.masked_fill(scores == -torch.inf, torch.iinfo(torch.int64).max)  # padding goes last
    ids, order = ids.sort(dim=1)
    scores, falling = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, falling)
    return ids.masked_fill(scores == -torch.inf, PAD), scores
