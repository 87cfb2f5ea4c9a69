"""Invalidate numba's cache of compiled kernels when any file changes that they may include code of.

Numba caches compiled code with a stamp of its source file and recompiles when the stamp differs. But compiled code also
includes the functions it calls from other files: after an update of a checkout, old code would run on new arrays, with
wrong results or a crash. Therefore the stamp of a file here also covers its whole package, and this one, of which other
packages call functions.
"""

from __future__ import annotations

import hashlib
import warnings
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
    """Patch private classes of numba, since there is no public hook; if a version lacks them, numba's own rules apply.

    Besides stamps, this concerns what numba fails at: an index or a kernel that is damaged, or that names a class which
    its module lacks, counts as not cached; and without a folder to write to, or on a full disk, kernels are compiled
    for this process alone.
    """
    from numba.core import caching, dispatcher

    mixin: Any = getattr(caching, "_SourceFileBackedLocatorMixin", None)
    file: Any = getattr(caching, "IndexDataCacheFile", None)
    cached: Any = getattr(caching, "Cache", None)
    kernel: Any = getattr(dispatcher, "Dispatcher", None)
    get_source_stamp, load_index = getattr(mixin, "get_source_stamp", None), getattr(file, "_load_index", None)
    load, save = getattr(file, "load", None), getattr(cached, "save_overload", None)
    enable_caching = getattr(kernel, "enable_caching", None)
    if not (get_source_stamp and load_index and load and save and enable_caching):
        return

    def stamp_with_package(self: Any) -> Any:
        package = Path(self._py_file).resolve().parent
        return (*get_source_stamp(self), _stamps[package]) if package in _stamps else get_source_stamp(self)

    def index_if_whole(self: Any) -> Any:
        try:
            index = load_index(self)
        except Exception:  # a damaged pickle raises many types
            return {}
        return index if isinstance(index, dict) else {}

    def load_if_whole(self: Any, key: Any) -> Any:
        try:
            return load(self, key)
        except Exception:
            return None

    def save_if_possible(self: Any, signature: Any, data: Any) -> None:
        try:
            save(self, signature, data)
        except OSError as error:
            _warn(error.strerror or str(error))

    def enable_if_possible(self: Any) -> None:
        try:
            enable_caching(self)
        except RuntimeError:  # no folder can be written
            _warn("no folder for them can be written")

    mixin.get_source_stamp, file._load_index, file.load = stamp_with_package, index_if_whole, load_if_whole
    cached.save_overload, kernel.enable_caching = save_if_possible, enable_if_possible


@cache
def _warn(reason: str) -> None:
    hint = "set NUMBA_CACHE_DIR to a folder you may write to, or every start compiles them again"
    warnings.warn(f"compiled kernels can't be cached ({reason}): {hint}", stacklevel=3)
