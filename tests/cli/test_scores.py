"""`xmcbench check scores`: a method that got worse is caught, and nothing passes that was not judged."""

from __future__ import annotations

import dataclasses
import json
import shutil
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from xmcbench.cli.app import app
from xmcbench.cli.verdicts import SHOWN
from xmcbench.comparison.expected import Expected, Score, read, write
from xmcbench.errors import DataError, RegressionError, UsageError
from xmcbench.methods.popularity import Popularity
from xmcbench.methods.tree import Tree
from xmcbench.records.store import Store
from xmcbench.topk import TopK

DATA = "synthetic[rows=600,test=400,labels=60]"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with records of popularity and of three seeds of tree, and the expected scores they make."""
    folder = tmp_path_factory.mktemp("scores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        run = ["run", "popularity", "tree", "--seeds", "0,1,2", "--dataset", DATA, "--results", str(folder / "out")]
        assert CliRunner().invoke(app, run).exit_code == 0
        said = invoke(folder, "--update", str(folder / "out"))
        assert said.exit_code == 0, said.output
    return folder


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Path:
    """A copy of the expected scores that a test may change."""
    shutil.copytree(made / "expected", tmp_path / "expected")
    return tmp_path


@pytest.fixture
def clean_code(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the commit that runs say they come from, with no change since."""

    def set_commit(commit: str) -> None:
        state = {"version": "0", "commit": commit, "dirty": False}
        for module in ("records.execution", "comparison.regression"):
            monkeypatch.setattr(f"xmcbench.{module}.code_state", lambda: dict(state))

    return set_commit


def invoke(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["check", "scores", "--expected", str(folder / "expected"), *words])


def change(folder: Path, method: str, **changes: Any) -> Expected:
    """Change an entry of the fast set; returns it as it was."""
    path = folder / "expected" / "fast.toml"
    entries = read(path)
    (old,) = [entry for entry in entries if entry.method == method]
    write(path, [msgspec.structs.replace(entry, **changes) if entry is old else entry for entry in entries])
    return old


def shifted(entry: Expected, gap: float) -> dict[str, Score]:
    return {name: msgspec.structs.replace(score, value=score.value + gap) for name, score in entry.metrics.items()}


def break_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tree that takes its best label and its twenty-first for each other, in one row of forty."""
    whole = Tree.predict

    def predict(self: Tree, inputs: Any, k: int, ctx: Any) -> TopK:
        found = whole(self, inputs, k, ctx)
        ids = found.ids.copy()
        ids[::40, [0, 20]] = ids[::40, [20, 0]]
        return TopK.from_arrays(ids, found.scores, k)

    monkeypatch.setattr(Tree, "predict", predict)


def test_what_was_written_is_what_runs_gave(made: Path) -> None:
    popularity, tree = read(made / "expected" / "fast.toml")
    newest = {r.seed: r for r in Store(made / "out").records() if r.method.name == "tree"}
    assert (tree.record, tree.seeds, popularity.seeds) == (newest[0].run_id, 3, 1)
    by_seed = [{m.name: m.value for m in newest[seed].metrics} for seed in (0, 1, 2)]
    for name, score in tree.metrics.items():
        values = [run[name] for run in by_seed]
        assert score.value == values[0]
        assert score.tolerance == pytest.approx(max(0.005, 2 * statistics.stdev(values)))
    assert {score.tolerance for score in popularity.metrics.values()} == {1e-9}


def test_the_same_code_passes(made: Path) -> None:
    result = invoke(made)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        *(f"OK · {name} on {DATA} (bow) · 25 of 25 metrics judged" for name in ("popularity", "tree")),
        "2 expected entries: 2 OK",
    ]


def test_a_method_two_points_worse_is_caught(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_tree(monkeypatch)
    (tree,) = [e for e in read(own / "expected" / "fast.toml") if e.method == "tree"]
    result = invoke(own, "--json")
    assert isinstance(result.exception, RegressionError)
    assert result.exception.exit_code == 3
    said = {entry["method"]: entry for entry in json.loads(result.stdout)}
    p1 = {row["metric"]: row for row in said["tree"]["metrics"]}["P@1"]
    assert 0.015 < p1["expected"] - p1["got"] < 0.03
    assert (p1["verdict"], said["tree"]["verdict"], said["popularity"]["verdict"]) == ("FAIL", "FAIL", "OK")
    wanted = f"tree on {DATA} (bow): P@1 {100 * p1['got']:.2f} where {100 * tree.metrics['P@1'].value:.2f} ± "
    assert wanted in str(result.exception)
    assert "1 of 2 expected entries fell, 0 could not be judged" in str(result.exception)
    assert "CONTRIBUTING.md" in result.exception.hint
    table = invoke(own).stdout
    line = next(line for line in table.splitlines() if " P@1 " in line)
    assert line.split()[0] == "tree"
    assert line.split()[-1] == "FAIL"
    assert sum(line.split()[:1] == ["tree"] for line in table.splitlines()) == SHOWN
    assert any(line.split()[-1:] == ["more"] for line in table.splitlines())
    assert f"{100 * p1['got']:.2f}" in line


def test_a_better_method_passes_and_is_told(own: Path) -> None:
    (old,) = [e for e in read(own / "expected" / "fast.toml") if e.method == "tree"]
    change(own, "tree", metrics=shifted(old, -0.02 if min(s.value for s in old.metrics.values()) > 0.02 else -0.01))
    result = invoke(own)
    assert result.exit_code == 0, result.output
    assert f"IMPROVED · tree on {DATA}" in result.stdout
    assert "update the expected scores" in result.stdout


@pytest.mark.parametrize(("gap", "code"), [(1e-6, 3), (-1e-6, 0), (1e-12, 0)])
def test_a_deterministic_method_may_differ_by_rounding_alone(own: Path, gap: float, code: int) -> None:
    old = change(own, "popularity")
    change(own, "popularity", metrics={"P@1": shifted(old, gap)["P@1"]})
    result = invoke(own, "--only", "popularity")
    assert getattr(result.exception, "exit_code", 0) == code or result.exit_code == code
    words = {1e-6: "FAIL", -1e-6: "IMPROVED", 1e-12: "OK"}
    assert result.stdout.startswith(words[gap])
    if gap == 1e-6:
        assert "popularity" in str(result.exception)
        assert "-1.0e-04" in result.stdout  # percent: two decimals would show no difference


def test_a_raised_version_wants_expected_scores_anew(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tree, "info", dataclasses.replace(Tree.info, version="77"))
    result = invoke(own)
    assert isinstance(result.exception, RegressionError)
    assert "0 of 2 expected entries fell, 1 could not be judged" in str(result.exception)
    assert f"method version 77, expected of {read(own / 'expected' / 'fast.toml')[1].version}: update the entry" in str(
        result.exception
    )


def test_other_data_and_a_method_that_fails_do_not_pass(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(own, "popularity", content="sha256:other")

    def fit(*_: Any) -> None:
        raise MemoryError("no room [bold]here[/bold]")

    monkeypatch.setattr(Tree, "fit", fit)
    result = invoke(own)
    assert isinstance(result.exception, RegressionError)
    for said in (
        "0 of 2 expected entries fell, 2 could not be judged",
        "other data",
        "out_of_memory: MemoryError: no room [bold]here[/bold]",
    ):
        assert said in str(result.exception)
    assert "no room [bold]here[/bold]" in result.stdout


def test_a_metric_of_another_definition_is_told_and_the_rest_judged(own: Path) -> None:
    old = change(own, "popularity")
    scores = {**old.metrics, "P@1": msgspec.structs.replace(old.metrics["P@1"], version=99)}
    change(own, "popularity", metrics=scores)
    result = invoke(own, "--only", "popularity")
    assert result.exit_code == 0, result.output
    assert "24 of 25 metrics judged" in result.stdout
    assert "UNKNOWN (other metric definition)" in result.stdout
    change(own, "popularity", metrics={"P@1": scores["P@1"]})
    assert isinstance(invoke(own, "--only", "popularity").exception, RegressionError)


def test_data_that_is_not_here_is_forgiven_in_other_sets_once_something_was_judged(own: Path) -> None:
    change(own, "tree", dataset="not-imported-here")
    shutil.copy(own / "expected" / "fast.toml", own / "expected" / "full.toml")
    strict, loose = invoke(own), invoke(own, "--set", "full")
    assert isinstance(strict.exception, RegressionError)
    assert loose.exit_code == 0, loose.output
    said = "UNKNOWN · tree on not-imported-here (bow) · not run: its data is not here (unknown data set"
    assert said in strict.stdout
    assert said in loose.stdout
    alone = invoke(own, "--set", "full", "--only", "tree")
    assert isinstance(alone.exception, RegressionError)


@pytest.mark.parametrize(
    ("only", "methods"),
    [
        (["tree"], ["tree"]),
        (["tree/synthetic"], ["tree"]),
        ([f"popularity/{DATA}", "tree"], ["popularity", "tree"]),
        (["/synthetic"], ["popularity", "tree"]),
    ],
)
def test_only_what_is_named_is_run(made: Path, only: list[str], methods: list[str]) -> None:
    words = [word for text in only for word in ("--only", text)]
    assert [entry["method"] for entry in json.loads(invoke(made, "--json", *words).stdout)] == methods


def test_an_unknown_set_names_those_that_are_there(made: Path) -> None:
    result = invoke(made, "--set", "fsat")
    assert isinstance(result.exception, DataError)
    assert "Sets in this folder: fast." in str(result.exception)


def test_a_set_without_entries_does_not_pass(tmp_path: Path) -> None:
    (tmp_path / "expected").mkdir()
    (tmp_path / "expected" / "fast.toml").write_text("expected = []\n")
    result = invoke(tmp_path)
    assert isinstance(result.exception, DataError)
    assert "no entries" in str(result.exception)


def test_bad_requests(made: Path, tmp_path: Path) -> None:
    for words, error, said in (
        (["--only", "three"], UsageError, "unknown expected score 'three'"),
        (["--only", "tree/icd10cm"], UsageError, f"Known: popularity/{DATA}, tree/{DATA}"),
        (["--set", "full"], DataError, "full.toml: no expected scores"),
        (["--update", str(tmp_path)], UsageError, "no records to make expected scores from"),
    ):
        result = invoke(made, *words)
        assert isinstance(result.exception, error)
        assert said in str(result.exception)


def test_what_this_code_has_done_is_not_done_again(own: Path, clean_code: Callable[[str], None]) -> None:
    kept = ["--results", str(own / "kept")]
    for commit, records in (("a", 2), ("a", 2), ("b", 4), ("b", 4)):
        clean_code(commit)
        assert invoke(own, *kept).exit_code == 0
        assert len(Store(own / "kept").records()) == records
    assert not list((own / "kept" / "work").glob("*/model"))


def test_a_record_of_other_code_hides_no_regression(
    own: Path, clean_code: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ["--results", str(own / "kept"), "--only", "tree"]
    clean_code("a")
    assert invoke(own, *kept).exit_code == 0
    break_tree(monkeypatch)
    clean_code("b")
    assert isinstance(invoke(own, *kept).exception, RegressionError)


def test_what_was_stopped_goes_on(
    own: Path, clean_code: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean_code("a")
    kept = ["--results", str(own / "kept")]
    with monkeypatch.context() as patch:

        def fit(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(Tree, "fit", fit)
        stopped = invoke(own, *kept)
        assert stopped.exit_code == 1
        assert "OK · popularity" in stopped.stdout
        assert "stopped after 1 of 2 entries; the same command resumes" in stopped.stdout
        assert "use --results to keep finished runs" in invoke(own).stdout

    def never(*_: Any) -> None:
        raise AssertionError("done before")

    monkeypatch.setattr(Popularity, "fit", never)
    assert invoke(own, *kept).exit_code == 0


def test_an_update_changes_what_it_has_records_of(own: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read(own / "expected" / "fast.toml")
    break_tree(monkeypatch)
    run = ["run", "tree", "--dataset", DATA, "--results", str(own / "out")]
    assert CliRunner().invoke(app, run).exit_code == 0
    result = invoke(own, "--update", str(own / "out"), "--only", "tree")
    assert result.exit_code == 0, result.output
    assert f"tree on {DATA} (bow): 25 metrics, tolerances from 1 seed\n" in result.stdout
    popularity, tree = read(own / "expected" / "fast.toml")
    assert popularity == before[0]
    assert tree.metrics["P@1"].value < before[1].metrics["P@1"].value
    assert invoke(own).exit_code == 0


def test_damaged_records_are_expected_by_nobody(own: Path, made: Path) -> None:
    shutil.copytree(made / "out", own / "out")
    (own / "out" / "records" / "torn.json").write_text("{")
    before = (own / "expected" / "fast.toml").read_text()
    result = invoke(own, "--update", str(own / "out"))
    assert isinstance(result.exception, DataError)
    assert "torn.json" in str(result.exception)
    assert (own / "expected" / "fast.toml").read_text() == before
