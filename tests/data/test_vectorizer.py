"""Fitted vectorizers: kept in the cache and in imports, and as exact there as when fitted."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from xmcbench.data import cache, load
from xmcbench.data.cache import content_hash
from xmcbench.data.imported import META, _seal, find_imported
from xmcbench.data.importing import Plan, import_files
from xmcbench.data.text import bow_any_script, bow_eurlex, bow_words, bow_words_chars
from xmcbench.data.user_files import SplitFiles
from xmcbench.data.vectorizer import ARRAYS, OPTIONS, Vectorizer
from xmcbench.errors import DataError

TRAIN = ["red fish", "blue fish, 東京", "Bär É x_1", "", "fish fish fish a b c"] * 2
TEST = ["blue fish", "", "unknown words", "FISH É 東京"]


def same(a: sp.csr_matrix, b: sp.csr_matrix) -> bool:
    """Whether two matrices are equal to the bit."""
    parts = ("data", "indices", "indptr")
    return a.shape == b.shape and all(np.array_equal(getattr(a, part), getattr(b, part)) for part in parts)


@pytest.mark.parametrize("bow", [bow_any_script, bow_eurlex, bow_words, bow_words_chars])
def test_saved_and_loaded(bow: object, tmp_path: Path) -> None:
    (_, test), fitted = bow(TRAIN * 3, TEST)  # type: ignore[operator]
    fitted.save(tmp_path)
    loaded = Vectorizer.load(tmp_path)
    assert loaded.n_features == test.shape[1]
    assert same(loaded.transform(TEST), test)
    assert same(loaded.transform(TEST[3:]), test[3:])
    assert loaded.transform([]).shape == (0, test.shape[1])


def test_the_terms_are_code_points(tmp_path: Path) -> None:
    fitted = bow_words(["b é", "\U0001f600a 日"])[1]
    assert fitted.parts[0].terms() == ["a", "b", "é", "日"]
    assert fitted.parts[0].codes.tolist() == [ord(c) for c in "abé日"]


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("0.offsets", np.array([0, 1, 1]), "do not fit"),
        ("0.offsets", np.array([0, 1, 9]), "do not fit"),
        ("0.offsets", np.array([0, 2]), "do not fit"),
        ("0.codes", np.array([0x110000, 97], np.uint32), "code points"),
        ("0.codes", np.array([[1, 2]], np.uint8), "other types"),
        ("0.idf", np.array([1, np.nan]), "not finite"),
        ("0.idf", np.array([1, 1], np.float32), "other types"),
        ("0.idf", None, "missing"),
    ],
)
def test_damaged_arrays(name: str, array: np.ndarray | None, fault: str, tmp_path: Path) -> None:
    bow_words(["a b"])[1].save(tmp_path)
    arrays = dict(np.load(tmp_path / ARRAYS))
    arrays |= {name: array} if array is not None else {}
    np.savez(tmp_path / ARRAYS, **{key: value for key, value in arrays.items() if array is not None or key != name})
    with pytest.raises(DataError, match=fault):
        Vectorizer.load(tmp_path)


def test_a_term_that_is_there_twice() -> None:
    fitted = bow_words(["a b"])[1]
    arrays = fitted.arrays() | {"0.codes": np.frombuffer(b"aa", np.uint8)}
    with pytest.raises(DataError, match="twice"):
        Vectorizer.of(fitted.options(), arrays).transform(["a"])


def test_opening_a_data_set_compiles_and_looks_up_nothing(home: Path) -> None:
    """Nor does it import numba."""
    name = import_texts(home)
    load(name, offline=True)
    script = f"import sys, xmcbench.data as d; d.load({name!r}, offline=True); print('numba' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
    vectorizer = load(name, offline=True).vectorizer
    assert vectorizer is not None
    assert "known" not in vars(vectorizer.parts[0])


@pytest.mark.parametrize("change", [{"format": 2}, {"parts": [{"tokens": "syllables"}]}, {"parts": 1}])
def test_damaged_options(change: dict[str, object], tmp_path: Path) -> None:
    bow_words(["a b"])[1].save(tmp_path)
    facts = json.loads((tmp_path / OPTIONS).read_text())
    (tmp_path / OPTIONS).write_text(json.dumps(facts | change))
    with pytest.raises(DataError, match=OPTIONS):
        Vectorizer.load(tmp_path)
    (tmp_path / OPTIONS).unlink()
    with pytest.raises(DataError, match=OPTIONS):
        Vectorizer.load(tmp_path)


def import_texts(folder: Path) -> str:
    files = []
    for name, lines in {"train": TRAIN, "train_y": ["x,y"] * 10, "test": TEST, "test_y": ["x"] * 4}.items():
        files.append(folder / f"{name}.txt")
        files[-1].write_text("".join(f"{line}\n" for line in lines))
    import_files("mine", Plan(SplitFiles(*files[:2]), SplitFiles(*files[2:])))
    return "mine"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    return tmp_path


def test_an_import_and_its_cache_have_the_vectorizer(home: Path) -> None:
    name = import_texts(home)
    for _ in range(2):  # parsed, then opened from the cache
        data = load(name, offline=True)
        assert data.vectorizer is not None
        assert same(data.vectorizer.transform(TEST), data.test.features)
        assert content_hash(data) == content_hash(dataclasses.replace(data, vectorizer=None)) == data.content_hash
    assert load(name, "text", offline=True).vectorizer is None
    folder = find_imported(name).folder
    (folder / ARRAYS).write_bytes(b"other")
    with pytest.raises(DataError, match="changed after the import"):
        load(name, offline=True)


def test_an_import_of_an_earlier_version_is_fitted_again(home: Path) -> None:
    folder = find_imported(import_texts(home)).folder
    for file in (ARRAYS, OPTIONS):
        (folder / file).unlink()
    meta = json.loads((folder / META).read_text())
    del meta["seal"], meta["files"][ARRAYS], meta["files"][OPTIONS]
    (folder / META).write_text(json.dumps(meta | {"seal": _seal(meta)}))
    data = load("mine", offline=True)
    assert data.vectorizer is not None
    assert same(data.vectorizer.transform(TEST), data.test.features)


def test_other_features_than_those_of_the_texts_have_no_vectorizer(home: Path) -> None:
    facts = find_imported(import_texts(home))
    for file in (ARRAYS, OPTIONS):
        (facts.folder / file).unlink()
    parsed = facts.parse()
    assert parsed.vectorizer is not None
    path = facts.folder / "X.trn.npz"
    sp.save_npz(path, sp.load_npz(path) * np.float32(0.5))
    assert facts.parse().vectorizer is None


def test_a_damaged_vectorizer_in_the_cache_is_made_again(home: Path) -> None:
    name = import_texts(home)
    expected = load(name, offline=True).test.features
    (path,) = (home / "home" / "parsed" / name).glob(f"bow-*/{cache.VECTORIZER}0.idf.npy")
    path.write_bytes(path.read_bytes()[:-8] + b"\0" * 8)
    with pytest.warns(UserWarning, match="is damaged: it is parsed again"):
        data = load(name, offline=True)
    assert data.vectorizer is not None
    assert same(data.vectorizer.transform(TEST), expected)
