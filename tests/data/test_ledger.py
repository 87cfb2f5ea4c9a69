"""Recorded hashes of first downloads: never lost in silence, and nothing else is accepted without a request."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.data import fetch, ledger
from xmcbench.data.catalogue import Entry, File, Form, entry
from xmcbench.data.download import _Part
from xmcbench.data.fetch import fetch_files
from xmcbench.data.hashes import Hashes
from xmcbench.data.inventory import removable
from xmcbench.data.ledger import LedgerError, damage, recorded
from xmcbench.data.places import folder
from xmcbench.errors import DataError

FIRST, OTHER = b"1 1 1\n0 0:1\n", b"1 1 1\n0 0:2\n"
LOST = "whether train.txt is the file that was first downloaded is not known"
DAMAGES = {
    "empty": b"",
    "cut": b'{"toy/train.txt": {"sha',
    "a list": b"[1, 2]",
    "null": b"null",
    "bytes": b"\x00\xff",
    "nested": b"[" * 100_000,
    "wrong entry": b'{"toy/train.txt": {"sha256": 1}}',
    "wrong hash": b'{"toy/train.txt": {"sha256": "abc", "size": 1, "date": "2026-01-01"}}',
    "entry of a list": b'{"toy/train.txt": []}',
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def toy(name: str = "toy") -> Entry:
    form = Form("only", ("bow",), (File("train", "train.txt", ("https://nowhere/train.txt",)),))
    return msgspec.structs.replace(entry("eurlex-4k"), name=name, forms=(form,))


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def first_download(name: str = "toy") -> Path:
    put(folder(toy(name)) / "train.txt", FIRST)
    return fetch_files(toy(name), offline=True)["train"]


@pytest.mark.filterwarnings("ignore:.*moved to recorded-hashes")
@pytest.mark.parametrize("kind", [*DAMAGES, "a folder"])
def test_without_any_hash_a_file_is_accepted_on_request_alone(home: Path, kind: str) -> None:
    path = put(folder(toy()) / "train.txt", FIRST)
    if kind == "a folder":
        (home / "recorded-hashes.json").mkdir()
    else:
        put(home / "recorded-hashes.json", DAMAGES[kind])
    for _ in range(2):  # the first attempt moves the damaged file away, which makes nothing right
        with pytest.raises(LedgerError, match=LOST) as caught:
            fetch_files(toy(), offline=True)
        assert "`xmcbench data fetch toy --trust`" in caught.value.hint
        assert "recorded-hashes.json.damaged-1" in caught.value.message
        assert path.read_bytes() == FIRST
    moved = home / "recorded-hashes.json.damaged-1"
    assert moved.is_dir() if kind == "a folder" else moved.read_bytes() == DAMAGES[kind]
    assert fetch_files(toy(), offline=True, trust=True) == {"train": path}
    assert fetch_files(toy(), offline=True) == {"train": path}
    with pytest.raises(LedgerError, match="other: whether"):
        first_download("other")


@pytest.mark.parametrize("kind", [*DAMAGES, "missing"])
def test_the_copy_stands_for_a_damaged_or_missing_file(home: Path, kind: str) -> None:
    path = first_download()
    if kind == "missing":
        (home / "recorded-hashes.json").unlink()
        assert fetch_files(toy(), offline=True) == {"train": path}
    else:
        put(home / "recorded-hashes.json", DAMAGES[kind])
        with pytest.warns(UserWarning, match=r"moved to recorded-hashes\.json\.damaged-1; recorded hashes kept: 1"):
            assert fetch_files(toy(), offline=True) == {"train": path}
        assert json.loads((home / "recorded-hashes.json").read_text())["toy/train.txt"]["sha256"] == sha(FIRST)
    put(path, OTHER)
    with pytest.raises(DataError, match="not the file that was first downloaded") as caught:
        fetch_files(toy(), offline=True)
    assert "renamed to train.txt.bad" in caught.value.message
    assert "`xmcbench data fetch toy --trust`" in caught.value.message
    path.with_name("train.txt.bad").rename(path)
    assert fetch_files(toy(), offline=True, trust=True) == {"train": path}
    assert recorded("toy/train.txt") == ledger.FirstRecord(sha(OTHER), len(OTHER), recorded("toy/train.txt").date)


@pytest.mark.filterwarnings("ignore:.*moved to recorded-hashes")
def test_good_entries_are_kept_and_no_damaged_file_is_overwritten(home: Path) -> None:
    first_download()
    for number in (1, 2):
        raw = json.loads((home / "recorded-hashes.json").read_text())
        raw["lost/train.txt"] = number
        put(home / "recorded-hashes.json", json.dumps(raw).encode())
        put(home / "recorded-hashes.copy.json", b"{")
        assert set(fetch_files(toy(), offline=True)) == {"train"}
        with pytest.raises(LedgerError, match="lost: whether"):
            first_download("lost")
        moved = home / f"recorded-hashes.json.damaged-{number}"
        assert json.loads(moved.read_text())["lost/train.txt"] == number
    assert damage().count(".damaged-") == 4


def test_a_damaged_copy_alone_loses_nothing(home: Path) -> None:
    path = first_download()
    put(home / "recorded-hashes.copy.json", b"{")
    assert damage() == ""
    assert fetch_files(toy(), offline=True) == {"train": path}
    first_download("second")
    assert set(json.loads((home / "recorded-hashes.copy.json").read_text())) == {"toy/train.txt", "second/train.txt"}


def test_without_files_and_without_traces_it_is_a_first_start(home: Path) -> None:
    path = first_download()
    for file in home.glob("recorded-hashes*"):
        file.unlink()
    put(path, OTHER)
    assert fetch_files(toy(), offline=True) == {"train": path}


@pytest.mark.filterwarnings("ignore:.*moved to recorded-hashes")
def test_what_was_downloaded_while_the_hashes_were_damaged_is_kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import xmcbench.data.download as module

    def served(session: object, part: _Part, progress: object) -> Hashes:
        put(part.path, FIRST)
        put(part.note, b"{}")
        put(home / "recorded-hashes.json", b"{")  # damaged during the download
        return Hashes(len(FIRST), sha(FIRST), "")

    monkeypatch.setattr(module, "_attempt", served)
    with pytest.raises(LedgerError, match=LOST):
        fetch_files(toy())
    assert [path.name for path in folder(toy()).iterdir() if path.name != ".lock"] == ["train.txt"]
    monkeypatch.setattr(fetch, "download", None)
    assert fetch_files(toy(), trust=True)["train"].read_bytes() == FIRST


def test_commands_that_only_read_say_that_hashes_are_damaged(home: Path) -> None:
    put(home / "recorded-hashes.json", b"{")
    for words in (["data", "where"], ["data", "where", "wiki10-31k"], ["ls", "datasets"], ["info", "wiki10-31k"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, words
        assert "recorded-hashes.json: damaged" in result.stderr, words
    assert (home / "recorded-hashes.json").read_bytes() == b"{"


def test_the_option_trust(home: Path) -> None:
    put(home / "recorded-hashes.json", b"{")
    for name in ("train.txt", "test.txt"):
        put(home / "downloads" / "wiki10-31k" / name, FIRST)
    command = [sys.executable, "-m", "xmcbench", "data", "fetch", "wiki10-31k", "--offline"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 4
    assert refused.stderr.startswith("warning: ")
    assert "data fetch wiki10-31k --trust" in refused.stderr
    accepted = subprocess.run([*command, "--trust"], capture_output=True, text=True, timeout=60)
    assert (accepted.returncode, accepted.stderr) == (0, "")
    assert "train.txt" in accepted.stdout


def test_many_processes_lose_no_entry(home: Path) -> None:
    children = []
    for child in range(6):
        if (process := os.fork()) == 0:
            try:
                for i in range(5):
                    ledger.expected(f"toy/{child}-{i}", Hashes(1, sha(b"%d" % i), ""), record=True, trust=False)
                    ledger.expected("toy/same", Hashes(1, sha(b"%d" % child), ""), record=True, trust=False)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(process)
    assert [os.waitpid(process, 0)[1] for process in children] == [0] * 6
    for name in ledger.NAMES:
        assert len(json.loads((home / name).read_text())) == 31


def killed(at: int, work: Callable[[], object]) -> bool:
    """Whether a process that works is killed before its n-th change of a file; False if it makes fewer changes."""
    if process := os.fork():
        status = os.waitpid(process, 0)[1]
        assert status in (0, signal.SIGKILL)
        return status != 0
    try:
        changes = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal changes
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if writes or event in ("os.rename", "os.remove", "os.chmod", "os.mkdir"):
                changes += 1
                if changes == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


@pytest.mark.filterwarnings("ignore:.*moved to recorded-hashes")
@pytest.mark.parametrize("damaged", [False, True])
def test_a_kill_at_any_point_loses_no_hash(home: Path, damaged: bool) -> None:
    def record() -> None:
        ledger.expected("toy/second", Hashes(1, sha(b"second"), ""), record=True, trust=True)

    at, alive = 0, True
    while alive:
        at += 1
        first_download()
        if damaged:
            put(home / "recorded-hashes.json", b"{")
        alive = killed(at, record)
        assert ledger.recorded("toy/train.txt") is not None, at
        record()
        assert {*json.loads((home / "recorded-hashes.json").read_text())} == {"toy/train.txt", "toy/second"}
        removable(None, downloads=False)  # what `data clean` lists first, which removes what killed processes left
        assert not list(home.glob(".tmp-*"))
        for file in home.glob("recorded-hashes*"):
            file.unlink()
    assert at > 8
