"""Runs a kernel's shares in threads of Python, which kernels let run since they release the interpreter's lock.

Numba's own parallel loops take about three times as long to compile as the same kernel for one share.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def run_shares(kernel: Callable[..., object], workers: int, *arguments: Any) -> None:
    """Call kernel(*arguments, worker, workers) for each worker from 0 to `workers` − 1, each in a thread."""
    if workers == 1:
        kernel(*arguments, 0, 1)
        return
    with ThreadPoolExecutor(workers) as pool:
        for share in [pool.submit(kernel, *arguments, worker, workers) for worker in range(workers)]:
            share.result()
