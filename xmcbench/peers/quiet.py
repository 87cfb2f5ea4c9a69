"""Silence native libraries that write to standard output and error without going through Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Redirect file descriptors 1 and 2 of the whole process to the null device, and restore them afterwards.

    Python's buffers are flushed before and after, so that text written outside the block is not lost.
    """
    _flush()
    saved = [(descriptor, os.dup(descriptor)) for descriptor in (1, 2)]
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        try:
            for descriptor, _ in saved:
                os.dup2(null, descriptor)
        finally:
            os.close(null)
        yield
    finally:
        _flush()
        for descriptor, copy in saved:
            os.dup2(copy, descriptor)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
