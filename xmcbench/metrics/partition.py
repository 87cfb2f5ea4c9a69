"""Runs work on pieces of rows in all threads; kernels and numpy release the GIL."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

ROWS = 32_768  # rows per piece: with fewer, threads wait for the interpreter; with more, columns leave the cache
Result = TypeVar("Result")


def threads() -> int:
    """Number of threads that numba, and therefore xmcbench, uses."""
    import numba

    return int(numba.get_num_threads())


def everywhere(n: int, work: Callable[[int, int], Result], size: int = ROWS) -> list[Result]:
    """Call work(begin, end) for pieces of 0 … n, on all threads, and return the results in order.

    Each piece has about `size` rows. Their number is a power of two, so that threads get equal shares, and does not
    depend on the number of threads, so sums over pieces don't either.
    """
    count = 1 << max(0, round(math.log2(max(n, 1) / size)))
    edges = [n * i // count for i in range(count + 1)]
    workers = min(count, threads())
    if workers == 1:
        return [work(begin, end) for begin, end in pairwise(edges)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, edges, edges[1:]))
