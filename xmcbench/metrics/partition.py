"""Rows cut into pieces and counted on all threads: kernels and numpy release the GIL, and idle threads sleep."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TypeVar

ROWS = 32_768  # rows of a piece: with fewer, threads wait for the interpreter; with more, columns leave the cache
Result = TypeVar("Result")


def threads() -> int:
    """How many threads numba, and so xmcbench, is set to."""
    import numba

    return int(numba.get_num_threads())


def everywhere(n: int, work: Callable[[int, int], Result], size: int = ROWS) -> list[Result]:
    """Call work(begin, end) for pieces of 0 … n, on all threads, and return what each gave, in order.

    Pieces are all about as long as `size`, a power of two of them so that they share out evenly. They do not depend on
    the number of threads, so sums over them don't either.
    """
    count = 1 << max(0, round(math.log2(max(n, 1) / size)))
    edges = [n * i // count for i in range(count + 1)]
    workers = min(count, threads())
    if workers == 1:
        return [work(begin, end) for begin, end in pairwise(edges)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, edges, edges[1:]))
