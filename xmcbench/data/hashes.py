"""Check files against the hashes of the catalogue, or else against the hash recorded at the first download."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from xmcbench import limits
from xmcbench.data import ledger
from xmcbench.data.catalogue import Entry, File
from xmcbench.data.home import home
from xmcbench.errors import DataError, cannot_read
from xmcbench.files import Stamp, is_settled, lock_of, stamp_of, write_json
from xmcbench.inputs import open_file, read_file, typed, typed_json
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
    """Cached hashes of a file, valid while it has the `stamp`; `seal` is a hash of all this, and of the file's path."""

    stamp: Stamp
    sha256: str
    git_blob: str
    seal: str


def remembered(path: Path) -> Hashes:
    """As `hashes_of`, but cached: the file is read again only if its size, times or inode changed.

    An edit that changes none of them goes unnoticed: one through a memory mapping that was open before, for example.
    """
    started = time.time_ns()
    stamp = stamp_of(path.stat())
    with suppress(KeyError, DataError):
        cached = typed(_cached()[str(path)], _Remembered, str(path))
        hashes = Hashes(stamp[0], cached.sha256, cached.git_blob)
        if cached == _sealed(path, stamp, hashes):
            return hashes
    hashes = hashes_of(path)
    if is_settled(stamp, started) and stamp_of(path.stat()) == stamp:  # else it may be changing: what was hashed?
        _remember(path, stamp, hashes)
    return hashes


def _remember(path: Path, stamp: Stamp, hashes: Hashes) -> None:
    """Cache a file's hashes. An unwritable cache folder is no error: the hashes are then computed again."""
    cache = home() / CACHE
    with suppress(DataError), locked(lock_of(cache)):
        others = {key: value for key, value in _cached().items() if os.path.exists(key)}
        write_json(cache, {**others, str(path): msgspec.to_builtins(_sealed(path, stamp, hashes))})


def _sealed(path: Path, stamp: Stamp, hashes: Hashes) -> _Remembered:
    text = json.dumps([str(path), stamp, hashes.sha256, hashes.git_blob])
    return _Remembered(stamp, hashes.sha256, hashes.git_blob, hashlib.sha256(text.encode()).hexdigest())


def check(
    entry: Entry, file: File, path: Path, hashes: Hashes | None = None, *, record: bool = True, trust: bool = False
) -> str:
    """Compare a file with its hash in the catalogue or at its first download; returns the expected hash's source.

    Parameters
    ----------
    hashes : the file's hashes, if they have just been computed.
    record : if no hash is known or recorded, record this one. False for an archive that has not been read to the end.
    trust : accept a file whose recorded hash is lost or differs, and record its own; the catalogue's hash still counts.

    Raises
    ------
    LedgerError : the hash recorded at the first download may be lost, and not `trust`.
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
    return _check_recorded(entry, file, path, hashes, record=record, trust=trust)


def _check_recorded(entry: Entry, file: File, path: Path, hashes: Hashes, *, record: bool, trust: bool) -> str:
    first = ledger.expected(f"{entry.name}/{file.name}", hashes, record=record, trust=trust)
    if first is None:
        return "no hash known yet"
    if first.sha256 != hashes.sha256:
        raise DataError(
            f"{path}: not the file that was first downloaded\n"
            f"  expected sha256 {first.sha256}, {first.size:,} bytes, recorded at first download on {first.date}\n"
            f"  got      sha256 {hashes.sha256}, {hashes.size:,} bytes\n"
            f"  only if you trust the new file: `xmcbench data fetch {entry.name} --trust`",
            "Scores on the two files are not comparable.",
        )
    return f"sha256 recorded at first download, {first.date}"


def _cached() -> dict[str, object]:
    """The cached hashes by path; {} if their file is missing or damaged, since they can be computed again."""
    try:
        return typed_json(read_file(home() / CACHE, limits.WHOLE_TEXT), dict[str, object], CACHE)
    except (OSError, DataError):
        return {}
