"""The user's own ids of rows: kept as written by imports, caches and exports, and no part of the content."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xmcbench.data import load
from xmcbench.data.folders import export
from xmcbench.data.importing import Plan, find_imported, import_files
from xmcbench.data.spec import Dataset
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles

IDS = ["007", "12345678901234567890123", "Ünï-κ", "a b", "0", *(f"doc/{i}" for i in range(15))]


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))


def table(folder: Path, ids: list[str], kind: str, name: str = "id") -> Path:
    rows = [(row_id, f"text number {i}", f"label{i % 3}") for i, row_id in enumerate(ids)]
    path = folder / f"rows.{kind}"
    if kind == "jsonl":
        lines = [json.dumps({name: row_id, "text": text, "labels": [label]}) for row_id, text, label in rows]
    else:
        mark = "," if kind == "csv" else "\t"
        lines = [mark.join((name, "text", "labels")), *(mark.join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def imported(path: Path, **reading: str) -> Dataset:
    import_files("mine", Plan(SplitFiles(path), reading=Reading(**reading)), replace=True)
    return load("mine")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_ids_follow_their_rows_as_written(tmp_path: Path, kind: str) -> None:
    data = imported(table(tmp_path, IDS, kind))
    found = {}
    for split in (data.train, data.test):
        assert split.ids is not None
        assert split.texts is not None
        found |= dict(zip(split.ids, split.texts, strict=True))
    assert found == {row_id: f"text number {i}" for i, row_id in enumerate(IDS)}
    again = load("mine")  # now from the cache
    assert list(again.test.ids or ()) == list(data.test.ids or ())


def test_a_column_of_another_name_is_given_by_its_option(tmp_path: Path) -> None:
    path = table(tmp_path, IDS, "csv", "celex")
    assert imported(path).test.ids is None
    assert set(imported(path, id_column="celex").train.ids or ()) < set(IDS)


def test_ids_are_no_part_of_the_content_and_a_change_is_named(tmp_path: Path) -> None:
    first = imported(table(tmp_path, IDS, "csv"))
    second = imported(table(tmp_path, [f"new{i}" for i in range(len(IDS))], "csv"))
    assert second.content_hash == first.content_hash
    assert all(row_id.startswith("new") for row_id in second.test.ids or [""])
    assert "ids of rows changed" in find_imported("mine").changes
    imported(table(tmp_path, IDS, "csv", "other"))
    assert "ids of rows removed" in find_imported("mine").changes


def test_ids_that_some_rows_lack_are_not_kept(tmp_path: Path) -> None:
    data = imported(table(tmp_path, ["", *IDS[1:]], "csv"))
    assert data.train.ids is None
    assert any("not kept: some rows have none" in note for note in find_imported("mine").notes)


def test_exports_have_the_ids_and_are_read_again(tmp_path: Path) -> None:
    data = imported(table(tmp_path, IDS, "csv"))
    written = export(data, tmp_path / "out")
    assert {"ids.trn.jsonl", "ids.tst.jsonl"} <= {path.name for path in written}
    import_files("again", Plan(SplitFiles()).of_folder(tmp_path / "out"))
    again = load("again")
    assert list(again.train.ids or ()) == list(data.train.ids or ())
    assert list(again.test.ids or ()) == list(data.test.ids or ())
    assert again.content_hash == data.content_hash


def test_ids_of_joined_long_and_parquet_tables(tmp_path: Path) -> None:
    """Ids of the table of texts, whichever way labels are joined to it."""
    texts, labels = tmp_path / "texts.csv", tmp_path / "labels.csv"
    texts.write_text("key,text\n" + "".join(f"{i:03d},text {i}\n" for i in range(20)), "utf-8")
    labels.write_text("key,labels\n" + "".join(f"{i:03d},label{i % 3}\n" for i in reversed(range(20))), "utf-8")
    reading = Reading(id_column="key", long=True)
    import_files("joined", Plan(SplitFiles(texts, labels), reading=reading))
    data = load("joined")
    pairs = zip(data.test.ids or (), data.test.texts or (), strict=True)
    assert all(text == f"text {int(row_id)}" for row_id, text in pairs)
    assert len(data.test.ids or ()) == data.test.labels.shape[0] > 0


def test_ids_of_parquet_files(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    numbers = list(range(2**60, 2**60 + 20))
    rows = {"id": numbers, "text": [f"t{i}" for i in range(20)], "labels": [["a"]] * 20}
    parquet.write_table(pa.table(rows), tmp_path / "rows.parquet")
    data = imported(tmp_path / "rows.parquet")
    assert {*(data.train.ids or ()), *(data.test.ids or ())} == set(map(str, numbers))
