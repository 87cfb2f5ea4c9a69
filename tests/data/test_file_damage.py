"""Every form of file × every damage: what was written is read, damage is refused or seen in the damaged row alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xmcbench.data.label_names import MISSING
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles, read_splits
from xmcbench.errors import XmcError

Rows = list[tuple[str, list[str]]]
Files = dict[str, bytes]
SEPARATOR = "~"  # of labels, in the forms that need one
SYNTAX = 'tex,labs;[]{}":\n\t\\u0d8\'"é1.eE-'
HEADER = "text,labels"


def as_csv(delimiter: str, quoting: int, end: str) -> Callable[[Rows], Files]:
    def write(rows: Rows) -> Files:
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=end)
        writer.writerow(["text", "labels"])
        writer.writerows([text, SEPARATOR.join(names)] for text, names in rows)
        return {"t.csv": buffer.getvalue().encode()}

    return write


def as_tsv(rows: Rows) -> Files:
    lines = ["text\tlabels", *(f"{text}\t{SEPARATOR.join(names)}" for text, names in rows)]
    return {"t.tsv": "".join(f"{line}\n" for line in lines).encode()}


def as_json_lines(rows: Rows) -> Files:
    return {"t.jsonl": "".join(json.dumps({"text": t, "labels": y}) + "\n" for t, y in rows).encode()}


def as_json_array(rows: Rows) -> Files:
    array = [{"text": text, "labels": names} for text, names in rows]
    return {"t.json": json.dumps(array, ensure_ascii=False, indent=1).encode()}


def as_lines(rows: Rows) -> Files:
    texts = "".join(f"{text}\n" for text, _ in rows)
    return {"t.txt": texts.encode(), "y.txt": "".join(SEPARATOR.join(names) + "\n" for _, names in rows).encode()}


DELIMITED = [("comma", ",", "\n"), ("semicolon", ";", "\r\n"), ("bar", "|", "\n"), ("tab", "\t", "\n")]
CSV = {
    f"csv {name} {quoting}": as_csv(delimiter, quoting, end)
    for name, delimiter, end in DELIMITED
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
}
WITH_NEWLINES = {**CSV, "json lines": as_json_lines, "json array": as_json_array}
FORMS = {**WITH_NEWLINES, "tsv": as_tsv, "lines": as_lines}


def cells(form: str) -> st.SearchStrategy[Rows]:
    """Rows of cells that a form can hold; the last text is not empty, since empty lines at the end are no rows."""
    extra = "\n" if form in WITH_NEWLINES else ""
    characters = st.sampled_from("ab Zé日\u2028😀'\"\\,;|:-" + extra + ("" if form == "tsv" else "\t"))
    text = st.text(characters, max_size=12).map(lambda t: t if form != "tsv" or '"' not in t else t.replace('"', "q"))
    name = st.text(st.sampled_from("abé日;,|-x 1"), min_size=1, max_size=5).map(str.strip).filter(bool)
    row = st.tuples(text.filter(lambda t: t.strip() not in MISSING), st.lists(name, max_size=3))
    return st.lists(row, max_size=5).map(lambda rows: [*rows, ("the end", ["a", "b"])])


def read(folder: Path, files: Files) -> Rows:
    for path in folder.iterdir():
        path.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    paths = sorted(folder.iterdir())
    split = SplitFiles(*paths) if len(paths) == 2 else SplitFiles(paths[0])
    has_cells = not any(".json" in path.name for path in paths)
    rows = read_splits({"train": split}, Reading(separator=SEPARATOR if has_cells else ""))[0]["train"]
    assert rows.texts is not None
    assert rows.names is not None
    return list(zip(rows.texts, rows.names.rows, strict=True))


def read_or_refuse(folder: Path, files: Files) -> Rows | None:
    """The rows, or None if the files are refused by an error that names one of them."""
    try:
        return read(folder, files)
    except XmcError as error:
        if not any(name in error.message for name in files):
            raise
        return None


def damaged(files: Files, data: st.DataObject, kind: str) -> Files:
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    start = len(HEADER) + 1 if name.endswith((".csv", ".tsv")) else 0  # a header decides about all rows
    position = data.draw(st.integers(start, len(content) - 1))
    if kind == "flip":
        content[position] = data.draw(st.sampled_from(b"\n\r\t\",;|'[{\\a0 \x00\x80\xc3\xff"))
    elif kind == "cut":
        del content[position:]
    elif kind == "drop":
        del content[position]
    else:
        lines = bytes(content).splitlines(keepends=True)
        number = data.draw(st.integers(0, len(lines) - 1))
        content = bytearray(b"".join([*lines[: number + 1], *lines[number:]]))
    return {**files, name: bytes(content)}


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_was_written_is_read(tmp_path: Path, form: str, data: st.DataObject) -> None:
    rows = data.draw(cells(form))
    if not any(names for _, names in rows):
        return
    files = FORMS[form](rows)
    assert read(tmp_path, files) == rows
    assert read(tmp_path, {f"{name}.gz": gzip.compress(content) for name, content in files.items()}) == rows


@pytest.mark.parametrize("kind", ["flip", "drop", "cut", "duplicate"])
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_refused_or_seen_in_its_row(tmp_path: Path, form: str, kind: str, data: st.DataObject) -> None:
    rows = data.draw(cells(form))
    files = damaged(FORMS[form](rows), data, kind)
    found = read_or_refuse(tmp_path, files)
    if found is None:
        return
    if kind in ("flip", "drop"):
        assert len(found) == len(rows)
        assert sum(a != b for a, b in zip(found, rows, strict=True)) <= 1
    elif kind == "cut":
        assert found[:-1] == rows[: max(0, len(found) - 1)]
    else:
        assert len(found) in (len(rows), len(rows) + 1)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_compressed_file_is_refused_or_read_whole(tmp_path: Path, data: st.DataObject) -> None:
    rows = data.draw(cells("json lines"))
    files = {"t.jsonl.gz": gzip.compress(as_json_lines(rows)["t.jsonl"])}
    files = damaged(files, data, data.draw(st.sampled_from(["flip", "drop", "cut"])))
    assert read_or_refuse(tmp_path, files) in (rows, None)  # the time in a gzip header is no part of the text


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.json", "t.jsonl.gz", "t.txt", "t.parquet"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(st.binary(max_size=60), st.text(st.sampled_from(SYNTAX), max_size=60).map(str.encode)),
    header=st.sampled_from([b"", b"text,labels\n", b"text\tlabels\n", b'[{"text": ', b'{"text": "a", "labels": ']),
)
def test_any_bytes_are_rows_or_an_error_with_the_name(tmp_path: Path, name: str, content: bytes, header: bytes) -> None:
    content = header + content
    files = {name: gzip.compress(content) if name.endswith(".gz") else content}
    if name == "t.txt":
        files |= {"y.txt": content}
    read_or_refuse(tmp_path, files)
