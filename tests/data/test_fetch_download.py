"""Downloads from a server that misbehaves: resumed, retried, refused; a wrong file never gets its final name."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from types import ModuleType

import pytest

from xmcbench.data import download as module
from xmcbench.data import drive
from xmcbench.data.download import Failed, download
from xmcbench.data.hashes import Hashes
from xmcbench.errors import DataError

CONTENT = random.Random(0).randbytes(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


def helper() -> ModuleType:
    spec = importlib.util.spec_from_file_location("misbehaving_server", Path(__file__).with_name("server.py"))
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def server() -> Iterator[object]:
    with helper().Server() as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    monkeypatch.setattr(module, "PIECE", 1 << 14)


def right(hashes: Hashes) -> None:
    if hashes.sha256 != SHA:
        raise DataError(f"expected {SHA}, got {hashes.sha256}")


def quiet(*_: object) -> None:
    """No progress wanted."""


def get(url: str, target: Path, size: int | None = None) -> None:
    download(url, target, size, right, quiet)
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir()] == [target.name]  # no part, no note


def test_a_plain_download(server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    download(server.add("/f", CONTENT), tmp_path / "f", None, right, lambda *what: seen.append(what))
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert seen[0] == ("f", 0, 300_000)
    assert seen[-1] == ("f", 300_000, 300_000)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_a_broken_connection_is_resumed(server, tmp_path: Path, etag: str | None) -> None:
    """Where there is no strong ETag, the date of change says that it is still the same file."""
    url = server.add("/f", CONTENT, cut_after=[98_304, 49_152], etag=etag)
    get(url, tmp_path / "f")
    assert [asked for _, asked in server.log] == [None, "bytes=98304-", "bytes=147456-"]


def test_a_part_of_an_earlier_process_is_resumed(server, tmp_path: Path) -> None:
    url = server.add("/f", CONTENT)
    (tmp_path / "f.part").write_bytes(CONTENT[:123_456])
    (tmp_path / "f.part.json").write_text(json.dumps({"location": url, "total": 300_000, "etag": '"v1"'}))
    get(url, tmp_path / "f")
    assert server.log == [("/f", "bytes=123456-")]


def test_a_part_that_is_already_whole(server, tmp_path: Path) -> None:
    url = server.add("/f", CONTENT)
    (tmp_path / "f.part").write_bytes(CONTENT)
    (tmp_path / "f.part.json").write_text(json.dumps({"location": url, "total": 300_000, "etag": '"v1"'}))
    get(url, tmp_path / "f")


@pytest.mark.parametrize("note", ["another location", "no note", "damaged note"])
def test_a_part_of_unknown_origin_is_dropped(server, tmp_path: Path, note: str) -> None:
    url = server.add("/f", CONTENT)
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    if note != "no note":
        text = json.dumps({"location": "https://elsewhere"}) if note == "another location" else '{"loc'
        (tmp_path / "f.part.json").write_text(text)
    get(url, tmp_path / "f")
    assert server.log == [("/f", None)]


def test_a_server_without_ranges_starts_again(server, tmp_path: Path) -> None:
    get(server.add("/f", CONTENT, ranges=False, cut_after=[98_304]), tmp_path / "f")
    assert [asked for _, asked in server.log] == [None, "bytes=98304-"]


def test_a_file_that_changed_meanwhile_starts_again(server, tmp_path: Path) -> None:
    url = server.add("/f", CONTENT)
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    (tmp_path / "f.part.json").write_text(json.dumps({"location": url, "total": 300_000, "etag": '"v0"'}))
    get(url, tmp_path / "f")


def test_a_part_with_wrong_bytes_starts_again_once(server, tmp_path: Path) -> None:
    """The server says it is the same file, but the first half on disk was damaged."""
    url = server.add("/f", CONTENT)
    (tmp_path / "f.part").write_bytes(b"x" * 1000)
    (tmp_path / "f.part.json").write_text(json.dumps({"location": url, "total": 300_000, "etag": '"v1"'}))
    get(url, tmp_path / "f")
    assert [asked for _, asked in server.log] == ["bytes=1000-", None]


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_a_passing_error_is_retried(server, tmp_path: Path, status: int) -> None:
    get(server.add("/f", CONTENT, statuses=[status, status]), tmp_path / "f")
    assert len(server.log) == 3


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        (formatdate(1_700_000_009, usegmt=True), 9.0),
        (formatdate(1_600_000_000, usegmt=True), 0.0),
        ("Tue, 14 Nov 2023 22:13:29 -0000", 9.0),
        ("soon", 0.0),
        ("", 0.0),
        ("-3", 0.0),
    ],
)
def test_a_server_says_when_to_come_again(monkeypatch, header: str, seconds: float) -> None:
    class Now(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(1_700_000_000, tz)

    monkeypatch.setattr(module, "datetime", Now)
    assert module._retry_after(header) == seconds


def test_a_longer_wait_than_a_user_has_patience_for_is_said(server, tmp_path: Path) -> None:
    url = server.add("/f", CONTENT, statuses=[503] * 99, retry_after=formatdate(time.time() + 3570, usegmt=True))
    with pytest.raises(Failed, match=r"HTTP status 503 .*; the server asks to try again in 60 minutes"):
        get(url, tmp_path / "f")
    assert len(server.log) == 1


def test_errors_that_stay_end_it(server, tmp_path: Path) -> None:
    url = server.add("/f", CONTENT, statuses=[503] * 99)
    with pytest.raises(Failed, match="HTTP status 503"):
        get(url, tmp_path / "f")
    assert len(server.log) == module.TRIES


@pytest.mark.parametrize("status", [404, 403, 410, 401])
def test_a_final_no_is_not_retried(server, tmp_path: Path, status: int) -> None:
    with pytest.raises(Failed, match=f"HTTP status {status}"):
        get(server.add("/f", CONTENT, statuses=[status] * 9), tmp_path / "f")
    assert len(server.log) == 1


def test_wrong_content_leaves_nothing_behind(server, tmp_path: Path) -> None:
    url = server.add("/f", CONTENT[:-1] + b"?")
    with pytest.raises(DataError, match=f"expected {SHA}"):
        get(url, tmp_path / "f")
    assert not list(tmp_path.iterdir())
    assert len(server.log) == 1


def test_another_size_than_the_catalogues_is_not_even_read(server, tmp_path: Path) -> None:
    url = server.add("/f", CONTENT)
    with pytest.raises(Failed, match="the server has 300,000 bytes, the catalogue says 5"):
        get(url, tmp_path / "f", size=5)


def test_a_length_nobody_announces(server, tmp_path: Path) -> None:
    get(server.add("/f", CONTENT, length=False), tmp_path / "f")


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_instead_of_the_file(server, tmp_path: Path, kind: str) -> None:
    url = server.add("/f", b"\n<!DOCTYPE html><html><body>Please log in</body></html>", kind=kind)
    with pytest.raises(Failed, match="web page"):
        get(url, tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_nobody_answers(tmp_path: Path) -> None:
    with helper().Server() as gone:
        url = gone.url + "/f"
    with pytest.raises(Failed, match="no connection"):
        get(url, tmp_path / "f")


def test_no_room_on_the_disk_is_said_before_the_first_byte(server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(module, "free_bytes", lambda folder: 1000)
    with pytest.raises(DataError, match="GB of free disk are needed"):
        get(server.add("/f", CONTENT), tmp_path / "f")
    assert not (tmp_path / "f.part").exists()


@pytest.fixture
def google(server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(drive, "BASE", server.url)
    return server


def test_drive_small_file(google, tmp_path: Path) -> None:
    google.add_drive("ID", CONTENT, confirm=False)
    get("gdrive:ID?resourcekey=0-k", tmp_path / "f")
    assert google.log == [("/uc?export=download&id=ID&resourcekey=0-k", None)]


def test_drive_asks_for_a_confirmation(google, tmp_path: Path) -> None:
    google.add_drive("ID", CONTENT)
    get("gdrive:ID", tmp_path / "f")
    assert [path.partition("?")[0] for path, _ in google.log] == ["/uc", "/download"]


def test_drive_is_resumed_through_the_confirmation(google, tmp_path: Path) -> None:
    google.add_drive("ID", CONTENT, cut_after=[98_304])
    get("gdrive:ID", tmp_path / "f")
    assert google.log[-1][1] == "bytes=98304-"


def test_drive_quota(google, tmp_path: Path) -> None:
    google.add_drive("ID", CONTENT, quota=True)
    with pytest.raises(Failed, match="quota for this file is used up"):
        get("gdrive:ID", tmp_path / "f")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<html><form id='other' action='/x'></form></html>", "without a download form"),
        (
            "<html><form id='download-form' action='https://evil.example/x'></form></html>",
            r"another site, evil\.example",
        ),
        ("<html><form id='download-form' action='/uc'></form></html>", "keeps asking"),
        ("<html>https://accounts.google.com/ServiceLogin</html>", "requires a login"),
    ],
)
def test_drive_pages_that_lead_nowhere(google, tmp_path: Path, text: str, says: str) -> None:
    google.pages["/uc"] = lambda handler, query: helper().page(handler, text)
    with pytest.raises(Failed, match=says):
        get("gdrive:ID", tmp_path / "f")


def test_drive_old_page_with_a_link(google, tmp_path: Path) -> None:
    google.add("/file", CONTENT)
    old = "<html><a id='uc-download-link' href='/file?confirm=abc&amp;id=ID'>Download anyway</a></html>"
    google.pages["/uc"] = lambda handler, query: helper().page(handler, old)
    get("gdrive:ID", tmp_path / "f")
    assert google.log[-1][0] == "/file?confirm=abc&id=ID"
