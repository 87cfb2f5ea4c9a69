"""A file of a form that is not read is named for what it is; text is decoded or its encoding is named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.data.archives import tarred, zipped
from xmcbench.data.file_forms import check_plain, holds_arrays, kind_of, text_lines
from xmcbench.errors import DataError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("t.csv", "csv"),
        ("t.CSV.GZ", "csv"),
        ("t.tsv.bz2", "tsv"),
        ("t.jsonl.xz", "json"),
        ("t.json.zst", "json"),
        ("t.ndjson", "json"),
        ("t.Parquet", "parquet"),
        ("t.txt.gz", "lines"),
        ("csv", "lines"),
        ("t.gz", "lines"),
        ("a.csv.txt", "lines"),
    ],
)
def test_the_name_says_how_a_file_is_read(name: str, kind: str) -> None:
    assert kind_of(Path(name)) == kind


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "d") as connection:
        connection.execute("create table t (x)")
    return (folder / "d").read_bytes()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (zipped("[Content_Types].xml", "xl/workbook.xml"), r"is an Excel workbook \(.xlsx\)"),
        (zipped("word/document.xml"), "is a Word document"),
        (zipped("mimetype", "content.xml"), "is an OpenDocument file"),
        (zipped("a.csv"), "is a zip archive"),
        (b"PK\x03\x04 cut off", "is a damaged zip archive"),
        (zipped("a.npy"), "is an npz file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is an old Excel or Word file"),
        (b"%PDF-1.7\n", "is a PDF"),
        (b"{\\rtf1 x}", "is an RTF"),
        (pickle.dumps(["a"]), "is a Python pickle"),
        (b"PAR1\x15" + bytes(20), "is a parquet file"),
        (b"ARROW1\0\0", "is an Arrow"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG"),
        (b"\xff\xd8\xff\xe0", "is a JPEG"),
        (tarred(), "is a tar archive"),
        (array(), "is a numpy array"),
        (b"<!DOCTYPE html><html>", "is an HTML or XML page"),
        (b"  <html lang='en'>", "is an HTML or XML page"),
        (b'<?xml version="1.0"?>', "is an HTML or XML page"),
        (b"%%MatrixMarket matrix coordinate integer general\n", "is a Matrix Market file"),
        (b"% a comment\n\n@RELATION x\n", "is an ARFF file"),
        (
            b"-- MySQL dump\n--\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n",
            "is an SQL dump",
        ),
        (b"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (x);\n", "is an SQL dump"),
        (b"INSERT INTO t VALUES (1, 'a');\n", "is an SQL dump"),
        (b"a\n\xef\xbb\xbfb\n", "line 2, column 1: a byte order mark within the file"),
        (b"caf\x82 au lait\n", r"line 1: byte 0x82 at column 4 .*\n.*CP850"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (gzip.compress(b"\x1f\x8b\x08", mtime=0), "compressed by gzip"),
        ("größe\n".encode("utf-16"), "is UTF-16 text\n.*iconv -f UTF-16LE -t UTF-8"),
        ("größe\n".encode("utf-16-be"), "is probably UTF-16 text.*\n.*iconv -f UTF-16BE"),
        ("a\n".encode("utf-32"), "is UTF-32 text"),
        (b"a\n\xe9t\xe9 of the year\n", r"line 2: byte 0xe9 at column 1 is not utf-8\n.*may be Windows-1252"),
        ("наука и жизнь\n".encode("koi8-r"), r"line 1: byte .* is not utf-8\n  Convert the file to utf-8 from"),
        ("日本語\n".encode()[:-2], r"line 1: .*\n.*cut off within a character"),
        (b"a\nb\0c\n", "line 2, column 2: a NUL byte"),
        (b"a\rb\rc\r", "lines end with a carriage return alone"),
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
    ],
)
@pytest.mark.parametrize("name", ["t.txt", "t.csv"])
def test_a_form_that_is_not_read_is_named(tmp_path: Path, content: bytes, says: str, name: str) -> None:
    path = tmp_path / (name + ".gz" if content[:2] == b"\x1f\x8b" else name)
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        list(text_lines(path))
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_database_a_folder_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(database(tmp_path))
    for path, says in (
        (tmp_path / "t.txt", "is an SQLite database"),
        (tmp_path, "is a folder"),
        (tmp_path / "x", "No such file"),
    ):
        with pytest.raises(DataError, match=says):
            list(text_lines(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of Unix")
def test_a_pipe_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is a pipe or a device"):
        list(text_lines(tmp_path / "pipe"))


def test_text_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfa\xe2\x80\xa8b\r\n\n {1: 2}\n<b>\nINSERT INTO t VALUES (1)\n")
    assert list(text_lines(path)) == [
        (1, "a\u2028b"),
        (2, ""),
        (3, " {1: 2}"),
        (4, "<b>"),
        (5, "INSERT INTO t VALUES (1)"),
    ]


def test_json_in_a_file_of_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.txt, line 1: a JSON object in a file of plain lines\n.*\.jsonl"):
        check_plain(Path("t.txt"), '{"text": "a"}')
    check_plain(Path("t.txt"), "{curly} words")


def test_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a", x=np.zeros(2))
    (tmp_path / "a.npz").rename(tmp_path / "renamed")
    (tmp_path / "b.npz").write_bytes(b"PK\x03\x04 damaged")
    (tmp_path / "c.xlsx").write_bytes(zipped("xl/workbook.xml"))
    assert [holds_arrays(tmp_path / name) for name in ("renamed", "b.npz", "c.xlsx")] == [True, True, False]


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_unpacked_forms_are_named_too(tmp_path: Path, ending: str, pack: object) -> None:
    path = tmp_path / f"t.csv{ending}"
    path.write_bytes(pack(b"%PDF-1.7"))  # type: ignore[operator]
    with pytest.raises(DataError, match=r"is a PDF|compressed by"):
        list(text_lines(path))
