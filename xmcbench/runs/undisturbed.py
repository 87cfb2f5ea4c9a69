"""Restores what a method may change of this process, so that it disturbs neither its record nor the next run."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np


@contextmanager
def undisturbed() -> Iterator[None]:
    """Restore the process as it was at the start of the block, however the block ends.

    Restored are the current folder, environment variables, limit of recursion, handlers of SIGINT, SIGTERM and SIGALRM,
    a timer that was not set, standard streams, import path, permissions of new files, warnings, numpy's reactions to
    floating-point errors, torch's default type and gradients, and the global random generators.

    Those of Python and numpy are seeded from the system inside the block: runs that use them, against the rules, are
    independent, whatever an earlier run seeded.
    """
    limit = sys.getrecursionlimit()
    folder = _current_folder()
    environment, path, streams = dict(os.environ), list(sys.path), (sys.stdin, sys.stdout, sys.stderr)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    timer = signal.getitimer(signal.ITIMER_REAL)[0]
    permissions = os.umask(0o022)
    os.umask(permissions)
    torch_state = _torch_state()
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed()
    np.random.seed()  # noqa: NPY002
    try:
        with np.errstate(), warnings.catch_warnings():
            yield
    finally:
        sys.setrecursionlimit(limit)  # first, since the rest may need it
        if folder is not None:
            with suppress(OSError):  # the folder can't be entered any more
                os.fchdir(folder)
            with suppress(OSError):  # the method closed it
                os.close(folder)
        _restore_environment(environment)
        sys.path[:] = path
        sys.stdin, sys.stdout, sys.stderr = streams
        os.umask(permissions)
        if not timer:
            signal.setitimer(signal.ITIMER_REAL, 0)  # its signal would end the process
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None:  # None: not set by Python, and can't be
                    signal.signal(number, handler)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        if torch_state is not None:
            _restore_torch(*torch_state)


def running_threads() -> set[threading.Thread]:
    """Threads that keep the process from ending; those that wait for kernels end with it."""
    from xmcbench.sparse.shares import THREADS

    return {one for one in threading.enumerate() if not one.daemon and not one.name.startswith(THREADS)}


def _current_folder() -> int | None:
    """The current folder, open; None if it doesn't exist or can't be read."""
    try:
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _restore_environment(environment: dict[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _torch_state() -> tuple[object, object, bool] | None:
    """State of the generator, default type, and whether gradients are computed; None if torch isn't imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    return torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()


def _restore_torch(state: object, dtype: object, gradients: bool) -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_rng_state(state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)
