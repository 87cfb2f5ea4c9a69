"""`xmcbench compare`: the right sign, an interval around every gap, and a check that can fail."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console
from typer.testing import CliRunner

import xmcbench as xb
from xmcbench.cli import compare, terminal
from xmcbench.cli.app import app
from xmcbench.comparison.differences import Differences, Document, Label
from xmcbench.comparison.paired import Gap
from xmcbench.errors import DataError, RegressionError, UsageError
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Kind, Store
from xmcbench.topk import TopK

SMALL = "synthetic[rows=300,test=60,labels=60]"
REORDERED = "synthetic[labels=60, test=60, rows=300]"
OTHER = "synthetic[rows=200,test=40,labels=30]"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A results folder with popularity and tree on SMALL, then popularity alone on OTHER; tests don't write there."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XMCBENCH_HOME", str(folder / "home"))
        for words in (["popularity", "tree", "--dataset", SMALL], ["popularity", "--dataset", OTHER]):
            done = CliRunner().invoke(app, ["run", *words, "--threads", "1", "--results", str(folder / "out")])
            assert done.exit_code == 0, done.output
        yield folder / "out"


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> Path:
    """A copy of the same folder that a test may damage."""
    return Path(shutil.copytree(runs, tmp_path / "own"))


def invoke(folder: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["compare", *words, "--results", str(folder)])


def metrics(folder: Path, *words: str) -> dict[str, dict[str, Any]]:
    result = invoke(folder, *words, "--json")
    assert result.exit_code == 0, result.output
    return {row["metric"]: row for row in json.loads(result.stdout)["metrics"]}


def _on_small(runs: xb.Runs, method: str) -> xb.Run:
    """The run of a method on SMALL; runs that started within one second are in no certain order."""
    (run,) = [run for run in runs if run.dataset == SMALL and run.label == method]
    return run


def add(store: Store, like: Record, run_id: str, rows: dict[str, list[float]] | None, **changes: Any) -> None:
    """A copy of a record under another id, label and method name, with the metrics that `rows` give."""
    method = replace(like.method, name=run_id, label=run_id)
    parts = {"run_id": run_id, "spec_hash": run_id, "method": method, "predictions": None, "rows": None}
    record = record_file.changed(like, **{**parts, **changes})
    if rows is None:
        store.add(record)
        return
    arrays = {n: np.array(values, np.int32 if n == "near" else np.float32) for n, values in rows.items()}
    values = [
        {"name": name, "value": float(top.sum() / arrays.get(f"{name}/den", np.ones_like(top)).sum()), "version": 1}
        for name, top in arrays.items()
        if not name.endswith("/den") and name != "near"
    ]
    dataset = replace(record.dataset, n_test=len(next(iter(rows.values()))))
    store.add(record_file.changed(record, dataset=dataset, metrics=values), None, arrays)


def test_the_gap_is_b_minus_a_and_lies_in_its_interval(runs: Path) -> None:
    store = Store(runs)
    a, b = store.find_pair("popularity", "tree")
    of_a, of_b = ({m.name: m.value for m in record.metrics} for record in (a, b))
    found, swapped = metrics(runs, "popularity", "tree"), metrics(runs, "tree", "popularity")
    assert set(found) == set(of_a)
    for name, row in found.items():
        assert row["difference"] == of_b[name] - of_a[name]
        assert swapped[name]["difference"] == -row["difference"]
        if name.startswith(("Coverage", "MacroF1")):  # over labels: no rows to draw
            assert row["low"] is None
            continue
        assert row["low"] <= row["difference"] <= row["high"]
        assert (swapped[name]["low"], swapped[name]["high"]) == pytest.approx((-row["high"], -row["low"]), abs=1e-12)
    assert found["P@5"]["low"] > 0  # a tree that reads the input beats one that doesn't
    assert found["P@5"]["verdict"] == "better"
    assert swapped["P@5"]["verdict"] == "worse"


def test_gaps_worked_by_hand(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    add(store, like, "hand-a", {"P@1": [0, 0, 0, 0], "PSP@1": [1, 1, 1, 1], "PSP@1/den": [2, 4, 2, 4]})
    add(store, like, "hand-b", {"P@1": [1, 1, 1, 1], "PSP@1": [2, 4, 2, 2], "PSP@1/den": [2, 4, 2, 4]})
    found = metrics(own, "hand-a", "hand-b")
    assert [found["P@1"][key] for key in ("expected", "got", "difference", "low", "high")] == [0, 1, 1, 1, 1]
    psp = found["PSP@1"]
    # rows gain 1/2, 3/4, 1/2 and 1/4 of their weight: no resample lies outside of the least and the most
    assert 0.25 <= psp["low"] < psp["difference"] < psp["high"] <= 0.75
    assert psp["difference"] == pytest.approx(0.5)


def test_a_constant_gap_lies_in_its_interval_though_kept_rows_are_rounded(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    add(store, like, "hand-a", {"P@1": [0.1] * 7})
    add(store, like, "hand-b", {"P@1": [0.3] * 7})
    for run_id, value in (("hand-a", 0.1), ("hand-b", 0.3)):
        record = store.find(run_id)
        exact = [replace(record.metrics[0], value=value)]  # where rows hold the nearest float32
        store.add(record_file.changed(record, metrics=exact))
    row = metrics(own, "hand-a", "hand-b")["P@1"]
    assert row["low"] <= row["difference"] <= row["high"]
    assert row["high"] - row["low"] < 1e-7


def test_p_and_rows_won_by_hand(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    ones, zeros = [1.0] * 5 + [0.0], [0.0] * 5 + [1.0]
    add(store, like, "hand-a", {"P@1": zeros, "near": [0, 0, 0, 0, 4, 5]})
    add(store, like, "hand-b", {"P@1": ones, "near": [0, 0, 0, 0, 4, 5]})
    add(store, like, "hand-c", {"P@1": ones})
    found, alone = metrics(own, "hand-a", "hand-b")["P@1"], metrics(own, "hand-a", "hand-c")["P@1"]
    assert (found["won"], found["lost"]) == (5, 1)
    # groups of 4, 1 and 1: the four decide the sign, so that 4 + 1 − 1 or more is half of all patterns, both ways
    assert found["p"] == pytest.approx(6 / 8, abs=0.02)
    # where one run knows no groups every row is alone: 5 against 1 is 7 of 64 patterns, both ways
    assert alone["p"] == pytest.approx(14 / 64, abs=0.02)
    assert json.loads(invoke(own, "hand-a", "hand-b", "--json").stdout)["near_duplicates_together"] is True
    assert json.loads(invoke(own, "hand-a", "hand-c", "--json").stdout)["near_duplicates_together"] is False
    assert "near-duplicates together" in invoke(own, "hand-a", "hand-b").stdout
    assert "near-duplicates together" not in invoke(own, "hand-a", "hand-c").stdout


def test_a_slim_copy_has_intervals_for_what_leaderboards_need(runs: Path, own: Path) -> None:
    whole = metrics(own, "popularity", "tree")
    for kind in ("rows", "predictions"):
        shutil.rmtree(own / kind)
    slim = metrics(own, "popularity", "tree")
    for name in ("P@1", "P@5", "nDCG@5", "PSP@5", "R@100"):
        assert slim[name] == {**whole[name], "p_adjusted": slim[name]["p_adjusted"]}
        assert slim[name]["p"] <= slim[name]["p_adjusted"] <= 5 * slim[name]["p"], "adjusted for five metrics"
    untested = dict.fromkeys(("low", "high", "p", "p_adjusted", "won", "lost"))
    untested |= {"verdict": "unknown", "why": "no per-row numbers to test"}
    assert slim["P@3"] == {**whole["P@3"], **untested}
    said = json.loads(invoke(own, "popularity", "tree", "--json").stdout)
    assert said["differences"] is None
    assert "missing" in said["no_differences"]


def test_where_they_differ(runs: Path) -> None:
    said = json.loads(invoke(runs, "popularity", "tree", "--json", "--differ", "2").stdout)
    found = said["differences"]
    assert said["no_differences"] is None
    assert found["k"] == 5
    assert 1 <= len(found["labels"]) <= 4
    assert found["documents"][0]["b_hits"] > found["documents"][0]["a_hits"]
    rows = {row["metric"]: row for row in said["metrics"]}
    everything = json.loads(invoke(runs, "popularity", "tree", "--json", "--differ", "60").stdout)["differences"]
    gain = sum(d["b_hits"] - d["a_hits"] for d in everything["documents"])
    assert gain == sum(d["b_hits"] - d["a_hits"] for d in everything["labels"])
    assert gain / (60 * 5) == pytest.approx(rows["P@5"]["difference"])
    shown = invoke(runs, "popularity", "tree", "--differ", "2").stdout
    assert "labels that differ most" in shown
    assert "documents that differ most" in shown
    for word in ("label ", str(found["labels"][0]["label"]), str(found["documents"][0]["row"])):
        assert word in shown


def test_a_narrow_terminal_shows_all_numbers_but_rows_won_and_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "make_console", lambda: Console(width=80, highlight=False))
    gap = Gap("R@100:seen-labels", 0.5, 0.25, -0.25, -0.3, -0.2, 4e-110, 4e-110, 1234567, 89, "inconclusive")
    compare.print_gaps([gap], True)
    label = Label(131072, "[b]" + "long " * 40 + "\x1b[2J", 7654321, 1111, 222, 333)
    compare.print_differences(Differences(5, [label], []))
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines()]
    assert ["R@100:seen-labels", "50.00", "25.00", "-25.00", "[-30.00,", "-20.00]", "4e-110", "inconclusive"] in lines
    assert ["131072", "7,654,321", "1,111", "222", "333", "[b]long"] in [line[:6] for line in lines]
    assert "no room for: won, lost" in said
    assert "documents: both runs have the same hits within the first 5" in said
    assert "\x1b" not in said


def test_documents_are_named_by_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    compare.print_differences(Differences(5, [], [Document(3, "T-4", "no dial tone", 2, 1, 2)]))
    compare.print_differences(Differences(5, [], [Document(3, None, "no dial tone", 2, 1, 2)]))
    tables = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["T-4", "2", "1", "2", "no", "dial", "tone"] in tables
    assert ["3", "2", "1", "2", "no", "dial", "tone"] in tables


def test_where_they_differ_is_left_out_or_said_why_not(own: Path) -> None:
    assert "differ most" not in invoke(own, "popularity", "tree", "--differ", "0").stdout
    none = json.loads(invoke(own, "popularity", "tree", "--differ", "0", "--json").stdout)
    assert (none["differences"], none["no_differences"]) == (None, None)
    store = Store(own)
    like = store.find("tree")
    kept = store.predictions(like)
    for name, dataset in (
        ("revised", replace(like.dataset, content_hash="another")),
        ("gone", replace(like.dataset, name="nobody-has-it")),
    ):
        method = replace(like.method, label=name)
        store.add(record_file.changed(like, run_id=name, method=method, dataset=dataset, rows=None), kept)
    for words, why in (
        (("tree", "revised"), "on different data"),
        (("revised", "revised"), "the content here differs"),
        (("gone", "gone"), "unknown data set 'nobody-has-it'"),
    ):
        result = invoke(own, *words)
        assert result.exit_code == 0, result.output
        assert why in result.stdout.split("no differences shown:")[1]


def test_json_is_all_there_is_on_standard_output(runs: Path) -> None:
    result = invoke(runs, "popularity", "tree", "--json")
    a, b = Store(runs).find_pair("popularity", "tree")
    said = json.loads(result.stdout)
    assert (said["a"], said["b"]) == (a.run_id, b.run_id)
    keys = {"metric", "expected", "got", "verdict", "why"}
    keys |= {"difference", "low", "high", "p", "p_adjusted", "won", "lost"}
    sides = {"a", "a_runs", "b", "b_runs"}
    assert set(said) == sides | {"headline", "verdict", "costs", "metrics", "notes"} | {
        "near_duplicates_together",
        "differences",
        "no_differences",
    }
    assert (said["a_runs"], said["b_runs"], said["notes"]) == ({a.run_id: 0}, {b.run_id: 0}, [])
    assert all(set(row) == keys for row in said["metrics"])
    assert f"A is {a.run_id}\nB is {b.run_id}\n" == result.stderr
    assert invoke(runs, a.run_id, b.run_id, "--json").stderr == ""
    failed = invoke(runs, "tree", "popularity", "--json", "--check")
    assert isinstance(failed.exception, RegressionError)
    assert len(json.loads(failed.stdout)["metrics"]) == len(said["metrics"])


def test_the_table(runs: Path) -> None:
    row = metrics(runs, "popularity", "tree")["P@1"]
    said = invoke(runs, "popularity", "tree").stdout
    line = next(line for line in said.splitlines() if line.split()[:1] == ["P@1"])
    shown = [f"{100 * row[key]:.2f}" for key in ("expected", "got")]
    low, gap, high = (f"{100 * row[key]:+.2f}" for key in ("low", "difference", "high"))
    p = f"{row['p_adjusted']:.4f}" if row["p_adjusted"] >= 0.0001 else f"{row['p_adjusted']:.0e}"
    assert line.split() == [
        "P@1",
        *shown,
        gap,
        f"[{low},",
        f"{high}]",
        p,
        str(row["won"]),
        str(row["lost"]),
        "better",
    ]
    tested = sum(row["p"] is not None for row in metrics(runs, "popularity", "tree").values())
    assert f"adjusted for {tested} metrics (Holm)" in said
    assert f"A: popularity on {SMALL} (bow), seed 0, " in said


def test_the_sentence_comes_last_and_agrees_with_table_and_python(runs: Path) -> None:
    said = json.loads(invoke(runs, "popularity", "tree", "--json").stdout)
    row = {row["metric"]: row for row in said["metrics"]}["nDCG@5"]
    assert said["verdict"] == row["verdict"] == "better"
    low, high = (f"{100 * row[key]:+.2f}" for key in ("low", "high"))
    start = f"on {SMALL}, tree (B) is better than popularity (A): nDCG@5 {100 * row['got']:.2f} against "
    assert said["headline"].startswith(start)
    assert f"(95 % interval {low} to {high}, adjusted p " in said["headline"]
    assert "; fit " in said["headline"]
    assert said["costs"]["fit_seconds"] == [
        Store(runs).find(name, SMALL).costs.fit_seconds for name in ("popularity", "tree")
    ]
    last = invoke(runs, "popularity", "tree").stdout.splitlines()[-1]
    assert last == f"O{said['headline'][1:]}."
    found = xb.results(runs)
    comparison = xb.compare(_on_small(found, "popularity"), found["tree"])
    assert (comparison.headline, comparison.verdict) == (said["headline"], "better")
    assert [vars(gap) for gap in comparison] == said["metrics"]
    assert comparison.notes == said["notes"]


def test_no_upper_case_verdict_of_repeated_runs_is_shown(runs: Path) -> None:
    said = invoke(runs, "popularity", "tree").stdout + invoke(runs, "tree", "popularity").stdout
    assert not re.search(r"\b(OK|OKISH|IMPROVED|FAIL|UNKNOWN)\b", said)


def test_a_terminal_shows_verdicts_in_colour(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def console(**_: object) -> Console:
        return Console(width=80, highlight=False, force_terminal=True, color_system="standard")

    monkeypatch.setattr(compare, "make_console", console)
    found = xb.results(runs)
    comparison = xb.compare(_on_small(found, "popularity"), found["tree"], samples=100)
    compare.print_headline(comparison)
    said = capsys.readouterr().out
    assert said.startswith("\n\x1b[1;32mOn ")
    assert "(A):\x1b[0m" in said
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", said).splitlines())) <= 80
    tables: list[Any] = []
    monkeypatch.setattr(compare, "print_table", lambda rows, **_: tables.append(rows))
    compare.print_gaps(comparison.gaps, comparison.grouped)
    styles = {(str(row[-1].plain).partition(" ")[0], row[-1].style) for row in tables[0][1:]}
    assert styles <= set(compare.STYLE.items())
    assert ("better", "green") in styles


def test_data_that_both_know_is_preferred_and_can_be_named(own: Path) -> None:
    store = Store(own)
    like = store.find("popularity", OTHER)
    add(store, like, "99991231T000000-newest", {"P@1": [1.0]}, method=like.method)
    assert store.find("popularity").dataset.n_labels == 30  # which tree never saw
    assert metrics(own, "popularity", "tree")["P@1"]["verdict"] != "unknown"
    assert metrics(own, "tree", "popularity", "--dataset", REORDERED)["P@1"]["verdict"] != "unknown"
    none = invoke(own, "tree", "popularity", "--dataset", OTHER)
    assert isinstance(none.exception, UsageError)
    assert f"on {OTHER}: 'tree'" in str(none.exception)


@pytest.mark.parametrize("alias", ["EURLex-4.3K", "eurlex-4.3k", "my-own"])
def test_a_data_set_goes_by_its_alias_too(own: Path, alias: str) -> None:
    store = Store(own)
    like = store.find("tree")
    dataset = replace(like.dataset, name=alias.lower())
    add(store, like, "renamed", {"P@1": [1.0]}, dataset=dataset)
    assert metrics(own, "renamed", "renamed", "--dataset", alias)["P@1"]["got"] == 1


def test_check_passes_and_fails_by_the_rule(runs: Path) -> None:
    assert invoke(runs, "popularity", "tree", "--check").exit_code == 0
    same = invoke(runs, "tree", "tree", "--check")
    assert same.exit_code == 0
    assert "A and B are the same run" in same.stderr
    worse = invoke(runs, "tree", "popularity", "--check")
    assert isinstance(worse.exception, RegressionError)
    assert worse.exception.exit_code == 3
    assert "worse" in str(worse.exception)
    assert "P@1" in str(worse.exception)
    assert invoke(runs, "tree", "popularity").exit_code == 0


def test_a_check_that_compares_nothing_fails(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    (first,) = [r.run_id for r in store.records() if r.dataset.n_labels == 30]
    add(store, like, "failed", None, status="error", metrics=[])
    add(store, like, "gpu", {"P@1": [1.0]}, environment={"device": "cuda"})
    for words, said in (
        ((first, "tree"), "other data"),
        (("failed", "tree"), "failed has status error"),
        (("tree", "failed"), "failed has status error"),
        (("tree", "gpu"), "other kind of device"),
    ):
        result = invoke(own, *words, "--check")
        assert isinstance(result.exception, RegressionError)
        assert "nothing could be compared: " in str(result.exception)
        assert said in str(result.exception)
        assert invoke(own, *words).exit_code == 0
    assert "status error" in invoke(own, "tree", "failed").stdout


def test_one_verdict_is_enough_to_pass(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    add(store, like, "only-one", {"P@1": store.rows(like)["P@1"].tolist()})
    found = metrics(own, "tree", "only-one")
    assert found["P@1"]["verdict"] == "same"
    assert {(row["verdict"], row["why"]) for name, row in found.items() if name != "P@1"} == {
        ("unknown", "no value in B")
    }
    backwards = metrics(own, "only-one", "tree")
    assert set(backwards) == set(found), "a metric that only one side has is shown"
    assert backwards["P@3"]["why"] == "no value in A"
    assert invoke(own, "tree", "only-one", "--check").exit_code == 0


@pytest.mark.parametrize(
    ("a", "b", "verdict", "code"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], "same", 0),
        ([1, 0, 1, 0], [0, 1, 0, 1], "inconclusive", 0),  # equal in sum, not in any row
        ([0, 0, 0], [1, 1, 1], "inconclusive", 0),  # better in each of three rows, which chance does in 2 of 8 cases
        ([0], [1], "inconclusive", 0),
        ([0] * 20, [1] * 20, "better", 0),
        ([1] * 20, [0] * 20, "worse", 3),
        ([0.5] * 20, [0.5002] * 20, "better", 0),  # small, and no chance
        ([1] * 10 + [0] * 9, [0] * 10 + [1] * 9, "inconclusive", 0),
    ],
)
def test_verdict_check_and_exit_code_follow_from_one_test(
    own: Path, a: list[float], b: list[float], verdict: str, code: int
) -> None:
    store = Store(own)
    like = store.find("tree")
    add(store, like, "hand-a", {"P@1": a})
    add(store, like, "hand-b", {"P@1": b})
    row = metrics(own, "hand-a", "hand-b")["P@1"]
    assert row["verdict"] == verdict
    decided = row["p_adjusted"] <= 0.05 and not row["low"] <= 0 <= row["high"]
    assert decided is (verdict in ("better", "worse"))
    result = invoke(own, "hand-a", "hand-b", "--check")
    assert (result.exit_code if result.exception is None else getattr(result.exception, "exit_code", 0)) == code
    assert f"1 metric: 1 {verdict}" in result.stdout


def test_p_is_adjusted_for_all_metrics(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    add(store, like, "alone-a", {"P@1": [0.0] * 6})
    add(store, like, "alone-b", {"P@1": [1.0] * 6})  # p = 2/64
    add(store, like, "two-a", {"P@1": [0.0] * 6, "P@3": [0.0] * 6})
    add(store, like, "two-b", {"P@1": [1.0] * 6, "P@3": [1.0] * 5 + [0.0]})
    alone, two = metrics(own, "alone-a", "alone-b")["P@1"], metrics(own, "two-a", "two-b")["P@1"]
    assert (alone["verdict"], two["verdict"]) == ("better", "inconclusive")
    assert two["p_adjusted"] == pytest.approx(2 * two["p"])


def test_all_common_seeds_count_and_are_named(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    several = replace(like.method, deterministic=False)

    def seeds(name: str, rows: dict[int, list[float]]) -> None:
        method = replace(several, name=name, label=name)
        for seed, values in rows.items():
            add(store, like, f"{name}-{seed}", {"P@1": values}, seed=seed, method=method)

    seeds("one", {0: [0, 0, 1, 0], 1: [0, 0, 1, 1], 5: [1, 1, 1, 1]})
    seeds("two", {1: [1, 1, 1, 0], 0: [1, 1, 0, 0], 7: [0, 0, 0, 0]})
    seeds("far", {9: [1, 1, 1, 1]})
    result = invoke(own, "one", "two", "--json")
    said = json.loads(result.stdout)
    assert said["a_runs"] == {"one-0": 0, "one-1": 1}
    assert said["b_runs"] == {"two-0": 0, "two-1": 1}
    (row,) = said["metrics"]
    assert (row["expected"], row["got"], row["difference"]) == (3 / 8, 5 / 8, 2 / 8)
    assert (row["won"], row["lost"]) == (2, 2), "the rows' means are compared: 0 0 1 ½ with 1 1 ½ 0"
    assert said["notes"] == ["A also has seed 5, not used", "B also has seed 7, not used"]
    shown = invoke(own, "one", "two").stdout
    assert "mean of seeds 0, 1" in shown
    for run_id in ("one-0", "one-1", "two-0", "two-1"):
        assert f": {run_id}" in shown
    apart = json.loads(invoke(own, "one", "far", "--json").stdout)
    assert apart["notes"][0] == "different seeds: 5 of A, 9 of B; A and B share no seed"
    assert (apart["a_runs"], apart["b_runs"]) == ({"one-5": 5}, {"far-9": 9})
    add(store, like, "short-0", {"P@1": [0, 0, 0, 0]}, k=10, seed=1)
    notes = json.loads(invoke(own, "short-0", "one-1", "--json").stdout)["notes"]
    assert notes == ["A predicts 10 labels per row, B 100: labels beyond that count as misses"]
    one_run = json.loads(invoke(own, "one-1", "two", "--json").stdout)
    assert (one_run["a_runs"], one_run["b_runs"]) == ({"one-1": 1}, {"two-1": 1}), "a run id is that run alone"
    fixed = replace(like.method, name="fixed", label="fixed", deterministic=True)
    add(store, like, "fixed-0", {"P@1": [0, 0, 0, 0]}, method=fixed)
    floor = json.loads(invoke(own, "fixed", "two", "--json").stdout)
    assert (floor["a_runs"], len(floor["b_runs"])) == ({"fixed-0": 0}, 3), "a deterministic run counts for every seed"


def test_identical_predictions_are_the_same_in_every_metric(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    method = replace(like.method, name="copy", label="copy")
    copy = record_file.changed(like, run_id="copy", spec_hash="copy", method=method)
    store.add(copy, store.predictions(like), store.rows(like))
    assert {row["verdict"] for row in metrics(own, "tree", "copy").values()} == {"same"}


def test_predictions_of_unknown_origin_compare_with_runs_on_any_device(own: Path) -> None:
    store = Store(own)
    like = store.find("tree")
    method = replace(like.method, name="theirs", label="theirs", family="external", deterministic=True)
    add(store, like, "external", {"P@1": [1, 0] * 30}, environment={}, seed=None, method=method)
    add(store, like, "gpu", {"P@1": [1, 0] * 30}, environment={"device": "cuda"})
    for words in (("theirs", "gpu"), ("gpu", "theirs"), ("theirs", "tree")):
        assert metrics(own, *words)["P@1"]["verdict"] != "unknown"
    assert "A: theirs on " in invoke(own, "theirs", "gpu").stdout
    assert "(bow), no seed, external" in invoke(own, "theirs", "gpu").stdout


def test_missing_rows_leave_plain_differences(own: Path) -> None:
    store = Store(own)
    record = store.find("tree")
    whole = metrics(own, "popularity", "tree")
    for kind in ("rows", "board"):
        (store.folder / getattr(record, kind).file).unlink()
    result = invoke(own, "popularity", "tree", "--json")
    assert "no paired intervals" in result.stderr
    assert record.board.file in result.stderr
    for row in json.loads(result.stdout)["metrics"]:
        nothing = dict.fromkeys(("low", "high", "p", "p_adjusted", "won", "lost"))
        assert row == {**whole[row["metric"]], **nothing, "verdict": "unknown", "why": "no rows to pair"}
    check = invoke(own, "popularity", "tree", "--check")
    assert isinstance(check.exception, RegressionError)
    assert "nothing could be compared: no rows to pair" in str(check.exception)
    assert invoke(own, "popularity", "tree").exit_code == 0


def refused(folder: Path) -> str:
    result = invoke(folder, "popularity", "tree")
    assert isinstance(result.exception, DataError), result.output
    return str(result.exception)


@pytest.mark.parametrize("kind", ["predictions", "rows"])
def test_a_file_that_was_changed_is_no_note(own: Path, kind: Kind) -> None:
    path = Store(own).place(Store(own).find("tree"), kind)
    np.savez(path, **{"P@1": np.ones(60, np.float32)})
    assert f"{path}: not the file of the record" in refused(own)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda column: 1 - column, r"P@1 is 0\.\d+ by its rows, on record 0\."),
        (lambda column: np.stack([column, column]), "P@1: not 60 finite numbers"),
        (lambda column: column.astype("U3"), "P@1: not 60 finite numbers"),
        (lambda column: column + 1j, "P@1: not 60 finite numbers"),
        (lambda column: column[1:], "P@1: not 60 finite numbers"),
    ],
)
def test_rows_that_do_not_fit_their_record_are_refused(own: Path, spoil: Callable[[Any], Any], said: str) -> None:
    store = Store(own)
    record = store.find("tree")
    rows = store.rows(record)
    store.add(record, None, {**rows, "P@1": spoil(rows["P@1"])})
    assert re.search(rf"{re.escape(record.run_id)}: {said}", refused(own))


def test_predictions_of_other_rows_are_refused(own: Path) -> None:
    store = Store(own)
    store.add(store.find("tree"), TopK.from_arrays(np.zeros((3, 1), int), np.zeros((3, 1))))
    assert "with 60 rows" in refused(own)


def test_rows_of_another_number_leave_plain_differences(own: Path) -> None:
    add(Store(own), Store(own).find("tree"), "short", {"P@1": [1.0, 0.0]})
    result = invoke(own, "tree", "short", "--json")
    assert "60 rows against 2" in result.stderr or "2 rows against 60" in result.stderr
    row = json.loads(result.stdout)["metrics"][0]
    assert row["difference"] == row["got"] - row["expected"]
    assert row["low"] is None


def test_a_damaged_record_is_reported_and_hides_no_other(own: Path) -> None:
    (own / "records" / "99999999-torn.json").write_text('{"schema": 1')
    result = invoke(own, "popularity", "tree", "--json")
    assert "left out" in result.stderr
    assert "99999999-torn.json" in result.stderr
    assert json.loads(result.stdout)["metrics"]


def test_a_record_file_brings_the_rows_of_its_own_folder(runs: Path, own: Path) -> None:
    store = Store(own)
    kept = runs / "records" / f"{store.find('tree').run_id}.json"
    store.place(store.find("tree"), "rows").unlink()
    store.place(store.find("tree"), "board").unlink()
    assert metrics(own, "popularity", "tree")["P@1"]["low"] is None
    assert metrics(own, "popularity", str(kept)) == metrics(runs, "popularity", "tree")
