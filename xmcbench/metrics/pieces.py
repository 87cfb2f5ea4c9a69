"""Rows cut into pieces and counted on all threads: the kernels release the GIL, and idle threads sleep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar

_WORTH = 4096  # pieces smaller than this cost more to hand out than to do


Item = TypeVar("Item")
Result = TypeVar("Result")


def threads() -> int:
    """How many threads numba, and so xmcbench, is set to."""
    import numba

    return int(numba.get_num_threads())


def everywhere(n: int, work: Callable[[int, int], Any], *, pieces: int | None = None, worth: int = _WORTH) -> list[Any]:
    """Call work(begin, end) for pieces of 0 … n, on all threads, and return what each gave, in order.

    Parameters
    ----------
    pieces : how many at most; None: four a thread, so that a thread the machine slows down holds up little.
    worth : the least size of a piece.
    """
    count = max(1, min(n // worth, 4 * threads() if pieces is None else pieces))
    if count == 1:
        return [work(0, n)]
    edges = [n * i // count for i in range(count + 1)]
    return on_threads(lambda piece: work(*piece), list(pairwise(edges)))


def on_threads(work: Callable[[Item], Result], items: Sequence[Item], *, rows: int = _WORTH) -> list[Result]:
    """work(item) of each, on all threads if a job on so many `rows` is worth it; numpy and the kernels free the GIL."""
    workers = min(len(items), threads())
    if workers <= 1 or rows < _WORTH:
        return [work(item) for item in items]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, items))
