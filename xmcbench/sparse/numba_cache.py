"""Invalidate numba's cache of compiled kernels when any file changes that they may include code of.

Numba caches compiled code with a stamp of its source file and recompiles when the stamp differs. But compiled code also
includes the functions it calls from other files: after an update of a checkout, old code would run on new arrays, with
wrong results or a crash. Therefore the stamp of a file here also covers its whole package, and this one, of which other
packages call functions.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

_stamps: dict[Path, str] = {}  # package → its stamp


@cache
def stamp_of(package: Path) -> str:
    """SHA-256 of the package's sources at the first call in this process."""
    digest = hashlib.sha256()
    for source in sorted(package.glob("*.py")):
        digest.update(f"{source.name} {hashlib.sha256(source.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def stamp_whole_package(package: Path) -> None:
    """Make numba stamp kernels with their package's sources. Call it before the modules of `package` are imported."""
    package = package.resolve()
    _stamps[package] = stamp_of(package) + stamp_of(Path(__file__).resolve().parent)
    _patch_numba()


@cache
def _patch_numba() -> None:
    """Patch private classes of numba, since there is no public hook; if a version lacks them, numba's own stamps apply.

    Besides stamps, this concerns the index of a kernel's versions: numba fails to load it if it names a class, such as
    the type of a parameter, that its module lacks. It is treated as an index of another stamp, which is empty.
    """
    from numba.core import caching

    mixin: Any = getattr(caching, "_SourceFileBackedLocatorMixin", None)
    file: Any = getattr(caching, "IndexDataCacheFile", None)
    get_source_stamp, load_index = getattr(mixin, "get_source_stamp", None), getattr(file, "_load_index", None)
    if get_source_stamp is None or load_index is None:
        return

    def stamp_with_package(self: Any) -> Any:
        package = Path(self._py_file).resolve().parent
        return (*get_source_stamp(self), _stamps[package]) if package in _stamps else get_source_stamp(self)

    def load_if_possible(self: Any) -> Any:
        try:
            return load_index(self)
        except (AttributeError, ImportError):
            return {}

    mixin.get_source_stamp, file._load_index = stamp_with_package, load_if_possible
