"""What is exported comes back the same by import, and other programs can read it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xmcbench.data import load
from xmcbench.data.cache import content_hash
from xmcbench.data.folders import export
from xmcbench.data.importing import Plan, import_files
from xmcbench.data.label_cells import CellRules
from xmcbench.data.label_space import canonical
from xmcbench.data.spec import Dataset, Parsed
from xmcbench.data.table_columns import Reading
from xmcbench.data.user_files import SplitFiles
from xmcbench.errors import DataError, UsageError
from xmcbench.testing.worlds import tiny


def world() -> Dataset:
    """Every part a data set can have, awkward rows among them."""
    base = tiny(60, 20, 15, 25)
    labels = base.train.labels.tolil()
    labels[3, :] = 0
    empty = base.test.features.tolil()
    empty[5, :] = 0
    nothing = base.test.labels.tolil()
    nothing[5, :] = 0
    return dataclasses.replace(
        base,
        train=dataclasses.replace(base.train, labels=labels.tocsr()),
        test=dataclasses.replace(base.test, features=empty.tocsr(), labels=nothing.tocsr()),
        validation=tiny(8, 7, 15, 25, seed=1).test,
        label_texts=[f"é label {i}" for i in range(15)],
        train_filter=np.array([[0, 1], [4, 2]]),
        test_filter=np.array([[19, 14]]),
    )


def hash_of(data: Dataset) -> str:
    return content_hash(Parsed(**{f.name: getattr(data, f.name) for f in dataclasses.fields(Parsed)}))


@pytest.mark.parametrize("matrices", ["npz", "xmc"])
def test_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, matrices: str) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    data = world()
    export(data, tmp_path / "out", matrices=matrices)
    done = import_files("back", Plan(SplitFiles()).of_folder(tmp_path / "out"))
    again = load(done.name)
    assert hash_of(again) == hash_of(data) == again.content_hash
    assert again.validation is not None
    assert done.revision in again.content_hash


def test_files_are_those_other_programs_read(tmp_path: Path) -> None:
    data = world()
    written = export(data, tmp_path / "out")
    names = "X.dev.npz X.dev.txt X.trn.npz X.trn.txt X.tst.npz X.tst.txt Y.dev.npz Y.trn.npz Y.tst.npz"
    filters = "filter_labels_test.txt filter_labels_train.txt output-items.txt"
    assert sorted(path.name for path in written) == [*names.split(), *filters.split()]
    loaded = sp.load_npz(tmp_path / "out" / "X.trn.npz")
    assert loaded.format == "csr"
    assert loaded.dtype == np.float32
    assert (loaded != data.train.features).nnz == 0
    assert (tmp_path / "out" / "filter_labels_train.txt").read_text() == "0 1\n4 2\n"


def test_xmc_text_reads_with_scikit_learn(tmp_path: Path) -> None:
    """Omikuji and napkinXC read the header and then what scikit-learn reads."""
    from sklearn.datasets import load_svmlight_file

    data = world()
    export(data, tmp_path / "out", matrices="xmc")
    lines = (tmp_path / "out" / "train.txt").read_text().splitlines()
    assert lines[0] == "60 25 15"
    assert lines[4].startswith(" ")  # the row without labels
    (tmp_path / "body.txt").write_text("\n".join(lines[1:]) + "\n")
    features, labels = load_svmlight_file(
        str(tmp_path / "body.txt"), n_features=25, dtype=np.float32, multilabel=True, zero_based=True
    )
    assert (features != data.train.features).nnz == 0
    assert [tuple(map(int, row)) for row in labels] == [tuple(row.indices.tolist()) for row in data.train.labels]


def test_line_ends_in_texts_become_blanks(tmp_path: Path) -> None:
    data = world()
    texts = ["one\ntwo\r\nthree", "a\u2028b", *data.train.texts[2:]]
    data = dataclasses.replace(data, train=dataclasses.replace(data.train, texts=texts))
    export(data, tmp_path / "out")
    lines = (tmp_path / "out" / "X.trn.txt").read_text("utf-8").split("\n")
    assert lines[:2] == ["one two three", "a b"]
    assert len(lines) == 61


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")  # no text of a file has the others
LITERAL = Reading(cells=CellRules(literal=True))


@given(
    names=st.lists(st.text(CHARACTERS, max_size=8), min_size=1, max_size=6),
    texts=st.lists(st.text(CHARACTERS), min_size=4, max_size=4),
)
@example(names=["a\tb", "a\nb", "c\r", "\ufeffd", "e\u2028f", "g\x0bh\x85i"], texts=["\ufeffa\rb", "\n", "", "\u2029"])
@settings(max_examples=6, deadline=None)
def test_any_name_and_text_comes_back(names: list[str], texts: list[str]) -> None:
    """Import of names and texts → export → import: the same content, and the same label for each row."""
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        folder = Path(place)
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        rows = [{"text": f"word {text}", "labels": [names[i % len(names)], "x"]} for i, text in enumerate(texts)]
        source = folder / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        first = import_files("first", Plan(SplitFiles(source), SplitFiles(source), reading=LITERAL))
        data = load("first", offline=True)
        assert list(data.test.texts or ()) == [row["text"] for row in rows]
        found = [{(data.label_texts or ())[i] for i in row.indices} for row in data.train.labels]
        assert found == [{canonical(name) for name in row["labels"]} - {""} for row in rows]
        export(data, folder / "out")
        second = import_files("second", Plan(SplitFiles()).of_folder(folder / "out"))
        assert second.revision == first.revision
        assert list(second.parse().label_texts or ()) == list(data.label_texts or ())


@given(st.lists(st.text(CHARACTERS), min_size=15, max_size=15), st.sampled_from(["npz", "xmc"]))
@example(
    ["\ufefffirst", " ends ", "\r", "\n", "", "\x1c", "\t", "a\tb", "\u00a0", '"', "\\n", "\x01", "\x85", "l\r", "m"],
    "npz",
)
@settings(max_examples=10, deadline=None)
def test_any_label_text_and_text_comes_back(texts: list[str], matrices: str) -> None:
    """Export → import of a data set whose texts keep their spaces and line ends at both ends."""
    data = world()
    splits = {
        name: dataclasses.replace(split, texts=texts[:1] * len(split.texts or ()))
        for name, split in data.splits.items()
    }
    data = dataclasses.replace(data, **splits, label_texts=texts)
    with TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(Path(place) / "home"))
        export(data, Path(place) / "out", matrices=matrices)
        done = import_files("back", Plan(SplitFiles()).of_folder(Path(place) / "out"))
        assert list(done.parse().label_texts or ()) == texts
        assert list(done.parse().test.texts or ()) == list(data.test.texts or ())
        assert done.revision in hash_of(data)


def test_texts_with_line_ends_are_also_exported_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    data = world()
    assert data.label_texts is not None
    data = dataclasses.replace(data, label_texts=["two\nlines", "tab\there", *data.label_texts[2:]])
    out = tmp_path / "out"
    names = {path.name for path in export(data, out)}
    assert {"output-items.txt", "output-items.jsonl"} <= names
    assert "X.trn.jsonl" not in names  # each of these texts is one line of the .txt
    assert json.loads((out / "output-items.jsonl").read_text("utf-8").split("\n")[0]) == {"text": "two\nlines"}
    (out / "Y.trn.txt").write_text("0\n")
    done = import_files("back", Plan(SplitFiles(), reading=Reading(text_column="body")).of_folder(out))
    assert "not read: Y.trn.txt" in done.notes
    assert done.revision in hash_of(data)
    lines = (out / "output-items.txt").read_text("utf-8")
    (out / "output-items.txt").write_text(lines.replace("tab", "tap"), "utf-8")
    with pytest.raises(DataError, match=r"output-items\.txt and output-items\.jsonl differ in line 2"):
        Plan(SplitFiles()).of_folder(out)
    (out / "output-items.txt").write_text(lines + "more\n", "utf-8")
    with pytest.raises(DataError, match=r"output-items\.jsonl ends before line 16"):
        Plan(SplitFiles()).of_folder(out)
    (out / "output-items.txt").unlink()
    assert done.revision in hash_of(data)
    export(dataclasses.replace(data, label_texts=["one"] * 15), out, replace=True)
    assert not (out / "output-items.jsonl").exists()


def test_full_folders_are_left_alone(tmp_path: Path) -> None:
    data = world()
    export(data, tmp_path)
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"is not empty \(X\.dev\.npz.*\n.*--replace"):
        export(data, tmp_path)
    export(dataclasses.replace(data, validation=None, test_filter=data.test_filter[:0]), tmp_path, replace=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert "thesis.tex" in left
    assert not {"X.dev.npz", "Y.dev.npz", "filter_labels_test.txt"} & left


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = world()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        export(data, tmp_path / "file")
    with pytest.raises(DataError, match="can't write"):
        export(data, tmp_path / "file" / "below")
    with pytest.raises(UsageError, match="unknown format 'svm'"):
        export(data, tmp_path / "out", matrices="svm")
    bare = dataclasses.replace(data, train=dataclasses.replace(data.train, features=None))
    with pytest.raises(DataError, match="XMC text needs features"):
        export(bare, tmp_path / "bare", matrices="xmc")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xmcbench.files.os.fsync", full)
    with pytest.raises(DataError, match="the disk is full"):
        export(data, tmp_path / "full")
    assert not (tmp_path / "full").exists()


@pytest.mark.parametrize("replace", [False, True])
def test_a_disk_that_fills_up_half_way_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool
) -> None:
    if replace:
        export(dataclasses.replace(world(), label_texts=["one"] * 15), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    real, count = os.fsync, itertools.count()

    def full(file: int) -> None:
        if next(count) == 4:
            raise OSError(28, "No space left on device")
        real(file)

    monkeypatch.setattr("xmcbench.files.os.fsync", full)
    with pytest.raises(DataError, match="the disk is full"):
        export(world(), tmp_path, replace=replace)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_mixture_of_two_exports_is_not_read_and_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a kill leaves it while files are moved to their places."""
    data, place, count = world(), tmp_path / "out", itertools.count()
    export(data, place)
    real = Path.replace

    def killed(self: Path, target: Path) -> Path:
        if next(count) == 3:
            raise KeyboardInterrupt
        return real(self, target)

    other = dataclasses.replace(data, label_texts=["one"] * 15)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            export(other, place, replace=True)
    with pytest.raises(DataError, match=r"none of Y\.trn\.npz, train\.txt, "):
        Plan(SplitFiles()).of_folder(place)
    export(data, place, replace=True)
    assert Plan(SplitFiles()).of_folder(place).train.labels == place / "Y.trn.npz"
    assert not list(place.glob(".tmp-*"))


def test_whenever_an_export_of_lf_files_is_killed_all_files_or_none_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, place, real = world(), tmp_path / "out", Path.replace
    export(data, place, matrices="lf")
    whole = Plan(SplitFiles()).of_folder(place)
    read = 0
    for stop in range(len(list(place.iterdir()))):
        count = itertools.count()

        def killed(self: Path, target: Path, count: Any = count, stop: int = stop) -> Path:
            if next(count) == stop:
                raise KeyboardInterrupt
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                export(data, place, matrices="lf", replace=True)
        with suppress(DataError):
            plan = Plan(SplitFiles()).of_folder(place)
            read += 1
            assert (plan.test, plan.label_texts, plan.train_filter) == (
                whole.test,
                whole.label_texts,
                whole.train_filter,
            )
            assert (plan.train.texts, plan.train.features) == (whole.train.texts, whole.train.features)
    assert read == 1, "with the labels of trn.json.gz, without those of trn_X_Y.txt"


def test_a_folder_without_the_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of Y\.trn\.npz, train\.txt, "):
        Plan(SplitFiles()).of_folder(tmp_path)
