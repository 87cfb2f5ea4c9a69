"""Columns of tables: texts, labels, one-hot and long tables, ids that join two tables, options that nothing uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.user_rows import labels, put, read, refused
from xmcbench.data.label_cells import CellRules
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles, read_splits
from xmcbench.errors import UsageError


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text,tags\na,x\n", r"t\.csv, line 2: no 'labels' among 'text', 'tags'\n.*--labels-column"),
        ("title,labels\na,x\n", r"t\.csv, line 2: no 'text' among 'title', 'labels'\n.*--text-column"),
        ("TEXT,labels\na,x\n", r"no 'text' among 'TEXT', 'labels'\n  Give --text-column TEXT\."),
        ("text,label\na,x\n", r"no 'labels' among 'text', 'label'\n  Give --labels-column label\."),
        ("text,labels\nnan,x\n", r"line 2: text: the text is 'nan'"),
        ("text,labels\n", r"t\.csv: no rows"),
    ],
)
def test_a_column_that_is_missing_is_named(tmp_path: Path, content: str, says: str) -> None:
    refused(SplitFiles(put(tmp_path, "t.csv", content)), says)


def test_of_several_columns_the_hint_names_all(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.csv", "Title,body,labels\na,b,x\n"))
    refused(
        files,
        r"no 'title' among 'Title', 'body', 'labels'\n  Give --text-column Title,body\.",
        text_column="title,body",
    )


def test_keys_that_one_row_lacks(tmp_path: Path) -> None:
    lines = ['{"text": "a", "labels": ["x"]}', '{"text": "b", "label": ["y"]}']
    refused(SplitFiles(put(tmp_path, "t.jsonl", "\n".join(lines))), "line 2: no 'labels' among 'text', 'label'")
    lines = ['{"text": null, "labels": null}', '{"text": NaN, "labels": ["x"]}']
    rows = read(SplitFiles(put(tmp_path, "t.jsonl", "\n".join(lines))))
    assert rows.texts == ["", ""]
    refused(SplitFiles(put(tmp_path, "s.jsonl", '{"text": "\\ud800", "labels": []}')), "half of a surrogate pair")
    refused(
        SplitFiles(put(tmp_path, "o.jsonl", '{"text": {"0": "a"}, "labels": {}}')),
        "line 1: text: expected a text, found an object",
    )


def test_keys_within_objects_are_not_read(tmp_path: Path) -> None:
    for line in ('{"data": {"text": "a"}, "labels": ["x"]}', '{"rows": [{"text": "a", "labels": ["x"]}]}'):
        refused(SplitFiles(put(tmp_path, "t.jsonl", line)), r"line 1: no 'text' .*\n.*not those of objects within it")
    refused(SplitFiles(tmp_path / "t.jsonl"), "the list under the key 'rows'")
    files = SplitFiles(put(tmp_path, "t.csv", "text,l1,l2\na,x,y\n"))
    refused(files, r"no 'l1,l2' among .*\n.*It is one column", labels_column="l1,l2")


def test_missing_texts_and_labels_as_the_user_says(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.csv", "text,labels\nNA,x\nb,NA\n"))
    rows = read(files, cells=CellRules(missing="NA"))
    assert rows.texts == ["", "b"]
    assert labels(files, cells=CellRules(missing="NA")) == [["x"], []]
    assert labels(files, cells=CellRules(literal=True)) == [["x"], ["NA"]]


def test_one_hot_columns(tmp_path: Path) -> None:
    content = 'id,text,toxic,"rude, very",score\n1,a,1,0,0.5\n2,b,TRUE,1.0,0.1\n3,c,0,False,1\n'
    files = SplitFiles(put(tmp_path, "t.csv", content))
    assert labels(files, one_hot='toxic,"rude, very"') == [["toxic"], ["toxic", "rude, very"], []]
    refused(files, r"line 2, column 'score': '0\.5' is neither 0 nor 1", one_hot="*")
    refused(files, "line 2: no 'rude' among 'id', 'text'", one_hot="toxic,rude")
    files = SplitFiles(put(tmp_path, "e.csv", "text,x,y\na,1,\n"))
    refused(files, r"line 2, column 'y': '' is neither 0 nor 1\n.*An empty cell is neither: write 0", one_hot="*")
    files = SplitFiles(put(tmp_path, "u.csv", "id,text,x,y\n1,a,1,0\n2,b,0,1\n"))
    assert labels(files, one_hot="*") == [["x"], ["y"]]
    files = SplitFiles(put(tmp_path, "u.jsonl", '{"text": "a", "x": true, "y": 0}\n{"text": "b", "x": 1, "y": null}'))
    refused(files, "line 2, column 'y': 'none' is neither", one_hot="*")


def test_a_column_of_labels_next_to_a_file_of_labels_is_said(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.csv", "text,labels\na,x\n"), put(tmp_path, "y.txt", "y\n"))
    found, notes = read_splits({"train": files}, Reading())
    assert found["train"].names is not None
    assert found["train"].names.rows == [["y"]]
    assert any("the column 'labels' of" in note and "is not read" in note for note in notes)


def test_ids_that_repeat_are_said(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.csv", "id,text,labels\n7,a,x\n7,a,y\n"))
    found, notes = read_splits({"train": files}, Reading())
    assert found["train"].texts == ["a", "a"]
    assert any("ids repeat in" in note and "'7'" in note for note in notes)


def test_ids_that_are_empty_do_not_repeat(tmp_path: Path) -> None:
    table = put(tmp_path, "t.csv", "id,text,labels\n,a,x\n,b,y\n")
    assert not any("ids repeat" in note for note in read_splits({"train": SplitFiles(table)}, Reading())[1])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"text_column": "body"}, "--text-column is used by none of the files"),
        ({"labels_column": "tags"}, "--labels-column is used by none of the files"),
        ({"id_column": "id"}, "--id-column is used by none of the files"),
        ({"long": True}, "--long is used by none of the files"),
        ({"one_hot": "*"}, "--one-hot is used by none of the files"),
        ({"delimiter": ";"}, "--delimiter is used by none of the files"),
        ({"columns": ("a",)}, "--columns is used by none of the files"),
    ],
)
def test_an_option_that_no_file_uses(tmp_path: Path, options: dict[str, object], says: str) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", "a\n"), put(tmp_path, "y.txt", "x\n"))
    refused(files, says, UsageError, **options)


def test_options_that_contradict_each_other(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.csv", "text,labels\na,x\n"))
    refused(files, "a column is named twice", UsageError, text_column="text,text")
    refused(files, "a column is named twice", UsageError, one_hot="a,a")
    refused(files, "a column is named twice", UsageError, columns=("a", "a"))
    refused(files, "can't be labels and texts", UsageError, text_column="labels")
    refused(files, "--id-column does not name the ids", UsageError, long=True)
    refused(files, "two forms of labels", UsageError, one_hot="x", labels_column="y")
    lists = SplitFiles(put(tmp_path, "l.csv", "text,labels\na,['x']\n"))
    refused(lists, "--label-separator is used by none", UsageError, separator="comma")
