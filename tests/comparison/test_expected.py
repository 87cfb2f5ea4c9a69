"""Files of expected scores: what is written is read, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from xmcbench.comparison.expected import Expected, Score, read, write
from xmcbench.comparison.regression import spec_of
from xmcbench.errors import DataError
from xmcbench.records import record_file
from xmcbench.runs import registry

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "leaderboards" / "expected"
ONE = Expected(
    method="elias[beam=40]",
    version="3",
    dataset="icd10cm",
    view="bow",
    content="sha256:ab",
    k=100,
    seed=0,
    device="cpu",
    seeds=3,
    record="20261126T0-elias",
    metrics={"P@1": Score(0.1 + 0.2, 0.001, 1), "R@100:tail": Score(0.0, 1e-9, 2)},
)


def test_what_is_no_toml_is_a_data_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    (tmp_path / "number.toml").write_text("expected = " + "9" * 5000)
    for name, says in {"pipe": "a pipe", "deep": "nested too deeply", "number": "thousands of digits"}.items():
        with pytest.raises(DataError, match=rf"{name}\.toml: .*{says}"):
            read(tmp_path / f"{name}.toml")


def test_what_is_written_is_read_to_the_last_digit(tmp_path: Path) -> None:
    other = msgspec.structs.replace(ONE, method='knn[note="a\\b"é]', k=10)
    write(tmp_path / "fast.toml", [ONE, other])
    assert read(tmp_path / "fast.toml") == [ONE, other]
    text = (tmp_path / "fast.toml").read_text()
    write(tmp_path / "fast.toml", [other, ONE])
    assert (tmp_path / "fast.toml").read_text() == text  # in one order, so that only changed scores are changed lines
    assert '[expected.metrics."P@1"]\nvalue = 0.30000000000000004\ntolerance = 0.001\nversion = 1\n' in text


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('version = "3"', "version = 3", "entry 1 (elias[beam=40]): version: expected str, got int"),
        ('view = "bow"\n', "", "missing view"),
        ('view = "bow"', 'view = "bow"\nviews = 2', "unknown field views"),
        ("seed = 0", "seed = -1", "seed: expected int >= 0"),
        ("seed = 0", "seed = true", "seed: expected int, got bool"),
        ("k = 100", 'k = "100"', "k: expected int, got str"),
        ("value = 0.0\n", "value = nan\n", "R@100:tail = "),
        ("value = 0.0\n", "value = -0.1\n", "R@100:tail = "),
        ("tolerance = 0.001", "tolerance = 0", "P@1 = "),
        ("tolerance = 0.001", "tolerances = 0.1", "unknown field tolerances"),
        ("version = 1\n", "version = 1.5\n", "metrics[...].version: expected int, got float"),
        ("[[expected]]", "[expected]", "not a list of [[expected]]"),
        ("[[expected]]", "[[expect]]", "not a list of [[expected]]"),
        ("[[expected]]", "[[expected", "fast.toml: "),
    ],
)
def test_another_form_is_refused_with_file_and_entry(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "fast.toml"
    write(path, [ONE])
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(DataError) as error:
        read(path)
    assert said in str(error.value)
    assert "fast.toml" in str(error.value)


def test_faults_are_said_together_and_no_entry_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "fast.toml"
    write(path, [ONE, ONE])
    with pytest.raises(DataError, match=r"elias\[beam=40\] on icd10cm \(bow\) occurs twice"):
        read(path)
    path.write_text(path.read_text().replace("seeds = 3", "seeds = 0.5"))
    with pytest.raises(DataError, match=r"entry 1 .*entry 2 "):
        read(path)
    path.write_text("[[expected]]\nmethod = 'tree'\n")
    with pytest.raises(DataError, match=r"entry 1 \(tree\): missing version"):
        read(path)
    with pytest.raises(DataError, match="no expected scores"):
        read(tmp_path / "full.toml")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_committed_sets_are_of_methods_as_they_are_now(path: Path) -> None:
    for entry in read(path):
        name = entry.method.partition("[")[0]
        if name not in registry.sources() and not (ROOT / "plugins" / name).is_dir():
            continue  # taken out: the rest stands alone
        spec = spec_of(entry)
        assert spec.label == entry.method
        assert spec.info.version == entry.version, f"{entry}: write its expected scores anew (CONTRIBUTING.md)"
        home = FOLDER.parent if path.stem == "full" else FOLDER  # what the leaderboards show is what is expected
        record = record_file.read(home / "records" / f"{entry.record}.json")
        assert (record.method.label, record.seed) == (entry.method, entry.seed)
        assert {m.name: m.value for m in record.metrics} == {n: s.value for n, s in entry.metrics.items()}


def test_the_fast_set_has_every_method_and_needs_no_download() -> None:
    entries = read(FOLDER / "fast.toml")
    peers = {name for name, target in registry.BUILT_IN.items() if ".peers." in target}
    assert {e.method.partition("[")[0] for e in entries} == {*registry.BUILT_IN, "elias"} - peers
    assert {e.dataset.partition("[")[0] for e in entries} == {"synthetic", "icd10cm"}
    for entry in entries:
        known = registry.sources().get(entry.method)
        if known is not None and not registry.get(entry.method).info.deterministic:
            assert entry.seeds >= 3, f"{entry}: without three seeds nobody knows what it may differ by"
