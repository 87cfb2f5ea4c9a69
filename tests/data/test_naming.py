"""Short names of labels next to their texts: kept by imports, caches and exports, and no part of the content."""

from __future__ import annotations

from pathlib import Path

import pytest

from xmcbench.data import load
from xmcbench.data.folders import export
from xmcbench.data.importing import Plan, find_imported, import_files
from xmcbench.data.spec import Dataset, Naming, title_of
from xmcbench.data.user_files import SplitFiles
from xmcbench.errors import DataError

CODES = ["B2", "A1", "Z9", "C3"]  # not in sorted order: label ids count the lines of the file
TEXTS = ["billing and payment", "a line that is dead", "", "C3"]


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))


def imported(folder: Path, label_texts: Path | None = None, labels: list[str] | None = None) -> Dataset:
    names = labels or CODES[:3]
    (folder / "x.txt").write_text("".join(f"text number {i}\n" for i in range(24)))
    (folder / "y.txt").write_text("".join(f"{names[i % len(names)]}\n" for i in range(24)))
    import_files("mine", Plan(SplitFiles(folder / "x.txt", folder / "y.txt"), label_texts=label_texts), replace=True)
    return load("mine")


def names_before_tabs(folder: Path) -> Path:
    path = folder / "codes.txt"
    path.write_text("".join(f"{code}\t{text}\n" for code, text in zip(CODES, TEXTS, strict=True)))
    return path


def test_what_readers_see_by_hand() -> None:
    both = Naming(["B2", "", ""], ["billing", "phone", ""])
    assert [both.name(i) for i in range(3)] == ["B2", "phone", "2"]
    assert [both.text(i) for i in range(3)] == ["billing", None, None]
    assert [Naming(None, ["billing", ""]).name(i) for i in range(2)] == ["billing", "1"]
    assert Naming(None, ["billing"]).text(0) is None
    assert Naming(["7"]).text(0) is None
    assert (Naming().name(3), Naming().text(3)) == ("3", None)
    assert Naming(["same"], ["same"]).text(0) is None
    assert [title_of("B2", "billing"), title_of("B2", None)] == ["B2 · billing", "B2"]


def test_names_before_tabs_are_kept_next_to_texts(tmp_path: Path) -> None:
    for data in (imported(tmp_path, names_before_tabs(tmp_path)), load("mine"), load("mine", "text")):
        assert list(data.label_names or ()) == CODES
        assert list(data.label_texts or ()) == TEXTS
        assert [data.naming.text(i) for i in range(4)] == [TEXTS[0], TEXTS[1], None, None]
        first = data.test.labels[0].indices[0]
        assert data.naming.name(first) in CODES[:3]


def test_rows_that_count_the_lines_of_the_file_get_the_names_too(tmp_path: Path) -> None:
    assert list(imported(tmp_path, names_before_tabs(tmp_path), ["0", "2"]).label_names or ()) == CODES


def test_a_column_that_names_labels_is_kept(tmp_path: Path) -> None:
    table = tmp_path / "codes.csv"
    table.write_text("text,code\n" + "".join(f"{t},{c}\n" for t, c in zip(TEXTS, CODES, strict=True)))
    data = imported(tmp_path, table)
    assert list(data.label_names or ()) == CODES
    assert list(data.label_texts or ()) == TEXTS


def test_labels_that_are_their_texts_have_no_other_name(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("B2\nA1\nZ9\n")
    assert imported(tmp_path, path).label_names is None
    assert imported(tmp_path).label_names is None


def test_names_are_no_part_of_the_content_and_a_change_is_said(tmp_path: Path) -> None:
    codes = names_before_tabs(tmp_path)
    first = imported(tmp_path, codes)
    codes.write_text(codes.read_text().replace("Z9\t", "Y8\t"))
    second = imported(tmp_path, codes, ["B2", "A1", "Y8"])
    assert second.content_hash == first.content_hash
    assert list(second.label_names or ()) == ["B2", "A1", "Y8", "C3"]
    assert "names of labels changed" in find_imported("mine").changes
    codes.write_text("".join(f"{text}\n" for text in TEXTS))
    assert imported(tmp_path, codes, ["0", "1", "2"]).content_hash == first.content_hash
    assert "names of labels removed" in find_imported("mine").changes


def test_exports_have_the_names_and_are_read_again(tmp_path: Path) -> None:
    data = imported(tmp_path, names_before_tabs(tmp_path))
    assert "label-names.jsonl" in {path.name for path in export(data, tmp_path / "out")}
    plan = Plan(SplitFiles()).of_folder(tmp_path / "out")
    import_files("again", plan)
    again = load("again")
    assert list(again.label_names or ()) == CODES
    assert again.content_hash == data.content_hash
    (tmp_path / "out" / "label-names.jsonl").write_text('"B2"\n')
    with pytest.raises(DataError, match=r"label-names\.jsonl: 1 line, expected 4"):
        import_files("short", plan)
    export(imported(tmp_path), tmp_path / "out", replace=True)  # this data set has no names
    assert not (tmp_path / "out" / "label-names.jsonl").exists()
