"""Exact search for the labels of largest inner product, on the CPU or a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from xmcbench.dense.blocks import search
from xmcbench.method import Progress
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from torch import Tensor

SMALL = 1 << 21  # multiplications that take less time than starting a second thread


def nearest(
    queries: NDArray[np.float32] | Tensor,
    labels: NDArray[np.float32] | Tensor,
    k: int,
    *,
    bias: NDArray[np.float32] | Tensor | None = None,
    device: str | None = None,
    progress: Progress | None = None,
) -> TopK:
    """The k labels of largest q · x + b for each query q, among all labels x.

    Parameters
    ----------
    queries : (n, D) float32. labels : (L, D) float32. Arrays in C order on the device are not copied.
    bias : (L,) float32, b; −inf excludes a label.
    device : where to search: "cpu", or torch's name of a GPU; None: where `labels` are.
    progress : called in the calling thread with (queries done by all threads, n); an exception ends the search.

    Returns
    -------
    (n, k), ordered by score descending then id ascending, −1 where there are fewer labels. On a CPU the number of
    threads (numba's) does not change the result; on a GPU `torch.topk` chooses arbitrarily among labels that tie for
    the last rank. Scores are float32 sums: those of equal vectors, or of a query alone and in a batch, may differ by
    rounding.

    Raises
    ------
    ValueError : wrong shapes, a type is not float32, or k is below 0.
    DataError : a score is NaN or +inf, for example because an input is; the message names the query.

    Memory in addition to the result: one block's product and top k per thread; on a GPU also the labels.
    """
    check(queries, labels, bias, k)
    if device is None:
        device = "cpu" if isinstance(labels, np.ndarray) else str(labels.device)
    if device != "cpu":
        from xmcbench.dense.gpu import nearest_by_torch

        return nearest_by_torch(queries, labels, k, bias=bias, device=device, progress=progress)
    q, x = _on_host(queries), _on_host(labels)
    b = np.zeros(len(x), np.float32) if bias is None else _on_host(bias)
    return search(q, x, b, k, 1 if q.size * len(x) < SMALL else get_num_threads(), progress)


def check(queries: Any, labels: Any, bias: Any, k: int) -> None:
    """Raise ValueError unless arrays or tensors are float32 with matching shapes, and k is at least 0."""
    if k < 0:
        raise ValueError(f"k is {k}, below 0")
    if queries.ndim != 2 or labels.ndim != 2 or queries.shape[1] != labels.shape[1]:
        raise ValueError(f"queries {tuple(queries.shape)} and labels {tuple(labels.shape)} must be (n, D) and (L, D)")
    if bias is not None and tuple(bias.shape) != (len(labels),):
        raise ValueError(f"bias {tuple(bias.shape)} must be one number per label, for {len(labels)} labels")
    for name, array in (("queries", queries), ("labels", labels), ("bias", bias)):
        if array is not None and str(array.dtype).removeprefix("torch.") != "float32":
            raise ValueError(f"{name} are {array.dtype}, not float32")


def _on_host(array: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(array if isinstance(array, np.ndarray) else array.detach().cpu().numpy())
