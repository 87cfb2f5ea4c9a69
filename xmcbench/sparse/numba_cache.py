"""Invalidate numba's cache of compiled kernels when any file of their package changes.

Numba caches compiled code with a stamp of its source file and recompiles when the stamp differs. But compiled code also
includes the functions it calls from other files: after an update of a checkout, old code would run on new arrays, with
wrong results or a crash. Therefore the stamp of a file here also covers its whole package.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def stamp_of(package: Path) -> str:
    """SHA-256 of the package's sources at the first call in this process."""
    digest = hashlib.sha256()
    for source in sorted(package.glob("*.py")):
        digest.update(f"{source.name} {hashlib.sha256(source.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def stamp_whole_packages(*packages: Path) -> None:
    """Make numba stamp kernels with their package's sources. Call it before the modules of `packages` are imported.

    It patches a private class of numba, since there is no public hook. If a numba version lacks that class, numba's own
    stamps apply.
    """
    from numba.core import caching

    mixin: Any = getattr(caching, "_SourceFileBackedLocatorMixin", None)
    original = getattr(mixin, "get_source_stamp", None)
    if original is None:
        return
    folders = {package.resolve(): stamp_of(package.resolve()) for package in packages}

    def get_source_stamp(self: Any) -> Any:
        package = Path(self._py_file).resolve().parent
        return (*original(self), folders[package]) if package in folders else original(self)

    mixin.get_source_stamp = get_source_stamp
