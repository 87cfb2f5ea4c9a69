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


def run_shares(kernel: Callable[..., object], shares: int, *arguments: Any) -> None:
    """Call kernel(*arguments, share, shares) for each share from 0 to `shares` − 1, on as many threads as numba uses.

    More shares than threads let a thread that another program slows down do fewer of them.
    """
    threads = min(shares, get_num_threads())
    if threads == 1:
        for share in range(shares):
            kernel(*arguments, share, shares)
        return
    pool = _pool(threads)
    running = [pool.submit(kernel, *arguments, share, shares) for share in range(shares)]
    try:
        for future in running:
            future.result()
    finally:
        wait(running)  # so that after Ctrl-C no share still writes


@lru_cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Kept, since starting threads takes as long as a short kernel."""
    return ThreadPoolExecutor(threads)


os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads
