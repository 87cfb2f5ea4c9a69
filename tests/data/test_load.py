"""`xmcbench.data.load`: names, views, and what the cache depends on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import xmcbench.data
from xmcbench.data import catalogue, importing, load
from xmcbench.data.cache import content_hash
from xmcbench.data.recipes import Recipe
from xmcbench.data.user_files import SplitFiles
from xmcbench.errors import DataError, UsageError

TOML = """
[datasets.toy]
title = "Toy"
aliases = ["plaything"]
revision = "7"
summary = "s"
recipe = "xc_single"
views = ["bow"]
default_view = "bow"
propensity = [0.6, 2.6]
propensity_source = "s"
licence = "unknown"
redistribution = "none"
cite = []
homepage = "https://example.org"
lineage = "s"
expected = { n_train = 3, n_labels = 3 }
expected_source = "s"
[[datasets.toy.forms]]
name = "xc"
views = ["bow"]
files = [{ role = "train", name = "train.txt" }, { role = "test", name = "test.txt" }]
"""
TRAIN = "3 4 3\n0,2 0:1 3:2\n1 1:0.5\n2 2:1\n"
TEST = "1 4 3\n2 0:1\n"


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue of one small set."""
    entries = MappingProxyType(catalogue.parse(TOML))
    monkeypatch.setattr(catalogue, "catalogue", lambda: entries)


def place(monkeypatch: pytest.MonkeyPatch, folder: Path, train: str = TRAIN, test: str = TEST) -> Path:
    """A home of its own, and a mirror with the toy's files."""
    monkeypatch.setenv("XMCBENCH_HOME", str(folder / "home"))
    monkeypatch.setenv("XMCBENCH_MIRROR", str(folder / "mirror"))
    mirror = folder / "mirror" / "toy"
    mirror.mkdir(parents=True, exist_ok=True)
    (mirror / "train.txt").write_text(train)
    (mirror / "test.txt").write_text(test)
    return folder / "home" / "parsed" / "toy"


def parses(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


@pytest.mark.usefixtures("toy")
def test_facts_come_from_the_catalogue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place(monkeypatch, tmp_path)
    data = load("Plaything", offline=True)
    assert (data.name, data.view, data.revision, data.propensity) == ("toy", "bow", "7", (0.6, 2.6))
    np.testing.assert_array_equal(data.train.labels.toarray(), [[1, 0, 1], [0, 1, 0], [0, 0, 1]])
    facts = data.facts()
    assert (facts.n_train, facts.n_test, facts.n_features, facts.available) == (3, 1, 4, frozenset({"features"}))
    assert facts.seen == 3
    assert facts.spread == pytest.approx(((1 + 4) ** 2 / (1 + 16) + 1 + 1) / 3)


@pytest.mark.parametrize("values", ["0:0", "0:1e-30 1:1e-30", "0:3e38 1:-3e38", ""])
@pytest.mark.usefixtures("toy")
def test_features_that_carry_a_row_are_known_for_any_values(
    values: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place(monkeypatch, tmp_path, train=f"3 4 3\n0 {values}\n1 {values}\n0 {values}\n")
    facts = load("toy", offline=True).facts()
    assert facts.spread == pytest.approx(2.0 if " " in values else 0.0)
    assert facts.seen == 2


@pytest.mark.usefixtures("toy")
def test_second_load_parses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place(monkeypatch, tmp_path)
    first = load("toy", offline=True)

    def never(*_: object) -> None:
        raise AssertionError("parsed again")

    monkeypatch.setattr("xmcbench.data.recipes.xc.read_xmc", never)
    monkeypatch.setattr("xmcbench.data.arrays.locked", never)
    assert load("toy", "bow", offline=True).content_hash == first.content_hash


@pytest.mark.usefixtures("toy")
def test_key_and_hash_know_contents_and_no_paths(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = place(monkeypatch, tmp_path / "a")
    first = load("toy", offline=True)
    there = place(monkeypatch, tmp_path / "b" / "elsewhere")
    assert load("toy", offline=True).content_hash == first.content_hash
    assert parses(here) == parses(there)

    other = place(monkeypatch, tmp_path / "c", train=TRAIN.replace("0.5", "0.75"))
    assert load("toy", offline=True).content_hash != first.content_hash
    same_rows = place(monkeypatch, tmp_path / "d", train=TRAIN.replace("0.5", "0.50"))
    assert load("toy", offline=True).content_hash == first.content_hash
    assert len({*parses(here), *parses(other), *parses(same_rows)}) == 3


@pytest.mark.usefixtures("toy")
def test_counts_must_be_as_expected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = place(monkeypatch, tmp_path, train=TRAIN.replace("3 4 3", "2 4 3").replace("2 2:1\n", ""))
    with pytest.raises(DataError, match="n_train is 2, expected 3"):
        load("toy", offline=True)
    assert parses(folder) == []


@pytest.mark.usefixtures("toy")
def test_files_that_change_while_they_are_read_are_not_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place(monkeypatch, tmp_path)
    real = Recipe.run

    def edited_meanwhile(*words: Any) -> Any:
        parsed = real(*words)
        (tmp_path / "mirror" / "toy" / "train.txt").write_text(TRAIN.replace("3:2", "3:4"))
        return parsed

    monkeypatch.setattr(Recipe, "run", edited_meanwhile)
    with pytest.raises(DataError, match="changed while they were read"):
        load("toy")
    assert not list((tmp_path / "home" / "parsed").rglob("meta.json"))


@pytest.mark.usefixtures("toy")
def test_unknown_names_and_views(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place(monkeypatch, tmp_path)
    with pytest.raises(UsageError, match="unknown view of toy 'text'") as error:
        load("toy", "text")
    assert "bow" in error.value.hint
    with pytest.raises(UsageError, match="unknown data set 'toi'") as error:
        load("toi")
    assert "Did you mean 'toy'" in error.value.hint


def test_imported_sets_load_by_name_and_are_offered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path / "home"))
    (tmp_path / "texts").write_text("".join(f"words of {i} and more\n" for i in range(20)))
    (tmp_path / "labels").write_text("".join(f"{'red' if i % 2 else 'blue'}\n" for i in range(20)))
    files = SplitFiles(texts=tmp_path / "texts", labels=tmp_path / "labels")
    importing.import_files("mine", importing.Plan(files))
    data = load("mine")
    direct = content_hash(importing.find_imported("mine").parse())
    assert (data.name, data.view) == ("mine", "bow")
    assert data.content_hash == direct
    assert load("mine", "text").train.features is None
    with pytest.raises(UsageError, match="unknown view of mine"):
        load("mine", "title")
    with pytest.raises(UsageError) as error:
        load("mime")
    assert "Did you mean 'mine'" in error.value.hint


def test_synthetic_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path))
    data = load("synthetic[labels=50,rows=100,test=20,branching=5,features=100]")
    assert data.name == "synthetic[rows=100,test=20,labels=50,features=100,branching=5]"
    assert data.train.labels.shape == (100, 50)
    assert 0 < data.extra["best_reachable"]["P@1"] <= 1
    again = load("synthetic[features=100, branching=5, test=20, rows=100, labels=50]")
    assert again.content_hash == data.content_hash
    assert len(parses(tmp_path / "parsed" / data.name)) == 1
    with pytest.raises(UsageError, match="unknown view of synthetic"):
        load("synthetic", "text")


def test_progress_hears_of_the_parse(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from xmcbench.context import Reporter

    class Ear(Reporter):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def phase(self, name: str) -> None:
            self.heard.append(name)

    monkeypatch.setenv("XMCBENCH_HOME", str(tmp_path))
    ear = Ear()
    for _ in range(2):
        load("synthetic[labels=50,rows=10,test=5,branching=5]", progress=ear)
    assert ear.heard == ["make"]


def test_importing_the_package_is_light() -> None:
    script = "import sys, xmcbench.data; print(sorted({'numpy', 'scipy', 'numba', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert xmcbench.data.load.__doc__
