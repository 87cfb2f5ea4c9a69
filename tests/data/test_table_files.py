"""Tables of every form give the same rows, and a damaged table is refused at the place of the damage."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from xmcbench import limits
from xmcbench.data import table_files
from xmcbench.errors import DataError, UsageError


def rows(folder: Path, name: str, content: str | bytes, **options: object) -> list[tuple[int, dict[str, object]]]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [(number, dict(row)) for number, row in table_files.table_rows(path, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "text,tags\na,x\nb,y\n"),
        ("t.csv", "\ufefftext;tags\r\na;x\r\nb;y\r\n"),
        ("t.csv", "text|tags\na|x\nb|y"),
        ("t.csv", "text\ttags\na\tx\nb\ty\n\n\n"),
        ("t.csv", '"text", tags\n"a",x\n"b",y\n'),
        ("t.CSV", '"te,xt",tags\na,x\nb,y\n'),
        ("t.tsv", "text\ttags\na\tx\nb\ty\n"),
        ("t.jsonl", '{"text": "a", "tags": "x"}\n\n{"text": "b", "tags": "y"}\n'),
        ("t.json", '[{"text": "a", "tags": "x"},\n {"text": "b",\n "tags": "y"}]\n'),
        ("t.json", '\n[\n{"text": "a", "tags": "x"}, {"text": "b", "tags": "y"}\n]'),
    ],
)
def test_rows_of_every_form(tmp_path: Path, name: str, content: str) -> None:
    values = [list(row.values()) for _, row in rows(tmp_path, name, content)]
    assert values == [["a", "x"], ["b", "y"]]


def test_an_array_is_read_at_once_and_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WHOLE_TEXT", 50)
    with pytest.raises(DataError, match="an array of more than 50 characters"):
        rows(tmp_path, "t.json", '[{"text": "a",\n "tags": "x"},\n {"text": "b", "tags": 1}]')
    with pytest.raises(DataError, match=r"t\.csv, line 2, column 1: the quote .* is not closed within 50 char"):
        rows(tmp_path, "t.csv", 'text,tags\n"' + "aaaaaaaa\n" * 50)


def test_a_parquet_file_of_one_long_text_in_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    monkeypatch.setattr(limits, "ALWAYS_UNPACKED", 1 << 20)
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 5000, pyarrow.int32()), ["a" * 10_000])
    parquet.write_table(pyarrow.table({"text": text}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet, row \d+: more than 1,048,576 characters so far"):
        list(table_files.table_rows(tmp_path / "t.parquet"))


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.tsv", "t.jsonl", "t.json"])
def test_a_table_is_a_regular_file(name: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="a pipe"):
        list(table_files.table_rows(tmp_path / name))


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    assert [n for n, _ in rows(tmp_path, "t.csv", 'a,b\n"x\ny",1\nz,2\n')] == [3, 4]
    assert [n for n, _ in rows(tmp_path, "t.json", '[\n{"a": 1},\n\n{"a":\n2}, {"a": 3}]')] == [2, 4, 5]


def test_delimiter_and_columns_can_be_said(tmp_path: Path) -> None:
    assert rows(tmp_path, "t.csv", "a;b,c\n1;2,3\n", delimiter="semicolon") == [(2, {"a": "1", "b,c": "2,3"})]
    assert rows(tmp_path, "t.csv", "1;2\n", columns=["x", "y"]) == [(1, {"x": "1", "y": "2"})]
    assert rows(tmp_path, "t.tsv", "1,2\n", delimiter=",", columns=["x", "y"]) == [(1, {"x": "1", "y": "2"})]
    assert rows(tmp_path, "t.csv", "1~2\n", delimiter="~", columns=["x", "y"]) == [(1, {"x": "1", "y": "2"})]
    for content, options, says in (
        ("a;b,c\n", {}, r"divided by comma or semicolon\n  Give --delimiter comma or semicolon"),
        ("a;b,c\n1;2,3\n", {}, r"divided by comma or semicolon\n  Give --delimiter comma or semicolon"),
        ("a,b\n", {"delimiter": "pipe"}, "--delimiter 'pipe'\n.*comma, tab, semicolon, bar"),
        ("Text,Tags\na,b\n", {"columns": ["text", "tags"]}, "line 1 is a header"),
    ):
        with pytest.raises(UsageError, match=says):
            rows(tmp_path, "t.csv", content, **options)


def test_the_first_rows_decide_between_delimiters_of_line_1(tmp_path: Path) -> None:
    found = rows(tmp_path, "t.csv", "text,labels (a; b)\nx,p; q\ny,p\n")
    assert found == [(2, {"text": "x", "labels (a; b)": "p; q"}), (3, {"text": "y", "labels (a; b)": "p"})]
    found = rows(tmp_path, "t.csv", 'one,1;2\n"a;b",3\n', columns=["x", "y"])
    assert found == [(1, {"x": "one", "y": "1;2"}), (2, {"x": "a;b", "y": "3"})]


def test_a_header_in_the_middle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv, line 3: the header again\n.*joined"):
        rows(tmp_path, "t.csv", "text,tags\na,x\ntext,tags\nb,y\n")


def test_tabs_in_quotes_of_tsv(tmp_path: Path) -> None:
    content = 'a\tb\n"x\ty"\tz\n"p\tq"\n'  # with two cells, a quote is a character
    assert [list(row.values()) for _, row in rows(tmp_path, "t.tsv", content)] == [["x\ty", "z"], ['"p', 'q"']]
    with pytest.raises(DataError, match="line 2: 4 columns, the first row names 2"):
        rows(tmp_path, "t.tsv", 'a\tb\n"x\ty"\tz\tz\n')


def test_quotes_of_tsv_are_characters_unless_a_cell_is_quoted(tmp_path: Path) -> None:
    content = 'a\tb\n"x ""y"""\t"z"\n"Hi" he said\t6"\n"open\t""\n'
    assert [list(row.values()) for _, row in rows(tmp_path, "t.tsv", content)] == [
        ['x "y"', "z"],
        ['"Hi" he said', '6"'],
        ['"open', ""],
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "t.csv",
            'a,b\nx,"open\ny,1\nz,2\n',
            r"line 2, column 3: the quote that opens here is not closed up to the end of the file, line 4",
        ),
        ("t.csv", 'a,b\n"open,1\ny,1\n"z",2\n', r"line 2, column 1: the quote .* noticed in line 4, column 2, at"),
        (
            "t.csv",
            '"a","b"\n"x ""y"" z","lost\n"p","q"\n"r","s"\n',
            r"line 2, column 13: the quote that opens here is not closed in its line; noticed in line 3, column 2, at",
        ),
        ("t.csv", 'a,b\nx,He said: "no"\n', "line 2, column 12: a quote within a cell that is not quoted"),
        ("t.csv", 'a,b\n"x" ,y\n', "line 2, column 4: a blank after a quoted cell"),
        ("t.csv", 'a,b\n"x"y,2\n', r"line 2, column 1: the quote that opens here closes in line 2 within a cell"),
        ("t.csv", 'a,b\n"x\ny"\n', r"lines 2 to 3, joined by a quote in line 2: 1 columns, the first row names 2"),
        ("t.csv", 'a,b\nx,"y\nz"\n6" nails,1\n', "line 4, column 2: a quote within a cell that is not quoted"),
        ("t.csv", 'a,b\nx, "y"\n', "line 2, column 4: a blank between the delimiter and the quote"),
        ("t.csv", "a,b\nx,y,z\n", r"line 2: 3 columns, the first row names 2"),
        ("t.csv", "a,b\nx\ry,z\n", r"line 2: a carriage return within a cell"),
        ("t.csv", "a, a\n1,2\n", r"line 1: a column name occurs twice: 'a'"),
        ("t.csv", "a\nx\n\ny\n", r"line 3: a blank line between rows"),
        ("t.tsv", 'a\tb\n"x\ny"\tz\n', r"line 2: 1 columns, the first row names 2\n.*newlines divide cells"),
        ("t.json", '[{"a": 1}\n{"a": 2}]', r"line 2, column 1: not JSON \(Expecting ',' or '\]'"),
        ("t.json", '[{"a": 1},\n', "not JSON: the array does not end in this file"),
        ("t.json", '[{"a": 1}', "not JSON: the array does not end in this file"),
        ("t.json", '[{"a": 1}] x', r"line 1, column 12: not JSON \(Text after the array"),
        ("t.json", '[{"a": 1}, 3]', "line 1: expected a JSON object, found 3"),
        ("t.json", '{\n"a": 1\n}', "line 1, column 2: not JSON: the object does not end in this line"),
        ("t.jsonl", '{"a": 1}\n{"a": 1, "a": 2}', "line 2: .*the key 'a' occurs twice"),
        ("t.json", '[{"a": 1},\n{"a": 1, "a": 2}]', "line 2: .*the key 'a' occurs twice"),
        ("t.jsonl", '{"a": 1}\n[1]\n', r"line 2: expected a JSON object, found \[1\]"),
        ("t.jsonl", '{"a": 1} {"a": 2}\n', r"line 1, column 10: not JSON \(more text after the object"),
        (
            "t.jsonl",
            '{"a": 1}\n{"a": "b',
            "line 2, column 7: not JSON: the object does not end in this line\n.*cut off",
        ),
        ("t.jsonl", "[" * 99_999, "not JSON"),
    ],
)
def test_damage_is_named_where_it_is(tmp_path: Path, name: str, content: str, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        rows(tmp_path, name, content)
    assert name in caught.value.message


def test_an_empty_array_has_no_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, "t.json", " [ ]\n") == []


def test_parquet(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table({"text": ["a", None], "labels": [["x", "y"], []], "score": [1.0, float("nan")]})
    parquet.write_table(table, tmp_path / "t.parquet")
    found = list(table_files.table_rows(tmp_path / "t.parquet"))
    assert [(number, row["text"], row["labels"]) for number, row in found] == [(1, "a", ["x", "y"]), (2, None, [])]
    whole = (tmp_path / "t.parquet").read_bytes()
    for damaged in (whole[:-9], b"PAR1", b"text", b""):
        (tmp_path / "bad.parquet").write_bytes(damaged)
        with pytest.raises(DataError, match=r"bad\.parquet: not a whole parquet file"):
            list(table_files.table_rows(tmp_path / "bad.parquet"))
    with pytest.raises(DataError, match=r"nowhere\.parquet"):
        list(table_files.table_rows(tmp_path / "nowhere.parquet"))


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(UsageError, match=r"pip install -e '\.\[parquet\]'"):
        list(table_files.table_rows(tmp_path / "t.parquet"))


def test_numbers_and_other_values_keep_their_types(tmp_path: Path) -> None:
    row = {"a": [1, "x", None], "b": 2.5, "c": {"d": True}}
    for name, content in (("t.jsonl", json.dumps(row)), ("t.json", json.dumps([row], indent=2))):
        assert rows(tmp_path, name, content)[0][1] == row
