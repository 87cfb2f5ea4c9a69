"""Check files against the hashes of the catalogue, or else against the hash recorded at the first download."""

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
    with open(path, "rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.hashes()


def remembered(path: Path) -> Hashes:
    """As `hashes_of`, but cached: the file is read again only if its size, mtime or inode changed."""
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    cached = _read(home() / "file-hashes.json").get(str(path))
    if isinstance(cached, dict) and cached.get("stamp") == stamp:
        return Hashes(stat.st_size, cached["sha256"], cached["git_blob"])
    hashes = hashes_of(path)
    remember(path, hashes)
    return hashes


def remember(path: Path, hashes: Hashes) -> None:
    """Cache a file's hashes. An unwritable cache folder is no error: the hashes are then computed again."""
    stat = path.stat()
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    try:
        with _locked_update(home() / "file-hashes.json") as all_hashes:
            for missing_path in [key for key in all_hashes if not os.path.exists(key)]:
                del all_hashes[missing_path]
            all_hashes[str(path)] = {"stamp": stamp, "sha256": hashes.sha256, "git_blob": hashes.git_blob}
    except DataError:
        pass


def check(entry: Entry, file: File, path: Path, hashes: Hashes | None = None, *, record: bool = True) -> str:
    """Compare a file with the hash in the catalogue, or with the hash recorded at its first download.

    Parameters
    ----------
    hashes : the file's hashes, if they have just been computed.
    record : if no hash is known or recorded, record this one. False for an archive that has not been read to the end.

    Returns
    -------
    A phrase that names the source of the expected hash.

    Raises
    ------
    DataError : the file differs (the message gives the expected and the actual hash) or can't be read.
    """
    try:
        hashes = hashes or remembered(path)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from error
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


def _check_recorded(key: str, path: Path, hashes: Hashes, may_record: bool) -> str:
    ledger = home() / "recorded-hashes.json"
    first_record = _read(ledger).get(key)
    if first_record is None and not may_record:
        return "no hash known yet"
    if first_record is None:
        with _locked_update(ledger) as records:
            first_record = records.setdefault(
                key, {"sha256": hashes.sha256, "size": hashes.size, "date": datetime.now(UTC).date().isoformat()}
            )
    if first_record["sha256"] != hashes.sha256:
        raise DataError(
            f"{path}: not the file that was first downloaded\n"
            f"  expected sha256 {first_record['sha256']}, {first_record['size']:,} bytes, recorded at first download"
            f" on {first_record['date']}\n  got      sha256 {hashes.sha256}, {hashes.size:,} bytes",
            f"If you trust the new file, remove {key!r} from {ledger}: scores from the two are not comparable.",
        )
    return f"sha256 recorded at first download, {first_record['date']}"


def recorded(entry: Entry, file: File) -> dict[str, Any] | None:
    """{"sha256", "size", "date"} recorded at the file's first download, or None."""
    first_record: dict[str, Any] | None = _read(home() / "recorded-hashes.json").get(f"{entry.name}/{file.name}")
    return first_record


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _locked_update(path: Path) -> Iterator[dict[str, Any]]:
    """The content of a JSON file under its lock; changes are written back on exit."""
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
