"""One file from one address: streamed into NAME.part, hashed on the way, resumed where an earlier try stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xmcbench import __version__
from xmcbench.data import drive
from xmcbench.data.hashes import CHUNK, Digest, Hashes
from xmcbench.errors import DataError
from xmcbench.files import cannot_write

if TYPE_CHECKING:
    from requests import Response, Session

Progress = Callable[[str, int, int | None], None]  # file name, bytes so far, bytes in all if known

TRIES = 5  # in a row without a new byte
PAUSE = 1.0  # seconds before the second try, doubled each time
LONGEST_PAUSE = 30.0  # seconds; also the most that a server's Retry-After is listened to
TIMEOUT = (10.0, 60.0)  # seconds to connect, and without a byte
PIECE = 1 << 16  # bytes read at a time; what is lost at most when a connection breaks
SPARE = 64 << 20  # bytes of disk left free
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP statuses that a later try may not meet


class Failed(Exception):
    """This address doesn't give the file; the text says why."""

    def __init__(self, why: str, *, tries: int = 1, wait: float = 0.0) -> None:
        super().__init__(why)
        self.tries = tries  # how often this is worth trying
        self.wait = wait  # seconds that the server asks for


@dataclass
class _Part:
    """NAME.part and beside it NAME.part.json: where the bytes come from and how to know that the rest fits."""

    path: Path
    location: str

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def read(self) -> dict[str, Any]:
        """The note, if it is of this location and there are bytes; else {} and the part is of no use."""
        try:
            note = json.loads(self.note.read_bytes())
            if note["location"] == self.location and self.path.stat().st_size > 0:
                return dict(note)
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return {}

    def write_note(self, response: Response, total: int | None) -> None:
        kept = {"etag": response.headers.get("ETag"), "changed": response.headers.get("Last-Modified")}
        self.note.write_text(json.dumps({"location": self.location, "total": total, **kept}))

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def download(
    location: str, target: Path, size: int | None, accept: Callable[[Hashes], None], progress: Progress
) -> None:
    """Fetch `location` ("https://…" or "gdrive:ID") to `target`, which appears when it is whole and accepted.

    Parameters
    ----------
    size : bytes, where known; a server that announces another size is not asked for more.
    accept : looks at the hashes; raises DataError if this is the wrong file.

    Raises
    ------
    Failed : this address doesn't work; another may.
    DataError : wrong content, disk full or read-only.
    """
    import requests

    part = _Part(target.with_name(target.name + ".part"), location)
    with requests.Session() as session:
        session.headers.update({"User-Agent": f"xmcbench/{__version__}", "Accept-Encoding": "identity"})
        _try_often(session, part, target.name, size, accept, progress)
    try:
        os.replace(part.path, target)
        part.note.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error


def _try_often(
    session: Session,
    part: _Part,
    name: str,
    size: int | None,
    accept: Callable[[Hashes], None],
    progress: Progress,
) -> None:
    tried, before = 0, -1
    resumed, restarts = bool(part.read()), 0
    while True:
        try:
            hashes = _once(session, part, name, size, progress)
            accept(hashes)
            return
        except DataError as error:
            if isinstance(error.__cause__, OSError):  # our disk, not their file: the part is good
                raise
            part.drop()
            if not resumed or restarts:
                raise
            resumed, restarts = False, 1  # the older half may have been the bad one: once more from the start
        except Failed as fault:
            now = part.path.stat().st_size if part.path.exists() else 0
            tried, before, resumed = (1 if now > before >= 0 else tried + 1), now, resumed or now > 0
            if tried >= min(TRIES, fault.tries):
                raise
            time.sleep(min(LONGEST_PAUSE, max(fault.wait, PAUSE * 2 ** (tried - 1))))


def _once(session: Session, part: _Part, name: str, size: int | None, progress: Progress) -> Hashes:
    """One request; appends to the part where the server lets us."""
    import requests

    note = part.read()
    start = part.path.stat().st_size if note else 0
    try:
        response = _ask(session, part.location, _range(note, start))
        with response:
            if response.status_code == 416:  # nothing after our last byte
                return _already_whole(part, note, start)
            start, total = _agreed(response, note, start, size)
            _room(part.path.parent, total, start)
            return _stream(response, part, name, start, total, progress)
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


def _ask(session: Session, location: str, headers: dict[str, str]) -> Response:
    if location.startswith("gdrive:"):
        response = drive.open_file(session, location.removeprefix("gdrive:"), headers, TIMEOUT)
    else:
        response = session.get(location, headers=headers, stream=True, timeout=TIMEOUT)
    if response.status_code in (200, 206, 416):
        if drive.is_page(response):
            response.close()
            raise Failed("the server sent a web page instead of the file")
        return response
    response.close()
    passing = response.status_code in _PASSING
    wait = response.headers.get("Retry-After", "")
    raise Failed(
        f"HTTP status {response.status_code} {response.reason}",
        tries=TRIES if passing else 1,
        wait=float(wait) if wait.isdigit() else 0.0,
    )


def _range(note: dict[str, Any], start: int) -> dict[str, str]:
    if not start:
        return {}
    headers = {"Range": f"bytes={start}-"}
    etag, changed = note.get("etag"), note.get("changed")
    if etag and not etag.startswith("W/"):
        headers["If-Range"] = etag
    elif changed:
        headers["If-Range"] = changed
    return headers


def _agreed(response: Response, note: dict[str, Any], start: int, size: int | None) -> tuple[int, int | None]:
    """(first byte, bytes in all) that this response is about; checks what can be checked before reading."""
    if response.status_code == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != start or note.get("total") not in (None, int(found[2])):
            raise _restart(note, response)
        total: int | None = int(found[2])
    else:
        length = response.headers.get("Content-Length", "")
        start, total = 0, int(length) if length.isdigit() else None
    if size is not None and total is not None and total != size:
        raise Failed(f"the server has {total:,} bytes, the catalogue says {size:,}")
    return start, total


def _restart(note: dict[str, Any], response: Response) -> DataError:
    return DataError(
        f"{response.url}: the file changed on the server while it was being downloaded"
        f" ({note.get('total')} bytes before, {response.headers.get('Content-Range')!r} now)",
        "Run the command again.",
    )


def _already_whole(part: _Part, note: dict[str, Any], start: int) -> Hashes:
    if note.get("total") not in (None, start):
        raise DataError(f"{part.location}: the file changed on the server", "Run the command again.")
    digest = Digest(start)
    with open(part.path, "rb") as file:
        _rehash(file, digest, start)
    return digest.hashes()


def _stream(response: Response, part: _Part, name: str, start: int, total: int | None, progress: Progress) -> Hashes:
    digest = Digest(total)
    try:
        if not start:
            part.drop()
        with open(part.path, "ab+") as file:
            part.write_note(response, total)
            file.seek(0)
            _rehash(file, digest, start)
            progress(name, digest.size, total)
            for piece in response.iter_content(PIECE):
                if digest.size == 0 and piece.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
                    raise Failed("the server sent a web page instead of the file")
                file.write(piece)
                digest.update(piece)
                progress(name, digest.size, total)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if _is_network(error):
            raise
        raise cannot_write(part.path, error) from error
    if total is not None and digest.size < total:
        raise Failed(f"the connection ended after {digest.size:,} of {total:,} bytes", tries=TRIES)
    if total is not None and digest.size > total:
        raise DataError(f"{part.location}: sent {digest.size:,} bytes where it announced {total:,}")
    return digest.hashes()


def _rehash(file: IO[bytes], digest: Digest, start: int) -> None:
    while digest.size < start and (piece := file.read(min(CHUNK, start - digest.size))):
        digest.update(piece)


def _is_network(error: OSError) -> bool:
    """requests' exceptions are OSErrors too; a full disk is not one of them."""
    import requests

    return isinstance(error, requests.RequestException)


def _room(folder: Path, total: int | None, start: int) -> None:
    if total is None:
        return
    free, needed = free_bytes(folder), total - start + SPARE
    if free < needed:
        raise DataError(
            f"{folder}: {needed / 1e9:.2f} GB of free disk are needed, {free / 1e9:.2f} GB are there",
            "Free some space, or point XMCBENCH_HOME to a larger disk. What is already downloaded is kept.",
        ) from OSError("no room")


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written there."""
    return shutil.disk_usage(folder).free
