"""Check files against the hashes of the catalogue, or else against the hash recorded at the first download."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from xmcbench import limits
from xmcbench.data.catalogue import Entry, File
from xmcbench.data.home import home
from xmcbench.errors import DataError, cannot_read
from xmcbench.files import lock_of, typed, typed_json, write_json
from xmcbench.inputs import open_file, read_file
from xmcbench.locks import locked

CHUNK = 1 << 20
CACHE = "file-hashes.json"  # hashes of files, computed again if damaged


class Digest:
    """Incremental sha256, and git's blob id if the size is known in advance."""

    def __init__(self, size: int | None) -> None:
        self.size = 0
        self._declared = size
        self._sha256 = hashlib.sha256()
        self._git = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)

    def update(self, piece: bytes) -> None:
        self.size += len(piece)
        self._sha256.update(piece)
        if self._declared is not None:
            self._git.update(piece)

    def hashes(self) -> Hashes:
        git = self._git.hexdigest() if self.size == self._declared else ""
        return Hashes(self.size, self._sha256.hexdigest(), git)


@dataclass(frozen=True)
class Hashes:
    """Size in bytes, sha256 and git blob id ("" if not computed) of a file."""

    size: int
    sha256: str
    git_blob: str


def hashes_of(path: Path) -> Hashes:
    """Hash the whole file; OSError if it can't be read."""
    digest = Digest(path.stat().st_size)
    with open_file(path) as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hashes()


class _Remembered(msgspec.Struct):
    """Cached hashes of a file, valid while its size, mtime and inode are those of `stamp`."""

    stamp: list[int]
    sha256: str
    git_blob: str


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def remembered(path: Path) -> Hashes:
    """As `hashes_of`, but cached: the file is read again only if its size, mtime or inode changed."""
    stamp = _stamp(path)
    with suppress(KeyError, DataError):
        cached = typed(_read(home() / CACHE)[str(path)], _Remembered, str(path))
        if cached.stamp == stamp:
            return Hashes(stamp[0], cached.sha256, cached.git_blob)
    hashes = hashes_of(path)
    remember(path, hashes)
    return hashes


def remember(path: Path, hashes: Hashes) -> None:
    """Cache a file's hashes. An unwritable cache folder is no error: the hashes are then computed again."""
    new = _Remembered(_stamp(path), hashes.sha256, hashes.git_blob)
    with suppress(DataError), _locked_update(home() / CACHE) as all_hashes:
        for missing_path in [key for key in all_hashes if not os.path.exists(key)]:
            del all_hashes[missing_path]
        all_hashes[str(path)] = msgspec.to_builtins(new)


def check(entry: Entry, file: File, path: Path, hashes: Hashes | None = None, *, record: bool = True) -> str:
    """Compare a file with its hash in the catalogue or at its first download; returns the expected hash's source.

    Parameters
    ----------
    hashes : the file's hashes, if they have just been computed.
    record : if no hash is known or recorded, record this one. False for an archive that has not been read to the end.

    Raises
    ------
    DataError : the file differs (the message gives the expected and the actual hash) or can't be read.
    """
    try:
        hashes = hashes or remembered(path)
    except OSError as error:
        raise cannot_read(path, error) from error
    if file.hash_known:
        kind, expected = ("sha256", file.sha256) if file.sha256 else ("git blob", file.git_blob)
        actual = hashes.sha256 if file.sha256 else (hashes.git_blob or hashes_of(path).git_blob)
        if actual != expected:
            raise DataError(
                f"{path}: not the expected file\n  expected {kind} {expected}"
                + (f", {file.size:,} bytes" if file.size else "")
                + f"\n  got      {kind} {actual}, {hashes.size:,} bytes",
                f"Download {file.name} again; a copy that was edited or converted is not accepted.",
            )
        return f"{kind} as in the catalogue"
    return _check_recorded(f"{entry.name}/{file.name}", path, hashes, record)


class LedgerError(DataError):
    """The recorded hashes can't be read; no file of a data set is at fault."""


class FirstRecord(msgspec.Struct):
    """Facts about a file at its first download; `date` is in UTC, as in 2026-11-27."""

    sha256: str
    size: int
    date: str


def _check_recorded(key: str, path: Path, hashes: Hashes, may_record: bool) -> str:
    ledger = home() / "recorded-hashes.json"
    if may_record and recorded(key) is None:
        with _locked_update(ledger) as records:
            new = FirstRecord(hashes.sha256, hashes.size, datetime.now(UTC).date().isoformat())
            records.setdefault(key, msgspec.to_builtins(new))
    first = recorded(key)
    if first is None:
        return "no hash known yet"
    if first.sha256 != hashes.sha256:
        raise DataError(
            f"{path}: not the file that was first downloaded\n"
            f"  expected sha256 {first.sha256}, {first.size:,} bytes, recorded at first download on {first.date}\n"
            f"  got      sha256 {hashes.sha256}, {hashes.size:,} bytes",
            f"If you trust the new file, remove {key!r} from {ledger}: scores from the two are not comparable.",
        )
    return f"sha256 recorded at first download, {first.date}"


def recorded(key: str) -> FirstRecord | None:
    """The facts recorded at the first download of file "DATASET/FILE", or None.

    Raises LedgerError: the file of these facts is damaged; it stays as it is.
    """
    ledger = home() / "recorded-hashes.json"
    try:
        record = _read(ledger).get(key)
        return None if record is None else typed(record, FirstRecord, f"{ledger}, {key}")
    except DataError as error:
        raise LedgerError(
            error.message,
            "This file holds the hashes of first downloads. Repair it, or move it away: the hashes of the files that"
            " are here are then recorded again.",
        ) from error


def _read(path: Path) -> dict[str, object]:
    """The content of a JSON file; {} if it is missing, or is a damaged cache, which is written anew.

    Raises DataError: recorded hashes can't be read. To write new ones would accept any file as the first download.
    """
    try:
        return typed_json(read_file(path, limits.WHOLE_TEXT), dict[str, object], str(path))
    except FileNotFoundError:
        return {}
    except OSError as error:
        if path.name == CACHE:
            return {}
        raise cannot_read(path, error) from error
    except DataError:
        if path.name == CACHE:
            return {}
        raise


@contextmanager
def _locked_update(path: Path) -> Iterator[dict[str, object]]:
    """The content of a JSON file under its lock; changes are written back on exit."""
    with locked(lock_of(path)):
        content = _read(path)
        yield content
        write_json(path, content)
