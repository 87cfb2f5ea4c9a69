"""Members of zip and tar archives, read by name. Archives come from strangers: nothing in one is trusted.

A member's path never becomes a path on disk, links and devices are never followed, and an archive that would unpack
to far more than text ever does is refused.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from xmcbench.errors import DataError
from xmcbench.files import atomic

MAX_RATIO = 200  # unpacked / packed; deflated term lists reach about 5, xz of EU laws 12, a bomb 1,000 and more
ALWAYS_ALLOWED = 1 << 26  # bytes a member may have whatever the ratio
CHUNK = 1 << 20
_BROKEN = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError, NotImplementedError)


def extract(archive: Path, wanted: Mapping[str, tuple[str, ...]], folder: Path) -> dict[str, Path]:
    """Unpack members into `folder`, each written whole or not at all.

    Parameters
    ----------
    wanted : file name in `folder` → paths in the archive, of which the first that is there counts. A path may lack
        its leading folders ("train.txt" finds "LF-Amazon-131K/train.txt").

    Returns
    -------
    The files written, by name; names without a member are left out.

    Raises
    ------
    DataError : truncated, tampered with, a bomb, an unsafe member; or `folder` can't be written.
    """
    found: dict[str, Path] = {}
    with _opened(archive) as content:
        chosen = {name: _choose(archive, content.names, paths) for name, paths in wanted.items()}
        by_member = {member: name for name, member in chosen.items() if member is not None}
        for member, size, file in content.walk(lambda path: path in by_member):
            target = folder / by_member[member]
            with atomic(target) as out:
                _copy(archive, member, size, file, out)
            found[target.name] = target
    return found


def members(archive: Path, accept: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(path, content) of the members whose path is accepted, in the archive's order, without unpacking to disk.

    Raises
    ------
    DataError : as `extract`.
    """
    with _opened(archive) as content:
        for member, size, file in content.walk(accept):
            with _named(archive, member):
                data = file.read(size + 1)
            if len(data) != size:
                raise _damaged(archive, f"member {member} has not the {size:,} bytes it declares")
            yield member, data


def is_archive(name: str) -> bool:
    """By its name."""
    return name.endswith((".zip", ".tar", ".tar.gz", ".tar.xz", ".tgz"))


def probe(archive: Path) -> None:
    """Look at the directory of a zip, or at the first member of a tar: notices most that is cut short or no archive.

    Raises
    ------
    DataError : it can't be opened.
    """
    with _opened(archive):
        pass  # opening reads just that


class _Zip:
    """A zip archive's regular files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = zipfile.ZipFile(path)
        self.infos = [i for i in self.file.infolist() if not i.is_dir() and not _is_mac_litter(i.filename)]
        self.names = [i.filename for i in self.infos]
        self.packed = path.stat().st_size

    def walk(self, accept: Callable[[str], bool]) -> Iterator[tuple[str, int, IO[bytes]]]:
        total = 0
        for info in self.infos:
            if not accept(info.filename):
                continue
            _check_path(self.path, info.filename)
            kind = info.external_attr >> 28  # of the Unix mode, where there is one: 8 is a regular file
            if kind not in (0, 8):
                raise _damaged(self.path, f"member {info.filename!r} is a link or a device")
            total += info.file_size
            _check_size(self.path, info.filename, total, self.packed)
            with self.file.open(info) as file:
                yield info.filename, info.file_size, file


class _Tar:
    """A tar archive's regular files. It is read once from front to back, which is all that compression allows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packed = path.stat().st_size
        self._names: list[str] | None = None
        self.file = tarfile.open(path, "r:*")  # noqa: SIM115 (closed by _opened)

    @property
    def names(self) -> list[str]:
        if self._names is None:
            self._names = [m.name for m in self._infos()]
        return self._names

    def _infos(self) -> Iterator[tarfile.TarInfo]:
        for info in self.file:
            _check_size(self.path, info.name, info.offset_data + info.size, self.packed)
            if not info.isdir() and not _is_mac_litter(info.name):
                yield info
        self._read_to_the_end()

    def _read_to_the_end(self) -> None:
        """gzip's check sum stands after everything: without this a flipped bit would pass."""
        stream, done = self.file.fileobj, 0
        while stream is not None and (piece := stream.read(CHUNK)):
            done += len(piece)
            _check_size(self.path, "after the last member", done, self.packed)

    def walk(self, accept: Callable[[str], bool]) -> Iterator[tuple[str, int, IO[bytes]]]:
        for info in self._infos():
            if not accept(info.name):
                continue
            _check_path(self.path, info.name)
            file = self.file.extractfile(info) if info.isreg() else None
            if file is None:
                raise _damaged(self.path, f"member {info.name!r} is a link or a device")
            with file:
                yield info.name, info.size, file


@contextmanager
def _opened(archive: Path) -> Iterator[_Zip | _Tar]:
    try:
        with open(archive, "rb") as file:
            start = file.read(4)
        content: _Zip | _Tar = _Zip(archive) if start[:2] == b"PK" else _Tar(archive)
    except _BROKEN as error:
        raise _damaged(archive, _reason(error)) from error
    try:
        with content.file:
            yield content
    except DataError:
        raise
    except (*_BROKEN, RuntimeError) as error:  # RuntimeError: zipfile's word for an encrypted member
        raise _damaged(archive, _reason(error)) from error


@contextmanager
def _named(archive: Path, member: str) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, RuntimeError) as error:
        raise _damaged(archive, f"member {member}: {_reason(error)}") from error


def _copy(archive: Path, member: str, size: int, file: IO[bytes], out: IO[bytes]) -> None:
    """Copy a member and hold it to the size it declares."""
    done = 0
    while True:
        with _named(archive, member):
            piece = file.read(CHUNK)
        if not piece:
            break
        done += len(piece)
        if done > size:
            break
        out.write(piece)
    if done != size:
        raise _damaged(archive, f"member {member} has not the {size:,} bytes it declares")


def _choose(archive: Path, names: list[str], paths: tuple[str, ...]) -> str | None:
    """The one member that a wanted path means."""
    for path in paths:
        if path in names:
            return path
        ends = [name for name in names if name.endswith("/" + path)]
        if len(ends) > 1:
            raise _damaged(archive, f"{len(ends)} members are called {path}: {', '.join(sorted(ends)[:5])}")
        if ends:
            return ends[0]
    return None


def _check_path(archive: Path, name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or "\x00" in name or (len(name) > 1 and name[1] == ":"):
        raise _damaged(archive, f"member {name!r} points outside the archive")


def _check_size(archive: Path, name: str, size: int, packed: int) -> None:
    if size < 0 or size > max(ALWAYS_ALLOWED, packed * MAX_RATIO):
        raise _damaged(archive, f"member {name!r} would unpack to {size:,} bytes from an archive of {packed:,}")


def _is_mac_litter(name: str) -> bool:
    return name.startswith("__MACOSX/") or "/._" in name


def _reason(error: BaseException | Any) -> str:
    return str(error) or type(error).__name__


def _damaged(archive: Path, what: str) -> DataError:
    return DataError(
        f"{archive}: {what}", "The archive is damaged or not what it should be: remove it, fetch it again."
    )
