"""Suites: what a file plans, what is refused, and that what is written plans the same runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from xmcbench.errors import DataError, UsageError
from xmcbench.records.store import Store
from xmcbench.runs.plan import make_plan
from xmcbench.runs.spec import RunSpec
from xmcbench.runs.suite import Suite, Table, read, write

LEADERBOARDS = Path(__file__).resolve().parents[2] / "leaderboards"
SMALL = """
k = 7
metrics = ["P@1"]

[[run]]
methods = ["tree[beam=5|10]", "popularity"]
datasets = ["icd10cm"]
set = ["tree.trees=1,3"]
seeds = [0, 1]
"""


def suite(text: str, folder: Path) -> Suite:
    (folder / "suite.toml").write_text(text)
    return read(folder / "suite.toml")


def hashes(plan: list[RunSpec]) -> list[tuple[object, ...]]:
    return [(*spec.data, spec.spec_hash("content", "cpu")) for spec in plan]


def test_a_suite_plans_what_the_command_with_the_same_words_plans(tmp_path: Path) -> None:
    plan = suite(SMALL, tmp_path).plan()
    typed = make_plan(
        ["tree[beam=5|10]", "popularity"], ["icd10cm"], settings=["tree.trees=1,3"], seeds=[0, 1], k=7, baseline=False
    )
    assert hashes(plan) == hashes(typed)
    assert len(plan) == 2 * 2 * 2 + 1, "beams, trees and seeds, and popularity once"


def test_a_suite_adds_no_baseline(tmp_path: Path) -> None:
    plan = suite('[[run]]\nmethods = ["tree"]\ndatasets = ["icd10cm"]', tmp_path).plan()
    assert [(s.label, s.view, s.seed, s.k) for s in plan] == [("tree", None, 0, 100)]


def test_what_is_written_is_read_again_and_plans_the_same(tmp_path: Path) -> None:
    table = Table(("ovr", "ovr[tune]"), ("a", 'quote " and \\ and \x7f and é'), "title", ("bias=1",), (0, 2**63 - 1))
    both = Suite((table, Table(("tree[beam=5|10]",), ("a",), tune=True)), 5, ("P@1", "PSP@5"))
    write(both, tmp_path / "new.toml")
    assert read(tmp_path / "new.toml") == both
    assert 'methods = ["tree[beam=5|10]"]' in (tmp_path / "new.toml").read_text(), "grids stay as they were typed"
    given = suite(SMALL, tmp_path)
    write(given, tmp_path / "again.toml")
    assert hashes(read(tmp_path / "again.toml").plan()) == hashes(given.plan())


def test_two_views_of_one_data_set_are_two_runs_and_repeats_are_one(tmp_path: Path) -> None:
    table = '[[run]]\nmethods = ["popularity"]\ndatasets = ["eurlex-4.3k"]\nview = "{}"\n'
    plan = suite(table.format("bow") + table.format("title") + table.format("bow"), tmp_path).plan()
    assert [spec.data for spec in plan] == [("eurlex-4.3k", "bow"), ("eurlex-4.3k", "title")]


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    given = suite(SMALL, tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        write(given, tmp_path / "suite.toml")
    assert (tmp_path / "suite.toml").read_text() == SMALL


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sedes = [1]" + SMALL, r"unknown key in .*suite\.toml 'sedes', line 1\n"),
        (SMALL + "sedes = [1]", r"key of \[\[run\]\] 1 in .* 'sedes', line 10\n +Did you mean 'seeds'"),
        (SMALL + SMALL.partition("\n\n")[2] + "k = 3", r"key of \[\[run\]\] 2 in .* 'k', line 15"),
        (SMALL + "[run.extra]\na = 1", r"key of \[\[run\]\] 1 in .* 'extra'"),
        ("", "run"),
        ("run = 3", r"run: expected array, got int"),
        ("run = []", r"run: expected array of length >= 1"),
        ("[[run]]\nmethods = []\ndatasets = ['a']", r"run\[0\]\.methods: expected array of length >= 1"),
        ("[[run]]\nmethods = ['tree']", r"run\[0\]: .*datasets"),
        ("[[run]]\nmethods = 'tree'\ndatasets = ['a']", r"run\[0\]\.methods: expected array, got str"),
        (SMALL.replace("[0, 1]", "[-1]"), r"run\[0\]\.seeds\[0\]: expected int >= 0"),
        (SMALL.replace("[0, 1]", "[true]"), r"run\[0\]\.seeds\[0\]: expected int, got bool"),
        (SMALL.replace("k = 7", "k = 0"), r"k: expected int >= 1"),
        (SMALL.replace("k = 7", "k = 99999999999999999999999"), "k"),
        ("[[run]\n", "not TOML .*line 1"),
        ("run = " + "[" * 10_000, "not TOML"),
    ],
)
def test_bad_files_are_refused_with_the_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        suite(text, tmp_path)
    assert re.search(message, str(error.value)), str(error.value)
    assert "suite.toml" in str(error.value)


def test_bad_bytes_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_bytes(b"k = '\xff'")
    with pytest.raises(DataError, match="not TOML"):
        read(tmp_path / "suite.toml")
    with pytest.raises(DataError, match="can't read"):
        read(tmp_path / "none.toml")


def test_a_table_is_named_if_its_method_or_parameter_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\[\[run\]\] 2: unknown method 'tre'"):
        suite(SMALL + '[[run]]\nmethods = ["tre"]\ndatasets = ["a"]', tmp_path).plan()


def test_no_suite_loads_a_file(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("import sys\nsys.loaded_by_a_suite = True\nclass Mine: ...")
    for text in ("code.py:Mine", " code.py:Mine [a=1]", f"{tmp_path}/code.py:Mine[beam=1|2]"):
        with pytest.raises(UsageError, match="class in a file"):
            suite(f'[[run]]\nmethods = ["{text}"]\ndatasets = ["icd10cm"]', tmp_path)
        with pytest.raises(UsageError, match="class in a file"):
            write(Suite((Table((text,), ("icd10cm",)),)), tmp_path / "new.toml")
    assert not hasattr(sys, "loaded_by_a_suite")
    assert not (tmp_path / "new.toml").exists()


def test_the_suite_of_the_leaderboards_plans_exactly_their_runs() -> None:
    pytest.importorskip("xmcbench_elias")
    plan = {(s.label, s.dataset, s.view, s.seed, s.k) for s in read(LEADERBOARDS / "suite.toml").plan()}
    records = [r for r in Store(LEADERBOARDS).records() if not r.is_external]
    assert {(r.method.label, r.dataset.name, r.dataset.view, r.seed, r.k) for r in records} == plan
