"""Predictions in every form of file: read alike, ranked at the file's precision, damage named with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.errors import DataError
from xmcbench.metrics.predictions import read_given, read_predictions
from xmcbench.topk import TopK

N, L = 3, 6
ROWS: list[dict[int, float]] = [{0: 0.9, 2: 0.8, 5: 0.1}, {}, {4: -1.5, 1: 0.0}]  # label → score
RANKED = [[0, 2, 5], [-1, -1, -1], [1, 4, -1]]
FORMS = ("arrays.npz", "csr.npz", "header.txt", "lines.txt", "pairs.jsonl", "objects.jsonl", "lists.jsonl", "all.json")


def write(path: Path, rows: list[dict[Any, Any]], dtype: Any = np.float64, base: int = 0) -> Path:
    """The same predictions in the form that the name says, with ids that count from `base`."""
    pairs = [[[label + base, score] for label, score in row.items()] for row in rows]
    if path.name == "arrays.npz":
        width = max(map(len, pairs))
        ids, scores = np.full((len(rows), width), -1), np.zeros((len(rows), width), dtype)
        for i, row in enumerate(pairs):
            for j, (label, score) in enumerate(row):
                ids[i, j], scores[i, j] = label, score
        np.savez(path, ids=ids, scores=scores)
    elif path.name == "csr.npz":
        entries = [(i, label, score) for i, row in enumerate(pairs) for label, score in row]
        i, j, values = zip(*entries, strict=True)
        sp.save_npz(path, sp.csr_matrix((np.array(values, dtype), (i, j)), shape=(len(rows), L + base)))
    elif path.suffix == ".txt":
        lines = [" ".join(f"{label}:{score!r}" for label, score in row) for row in pairs]
        header = [f"{len(rows)} {L}"] if path.name == "header.txt" else []
        path.write_text("\n".join([*header, *lines]) + "\n")
    elif path.name == "all.json":
        path.write_text(json.dumps(pairs, indent=1))
    else:
        values = {
            "pairs.jsonl": pairs,
            "objects.jsonl": [{str(label): score for label, score in row} for row in pairs],
            "lists.jsonl": [
                {"ids": [label for label, _ in row], "scores": [score for _, score in row]} for row in pairs
            ],
        }[path.name]
        path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("base", [0, 1])
def test_every_form_reads_alike(tmp_path: Path, form: str, base: int) -> None:
    path = write(tmp_path / form, ROWS, base=base)
    top = read_predictions(path, N, L, one_based=bool(base))
    assert top.ids.tolist() == RANKED
    assert top.scores[0].tolist() == np.array([0.9, 0.8, 0.1], np.float32).tolist()
    assert read_predictions(path, N, L, 1, one_based=bool(base)).ids.tolist() == [[0], [-1], [1]]
    if base == 0:
        with pytest.raises(DataError, match=r"id 0|label 0"):
            read_predictions(path, N, L, one_based=True)
    else:
        with pytest.raises(DataError, match=f"outside|names label {L + 1}|over 7 labels|label 6|valid are"):
            read_predictions(write(path, [*ROWS[:2], {5: 1.0}], base=1), N, L)


CLOSE = [
    ({3: 1.0, 1: 1.0 + 1e-12, 4: 1.0 - 1e-12}, np.float64, [1, 3, 4]),
    ({0: 2**53, 5: 2**53 + 1, 2: 2**53 - 1}, np.int64, [5, 0, 2]),
    ({0: 1e-60, 5: 2e-60, 2: 0.0}, np.float64, [5, 0, 2]),
    ({0: 1e39, 5: 1e300, 2: -1e39, 1: -1e300}, np.float64, [5, 0, 2, 1]),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("row", "dtype", "ranked"), CLOSE)
def test_scores_are_ranked_at_the_precision_of_the_file(
    tmp_path: Path, form: str, row: dict[int, Any], dtype: Any, ranked: list[int]
) -> None:
    if dtype == np.int64 and form.endswith(".txt"):
        return  # scores in text are float64, which can't tell these apart
    top = read_predictions(write(tmp_path / form, [row], dtype), 1, L)
    assert top.ids.tolist() == [ranked]
    assert not top.tied(len(ranked)).any()
    top.check(1, L)
    top.save(tmp_path / "saved.npz")
    assert read_predictions(tmp_path / "saved.npz", 1, L).ids.tolist() == [ranked]


def test_a_dense_npy_predicts_every_label(tmp_path: Path) -> None:
    scores = np.array([[0.0, 2, 1], [0, -1, -2]])
    np.save(tmp_path / "p.npy", scores)
    assert read_predictions(tmp_path / "p.npy", 2, 3).ids.tolist() == [[1, 2, 0], [0, 1, 2]]
    np.save(tmp_path / "p.npy", np.hstack([np.zeros((2, 1)), scores]))
    assert read_predictions(tmp_path / "p.npy", 2, 3, one_based=True).ids.tolist() == [[1, 2, 0], [0, 1, 2]]
    with pytest.raises(DataError, match=r"a dense matrix \(2, 4\), expected a score for each of 3 labels"):
        read_predictions(tmp_path / "p.npy", 2, 3)


@pytest.mark.parametrize("dtype", ["f2", ">f2", ">f4", ">f8", "g", "i1", ">i4", ">i8", "u1", ">u8", "?"])
@pytest.mark.parametrize("form", ["arrays", "dense", "csr", "csc", "coo", "bsr", "dia"])
def test_scores_of_any_type_of_numbers(tmp_path: Path, dtype: str, form: str) -> None:
    scores = np.array([[0, 1, 0], [1, 0, 0]]).astype(dtype)
    path = tmp_path / ("p.npy" if form == "dense" else "p.npz")
    if form == "arrays":
        np.savez(path, ids=np.array([[1], [0]], ">i4"), scores=np.ones((2, 1), dtype))
    elif form == "dense":
        np.save(path, scores)
    else:
        sp.save_npz(path, sp.csr_matrix(scores.astype(float)).asformat(form))
        with np.load(path) as file:
            parts = {name: file[name] for name in file.files}
        np.savez(path, **{**parts, "data": parts["data"].astype(dtype)})
    top = read_predictions(path, 2, 3)
    assert top.ids[:, 0].tolist() == [1, 0]
    assert top.scores[:, 0].tolist() == [1, 1]
    assert read_given(path, 2, 3).csr(3, np.zeros((0, 2), int)).toarray().tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("scores", [np.ones((2, 3), "c8"), np.ones((2, 3), "M8[s]"), np.ones((2, 3), [("a", "f4")])])
def test_scores_that_are_no_numbers(tmp_path: Path, scores: Any) -> None:
    np.save(tmp_path / "p.npy", scores)
    np.savez(tmp_path / "p.npz", ids=[[0, 1, 2]] * 2, scores=scores)
    for name in ("p.npy", "p.npz"):
        with pytest.raises(DataError, match=f"{name}: values are .*, not numbers"):
            read_predictions(tmp_path / name, 2, 3)


def test_a_label_twice_is_refused_in_every_sparse_format(tmp_path: Path) -> None:
    path, ones = tmp_path / "p.npz", np.ones(2)
    twice = {
        "csr": sp.csr_matrix((ones, [2, 2], [0, 0, 2]), shape=(2, 3)),
        "csc": sp.csc_matrix((ones, [1, 1], [0, 0, 0, 2]), shape=(2, 3)),
        "coo": sp.coo_matrix((ones, ([1, 1], [2, 2])), shape=(2, 3)),
        "bsr": sp.bsr_matrix((ones.reshape(2, 1, 1), [2, 2], [0, 0, 2]), shape=(2, 3)),
    }
    for form, matrix in twice.items():
        sp.save_npz(path, matrix)
        with pytest.raises(DataError, match="row 1 names id 2 twice"):
            read_predictions(path, 2, 3)
        assert matrix.nnz == 2, form
    np.savez(path, format=b"dia", shape=(2, 3), data=np.ones((2, 3)), offsets=[1, 1])
    with pytest.raises(DataError, match="names a diagonal twice"):
        read_predictions(path, 2, 3)


def test_scores_as_given_without_filter_pairs(tmp_path: Path) -> None:
    pairs = np.array([[0, 2], [2, 1], [2, 0]])
    for form in FORMS:
        matrix = read_given(write(tmp_path / form, ROWS), N, L).csr(L, pairs)
        assert matrix.toarray().tolist() == [[0.9, 0, 0, 0, 0, 0.1], [0] * 6, [0, 0, 0, 0, -1.5, 0]]
        assert matrix.nnz == 3


def test_a_saved_order_of_other_columns_is_checked(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", ids=np.array([[1, 2]], np.int32), scores=np.array([[1, 2]], np.float32), ranked=True)
    with pytest.raises(DataError, match=r"p.npz: .*row 0"):
        read_predictions(tmp_path / "p.npz", 1, 3)
    TopK.from_arrays(np.array([[2, 1]]), np.array([[1.0, 1.0]])).save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as file:
        assert file.files == ["ids", "scores"]  # no mark where none is needed


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[[1, 0.5], [1, 0.4]]\n[]\n[]\n", "row 0 names label 1 twice"),
        ('{"1": 0.5, "1": 0.4}\n{}\n{}\n', "row 0 names label 1 twice"),
        ("[[1, 0.5]]\n[[6, 0.5]]\n[]\n", "line 2: label 6 is outside, valid are 0 to 5"),
        ("[[1, 0.5]]\n[[-3, 0.5]]\n[]\n", "line 2: label -3 is outside.*\n.*Only id −1 marks padding"),
        ('[]\n{"cat": 0.5}\n[]\n', "line 2: label 'cat' is no id"),
        ("[]\n[[1.5, 0.5]]\n[]\n", r"line 2: label 1\.5 is no id"),
        ("[]\n[[true, 0.5]]\n[]\n", "line 2: label True is no id"),
        ("[]\n[[1, NaN]]\n[]\n", "line 2: label 1 has the score nan, which is no finite number"),
        ("[]\n[[1, 1e999]]\n[]\n", "line 2: label 1 has the score inf"),
        (f"[]\n[[1, {10**400}]]\n[]\n", "line 2: label 1 has the score 1000"),
        ('[]\n[[1, "0.5"]]\n[]\n', "line 2: label 1 has the score '0.5'"),
        ("[]\n[1, 0.5]\n[]\n", r"line 2: \[1, 0.5\] is no pair|line 2: 1 is no pair"),
        ("[1, 2]\n[]\n[3]\n", "line 1: ids without scores"),
        ("[[1, 2], [], [3]]", "row 0: ids without scores|1 rows of predictions"),
        ('{"ids": [1]}\n[]\n[]\n', "line 1: ids without scores"),
        ("[]\n3\n[]\n", "line 2: 3 is no pair of id and score"),
        ('[]\n{"ids": [1, 2], "scores": [1]}\n[]\n', "line 2: ids and scores must be two lists of one length"),
        ("[]\n[[1, 0.5]\n[]\n", "line 2: not JSON"),
        ("[[1, 0.5]\n", "not JSON"),
        ("[[[1, 0.5]], [[9, 1]], []]", "row 1: label 9 is outside"),
        ("[]\n[]\n", "2 rows of predictions, the truth has 3 rows"),
        ("[]", "1 rows of predictions"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_damaged_json(tmp_path: Path, content: str, says: str) -> None:
    refused(tmp_path / "p.json", content.encode(), says)


def refused(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_predictions(path, N, L)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"0:1\n1:1\n", "line 3: expected 3 rows, the file ends after 2"),
        (b"0:1\n1:1\n2:1\n3:1\n", "line 4: expected 3 rows, the file holds more"),
        (b"0:1\n6:1\n2:1\n", "line 2: column id '6' is outside: the width is 6"),
        (b"0:1\n1:1 1:2\n2:1\n", "line 2: id 1 occurs twice"),
        (b"0:1\n1:1e999\n2:1\n", "line 2: '1:1e999': too large for float64"),
        (b"3 6\n1,2 0:1\n1:1\n2:1\n", "line 2: '1,2' is not an id:value pair"),
        (b"1,2 0:1\n1:1\n2:1\n", "line 1: '1,2' is not an id:value pair"),
        (b"3 6 6\n0:1\n1:1\n2:1\n", "line 1: three numbers"),
        (b"3 0\n1\n4 3 2\n", "line 1: ids without scores\n.*id:score, such as '3:1 0:0.5'"),
        (b"3 0 1\n1\n4 3 2\n", "line 1: ids without scores"),
        (b"\xef\xbb\xbf3,0,1,2\r\n\r\n4,-1\r\n", "line 1: ids without scores"),
        (b"\n1\n4 3 2\n", "line 2: ids without scores\n.*such as '1:1'"),
        (b"3 6\n0\n\n2\n", "line 2: ids without scores"),
        (b"0:1\n1\n2:1\n", "line 2: id '1' without a score\n.*id:score"),
        (b"2 6\n\n\n", "2 rows of predictions, the truth has 3 rows"),
        (b"label,score\n1,0.5\n", "line 1: found 'label,score', neither a header .*\n.*Accepted: npz with ids"),
        (b"", "the file is empty"),
        (b"\x80\x04\x95\x00", "a Python pickle.*\n.*JSON"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\xff\xfe1\x00", "a text in UTF-16"),
    ],
)
def test_damaged_text(tmp_path: Path, content: bytes, says: str) -> None:
    refused(tmp_path / "p.txt", content, says)


def test_a_header_and_empty_rows_predict_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("3 6\n\n\n\n")
    assert read_predictions(tmp_path / "p.txt", 3, 6).ids.tolist() == [[-1]] * 3


def test_arrays_that_count_from_1(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    np.savez(path, ids=[[1, 6], [3, 0]], scores=[[1.0, 0], [1, 0]])
    with pytest.raises(DataError, match=r"row 1 names label 0, valid are 1 to 6\n.*Pad short rows with id −1"):
        read_predictions(path, 2, L, one_based=True)
    np.savez(path, ids=np.array([[1, 6]], np.uint8), scores=[[1.0, 0]])
    assert read_predictions(path, 1, L, one_based=True).ids.tolist() == [[0, 5]]
