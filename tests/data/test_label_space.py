"""Names of labels: which are one label, what a file of label texts means, and what is said about it."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from xmcbench.data.label_space import INVISIBLE, LabelSpace, canonical, label_space
from xmcbench.data.user_files import Names, Reading, SplitRows
from xmcbench.errors import DataError

READING = Reading()
PATH = Path("y.txt")


def space(rows: list[list[str]], label_texts: Path | None = None) -> LabelSpace:
    return label_space(
        {"train": SplitRows(names=Names(PATH, rows, list(range(1, len(rows) + 1))))}, label_texts, READING
    )


def lines(folder: Path, *texts: str) -> Path:
    path = folder / "names.txt"
    path.write_bytes("".join(f"{text}\n" for text in texts).encode())
    return path


def ids(found: LabelSpace) -> list[list[int]]:
    return [row.indices.tolist() for row in found.matrices["train"]]


def test_two_unicode_forms_of_a_name_are_one_label() -> None:
    found = space([["caf\u00e9"], ["cafe\u0301", "b"], ["cafe\u0301", "caf\u00e9"]])
    assert found.texts == ["b", "caf\u00e9"]
    assert ids(found) == [[1], [0, 1], [1]]
    assert list(found.notes) == [
        "1 rows name a label twice; it counts once (first: y.txt, line 3)",
        "names in several Unicode forms are one label each: 'café'",
    ]


def test_labels_with_a_column_and_without_rows_are_kept(tmp_path: Path) -> None:
    splits = {"train": SplitRows(names=Names(PATH, [["a"], ["b"]], [2, 3], ("a", "b", "cafe\u0301 ")))}
    found = label_space(splits, None, READING)
    assert found.texts == ["a", "b", "caf\u00e9"]
    assert "1 of 3 labels are in no row; they are kept" in found.notes
    with pytest.raises(DataError, match=r"y\.txt, line 1: label 'café' is not in .*names\.txt"):
        label_space(splits, lines(tmp_path, "a", "b"), READING)


@pytest.mark.parametrize("end", ["\ufeff", "\u200b", "\u00a0", "\u2028", "\x85", "\x0b", "\u2060 \u200e"])
def test_invisible_characters_at_the_ends_are_no_part_of_a_name(end: str) -> None:
    found = space([["a"], [end + "a" + end], [end]])
    assert found.texts == ["a"]
    assert ids(found) == [[0], [0], []]
    assert "spaces and invisible characters at the ends of label names are left out" in found.notes[0]


def test_invisible_characters_inside_a_name_make_another_label_and_are_reported() -> None:
    found = space([["red wine"], ["red\u00a0wine"], ["red\u200b wine"], ["white"]])
    assert len(found.texts or ()) == 4
    assert "different labels although only spaces or invisible characters inside differ" in found.notes[0]
    assert found.notes[0].endswith("'red wine', 'red\\xa0wine', 'red\\u200b wine'")


def test_joiners_that_change_how_letters_look_stay() -> None:
    family = "\U0001f468\u200d\U0001f469"
    assert canonical(family) == family
    assert canonical("می\u200cخواهم") == "می\u200cخواهم"


@given(st.text())
def test_canonical_is_idempotent_and_takes_any_form(name: str) -> None:
    once = canonical(name)
    assert canonical(once) == once
    assert canonical(unicodedata.normalize("NFD", name)) == once
    assert canonical(f"\ufeff {name}\u200b\n") == once
    assert once.strip() == once
    assert not once or (once[0] not in INVISIBLE and once[-1] not in INVISIBLE)


def test_half_of_a_surrogate_pair_is_refused_with_its_line() -> None:
    with pytest.raises(DataError, match=r"y\.txt, line 2: label 'x\\ud83d' has half of a surrogate pair"):
        space([["a"], ["x\ud83d"]])


def test_names_match_label_texts_in_any_form(tmp_path: Path) -> None:
    found = space([["cafe\u0301"], ["tea"]], lines(tmp_path, "caf\u00e9\u200b", "tea"))
    assert ids(found) == [[0], [1]]
    assert found.texts == ["caf\u00e9\u200b", "tea"]  # texts stay as they are in the file
    assert "labels are texts of names.txt" in found.notes


def test_numbers_are_ids_only_if_none_is_a_name(tmp_path: Path) -> None:
    """Were "0" taken as an id, so would be "1" and "2", and every label would move by one."""
    named = lines(tmp_path, "1\tcat", "2\tdog", "3\teel")
    assert ids(space([["1"], ["3"]], named)) == [[0], [2]]
    with pytest.raises(DataError, match=r"y\.txt, line 2: label '0' is not in .*names\.txt"):
        space([["1"], ["0"]], named)
    found = space([["1"], ["0", "2"]], lines(tmp_path, "cat", "dog", "eel"))
    assert ids(found) == [[1], [0, 2]]
    assert "labels are ids, which count the lines of names.txt from 0" in found.notes


def test_ids_that_count_from_one_are_suspected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"label '3' is not in(.|\n)*seem to count from 1"):
        space([["1"], ["3"], ["2"]], lines(tmp_path, "cat", "dog", "eel"))


def test_ids_from_one_are_not_hidden_by_an_empty_last_line(tmp_path: Path) -> None:
    """If that line were a label, "3" would be an id, and every label would have the text of the next."""
    with pytest.raises(DataError, match=r"y\.txt, line 2: label '3' is not in(.|\n)*seem to count from 1"):
        space([["1"], ["3"], ["2"]], lines(tmp_path, "cat", "dog", "eel", ""))
    found = space([["1"], ["2"]], lines(tmp_path, "cat", "dog", "eel"))
    assert "labels are ids, which count the lines of names.txt from 0; no row has label 0" in found.notes


def test_a_line_without_tab_is_named(tmp_path: Path) -> None:
    for label in ("C7", "1"):  # a number must not become the id of the next line
        with pytest.raises(DataError, match=r"names\.txt, line 2: no tab, but rows name labels by what other lines"):
            space([[label]], lines(tmp_path, f"{label}\tcat", "", "2\tdog"))
    with pytest.raises(DataError, match=r"names\.txt, line 2: no name before the tab"):
        space([["C7"]], lines(tmp_path, "C7\tcat", "\tdog"))
    with pytest.raises(DataError, match=r"names\.txt, line 3: 'C7' is already in line 1"):
        space([["C7"]], lines(tmp_path, "C7\tcat", "D\tdog", "C7\u200b\teel"))


def test_labels_without_text_and_without_rows_are_reported(tmp_path: Path) -> None:
    found = space([["a"]], lines(tmp_path, "a\tcat", "b\t\u00a0", "c\tdog", "d\t"))
    assert found.texts == ["cat", "\u00a0", "dog", ""]
    assert list(found.notes) == [
        "texts of 4 labels, 2 of them empty (names.txt, lines 2, 4)",
        "labels are names before the tab of names.txt",
        "3 of 4 labels are in no row; they are kept",
    ]


def test_texts_of_jsonl_may_have_tabs(tmp_path: Path) -> None:
    path = tmp_path / "names.jsonl"
    path.write_text('{"text": "a\\tb"}\n{"text": "c\\td"}\n')
    found = space([["c\td"], ["a\tb"]], path)
    assert (ids(found), found.texts) == ([[1], [0]], ["a\tb", "c\td"])


def test_texts_that_repeat_are_refused_with_both_lines_unless_they_are_empty(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"names\.txt, line 3: 'cat' is already in line 1: label texts repeat"):
        space([["cat"]], lines(tmp_path, "cat", "dog", "cat"))
    assert ids(space([["cat"]], lines(tmp_path, "", "cat", ""))) == [[1]]


def test_texts_of_matrices_are_whole_lines(tmp_path: Path) -> None:
    rows = SplitRows(labels=sp.csr_matrix([[1.0, 0.0]]))
    found = label_space({"train": rows}, lines(tmp_path, "x\tcat", "y\tdog"), READING)
    assert found.texts == ["x\tcat", "y\tdog"]
    assert any("whole lines of names.txt with their tabs" in note for note in found.notes)
    assert label_space({"train": rows}, lines(tmp_path, "cat", "dog", ""), READING).texts == ["cat", "dog"]
    with pytest.raises(DataError, match=r"names\.txt: 3 label texts for 2 labels"):
        label_space({"train": rows}, lines(tmp_path, "cat", "dog", "eel"), READING)


def test_names_in_another_column_of_a_table_of_label_texts(tmp_path: Path) -> None:
    table = tmp_path / "l.csv"
    for content, names in (
        ("code,text\nA1,hat\nB2,scarf\n", ["B2", "A1"]),
        ("id,text\nA1,hat\nB2,scarf\n", ["B2", "A1"]),
        ("code,size,text\n12,3,hat\n55,3,scarf\n", ["55", "12"]),
        ("code,text\n1,hat\n2,scarf\n", ["2", "1"]),
    ):
        table.write_text(content)
        found = space([[name] for name in names], table)
        assert found.texts == ["hat", "scarf"]
        assert ids(found) == [[1], [0]]
        column = content.partition(",")[0]
        assert f"labels are the column {column!r} of l.csv" in found.notes
        assert not any("not read" in note and repr(column) in note for note in found.notes)
    for content, name in (
        ("code,text\n1,hat\n2,scarf\n5,shoe\n", "1"),
        ("code,old,text\nA1,B2,hat\nB2,A1,scarf\n", "A1"),
    ):
        table.write_text(content)
        with pytest.raises(DataError, match=r"l\.csv: the labels of rows may be the column 'code' or the "):
            space([[name]], table)
    with pytest.raises(DataError, match=r"label 'C3' is not in .*l\.csv"):
        space([["C3"]], table)
    table.write_text("id,text\n0,hat\n1,scarf\n")
    assert ids(space([["1"]], table)) == [[1]]


def test_label_texts_of_a_tsv_without_column_names(tmp_path: Path) -> None:
    (tmp_path / "l.tsv").write_text("A1\that\nB2\tscarf\n")
    with pytest.raises(DataError, match=r"l\.tsv, line 1: no column 'text' among 'A1', 'hat'\n.*name the file \.txt"):
        space([["A1"]], tmp_path / "l.tsv")
