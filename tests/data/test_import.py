"""Anybody's files become a data set, or are refused as a whole with the place named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data import formats, load
from xmcbench.data.folders import export
from xmcbench.data.home import imported
from xmcbench.data.importing import (
    Imported,
    Plan,
    find_imported,
    import_files,
    imported_names,
    split_rows,
)
from xmcbench.data.label_cells import CellRules
from xmcbench.data.spec import Dataset, Split
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles
from xmcbench.errors import DataError, UsageError
from xmcbench.files import replaced_folder

TEXTS = [f"text number {i} of many" for i in range(40)]


@pytest.fixture(autouse=True)
def home_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))


def put(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def folders() -> list[str]:
    return [path.name for path in imported().iterdir() if path.is_dir()] if imported().exists() else []


def both(folder: Path, labels: list[str], **reading: str) -> Dataset:
    """Import texts and label lines as train and, the same again, as test."""
    texts = put(folder, "texts.txt", TEXTS[: len(labels)])
    files = SplitFiles(texts, put(folder, "labels.txt", labels))
    import_files("mine", Plan(files, files, reading=Reading(**reading)), replace=True)
    return read_imported("mine")


def read_imported(name: str, view: str | None = None) -> Dataset:
    """An import as a data set, straight from its files."""
    known = find_imported(name)
    parsed = known.parse(view)
    parts = {field.name: getattr(parsed, field.name) for field in dataclasses.fields(parsed)}
    return Dataset(
        name=name,
        view=known.view(view),
        revision=known.revision,
        content_hash="",
        propensity=known.propensity,
        **parts,
    )


def rows(data: Dataset) -> list[list[str]]:
    """Label names of each training row."""
    assert data.label_texts is not None
    return [[data.label_texts[i] for i in row.indices] for row in data.train.labels]


@pytest.mark.parametrize("separator", ["\t", "|", ";", ",", " "])
def test_label_names_get_ids_in_sorted_order(tmp_path: Path, separator: str) -> None:
    how = {"separator": "space"} if separator == " " else {}
    data = both(tmp_path, [f"zebra{separator}ähre", "", "Ape", separator.join(["Ape", "zebra", "Ape"])], **how)
    assert data.label_texts == ["Ape", "zebra", "ähre"]
    assert rows(data) == [["zebra", "ähre"], [], ["Ape"], ["Ape", "zebra"]]
    assert "1 rows" not in str(find_imported("mine").notes[0])
    assert any("2 rows name a label twice" in note for note in find_imported("mine").notes)  # once a split


def test_separator_can_be_said(tmp_path: Path) -> None:
    assert rows(both(tmp_path, ["Smith, J\tDoe, K", "Doe, K"])) == [["Doe, K", "Smith, J"], ["Doe, K"]]
    assert rows(both(tmp_path, ["a b;c", "a b"], separator="space")) == [["a", "b;c"], ["a", "b"]]
    assert rows(both(tmp_path, ["a b::c", "c"], separator="::")) == [["a b", "c"], ["c"]]


def test_numbers_as_names_are_sorted_by_value(tmp_path: Path) -> None:
    assert both(tmp_path, ["10,9", "100"]).label_texts == ["9", "10", "100"]
    assert both(tmp_path, ["10,9", "x"]).label_texts == ["10", "9", "x"]


def test_one_jsonl_file_is_enough(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": text, "labels": ["even" if i % 2 == 0 else "odd", i % 3]}) for i, text in enumerate(TEXTS)
    ]
    done = import_files("tickets", Plan(SplitFiles(put(tmp_path, "t.jsonl", lines))))
    data = read_imported(done.name)
    assert data.label_texts == ["0", "1", "2", "even", "odd"]
    assert data.train.labels.shape[0] + data.test.labels.shape[0] == 40
    assert done.views == ("bow", "text")
    assert data.train.features.shape[1] == len({word for text in data.train.texts for word in text.split()})
    assert data.propensity == (0.55, 1.5)
    text_view = read_imported(done.name, "text")
    assert text_view.train.features is None
    assert text_view.train.texts == data.train.texts
    for text, row in zip(data.train.texts, data.train.labels, strict=True):
        assert ("even" if int(text.split()[2]) % 2 == 0 else "odd") in [data.label_texts[i] for i in row.indices]


def test_csv_and_tsv(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('id,body,tags\n1,"a, ""quoted""\ntext",x;y\n2,plain,y\n', "utf-8-sig")
    (tmp_path / "t.tsv").write_text("body\ttags\nanother\tz\n")
    how = Reading(text_column="body", labels_column="tags", separator=";")
    import_files("mine", Plan(SplitFiles(tmp_path / "t.csv"), SplitFiles(tmp_path / "t.tsv"), reading=how))
    data = read_imported("mine")
    assert data.train.texts == ['a, "quoted"\ntext', "plain"]
    assert rows(data) == [["x", "y"], ["y"]]
    assert data.label_texts == ["x", "y", "z"]  # z is in test alone: kept, and counted
    assert find_imported("mine").counts["test_labels_unseen_in_train"] == 1


def test_matrices_and_xmc_text(tmp_path: Path) -> None:
    features, labels = sp.identity(4, np.float32, "csr"), sp.csr_matrix(np.eye(4, 3, dtype=np.float32))
    formats.write_xmc(tmp_path / "both.txt", features, labels)
    formats.write_npz_csr(tmp_path / "x.npz", features)
    formats.write_sparse(tmp_path / "y.txt", labels)
    plan = Plan(
        SplitFiles(features=tmp_path / "both.txt"),
        SplitFiles(features=tmp_path / "x.npz", labels=tmp_path / "y.txt"),
        label_texts=put(tmp_path, "names.txt", ["a", "b", "c"]),
        test_filter=put(tmp_path, "filter.txt", ["3 0"]),
    )
    data = read_imported(import_files("mine", plan).name)
    assert (data.train.labels != data.test.labels).nnz == 0
    assert (data.train.features != data.test.features).nnz == 0
    assert data.label_texts == ["a", "b", "c"]
    assert data.test_filter.tolist() == [[3, 0]]


def test_one_based_text(tmp_path: Path) -> None:
    path = put(tmp_path, "x.txt", ["2 3 2", "1 1:1 3:1", "2 2:1"])
    files = SplitFiles(features=path)
    with pytest.raises(DataError, match="looks 1-based"):
        import_files("mine", Plan(files, files))
    how = Reading(one_based=frozenset(["features", "labels"]))
    data = read_imported(import_files("mine", Plan(files, files, reading=how)).name)
    assert data.train.features.toarray().tolist() == [[1, 0, 1], [0, 1, 0]]
    assert data.train.labels.toarray().tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("lines", "names", "expected", "texts"),
    [
        (["cat", "dog", "eel"], ["dog", "cat"], [[1], [0]], ["cat", "dog", "eel"]),
        (["cat", "dog", "eel"], ["2", "0"], [[2], [0]], ["cat", "dog", "eel"]),
        (["C7\ta cat", "D1\ta dog"], ["D1", "C7"], [[1], [0]], ["a cat", "a dog"]),
        (["same", "same"], ["1", "0"], [[1], [0]], ["same", "same"]),
    ],
)
def test_label_texts_name_the_labels(
    tmp_path: Path, lines: list[str], names: list[str], expected: list[list[int]], texts: list[str]
) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", TEXTS[:2]), put(tmp_path, "y.txt", names))
    done = import_files("mine", Plan(files, files, label_texts=put(tmp_path, "names.txt", lines)))
    data = read_imported(done.name)
    assert [row.indices.tolist() for row in data.train.labels] == expected
    assert data.label_texts == texts


def test_ids_of_labels_count_lines_from_0_or_1(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", TEXTS[:2]), put(tmp_path, "y.txt", ["1,3", "2"]))
    names = put(tmp_path, "names.txt", ["cat", "dog", "eel", ""])
    refused(Plan(files, files, label_texts=names), r"y\.txt, line 1: label '3' is not in .*\n.*--one-based labels")
    how = Reading(one_based=frozenset(["labels"]))
    import_files("mine", Plan(files, files, label_texts=names, reading=how))
    assert rows(read_imported("mine")) == [["cat", "eel"], ["dog"]]
    numbers = put(tmp_path, "numbers.txt", ["3", "2", "1"])  # with ids said, they are not texts of labels
    import_files("mine", Plan(files, files, label_texts=numbers, reading=how), replace=True)
    assert [row.indices.tolist() for row in read_imported("mine").train.labels] == [[0, 2], [1]]


def test_label_texts_without_text_are_said(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", TEXTS[:2]), put(tmp_path, "y.txt", ["0", "2"]))
    done = import_files("mine", Plan(files, files, label_texts=put(tmp_path, "l.txt", ["cat", "", "eel", ""])))
    assert done.counts["n_labels"] == 3
    assert "texts of 3 labels, 1 of them empty (l.txt, line 2)" in done.notes


def test_the_exported_words_null_and_nan_come_back(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"word {i}", "labels": ["null" if i % 2 else "NaN"]}) for i in range(20)]
    how = Reading(cells=CellRules(literal=True))
    files = SplitFiles(put(tmp_path, "t.jsonl", lines))
    done = import_files("mine", Plan(files, files, reading=how))
    export(read_imported("mine"), tmp_path / "out")
    back = import_files("back", Plan(SplitFiles()).of_folder(tmp_path / "out"))
    assert back.revision == done.revision


def test_an_exported_folder_of_lf_files_comes_back(tmp_path: Path) -> None:
    """Texts, and features that were not made from them, are in different files, labels in both."""
    data = load("synthetic[preset=lf-amazontitles-1.3m-tenth,rows=300,test=20,labels=120]")
    export(data, tmp_path / "out", matrices="lf")
    back = read_imported(import_files("back", Plan(SplitFiles()).of_folder(tmp_path / "out")).name)
    assert list(back.label_texts) == list(data.label_texts)
    assert list(back.train.texts) == list(data.train.texts)
    assert (back.test.labels != data.test.labels).nnz == 0
    assert (back.test.features != data.test.features).nnz == 0
    for path in (tmp_path / "out").glob("*_X_*"):
        path.unlink()
    alone = read_imported(import_files("alone", Plan(SplitFiles()).of_folder(tmp_path / "out")).name)
    assert (alone.train.labels != data.train.labels).nnz == 0
    (tmp_path / "out" / "trn.json.gz").unlink()
    with pytest.raises(DataError, match=r"none of Y\.trn\.npz, train\.txt, trn_X_Y\.txt and trn\.json\.gz"):
        Plan(SplitFiles()).of_folder(tmp_path / "out")


def test_raw_files_of_the_lf_data_sets(tmp_path: Path) -> None:
    labels = [{"uid": "L0", "title": "cats", "content": None}, {"uid": "L1", "title": "dogs", "content": "barking"}]
    documents = [
        {"uid": "D0", "title": "one", "content": "two", "target_ind": [1], "target_rel": [1.0]},
        {"uid": "D1", "title": "three", "content": "", "target_ind": [0, 1], "target_rel": [1.0, 1.0]},
    ]
    files = SplitFiles(put(tmp_path, "trn.json", [json.dumps(d) for d in documents]))
    names = put(tmp_path, "lbl.json", [json.dumps(label) for label in labels])
    how = Reading(text_column="title,content", labels_column="target_ind")
    data = read_imported(import_files("lf", Plan(files, files, label_texts=names, reading=how)).name)
    assert data.train.texts == ["one two", "three"]
    assert data.label_texts == ["cats", "dogs barking"]
    assert [row.indices.tolist() for row in data.train.labels] == [[1], [0, 1]]
    documents[1]["target_ind"] = [2]
    files = SplitFiles(put(tmp_path, "trn.json", [json.dumps(d) for d in documents]))
    with pytest.raises(DataError, match=r"trn\.json, line 2: label '2' is not in .*lbl\.json"):
        import_files("lf", Plan(files, files, label_texts=names, reading=how), replace=True)
    documents[1]["target_ind"] = [0, -1]
    files = SplitFiles(put(tmp_path, "trn.json", [json.dumps(d) for d in documents]))
    with pytest.raises(DataError, match=r"trn\.json, line 2: label '-1' is not in .*lbl\.json"):  # not id 1 of line 1
        import_files("lf", Plan(files, files, label_texts=names, reading=how), replace=True)


def test_equal_texts_stay_on_one_side() -> None:
    texts = [f"Text {i % 50}" if i % 2 else f"text  {i % 50}" for i in range(500)]
    data = Split(None, texts, sp.csr_matrix(np.ones((500, 1), np.float32)))
    train, test = split_rows(data, 0.2, 0)
    assert train.texts is not None
    assert test.texts is not None
    fold = [{" ".join(t.casefold().split()) for t in side.texts or []} for side in (train, test)]
    assert not fold[0] & fold[1]
    assert 0.05 < len(test.texts) / 500 < 0.4
    again = split_rows(data, 0.2, 0)[1]
    assert again.texts == test.texts
    assert split_rows(data, 0.2, 1)[1].texts != test.texts


def test_split_of_features_alone_keeps_equal_rows_together() -> None:
    features = sp.csr_matrix(np.tile(np.eye(20, dtype=np.float32), (5, 1)))
    train, test = split_rows(Split(features, None, sp.csr_matrix(np.ones((100, 1), np.float32))), 0.3, 0)
    assert test.features.shape[0] % 5 == 0
    assert not set(train.features.indices) & set(test.features.indices)


def test_the_share_that_was_set_aside_is_said(tmp_path: Path) -> None:
    texts = [f"text {i % 3}" for i in range(20)]
    files = SplitFiles(put(tmp_path, "t.txt", texts), put(tmp_path, "y.txt", ["a"] * 20))
    done = import_files("mine", Plan(files, seed=1))
    n_test = done.counts["n_test"]
    assert f"{n_test} of 20 rows ({n_test / 20:.0%}; asked for: 20%) set aside for test" in done.notes[1]


def test_why_no_row_can_be_set_aside(tmp_path: Path) -> None:
    labels = put(tmp_path, "y.txt", ["a"] * 50)
    equal = SplitFiles(put(tmp_path, "t.txt", ["Same  text"] * 25 + ["same text"] * 25), labels)
    refused(Plan(equal), "all 50 rows are equal, and equal rows can't be in train and test")
    few = SplitFiles(put(tmp_path, "f.txt", ["a"] * 25 + ["b"] * 25), labels)
    refused(Plan(few, test_share=0.01), r"seed 0 puts none of the 2 different rows \(of 50\) into test, where 1%")
    refused(Plan(few, few, test_share=0.3), "--test-share and --seed choose test rows", UsageError)
    refused(Plan(few, few, seed=1), "--test-share and --seed choose test rows", UsageError)


def refused(plan: Plan, says: str, kind: type[Exception] = DataError, name: str = "mine") -> None:
    with pytest.raises(kind, match=says):
        import_files(name, plan)
    assert imported_names() == []
    assert folders() == []


def test_bad_files_are_refused_whole(tmp_path: Path) -> None:
    texts = put(tmp_path, "t.txt", TEXTS)
    good = put(tmp_path, "y.txt", ["a"] * 40)
    refused(Plan(SplitFiles(texts)), "labels are in none of the files")
    refused(Plan(SplitFiles(texts, put(tmp_path, "short.txt", ["a"] * 39))), r"t\.txt has 40 rows, its labels .* 39")
    refused(Plan(SplitFiles(texts, put(tmp_path, "none.txt", [""] * 40))), r"none\.txt: no row has a label")
    refused(Plan(SplitFiles(texts, tmp_path / "nowhere.txt")), "No such file")
    refused(Plan(SplitFiles(texts, good), train_filter=good), "filter pairs", UsageError)
    refused(Plan(SplitFiles()), "no training files", UsageError)
    refused(Plan(SplitFiles(texts, good), test_share=1.5), "not between", UsageError)
    one = SplitFiles(put(tmp_path, "one.txt", ["x"]), put(tmp_path, "oney.txt", ["a"]))
    refused(Plan(one), "the only row can't be in train and test: test would be empty|train would be empty")
    empty = SplitFiles(put(tmp_path, "e.txt", []), put(tmp_path, "ey.txt", []))
    refused(Plan(empty, SplitFiles(texts, good)), "the file is empty")
    names = put(tmp_path, "names.txt", ["b", "c"])
    refused(Plan(SplitFiles(texts, good), label_texts=names), r"y\.txt, line 1: label 'a' is not in .*names\.txt")
    (tmp_path / "latin.txt").write_bytes(b"ok\n\xe9\n")
    refused(Plan(SplitFiles(tmp_path / "latin.txt", good)), r"latin\.txt, line 2: byte 0xe9")
    sp.save_npz(tmp_path / "y.npz", sp.csr_matrix(np.ones((40, 1))))
    refused(Plan(SplitFiles(texts, good), SplitFiles(texts, tmp_path / "y.npz")), "are names, those of test a matrix")
    sp.save_npz(tmp_path / "wide.npz", sp.csr_matrix(np.ones((40, 2))))
    splits = SplitFiles(texts, tmp_path / "y.npz"), SplitFiles(texts, tmp_path / "wide.npz")
    refused(Plan(*splits), "differ in width: train 1, test 2")
    refused(Plan(splits[0], splits[0], label_texts=names), "2 label texts for 1 label")


def test_svmlight_without_a_header_gets_one_width(tmp_path: Path) -> None:
    """Test rows have features and labels beyond those of training, and the last label has a text alone."""
    train = SplitFiles(features=put(tmp_path, "train.svm", ["0,1 0:1 2:0.5", "1 1:1"]))
    test = SplitFiles(features=put(tmp_path, "test.svm", ["3 6:1"]))
    import_files("mine", Plan(train, test))
    data = read_imported("mine")
    assert (data.train.features.shape, data.test.features.shape) == ((2, 7), (1, 7))
    assert (data.train.labels.shape, data.test.labels.shape) == ((2, 4), (1, 4))
    texts = put(tmp_path, "names.txt", list("abcde"))
    import_files("mine", Plan(train, test, label_texts=texts), replace=True)
    assert read_imported("mine").n_labels == 5
    labels = SplitFiles(train.features, put(tmp_path, "y.txt", ["0:1 1:1", "3:1"]), train.features)
    import_files("mine", Plan(dataclasses.replace(labels, texts=None), test), replace=True)
    assert read_imported("mine").train.labels.indices.tolist() == [0, 1, 3]


def test_dense_npy_and_filters_that_count_from_1(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([[0, 1.5], [2, 0]]))
    np.save(tmp_path / "y.npy", np.array([[0, 1, 0], [0, 1, 1]]))
    files = SplitFiles(features=tmp_path / "x.npy", labels=tmp_path / "y.npy")
    pairs = put(tmp_path, "filter.txt", ["2 1"])
    import_files("mine", Plan(files, files, test_filter=pairs, reading=Reading(one_based=frozenset(["labels"]))))
    data = read_imported("mine")
    assert data.train.features.toarray().tolist() == [[0, 1.5], [2, 0]]
    assert data.train.labels.toarray().tolist() == [[1, 0], [1, 1]]
    assert data.test_filter.tolist() == [[1, 0]]


def test_propensities_must_be_defined_for_all_labels(tmp_path: Path) -> None:
    train, test = (SplitFiles(features=put(tmp_path, f"{name}.svm", [f"{name} 0:1"] * 3)) for name in "01")
    refused(Plan(train, test, propensity=(0.5, 0.0)), "B of --propensity is 0, and a label has 0 training", UsageError)
    import_files("mine", Plan(train, train, propensity=(0.5, 0.0)))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.jsonl", '{"text": "a", "labels": ["x"]}\n{"txt": "b"}\n', r"line 2: no 'text' among 'txt'"),
        ("t.jsonl", '{"text": "a", "labels": ["x"]}\n{"text": 3}\n', "line 2: text: expected a text, found 3"),
        ("t.jsonl", '{"text": "a", "labels": ["x"]}\n{"text": "b", "labels": [["y"]]}\n', "line 2: labels must be"),
        ("t.jsonl", '{"text": "a", "labels": {"x": 1}}\n', "line 1: labels must be"),
        ("t.jsonl", '{"text": "a"\n', "line 1, column 13: not JSON"),
        ("t.csv", "text,labels\na,x\nb\n", "line 3: 1 columns, the first row names 2"),
        (
            "t.csv",
            'text,labels\n"a,x\n',
            "line 2, column 1: the quote that opens here is not closed up to the end",
        ),
        ("t.csv", "text,text\n", "a column name occurs twice"),
        ("t.csv", "", "the file is empty"),
        ("t.csv", "body,labels\na,x\n", "line 2: no 'text' among 'body', 'labels'"),
    ],
)
def test_bad_tables(tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    refused(Plan(SplitFiles(tmp_path / name)), says)


def test_names(tmp_path: Path) -> None:
    plan = Plan(SplitFiles(put(tmp_path, "t.txt", TEXTS), put(tmp_path, "y.txt", ["a"] * 40)))
    for bad in ("", "../x", "Mine", "a/b", ".hidden", "a" * 101, "x y"):
        refused(plan, "is not a valid name", UsageError, bad)
    refused(plan, "is a data set of the catalogue", UsageError, "eurlex-4k")
    refused(plan, "is a data set of the catalogue", UsageError, "synthetic")
    import_files("mine", plan)
    with pytest.raises(UsageError, match=r"imported already.*\n.*--replace"):
        import_files("mine", plan)
    bad_labels = put(tmp_path, "bad.txt", ["b"] * 39)
    with pytest.raises(DataError):
        import_files("mine", Plan(SplitFiles(tmp_path / "t.txt", bad_labels)), replace=True)
    assert read_imported("mine").label_texts == ["a"]  # the old one is still whole
    done = import_files("mine", Plan(plan.train, test_share=0.5), replace=True)
    assert done.counts["n_test"] > 12
    assert folders() == ["mine"]


def test_a_full_disk_leaves_the_old_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", TEXTS), put(tmp_path, "y.txt", ["a"] * 40))
    first = import_files("mine", Plan(files))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xmcbench.files.os.fsync", full)
    with pytest.raises(DataError, match="the disk is full"):
        import_files("mine", Plan(files, test_share=0.5), replace=True)
    assert find_imported("mine").revision == first.revision
    assert folders() == ["mine"]


def test_damaged_meta(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", TEXTS), put(tmp_path, "y.txt", ["a"] * 40))
    meta = import_files("mine", Plan(files)).folder / "meta.json"
    whole = json.loads(meta.read_text())
    for damage in (b"{", b"[]", json.dumps({**whole, "views": None}).encode()):
        meta.write_bytes(damage)
        with pytest.raises(DataError, match=r"meta\.json: damaged"):
            find_imported("mine")
    meta.write_text(json.dumps({**whole, "format": 99}))
    with pytest.raises(DataError, match="format 99"):
        find_imported("mine")
    with pytest.raises(UsageError, match=r"unknown imported data set 'mime'\n.*Did you mean 'mine'"):
        find_imported("mime")


def test_text_alone_can_be_read_by_view(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", TEXTS), put(tmp_path, "y.txt", ["a"] * 40))
    done: Imported = import_files("mine", Plan(files))
    assert done.view() == "bow"
    with pytest.raises(UsageError, match="unknown view of mine 'titles'"):
        done.view("titles")


def test_what_a_killed_import_left(tmp_path: Path) -> None:
    files = SplitFiles(put(tmp_path, "t.txt", TEXTS), put(tmp_path, "y.txt", ["a"] * 40))
    first = import_files("mine", Plan(files))
    unfinished = imported() / ".tmp-mine-abcdefgh"
    first.folder.rename(unfinished.with_name(f"{unfinished.name}-old"))  # killed between the two renames
    unfinished.mkdir()
    (unfinished / "meta.json").write_text("{")
    assert imported_names() == ["mine"]
    assert folders() == ["mine"]
    assert find_imported("mine").revision == first.revision
    with pytest.raises(DataError), replaced_folder(imported() / "mine"):
        raise OSError(5, "Input/output error")
    assert folders() == ["mine"]
    assert find_imported("mine").revision == first.revision
