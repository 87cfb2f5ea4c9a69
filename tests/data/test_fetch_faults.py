"""Kills, full disks, read-only folders, two processes at once, mirrors in order: nothing is lost, nothing half read."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from xmcbench.data import download as module
from xmcbench.data import fetch
from xmcbench.data.catalogue import Entry, File, Form, entry
from xmcbench.data.fetch import fetch_files
from xmcbench.data.inventory import removable, remove
from xmcbench.data.places import folder
from xmcbench.errors import DataError

CONTENT = random.Random(0).randbytes(2_000_000)
SHA = hashlib.sha256(CONTENT).hexdigest()
CHILD = """
import msgspec, resource, sys
from xmcbench.data.catalogue import File, Form, entry
from xmcbench.data.fetch import fetch_files
from xmcbench.errors import XmcError
url, sha, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
form = Form("only", ("bow",), (File("train", "big.bin", (url,), sha256=sha),))
try:
    print(fetch_files(msgspec.structs.replace(entry("eurlex-4k"), name="toy", forms=(form,)))["train"])
except XmcError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def server() -> Iterator[object]:
    spec = importlib.util.spec_from_file_location("misbehaving_server", Path(__file__).with_name("server.py"))
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    with found.Server() as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(module, "PAUSE", 0.01)
    return tmp_path / "home"


def toy(*locations: str, sha256: str | None = SHA) -> Entry:
    form = Form("only", ("bow",), (File("train", "big.bin", locations, sha256=sha256),))
    return msgspec.structs.replace(entry("eurlex-4k"), name="toy", forms=(form,))


def child(url: str, limit: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", CHILD, url, SHA, str(limit)], stdout=subprocess.PIPE, text=True)


def left(entry: Entry) -> list[str]:
    return sorted(path.name for path in folder(entry).iterdir() if path.name != ".lock")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_download_is_resumed(server, how: signal.Signals) -> None:
    url = server.add("/big", CONTENT, pause=0.05)
    part = folder(toy(url)) / "big.bin.part"
    running = child(url)
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 200_000):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(how)
    running.wait(10)
    assert left(toy(url)) == ["big.bin.part", "big.bin.part.json"]
    kept = part.stat().st_size
    server.resources["/big"].pause = 0.0
    found = fetch_files(toy(url))
    assert found["train"].read_bytes() == CONTENT
    assert left(toy(url)) == ["big.bin"]
    assert server.log == [("/big", None), ("/big", f"bytes={kept}-")]


def test_two_processes_download_once(server) -> None:
    url = server.add("/big", CONTENT, pause=0.02)
    both = [child(url), child(url)]
    said = [running.communicate(timeout=60)[0].strip() for running in both]
    assert said == [str(folder(toy(url)) / "big.bin")] * 2
    assert (folder(toy(url)) / "big.bin").read_bytes() == CONTENT
    assert len(server.log) == 1


def test_a_download_in_progress_is_not_cleaned_away(server, home: Path) -> None:
    url = server.add("/big", CONTENT, pause=0.05)
    running = child(url)
    part = folder(toy(url)) / "big.bin.part"
    deadline = time.monotonic() + 30
    while not part.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (found,) = [path for path, _ in removable(None, downloads=True)]
    assert list(remove([found])) == [folder(toy(url))]
    assert part.exists()
    server.resources["/big"].pause = 0.0
    assert running.communicate(timeout=60)[0].strip() == str(folder(toy(url)) / "big.bin")
    assert remove([found]) == {}
    assert not list((home / "downloads").iterdir())


def test_a_process_that_waited_takes_what_the_other_downloaded(server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was wrong before this process had the lock may be right then, and is not moved away."""
    url = server.add("/big", CONTENT)
    path = folder(toy(url)) / "big.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"wrong")

    @contextlib.contextmanager
    def waits(lock: Path, **options: object) -> Iterator[None]:
        path.write_bytes(CONTENT)  # another process fetched it meanwhile
        yield

    monkeypatch.setattr(fetch, "locked", waits)
    assert fetch_files(toy(url))["train"].read_bytes() == CONTENT
    assert left(toy(url)) == ["big.bin"]
    assert server.log == []


def test_a_wrong_file_that_is_replaced_is_reported(server) -> None:
    url = server.add("/big", CONTENT)
    path = folder(toy(url)) / "big.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"wrong")
    with pytest.warns(UserWarning, match=r"big\.bin: not the expected file\n(.*\n)*    renamed to big\.bin\.bad"):
        assert fetch_files(toy(url))["train"].read_bytes() == CONTENT
    assert path.with_name("big.bin.bad").read_bytes() == b"wrong"


def test_a_disk_that_fills_up_keeps_what_is_there(server) -> None:
    """A limit on the size of files stands in for the disk: the write fails in the middle."""
    url = server.add("/big", CONTENT)
    running = child(url, limit=500_000)
    text = running.communicate(timeout=60)[0]
    assert running.returncode == 4, text
    assert "big.bin.part: can't write" in text
    assert "XMCBENCH_HOME" in text
    assert (folder(toy(url)) / "big.bin.part").stat().st_size <= 500_000
    assert fetch_files(toy(url))["train"].read_bytes() == CONTENT
    assert server.log[-1][1] is not None  # it went on from there


def test_no_space_left_is_said_in_words(server, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, response: object, total: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module._Part, "write_note", full)
    with pytest.raises(DataError, match="the disk is full"):
        fetch_files(toy(server.add("/big", CONTENT), server.add("/other", CONTENT)))
    assert [path for path, _ in server.log] == ["/big"]  # another server can't help


def test_a_cache_folder_that_cant_be_made(server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(DataError, match="can't write") as caught:
        fetch_files(toy(server.add("/big", CONTENT)))
    assert "XMCBENCH_HOME" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache_folder(server, home: Path) -> None:
    home.mkdir()
    home.chmod(0o500)
    with pytest.raises(DataError, match="can't write"):
        fetch_files(toy(server.add("/big", CONTENT)))


def test_files_that_are_there_need_no_writable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server) -> None:
    """A shared, read-only cache, or a mirror beside a cache folder that can't be made."""
    mirror = tmp_path / "mirror" / "toy"
    mirror.mkdir(parents=True)
    (mirror / "big.bin").write_bytes(CONTENT)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setenv("XMCBENCH_MIRROR", str(mirror.parent))
    assert fetch_files(toy(), offline=True) == {"train": mirror / "big.bin"}


def test_locations_are_tried_in_order_until_one_is_right(server) -> None:
    wrong = server.add("/wrong", CONTENT[:-1] + b"?")
    page = server.add("/page", b"<html>", kind="text/html")
    good = server.add("/good", CONTENT)
    found = fetch_files(toy(server.url + "/gone", wrong, page, good, server.url + "/never"))
    assert found["train"].read_bytes() == CONTENT
    assert [path for path, _ in server.log] == ["/gone", "/wrong", "/page", "/good"]


def test_all_failures_are_listed_at_the_end(server) -> None:
    wrong = server.add("/wrong", b"something else")
    with pytest.raises(DataError) as caught:
        fetch_files(toy(server.url + "/gone", wrong))
    text = str(caught.value)
    assert "/gone: HTTP status 404" in text
    assert f"expected sha256 {SHA}" in text
    assert f"got      sha256 {hashlib.sha256(b'something else').hexdigest()}" in text
    assert f"into {folder(toy())}" in text
    assert left(toy()) == []


def test_an_unknown_hash_is_recorded_at_first_download(server, home: Path) -> None:
    found = toy(server.add("/big", CONTENT), sha256=None)
    path = fetch_files(found)["train"]
    recorded = json.loads((home / "recorded-hashes.json").read_text())["toy/big.bin"]
    assert (recorded["sha256"], recorded["size"]) == (SHA, len(CONTENT))
    path.unlink()
    server.resources["/big"].content = b"replaced by the publisher"
    with pytest.raises(DataError, match="not the file that was first downloaded"):
        fetch_files(found)
    assert left(found) == []


def test_nothing_is_asked_for_offline(server) -> None:
    with pytest.raises(DataError, match="--offline forbids"):
        fetch_files(toy(server.add("/big", CONTENT)), offline=True)
    assert server.log == []


def test_an_archive_is_downloaded_and_unpacked(server, tmp_path: Path) -> None:
    import zipfile

    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("Toy/train.txt", b"1 1 1\n")
    cut, whole = server.add("/cut", packed.read_bytes()[:-20]), server.add("/whole", packed.read_bytes())
    form = Form("xc", ("bow",), (File("train", "train.txt"),), File("archive", "Toy.zip", (cut, whole)))
    found = msgspec.structs.replace(toy(), forms=(form,))
    assert fetch_files(found)["train"].read_bytes() == b"1 1 1\n"
    assert [path for path, _ in server.log] == ["/cut", "/whole"]
    recorded = json.loads((folder(found).parents[1] / "recorded-hashes.json").read_text())
    assert recorded["toy/Toy.zip"]["sha256"] == hashlib.sha256(packed.read_bytes()).hexdigest()


def test_an_archive_that_opens_but_is_damaged_inside(server, tmp_path: Path) -> None:
    """It is put aside, so that the next command downloads it again."""
    import zipfile

    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("Toy/train.txt", b"1 1 1\n")
    url = server.add("/a", packed.read_bytes().replace(b"1 1 1", b"1 1 2"))
    form = Form("xc", ("bow",), (File("train", "train.txt"),), File("archive", "Toy.zip", (url,)))
    found = msgspec.structs.replace(toy(), forms=(form,))
    with pytest.raises(DataError, match="CRC"):
        fetch_files(found)
    assert left(found) == ["Toy.zip.bad"]
    server.add("/a", packed.read_bytes())
    assert fetch_files(found)["train"].read_bytes() == b"1 1 1\n"
