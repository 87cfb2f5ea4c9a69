"""Compiled kernels that no longer fit their sources are forgotten.

Numba keeps compiled code beside each source file and compiles anew when that file changes. But compiled code holds what
it calls from other files as well, and of their changes numba knows nothing: after an update of a checkout, old code
would meet new arrays, with wrong results or a crash.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

MARK = "sources.txt"  # beside the compiled code: of which sources it is


def forget_stale(folder: Path, *others: Path) -> bool:
    """Remove numba's files in the `__pycache__` of a package where its sources, or those of `others`, have changed.

    To be called when a package of kernels is imported, before its modules are. Returns whether anything had changed.
    Where the folder can't be written, numba keeps its files elsewhere, and nothing is done; nor with NUMBA_CACHE_DIR.
    """
    said = hashlib.sha256()
    for source in sorted(path for package in (folder, *others) for path in package.glob("*.py")):
        state = source.stat()
        said.update(f"{source} {state.st_size} {state.st_mtime_ns}\n".encode())
    cache = folder / "__pycache__"
    mark = cache / MARK
    with contextlib.suppress(OSError):
        if mark.is_file() and mark.read_text() == said.hexdigest():
            return False
        cache.mkdir(exist_ok=True)
        for pattern in ("*.nbi", "*.nbc"):
            for kernel in cache.glob(pattern):
                kernel.unlink(missing_ok=True)
        mark.write_text(said.hexdigest())
    return True
