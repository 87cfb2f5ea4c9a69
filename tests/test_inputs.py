"""Files as input: what is no regular file, too long, or not JSON or TOML."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import pytest

from xmcbench.errors import DataError
from xmcbench.files import sha256_of
from xmcbench.inputs import json_value, open_file, read_file, read_json, toml_value, typed_json
from xmcbench.npz_files import read_npz

DEEP = 100_000


def irregular(folder: Path) -> list[Path]:
    """A pipe, a link to a pipe, a socket and a device, none of which may be waited for."""
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path has at most 108 bytes
        one.bind("socket")
        os.chdir(here)
    (folder / "zero").symlink_to("/dev/zero")
    return [folder / name for name in ("pipe", "link", "socket", "zero")]


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    for path in irregular(tmp_path):
        for read in (open_file, read_file, read_json, read_npz, sha256_of):
            with pytest.raises(DataError, match=f"{path.name}: a (pipe|socket|device), not a regular file"):
                read(path)
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)
    with pytest.raises(DataError, match=r"none\.json: can't read"):
        read_json(tmp_path / "none.json")


def test_long_files_are_refused_by_their_size(tmp_path: Path) -> None:
    with open(tmp_path / "long.json", "wb") as file:
        file.truncate(10 << 30)  # a hole, which takes no space
    with pytest.raises(DataError, match=r"long\.json: 10,737,418,240 bytes, at most 16,777,216 are read"):
        read_json(tmp_path / "long.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[" * DEEP, "nested too deeply"),
        ('{"a":' * DEEP, "nested too deeply"),
        ("9" * 5000, "a whole number of thousands of digits"),
        ('{"a": "\\ud800"}', r"half of a surrogate pair, \\ud800"),
        ('{"\\udc00": 1}', r"half of a surrogate pair, \\udc00"),
        (b'"\xff"', "not JSON .*utf-8"),
        ("{", "not JSON .*line 1 column 2"),
        ("", "not JSON"),
    ],
)
def test_what_is_no_json(text: str | bytes, says: str) -> None:
    with pytest.raises(DataError, match=f"^x: {says}" if "half" in says else f"^x: not JSON.*{says}|^x: {says}"):
        json_value(text, "x")


def test_json_with_a_byte_order_mark_and_whole_pairs_is_read() -> None:
    assert json_value(b'\xef\xbb\xbf{"a": "\\ud83d\\ude00"}', "x") == {"a": "😀"}


@pytest.mark.parametrize("text", ["[" * 900 + "]" * 900, f"{10**400}", "1e999", '{"a": 1}', "[1, 2]"])
def test_values_of_another_type_are_data_errors(text: str) -> None:
    for form in (dict[str, str], list[str], str):
        with pytest.raises(DataError, match=r"^x: "):
            typed_json(text, form, "x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a = " + b"[" * DEEP, "nested too deeply"),
        (b"a = " + b"{a=" * DEEP, "nested too deeply"),
        (b"a = " + b"9" * 5000, "a whole number of thousands of digits"),
        (b"a = \xff", "not TOML .*utf-8"),
        (b"a = ", "not TOML .*at end of document"),
        (b"a = 2026-99-99", "not TOML"),
        (b"[a]\n[a]", "not TOML .*line 2"),
    ],
)
def test_what_is_no_toml(text: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        toml_value(text, "x.toml")


class Row(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    counts: dict[str, int] = {}


def test_json_is_decoded_into_a_type() -> None:
    assert typed_json('{"name": "a", "counts": {"x": 1}}', Row, "f.json") == Row("a", {"x": 1})
    assert typed_json(b"[1, 2]", list[int], "f.json") == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "f.json: not JSON"),
        ("[" * 100_000, "f.json: not JSON"),
        ("[]", "f.json: expected object, got array"),
        ("{}", "f.json: object missing required field name"),
        ('{"name": "a", "size": 1}', "f.json: object contains unknown field size"),
        ('{"name": 3}', "f.json: name: expected str, got int"),
        ('{"name": "a", "counts": {"x": "1"}}', r"f.json: counts\[...\]: expected int, got str"),
    ],
)
def test_json_of_another_type_names_place_and_type(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        typed_json(text, Row, "f.json", "Write it again.")
    assert caught.value.hint == "Write it again."
