"""Processes that end without any clean-up, as kill -9 ends them, after a number of calls that change files."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

CHANGING = ("mkdir", "open", "fsync", "replace", "rename", "rmdir", "unlink", "ftruncate")


def killed_after(calls: int, work: Callable[..., object], *arguments: Any) -> bool:
    """Call `work` in a process that is killed before it changes files once more; whether it was killed."""
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code in (0, 9), code
        return code == 9

    def counted(real: Callable[..., Any], *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls -= 1
        return os._exit(9) if calls < 0 else real(*args, **options)

    try:
        for name in CHANGING:
            setattr(os, name, partial(counted, getattr(os, name)))
        work(*arguments)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    os._exit(1)
