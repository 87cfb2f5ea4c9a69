"""From records to expected scores, and what is never judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.minimal import minimal_raw
from xmcbench.comparison.compare import FAIL, IMPROVED, OK, OKISH, UNKNOWN, Verdict
from xmcbench.comparison.expected import Expected, Score
from xmcbench.comparison.regression import Outcome, check, expected_of, merged
from xmcbench.context import Reporter
from xmcbench.data import load
from xmcbench.records import record_file
from xmcbench.records.record import Record
from xmcbench.records.store import Store
from xmcbench.runs import registry

DATA = "synthetic[rows=50,test=20,labels=60]"


def record(label: str, seed: int, p1: float, **changes: Any) -> Record:
    name = label.partition("[")[0]
    info = registry.get(name).info if name in registry.sources() else None
    base = minimal_raw(f"{label}-{seed}", name, DATA, label=label)
    known = {"version": info.version, "deterministic": info.deterministic} if info else {"deterministic": False}
    return record_file.of(
        {
            **base,
            "spec_hash": f"{label}/{seed}",
            "seed": seed,
            "environment": {"device": "cpu"},
            "code": {"method": {"origin": "xmcbench"}},
            "metrics": [{"name": "P@1", "value": p1, "version": 1}, {"name": "PSP@1", "value": None, "version": 1}],
            **changes,
            "method": {**base["method"], **known, **changes.get("method", {})},
            "dataset": {**base["dataset"], **changes.get("dataset", {})},
        }
    )


def test_the_lowest_seed_is_expected_and_all_give_the_tolerance() -> None:
    found, left_out = expected_of([record("tree", seed, p1) for seed, p1 in ((2, 0.48), (0, 0.50), (1, 0.52))])
    assert left_out == []
    (entry,) = found
    assert (entry.method, entry.seed, entry.seeds, entry.record) == ("tree", 0, 3, "tree-0")
    assert entry.metrics == {"P@1": Score(0.50, pytest.approx(0.04), 1)}  # a metric without a value is not expected


def test_a_deterministic_method_has_no_room_and_a_single_seed_half_a_point() -> None:
    found, _ = expected_of([record("popularity", 0, 0.3), record("tree", 0, 0.5)])
    assert [entry.metrics["P@1"].tolerance for entry in found] == [1e-9, 0.005]


def test_of_two_versions_or_contents_the_newest_counts() -> None:
    old = record("tree", 0, 0.4, method={"version": "0"})
    found, _ = expected_of([old, record("tree", 1, 0.5), record("tree", 2, 0.6)])
    assert [(entry.seed, entry.seeds) for entry in found] == [(1, 2)]
    other = {"content_hash": "sha256:cd"}
    found, _ = expected_of([record("tree", 0, 0.4), record("tree", 1, 0.5, dataset=other)])
    assert [(entry.content, entry.seed) for entry in found] == [("sha256:cd", 1)]


def test_superseded_and_failed_runs_are_not_expected() -> None:
    first = record("tree", 0, 0.4)
    again = record("tree", 0, 0.5, run_id="again", supersedes="tree-0")
    failed = record("tree", 1, 0.1, status="error")
    (entry,) = expected_of([first, again, failed])[0]
    assert (entry.record, entry.metrics["P@1"].value, entry.seeds) == ("again", 0.5, 1)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (record("theirs", 0, 0.5, method={"family": "external"}), "predictions computed by their author"),
        (record("mine", 0, 0.5, code={"method": {"sha256": "ab"}}), "a class in a file"),
        (record("gone", 0, 0.5), "unknown method 'gone'"),
        (record("tree", 0, 0.5, method={"version": "0"}), "version 0 on record"),
        (record("tree[cost=0.3,arity=2]", 0, 0.5), "this label means tree"),
        (record("tree[bouquets=3]", 0, 0.5), "unknown parameter of tree 'bouquets'"),
        (record("omikuji", 0, 0.5), "runs with the same seed differ"),
    ],
)
def test_what_no_run_can_repeat_is_left_out_with_the_reason(made: Record, why: str) -> None:
    found, left_out = expected_of([made])
    assert found == []
    assert why in left_out[0]
    assert left_out[0].startswith(f"{made.method.label} on {DATA} (bow): ")


def expected(**changes: Any) -> Expected:
    found, _ = expected_of([record("popularity", 0, 0.3)])
    return msgspec.structs.replace(found[0], **changes)


def test_new_entries_replace_those_of_their_method_and_data() -> None:
    old, other, new = expected(), expected(view="title"), expected(record="new")
    assert merged([old, other], [new]) == [new, other]
    assert merged([], [new]) == [new]


@pytest.mark.parametrize(
    ("words", "verdict"),
    [((OK, UNKNOWN), OK), ((OK, IMPROVED), IMPROVED), ((IMPROVED, OKISH), OKISH), ((OKISH, FAIL), FAIL), ((), UNKNOWN)],
)
def test_an_entry_is_as_good_as_its_worst_metric(words: tuple[str, ...], verdict: str) -> None:
    assert Outcome(expected(), verdicts=[Verdict("P@1", 0, 0, 0, word) for word in words]).verdict == verdict


@pytest.mark.parametrize("after", ["", " ", "[cost=1]", " [cost=1]", "\n"])
def test_no_file_of_scores_and_no_record_runs_a_file(tmp_path: Path, after: str) -> None:
    ran, file = tmp_path / "ran", tmp_path / "evil.py"
    file.write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Evil: pass\n")
    label = f"{file}:Evil{after}"
    outcome = check(expected(method=label), load(DATA), Store(tmp_path), Reporter())
    assert "not run: " in outcome.why
    assert expected_of([record("tree", 0, 0.5, method={"label": label})])[0] == []
    assert not ran.exists()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": "0"}, "method version 1, expected of 0: update the entry"),
        ({"content": "sha256:cd"}, "other data"),
        ({"method": "gone"}, "not run: unknown method 'gone'"),
        ({"method": "tree[bouquets=3]"}, "not run: unknown parameter"),
        ({"method": "elias", "device": "cuda", "version": "1"}, "torch sees no GPU"),
    ],
)
def test_what_cannot_be_compared_is_not_even_run(
    tmp_path: Path, changes: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if changes.get("method") == "elias" and "elias" not in registry.sources():
        pytest.skip("its plugin is taken out")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    outcome = check(expected(**changes), load(DATA), Store(tmp_path), Reporter())
    assert why in outcome.why
    assert outcome.verdict == UNKNOWN
    assert not (tmp_path / "records").exists()


def test_metrics_nobody_knows_any_more_and_other_definitions_are_unknown(tmp_path: Path) -> None:
    data = load(DATA)
    scores = {"P@1": Score(0.5, 1e-9, 0), "Gone@1": Score(0.5, 1e-9, 1), "nDCG@1": Score(0.0, 1e-9, 1)}
    outcome = check(expected(content=data.content_hash, metrics=scores), data, Store(tmp_path), Reporter())
    assert [(v.metric, v.verdict, v.why) for v in outcome.verdicts] == [
        ("P@1", UNKNOWN, "other metric definition"),
        ("Gone@1", UNKNOWN, "no value"),
        ("nDCG@1", IMPROVED, ""),
    ]
    assert outcome.why == ""
    only = {name: scores[name] for name in ("P@1", "Gone@1")}
    outcome = check(expected(content=data.content_hash, metrics=only), data, Store(tmp_path), Reporter())
    assert outcome.why == "no value, other metric definition"
