"""Files of splits become rows: one separator, lists, ids that count from 1, empty lines, forms that are not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from tests.data.user_rows import labels, put, read, refused
from xmcbench.data.label_cells import CellRules
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
    with pytest.raises(
        UsageError, match=r"semicolons in .*y\.txt, line 1: .*commas in .*yc\.txt, line 1: 'a,b'\n.*alike"
    ):
        read_splits({"train": train, "test": comma}, Reading())
    _, notes = read_splits({"train": test}, Reading(separator="none"))
    assert notes == ["each cell is one label, for example 'machine learning'"]


def test_a_separator_that_one_split_does_not_have(tmp_path: Path) -> None:
    two = put(tmp_path, "t.txt", "one\ntwo\n")
    train = SplitFiles(two, put(tmp_path, "y.txt", "hardware|São Paulo\nNew York, NY|x\n"))
    test = SplitFiles(two, put(tmp_path, "yt.txt", "hardware;São Paulo\nx\n"))
    for given in ("bar", "semicolon"):
        with pytest.raises(UsageError, match=rf"divided at {given}s, but no label cell of .*yt?\.txt is; .*\n.*alike"):
            read_splits({"train": train, "test": test}, Reading(separator=given))
    put(tmp_path, "y.txt", "hardware|São Paulo\nx\n")
    with pytest.raises(UsageError, match=r"bars in .*y\.txt, line 1: .*; semicolons in .*yt\.txt, line 1: .*\n.*alike"):
        read_splits({"train": train, "test": test}, Reading())
    put(tmp_path, "y.txt", "hardware|São Paulo\nNew York, NY|x\n")
    test = SplitFiles(two, put(tmp_path, "yt.txt", "New York, NY\nx\n"))
    names = read_splits({"train": train, "test": test}, Reading(separator="bar"))[0]["test"].names
    assert names is not None
    assert names.rows == [["New York, NY"], ["x"]]
    refused(SplitFiles(two, put(tmp_path, "s.txt", "a;b\nc\n")), "'space' occurs in no", UsageError, separator="space")


def test_splits_have_the_same_label_columns(tmp_path: Path) -> None:
    train = SplitFiles(put(tmp_path, "t.csv", "text,a,b,c\nx,1,0,0\ny,0,1,0\n"))
    for name, content, missing in (
        ("few.csv", "text,a,c\nz,1,0\n", r"few\.csv has no label column 'b', which .*t\.csv has"),
        ("more.csv", "text,c,b,a,d\nz,1,0,0,0\n", r"t\.csv has no label column 'd', which .*more\.csv has"),
    ):
        with pytest.raises(DataError, match=missing):
            read_splits({"train": train, "test": SplitFiles(put(tmp_path, name, content))}, Reading(one_hot="*"))
    test = SplitFiles(put(tmp_path, "same.csv", "c,b,a,text\n1,0,0,z\n"))
    found, _ = read_splits({"train": train, "test": test}, Reading(one_hot="*"))
    assert found["test"].names is not None
    assert found["test"].names.rows == [["c"]]


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
    files = SplitFiles(put(tmp_path, "five.txt", "a\nb\nc\nd\ne\n"), put(tmp_path, "four.txt", "x\ny\n\n\n"))
    refused(files, r"five\.txt has 5 rows, its labels \(.*\) 2 \(lines with empty ones at the end: 5 and 4\)")
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
    assert texts_of(path, Reading()) == ["a", "", "c"]
    found = read_label_texts(path, Reading(), at_least=4)
    assert (found.lines, found.texts) == ([1, 2, 3, 4], ["a", "", "c", ""])
    with pytest.raises(DataError, match=r"l\.txt, line 1: the text is 'None'"):
        read_label_texts(put(tmp_path, "l.txt", "None\n"), Reading())
    with pytest.raises(DataError, match="a JSON object in a file of plain lines"):
        read_label_texts(put(tmp_path, "l.txt", '{"text": "x"}\n'), Reading())


def texts_of(path: Path, reading: Reading) -> list[str]:
    return read_label_texts(path, reading).texts


def test_label_texts_with_ids_of_their_own(tmp_path: Path) -> None:
    one = Reading(one_based=frozenset(["labels"]))
    for name, content in (
        ("l.csv", "id,text\n0,a\n1,b\n"),
        ("l.jsonl", '{"ID": 0, "text": "a"}\n{"ID": 1, "text": "b"}'),
    ):
        assert texts_of(put(tmp_path, name, content), Reading()) == ["a", "b"]
        with pytest.raises(DataError, match=rf"{name}, line \d: the id '0', where"):
            read_label_texts(tmp_path / name, one)
    assert texts_of(put(tmp_path, "l.csv", "label_id,text\n1,a\n2,b\n"), one) == ["a", "b"]
    assert texts_of(put(tmp_path, "l.csv", "id,text\nE1,a\nE2,b\n"), Reading()) == ["a", "b"]
    for content in ("id,text\n1,a\n0,b\n", "label_id,text\n1,a\n2,b\n", "id,text\n12,a\n55,b\n"):
        with pytest.raises(DataError, match=r"l\.csv, line 2: the id '1.*label the id 0\n.*ID<TAB>TEXT"):
            read_label_texts(put(tmp_path, "l.csv", content), Reading())
    for content in ("0,cat\n1,dog\n", "2 cat\n1 dog\n", "0: cat\n1: dog\n"):
        with pytest.raises(DataError, match=r"l\.txt, line 1: .*begin with ids of their own"):
            read_label_texts(put(tmp_path, "l.txt", content), Reading())
        assert texts_of(tmp_path / "l.txt", Reading(cells=CellRules(literal=True)))[0] == content.split("\n")[0]
    assert texts_of(put(tmp_path, "l.txt", "2 Corinthians\n1 Kings\nActs\n"), Reading())[0] == "2 Corinthians"
    with pytest.raises(DataError, match=r"l\.txt, line 1: 'Label' looks like the name of a column"):
        read_label_texts(put(tmp_path, "l.txt", "Label\ncat\n"), Reading())


@pytest.mark.parametrize("content", ["idx,text\n2,shoes\n0,hat\n1,scarf\n", ",text\n3,shoes\n1,hat\n2,scarf\n"])
def test_label_texts_in_the_order_of_no_column(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"l\.csv, line 2: the id '\d', where .*\n.*ID<TAB>TEXT"):
        read_label_texts(put(tmp_path, "l.csv", content), Reading())
    for sorted_or_other in ("labels,text\n1,a\n2,b\n", "size,text\n5,a\n1,b\n"):
        assert texts_of(put(tmp_path, "l.csv", sorted_or_other), Reading()) == ["a", "b"]


def test_fasttext(tmp_path: Path) -> None:
    texts = put(tmp_path, "t.txt", "__label__a __label__b one  two\nthree __label__c\n\n__label__a\nno __labels\n\n")
    rows, notes = read_splits({"train": SplitFiles(texts)}, Reading())
    assert rows["train"].texts == ["one  two", "three ", "", "", "no __labels"]
    assert rows["train"].names is not None
    assert rows["train"].names.rows == [["a", "b"], ["c"], [], ["a"], []]
    assert any("as fastText writes them" in note for note in notes)
    few = put(tmp_path, "f.txt", "__label__ is a prefix\nof fastText\n")
    assert read(SplitFiles(few, put(tmp_path, "y.txt", "x\ny\n"))).texts == ["__label__ is a prefix", "of fastText"]
    other = put(tmp_path, "y.txt", "x\n" * 5)
    rows, notes = read_splits({"train": SplitFiles(texts, other)}, Reading())
    assert rows["train"].texts == ["one  two", "three ", "", "", "no __labels"]
    assert any("are not read: labels are in" in note for note in notes)
    refused(SplitFiles(other, texts, None), "begins as the labels of fastText do", separator="space")
    literal = read(SplitFiles(texts, other), cells=CellRules(literal=True)).texts
    assert literal is not None
    assert literal[3] == "__label__a"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("3\tno dial tone\n", r"name it \.tsv, and name its columns, as in --columns labels,text"),
        ("text\tlabels\na\tb\n", r"t\.txt is a table, name it \.tsv\. Give"),
        ("id,text,labels\n1,a,b\n", r"t\.txt is a table, name it \.csv\. Give"),
        ("2 3 4\n0 1:1\n1 2:1\n", "looks like a matrix: give it with --features"),
        ("plain\n", "Give --labels FILE"),
    ],
)
def test_texts_without_labels_say_where_labels_may_be(tmp_path: Path, content: str, says: str) -> None:
    refused(SplitFiles(put(tmp_path, "t.txt", content)), f"labels are in none of the files\n.*{says}")


def test_names_of_columns_in_line_1_of_lines(tmp_path: Path) -> None:
    texts, names = put(tmp_path, "t.txt", "Text\na\n"), put(tmp_path, "y.txt", "labels\nx\n")
    refused(SplitFiles(texts, names), r"t\.txt, line 1: 'Text', and .*y\.txt, line 1: 'labels' look like names")
    assert labels(SplitFiles(texts, names), cells=CellRules(literal=True)) == [["labels"], ["x"]]
    assert labels(SplitFiles(put(tmp_path, "t.txt", "Text\na\n"), put(tmp_path, "y.txt", "b\nx\n"))) == [["b"], ["x"]]


def test_notes_on_what_is_not_read(tmp_path: Path) -> None:
    table = put(
        tmp_path, "t.csv", "id,text,labels,split,url\n1,a,x,train,u\n2,A,y,test,u\n3,a,y,test,u\n4,b,NA,test,u\n"
    )
    _, notes = read_splits({"train": SplitFiles(table)}, Reading(cells=CellRules("NA")))
    assert notes[:2] == [
        f"columns of {table} that are not read: 'split', 'url'",
        "the column 'split' does not decide the splits: give one file per split (--test-texts)",
    ]
    assert "1 rows have the same text as an earlier row and other labels, for example lines 2 and 4" in notes[3]
    assert not any("--missing" in note for note in notes)
    _, notes = read_splits({"train": SplitFiles(table)}, Reading(cells=CellRules("N/A", literal=True)))
    assert "no text and no label cell of a row is 'N/A', as --missing says" in notes
    lines = put(tmp_path, "t.jsonl", '{"text": "a", "labels": "x, y"}\n')
    _, notes = read_splits({"train": SplitFiles(lines)}, Reading())
    assert "a text in JSON or parquet is one label, such as 'x, y': --label-separator splits it" in notes


def test_notes_of_same_texts_and_of_a_first_row(tmp_path: Path) -> None:
    table = put(tmp_path, "t.csv", "comment,tags\na,x\na,y\n")
    _, notes = read_splits({"train": SplitFiles(table)}, Reading(text_column="comment", labels_column="tags"))
    assert any("lines 2 and 3 of" in note and "--long --id-column comment" in note for note in notes)
    joined = read(SplitFiles(table), text_column="comment", labels_column="tags", long=True, id_column="comment")
    assert joined.texts == ["a"]
    assert joined.names is not None
    assert joined.names.rows == [["x", "y"]]
    _, notes = read_splits({"train": SplitFiles(table)}, Reading(columns=("text", "labels")))
    assert f"--columns names the columns of {table}, whose first row has the text 'comment'" in notes
    lines = SplitFiles(put(tmp_path, "t.txt", "a\na\n"), put(tmp_path, "y.txt", "x\ny\n"))
    _, notes = read_splits({"train": lines}, Reading())
    assert any(note.endswith(f"for example lines 1 and 2 of {lines.labels}") for note in notes)


def test_two_numbers_and_a_colon_are_no_matrix(tmp_path: Path) -> None:
    texts = put(tmp_path, "t.txt", "a\nb\n")
    assert labels(SplitFiles(texts, put(tmp_path, "y.txt", "12 15\nE:11\n"))) == [["12", "15"], ["E:11"]]
    assert read(SplitFiles(texts, put(tmp_path, "y.txt", "2 15\n11:1\n\n"))).labels is not None
    found = read(SplitFiles(texts, put(tmp_path, "y.txt", "11:1 3:1\n2:1\n"))).labels  # a matrix without a header
    assert [row.indices.tolist() for row in found] == [[3, 11], [2]]


def test_features_in_a_form_that_is_not_read(tmp_path: Path) -> None:
    names = put(tmp_path, "y.txt", "a\n")
    refused(SplitFiles(None, names, tmp_path), "is a folder")
    (tmp_path / "x.parquet").write_bytes(b"PAR1\x15")
    refused(SplitFiles(None, names, tmp_path / "x.parquet"), r"is a parquet file\n.*npz or XMC text")
    sp.save_npz(tmp_path / "x.npz", sp.csr_matrix(np.eye(1, dtype=np.float32)))
    for kind, files in (
        ("features", SplitFiles(None, names, tmp_path / "x.npz")),
        ("labels", SplitFiles(names, tmp_path / "x.npz")),
    ):
        refused(files, "row 0 has id 0 in a file with one-based ids", one_based=frozenset([kind]))


@pytest.mark.parametrize("name", ["y.txt", "y.xlsx"])
def test_labels_in_a_form_that_is_not_read(tmp_path: Path, name: str) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    refused(SplitFiles(put(tmp_path, "t.txt", "a\n"), tmp_path / name), "is an Excel workbook")
    (tmp_path / name).write_bytes("1 2\n".encode("utf-16"))
    refused(SplitFiles(put(tmp_path, "t.txt", "a\n"), tmp_path / name), "is UTF-16 text")
    refused(SplitFiles(put(tmp_path, "t.txt", "a\n"), tmp_path), "is a folder")
