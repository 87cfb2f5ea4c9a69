"""Read members of zip and tar archives by name. Archives are untrusted input.

A member's path is never used as a path on disk, links and devices are never followed, and an archive whose unpacked
size is implausible for text is refused.
"""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from xmcbench import limits
from xmcbench.data.reading import FIRST, packing_of, unpacked
from xmcbench.errors import DataError, XmcError
from xmcbench.files import atomic
from xmcbench.inputs import open_file, reason
from xmcbench.npz_files import open_zip

_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    MemoryError,
)
CHUNK = limits.TAR_HEADER
_END = 9  # times that tarfile may read nothing: more often only if it waits for the rest of a header


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

    def __init__(self, path: Path, raw: io.BufferedReader) -> None:
        self.path, self.packed = path, os.fstat(raw.fileno()).st_size
        self.file = open_zip(raw)
        self.infos = [i for i in self.file.infolist() if not i.is_dir() and not _is_macos_metadata(i.filename)]
        _check_count(path, len(self.infos))
        self.names = [i.filename for i in self.infos]

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

    def __init__(self, path: Path, raw: io.BufferedReader) -> None:
        self.path, self.packed = path, os.fstat(raw.fileno()).st_size
        self.bytes = _TarBytes(unpacked(path, raw, packing_of(raw.peek(FIRST)[:FIRST])))
        stream: Any = self.bytes  # it has the methods that tarfile uses
        self.file = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115 (closed by _open_archive)

    @cached_property
    def names(self) -> list[str]:
        return [info.name for info in self._infos()]

    def _infos(self) -> Iterator[tarfile.TarInfo]:
        for count, info in enumerate(self.file, 1):
            _check_count(self.path, count)
            _check_size(self.path, info.name, info.size, self.packed)
            _check_size(self.path, info.name, info.offset_data + info.size, self.packed)
            if info.issparse():
                raise _damage_error(self.path, f"member {info.name!r} is a sparse file")
            if not info.isdir() and not _is_macos_metadata(info.name):
                yield info
        # Read to the end of the stream, where gzip stores its checksum; otherwise a flipped bit would pass. tarfile
        # takes a damaged header for the end, but behind the end there are only zeros.
        self.bytes.seek(self.file.offset)
        while piece := self.bytes.read(CHUNK):
            if piece.strip(b"\0"):
                raise _damage_error(self.path, f"a damaged header after {self.file.offset:,} unpacked bytes")

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


class _TarBytes:
    """The bytes of a tar archive for tarfile, which would believe any length of a header, and wait for a cut one."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self.stream, self.empty = stream, 0
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, size: int) -> bytes:
        if not 0 <= size <= limits.TAR_HEADER:
            raise tarfile.ReadError(f"a header claims {size:,} bytes, at most {limits.TAR_HEADER:,} are read")
        piece = self.stream.read(size)
        self.empty = 0 if piece or not size else self.empty + 1
        if self.empty > _END:
            raise tarfile.ReadError("it ends within a header")
        return piece


@contextmanager
def _open_archive(archive: Path) -> Iterator[_Zip | _Tar]:
    """The archive, opened; an error of a library about its content becomes a DataError."""
    contents: _Zip | _Tar | None = None
    try:
        with open_file(archive) as raw:
            contents = (_Zip if raw.peek(2)[:2] == b"PK" else _Tar)(archive, raw)
            with contents.file:
                yield contents
    except XmcError:
        raise
    except Exception as error:  # zipfile, tarfile and the unpackers raise many types
        unknown = contents is None and isinstance(error, tarfile.ReadError) and not str(error).startswith("a header")
        raise _damage_error(archive, "neither a zip nor a tar archive" if unknown else _reason(error)) from error


def _pieces(archive: Path, member: str, size: int, file: IO[bytes]) -> Iterator[bytes]:
    """The content of a member; raise if its size differs from the declared size."""
    n_bytes = 0
    try:
        while n_bytes <= size and (piece := file.read(CHUNK)):
            n_bytes += len(piece)
            yield piece
    except XmcError:
        raise
    except Exception as error:
        raise _damage_error(archive, f"member {member!r}: {_reason(error)}") from error
    if n_bytes != size:
        raise _damage_error(archive, f"member {member!r} does not have its declared size of {size:,} bytes")


def _find_member(archive: Path, names: list[str], paths: tuple[str, ...]) -> str | None:
    """The member for the first of `paths` that exists, or None; raise if a path matches several members."""
    for path in paths:
        matches = [name for name in names if name == path] or [name for name in names if name.endswith("/" + path)]
        if len(matches) > 1:
            raise _damage_error(
                archive, f"{len(matches)} members are called {path!r}: {', '.join(map(repr, sorted(matches)[:5]))}"
            )
        if matches:
            return matches[0]
    return None


def _check_path(archive: Path, name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\x00" in name or (len(name) > 1 and name[1] == ":"):
        raise _damage_error(archive, f"member {name!r} points outside the archive")


def _check_size(archive: Path, name: str, size: int, packed: int) -> None:
    if not 0 <= size <= limits.most_unpacked(packed):
        raise _damage_error(archive, f"member {name!r} would unpack to {size:,} bytes from an archive of {packed:,}")


def _check_count(archive: Path, count: int) -> None:
    if count > limits.MEMBERS:
        raise _damage_error(archive, f"more than {limits.MEMBERS:,} members")


def _is_macos_metadata(name: str) -> bool:
    return name.startswith("__MACOSX/") or "/._" in name


def _reason(error: Exception) -> str:
    return reason(error) if isinstance(error, _DAMAGE) else "a header that makes no sense"


def _damage_error(archive: Path, problem: str) -> DataError:
    return DataError(
        f"{archive}: {problem}", "The archive is damaged or not the expected file: remove it and fetch it again."
    )
