"""Rows of two tables that belong together: by ids, by rows, in the long form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.data.user_rows import labels, put, read, refused
from xmcbench.data.user_files import SplitFiles
from xmcbench.errors import UsageError


def test_labels_are_joined_by_their_ids(tmp_path: Path) -> None:
    texts = put(tmp_path, "t.csv", "id,text\n7,a\n8,b\n9,c\n")
    files = SplitFiles(texts, put(tmp_path, "y.csv", "id,labels\n9,z\n7,x;y\n8,\n"))
    assert labels(files, id_column="id") == [["x", "y"], [], ["z"]]
    refused(files, r"t\.csv, line 2 has '7', .*y\.csv, line 2: '9', in the column 'id'.*\n.*--id-column id")
    y = put(tmp_path, "y.jsonl", "".join(json.dumps({"id": i, "labels": [f"l{i}"]}) + "\n" for i in (9, 8, 7)))
    assert labels(SplitFiles(texts, y), id_column="id") == [["l7"], ["l8"], ["l9"]]
    for content, says in (
        ("id,labels\n9,z\n7,x\n", r"t\.csv, line 3: the id '8' is not in .*y\.csv"),
        ("id,labels\n9,z\n7,x\n8,y\n6,w\n", r"y\.csv, line 5: the id '6' is not in .*t\.csv"),
        ("id,labels\n9,z\n7,x\n8,y\n7,w\n", r"y\.csv, line 5: the id '7' is in line 3 already\n.*--long"),
        ("id,labels\n9,z\n,x\n8,y\n", r"y\.csv, line 3: the id in column 'id' is empty"),
        (
            "ID,labels\n9,z\n7,x\n8,y\n",
            r"y\.csv, line 2: no 'id' among 'ID', .*\n.*all tables have\. Rename the column 'ID' to 'id'",
        ),
    ):
        refused(SplitFiles(texts, put(tmp_path, "y.csv", content)), says, id_column="id")
    twice = put(tmp_path, "twice.csv", "id,text\n7,a\n7,b\n")
    refused(
        SplitFiles(twice, put(tmp_path, "y.csv", "id,labels\n7,z\n")), r"twice\.csv, line 3: the id '7'", id_column="id"
    )
    lines = put(tmp_path, "t.txt", "a\n")
    refused(
        SplitFiles(lines, put(tmp_path, "y.csv", "id,labels\n7,z\n")), "no table with ids", UsageError, id_column="id"
    )


def test_texts_in_another_order_are_not_joined_by_their_rows(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.csv", "text\na\nb\n"), put(tmp_path, "y.csv", "text,labels\nb,x\na,y\n"))
    refused(files, r"t\.csv, line 2 has 'a', .*y\.csv, line 2: 'b', in the column 'text'.*\n.*--id-column text")
    assert labels(files, id_column="text") == [["y"], ["x"]]
    files = SplitFiles(files.texts, put(tmp_path, "y.csv", "text,labels\nA,x\nB,y\n"))
    assert labels(files) == [["x"], ["y"]]


def test_the_long_form(tmp_path: Path) -> None:
    texts = put(tmp_path, "t.csv", "doc,text\nd1,a\nd2,b\nd3,c\n")
    y = put(tmp_path, "y.csv", "doc,label\nd3,New York\nd1,x\nd3,y\n")
    how = {"id_column": "doc", "labels_column": "label", "long": True}
    assert labels(SplitFiles(texts, y), **how) == [["x"], [], ["New York", "y"]]
    one = put(tmp_path, "one.csv", "doc,text,label\nd3,c,x y\nd1,a,x\nd3,c,y\nd2,b,\n")
    rows = read(SplitFiles(one), **how)
    assert rows.texts == ["c", "a", "b"]
    assert rows.names is not None
    assert rows.names.rows == [["x y", "y"], ["x"], []]
    refused(SplitFiles(one), "line 4: the id 'd3' is in line 2 already", id_column="doc", labels_column="label")
    two = put(tmp_path, "two.csv", "doc,text,label\nd3,c,x\nd3,b,y\n")
    refused(SplitFiles(two), "line 3: the id 'd3' has another text than in line 2", **how)
    y = put(tmp_path, "y.csv", "doc,label\nd3,x\nd4,x\n")
    refused(SplitFiles(texts, y), r"y\.csv, line 3: the id 'd4' is not in .*t\.csv", **how)


UNALIKE = [  # columns of texts and labels, and what the hint says
    ("url,text\nu3,a\nu1,b\n", "url,labels\nu1,y\nu3,x\n", "--id-column url"),
    ("docno,text\n7,a\n8,b\n", '{"docno": 8, "labels": ["y"]}\n{"docno": 7.0, "labels": ["x"]}', "--id-column docno"),
    ("Id,text\n7,a\n8,b\n", "ID,labels\n8,y\n7,x\n", "the name 'Id' in both files, and --id-column Id"),
    ("url,text\nu3,a\nu1,b\n", "link,labels\nu1,y\nu3,x\n", "the name 'url' in both files, and --id-column url"),
    (",text\n5,a\n6,b\n", ",labels\n6,y\n5,x\n", "the name 'id' in both files, and --id-column id"),
    ("day,text\nMo,a\nMo,b\n", "day,labels\nMo,y\nTu,x\n", "Sort both files alike"),
]


@pytest.mark.parametrize(("texts", "names", "hint"), UNALIKE)
def test_rows_that_another_column_tells_apart_are_not_joined(tmp_path: Path, texts: str, names: str, hint: str) -> None:
    files = SplitFiles(put(tmp_path, "t.csv", texts), put(tmp_path, "y.jsonl" if names[0] == "{" else "y.csv", names))
    refused(files, rf"t\.csv, line \d has '.*y\.(csv|jsonl), line \d: '.*\n.*{hint}")


def test_other_columns_that_are_alike(tmp_path: Path) -> None:
    texts = put(tmp_path, "t.csv", "url,size,text\nu3,1,a\nu1,2,b\n")
    assert labels(SplitFiles(texts, put(tmp_path, "y.csv", "url,rank,labels\nu3,9,y\nu1,8,x\n"))) == [["y"], ["x"]]
