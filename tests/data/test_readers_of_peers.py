"""XMC text as napkinXC and scikit-learn read it, and where they read another matrix than xmcbench or refuse it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import dump_svmlight_file, load_svmlight_file

from xmcbench.data.formats import write_npz_csr, write_xmc
from xmcbench.data.matrix_text import read_xmc
from xmcbench.data.reading import DataWarning
from xmcbench.errors import DataError

Read = tuple[list[list[float]], list[list[int]]]  # dense features and label ids by row
AGREED = {
    "plain": "3 4 5\n0,2 1:0.5 3:2\n4 0:1.25\n1 2:1e-3\n",
    "a row without labels": "3 4 5\n 1:0.5 3:2\n4 0:1.25\n1 2:1\n",
    "no space before it": "3 4 5\n1:0.5 3:2\n4 0:1.25\n1 2:1\n",
    "a row without features": "3 4 5\n0 3:1\n4\n1 2:1\n",
    "float32": "1 2 1\n0 0:0.1 1:16777217\n",
    "CRLF": "2 4 5\r\n2 1:1 3:2\r\n4 0:1.25\r\n",
    "spaces at the end": "2 4 5 \n2 1:1 3:2 \n4 0:1.25 \n",
    "no newline at the end": "2 4 5\n2 1:1 3:2\n4 0:1.25",
}


def ours(text: str, folder: Path) -> Read:
    path = folder / "file.txt"
    path.write_bytes(text.encode())
    features, labels = read_xmc(path)
    return features.toarray().tolist(), [row.indices.tolist() for row in labels]


def napkinxc(text: str, folder: Path) -> Read:
    datasets = pytest.importorskip("napkinxc.datasets", reason="napkinXC is not installed")
    path = folder / "file.txt"
    path.write_bytes(text.encode())
    features, labels = datasets.load_libsvm_file(str(path))
    return features.toarray().tolist(), [[int(label) for label in row] for row in labels]


def scikit_learn(text: str, folder: Path) -> Read:
    """It knows no header, so the width of the header is given to it, and features are float64 unless it is told."""
    header, body = text.split("\n", 1)
    width = int(header.split()[1])
    options: Any = {"n_features": width, "multilabel": True, "zero_based": True, "dtype": np.float32}
    features, labels = load_svmlight_file(io.BytesIO(body.encode()), **options)
    return features.toarray().tolist(), [[int(label) for label in row] for row in labels]


@pytest.mark.parametrize("peer", [napkinxc, scikit_learn])
@pytest.mark.parametrize("case", AGREED)
def test_read_alike(case: str, peer: Callable[[str, Path], Read], tmp_path: Path) -> None:
    assert peer(AGREED[case], tmp_path) == ours(AGREED[case], tmp_path)


def test_where_napkinxc_reads_something_else(tmp_path: Path) -> None:
    """It ignores the header's numbers, adds repeated features, keeps repeated labels, and does not separate at tabs."""
    few_rows, wide, repeated = "3 2 2\n1 0:1\n", "1 2 2\n1 4:1\n", "1 2 2\n1 1:2 1:1\n"
    assert napkinxc(few_rows, tmp_path) == ([[1.0]], [[1]])
    assert napkinxc(wide, tmp_path) == ([[0.0, 0.0, 0.0, 0.0, 1.0]], [[1]])
    assert napkinxc(repeated, tmp_path) == ([[0.0, 3.0]], [[1]])
    for text, problem in ((few_rows, "ends after 1"), (wide, "id '4' is outside"), (repeated, "id 1 occurs twice")):
        with pytest.raises(DataError, match=problem):
            ours(text, tmp_path)
    tabs = "1 2 2\n1\t0:2\t1:1\n"
    assert ours(tabs, tmp_path) == ([[2.0, 1.0]], [[1]])
    assert napkinxc(tabs, tmp_path)[1] == [[]]
    with pytest.warns(DataWarning, match="counts once"):
        assert ours("1 2 3\n2,0,2 1:2\n", tmp_path)[1] == [[0, 2]]
    assert napkinxc("1 2 3\n2,0,2 1:2\n", tmp_path)[1] == [[2, 0, 2]]


def test_where_scikit_learn_reads_something_else(tmp_path: Path) -> None:
    """It skips rows without labels and features, which shifts all rows after them, and refuses unsorted features."""
    empty = "3 1 3\n0 0:1\n\n2 0:3\n"
    assert ours(empty, tmp_path) == napkinxc(empty, tmp_path) == ([[1.0], [0.0], [3.0]], [[0], [], [2]])
    assert scikit_learn(empty, tmp_path) == ([[1.0], [3.0]], [[0], [2]])
    unsorted = "1 4 3\n1 3:2 0:1\n"
    assert ours(unsorted, tmp_path) == napkinxc(unsorted, tmp_path)
    with pytest.raises(ValueError, match="sorted"):
        scikit_learn(unsorted, tmp_path)


@pytest.mark.parametrize("peer", [napkinxc, scikit_learn])
def test_peers_read_what_we_write(peer: Callable[[str, Path], Read], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((30, 12)) < 0.4, rng.random((30, 12)), 0).astype(np.float32)
    dense[:, 11] = 1  # napkinXC finds the width in the ids
    labels = sp.csr_matrix((rng.random((30, 8)) < 0.3).astype(np.float32))
    write_xmc(tmp_path / "written.txt", sp.csr_matrix(dense), labels)
    found = peer((tmp_path / "written.txt").read_text(), tmp_path)
    assert found == (dense.tolist(), [row.indices.tolist() for row in labels])


@pytest.mark.parametrize("zero_based", [True, False])
def test_we_read_what_scikit_learn_writes(zero_based: bool, tmp_path: Path) -> None:
    """With a header in front, which its format lacks; its option zero_based=False changes features, not labels."""
    rng = np.random.default_rng(1)
    features = rng.integers(0, 3, (20, 6)) / 8
    labels = sp.csr_matrix(rng.random((20, 5)) < 0.4)
    written = io.BytesIO()
    dump_svmlight_file(features, labels, written, multilabel=True, zero_based=zero_based)
    path = tmp_path / "file.txt"
    path.write_bytes(b"20 6 5\n" + written.getvalue())
    found = read_xmc(path, one_based_features=not zero_based)
    np.testing.assert_array_equal(found[0].toarray(), features)
    np.testing.assert_array_equal(found[1].toarray() > 0, labels.toarray())


def test_npz_has_the_members_that_pecos_reads(tmp_path: Path) -> None:
    """`pecos.utils.smat_util.load_matrix` (PECOS at 10b3969) reads these members; `format` must name a scipy class."""
    write_npz_csr(tmp_path / "y.npz", sp.csr_matrix(np.eye(3, dtype=np.float32)))
    with np.load(tmp_path / "y.npz") as file:
        assert {"data", "indices", "indptr", "shape", "format"} <= set(file.files)
        name = file["format"].item()
    assert (name if isinstance(name, str) else name.decode("ascii")) == "csr"
