"""From a folder of records to files, and whether they are what the records make."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xmcbench.board.build import differing, file_name, make, write
from xmcbench.board.pairs import VERSION
from xmcbench.errors import DataError
from xmcbench.files import write_npz
from xmcbench.records.record import Record

NewRun = Callable[..., Record]


@pytest.fixture
def filled(folder: Path, new_run: NewRun) -> Path:
    new_run("a", np.arange(200) < 150)
    new_run("b", np.arange(200) < 50, dataset={"name": "synthetic[labels=60,rows=400]"})
    return folder


def test_what_is_written_is_what_the_records_make(filled: Path) -> None:
    files = make(filled).files
    assert write(filled, files) == sorted(files)
    assert differing(filled, make(filled).files) == []
    assert write(filled, make(filled).files) == []
    assert {"README.md", "tests.json", "tables/toy--bow.md", "tables/toy--bow.csv", "tables/toy--bow.tex"} <= set(files)


def test_a_changed_missing_or_stale_file_is_told_and_mended(filled: Path) -> None:
    files = make(filled).files
    write(filled, files)
    (filled / "README.md").write_text("by hand")
    (filled / "tables" / "toy--bow.csv").unlink()
    (filled / "tables" / "gone--bow.md").write_text("of a data set that is no more")
    (filled / "tables" / "notes.txt").write_text("nobody's business")
    wrong = ["README.md", "tables/gone--bow.md", "tables/toy--bow.csv"]
    assert differing(filled, files) == wrong
    assert write(filled, files) == wrong
    assert differing(filled, files) == []
    assert (filled / "tables" / "notes.txt").is_file()


def test_fresh_does_not_trust_what_is_remembered(filled: Path, new_run: NewRun) -> None:
    new_run("c", np.arange(200) < 20)
    write(filled, make(filled).files)
    remembered = json.loads((filled / "tests.json").read_text())
    (key,) = remembered["p"]
    remembered["p"][key] = [1.0] * 5
    (filled / "tests.json").write_text(json.dumps(remembered))
    assert b'"p":{"' + key.encode() + b'":[1.0' in make(filled).files["tests.json"]
    assert b"[1.0" not in make(filled, fresh=True).files["tests.json"]


@pytest.mark.parametrize(
    ("p", "ends"),
    [
        ({"a": "b"}, {}),
        ({}, 3),
        ({"a b": [0.5]}, {}),  # of one metric
        ({"a b": [0.5, 0.5, 0.5, 0.5, 1.5]}, {}),
        ({"a b": [0.5, 0.5, 0.5, 0.5, float("nan")]}, {}),
        ({"a b": ["0.5"] * 5}, {}),
        ({"a b": [True] * 5}, {}),
        ({}, {"a": [[0.1, 0.2]]}),
        ({}, {"a": [[0.1, "x"]] * 5}),
        ({}, {"a": [[0.1]] * 5}),
    ],
)
def test_damaged_memory_says_so(filled: Path, p: Any, ends: Any) -> None:
    (filled / "tests.json").write_text(json.dumps({"version": VERSION, "p": p, "intervals": ends}))
    with pytest.raises(DataError, match=r"tests\.json"):
        make(filled)


@pytest.mark.parametrize("text", ["", "[]", "\x00", "3"])
def test_a_memory_that_is_none_says_so(filled: Path, text: str) -> None:
    (filled / "tests.json").write_text(text)
    with pytest.raises(DataError, match=r"tests\.json"):
        make(filled)


def test_files_of_rows_are_looked_at_in_every_build(filled: Path) -> None:
    write(filled, make(filled).files)  # nothing is left to be tested
    first, second = (path for path in sorted((filled / "board").glob("*.npz")) if not path.name.startswith("data-"))
    write_npz(first, {"P@1": np.ones(200, np.float32)})
    for change in (lambda: None, first.unlink):
        change()
        built = make(filled)
        (note,) = built.notes
        assert note.startswith("refused: board/" + first.name)
        assert f"- refused: board/{first.name}" in built.files["README.md"].decode()
        assert f"<li>{note}".encode() in built.files["index.html"]
        assert b"Made from 1 records" in built.files["README.md"]
    second.unlink()
    with pytest.raises(DataError, match="all records are refused"):
        make(filled)


def test_memory_of_another_version_is_not_used(filled: Path) -> None:
    (filled / "tests.json").write_text('{"version": 0}')
    assert make(filled) == make(filled, fresh=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"value": 0.75', '"value": 0.76'), "changed after it was written"),
        (lambda text: text.replace('"schema": 2', '"schema": 99'), "schema 99"),
        (lambda text: text[:100], "not a readable record"),
        (
            lambda text: text.replace('"schema": 2', '"schema": 1').replace('"value": 0.75', '"value": 1.75'),
            "outside 0 to 1",
        ),
    ],
)
def test_a_bad_record_is_named_and_stops_no_other(filled: Path, change: Callable[[str], str], said: str) -> None:
    path = next(p for p in (filled / "records").glob("*-a.json"))
    path.write_text(change(path.read_text()))
    built = make(filled)
    (note,) = built.notes
    assert said in note
    assert f"records/{path.name}" in note
    assert str(filled) not in note  # the board is the same in every folder
    assert "tables/toy--bow.md" not in built.files
    assert any(name.startswith("tables/synthetic") for name in built.files)


def test_no_records(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records"):
        make(tmp_path)


def test_file_names_are_safe_and_no_two_tables_share_one() -> None:
    keys = [
        ("a", "b"),
        ("a-b", "c"),
        ("a", "b-c"),
        ("A", "b"),
        ("a--b", "c"),
        ("a", "b--c"),
        ("../x", "y"),
        ("a/b", "c"),
    ]
    keys += [("a", "b/c"), ("synthetic[labels=60]", "bow"), ("synthetic(labels=60)", "bow"), ("x" * 9999, "v" * 9999)]
    names = [file_name(*key) for key in keys]
    assert names[:3] == ["a--b", "a-b--c", "a--b-c"]
    assert len(set(names)) == len(keys)
    assert all("/" not in name and not name.startswith(".") and len(name) < 200 for name in names)
