"""Read members of zip and tar archives by name. Archives are untrusted input.

A member's path is never used as a path on disk, links and devices are never followed, and an archive whose unpacked
size is implausible for text is refused.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO

from xmcbench.errors import DataError
from xmcbench.files import atomic

# Unpacked / packed bytes; deflated term lists reach about 5, xz of EU laws 12, a zip bomb 1,000 and more.
MAX_RATIO = 200
ALWAYS_ALLOWED = 1 << 26  # bytes a member may always have, whatever the ratio
CHUNK = 1 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, NotImplementedError)


def extract(archive: Path, wanted: Mapping[str, tuple[str, ...]], folder: Path) -> dict[str, Path]:
    """Unpack members into `folder`; returns the files written, by name. Each is written completely or not at all.

    Parameters
    ----------
    wanted : file name in `folder` → candidate paths in the archive; the first existing path is used. A path may omit
        its leading folders ("train.txt" matches "LF-Amazon-131K/train.txt"). Names without a member are omitted.

    Raises
    ------
    DataError : the archive is truncated, modified or a zip bomb, or has an unsafe member; or `folder` can't be written.
    """
    written: dict[str, Path] = {}
    with _open_archive(archive) as contents:
        member_of = {name: _find_member(archive, contents.names, paths) for name, paths in wanted.items()}
        by_member = {member: name for name, member in member_of.items() if member is not None}
        for member, size, file in contents.walk(lambda path: path in by_member):
            target = folder / by_member[member]
            with atomic(target) as out:
                out.writelines(_pieces(archive, member, size, file))
            written[target.name] = target
    return written


def members(archive: Path, accept: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield (path, content) of accepted members in archive order, without unpacking to disk; errors as in `extract`."""
    with _open_archive(archive) as contents:
        for member, size, file in contents.walk(accept):
            yield member, b"".join(_pieces(archive, member, size, file))


def is_archive(name: str) -> bool:
    """Whether the file name has the extension of a zip or tar archive."""
    return name.endswith((".zip", ".tar", ".tar.gz", ".tar.xz", ".tgz"))


def probe(archive: Path) -> None:
    """Read a zip's directory or a tar's first member, which detects most damage; DataError if that fails."""
    with _open_archive(archive):
        pass


class _Zip:
    """A zip archive's regular files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = zipfile.ZipFile(path)
        self.infos = [i for i in self.file.infolist() if not i.is_dir() and not _is_macos_metadata(i.filename)]
        self.names = [i.filename for i in self.infos]
        self.packed = path.stat().st_size

    def walk(self, accept: Callable[[str], bool]) -> Iterator[tuple[str, int, IO[bytes]]]:
        total = 0
        for info in self.infos:
            if not accept(info.filename):
                continue
            _check_path(self.path, info.filename)
            kind = info.external_attr >> 28  # file type of the Unix mode: 8 is a regular file, 0 that no mode is stored
            if kind not in (0, 8):
                raise _damage_error(self.path, f"member {info.filename!r} is a link or a device")
            total += info.file_size
            _check_size(self.path, info.filename, total, self.packed)
            with self.file.open(info) as file:
                yield info.filename, info.file_size, file


class _Tar:
    """A tar archive's regular files, read sequentially because compression allows no random access."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packed = path.stat().st_size
        self.file = tarfile.open(path, "r:*")  # noqa: SIM115 (closed by _opened)

    @cached_property
    def names(self) -> list[str]:
        return [info.name for info in self._infos()]

    def _infos(self) -> Iterator[tarfile.TarInfo]:
        for info in self.file:
            _check_size(self.path, info.name, info.offset_data + info.size, self.packed)
            if not info.isdir() and not _is_macos_metadata(info.name):
                yield info
        # Read to the end of the stream, where gzip stores its checksum; otherwise a flipped bit would pass.
        stream, n_bytes = self.file.fileobj, 0
        while stream is not None and (piece := stream.read(CHUNK)):
            n_bytes += len(piece)
            _check_size(self.path, "after the last member", n_bytes, self.packed)

    def walk(self, accept: Callable[[str], bool]) -> Iterator[tuple[str, int, IO[bytes]]]:
        for info in self._infos():
            if not accept(info.name):
                continue
            _check_path(self.path, info.name)
            file = self.file.extractfile(info) if info.isreg() else None
            if file is None:
                raise _damage_error(self.path, f"member {info.name!r} is a link or a device")
            with file:
                yield info.name, info.size, file


@contextmanager
def _open_archive(archive: Path) -> Iterator[_Zip | _Tar]:
    try:
        with open(archive, "rb") as file:
            magic = file.read(4)
        contents: _Zip | _Tar = _Zip(archive) if magic[:2] == b"PK" else _Tar(archive)
    except _DAMAGE as error:
        known = isinstance(error, tarfile.ReadError) and str(error).startswith("file could not be opened")
        raise _damage_error(archive, "neither a zip nor a tar archive" if known else _reason(error)) from error
    try:
        with contents.file:
            yield contents
    except DataError:
        raise
    except (*_DAMAGE, RuntimeError) as error:  # zipfile raises RuntimeError for an encrypted member
        raise _damage_error(archive, _reason(error)) from error


def _pieces(archive: Path, member: str, size: int, file: IO[bytes]) -> Iterator[bytes]:
    """The content of a member; raise if its size differs from the declared size."""
    n_bytes = 0
    try:
        while n_bytes <= size and (piece := file.read(CHUNK)):
            n_bytes += len(piece)
            yield piece
    except (*_DAMAGE, RuntimeError) as error:
        raise _damage_error(archive, f"member {member}: {_reason(error)}") from error
    if n_bytes != size:
        raise _damage_error(archive, f"member {member} does not have its declared size of {size:,} bytes")


def _find_member(archive: Path, names: list[str], paths: tuple[str, ...]) -> str | None:
    """The member for the first of `paths` that exists, or None; raise if a path matches several members."""
    for path in paths:
        if path in names:
            return path
        matches = [name for name in names if name.endswith("/" + path)]
        if len(matches) > 1:
            raise _damage_error(archive, f"{len(matches)} members are called {path}: {', '.join(sorted(matches)[:5])}")
        if matches:
            return matches[0]
    return None


def _check_path(archive: Path, name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\x00" in name or (len(name) > 1 and name[1] == ":"):
        raise _damage_error(archive, f"member {name!r} points outside the archive")


def _check_size(archive: Path, name: str, size: int, packed: int) -> None:
    if size < 0 or size > max(ALWAYS_ALLOWED, packed * MAX_RATIO):
        raise _damage_error(archive, f"member {name!r} would unpack to {size:,} bytes from an archive of {packed:,}")


def _is_macos_metadata(name: str) -> bool:
    return name.startswith("__MACOSX/") or "/._" in name


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _damage_error(archive: Path, problem: str) -> DataError:
    return DataError(
        f"{archive}: {problem}", "The archive is damaged or not the expected file: remove it and fetch it again."
    )
