"""Matrices in npz form: every format of scipy, and arrays that do not fit together, which scipy would trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from xmcbench.data.numpy_files import read_npy, read_npz_csr
from xmcbench.errors import DataError

DENSE = np.array([[0, 2, 0, 0], [3, 0, 0, 4]], np.float32)
FORMS = ("csr", "csc", "coo", "bsr", "dia")


def parts(form: str) -> dict[str, Any]:
    """The arrays that scipy saves of `DENSE`."""
    matrix = getattr(sp, f"{form}_matrix")(DENSE)
    names = {"coo": ("row", "col"), "dia": ("offsets",)}.get(form, ("indices", "indptr"))
    arrays = {name: getattr(matrix, name) for name in (*names, "data")}
    return {"format": np.array(form.encode()), "shape": np.array(DENSE.shape), **arrays}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("ids", [np.int8, np.int32, np.int64, ">i4", np.uint64])
def test_every_format_is_read(form: str, ids: Any, tmp_path: Path) -> None:
    arrays = parts(form)
    if not (form == "dia" and np.dtype(ids).kind == "u"):  # offsets are negative below the diagonal
        arrays |= {name: arrays[name].astype(ids) for name in arrays if name not in ("format", "shape", "data")}
    np.savez(tmp_path / "m.npz", **arrays)
    np.testing.assert_array_equal(read_npz_csr(tmp_path / "m.npz").toarray(), DENSE)


EDGES = (-(2**63), -(2**31) - 1, -1, 4, 2**31 - 1, 2**31, 2**32, 2**63 - 1)
FAULTS = [
    *((form, {"shape": shape}) for form in FORMS for shape in ([-2, 4], [2, -4], [2, 2**31], [10**12, 4], [2**62, 4])),
    *((form, {"shape": np.array([2.0, 4.0])}) for form in FORMS),
    *((form, {"shape": np.array(8)}) for form in FORMS),
    *((form, {"data": np.float32(1)}) for form in FORMS),
    *((form, {"data": np.ones((2, 2, 2, 2))}) for form in FORMS),
    *((form, {"data": np.array(["a", "b", "c"])}) for form in FORMS),
    *((form, {"indices": [0, 1, edge]}) for form in ("csr", "csc", "bsr") for edge in EDGES),
    *((form, {"indices": np.array([0, 1, 2**63 + 1], np.uint64)}) for form in ("csr", "csc")),
    *((form, {"indices": [[0, 1, 2]]}) for form in ("csr", "csc", "bsr")),
    *((form, {"indices": [0, 1]}) for form in ("csr", "csc", "bsr")),
    *((form, {"indices": [0.5, 1, 2]}) for form in ("csr", "csc", "bsr")),
    *((form, {"indices": [True, False, True]}) for form in ("csr", "csc", "bsr")),
    *(("csr", {"indptr": starts})
      for starts in ([0, 1], [0, 1, 2], [1, 1, 3], [0, 4, 3], [0, -1, 3], [], [0, 1, 2**63 - 1])),
    *(("coo", {name: [0, 0, edge]}) for name in ("row", "col") for edge in EDGES),
    *(("coo", {name: [0.0, 0.0, 1.0]}) for name in ("row", "col")),
    *(("coo", {name: [0, 0]}) for name in ("row", "col")),
    *(("dia", {"offsets": offsets}) for offsets in ([0, 0, 1], [0], [-2, 0, 1], [0, 1, 4], [0.0, 1.0, 2.0], 0)),
    ("dia", {"data": np.ones((3, 5))}),
    *(("bsr", {"data": np.ones((3, *block))}) for block in ((0, 1), (1, 0), (2, 3), (3, 1))),
    *((form, {"format": np.array("lil")}) for form in FORMS),
]  # fmt: skip


@pytest.mark.parametrize(("form", "changes"), FAULTS, ids=str)
def test_arrays_that_do_not_fit_are_refused_before_scipy_reads_them(
    form: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    arrays = {**parts(form), **{name: np.asarray(value) for name, value in changes.items()}}
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(DataError, match=r"m\.npz"):
        read_npz_csr(tmp_path / "m.npz")


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_array_is_named(form: str, tmp_path: Path) -> None:
    for name in set(parts(form)) - {"format"}:
        np.savez(tmp_path / "m.npz", **{key: array for key, array in parts(form).items() if key != name})
        with pytest.raises(DataError, match=f"it has no array '{name}'"):
            read_npz_csr(tmp_path / "m.npz")


@settings(max_examples=60, deadline=None)
@given(form=st.sampled_from(FORMS), data=st.data())
def test_ids_of_any_size_are_read_right_or_refused(
    form: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    arrays, path = parts(form), tmp_path_factory.mktemp("m") / "m.npz"
    name = data.draw(st.sampled_from([key for key in arrays if key not in ("format", "shape", "data")]))
    arrays[name] = arrays[name].astype(np.int64)
    arrays[name][data.draw(st.integers(0, len(arrays[name]) - 1))] = data.draw(st.sampled_from([*EDGES, 0, 1, 2, 3]))
    np.savez(path, **arrays)
    try:
        found = read_npz_csr(path)
    except DataError:
        return
    if form == "dia":  # what another offset moves out of the matrix is padding
        expected = sp.dia_matrix((arrays["data"], arrays["offsets"]), shape=DENSE.shape)
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
        return
    assert found.nnz == np.count_nonzero(DENSE)
    if form == "coo":
        expected = sp.coo_matrix((arrays["data"], (arrays["row"], arrays["col"])), shape=DENSE.shape)
        np.testing.assert_array_equal(found.toarray(), expected.toarray())


def test_one_file_holds_one_array(tmp_path: Path) -> None:
    with open(tmp_path / "m.npy", "wb") as file:
        np.save(file, DENSE)
        np.save(file, DENSE)
    with pytest.raises(DataError, match="does not take"):
        read_npy(tmp_path / "m.npy")


def test_a_header_that_claims_more_than_the_file_has(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", DENSE)
    content = (tmp_path / "m.npy").read_bytes()
    (tmp_path / "m.npy").write_bytes(content.replace(b"(2, 4), }        ", b"(200000000, 4), }"))
    with pytest.raises(DataError, match="does not take"):
        read_npy(tmp_path / "m.npy")
