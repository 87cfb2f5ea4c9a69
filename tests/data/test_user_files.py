"""Files of splits become rows: one separator, lists, ids that count from 1, empty lines, forms that are not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from tests.data.user_rows import labels, put, read, refused
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles, read_label_texts, read_splits
from xmcbench.errors import DataError, UsageError


def test_all_splits_are_split_alike(tmp_path: Path) -> None:
    texts, two = put(tmp_path, "t.txt", "one\ntwo\n"), put(tmp_path, "t1.txt", "three\n")
    train = SplitFiles(texts, put(tmp_path, "y.txt", "machine learning;optics\noptics\n"))
    test = SplitFiles(two, put(tmp_path, "yt.txt", "machine learning\n"))
    found, notes = read_splits({"train": train, "test": test}, Reading())
    assert found["test"].names is not None
    assert found["test"].names.rows == [["machine learning"]]
    assert notes == ["labels split at semicolons, for example 'machine learning', 'optics'"]
    comma = SplitFiles(two, put(tmp_path, "yc.txt", "a,b\n"))
    with pytest.raises(UsageError, match=r"semicolons or commas.*y\.txt, line 1: .*yc\.txt, line 1: 'a,b'"):
        read_splits({"train": train, "test": comma}, Reading())
    _, notes = read_splits({"train": test}, Reading(separator="none"))
    assert notes == ["each cell is one label, for example 'machine learning'"]


def test_empty_names_are_counted(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", "a\nb\n"), put(tmp_path, "y.txt", "x;;y;\nz\n"))
    found, notes = read_splits({"train": files}, Reading())
    assert found["train"].names is not None
    assert found["train"].names.rows == [["x", "y"], ["z"]]
    assert "2 empty label names, as in a;;b, are no labels" in notes


def test_a_text_in_json_is_one_label_unless_a_separator_is_given(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.jsonl", '{"text": "a", "labels": "x y, z"}\n{"text": "b", "labels": ["p"]}\n'))
    assert labels(files) == [["x y, z"], ["p"]]
    files = SplitFiles(
        put(tmp_path, "u.jsonl", '{"text": "a", "labels": "x, z"}\n{"text": "b", "labels": "[\'p\']"}\n')
    )
    assert labels(files) == [["x, z"], ["p"]]
    files = SplitFiles(put(tmp_path, "v.jsonl", '{"text": "a", "labels": "x, z"}\n{"text": "b", "labels": NaN}\n'))
    assert labels(files, separator="comma") == [["x", "z"], []]


@pytest.mark.parametrize(
    ("texts", "names", "rows"),
    [
        ("a\nb\n", "x\ny\n", [["x"], ["y"]]),
        ("a\nb", "x\n\n", [["x"], []]),
        ("a\nb\n\n", "x\ny\n\n", [["x"], ["y"]]),
        ("a\nb\n\n\n", "x\ny\n", [["x"], ["y"]]),
        ("a\nb\n", "x\ny\n\n\n", [["x"], ["y"]]),
        ("a\n\n", "x\ny\n", [["x"], ["y"]]),
    ],
)
def test_empty_lines_at_the_end(tmp_path: Path, texts: str, names: str, rows: list[list[str]]) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", texts), put(tmp_path, "y.txt", names))
    found, notes = read_splits({"train": files}, Reading())
    assert found["train"].names is not None
    assert found["train"].names.rows == rows
    assert len(found["train"].texts or []) == 2
    n_dropped = len(texts.splitlines()) + len(names.splitlines()) - 4
    assert sum(int(note.split()[0]) for note in notes if "are no rows" in note) == n_dropped


def test_numbers_of_rows_that_differ(tmp_path: Path) -> None:
    texts = put(tmp_path, "t.txt", "a\nb\n\n")
    refused(SplitFiles(texts, put(tmp_path, "y.txt", "x\n")), r"t\.txt has 2 rows, its labels \(.*y\.txt\) 1")
    sp.save_npz(tmp_path / "y.npz", sp.csr_matrix(np.eye(3, dtype=np.float32)))
    assert read(SplitFiles(texts, tmp_path / "y.npz")).texts == ["a", "b", ""]
    refused(SplitFiles(put(tmp_path, "s.txt", "\n\n"), put(tmp_path, "z.txt", "\n\n")), r"s\.txt: no rows")


def test_ids_that_count_from_1(tmp_path: Path) -> None:
    texts, one = put(tmp_path, "t.txt", "a\nb\n"), frozenset(["labels"])
    names = put(tmp_path, "l.txt", "p\nq\nr\n")
    files = SplitFiles(texts, put(tmp_path, "y.txt", "1,3\n2\n"))
    found, _ = read_splits({"train": files}, Reading(one_based=one), names)
    assert found["train"].names is not None
    assert found["train"].names.rows == [["1", "3"], ["2"]]
    refused(files, r"--one-based labels changes nothing: .*without --label-texts", UsageError, one_based=one)
    for content, bad in (("1,0\n2\n", "'0'"), ("1\nx\n", "'x'"), ("00\n1\n", "'00'")):
        files = SplitFiles(texts, put(tmp_path, "y.txt", content))
        refused(files, rf"y\.txt, line \d: label {bad} is no id that counts from 1", one_based=one)
    rows = '{"text": "a", "labels": [0]}\n'
    refused(SplitFiles(put(tmp_path, "t.jsonl", rows)), "line 1: label '0' is no id", one_based=one)
    files = SplitFiles(texts, put(tmp_path, "y.txt", "1\n2\n"))
    refused(files, "--one-based features is used by none", UsageError, one_based=frozenset(["features"]))


def test_label_texts_and_empty_lines(tmp_path: Path) -> None:
    path = put(tmp_path, "l.txt", "a\n\nc\n\n\n")
    assert read_label_texts(path, Reading()) == ["a", "", "c"]
    assert read_label_texts(path, Reading(), at_least=4) == ["a", "", "c", ""]
    with pytest.raises(DataError, match=r"l\.txt, line 1: the text is 'None'"):
        read_label_texts(put(tmp_path, "l.txt", "None\n"), Reading())
    with pytest.raises(DataError, match="a JSON object in a file of plain lines"):
        read_label_texts(put(tmp_path, "l.txt", '{"text": "x"}\n'), Reading())


@pytest.mark.parametrize("name", ["y.txt", "y.xlsx"])
def test_labels_in_a_form_that_is_not_read(tmp_path: Path, name: str) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    refused(SplitFiles(put(tmp_path, "t.txt", "a\n"), tmp_path / name), "is an Excel workbook")
    (tmp_path / name).write_bytes("1 2\n".encode("utf-16"))
    refused(SplitFiles(put(tmp_path, "t.txt", "a\n"), tmp_path / name), "is UTF-16 text")
    refused(SplitFiles(put(tmp_path, "t.txt", "a\n"), tmp_path), "is a folder")
