"""Silence for libraries that write to the process's own standard output and error, past Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """File descriptors 1 and 2 lead nowhere inside, for the whole process; they come back whatever happens.

    Python's own buffers are written out first and after, so that no text of before or after gets lost.
    """
    _flush()
    saved = [(number, os.dup(number)) for number in (1, 2)]
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            for number, _ in saved:
                os.dup2(nowhere, number)
        finally:
            os.close(nowhere)
        yield
    finally:
        _flush()
        for number, copy in saved:
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
