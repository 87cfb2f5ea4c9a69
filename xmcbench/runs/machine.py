"""Device, cores and threads available to a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from xmcbench.errors import XmcError, explain


def pick_device(requested: str, usable: Sequence[str]) -> str:
    """The device of a run: "cuda" if it is usable, torch sees a GPU and `requested` is not "cpu", else "cpu".

    Raises XmcError: cuda was requested and torch sees no GPU.
    """
    if requested == "cpu" or "cuda" not in usable:
        return "cpu"
    try:
        import torch

        if torch.cuda.is_available():
            return "cuda"
    except Exception as error:  # a damaged torch
        if requested == "cuda":
            raise XmcError(
                f"--device cuda: torch can't be used ({explain(error)[1]})", "Install torch again."
            ) from error
        return "cpu"
    if requested == "cuda":
        raise XmcError("--device cuda: torch sees no GPU", "Omit --device, or install torch with CUDA.")
    return "cpu"


def available_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@contextmanager
def thread_limits(threads: int) -> Iterator[None]:
    """Limit numba, BLAS and torch to `threads` threads inside the block."""
    import numba
    from threadpoolctl import threadpool_limits

    old_variable, torch = os.environ.get("OMP_NUM_THREADS"), sys.modules.get("torch")
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by torch if a method imports it later
    old_threads = numba.get_num_threads(), torch.get_num_threads() if torch else None
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    if torch:
        torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads):
            yield
    finally:
        numba.set_num_threads(old_threads[0])
        if torch:
            torch.set_num_threads(old_threads[1])
        if old_variable is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = old_variable
