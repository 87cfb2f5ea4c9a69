"""Opening files: compression by content, and forms that nothing here reads are named."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard

from tests.data.archives import tarred, zipped
from xmcbench import limits
from xmcbench.data.documents import lines_of
from xmcbench.data.reading import load_bytes, opened, unsupported
from xmcbench.errors import DataError

TEXT = b"3 5 4\n0,2 0:0.5 3:1.25\n 1:2\n3 4:-1e-3\n"
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("name", ["x.txt", "X.TXT.GZ", "x.zst", "x"])
def test_compression_is_seen_by_content(tmp_path: Path, packing: str, name: str) -> None:
    (tmp_path / name).write_bytes(PACK[packing](TEXT) + PACK[packing](b"and more\n"))  # two members, as `cat` makes
    assert load_bytes(tmp_path / name) == TEXT + b"and more\n"
    with opened(tmp_path / name) as file:
        assert file.readline() == b"3 5 4\n"
    (tmp_path / name).write_bytes(PACK[packing](b""))
    assert load_bytes(tmp_path / name) == b""


@pytest.mark.parametrize("packing", PACK)
def test_truncated_and_damaged_files_are_named(tmp_path: Path, packing: str) -> None:
    path = tmp_path / "x.txt"
    packed = PACK[packing](np.random.default_rng(0).bytes(5000))
    middle = len(packed) // 2
    for content in (packed[:-3], packed[:middle], packed[:middle] + b"0123456789" + packed[middle + 10 :]):
        path.write_bytes(content)
        if packing == "zstd" and len(content) == len(packed):
            continue  # noise is stored as it is, and zstandard writes no checksum unless asked
        with pytest.raises(DataError, match=f"x.txt: not a whole {packing} file"):
            load_bytes(path)


def test_the_name_counts_where_the_content_is_neither_compressed_nor_text(tmp_path: Path) -> None:
    path = tmp_path / "x.GZ"
    path.write_bytes(TEXT)  # unpacked on its way, as browsers do
    assert load_bytes(path) == TEXT
    for content in (b"", b"\0" + gzip.compress(TEXT)[1:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x.GZ: not a gzip file"):
            load_bytes(path)
    path.write_bytes(b"BZh is no header\n")
    assert load_bytes(path) == b"BZh is no header\n"


def saved(save: Callable[..., None], array: object) -> bytes:
    buffer = io.BytesIO()
    save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zipped("[Content_Types].xml"), "Excel"),
        (zipped("xl/workbook.xml"), "Excel"),
        (zipped("archive/data.pkl"), "PyTorch"),
        (zipped("readme.txt"), "a zip archive, and not numpy's npz"),
        (pickle.dumps({"a": 1}), "Python pickle"),
        (pickle.dumps({"a": 1}, protocol=2), "Python pickle"),
        (pickle.dumps([1, 2], protocol=0), "Python pickle"),
        (pickle.dumps(np.zeros(3), protocol=0), "Python pickle"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "HDF5"),
        (b"PAR1\x15\x04" + bytes(20), "parquet"),
        (b"MATLAB 5.0 MAT-file, Platform: GLNXA64", "MATLAB"),
        (b"%%MatrixMarket matrix coordinate real general\n", "Matrix Market"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (tarred(), "tar"),
    ],
)
def test_unsupported_forms_are_named(content: bytes, said: str) -> None:
    assert said in (unsupported(content[:512]) or "")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"3 5 4\n0,2 0:0.5\n",
        "Über\n".encode(),
        b"MATLAB for engineers\n",
        b"ORC, an orchestra\n",
        saved(np.save, np.eye(2)),
        saved(np.savez, np.eye(2)),
    ],
)
def test_texts_and_numpy_files_are_not_foreign(content: bytes) -> None:
    assert unsupported(content[:512]) is None


@pytest.mark.parametrize("packing", PACK)
def test_a_file_that_unpacks_without_end_is_refused_early(
    packing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ALWAYS_UNPACKED", 1 << 16)
    (tmp_path / "x.txt").write_bytes(PACK[packing](b"0:1 " * 1_500_000))
    tracemalloc.start()
    for read in (load_bytes, lambda path: sum(1 for _ in lines_of(path))):
        with pytest.raises(DataError, match=r"x\.txt: unpacks to more than [\d,]+ bytes"):
            read(tmp_path / "x.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000 or packing in ("xz", "zstd")  # xz keeps 8 MB; zstd unpacks 1,024 bytes at once


def test_a_long_line_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WHOLE_TEXT", 1000)
    (tmp_path / "x.txt").write_bytes(b"a" * 1000 + b"\n")
    with pytest.raises(DataError, match=r"x\.txt, line 1: more than 1,000 bytes"):
        list(lines_of(tmp_path / "x.txt"))
    (tmp_path / "x.txt").write_bytes(b"a" * 999 + b"\n" + b"b" * 10**6)
    lines = lines_of(tmp_path / "x.txt")
    assert next(lines) == (1, "a" * 999)
    with pytest.raises(DataError, match="line 2"):
        next(lines)


def test_a_pipe_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.txt")
    with pytest.raises(DataError, match=r"x\.txt: a pipe, not"), opened(tmp_path / "x.txt"):
        pass
