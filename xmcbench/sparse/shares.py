"""Runs a kernel's shares in threads of Python, which kernels let run since they release the interpreter's lock.

Numba's own parallel loops take about three times as long to compile as the same kernel for one share.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from typing import Any

from numba import get_num_threads

THREADS = "xmcbench-kernels"  # begins the names of the kept threads


def run_shares(kernel: Callable[..., object], shares: int, *arguments: Any) -> None:
    """Call kernel(*arguments, share, shares) for each share from 0 to `shares` − 1, on as many threads as numba uses.

    More shares than threads let a thread that another program slows down do fewer of them.
    """
    threads = min(shares, get_num_threads())
    if threads == 1:  # waiting for no others takes 10 µs
        for share in range(shares):
            kernel(*arguments, share, shares)
        return
    units = iter(range(shares))

    def work() -> None:
        for share in units:
            kernel(*arguments, share, shares)

    others = [_pool(threads - 1).submit(work) for _ in range(threads - 1)]
    try:
        work()  # in the calling thread: waking up another one takes as long as a short kernel
    finally:
        wait(others)  # so that after Ctrl-C no share still writes
    for other in others:
        other.result()


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Kept, since starting threads takes as long as a short kernel."""
    return ThreadPoolExecutor(threads, THREADS)


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads
