"""svmlight text without a header, as scikit-learn and libsvm write it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import dump_svmlight_file

from xmcbench.data import formats, matrix_text
from xmcbench.data.reading import DataWarning
from xmcbench.errors import DataError

X = np.array([[0.5, 0, 1.25], [0, 0, 0], [0, -3e-7, 0]])
Y = np.array([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])


@pytest.mark.parametrize("comment", [None, "made by hand\nover two lines"])
@pytest.mark.parametrize("query_id", [None, [3, 3, 4]])
@pytest.mark.parametrize("zero_based", [True, False])
def test_what_scikit_learn_writes(tmp_path: Path, comment: Any, query_id: Any, zero_based: bool) -> None:
    """Only with a comment does the file state whether columns count from 0 or from 1."""
    path = tmp_path / "x.svm"
    options = {"zero_based": zero_based, "comment": comment, "query_id": query_id}
    dump_svmlight_file(X, sp.csr_matrix(Y), str(path), multilabel=True, **options)
    one_based = not zero_based and comment is None
    features, labels = formats.read_both(path, one_based_features=one_based)
    assert labels is not None
    assert features.dtype == labels.dtype == np.float32
    assert np.array_equal(features.toarray(), X.astype(np.float32))
    assert np.array_equal(labels.toarray(), Y)
    assert np.array_equal(formats.read_labels(path).toarray(), Y)
    if comment and zero_based:
        with pytest.raises(DataError, match="column indices are zero-based"):
            formats.read_both(path, one_based_features=True)


def test_a_single_label_per_row(tmp_path: Path) -> None:
    path = tmp_path / "x.svm"
    dump_svmlight_file(X, np.array([2.0, 0.0, 5.0]), str(path))
    labels = formats.read_labels(path)
    assert labels.shape == (3, 6)
    assert labels.indices.tolist() == [2, 0, 5]


def test_comments_qids_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.svm"
    path.write_bytes(b"# first\n# second\r\n1,0 qid:3 0:1 2:2 # trailing\r\n# between\n\n 1:1\n2\n\n\n")
    features, labels = matrix_text.read_svmlight(path)
    assert features.toarray().tolist() == [[1, 0, 2], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert labels.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-1 0:1", "line 4: label id '-1' is negative"),
        ("1.5 0:1", "line 4: '1.5' is not a label id\n.*Ids are whole numbers"),
        ("1 x:1", "line 4: 'x' is not a column id"),
        ("1 0:1 0:2", "line 4: id 0 occurs twice"),
        ("1 0:1 5", "line 4: '5' is not an id:value pair"),
        ("1 3000000000:1", "line 4: column id '3000000000' is outside"),
        ("1 0:1e", "line 4: the last line is cut off"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "x.svm"
    path.write_text("# comment\n0 1:1\n# another\n" + line)
    with pytest.raises(DataError, match=says):
        formats.read_both(path)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("3 5 4\n0,2 0:1\n", formats.ONE_FILE),
        ("3 5\n0:1\n", formats.TWO_FILE),
        ("0,2 0:1\n", formats.SVMLIGHT),
        ("\n0:1 4:2\n", formats.SVMLIGHT),
        ("3\n1 0:1\n", formats.SVMLIGHT),
        ("3\n1\n", formats.OTHER),
        ("a note: of 3\n", formats.OTHER),
        ("", formats.OTHER),
        ("cat 0:1\n", formats.OTHER),
    ],
)
def test_the_form_is_seen_from_the_content(tmp_path: Path, content: str, form: str) -> None:
    (tmp_path / "x").write_text(content)
    assert formats.form_of(tmp_path / "x") == form


def test_all_splits_get_one_width(tmp_path: Path) -> None:
    """The test file's ids go beyond those of training; a file with a header keeps its width."""
    for name, content in (("a", "0 0:1\n"), ("b", "4 6:1\n"), ("c", "1 3\n0:1\n")):
        (tmp_path / name).write_text(content)
    a, b = ((tmp_path / name, formats.read_both(tmp_path / name)[0]) for name in "ab")
    formats.with_one_width([a, b], "labels")
    assert (a[1].shape, b[1].shape) == ((1, 7), (1, 7))
    formats.with_one_width([a, b], "labels", 9)
    assert (a[1].shape, b[1].shape) == ((1, 9), (1, 9))
    c = (tmp_path / "c", formats.read_matrix(tmp_path / "c"))
    formats.with_one_width([a, c], "labels")
    assert c[1].shape == (1, 3)


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(1e-5, 1e5).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.from_regex(r"[0-9]{16,18}[eE]-?(1?[0-9]|2[0-2])", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=20), st.booleans())
def test_scores_equal_pythons_float(tmp_path_factory: pytest.TempPathFactory, texts: list[str], header: bool) -> None:
    path = tmp_path_factory.mktemp("scores") / "p.txt"
    first = f"1 {len(texts)}\n" if header else ""
    path.write_text(first + " ".join(f"{i}:{text}" for i, text in enumerate(texts)) + "\n")
    read = matrix_text.read_scores(path, 1, len(texts), header=header)
    assert read.data.tobytes() == np.array([float(text) for text in texts]).tobytes()


def test_ids_that_may_count_from_one_are_suspected(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("0,1 1:2\n1 3:1\n")
    with pytest.warns(DataWarning, match=r"train\.txt: no row has id 0 of features; .* give --one-based features"):
        formats.with_one_width([(path, formats.read_both(path)[0])], "features")
    from_one = formats.read_both(path, one_based_features=True)[0]
    with warnings.catch_warnings(action="error"):
        formats.with_one_width([(path, from_one)], "features")
