"""npz matrices and filter pairs: damage is named, nothing is unpickled."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data import formats
from xmcbench.errors import DataError

MATRIX = sp.csr_matrix(np.array([[0, 2, 0], [1, 0, 3]], np.float64))


def test_npz_of_any_sparse_format_is_float32_csr(tmp_path: Path) -> None:
    for kind in ("csr", "csc", "coo"):
        sp.save_npz(tmp_path / "m.npz", MATRIX.asformat(kind))
        read = formats.read_matrix(tmp_path / "m.npz")
        assert read.dtype == np.float32
        assert np.array_equal(read.toarray(), MATRIX.toarray())
    assert formats.read_labels(tmp_path / "m.npz").data.tolist() == [1, 1, 1]


def test_npz_ids_are_sorted(tmp_path: Path) -> None:
    mixed = sp.csr_matrix((np.array([3.0, 1.0]), np.array([2, 0]), np.array([0, 2])), shape=(1, 3))
    sp.save_npz(tmp_path / "m.npz", mixed)
    assert formats.read_matrix(tmp_path / "m.npz").indices.tolist() == [0, 2]


def broken(**changes: np.ndarray) -> dict[str, np.ndarray]:
    parts = {
        "format": np.array(b"csr"),
        "shape": np.array([2, 3]),
        "indptr": np.array([0, 1, 3]),
        "indices": np.array([1, 0, 2]),
        "data": np.array([2.0, 1.0, 3.0]),
    }
    return {k: v for k, v in {**parts, **changes}.items() if v.size}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"indices": np.array([1, 0, 3])}, "not a sparse matrix"),
        ({"indices": np.array([1, -1, 2])}, "not a sparse matrix"),
        ({"indptr": np.array([0, 3, 1])}, "not a sparse matrix"),
        ({"shape": np.array([10**12, 3])}, "not a sparse matrix"),
        ({"indptr": np.array([])}, "not a sparse matrix"),
        ({"data": np.array([1, None, 2], dtype=object)}, "not a sparse matrix"),
        ({"shape": np.array([2, 10**12])}, "1000000000000 columns, at most"),
        ({"indices": np.array([1, 2, 2])}, "row 1 names id 2 twice"),
        ({"data": np.array([1.0, np.nan, 2.0])}, "row 1 holds a value that is NaN"),
        ({"data": np.array([1e300, 1.0, 2.0])}, "row 0 holds a value"),
        ({"data": np.array([1j, 1.0, 2.0])}, "values are complex128"),
    ],
)
def test_broken_npz(tmp_path: Path, changes: dict[str, np.ndarray], says: str) -> None:
    np.savez(tmp_path / "m.npz", **broken(**changes))
    with pytest.raises(DataError, match=says) as caught:
        formats.read_matrix(tmp_path / "m.npz")
    assert str(tmp_path / "m.npz") in caught.value.message


def test_truncated_npz_and_other_archives(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    sp.save_npz(path, MATRIX)
    whole = path.read_bytes()
    for size in (10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="not a sparse matrix"):
            formats.read_matrix(path)
    np.savez(path, ids=np.zeros(3))
    with pytest.raises(DataError, match="not a sparse matrix"):
        formats.read_matrix(path)
    with pytest.raises(DataError, match="No such file"):
        formats.read_matrix(tmp_path / "nowhere.npz")


def test_filter_pairs(tmp_path: Path) -> None:
    path = tmp_path / "filter.txt"
    path.write_bytes(b"\xef\xbb\xbf2 0\r\n0\t3\n\n2 0\n")
    assert formats.read_filter(path, 3, 4).tolist() == [[0, 3], [2, 0]]
    path.write_bytes(b"")
    assert formats.read_filter(path, 3, 4).shape == (0, 2)
    (tmp_path / "filter.txt.gz").write_bytes(gzip.compress(b"1 1\n"))
    assert formats.read_filter(tmp_path / "filter.txt.gz", 3, 4).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"3 0", r"pair \(3, 0\) is outside 3 rows and 4 labels"),
        (b"0 4", "is outside"),
        (b"-1 0", "expected 'row label'"),
        (b"1", "expected 'row label'"),
        (b"1 2 3", "expected 'row label'"),
        (b"\xe9 1", "expected 'row label'"),
    ],
)
def test_bad_filter_lines(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "filter.txt"
    path.write_bytes(b"0 0\n" + line + b"\n")
    with pytest.raises(DataError, match=says) as caught:
        formats.read_filter(path, 3, 4)
    assert "line 2" in caught.value.message
