"""Compiled kernels are those of today's sources, of all files that they hold code of.

Numba keeps compiled code beside each source file, with a stamp of that file, and compiles anew when the stamp differs.
But compiled code holds what it calls from other files as well: after an update of a checkout, old code would meet new
arrays, with wrong results or a crash. So the stamp of a file here is one of its whole package.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any


@cache
def stamp_of(package: Path) -> str:
    """SHA-256 of what the package's sources were when this process first asked."""
    said = hashlib.sha256()
    for source in sorted(package.glob("*.py")):
        said.update(f"{source.name} {hashlib.sha256(source.read_bytes()).hexdigest()}\n".encode())
    return said.hexdigest()


def stamp_whole_packages(*packages: Path) -> None:
    """Have numba stamp kernels of `packages` so; to be called before their modules are imported.

    It reaches for a name inside numba, for there is no other way; where that name is gone, numba goes on as it does.
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
