"""Exact search in torch, for a GPU: `torch.topk` of each block's product, merged with the best so far.

On a CPU `torch.topk` takes longer than the product itself, so this serves only as a reference for tests there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xmcbench.dense.exact import not_finite
from xmcbench.method import Progress
from xmcbench.topk import PAD, TopK

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

QUERIES, LABELS = 2048, 65_536  # block size: the product takes 512 MiB


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
    """`exact.nearest` for checked input. All labels are moved to the device at once, queries block by block.

    Products are float32 unless the caller enables TF32 in torch, which is off by default.

    Raises
    ------
    DataError : a score is NaN or +inf.
    """
    queries, labels = torch.as_tensor(queries), torch.as_tensor(labels).to(device)
    b = None if bias is None else torch.as_tensor(bias).to(device)
    blocks = []
    for first in range(0, len(queries), QUERIES):
        rows = queries[first : first + QUERIES].to(device)
        ids, scores = _block(rows, labels, b, k)
        bad = (scores.isnan() | (scores == torch.inf)).any(dim=1)
        if bad.any():
            raise not_finite(first + int(bad.int().argmax()))
        blocks.append((ids.int().cpu(), scores.cpu()))
        if progress is not None:
            progress(first + len(rows), len(queries))
    empty: tuple[Any, Any] = (torch.empty((0, k), dtype=torch.int32), torch.empty((0, k)))
    ids, scores = (torch.cat(arrays) for arrays in zip(empty, *blocks, strict=True))
    return TopK(ids.numpy(), scores.numpy())


def _block(queries: Tensor, labels: Tensor, bias: Tensor | None, k: int) -> tuple[Tensor, Tensor]:
    """(n, k) ids and scores of one block of queries, score descending then id ascending."""
    ids = torch.full((len(queries), k), PAD, dtype=torch.int64, device=labels.device)
    scores = torch.full((len(queries), k), -torch.inf, device=labels.device)
    for first in range(0, len(labels), LABELS):
        part = labels[first : first + LABELS].T
        product = queries @ part if bias is None else torch.addmm(bias[first : first + LABELS], queries, part)
        best, columns = product.topk(min(k, product.shape[1]), dim=1)
        scores, selected = torch.cat([scores, best], dim=1).topk(k, dim=1)
        ids = torch.cat([ids, columns + first], dim=1).gather(1, selected)
    ids = ids.masked_fill(scores == -torch.inf, torch.iinfo(torch.int64).max)  # padding goes last
    ids, order = ids.sort(dim=1)
    scores, by_score = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    ids = ids.gather(1, by_score)
    return ids.masked_fill(scores == -torch.inf, PAD), scores
