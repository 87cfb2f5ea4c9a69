"""Is a file what the catalogue says? Where it says nothing: is it what was downloaded first?"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xmcbench.data.catalogue import Entry, File
from xmcbench.data.home import home
from xmcbench.errors import DataError
from xmcbench.files import cannot_write, write_json

CHUNK = 1 << 20


class Digest:
    """sha256, and git's blob id if the size is known beforehand, of bytes that come in pieces."""

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
    """Size in bytes, sha256 and git blob id ("" where it wasn't computed) of a file."""

    size: int
    sha256: str
    git_blob: str


def hashes_of(path: Path) -> Hashes:
    """Read the whole file. OSError if it can't be read."""
    digest = Digest(path.stat().st_size)
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hashes()


def remembered(path: Path) -> Hashes:
    """As `hashes_of`, but read again only if the file's size or time of change differ from last time."""
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    known = _read(home() / "file-hashes.json").get(str(path))
    if isinstance(known, dict) and known.get("stamp") == stamp:
        return Hashes(stat.st_size, known["sha256"], known["git_blob"])
    found = hashes_of(path)
    remember(path, found)
    return found


def remember(path: Path, found: Hashes) -> None:
    """Keep a file's hashes. A cache folder that can't be written is no error here: they are computed again."""
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    try:
        with _changing(home() / "file-hashes.json") as all_hashes:
            for gone in [key for key in all_hashes if not os.path.exists(key)]:
                del all_hashes[gone]
            all_hashes[str(path)] = {"stamp": stamp, "sha256": found.sha256, "git_blob": found.git_blob}
    except DataError:
        pass


def check(entry: Entry, file: File, path: Path, found: Hashes | None = None, *, record: bool = True) -> str:
    """Compare a file with the catalogue, or with what was recorded when it was first here.

    Parameters
    ----------
    found : the file's hashes, where they have just been computed.
    record : where no hash is known or recorded, record this one. False until an archive has been read through.

    Returns
    -------
    What it was compared with, in words.

    Raises
    ------
    DataError : it is another file, or can't be read; expected and found hash are given.
    """
    try:
        found = found or remembered(path)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
    if file.hash_known:
        kind, expected = ("sha256", file.sha256) if file.sha256 else ("git blob", file.git_blob)
        got = found.sha256 if file.sha256 else (found.git_blob or hashes_of(path).git_blob)
        if got != expected:
            raise DataError(
                f"{path}: not the file it should be\n  expected {kind} {expected}"
                + (f", {file.size:,} bytes" if file.size else "")
                + f"\n  got      {kind} {got}, {found.size:,} bytes",
                f"Download {file.name} again; a copy that was edited or converted is not accepted.",
            )
        return f"{kind} as in the catalogue"
    return _check_recorded(f"{entry.name}/{file.name}", path, found, record)


def _check_recorded(key: str, path: Path, found: Hashes, record: bool) -> str:
    ledger = home() / "recorded-hashes.json"
    known = _read(ledger).get(key)
    if known is None and not record:
        return "no hash known yet"
    if known is None:
        with _changing(ledger) as all_recorded:
            known = all_recorded.setdefault(
                key, {"sha256": found.sha256, "size": found.size, "date": datetime.now(UTC).date().isoformat()}
            )
    if known["sha256"] != found.sha256:
        raise DataError(
            f"{path}: not the file that was first downloaded\n"
            f"  expected sha256 {known['sha256']}, {known['size']:,} bytes, recorded at first download"
            f" on {known['date']}\n  got      sha256 {found.sha256}, {found.size:,} bytes",
            f"If you trust the new file, remove {key!r} from {ledger}: scores from the two are not comparable.",
        )
    return f"sha256 recorded at first download, {known['date']}"


def recorded(entry: Entry, file: File) -> dict[str, Any] | None:
    """{"sha256", "size", "date"} of the file when it was first here, or None."""
    found: dict[str, Any] | None = _read(home() / "recorded-hashes.json").get(f"{entry.name}/{file.name}")
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Any]]:
    """The content of a JSON file, written back on leaving; one process at a time."""
    from filelock import FileLock

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.parent / f".{path.name}.lock")
        lock.acquire()
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        content = _read(path)
        yield content
        write_json(path, content)
    finally:
        lock.release()
