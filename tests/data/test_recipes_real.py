"""Recipes on real files: counts come out as stated."""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data import load
from xmcbench.data.catalogue import entry
from xmcbench.data.fetch import fetch_files
from xmcbench.data.recipes import hashed, icd10cm, wordnet
from xmcbench.data.spec import Dataset
from xmcbench.errors import DataError

DEBIAN = Path("/usr/share/wordnet")
ROOT = Path(__file__).parents[2]


def best_precision(data: Dataset, k: int) -> float:
    """What no method can pass, because rows have fewer than k labels."""
    return float(np.minimum(np.diff(data.test.labels.indptr), k).mean() / k)


def check_features(data: Dataset) -> None:
    """The content is that of the leaderboards, and the vectorizer makes the same rows as the recipe, to the bit."""
    board = json.loads((ROOT / "leaderboards" / "board" / "datasets.json").read_text())
    known = {(facts["name"], facts["view"]): facts["content_hash"] for facts in (entry["dataset"] for entry in board)}
    assert data.content_hash == known[data.name, data.view]
    assert data.vectorizer is not None
    for split in (data.test, data.validation):
        if split is not None and split.texts is not None and split.features is not None:
            rows = data.vectorizer.transform(split.texts)
            for part in ("indptr", "indices", "data"):
                np.testing.assert_array_equal(getattr(rows, part), getattr(split.features, part))


def test_icd10cm_terms() -> None:
    path = distribution("simple-icd-10-cm").locate_file("simple_icd_10_cm/data/icd10c-tabular-April-1-2026.xml")
    tabular = icd10cm.read_tabular(ElementTree.parse(str(path)).getroot())
    train, test = icd10cm.split_terms(tabular)
    assert (len(tabular.codes), len(set(tabular.codes)), len(train), len(test)) == (46_881, 46_881, 53_703, 6_656)
    for label, path_ in enumerate(tabular.paths):
        codes = [tabular.codes[above] for above in path_]
        assert path_[-1] == label
        assert len(codes[0]) == 3
        assert all(below.startswith(above) for above, below in pairwise(codes))


def test_icd10cm() -> None:
    data = load("icd10cm", offline=True)
    assert (data.name, data.view, data.propensity) == ("icd10cm", "bow", (0.55, 1.5))
    assert data.train.labels.shape == (53_703, 46_881)
    assert data.test.labels.shape == (6_656, 46_881)
    assert data.train.labels.nnz / 53_703 == pytest.approx(3.06, abs=0.005)
    assert data.test.labels.nnz / 6_656 == pytest.approx(2.53, abs=0.005)
    assert best_precision(data, 3) == pytest.approx(0.79, abs=0.005)
    assert best_precision(data, 5) == pytest.approx(0.50, abs=0.006)
    check_features(data)
    assert data.label_texts is not None
    assert data.train.texts is not None
    assert list(data.train.texts[:46_881]) == list(data.label_texts)  # every description is a training row, in order
    own = data.train.labels[:46_881].tocsr()
    assert (own.diagonal() == 1).all()
    assert {name: int(group.sum()) for name, group in data.label_groups.items()} == {
        "depth3": 1_918,
        "depth4": 10_096,
        "depth5": 14_578,
        "depth6": 20_109,
        "depth7": 180,
    }
    known = {text.lower() for text in data.train.texts}
    assert data.test.texts is not None
    assert not any(text.lower() in known for text in data.test.texts)


def small_tabular() -> ElementTree.Element:
    return ElementTree.fromstring(
        """<x><chapter><section>
        <diag><name>A00</name><desc>Cholera</desc><includes><note>the plague of water</note></includes>
          <excludes1><note>not this</note></excludes1>
          <diag><name>A00.1</name><desc>Cholera due to eltor</desc><inclusionTerm><note>Classical cholera</note>
            <note>cholera</note></inclusionTerm></diag></diag>
        <diag><name>A01</name><desc>Typhoid</desc></diag>
        </section></chapter></x>"""
    )


def test_icd10cm_by_hand() -> None:
    tabular = icd10cm.read_tabular(small_tabular())
    assert tabular.codes == ["A00", "A00.1", "A01"]
    assert tabular.paths == [[0], [0, 1], [2]]
    assert tabular.notes == [("the plague of water", 0), ("Classical cholera", 1), ("cholera", 1)]
    train, test = icd10cm.split_terms(tabular)
    # sha256 % 10: "the plague of water" 2, so train; "Classical cholera" 6 and "cholera" 9, so test, but the last one
    # stands in train as the description of A00.
    assert train == [("Cholera", 0), ("Cholera due to eltor", 1), ("Typhoid", 2), ("the plague of water", 0)]
    assert test == [("Classical cholera", 1)]


@pytest.mark.skipif(not (DEBIAN / "data.noun").exists(), reason="install Debian's package wordnet-base")
def test_wordnet() -> None:
    synsets = {s.key: s for kind in ("noun", "verb") for s in wordnet.read_synsets(DEBIAN / f"data.{kind}")}
    labels = wordnet.labels(synsets)
    assert (len(synsets), len(labels)) == (95_882, 94_561)
    assert len({label for found in labels.values() for label in found}) == 20_452
    assert sum(map(hashed.in_test, labels)) == 18_960
    dog = [synsets[key].lemmas for key in labels["02084071n"]]
    assert "domestic animal, domesticated animal" in dog
    assert "canine, canid" in dog
    assert not any("entity" in lemmas for lemmas in dog)
    check_features(load("wordnet", offline=True))


@pytest.mark.parametrize(
    ("name", "rows", "pairs", "seen", "sample"),
    [
        pytest.param(
            *("edict", (112_847, 27_887), (321_927, 79_386), 5_172, ("curry powder", "粉 flour, powder, dust")),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("ding", (139_915, 35_193), (329_858, 82_714), 33_659, ("Beifahrer ; Beifahrerin", "passenger")),
            marks=pytest.mark.slow,
        ),
        ("foldoc", (8_053, 1_959), (31_239, 7_611), 6_735, ("alt.sources <messaging", "Usenet, Usenet news")),
    ],
)
def test_dictionaries(
    name: str, rows: tuple[int, int], pairs: tuple[int, int], seen: int, sample: tuple[str, str]
) -> None:
    try:
        fetch_files(entry(name), offline=True)
    except DataError as error:
        pytest.skip(f"{error.message}: {entry(name).forms[0].note}")
    data = load(name, offline=True)
    assert (data.train.labels.shape[0], data.test.labels.shape[0]) == rows
    assert (data.train.labels.nnz, data.test.labels.nnz) == pairs
    assert len(np.unique(data.train.labels.indices)) == seen
    assert data.label_texts is not None
    assert data.train.texts is not None
    assert data.test.texts is not None

    def words(text: str) -> frozenset[str]:
        return frozenset(re.findall(r"\w+", text.lower()))

    assert not {words(text) for text in data.train.texts} & {words(text) for text in data.test.texts}
    texts = [*data.train.texts, *data.test.texts]
    row = next(row for row, text in enumerate(texts) if text.startswith(sample[0]))
    labels = sp.vstack([data.train.labels, data.test.labels], format="csr")[row].indices
    assert sample[1] in [data.label_texts[label] for label in labels]
    check_features(data)


@pytest.mark.parametrize(("name", "features", "word"), [("bibtex", 1_836, "2005"), ("delicious", 500, None)])
def test_small_sets(shared: Path, monkeypatch: pytest.MonkeyPatch, name: str, features: int, word: str | None) -> None:
    monkeypatch.setenv("XMCBENCH_MIRROR", str(shared / "data"))
    data = load(name, offline=True)
    assert data.train.features is not None
    assert data.train.features.shape[1] == features
    assert data.label_texts is not None
    assert word is None or word in list(data.label_texts)


@pytest.mark.slow
def test_eurlex(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute: reads 57,000 documents and fits tf-idf on 45,000."""
    monkeypatch.setenv("XMCBENCH_MIRROR", str(shared / "data"))
    data = load("eurlex-4.3k", offline=True)
    assert data.validation is not None
    assert [s.labels.shape[0] for s in (data.train, data.validation, data.test)] == [45_000, 6_000, 6_000]
    assert data.n_labels == 4_271
    seen = np.bincount(data.train.labels.indices, minlength=4_271) > 0
    assert seen.sum() == 4_108
    assert (~seen[data.test.labels.indices]).sum() == 96
    pairs = sum(s.labels.nnz for s in (data.train, data.validation, data.test))
    assert pairs / 57_000 == pytest.approx(5.07, abs=0.01)
    assert 0.2 < data.row_groups["near-duplicate"].mean() < 0.3
    assert (data.row_groups["near-duplicate"] ^ data.row_groups["novel"]).all()

    title = load("eurlex-4.3k", "title", offline=True)
    check_features(data)
    check_features(title)
    assert title.train.texts is not None
    assert title.test.texts is not None

    def bare(text: str) -> str:  # digits, case and blanks aside
        return " ".join(re.sub(r"\d", "", text).lower().split())

    known = {bare(text) for text in title.train.texts}
    assert np.mean([bare(text) in known for text in title.test.texts]) == pytest.approx(0.30, abs=0.01)
    for name, group in data.row_groups.items():
        np.testing.assert_array_equal(title.row_groups[name], group)
