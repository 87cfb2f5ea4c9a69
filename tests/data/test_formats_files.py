"""npz matrices and filter pairs: damage is named, nothing is unpickled."""

from __future__ import annotations

import gzip
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.data import formats
from xmcbench.data.reading import DataWarning
from xmcbench.errors import DataError


def saved(save: Callable[..., None], matrix: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, matrix)
    return buffer.getvalue()


MATRIX = sp.csr_matrix(np.array([[0, 2, 0], [1, 0, 3]], np.float64))


def test_npz_of_any_sparse_format_is_float32_csr(tmp_path: Path) -> None:
    for kind in ("csr", "csc", "coo"):
        sp.save_npz(tmp_path / "m.npz", MATRIX.asformat(kind))
        read = formats.read_matrix(tmp_path / "m.npz")
        assert read.dtype == np.float32
        assert np.array_equal(read.toarray(), MATRIX.toarray())
    with pytest.warns(DataWarning, match=r"row 0, label 1 has the value 2: every value above 0 counts as a true label"):
        assert formats.read_labels(tmp_path / "m.npz").data.tolist() == [1, 1, 1]
    sp.save_npz(tmp_path / "m.npz", -MATRIX)
    with pytest.raises(DataError, match="row 0, label 1 has the value -2, which is negative"):
        formats.read_labels(tmp_path / "m.npz")


def test_an_npz_of_a_sparse_vector_is_no_matrix(tmp_path: Path) -> None:
    sp.save_npz(tmp_path / "m.npz", sp.coo_array(np.array([1.0, 0, 2])))
    with pytest.raises(DataError, match=r"shape \(3,\), not a matrix"):
        formats.read_matrix(tmp_path / "m.npz")


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
        ({"shape": np.array([10**12, 3])}, "1000000000000 rows, at most"),
        ({"indptr": np.array([])}, "not a sparse matrix"),
        ({"data": np.array([1, None, 2], dtype=object)}, "not a sparse matrix"),
        ({"shape": np.array([2, 10**12])}, "1000000000000 columns, at most"),
        ({"indices": np.array([1, 2, 2])}, "row 1 names id 2 twice"),
        ({"data": np.array([1.0, np.nan, 2.0])}, "row 1 holds a value that is NaN"),
        ({"data": np.array([1e300, 1.0, 2.0])}, "row 0 holds a value"),
        ({"data": np.array([1j, 1.0, 2.0])}, "values are complex128"),
        ({"format": np.array(3)}, "not a sparse matrix .* format is '3', valid are csr, csc, bsr, coo, dia"),
        ({"indices": np.array([1.5, 0, 2])}, "its array 'indices' has float64, not whole numbers"),
        ({"shape": np.array([3])}, r"shape \(3,\), not a matrix"),
        ({"format": np.array(b"csc"), "indptr": np.array([0, 1, 2, 3])}, "not a sparse matrix"),  # row 2 of 2
        ({"data": np.ones((3, 2))}, "not a sparse matrix"),
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
        with pytest.raises(DataError, match=r"not a sparse matrix.*\n.*get it again"):
            formats.read_matrix(path)
    np.savez(path, ids=np.zeros(3))
    with pytest.raises(DataError, match="not a sparse matrix"):
        formats.read_matrix(path)
    with pytest.raises(DataError, match="No such file"):
        formats.read_matrix(tmp_path / "nowhere.npz")


def test_filter_pairs(tmp_path: Path) -> None:
    path = tmp_path / "filter.txt"
    path.write_bytes(b"\xef\xbb\xbf2 0\r\n0\t3\n\n2 0\n")
    with pytest.warns(DataWarning, match="1 pairs repeat earlier ones; each counts once"):
        assert formats.read_filter(path, 3, 4).tolist() == [[0, 3], [2, 0]]
    path.write_bytes(b"")
    assert formats.read_filter(path, 3, 4).shape == (0, 2)
    (tmp_path / "filter.txt.gz").write_bytes(gzip.compress(b"1 1\n"))
    assert formats.read_filter(tmp_path / "filter.txt.gz", 3, 4).tolist() == [[1, 1]]
    path.write_bytes(b"3 4\n1 1\n")
    assert formats.read_filter(path, 3, 4, one_based=True).tolist() == [[0, 0], [2, 3]]
    path.write_bytes(b"3 4\n1 0\n")
    with pytest.raises(DataError, match=r"line 2: pair \(1, 0\) is outside 3 rows and 4 labels counted from 1"):
        formats.read_filter(path, 3, 4, one_based=True)
    path.write_bytes(b"\x80\x04\x95")
    with pytest.raises(DataError, match="Python pickle"):
        formats.read_filter(path, 3, 4)


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


CONTENTS = [
    saved(sp.save_npz, MATRIX),
    saved(np.save, MATRIX.toarray()),
    b"2 3\n1:2\n0:1 2:3\n",
    b"2 3 4\n1,2 1:2\n0:1 2:3\n",
    b"# c\n1,2 qid:1 1:2 # x\n3 0:1 2:0.12345678901234567\n",
]
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 20), st.binary(max_size=3)), max_size=3)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(CONTENTS), EDITS, st.booleans(), st.booleans())
def test_any_damage_is_an_error_for_the_user(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    edits: list[tuple[int, int, bytes]],
    packed: bool,
    base: bool,
) -> None:
    """A damaged file is a DataError that names it, or a whole matrix: sorted ids within its width, finite values."""
    for at, length, new in edits:
        content = content[:at] + new + content[at + length :]
    path = tmp_path_factory.mktemp("damaged") / "m"
    path.write_bytes(gzip.compress(content) if packed else content)
    found: list[sp.csr_matrix | None] = []
    messages: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (
            lambda: formats.read_both(path, one_based_features=base),
            lambda: (formats.read_labels(path, one_based=base),),
        ):
            try:
                found += read()
            except DataError as error:
                messages.append(error.message)
    assert all(str(path) in message for message in messages)
    for matrix in found:
        if matrix is not None:
            matrix.check_format(full_check=True)
            assert matrix.has_sorted_indices
            assert np.isfinite(matrix.data).all()


def test_dense_npy(tmp_path: Path) -> None:
    path = tmp_path / "m"
    dense = np.array([[0, 1, 0], [1, 0, 1]])
    for array in (dense, *(dense.astype(kind) for kind in ("?", "f2", ">f2", ">f8", "g", ">i4"))):
        np.save(tmp_path / "m.npy", array)
        (tmp_path / "m.npy").rename(path)
        assert np.array_equal(formats.read_labels(path).toarray(), dense)
        assert np.array_equal(formats.read_matrix(path).toarray(), dense)
    assert formats.read_labels(path).nnz == 3
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(formats.read_matrix(path).toarray(), dense)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.array([[None, 1]], dtype=object), "holds Python objects"),
        (np.zeros(3), r"shape \(3,\), not a matrix"),
        (np.zeros((2, 2, 2)), "not a matrix"),
        (np.array([[1j]]), "values are complex128, not numbers.*\n.*array.real"),
        (np.array([["a"]]), "values are <U1, not numbers"),
        (np.array([[0, 1.0], [np.nan, 0]]), "row 1, column 0 is nan"),
        (np.array([[0, 1e300]]), "row 0 holds a value too large for float32"),
    ],
)
def test_broken_npy(tmp_path: Path, array: np.ndarray, says: str) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(DataError, match=says):
        formats.read_matrix(tmp_path / "m.npy")
    (tmp_path / "m.npy").write_bytes((tmp_path / "m.npy").read_bytes()[:-1])
    with pytest.raises(DataError, match=r"m.npy: not a whole npy file"):
        formats.read_matrix(tmp_path / "m.npy")


def test_foreign_forms_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, np.eye(2))
    with pytest.raises(DataError, match=r"a dense matrix, not a sparse matrix in npz form: it contains arr_0 \(2, 2\)"):
        formats.read_matrix(path)
    for content, name in ((b"\x80\x04\x95", "a Python pickle"), (b"\x89HDF\r\n\x1a\n", "an HDF5 file")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=name):
            formats.read_labels(path)


def test_ids_that_count_from_1(tmp_path: Path) -> None:
    wide = np.array([[0, 1, 0, 0], [0, 0, 0, 1]])
    np.save(tmp_path / "m.npy", wide)
    sp.save_npz(tmp_path / "m.npz", sp.csr_matrix(wide))
    (tmp_path / "two.txt").write_text("2 3\n1:1\n3:1\n")
    (tmp_path / "one.txt").write_text("2 1 3\n1 1:1\n3 1:1\n")
    (tmp_path / "light.txt").write_text("1 1:1\n3 1:1\n")
    (tmp_path / "pairs.txt").write_text("1:1\n3:1\n")
    for name in ("m.npy", "m.npz", "two.txt", "one.txt", "light.txt", "pairs.txt"):
        both = {"one_based_features": True} if name == "one.txt" else {}
        assert formats.read_labels(tmp_path / name, one_based=True, **both).toarray().tolist() == [[1, 0, 0], [0, 0, 1]]
    wide[1, 0] = 1
    np.save(tmp_path / "m.npy", wide)
    sp.save_npz(tmp_path / "m.npz", sp.csr_matrix(wide))
    for name, content in (("light.txt", "0 1:1\n"), ("pairs.txt", "0:1\n"), ("two.txt", "1 3\n0:1\n")):
        (tmp_path / name).write_text(content)
    for name in ("m.npy", "m.npz", "two.txt", "light.txt", "pairs.txt"):
        with pytest.raises(DataError, match="id 0 in a file with one-based ids"):
            formats.read_labels(tmp_path / name, one_based=True)
