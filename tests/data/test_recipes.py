"""Recipes on small files made by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data.recipes import RECIPES, recipe
from xmcbench.data.recipes.hashed import in_test
from xmcbench.data.recipes.wordnet import everything_above, labels, read_synsets
from xmcbench.data.spec import Parsed
from xmcbench.errors import DataError, UsageError

TRAIN = "3 4 3\n0,2 0:1 3:2\n1 1:0.5\n 2:1\n"
TEST = "1 4 3\n2 0:1\n"


def write(folder: Path, **texts: str) -> dict[str, Path]:
    paths = {}
    for role, text in texts.items():
        paths[role] = folder / f"{role}.txt"
        paths[role].write_text(text, encoding="utf-8", newline="")
    return paths


def run(name: str, files: dict[str, Path], view: str = "bow", **options: Any) -> Parsed:
    return recipe(name).run(files, view, options)


def test_every_recipe_is_there() -> None:
    from xmcbench.data.catalogue import catalogue

    named = {entry.recipe for entry in catalogue().values()} - {"synthetic"}
    assert named <= RECIPES.keys()
    with pytest.raises(UsageError, match="unknown recipe"):
        recipe("pecoz")


def test_single(tmp_path: Path) -> None:
    parsed = run("xc_single", write(tmp_path, train=TRAIN, test=TEST, label_names="a\nb\nc\n", test_filter="0 1\n"))
    assert parsed.train.features is not None
    np.testing.assert_array_equal(parsed.train.features.toarray(), [[1, 0, 0, 2], [0, 0.5, 0, 0], [0, 0, 1, 0]])
    np.testing.assert_array_equal(parsed.train.labels.toarray(), [[1, 0, 1], [0, 1, 0], [0, 0, 0]])
    assert parsed.label_texts == ["a", "b", "c"]
    assert parsed.test_filter.tolist() == [[0, 1]]
    assert parsed.train_filter.shape == (0, 2)


def test_headers_that_differ_in_features_are_widened_and_in_labels_refused(tmp_path: Path) -> None:
    parsed = run("xc_single", write(tmp_path, train=TRAIN, test="1 6 3\n2 5:1\n"))
    assert parsed.train.features is not None
    assert parsed.test.features is not None
    assert parsed.train.features.shape == (3, 6)
    assert parsed.test.features.indices.tolist() == [5]
    with pytest.raises(DataError, match="train has 3 labels and test 4"):
        run("xc_single", write(tmp_path, train=TRAIN, test="1 4 4\n2 0:1\n"))


def test_split_by_columns_counts_from_one_and_takes_the_first(tmp_path: Path) -> None:
    files = write(tmp_path, data=TRAIN, train_split="3 1\n1 2\n", test_split="2 3\n")
    parsed = run("xc_split", files)
    np.testing.assert_array_equal(parsed.train.labels.toarray(), [[0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(parsed.test.labels.toarray(), [[0, 1, 0]])


@pytest.mark.parametrize(
    ("split", "said"),
    [("4\n", "line 1: row 4 of 3"), ("0\n", "row 0 of 3"), ("x\n", "not a split"), ("1\n1\n", "twice")],
)
def test_bad_split_files(tmp_path: Path, split: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        run("xc_split", write(tmp_path, data=TRAIN, train_split=split, test_split="2\n"))


def test_features_and_labels_apart(tmp_path: Path) -> None:
    files = write(
        tmp_path,
        train_features="2 3\n0:1\n2:1\n",
        train_labels="2 2\n0:1\n0:1 1:1\n",
        test_features="1 3\n1:1\n",
        test_labels="1 2\n1:1\n",
        train_filter="1 1\n",
    )
    parsed = run("xc_lf", files)
    assert parsed.train.labels.toarray().tolist() == [[1, 0], [1, 1]]
    assert parsed.train_filter.tolist() == [[1, 1]]


def test_raw_joins_the_fields_it_is_told(tmp_path: Path) -> None:
    def rows(name: str, *items: dict[str, Any]) -> Path:
        path = tmp_path / f"{name}.json.gz"
        path.write_bytes(gzip.compress("".join(json.dumps(item) + "\n" for item in items).encode()))
        return path

    files = {
        "train_json": rows("trn", {"uid": "1", "title": "t", "content": "c", "target_ind": [1, 0]}),
        "test_json": rows("tst", {"uid": "2", "title": "u", "content": "", "target_ind": []}),
        "label_json": rows("lbl", {"uid": "3", "title": "l0", "content": "x"}, {"uid": "4", "title": "l1"}),
    }
    parsed = run("xc_lf", files, "text", text_fields=("title", "content"))
    assert parsed.train.features is None
    assert list(parsed.train.texts or ()) == ["t c"]
    assert list(parsed.label_texts or ()) == ["l0 x", "l1"]
    assert parsed.train.labels.toarray().tolist() == [[1, 1]]
    assert list(run("xc_lf", files, "text", text_fields=("title",)).label_texts or ()) == ["l0", "l1"]


@pytest.mark.parametrize("view", ["bow", "text"])
def test_pecos(tmp_path: Path, view: str) -> None:
    files = write(tmp_path, train_texts="one\ntwo\n", test_texts="three\n", label_texts="a\nb\n")
    for role, matrix in {
        "train_features": np.eye(2, 3),
        "test_features": np.ones((1, 3)),
        "train_labels": np.eye(2),
        "test_labels": [[0, 1]],
    }.items():
        files[role] = tmp_path / f"{role}.npz"
        sp.save_npz(files[role], sp.csr_matrix(matrix))
    parsed = run("pecos", files, view)
    assert (parsed.train.features is None) == (view == "text")
    assert parsed.train.texts == ["one", "two"]
    assert parsed.label_texts == ["a", "b"]
    files["label_texts"].write_text("a\n")
    with pytest.raises(DataError, match="1 line, expected 2"):
        run("pecos", files, view)


def eurlex(folder: Path) -> dict[str, Path]:
    """Seven training laws on fish and seven on wine; a test law is a copy of one, another is new."""

    def law(split: str, celex: str, words: str, *concepts: str) -> None:
        path = folder / "dataset" / split / f"{celex}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        value = {"celex_id": celex, "uri": "u", "type": "Decision", "concepts": concepts, "title": f"title {words}"}
        path.write_text(json.dumps({**value, "header": "h", "recitals": "r", "main_body": [words], "attachments": ""}))

    for i in range(7):
        law("train", f"3F{i}", f"fish net boat sea{i}", "10", "9")
        law("train", f"3W{i}", f"wine grape barrel hill{i}", "200")
    law("dev", "3D", "fish grape", "9")
    law("test", "3T1", "fish net boat", "10")
    law("test", "3T0", "fish barrel title", "200", "1000")
    names = {c: {"concept_id": c, "label": f"name of {c}"} for c in ("9", "10", "200", "1000", "5")}
    (folder / "eurovoc_en.json").write_text(json.dumps(names))
    return {"documents": folder / "dataset", "descriptors": folder / "eurovoc_en.json"}


def test_eurlex57k(tmp_path: Path) -> None:
    files = eurlex(tmp_path)
    parsed = run("eurlex57k", files)
    assert parsed.label_texts == ["name of 9", "name of 10", "name of 200", "name of 1000"]  # 5 occurs nowhere
    assert parsed.test.labels.toarray().tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]  # by CELEX; 1000 is unseen in train
    assert parsed.validation is not None
    assert parsed.validation.labels.toarray().tolist() == [[1, 0, 0, 0]]
    assert parsed.label_names == ["9", "10", "200", "1000"]
    assert (parsed.test.ids, parsed.validation.ids) == (["3T0", "3T1"], ["3D"])
    assert parsed.row_groups["near-duplicate"].tolist() == [False, True]
    assert parsed.row_groups["novel"].tolist() == [True, False]
    assert parsed.train.features is not None
    assert parsed.train.features.shape == (
        14,
        7,
    )  # title, fish, net, boat, wine, grape, barrel: each in 5 texts at least
    assert parsed.train.texts is not None
    assert parsed.train.texts[0] == "title fish net boat sea0\nh\nr\nfish net boat sea0"

    title = run("eurlex57k", files, "title")
    assert title.test.texts == ["title fish barrel title", "title fish net boat"]
    assert title.test.features is not None
    assert title.row_groups["novel"].tolist() == [True, False]
    text = run("eurlex57k", files, "text")
    assert text.test.features is None
    assert text.test.texts == parsed.test.texts


def test_eurlex57k_without_a_descriptor(tmp_path: Path) -> None:
    files = eurlex(tmp_path)
    files["descriptors"].write_text('{"9": {"label": "x"}}')
    with pytest.raises(DataError, match="no descriptor of concept '10'"):
        run("eurlex57k", files)
    files["descriptors"].write_text("[]")
    with pytest.raises(DataError, match=r"expected object, got array\n.*Not the file of EuroVoc descriptors"):
        run("eurlex57k", files)


NOUNS = """  1 This is the licence.
00000001 03 n 01 entity 0 000 | that which is
00000002 03 n 02 animal 0 living_thing 1 001 @ 00000001 n 0000 | a living thing
00000003 03 n 01 dog 0 003 @ 00000002 n 0000 ~ 00000004 n 0000 + 00000009 v 0101 | it barks; "a dog | a cat"
00000004 03 n 0a a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 i 0 j 0 001 @i 00000003 n 0000 | a famous dog
"""
VERBS = """00000009 30 v 01 bark 0 001 @ 00000008 v 0000 01 + 02 00 | make a sound
00000008 30 v 01 sound 0 001 @ 00000009 v 0000 01 + 02 00 | be heard
"""


def test_wordnet_by_hand(tmp_path: Path) -> None:
    files = write(tmp_path, noun=NOUNS, verb=VERBS)
    synsets = {s.key: s for path in files.values() for s in read_synsets(path)}
    assert synsets["00000002n"].lemmas == "animal, living thing"
    assert synsets["00000003n"].gloss == 'it barks; "a dog | a cat"'
    assert synsets["00000004n"].lemmas == "a, b, c, d, e, f, g, h, i, j"  # the count is hexadecimal
    assert everything_above("00000004n", synsets) == ["00000003n", "00000002n", "00000001n"]
    assert everything_above("00000009v", synsets) == ["00000008v"]  # they point at each other
    assert labels(synsets) == {}  # with five documents, one is more than 5 %


def test_wordnet_splits(tmp_path: Path) -> None:
    def line(i: int, above: int) -> str:
        return f"{i:08} 03 n 01 word{i} 0 001 @ {above:08} n 0000 | gloss {i} of some{i % 7}\n"

    chain = "".join([line(i, i - i % 2 + 1000) for i in range(1, 100)] + [line(i, 5000) for i in range(1000, 1099, 2)])
    files = write(tmp_path, noun=chain + "00005000 03 n 01 top 0 000 | the top\n", verb="")
    parsed = run("wordnet", {"data.noun": files["noun"], "data.verb": files["verb"]})
    # 99 leaves have a parent of two children each; 5000 stands above all, and so does not count
    assert parsed.train.labels.shape[0] + parsed.test.labels.shape[0] == 99
    assert parsed.label_texts == [f"word{i}" for i in range(1000, 1099, 2)]
    assert parsed.test.labels.shape[0] == sum(in_test(f"{i:08}n") for i in range(1, 100))
    assert parsed.test.texts is not None
    first = next(i for i in range(1, 100) if in_test(f"{i:08}n"))
    assert parsed.test.texts[0] == f"gloss {first} of some{first % 7}"
    assert parsed.label_texts[parsed.test.labels.indices[0]] == f"word{first - first % 2 + 1000}"


@pytest.mark.parametrize("line", ["00000001 03 n 05 entity 0 000 | cut", "1 03 n 01 x 0 000 | y", "nothing at all"])
def test_wordnet_damage_names_the_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"noun\.txt, line 2: not a synset"):
        read_synsets(write(tmp_path, noun=f"  1 licence\n{line}\n")["noun"])


def test_wordnet_dangling_pointer(tmp_path: Path) -> None:
    files = write(tmp_path, noun="00000001 03 n 01 x 0 001 @ 00000077 n 0000 | y\n", verb="")
    with pytest.raises(DataError, match="points to 00000077n"):
        run("wordnet", {"data.noun": files["noun"], "data.verb": files["verb"]})
