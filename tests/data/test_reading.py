"""Opening files: compression by content, and forms that nothing here reads are named."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from xmcbench.data.reading import unsupported


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "content")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("x.txt"))
    return buffer.getvalue()


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
        (b"PAR1\x15\x04" + bytes(20), "Parquet"),
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
