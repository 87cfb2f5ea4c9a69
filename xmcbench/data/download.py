"""Download one file from one location: stream it into NAME.part, hash it meanwhile, resume interrupted attempts."""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from xmcbench import __version__
from xmcbench.data import drive
from xmcbench.data.hashes import CHUNK, Digest, Hashes
from xmcbench.data.ledger import LedgerError
from xmcbench.errors import DataError, cannot_write, counted
from xmcbench.files import atomic
from xmcbench.inputs import read_json, typed

if TYPE_CHECKING:
    from requests import Response, Session

DownloadProgress = Callable[[str, int, int | None], None]  # (file name, bytes so far, total bytes or None)

TRIES = 5  # consecutive attempts without a new byte
PAUSE = 1.0  # seconds before the second attempt, doubled each time
LONGEST_PAUSE = 30.0  # seconds between attempts, unless the server asks for more
LONGEST_WAIT = 120.0  # seconds; if a server asks to wait longer, the user is told when to run the command again
TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds without a byte
PIECE = 1 << 16  # bytes per read; the most that is lost when a connection breaks
SPARE = 64 << 20  # bytes of disk space to leave free
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that are worth retrying


class Failed(Exception):
    """The location does not provide the file; the text gives the reason."""

    def __init__(self, reason: str, *, tries: int = 1, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.tries = tries  # maximum number of attempts for this kind of failure
        self.wait = wait  # seconds until the next attempt, as requested by the server


class _Note(msgspec.Struct):
    """Location, size and HTTP validators of a part, which make resuming safe."""

    location: str
    total: int | None = None
    etag: str | None = None
    changed: str | None = None


@dataclass
class _Part:
    """NAME.part and its note NAME.part.json."""

    target: Path
    location: str
    size: int | None  # bytes, if known

    @property
    def path(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def read(self) -> tuple[_Note, int]:
        """The note and the number of bytes to resume from; 0 if the part has no valid note of this location."""
        with suppress(OSError, DataError):
            note = typed(read_json(self.note), _Note, str(self.note))
            if note.location == self.location:
                return note, self.path.stat().st_size
        return _Note(self.location), 0

    def write_note(self, response: Response, total: int | None) -> None:
        headers = response.headers
        note = _Note(self.location, total, headers.get("ETag"), headers.get("Last-Modified"))
        with atomic(self.note) as file:  # without a whole note, the bytes of an earlier attempt are lost
            file.write(msgspec.json.encode(note))

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(
    location: str, target: Path, size: int | None, accept: Callable[[Hashes], None], progress: DownloadProgress
) -> Hashes:
    """Fetch `location` ("https://…" or "gdrive:ID") to `target`, which is created once complete and accepted.

    Parameters
    ----------
    size : bytes, if known; a response that announces another size is not read.
    accept : checks the hashes; raises DataError for the wrong file.

    Raises
    ------
    Failed : this location doesn't work; another one may.
    LedgerError : `accept` can't tell whether it is the right file; the complete part stays.
    DataError : wrong content, or the disk is full or read-only.
    """
    import requests

    part = _Part(target, location, size)
    with requests.Session() as session:
        session.headers.update({"User-Agent": f"xmcbench/{__version__}", "Accept-Encoding": "identity"})
        hashes = _retry(session, part, accept, progress)
    keep(target)
    return hashes


def keep(target: Path) -> None:
    """Make the complete part of a download the file `target`."""
    part = _Part(target, "", None)
    try:
        os.replace(part.path, target)
        part.note.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error


def _retry(session: Session, part: _Part, accept: Callable[[Hashes], None], progress: DownloadProgress) -> Hashes:
    failures, last_size = 0, -1
    resumed, restarts = part.read()[1] > 0, 0
    while True:
        try:
            hashes = _attempt(session, part, progress)
            accept(hashes)
            return hashes
        except DataError as error:
            if isinstance(error, LedgerError) or isinstance(error.__cause__, OSError):
                raise  # not the fault of the part, which is still valid
            part.drop()
            if not resumed or restarts:
                raise
            resumed, restarts = False, 1  # the resumed bytes may be wrong: retry once from the start
        except Failed as failure:
            size_now = part.path.stat().st_size if part.path.exists() else 0
            failures = 1 if size_now > last_size >= 0 else failures + 1
            last_size, resumed = size_now, resumed or size_now > 0
            if failures >= min(TRIES, failure.tries) or failure.wait > LONGEST_WAIT:
                raise
            time.sleep(max(failure.wait, min(LONGEST_PAUSE, PAUSE * 2 ** (failures - 1))))


def _attempt(session: Session, part: _Part, progress: DownloadProgress) -> Hashes:
    """Make one request; append to the part if the server supports resuming."""
    import requests

    note, start = part.read()
    try:
        response = _request(session, part.location, _range_headers(note, start))
        with response:
            if response.status_code == 416:  # the part already holds all bytes
                return _hash_complete_part(part, note, start)
            start, total = _check_headers(response, note, start, part.size)
            _check_free_disk(part.path.parent, total, start)
            return _write_body(response, part, start, total, progress)
    except requests.Timeout as error:
        raise Failed("no answer in time", tries=TRIES) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise Failed("the connection broke", tries=TRIES) from error
    except requests.ConnectionError as error:
        raise Failed("no connection", tries=2) from error
    except requests.RequestException as error:
        raise Failed(f"{type(error).__name__}: {error}") from error
    except drive.Refused as error:
        raise Failed(str(error)) from error


def _request(session: Session, location: str, headers: dict[str, str]) -> Response:
    if location.startswith("gdrive:"):
        response = drive.open_file(session, location.removeprefix("gdrive:"), headers, TIMEOUT)
    else:
        response = session.get(location, headers=headers, stream=True, timeout=TIMEOUT)
    if response.status_code in (200, 206, 416):
        if drive.is_page(response):
            start = response.raw.read(drive.PAGE_LIMIT, decode_content=True)
            response.close()
            raise Failed(f"the server sent {drive.page_in(start) or 'a web page'} instead of the file")
        return response
    response.close()
    transient = response.status_code in _TRANSIENT
    reason = f"HTTP status {response.status_code} {response.reason}"
    wait = _retry_after(response.headers.get("Retry-After", "")) if transient else 0.0
    if wait > LONGEST_WAIT:
        reason += f"; the server asks to try again in {counted(math.ceil(wait / 60), 'minute')}"
    raise Failed(reason, tries=TRIES if transient else 1, wait=wait)


def _retry_after(header: str) -> float:
    """Seconds to wait, from a header with seconds or an HTTP date; 0 if it has neither."""
    if header.strip().isdecimal():
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    if date.tzinfo is None:  # HTTP dates are in GMT
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def _range_headers(note: _Note, start: int) -> dict[str, str]:
    if not start:
        return {}
    validator = note.etag if note.etag and not note.etag.startswith("W/") else note.changed
    return {"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})


def _check_headers(response: Response, note: _Note, start: int, size: int | None) -> tuple[int, int | None]:
    """(first byte, total bytes or None) of the response body; raise if they contradict the note or `size`."""
    if response.status_code == 206:
        served = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if served is None or int(served[1]) != start or note.total not in (None, int(served[2])):
            raise DataError(
                f"{response.url}: the file changed on the server while it was being downloaded",
                "Run the command again: it starts this file over.",
            )
        total: int | None = int(served[2])
    else:
        length = response.headers.get("Content-Length", "")
        start, total = 0, int(length) if length.isdigit() else None
    if size is not None and total is not None and total != size:
        raise Failed(f"the server has {total:,} bytes, the catalogue says {size:,}")
    return start, total


def _hash_complete_part(part: _Part, note: _Note, start: int) -> Hashes:
    if note.total not in (None, start):
        raise DataError(
            f"{part.location}: the file changed on the server", "Run the command again: it starts this file over."
        )
    digest = Digest(start)
    with open(part.path, "rb") as file:
        _rehash(file, digest, start)
    return digest.hashes()


def _write_body(response: Response, part: _Part, start: int, total: int | None, progress: DownloadProgress) -> Hashes:
    import requests

    digest = Digest(total)
    try:
        if not start:
            part.drop()
        with open(part.path, "ab+") as file:
            part.write_note(response, total)
            file.seek(0)
            _rehash(file, digest, start)
            progress(part.target.name, digest.size, total)
            for piece in response.iter_content(PIECE):
                if digest.size == 0 and (page := drive.page_in(piece)):
                    raise Failed(f"the server sent {page} instead of the file")
                file.write(piece)
                digest.update(piece)
                progress(part.target.name, digest.size, total)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if isinstance(error, requests.RequestException):  # a network error, not one of the disk
            raise
        raise cannot_write(part.path, error) from error
    if total is not None and digest.size < total:
        raise Failed(f"the connection ended after {digest.size:,} of {total:,} bytes", tries=TRIES)
    if total is not None and digest.size > total:
        raise DataError(
            f"{part.location}: the server announced {counted(total, 'byte')} and sent {digest.size:,}",
            "Run the command again: it starts this file over.",
        )
    return digest.hashes()


def _rehash(file: IO[bytes], digest: Digest, start: int) -> None:
    while digest.size < start and (piece := file.read(min(CHUNK, start - digest.size))):
        digest.update(piece)


def _check_free_disk(folder: Path, total: int | None, start: int) -> None:
    if total is None:
        return
    free, needed = free_bytes(folder), total - start + SPARE
    if free < needed:
        raise DataError(
            f"{folder}: {needed / 1e9:.2f} GB of free disk are needed, {free / 1e9:.2f} GB are available",
            "Free some space, or point XMCBENCH_HOME to a larger disk. Downloaded bytes are kept.",
        ) from OSError("no space")


def free_bytes(folder: Path) -> int:
    """Free bytes on the disk of `folder`."""
    return shutil.disk_usage(folder).free
