"""The machine a run sees: device, cores, threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from xmcbench.errors import XmcError


def pick_device(asked: str, usable: Sequence[str]) -> str:
    """ "cpu" or "cuda": what was asked, or cuda where the method can use it and torch sees one.

    Raises
    ------
    XmcError : cuda was asked and torch sees none.
    """
    if asked == "cpu" or "cuda" not in usable:
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if asked == "cuda":
        raise XmcError("--device cuda: torch sees no GPU", "Leave --device away, or install torch with CUDA.")
    return "cpu"


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def gpu_memory(device: str) -> int:
    """Bytes of the GPU's memory; 0 on a CPU."""
    if device != "cuda":
        return 0
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)


@contextmanager
def thread_limits(threads: int) -> Iterator[None]:
    """numba, BLAS and torch use this many threads inside."""
    import numba
    from threadpoolctl import threadpool_limits

    variable, torch = os.environ.get("OMP_NUM_THREADS"), sys.modules.get("torch")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch when a method imports it later
    before = numba.get_num_threads(), torch.get_num_threads() if torch else None
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    if torch:
        torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        numba.set_num_threads(before[0])
        if torch:
            torch.set_num_threads(before[1])
        if variable is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = variable
