"""The label index: what can't be predicted is never found, and `auto` takes lists where they pay."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from xmcbench.dense import index as module
from xmcbench.dense.index import LabelIndex, choice
from xmcbench.files import write_npz
from xmcbench.npz_files import map_npz

VECTORS = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
QUERIES = np.random.default_rng(1).normal(size=(7, 8)).astype(np.float32)
KNOWN = np.arange(60) % 3 != 0

needs_faiss = pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is not installed: pip install faiss-cpu")


@pytest.mark.parametrize("how", ["exact", "lists", pytest.param("hnsw", marks=needs_faiss)])
def test_only_known_labels_are_found_best_first(how: module.How, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 3)
    index = LabelIndex.of(VECTORS, KNOWN, how)
    told: list[int] = []
    found = index.search(QUERIES, 10, 100, progress=lambda done, total: told.append(done))
    scores = np.where(KNOWN, QUERIES @ VECTORS.T, -np.inf)
    np.testing.assert_array_equal(found.ids, np.argsort(-scores, axis=1, kind="stable")[:, :10])
    assert told[-1] <= 7
    assert index.recall(QUERIES, 10, 100) == 1.0
    assert index.search(QUERIES, 100, 100).ids.shape == (7, 40)
    found.check(7, 60)


@pytest.mark.parametrize("how", ["exact", "lists"])
def test_nothing_known(how: module.How) -> None:
    assert LabelIndex.of(VECTORS, np.zeros(60, np.bool_), how).search(QUERIES, 5, 10).ids.shape == (7, 0)


def test_recall_of_few_lists_is_below_one() -> None:
    many = np.random.default_rng(2).normal(size=(3000, 16)).astype(np.float32)
    index = LabelIndex.of(many, np.ones(3000, np.bool_), "lists")
    queries = np.random.default_rng(3).normal(size=(50, 16)).astype(np.float32)
    assert index.recall(queries, 10, 2) < index.recall(queries, 10, 3000) == 1.0


@needs_faiss
def test_recall_of_a_hasty_search_is_below_one() -> None:
    many = np.random.default_rng(2).normal(size=(3000, 16)).astype(np.float32)
    index = LabelIndex.of(many, np.ones(3000, np.bool_), "hnsw")
    queries = np.random.default_rng(3).normal(size=(50, 16)).astype(np.float32)
    assert index.recall(queries, 10, 1) < index.recall(queries, 10, 400) <= 1.0


def test_auto() -> None:
    assert choice("auto", module.MANY - 1) == "exact"
    assert choice("auto", module.MANY) == "lists"
    assert choice("auto", module.MANY, "cuda") == "exact"
    assert choice("hnsw", 3) == "hnsw"


@pytest.mark.parametrize("how", ["exact", "lists", pytest.param("hnsw", marks=needs_faiss)])
def test_a_saved_index_finds_the_same_labels(how: module.How, tmp_path: Path) -> None:
    index = LabelIndex.of(VECTORS, KNOWN, how)
    write_npz(tmp_path / "index.npz", index.arrays(), compressed=False)
    found, expected = LabelIndex.read(map_npz(tmp_path / "index.npz"), how), index.search(QUERIES, 10, 2)
    np.testing.assert_array_equal(found.search(QUERIES, 10, 2).ids, expected.ids)
    np.testing.assert_array_equal(found.search(QUERIES, 10, 2).scores, expected.scores)
    older = LabelIndex.read({"embeddings": VECTORS, "known": KNOWN}, how)
    np.testing.assert_array_equal(older.search(QUERIES, 10, 2).ids, expected.ids)


def test_lists_are_made_of_an_index_that_was_saved_without() -> None:
    """As where a model was fitted on a GPU, which searches exactly, and is then used on a CPU."""
    read = LabelIndex.read(LabelIndex.of(VECTORS, KNOWN, "exact").arrays(), "lists")
    expected = LabelIndex.of(VECTORS, KNOWN, "lists")
    assert read.how == "lists"
    np.testing.assert_array_equal(read.ids, expected.ids)
    np.testing.assert_array_equal(read.search(QUERIES, 10, 2).ids, expected.search(QUERIES, 10, 2).ids)


def test_saved_lists_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = LabelIndex.of(VECTORS, KNOWN, "lists").arrays()
    monkeypatch.setattr(module.Lists, "of", None)
    index = LabelIndex.read(arrays, "auto")
    assert index.how == "lists"
    assert np.shares_memory(index.vectors, arrays["vectors"])


def test_arrays_of_another_index_are_an_error() -> None:
    arrays = LabelIndex.of(VECTORS, KNOWN, "exact").arrays()
    with pytest.raises(ValueError, match=r"\(39,\) labels have \(40, 8\) vectors"):
        LabelIndex.read(arrays | {"ids": arrays["ids"][1:]}, "auto")
    with pytest.raises(KeyError):
        LabelIndex.read({"ids": arrays["ids"]}, "auto")


@pytest.mark.parametrize("which", ["beyond", "falling", "few", "narrow"])
def test_saved_lists_that_do_not_match_are_an_error(which: str) -> None:
    arrays = LabelIndex.of(VECTORS, KNOWN, "lists").arrays()
    starts = arrays["starts"].copy()
    if which == "beyond":
        starts[-1] += 1
    elif which == "falling":
        starts[1] = len(arrays["ids"]) + 5
    elif which == "few":
        starts = starts[:-1]
    means = arrays["means"][:, :-1] if which == "narrow" else arrays["means"]
    with pytest.raises(ValueError, match="lists of 40 labels do not match"):
        LabelIndex.read(arrays | {"starts": starts, "means": means}, "auto")
