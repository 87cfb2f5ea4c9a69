"""Exact search for the labels of largest inner product, on the CPU or a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads
from numpy.typing import NDArray

from xmcbench.dense.blocks import Progress, Search
from xmcbench.topk import TopK

if TYPE_CHECKING:
    from torch import Tensor

SMALL = 1 << 21  # multiplications that are done before a second thread has started


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
    queries : (n, D) float32. labels : (L, D) float32. Those in C order and on the device are not copied.
    bias : (L,) float32, b; −inf leaves a label out.
    device : "cpu", or what torch calls a GPU: where to search; where `labels` are if not given.
    progress : called after each block of queries that the caller's own thread searches, with the number done by all
        and n; what it raises ends the search.

    Returns
    -------
    (n, k), equal scores by rising label id, −1 where there are fewer labels. On a CPU the threads are those that numba
    may use, and their number changes no bit; on a GPU `torch.topk` chooses as it likes among labels that tie for the
    last place, and what it chose is in the one order. Scores are float32 sums: those of equal vectors, or of a query
    alone and in a batch, may differ by rounding.

    Raises
    ------
    ValueError : shapes don't fit, a type is not float32, or k is below 0.
    DataError : a score is NaN or +inf (the query is named), as it is if an input is.

    Beside the result, memory is one block's product and result for each thread; on a GPU also the labels.
    """
    check(queries, labels, bias, k)
    if device is None:
        device = "cpu" if isinstance(labels, np.ndarray) else str(labels.device)
    if device != "cpu":
        from xmcbench.dense.gpu import nearest_by_torch

        return nearest_by_torch(queries, labels, k, bias=bias, device=device, progress=progress)
    q, x = _on_host(queries), _on_host(labels)
    b = np.zeros(len(x), np.float32) if bias is None else _on_host(bias)
    return Search(q, x, b, k, 1 if q.size * len(x) < SMALL else get_num_threads()).run(progress)


def check(queries: Any, labels: Any, bias: Any, k: int) -> None:
    """Raise ValueError unless arrays or tensors are of fitting shapes and float32, and k is at least 0."""
    if k < 0:
        raise ValueError(f"k is {k}, below 0")
    if queries.ndim != 2 or labels.ndim != 2 or queries.shape[1] != labels.shape[1]:
        raise ValueError(f"queries {tuple(queries.shape)} and labels {tuple(labels.shape)} must be (n, D) and (L, D)")
    if bias is not None and tuple(bias.shape) != (len(labels),):
        raise ValueError(f"bias {tuple(bias.shape)} must be one number for each of {len(labels)} labels")
    for name, given in (("queries", queries), ("labels", labels), ("bias", bias)):
        if given is not None and str(given.dtype).removeprefix("torch.") != "float32":
            raise ValueError(f"{name} are {given.dtype}, not float32")


def _on_host(given: Any) -> NDArray[np.float32]:
    return np.ascontiguousarray(given if isinstance(given, np.ndarray) else given.detach().cpu().numpy())
