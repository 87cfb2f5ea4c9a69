"""Texts, JSON lines and EURLEX57K's archives."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from xmcbench.data.documents import EurlexDocument, LfItem, read_eurlex57k, read_lf_json, read_lines
from xmcbench.errors import DataError


def test_lines_end_at_newlines_only(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes("\ufeffone\u2028still\r\n\n  három\x0b".encode())
    assert read_lines(path) == ["one\u2028still", "", "  három\x0b"]
    assert read_lines(path, 3)
    with pytest.raises(DataError, match="3 lines, expected 4"):
        read_lines(path, 4)
    path.write_bytes(b"good\nb\xe9d\n")
    with pytest.raises(DataError, match=r"t\.txt, line 2: byte 0xe9 at column 2 is not utf-8"):
        read_lines(path)
    with pytest.raises(DataError, match=r"iconv -f WINDOWS-1252 -t UTF-8 '.*/my t\.csv' > 'my t-utf8\.csv'$"):
        read_lines(path.rename(tmp_path / "my t.csv"))  # a name without the ending would be read as lines
    gz = tmp_path / "t.txt.gz"
    gz.write_bytes(gzip.compress(b"good\nb\xe9d\n"))
    with pytest.raises(DataError, match=r"gzip -dc .*/t\.txt\.gz \| iconv -f WINDOWS-1252 -t UTF-8 > t-utf8\.txt$"):
        read_lines(gz)
    gz.write_bytes(gzip.compress(b"a\nb\n" * 10_000)[:-20])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read_lines(gz)


def test_lf_json(tmp_path: Path) -> None:
    path = tmp_path / "trn.json.gz"
    rows = [
        {"uid": "B0", "title": "A", "content": "b c", "target_ind": [3, 0], "target_rel": [1.0, 1.0]},
        {"uid": "B1", "title": "T", "content": None, "target_ind": []},
        {"uid": "B2", "title": "label"},
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    items = list(read_lf_json(path, 4))
    assert items[0] == LfItem("A", "b c", [3, 0])
    assert [i.text() for i in items] == ["A b c", "T", "label"]
    assert items[0].text(["title"]) == "A"
    with pytest.raises(DataError, match="line 1: target_ind names label 3, which is outside 0 to 2"):
        list(read_lf_json(path, 3))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"uid": "B0", ', "not JSON"),
        ("[1]", "expected object, got array"),
        ('{"title": 3}', "title: expected str | null, got int"),
        ('{"target_ind": [1.5]}', r"target_ind\[0\]: expected int, got float"),
        ('{"target_ind": 3}', "target_ind: expected array, got int"),
        ('{"target_ind": [-1]}', "label -1, which is negative"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_bad_lf_json(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "trn.json"
    path.write_text('{"uid": "B0"}\n\n' + line + "\n")
    with pytest.raises(DataError, match=f"line 3: .*{says}"):
        list(read_lf_json(path))


def law(celex: str, **changes: object) -> bytes:
    whole = {
        "celex_id": celex,
        "title": f"title {celex}",
        "header": "H",
        "recitals": "R",
        "main_body": ["one", "two"],
        "attachments": "left out",
        "concepts": ["7", "12"],
    }
    return json.dumps({**whole, **changes}).encode()


FILES = {
    "dataset/train/B.json": law("B"),
    "dataset/train/A.json": law("A"),
    "dataset/dev/C.json": law("C", concepts=[]),
    "dataset/test/D.json": law("D"),
    "dataset/readme.md": b"ignored",
    "__MACOSX/dataset/train/._B.json": b"\x00\x05",
    "../../dev/evil.json": law("E"),
}


def packed(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:xz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["dataset.tar.xz", "datasets.zip"])
def test_eurlex57k_archives(tmp_path: Path, name: str) -> None:
    inside = {k: v for k, v in FILES.items() if ".." not in k}
    found = read_eurlex57k(packed(tmp_path / name, inside))
    assert [d.celex_id for d in found["train"]] == ["A", "B"]
    assert found["train"][0] == EurlexDocument("A", "title A", "H", "R", ("one", "two"), ("7", "12"))
    assert found["train"][0].text == "title A\nH\nR\none\ntwo"
    assert found["dev"][0].concepts == ()
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]


def test_nothing_is_written_for_an_unsafe_member(tmp_path: Path) -> None:
    archive = packed(tmp_path / "x.zip", FILES)
    with pytest.raises(DataError):
        read_eurlex57k(archive)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"]


def test_eurlex57k_folder(tmp_path: Path) -> None:
    for name, data in FILES.items():
        if ".." not in name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    assert [d.celex_id for d in read_eurlex57k(tmp_path)["train"]] == ["A", "B"]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("dataset/train/B.json", law("A"), "A occurs twice"),
        ("dataset/train/B.json", b"{", "not JSON"),
        (
            "dataset/train/B.json",
            law("B", concepts=[1]),
            r"concepts\[0\]: expected str, got int\n.*EURLEX57K",
        ),
        ("dataset/train/B.json", law("B", title=None), "B.json: title: expected str, got null"),
        ("dataset/train/B.json", b"[]", "B.json: expected object, got array"),
    ],
)
def test_bad_eurlex57k(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    files = {k: v for k, v in FILES.items() if ".." not in k} | {name: data}
    with pytest.raises(DataError, match=says):
        read_eurlex57k(packed(tmp_path / "d.tar.xz", files))


def test_eurlex57k_without_a_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no documents under dev/"):
        read_eurlex57k(
            packed(tmp_path / "d.zip", {k: v for k, v in FILES.items() if "/dev/" not in k and ".." not in k})
        )
